"""
C{ockam-inlet --once}: one client, and an exit status.
"""

from __future__ import annotations

import socket

from tests.scenarios.connecting import ConnectTestCase
from tests.scenarios.processes import PATIENCE, freePort


class OnceTests(ConnectTestCase):
    """
    Inlets for scripts.
    """

    def test_statuses(self) -> None:
        """
        It ends with its one client: 0 if all has arrived, 77 if the target
        has refused.
        """
        target = freePort()
        self.offer(target)
        for status, works in ((77, False), (0, True)):
            if works:
                echo = socket.create_server(("127.0.0.1", target))
                self.addCleanup(echo.close)
            port = freePort()
            inlet = self.twist("ockam-inlet", "--listen", str(port), "--once", *self.way, state="mine")
            inlet.waitForText("Listening on")
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                client.settimeout(PATIENCE)
                if works:
                    at, _ = echo.accept()
                    with at:
                        client.sendall(b"hello")
                        self.assertEqual(at.recv(5), b"hello")
                        client.shutdown(socket.SHUT_WR)
                        self.assertEqual(at.recv(5), b"")
                try:
                    self.assertEqual(client.recv(5), b"")
                except ConnectionResetError:
                    self.assertFalse(works)
            self.assertEqual(inlet.process.wait(PATIENCE), status, inlet.text())
            self.assertIn("The one client has been served", inlet.text())
