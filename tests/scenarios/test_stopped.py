"""
A target that stops reading, and much that is sent to it.
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time

from tests.scenarios.processes import PATIENCE, ScenarioTestCase

#: Seconds for which the target does not read.
STOPPED = 60.0

MIB = 1024 * 1024
WARM_UP = 128 * MIB
SIZE = 1024 * MIB
#: How much more memory each process may need than before.
GROWTH = 32 * MIB


class _Sender(threading.Thread):
    """
    Sends much, as fast as it is taken; no two blocks are the same.

    @ivar sent: Bytes the kernel has taken.
    """

    def __init__(self, client: socket.socket, size: int) -> None:
        super().__init__(daemon=True)
        self.digest = hashlib.sha256()
        self.sent = 0
        self.error: OSError | None = None
        self._client, self._size = client, size

    def run(self) -> None:
        block = bytearray(os.urandom(MIB))
        try:
            for number in range(self._size // MIB):
                block[:8] = number.to_bytes(8, "big")
                self.digest.update(block)
                self._client.sendall(block)
                self.sent += MIB
            self._client.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.error = error


class StoppedTests(ScenarioTestCase):
    """
    Nobody keeps what the target does not take.
    """

    def _readAll(self, target: socket.socket) -> tuple[int, str]:
        count, digest = 0, hashlib.sha256()
        while data := target.recv(MIB):
            count += len(data)
            digest.update(data)
        return count, digest.hexdigest()

    def test_stopped(self) -> None:
        """
        1 GiB is sent to a target that has stopped: for a minute no process
        grows, and when it reads again, every byte arrives.
        """
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(PATIENCE)
            port, *programs = self.portal(server.getsockname()[1])

            def connect(size: int) -> tuple[_Sender, socket.socket]:
                client = socket.create_connection(("127.0.0.1", port), PATIENCE)
                self.addCleanup(client.close)
                client.settimeout(2 * STOPPED + PATIENCE)
                sender = _Sender(client, size)
                sender.start()
                return sender, self.accept(server)

            sender, target = connect(WARM_UP)
            self.assertEqual(self._readAll(target), (WARM_UP, sender.digest.hexdigest()))
            target.close()
            before = [program.memory() for program in programs]

            sender, target = connect(SIZE)
            most = before
            until = time.monotonic() + STOPPED
            while time.monotonic() < until:
                time.sleep(0.5)
                most = [max(was, program.memory()) for was, program in zip(most, programs, strict=True)]
            stopped = sender.sent
            self.assertLess(stopped, SIZE // 4, "somebody has kept what the target did not read")
            self.assertEqual(self._readAll(target), (SIZE, sender.digest.hexdigest()))
            self.assertIsNone(sender.error)
        grown = [more - was for more, was in zip(most, before, strict=True)]
        for program, growth in zip(programs, grown, strict=True):
            self.assertLessEqual(growth, GROWTH, program.process.args)
