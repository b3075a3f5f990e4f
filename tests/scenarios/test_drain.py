"""
Processes that are stopped while streams are open.
"""

from __future__ import annotations

import os
import signal
import socket
import time

from tests.scenarios.processes import PATIENCE, Program, ScenarioTestCase, Stopwatch, canConnect, freePort


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

    def test_relay(self) -> None:
        """
        A relay that is told to stop gives up its port and says so: outlet and
        inlet move on to the one that has come in its place, and a stream does
        not notice.
        """
        port, inlet, relay, outlet = self.portal(self.target("echo"), relayOptions=("--drain-timeout", "60"))
        client = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(client.close)
        client.settimeout(PATIENCE)
        longest = [0.0]

        def says(number: int) -> None:
            watch = Stopwatch(inlet, outlet)
            client.sendall(b"%08d" % number)
            self.assertEqual(client.recv(8, socket.MSG_WAITALL), b"%08d" % number)
            longest[0] = max(longest[0], watch.seconds())

        says(0)
        at = str(relay.process.args).split("tcp:")[1].split(":")[0]
        os.kill(relay.pid, signal.SIGTERM)
        relay.waitForText("Shutting down: ")
        says(1)
        self.twist("ockam-relay", "--listen", f"tcp:{at}:interface=127.0.0.1", state="relay2").value("Identifier")
        number = 1
        while relay.process.poll() is None:
            number += 1
            says(number)
            self.assertLess(number, 100_000, "the relay is not left")
            time.sleep(0.001)
        self.assertEqual(relay.process.returncode, -signal.SIGTERM)
        for program in (inlet, outlet):
            program.waitForText("moved to ")
            self.assertNotIn("down after", program.text())
        # A pause, if any, is shorter than any timeout of ours.
        self.assertLess(longest[0], 2.0)
        says(number + 1)

    def test_relays(self) -> None:
        """
        Outlet and inlet have two relays, and the one in use is told to stop:
        the inlet moves on before it goes, and a stream does not notice.
        """
        ports = [freePort(), freePort()]
        relays = [
            self.twist("ockam-relay", "--listen", f"tcp:{at}:interface=127.0.0.1", "--drain-timeout", "60", state=name)
            for at, name in zip(ports, ("one", "two"), strict=True)
        ]
        for relay in relays:
            relay.value("Identifier")
        outlet = self.twist(
            "ockam-outlet", "--target", str(self.target("echo")), *(f"--relay=127.0.0.1:{at}" for at in ports),
            state="outlet",
        )  # fmt: skip
        port = freePort()
        inlet = self.twist("ockam-inlet", "--listen", str(port), "--ticket", outlet.value("Ticket"), state="inlet")
        inlet.value("Paired with")
        self.waitForPort(port)
        client = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(client.close)
        client.settimeout(PATIENCE)
        client.sendall(b"hello")
        self.assertEqual(client.recv(5, socket.MSG_WAITALL), b"hello")
        # Where the first one was slow to answer it is the second one.
        up = next(line for line in inlet.text().splitlines() if "way to the outlet: up" in line)
        [used] = [relay for relay, at in zip(relays, ports, strict=True) if f"/tcp/{at}/" in up]
        os.kill(used.pid, signal.SIGTERM)
        longest, since = 0.0, time.monotonic()
        while used.process.poll() is None:
            self.assertLess(time.monotonic() - since, 20)
            watch = Stopwatch(inlet, outlet)
            client.sendall(b"still here")
            self.assertEqual(client.recv(10, socket.MSG_WAITALL), b"still here")
            longest = max(longest, watch.seconds())
        self.assertLess(longest, 2.0)
        inlet.waitForText("moved to ")
        self.assertNotIn("down after", inlet.text())
        client.sendall(b"over there")
        self.assertEqual(client.recv(10, socket.MSG_WAITALL), b"over there")

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
