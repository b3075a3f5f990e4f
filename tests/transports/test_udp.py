"""
Tests for L{ockam_twisted.transports.udp} and
L{ockam_twisted.transports.datagrams}, in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.transports import udp
from ockam_twisted.transports.datagrams import UDPSocket, enlarge
from ockam_twisted.transports.factory import MessageFactory, MessageStreamFactory
from ockam_twisted.transports.udp import IDLE, SLACK, STRANGERS, UNPROVEN
from ockam_twisted.wire.codecs import CBOR, DATAGRAMS
from ockam_twisted.wire.datagrams import split
from tests.transports.test_stream import APP, FlowSink, Node

HERE = ("192.0.2.1", 4000)


def datagram(onward: list[Any], back: list[Any], number: int = 1) -> bytes:
    """
    A message in one datagram.
    """
    [made] = split(number, CBOR.prefix(onward, back) + CBOR.head(1) + b"x" + CBOR.tail)
    return made


class Port:
    """
    A UDP port in memory.
    """

    def __init__(self, network: Network, protocol: Any, at: tuple[str, int]) -> None:
        self.network, self.protocol, self.at = network, protocol, at
        self.to: Any = None
        network.ports[at] = self
        protocol.makeConnection(self)

    def connect(self, host: str, port: int) -> None:
        self.to = (host, port)

    def write(self, data: bytes, addr: Any = None) -> None:
        self.network.sent.append((self.at, addr or self.to, data))

    def getHost(self) -> Any:
        return self.at

    def stopListening(self) -> None:
        if self.network.ports.pop(self.at, None) is not None:
            self.protocol.doStop()


class Network(Clock):
    """
    A reactor with UDP, and nothing between its ports.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ports: dict[Any, Port] = {}
        self.sent: list[Any] = []

    def listenUDP(self, port: int, protocol: Any, interface: str = "") -> Port:
        """
        See C{IReactorUDP}.
        """
        return Port(self, protocol, ("192.0.2.1", port) if port else ("192.0.2.2", 50_000 + len(self.ports)))

    def deliver(self, loses: Any = lambda data: False) -> None:
        """
        Bring what was sent, and what is sent then.
        """
        while self.sent:
            source, to, data = self.sent.pop(0)
            if to in self.ports and not loses(data):
                self.ports[to].protocol.datagramReceived(data, source)


class UDPTests(SynchronousTestCase):
    """
    A node that listens, and others.
    """

    def setUp(self) -> None:
        """
        It listens.
        """
        self.network = Network()
        self.node = Node()
        self.node.settings.clock = self.network
        self.servers = MessageFactory(self.node.settings, DATAGRAMS, "listener")
        self.port = self.successResultOf(udp.serverEndpoint(self.network, "udp", "4000").listen(self.servers))

    def client(self) -> tuple[Node, Any]:
        """
        One that sends to it.
        """
        node = Node()
        endpoint = udp.clientEndpoint(self.network, udp.components("udp", "192.0.2.1:4000"))
        return node, self.successResultOf(endpoint.connect(MessageFactory(node.settings, DATAGRAMS)))

    def send(self, node: Node, hop: Any, payload: bytes) -> None:
        """
        Send a message to the application at the other end.
        """
        node.router.route(LocalMessage(Route((hop.address, APP)), Route((APP,)), payload), APP)

    def introduced(self) -> tuple[Node, Any, Any]:
        """
        One that sends to it, has heard it, and says so.

        @return: The node, its hop, and the hop at the other end.
        """
        node, hop = self.client()
        node.router.flowControls.addConsumer(APP, hop.flowId)
        before = set(self.servers.hops)
        self.send(node, hop, b"hello")
        self.network.deliver()
        [other] = self.servers.hops - before
        self.node.router.flowControls.addConsumer(APP, other.flowId)
        self.send(self.node, other, b"who are you?")
        self.network.deliver()
        [question] = node.app.messages
        node.router.route(LocalMessage(question.return_route, Route((APP,)), b"me"), APP)
        self.network.deliver()
        return node, hop, other

    def forge(self, count: int, *, before: float = 0.0, onward: Any = ((0, b"app"),)) -> None:
        """
        Messages come from so many addresses, of which nobody hears what is sent there.
        """
        at = self.network.ports[HERE].protocol
        for number in range(count):
            self.network.advance(before)
            at.datagramReceived(datagram(onward, [(0, b"x")]), (f"10.0.{number >> 8}.{number & 255}", 1000))

    def test_messages(self) -> None:
        """
        Messages of all sizes go there and back; on either side the connection
        is known to lose some.
        """
        node, hop = self.client()
        self.send(node, hop, b"first")
        self.network.deliver()
        [other] = self.servers.hops
        self.node.router.flowControls.addConsumer(APP, other.flowId)
        node.router.flowControls.addConsumer(APP, hop.flowId)
        sent = [b"x" * size for size in (0, 1, 480, 500, 70_000)]
        for payload in sent:
            self.send(node, hop, payload)
            self.send(self.node, other, payload)
        self.network.deliver()
        for each in (node, self.node):
            self.assertEqual([bytes(message.payload) for message in each.app.messages], sent)
        self.assertFalse(node.router.peers.isOrdered(Route((hop.address, APP))))
        self.assertFalse(self.node.router.peers.isOrdered(Route((other.address, APP))))

    def test_lost(self) -> None:
        """
        A message of which a part is lost does not arrive; others do.
        """
        node, hop = self.client()
        self.send(node, hop, b"first")
        self.network.deliver()
        [other] = self.servers.hops
        self.node.router.flowControls.addConsumer(APP, other.flowId)
        count = 0

        def loses(data: bytes) -> bool:
            nonlocal count
            count += 1
            return count == 2

        for number in range(3):
            self.send(node, hop, bytes([number]) * 400)
        self.network.deliver(loses)
        self.assertEqual([bytes(each.payload[:1]) for each in self.node.app.messages], [b"\0", b"\2"])

    def test_idle(self) -> None:
        """
        Who is silent for long is forgotten; who is not, is not.
        """
        node, hop = self.client()
        other, otherHop = self.client()
        for _ in range(6):
            self.send(node, hop, b"x")
            if _ == 0:
                self.send(other, otherHop, b"x")
            self.network.deliver()
            self.network.advance(IDLE / 4)
        self.network.advance(IDLE / 4)
        self.assertEqual(len(self.servers.hops), 1)
        hop.loseConnection()
        self.network.advance(IDLE)
        self.network.advance(IDLE)
        self.assertEqual(self.servers.hops, set())
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_strangers(self) -> None:
        """
        Who sends no whole message costs little, however many there are, and
        what is none makes no connection.
        """
        for number in range(1000):
            for datagram in (next(split(1, bytes(5000))), b"\xff" * 100, next(split(2, b"no message"))):
                self.network.ports[HERE].protocol.datagramReceived(datagram, (f"198.51.100.{number % 256}", number))
        self.assertLessEqual(len(self.network.ports[HERE].protocol._strangers), STRANGERS)
        self.assertEqual(self.servers.hops, set())

    def test_costly(self) -> None:
        """
        Those who have proven nothing take a tenth of the time together at
        most, whatever addresses they use; who has is heard all the same.
        """

        class Slow:
            count = 0

            def messageReceived(it, message: Any) -> None:
                it.count += 1
                self.network.advance(0.01)

        slow = Slow()
        self.node.router.unregister(APP)
        self.node.router.register(APP, slow)
        self.node.router.flowControls.addConsumer(APP, "listener")
        at = self.network.ports[HERE].protocol
        first = datagram([(0, b"app")], [(0, b"x")])
        patched = MessageFactory.buildProtocol

        def build(factory: Any, addr: Any) -> Any:
            hop = patched(factory, addr)
            if hop is not None:
                self.node.router.flowControls.addConsumer(APP, hop.flowId)
            return hop

        self.patch(MessageFactory, "buildProtocol", build)
        for number in range(1000):
            at.datagramReceived(first, (f"198.51.100.{number % 250}", number))
            self.network.advance(0.001)
        self.assertGreater(slow.count, 5)
        self.assertLess(slow.count * 0.01, 0.15 * self.network.seconds() + SLACK / 9)
        peer = next(iter(at.peers.values()))
        peer.isProven = True
        before = slow.count
        at.datagramReceived(datagram([(0, b"app")], [(0, b"x")], 9), next(iter(at.peers)))
        self.assertEqual(slow.count, before + 1)

    def test_tooMany(self) -> None:
        """
        There are no more from one address than may be, and no more in all; who is one
        too many is let go once he is known to hear us.
        """
        self.node.settings.perAddress = 3
        hops = [self.introduced()[2] for _ in range(5)]
        self.assertEqual(self.servers.hops, set(hops[:3]))
        self.assertEqual(len(self.network.ports[HERE].protocol.peers), 3)
        self.node.settings.perAddress, self.node.settings.total = 100, 4
        self.assertIn(self.introduced()[2], self.servers.hops)
        self.assertNotIn(self.introduced()[2], self.servers.hops)

    def test_forged(self) -> None:
        """
        However many addresses somebody makes up, who has proven to be at his is served, and
        other transports have their room.
        """
        self.node.settings.total = 3
        node, hop, other = self.introduced()
        self.forge(3 * UNPROVEN)
        self.assertEqual(len(self.servers.hops), UNPROVEN + 1)
        self.assertEqual(len(self.network.ports[HERE].protocol.peers), UNPROVEN + 1)
        self.send(node, hop, b"still here")
        self.network.deliver()
        self.assertEqual(bytes(self.node.app.messages[-1].payload), b"still here")
        self.assertIn(other, self.servers.hops)
        streams = MessageStreamFactory(self.node.settings, "listener", self.servers.census)
        self.assertIsNotNone(streams.buildProtocol(IPv4Address("TCP", "192.0.2.9", 1)))
        self.assertIn(self.introduced()[2], self.servers.hops)
        self.assertIsNone(streams.buildProtocol(IPv4Address("TCP", "192.0.2.9", 2)))

    def test_oldest(self) -> None:
        """
        Of those who have proven nothing the oldest has to go, and not one who has just
        come.
        """
        node, hop = self.client()
        self.send(node, hop, b"x")
        self.network.deliver()
        self.forge(UNPROVEN - 1)
        [first] = [each for each in self.servers.hops if each.peer.startswith("192.0.2.2")]
        self.assertNoResult(first.whenLost())
        self.forge(UNPROVEN)
        self.successResultOf(first.whenLost())
        newest = f"10.0.{UNPROVEN - 1 >> 8}.{UNPROVEN - 1 & 255}:1000"
        self.assertIn(newest, {each.peer for each in self.servers.hops})

    def test_heartbeats(self) -> None:
        """
        What is for nobody makes no connection, however much comes of it, and is not
        answered; where there is one it is a sign of life.
        """
        self.forge(5000, onward=())
        at = self.network.ports[HERE].protocol
        self.assertEqual((self.servers.hops, at.peers, at._strangers, self.network.sent), (set(), {}, {}, []))
        _, _, other = self.introduced()
        for number in range(8):
            at.datagramReceived(datagram([], [], number), ("192.0.2.2", 50_001))
            self.network.advance(IDLE / 4)
        self.assertEqual(self.servers.hops, {other})

    def test_unheard(self) -> None:
        """
        Messages that anybody could have sent prove nothing, wherever they lead, and neither
        does what was told to somebody else.
        """
        straight = FlowSink()
        name = (0, b"forward_to_db")
        self.node.router.register(Address.local("forward_to_db"), straight)
        self.node.router.flowControls.addConsumer(Address.local("forward_to_db"), "listener")
        node, _, other = self.introduced()
        told = node.app.messages[0].return_route[1]
        at = self.network.ports[HERE].protocol
        place = ("198.51.100.1", 1)
        for number, onward in enumerate(([name], [name], [name], [told, name], [(0, other.address.value), name])):
            at.datagramReceived(datagram(onward, [(0, b"x")], number), place)
        self.assertEqual(len(straight.messages), 3)
        self.assertFalse(at.peers[place].isProven)
        self.assertEqual(self.servers.census.counted, 1)

    def test_making(self) -> None:
        """
        The time that it takes to make connections is spent on those who have proven
        nothing, too.
        """
        made = 0
        build = self.servers.buildProtocol

        def slow(addr: Any) -> Any:
            nonlocal made
            made += 1
            self.network.advance(0.01)
            return build(addr)

        self.patch(self.servers, "buildProtocol", slow)
        self.forge(1000, before=0.001)
        self.assertGreater(made, 5)
        self.assertLess(made * 0.01, 0.15 * self.network.seconds() + SLACK / 9)

    def test_nobody(self) -> None:
        """
        Where nobody listens the kernel says so, and the connection is lost.
        """
        _, hop = self.client()
        [at] = [port for port in self.network.ports.values() if port.to]
        at.protocol.connectionRefused()
        self.assertIn("refused", self.successResultOf(hop.whenLost()))
        self.assertNotIn(at.at, self.network.ports)

    def test_stop(self) -> None:
        """
        Who stops listening has nobody any more.
        """
        node, hop = self.client()
        self.send(node, hop, b"x")
        self.network.deliver()
        [other] = self.servers.hops
        self.port.stopListening()
        self.assertEqual(self.servers.hops, set())
        self.assertTrue(self.successResultOf(other.whenLost()))

    def test_strings(self) -> None:
        """
        What an endpoint string says a MultiAddr can say, too.
        """
        self.assertEqual(udp.components("udp", r"[\:\:1]:1"), (("ip6", "::1"), ("udp", 1)))
        for text in ("a", "a:0", "a:1:b", "a:1:b=c"):
            self.assertRaises(ValueError, udp.components, "udp", text)
        self.assertRaises(ValueError, udp.serverEndpoint, self.network, "udp", "x")


class SocketTests(SynchronousTestCase):
    """
    Of sockets themselves.
    """

    def test_room(self) -> None:
        """
        The kernel is asked for room, and may refuse.
        """
        asked: list[int] = []

        class Handle:
            def setsockopt(self, level: int, option: int, value: int) -> None:
                asked.append(value)
                raise OSError

        enlarge(Handle())
        self.assertGreater(len(asked), 3)

    def test_full(self) -> None:
        """
        What the kernel does not take is lost, and nothing else happens.
        """

        class Full(Port):
            def write(self, data: bytes, addr: Any = None) -> None:
                raise BlockingIOError

        network = Network()
        socket = UDPSocket(network)
        Full(network, socket, HERE)
        socket.send(b"x", HERE)
