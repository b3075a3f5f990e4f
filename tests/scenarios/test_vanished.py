"""
Peers that are gone without a word: processes that are stopped, and a network
that swallows everything.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time

from twisted.trial.unittest import SkipTest

from tests.scenarios.processes import PATIENCE, Program, ScenarioTestCase, require

#: Seconds in which it must be noticed.
NOTICED = 30.0


class Wall:
    """
    Swallows what goes over a TCP port of this machine, both ways.
    """

    def __init__(self, port: int) -> None:
        self._name = f"ockam_twisted_{port}"
        self._port = port

    def _nft(self, *commands: str) -> None:
        run = subprocess.run(["nft", "; ".join(commands)], capture_output=True, text=True)
        if run.returncode:
            raise SkipTest(f"NOT PERMITTED: nft: {run.stderr.strip()[:100]}")

    def raise_(self) -> None:
        """
        From now on.
        """
        table = f"inet {self._name}"
        self._nft(
            f"add table {table}",
            f"add chain {table} i {{ type filter hook input priority 0; }}",
            f"add rule {table} i tcp dport {self._port} drop",
            f"add rule {table} i tcp sport {self._port} drop",
        )

    def remove(self) -> None:
        """
        No more.
        """
        subprocess.run(["nft", "delete", "table", "inet", self._name], capture_output=True)


class VanishedTests(ScenarioTestCase):
    """
    It is noticed within 30 seconds, with default settings.
    """

    def notices(self, program: Program, text: str, since: float) -> None:
        """
        Wait for a line that a program has not printed before.
        """
        while text not in program.text():
            self.assertLess(time.monotonic() - since, NOTICED, f"no {text!r}:\n{program.text()[-2000:]}")
            time.sleep(0.1)

    def test_stopped(self) -> None:
        """
        An outlet that is stopped (SIGSTOP) is noticed by its inlet; when it
        goes on, so does the stream.
        """
        port, inlet, _, outlet = self.portal(self.target("echo"))
        client = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(client.close)
        client.settimeout(2 * PATIENCE)
        client.sendall(b"hello")
        self.assertEqual(client.recv(5, socket.MSG_WAITALL), b"hello")
        self.addCleanup(lambda: outlet.process.poll() is None and os.kill(outlet.pid, signal.SIGCONT))
        since = time.monotonic()
        os.kill(outlet.pid, signal.SIGSTOP)
        self.notices(inlet, "nothing heard for", since)
        client.sendall(b"again")
        os.kill(outlet.pid, signal.SIGCONT)
        self.assertEqual(client.recv(5, socket.MSG_WAITALL), b"again")

    def test_restarted(self) -> None:
        """
        An inlet that is killed and started again: the target is told at once
        that what the old one had is over.
        """
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(PATIENCE)
            port, inlet, _, _ = self.portal(server.getsockname()[1])
            client = socket.create_connection(("127.0.0.1", port), PATIENCE)
            self.addCleanup(client.close)
            client.sendall(b"old")
            old = self.accept(server)
            since = time.monotonic()
            inlet.process.kill()
            inlet.process.wait()
            arguments = [str(each) for each in inlet.process.args]  # type: ignore[union-attr]
            self.start(*arguments).value("Identifier")
            self.waitForPort(port)
            new = socket.create_connection(("127.0.0.1", port), PATIENCE)
            self.addCleanup(new.close)
            new.sendall(b"new")
            self.assertEqual(self.accept(server).recv(3), b"new")
            old.settimeout(PATIENCE)
            self.assertEqual(old.recv(3), b"old")
            self.assertRaises(ConnectionResetError, old.recv, 1)
            self.assertLess(time.monotonic() - since, 20)

    def test_swallowed(self) -> None:
        """
        A network that swallows everything, in the middle of an upload: inlet,
        relay and outlet notice, although their queues are full; when it is
        back the upload goes on, byte for byte.
        """
        require("nft")
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(PATIENCE)
            port, inlet, relay, outlet = self.portal(server.getsockname()[1])
            at = int(str(relay.process.args).split("tcp:")[1].split(":")[0])
            client = socket.create_connection(("127.0.0.1", port), PATIENCE)
            self.addCleanup(client.close)
            client.sendall(bytes(range(256)))
            target = self.accept(server)
            self.assertEqual(target.recv(256, socket.MSG_WAITALL), bytes(range(256)))
            self.swallow(client, target, at, (inlet, relay, outlet))

    def swallow(
        self, client: socket.socket, target: socket.socket, at: int, programs: tuple[Program, Program, Program]
    ) -> None:
        """
        The wall comes and goes.
        """
        size = 256 * 1024 * 1024
        block = bytes(range(256)) * 4096
        received = [0]
        target.settimeout(120)
        client.settimeout(120)

        def send() -> None:
            for _ in range(size // len(block)):
                client.sendall(block)
            client.shutdown(socket.SHUT_WR)

        def receive() -> None:
            while data := target.recv(1 << 20):
                start = received[0] % 256
                if data != (block * 2)[start : start + len(data)]:
                    return
                received[0] += len(data)

        threads = [threading.Thread(target=each, daemon=True) for each in (send, receive)]
        for thread in threads:
            thread.start()
        while not received[0]:
            time.sleep(0.01)
        wall = Wall(at)
        self.addCleanup(wall.remove)
        since = time.monotonic()
        wall.raise_()
        self.assertLess(received[0], size)
        inlet, relay, outlet = programs
        self.notices(inlet, "down after", since)
        self.notices(outlet, "down after", since)
        self.notices(relay, "nothing of it has come for", since)
        wall.remove()
        for thread in threads:
            thread.join(60)
        self.assertEqual(received[0], size)
