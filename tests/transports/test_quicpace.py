"""
Tests for L{ockam_twisted.transports.quicpace}: QUIC over lines in memory that carry so much a
second, have so long a queue, and lose datagrams.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.transports import quic
from ockam_twisted.transports.quicpace import LEAST, MEASURED, PAUSE, BottleneckControl
from tests.transports.test_quic import End, Network

#: Bytes a second of the line, unless another rate is said.
RATE = 1_000_000


class Line(Network):
    """
    What leaves for the server shares one line; what comes back has all that it needs.

    @ivar queue: Bytes that may wait.
    @ivar sent: Datagrams that were to go over the line.
    @ivar dropped: Those for which there was no room.
    """

    def __init__(self, delay: float, loss: float, queue: int) -> None:
        super().__init__()
        self.delay, self.part, self.queue = delay, loss, queue
        self.rate = RATE
        self.sent = self.dropped = 0
        self._free = 0.0

    def send(self, source: Any, to: Any, data: bytes) -> None:
        """
        See L{Network.send}.
        """
        now = self.seconds()
        late = self.delay
        if to[1] == 4000:
            self.sent += 1
            free = max(self._free, now)
            if (free - now) * self.rate > self.queue:
                self.dropped += 1
                return
            self._free = free + len(data) / self.rate
            late += self._free - now
        if self.chance.random() >= self.part:
            self.callLater(late, self._arrive, source, to, data)


class Ends(Factory):
    """
    Those who come.
    """

    noisy = False

    def __init__(self) -> None:
        self.made: list[End] = []

    def buildProtocol(self, addr: Any) -> End:
        """
        See C{IProtocolFactory}.
        """
        self.made.append(End())
        return self.made[-1]


class BottleneckTests(SynchronousTestCase):
    """
    Tests for L{BottleneckControl}.
    """

    def connect(self, line: Line, count: int = 1) -> tuple[list[End], list[End]]:
        """
        Clients and servers.
        """
        servers, clients = Ends(), Ends()
        self.successResultOf(quic.serverEndpoint(line, "quic", "4000").listen(servers))
        part, line.part = line.part, 0.0
        for _ in range(count):
            connecting = quic.QUICEndpoint(line, "192.0.2.1", 4000).connect(clients)
            line.wait(5, lambda connecting=connecting: connecting.called)
            self.successResultOf(connecting)
        line.wait(1, lambda: len(servers.made) == count)
        line.part = part
        return clients.made, servers.made

    def fill(self, line: Line, clients: list[End], seconds: float) -> None:
        """
        They send whatever can be sent.
        """
        until = line.seconds() + seconds
        while line.seconds() < until:
            for each in clients:
                transport: Any = each.transport
                while not each.isPaused:
                    transport.write(bytes(65536))
            line.advance(0.005)

    def control(self, end: End) -> BottleneckControl:
        """
        What is tested.
        """
        transport: Any = end.transport
        control: BottleneckControl = transport._quic._loss._cc
        return control

    def share(self, delay: float, loss: float, queue: int, seconds: float = 6.0) -> tuple[float, Line]:
        """
        @return: What part of the line was used; the line.
        """
        line = Line(delay, loss, queue)
        clients, servers = self.connect(line)
        self.fill(line, clients, seconds)
        return len(servers[0].got) / seconds / RATE, line

    def test_whole(self) -> None:
        """
        A line that loses nothing is filled, and its queue is not.
        """
        line = Line(0.025, 0.0, 1_000_000)
        clients, servers = self.connect(line)
        self.fill(line, clients, 6)
        self.assertGreater(len(servers[0].got), 0.8 * 6 * RATE)
        control = self.control(clients[0])
        self.assertLess(abs(control.rate / RATE - 1.0), 0.15)
        # What is under way is little more than what the line holds.
        self.assertLess(control.bytes_in_flight, 3 * RATE * 0.06)

    def test_lossy(self) -> None:
        """
        What gets lost at random is no reason to be slow.
        """
        for delay in (0.01, 0.05):
            used, _ = self.share(delay, 0.05, 100_000)
            self.assertGreater(used, 0.6)

    def test_shortQueue(self) -> None:
        """
        Where the queue is short not much is lost by being too fast.
        """
        used, line = self.share(0.05, 0.0, 15_000, 12)
        self.assertGreater(used, 0.6)
        self.assertLess(line.dropped, 0.2 * line.sent)

    def test_changes(self) -> None:
        """
        It notices when the line becomes slower, and when it becomes faster.
        """
        line = Line(0.025, 0.0, 200_000)
        clients, servers = self.connect(line)
        self.fill(line, clients, 3)
        for rate in (RATE // 4, RATE):
            line.rate = rate
            self.fill(line, clients, 4)
            before = len(servers[0].got)
            self.fill(line, clients, 3)
            self.assertGreater(len(servers[0].got) - before, 0.6 * 3 * rate)

    def test_shares(self) -> None:
        """
        Two get their parts of a line.
        """
        line = Line(0.025, 0.0, 100_000)
        clients, servers = self.connect(line, 2)
        self.fill(line, clients, 10)
        got = sorted(len(each.got) for each in servers)
        self.assertGreater(sum(got), 0.8 * 10 * RATE)
        self.assertGreater(got[0], 0.25 * got[1])

    def test_roundTrip(self) -> None:
        """
        The shortest round trip is measured anew now and then, without a queue of its own.
        """
        line = Line(0.025, 0.0, 100_000)
        clients, _ = self.connect(line)
        self.fill(line, clients, 2)
        control = self.control(clients[0])
        line.delay = 0.075
        windows = []
        for _ in range(int((MEASURED + PAUSE + 3) / 0.05)):
            self.fill(line, clients, 0.05)
            windows.append(control.congestion_window)
        self.assertLess(min(windows), (LEAST + 1) * 1500)
        self.assertLess(abs(control.roundTrip - 0.15), 0.05)

    def test_outage(self) -> None:
        """
        After a while in which nothing passes it goes on as fast as before.
        """
        line = Line(0.025, 0.0, 100_000)
        clients, servers = self.connect(line)
        self.fill(line, clients, 2)
        line.part = 1.0
        self.fill(line, clients, 4)
        line.part = 0.0
        self.fill(line, clients, 8)
        before = len(servers[0].got)
        self.fill(line, clients, 2)
        self.assertGreater(len(servers[0].got) - before, 0.5 * 2 * RATE)

    def test_idle(self) -> None:
        """
        Who has had little to send can have much at once, soon.
        """
        line = Line(0.025, 0.0, 100_000)
        clients, servers = self.connect(line)
        transport: Any = clients[0].transport
        for _ in range(40):
            transport.write(b"x" * 100)
            line.wait(0.1)
        self.fill(line, clients, 2)
        self.assertGreater(len(servers[0].got), 0.5 * 2 * RATE)
