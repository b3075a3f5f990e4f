"""
Tests for L{ockam_twisted.transports.puncture}: two sockets in memory, each behind a NAT, a
rendezvous between them, and QUIC over what they find.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import NoRoute, TimedOut
from ockam_twisted.transports.puncture import ANSWERED, PATIENCE, PERIOD, SILENCE, Puncture
from ockam_twisted.transports.quic import QUICEndpoint, QUICServerEndpoint
from ockam_twisted.wire.codecs import DATAGRAMS
from ockam_twisted.wire.datagrams import split
from tests.transports.nats import MEETING, NAT, Rendezvous
from tests.transports.test_quic import End, Network


class PunctureTests(SynchronousTestCase):
    """
    Tests for L{Puncture}.
    """

    def setUp(self) -> None:
        """
        A rendezvous that both can reach.
        """
        self.network = Network()
        self.rendezvous = Rendezvous(self.network)
        self.ends: list[str] = []

    def make(self, address: str, isSymmetric: bool = False) -> tuple[Puncture, Any]:
        """
        A socket behind a NAT, and where it is seen.
        """
        puncture = Puncture(NAT(self.network, address, isSymmetric))
        puncture.closed = lambda why: self.ends.append(f"{address}: {why}")
        puncture.listen(MEETING)
        asking = puncture.ask()
        self.network.wait(ANSWERED, lambda: asking.called)
        return puncture, self.successResultOf(asking)

    def pair(self, *symmetric: bool) -> tuple[Puncture, Puncture, Deferred[None], Deferred[None]]:
        """
        Two that try to open a way.
        """
        one, two = symmetric or (False, False)
        first, at = self.make("192.0.2.1", one)
        second, there = self.make("203.0.113.1", two)
        answering = second.open([at], first.worker)
        self.network.wait(0.3)
        return first, second, first.open([there], second.worker), answering

    def test_ask(self) -> None:
        """
        The rendezvous says where a socket is seen; what is lost is asked again.
        """
        self.network.loss = 0.3
        _, at = self.make("192.0.2.1")
        self.assertEqual(at, ("192.0.2.1", 1000))

    def test_noRendezvous(self) -> None:
        """
        One that does not answer is not asked for ever.
        """
        self.rendezvous.answers = False
        puncture = Puncture(NAT(self.network, "192.0.2.1"))
        puncture.listen(MEETING)
        asking = puncture.ask()
        self.network.wait(ANSWERED + 1)
        self.assertIn(
            "the rendezvous at 198.51.100.9 did not answer", self.failureResultOf(asking, TimedOut).getErrorMessage()
        )
        asked = self.rendezvous.asked
        puncture.close("done")
        self.network.wait(5)
        self.assertEqual(self.rendezvous.asked, asked)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_opens(self) -> None:
        """
        Both get through, although neither NAT lets in what nobody has asked for.
        """
        first, second, opening, answering = self.pair()
        self.network.wait(2)
        self.successResultOf(opening)
        self.successResultOf(answering)
        self.assertEqual((first.peer, second.peer), (("203.0.113.1", 1000), ("192.0.2.1", 1000)))

    def test_symmetric(self) -> None:
        """
        Where another port is taken for each destination it ends after a while.
        """
        _, _, opening, answering = self.pair(False, True)
        self.network.wait(PATIENCE + 2)
        for each in (opening, answering):
            self.assertIn("no datagram gets through", self.failureResultOf(each, TimedOut).getErrorMessage())
        self.assertEqual(len(self.ends), 2)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_otherPort(self) -> None:
        """
        Who has no NAT finds the other one at whatever port it comes from.
        """
        first, at = self.make("192.0.2.1")
        second, there = self.make("203.0.113.1", True)
        everybody: Any = self.network.ports[at]
        everybody.allowed = type("All", (), {"__contains__": lambda self, each: True, "add": lambda self, each: None})()
        answering = second.open([at], first.worker)
        opening = first.open([there], second.worker)
        self.network.wait(2)
        self.successResultOf(opening)
        self.successResultOf(answering)
        self.assertEqual(first.peer, ("203.0.113.1", 1001))

    def test_places(self) -> None:
        """
        Of several places the one counts where the other end is.
        """
        first, at = self.make("192.0.2.1")
        second, there = self.make("203.0.113.1")
        answering = second.open([("198.51.100.77", 7), at], first.worker)
        opening = first.open([("2001:db8::1", 5), ("198.51.100.77", 7), there], second.worker)
        self.network.wait(2)
        self.successResultOf(opening)
        self.successResultOf(answering)
        self.assertEqual((first.peer, second.peer), (there, at))

    def test_families(self) -> None:
        """
        Who has no address that can be sent to cannot be reached.
        """
        first, _ = self.make("192.0.2.1")
        self.failureResultOf(first.open([("2001:db8::1", 5)], b"w"), NoRoute)
        first.close("done")

    def test_breaks(self) -> None:
        """
        A way over which nothing comes any more is closed, with why.
        """
        first, _, opening, answering = self.pair()
        self.network.wait(2)
        self.successResultOf(opening)
        self.successResultOf(answering)
        socket: Any = first.transport
        socket.nat.isOpen = False
        self.network.wait(SILENCE - PERIOD)
        self.assertEqual(self.ends, [])
        self.network.wait(3 * PERIOD)
        self.assertEqual(len(self.ends), 2)
        self.assertIn("the direct way is gone", self.ends[0])
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_garbage(self) -> None:
        """
        What is none of these messages, or for others, changes nothing.
        """
        first, _, opening, answering = self.pair()
        for data in (b"", b"\x00", b"\x85", b"\xff" * 40, b"\x40" * 40):
            first.datagramReceived(data, ("203.0.113.1", 1000))
        for worker, payload in ((b"other", b"\x82\x00\x80"), (first.worker, b"\x82\x09\x80"), (first.worker, b"")):
            message = DATAGRAMS.prefix(((0, worker),), ()) + DATAGRAMS.head(len(payload)) + payload + DATAGRAMS.tail
            for each in split(3, message):
                first.datagramReceived(each, ("198.51.100.66", 6))
        self.assertEqual(first.peer, ("203.0.113.1", 1000))
        self.network.wait(2)
        self.successResultOf(opening)
        self.successResultOf(answering)

    def test_guess(self) -> None:
        """
        Who does not know the worker's address is not taken for the other end.
        """
        first, _, opening, answering = self.pair()
        message = (
            DATAGRAMS.prefix(((0, b"0" * 32),), ((0, b"x"),)) + DATAGRAMS.head(3) + b"\x82\x00\x80" + DATAGRAMS.tail
        )
        for each in split(3, message):
            first.datagramReceived(each, ("198.51.100.66", 6))
        self.assertEqual(first.peer, ("203.0.113.1", 1000))
        for each in (opening, answering):
            each.addErrback(lambda failure: None)

    def test_quic(self) -> None:
        """
        QUIC goes over it in both directions, and its end is the end of the socket.
        """
        first, second, opening, answering = self.pair()
        self.network.wait(2)
        self.successResultOf(opening)
        self.successResultOf(answering)
        made: list[Any] = []

        class Ends(Factory):
            noisy = False

            def buildProtocol(self, addr: Any) -> End:
                made.append(End())
                return made[-1]

        self.successResultOf(QUICServerEndpoint(self.network, 0, bind=second.bind).listen(Ends()))
        assert first.peer is not None
        connecting = QUICEndpoint(self.network, *first.peer, bind=first.bind).connect(Ends())
        self.network.wait(2)
        client = self.successResultOf(connecting)
        client.transport.write(b"there" * 10_000)
        self.network.wait(3, lambda: len(made) == 2)
        [server] = [each for each in made if each is not client]
        server.transport.write(b"back" * 10_000)
        self.network.wait(5, lambda: len(server.got) == 50_000 and len(client.got) == 40_000)
        self.assertEqual((bytes(server.got), bytes(client.got)), (b"there" * 10_000, b"back" * 10_000))
        client.transport.loseConnection()
        self.network.wait(30)
        self.assertEqual(len(self.ends), 2)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_lost(self) -> None:
        """
        When the way is lost what goes over it ends.
        """
        first, second, opening, answering = self.pair()
        self.network.wait(2)
        self.successResultOf(opening)
        self.successResultOf(answering)
        factory = Factory.forProtocol(End)
        self.successResultOf(QUICServerEndpoint(self.network, 0, bind=second.bind).listen(factory))
        assert first.peer is not None
        connecting = QUICEndpoint(self.network, *first.peer, bind=first.bind).connect(factory)
        self.network.wait(2)
        client = self.successResultOf(connecting)
        socket: Any = second.transport
        socket.nat.isOpen = False
        self.network.wait(SILENCE + 2)
        self.assertNotEqual(client.ending, "")
        self.assertEqual(self.network.getDelayedCalls(), [])
