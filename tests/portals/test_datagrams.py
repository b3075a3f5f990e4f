"""
Tests for L{ockam_twisted.portals.datagrams},
L{ockam_twisted.portals.datagraminlet} and
L{ockam_twisted.portals.datagramoutlet}, in memory.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import DNSLookupError
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.portals.datagraminlet import AGAIN, IN_VAIN, MAX_FLOWS, DatagramInlet
from ockam_twisted.portals.datagramoutlet import PER_PEER, DatagramOutlet
from ockam_twisted.portals.datagrams import MOST, DatagramQueue, DatagramTotals, datagramAddress, encodeDatagram
from ockam_twisted.portals.settings import StreamSettings
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.sessions.static import StaticWay
from ockam_twisted.testing import MemoryNetwork, MemoryNode
from ockam_twisted.wire.extension import Datagram, decodeExtension
from ockam_twisted.wire.portal import PING
from ockam_twisted.wire.terms import Terms, encodeTerms
from tests.decisions import decisions

CLIENT, OTHER, TARGET = ("192.0.2.7", 7000), ("192.0.2.8", 8000), ("192.0.2.9", 53)
IDLE = 60.0


class QueueTests(SynchronousTestCase):
    """
    Tests for L{DatagramQueue} and the encoding.
    """

    @given(st.lists(st.binary(max_size=30), max_size=40))
    def test_bounds(self, datagrams: list[bytes]) -> None:
        """
        There are never too many, nor too many bytes; the newest stay, in
        order, and those that do not are counted.
        """
        queue = DatagramQueue(10, 100)
        for each in datagrams:
            queue.add(each)
            self.assertLessEqual(len(queue), 10)
        dropped = queue.dropped
        left = [queue.take() for _ in range(len(queue))]
        self.assertLessEqual(sum(map(len, left)), 100)
        self.assertEqual(left, datagrams[len(datagrams) - len(left) :])
        self.assertEqual(dropped + len(left), len(datagrams))

    def test_together(self) -> None:
        """
        All queues of a portal have a bound together, and what one gives up
        others may use.
        """
        totals = DatagramTotals()
        queues = [DatagramQueue(totals=totals, allBytes=1000) for _ in range(30)]
        for _ in range(3):
            for queue in queues:
                queue.add(b"x" * 100)
                self.assertLessEqual(totals.waiting, 1000)
        self.assertEqual(sum(map(len, queues)), 10)
        for queue in queues:
            queue.clear()
        self.assertEqual(totals.waiting, 0)
        queues[0].add(b"x" * 900)
        self.assertEqual(len(queues[0]), 1)

    @given(st.binary(max_size=70_000).filter(lambda data: len(data) <= 65_507))
    def test_encode(self, data: bytes) -> None:
        """
        One is encoded as any message of the extension.
        """
        self.assertEqual(decodeExtension(encodeDatagram(data)), Datagram(data))


class Port:
    """
    A UDP socket in memory.
    """

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.sent: list[tuple[bytes, Any]] = []
        self.isOpen = True
        protocol.makeConnection(self)

    def write(self, data: bytes, addr: Any) -> None:
        self.sent.append((data, addr))

    def getHost(self) -> Any:
        return type("At", (), {"host": "127.0.0.1", "port": 5353})

    def stopListening(self) -> None:
        if self.isOpen:
            self.isOpen = False
            self.protocol.doStop()


class Sockets:
    """
    Makes them.
    """

    def __init__(self) -> None:
        self.ports: list[Port] = []

    def bindDatagrams(self, reactor: Any, protocol: Any, port: int, interface: str) -> Port:
        self.ports.append(Port(protocol))
        return self.ports[-1]


class PortalTests(SynchronousTestCase):
    """
    An inlet and an outlet, over a plain connection.
    """

    target: tuple[str, int] = TARGET

    def setUp(self) -> None:
        """
        Two nodes, and what they are for.
        """
        self.network = MemoryNetwork()
        self.here, self.there = MemoryNode(self.network, "here"), MemoryNode(self.network, "there")
        self.link = self.here.connect(self.there)
        [hop] = self.here.transport.hops
        self.ours, self.theirs = Sockets(), Sockets()
        clock: Any = self.network.clock
        clock.resolve = self.resolve
        address = Address.local(datagramAddress("outlet"))
        self.settings = StreamSettings(clock)
        self.outlet = DatagramOutlet(
            self.there.router,
            clock,
            self.theirs,  # type: ignore[arg-type]
            address,
            self.target,
            self.settings,
            idle=IDLE,
        )
        self.outlet.startService()
        self.addCleanup(self.outlet.stopService)
        self.there.router.flowControls.addConsumer(address, self.there.transport.listenerId)
        way = StaticWay(Route((hop.address, Address.local("outlet"))))
        self.inlet = DatagramInlet(self.here.router, clock, self.ours, way, bytes(16), IDLE)  # type: ignore[arg-type]
        self.port = self.inlet.listen(5353)
        self.inlet.startService()
        self.addCleanup(self.inlet.stopService)

    def resolve(self, host: str) -> Deferred[str]:
        """
        A name server.
        """
        return succeed(TARGET[0]) if host == "target.example" else fail(DNSLookupError())

    def says(self, data: bytes, client: Any = CLIENT) -> None:
        """
        A client sends something.
        """
        self.inlet.datagramReceived(data, client)
        self.network.pump()

    def answers(self, data: bytes, number: int = 0, source: Any = TARGET) -> None:
        """
        Something comes to the socket of a flow at the outlet.
        """
        self.theirs.ports[number].protocol.datagramReceived(data, source)
        self.network.pump()

    def test_flow(self) -> None:
        """
        Datagrams go to the target, and its answers to whoever has asked.
        """
        self.says(b"one")
        self.says(b"")
        self.says(b"x" * 65_507, OTHER)
        self.assertEqual(
            [port.sent for port in self.theirs.ports], [[(b"one", TARGET), (b"", TARGET)], [(b"x" * 65_507, TARGET)]]
        )
        self.answers(b"first")
        self.answers(b"second", 1)
        self.assertEqual(self.port.sent, [(b"first", CLIENT), (b"second", OTHER)])
        self.assertEqual((self.inlet.totals.sent, self.inlet.totals.received, self.inlet.totals.opened), (3, 2, 2))

    def test_stranger(self) -> None:
        """
        What does not come from the target is no answer.
        """
        self.says(b"one")
        self.answers(b"forged", source=OTHER)
        self.assertEqual(self.port.sent, [])

    def test_idle(self) -> None:
        """
        A flow without datagrams ends at both ends; one that has some, either
        way, does not.
        """
        self.says(b"one")
        self.says(b"two", OTHER)
        for _ in range(8):
            self.network.advance(IDLE / 4)
            self.answers(b"still", 1)
        self.assertEqual((list(self.inlet.flows), len(self.outlet.flows)), ([OTHER], 1))
        self.assertEqual([port.isOpen for port in self.theirs.ports], [False, True])

    def test_stopped(self) -> None:
        """
        When the inlet is stopped the outlet has nothing left of it.
        """
        self.says(b"one")
        self.inlet.stopService()
        self.network.pump()
        self.assertEqual((self.outlet.flows, self.theirs.ports[0].isOpen, self.port.isOpen), (set(), False, False))
        self.assertEqual(dict(self.outlet._perPeer), {})

    def test_outletStopped(self) -> None:
        """
        When the outlet is stopped the inlet asks until there is one again.
        """
        self.says(b"one")
        self.outlet.stopService()
        self.network.pump()
        self.says(b"two")
        self.assertEqual(len(self.theirs.ports), 1)
        self.outlet.startService()
        self.there.router.flowControls.addConsumer(self.outlet.address, self.there.transport.listenerId)
        self.network.advance(AGAIN)
        self.assertEqual(self.theirs.ports[1].sent, [(b"two", TARGET)])

    def test_noOutlet(self) -> None:
        """
        Without an outlet a flow keeps a few datagrams, and after a while that
        is told.
        """
        self.outlet.stopService()
        told: list[bool] = []
        self.patch(self.inlet, "refused", lambda: told.append(True))
        for number in range(MOST + 10):
            self.says(str(number).encode())
        self.network.advance(AGAIN * (IN_VAIN + 1))
        self.assertTrue(told)
        self.assertEqual(self.inlet.totals.dropped, 10)

    def test_askedAgain(self) -> None:
        """
        Who asks again before the answer is there has one flow.
        """
        self.says(b"one")
        [flow] = self.inlet.flows.values()
        with self.here.router.turn:
            flow.ask(self.inlet.way.route)  # type: ignore[arg-type]
        self.network.pump()
        self.assertEqual((len(self.outlet.flows), len(self.theirs.ports)), (1, 1))
        self.says(b"two")
        self.assertEqual(self.theirs.ports[0].sent, [(b"one", TARGET), (b"two", TARGET)])

    def test_otherWay(self) -> None:
        """
        When there is another way the flow begins anew, and nothing is left of
        the old one.
        """
        self.says(b"one")
        with self.here.router.turn:
            self.inlet._wayChanged(self.inlet.way.route)
        self.network.pump()
        self.says(b"two")
        self.assertEqual([port.isOpen for port in self.theirs.ports], [False, True])
        self.assertEqual((len(self.outlet.flows), len(self.outlet._known)), (1, 1))
        self.assertEqual(self.theirs.ports[1].sent, [(b"two", TARGET)])

    def test_limits(self) -> None:
        """
        There are only so many flows, of one peer, and of clients.
        """
        for number in range(PER_PEER + 5):
            self.inlet.datagramReceived(b"x", ("192.0.2.1", number))
        self.network.pump()
        self.assertEqual(len(self.outlet.flows), PER_PEER)
        for number in range(MAX_FLOWS + 5):
            self.inlet.datagramReceived(b"x", ("192.0.2.2", number))
        self.assertEqual(len(self.inlet.flows), MAX_FLOWS)

    def test_drain(self) -> None:
        """
        An outlet that is about to stop takes no new flows, and those that are
        there go on.
        """
        self.says(b"one")
        self.outlet.drain()
        self.says(b"two", OTHER)
        self.says(b"three")
        self.assertEqual([port.sent for port in self.theirs.ports], [[(b"one", TARGET), (b"three", TARGET)]])
        self.outlet.goOn()
        self.network.advance(AGAIN)
        self.assertEqual(len(self.outlet.flows), 2)

    def test_denied(self) -> None:
        """
        Who is not admitted, or not any more, has no flow; each decision is told.
        """

        class Nobody:
            def refusal(self, peer: Any) -> str:
                return "for a reason"

        made = decisions(self)
        self.settings.tells = True
        self.says(b"one")
        self.outlet.admit(Nobody())  # type: ignore[arg-type]
        self.network.pump()
        self.assertEqual(self.outlet.flows, set())
        self.says(b"two")
        self.network.advance(AGAIN)
        self.assertEqual((len(self.theirs.ports), self.outlet.flows), (1, set()))
        self.assertEqual(
            [each[:2] for each in made[:3]],
            [("stream-allowed", "allowed"), ("stream-denied", "refused"), ("stream-denied", "refused")],
        )

    def test_pings(self) -> None:
        """
        An inlet that knows no datagrams is told that there is nothing for it;
        what is no Ping is not heard.
        """
        [hop] = self.here.transport.hops
        inbox = self.here.inbox("me")
        to = Route((hop.address, self.outlet.address))
        for message in (PING, encodeTerms(PING, Terms(15, 0, bytes(16))), b"", b"\x09x", PING + b"otw1\xff"):
            self.here.send(to, message, inbox)
        self.network.pump()
        self.assertEqual(len(inbox.payloads), 6)
        self.assertEqual(self.outlet.flows, set())


class NameTests(PortalTests):
    """
    The same with a target that has a name.
    """

    target = ("target.example", 53)


class NoNameTests(SynchronousTestCase):
    """
    A target whose name means nothing.
    """

    def test_unknown(self) -> None:
        """
        There is no flow, and nothing is left of it.
        """
        test = PortalTests("test_flow")
        test.target = ("nowhere.invalid", 53)
        test.setUp()
        test.says(b"one")
        self.assertEqual((test.outlet.flows, test.theirs.ports), (set(), []))
        test.inlet.stopService()
        test.outlet.stopService()
