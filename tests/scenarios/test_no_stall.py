"""
One who does not read, or reads slowly, stalls nobody else: real processes,
sockets and time, but no speed is judged, only that others get all they ask for
meanwhile, and that nobody keeps more than the windows.
"""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable

from tests.scenarios.pairs import PairTestCase, fill, readAll
from tests.scenarios.processes import PATIENCE, Program, freePort

MIB = 1024 * 1024

#: What others move meanwhile, in each direction.
SIZE = 32 * MIB
#: Seconds without a byte that are too many: stalled outputs are closed after
#: nine, which must not be what helps here.
LONGEST = 5.0
#: How much more memory each process may need than before: less than the
#: largest windows of the streams that are stuck, both ways, and of one more.
GROWTH = 64 * MIB

#: A slow road, bytes a second (64 kbit/s), and what is under way on it.
SLOW = 8000
PIPE = 16 * 1024


class SlowRoad:
    """
    Stands between an inlet and its relay, and passes on no more than so many
    bytes a second in each direction.
    """

    def __init__(self, relay: int) -> None:
        self._relay = relay
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIPE)
        self.port = self.server.getsockname()[1]
        self.isSlow = False
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:
                return
            far = socket.socket()
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIPE)
            far.connect(("127.0.0.1", self._relay))
            self._ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(SLOW // 10 if self.isSlow else PIPE):
                sink.sendall(data)
                if self.isSlow:
                    time.sleep(0.1)
        except OSError:
            pass
        for each in (source, sink):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        """
        The end of the road.
        """
        for each in (self.server, *self._ends):
            each.close()


class NoStallTests(PairTestCase):
    """
    A portal as always, and another inlet at the same relay and outlet.
    """

    def setUp(self) -> None:
        """
        See the class.
        """
        super().setUp()
        self.data = os.urandom(SIZE)
        self.digest = SIZE, hashlib.sha256(self.data).hexdigest()
        # What a transfer needs by itself is there from now on.
        self._transfer(self.port)

    def _authorized(self) -> tuple[str, ...]:
        return (self.identity("other"),)

    def _other(self, relay: int = 0) -> tuple[int, Program]:
        """
        Start another inlet.

        @param relay: Where it finds the relay; 0: where the first one does.
        @return: Its port, and it.
        """
        arguments = self.programs[0].process.args
        assert isinstance(arguments, list)
        to = arguments[arguments.index("--to") + 1]
        if relay:
            parts = to.split("/")
            parts[4] = str(relay)
            to = "/".join(parts)
        port = freePort()
        inlet = self.twist(
            "ockam-inlet", "--listen", str(port), "--authorized", self.identity("outlet"), "--to", to, state="other"
        )  # fmt: skip
        self.waitForPort(port)
        return port, inlet

    def _move(self, source: socket.socket, sink: socket.socket) -> None:
        """
        All bytes from one end to the other, with no long silence.
        """
        sending = threading.Thread(target=source.sendall, args=(self.data,), daemon=True)
        sending.start()
        sink.settimeout(LONGEST)
        digest, left = hashlib.sha256(), SIZE
        while left:
            data = sink.recv(min(left, MIB))
            self.assertTrue(data)
            digest.update(data)
            left -= len(data)
        sending.join(PATIENCE)
        self.assertEqual((SIZE, digest.hexdigest()), self.digest)

    def _transfer(self, port: int) -> None:
        """
        A new connection, and much in each direction.
        """
        client, target = self.pair(port)
        self._move(client, target)
        self._move(target, client)
        client.close()
        self.assertEqual(readAll(target)[0], 0)
        target.close()

    def _meanwhile(self, programs: list[Program], stall: Callable[[], object]) -> None:
        """
        Others are served, before and after they connect, and no process
        grows.
        """
        early = self.pair(self.port)
        before = [program.memory() for program in programs]
        stall()
        most = before
        for _ in range(4):
            self._move(*early)
            self._move(*reversed(early))
            self._transfer(self.port)
            most = [max(was, program.memory()) for was, program in zip(most, programs, strict=True)]
        for program, more, was in zip(programs, most, before, strict=True):
            self.assertLessEqual(more - was, GROWTH, program.process.args)

    def test_sameChannel(self) -> None:
        """
        A stream that is stuck both ways, on the same channel; and when its
        ends read on, it has lost nothing.
        """
        stuck = self.pair(self.port)
        sent: list[int] = []
        self._meanwhile(self.programs, lambda: sent.extend(fill(each) for each in stuck))
        for each in stuck:
            each.shutdown(socket.SHUT_WR)
        self.assertEqual([readAll(stuck[1])[0], readAll(stuck[0])[0]], sent)

    def test_manySameChannel(self) -> None:
        """
        Forty of them.
        """
        stuck = [self.pair(self.port) for _ in range(40)]
        self._meanwhile(self.programs, lambda: [fill(each, 0.05) for pair in stuck for each in pair])

    def test_otherInlet(self) -> None:
        """
        Streams that are stuck at another inlet of the same relay and outlet.
        """
        port, other = self._other()
        stuck = [self.pair(port) for _ in range(10)]
        self._meanwhile([*self.programs, other], lambda: [fill(each, 0.05) for pair in stuck for each in pair])

    def test_otherInletStopped(self) -> None:
        """
        Another inlet stops altogether, with much on its way to it, as a
        suspended laptop does.
        """
        port, other = self._other()
        stuck = [self.pair(port) for _ in range(6)]

        def stop() -> None:
            other.process.send_signal(signal.SIGSTOP)
            self.addCleanup(other.process.send_signal, signal.SIGCONT)
            for _, target in stuck:
                fill(target, 0.05)

        self._meanwhile(self.programs, stop)

    def test_slowInlet(self) -> None:
        """
        Downloads by an inlet whose road carries 64 kbit/s.
        """
        relay = self.programs[0].process.args
        assert isinstance(relay, list)
        road = SlowRoad(int(relay[relay.index("--to") + 1].split("/")[4]))
        self.addCleanup(road.close)
        port, other = self._other(road.port)
        stuck = [self.pair(port) for _ in range(64)]

        def slow() -> None:
            road.isSlow = True
            for _, target in stuck:
                fill(target, 0.05)

        self._meanwhile([*self.programs, other], slow)
        self.assertNotIn("holds others back", self.programs[1].text())
