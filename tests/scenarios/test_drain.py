"""
Processes that are stopped while streams are open.
"""

from __future__ import annotations

import os
import signal
import socket
import time

from tests.scenarios.processes import PATIENCE, Program, ScenarioTestCase, canConnect


class DrainTests(ScenarioTestCase):
    """
    SIGTERM, with real processes and real time.
    """

    def open(self, timeout: str) -> tuple[socket.socket, Program, int]:
        """
        One stream to a target that echoes.

        @param timeout: What C{--drain-timeout} says.
        @return: The client, the inlet and its port.
        """
        port, inlet, _, _ = self.portal(self.target("echo"), inletOptions=("--drain-timeout", timeout))
        client = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(client.close)
        client.settimeout(PATIENCE)
        client.sendall(b"hello")
        self.assertEqual(client.recv(5, socket.MSG_WAITALL), b"hello")
        return client, inlet, port

    def test_drain(self) -> None:
        """
        An inlet that is told to stop accepts nobody any more, lets the stream
        that is open end by itself, and is gone as soon as it has.
        """
        client, inlet, port = self.open("60")
        os.kill(inlet.pid, signal.SIGTERM)
        inlet.waitForText("Shutting down: ")
        self.assertFalse(canConnect(port))
        client.sendall(b"still here")
        self.assertEqual(client.recv(10, socket.MSG_WAITALL), b"still here")
        before = time.monotonic()
        client.close()
        # C{twist} ends by the signal that has stopped it.
        self.assertEqual(inlet.process.wait(PATIENCE), -signal.SIGTERM)
        self.assertLess(time.monotonic() - before, 20)

    def test_deadline(self) -> None:
        """
        What has not ended in time is reset.
        """
        client, inlet, _ = self.open("1")
        os.kill(inlet.pid, signal.SIGTERM)
        with self.assertRaises(ConnectionResetError):
            client.recv(1)
        inlet.waitForText("have not come to their end")
        # C{twist} ends by the signal that has stopped it.
        self.assertEqual(inlet.process.wait(PATIENCE), -signal.SIGTERM)

    def test_secondSignal(self) -> None:
        """
        A second signal does not wait.
        """
        client, inlet, _ = self.open("600")
        os.kill(inlet.pid, signal.SIGTERM)
        inlet.waitForText("Shutting down: ")
        os.kill(inlet.pid, signal.SIGTERM)
        inlet.process.wait(PATIENCE)
        client.settimeout(5)
        try:
            self.assertEqual(client.recv(1), b"")
        except ConnectionResetError:
            pass
