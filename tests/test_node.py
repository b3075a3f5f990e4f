"""
Tests of L{ockam_twisted.node}: whole nodes on reactors in memory.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ockam_twisted.errors import AddressTaken, ConfigurationError, LocalProtocolError, PeerNotTrusted, TimedOut
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.interfaces import INodeStatus
from ockam_twisted.memory import MemoryWay
from ockam_twisted.node import Node
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.services.requests import requestRaw
from ockam_twisted.storage.memory import MemoryStore
from ockam_twisted.testing import Inbox
from ockam_twisted.wire import bare
from tests.memory_reactor import MemoryReactor

T = TypeVar("T")

HELLO = bare.string("hello")


class Echo(Protocol):
    """
    A target that says what it hears, in capitals.
    """

    def dataReceived(self, data: bytes) -> None:
        """
        Say it.
        """
        assert self.transport is not None
        self.transport.write(data.upper())


class Client(Protocol):
    """
    A client that keeps what it hears.
    """

    def __init__(self) -> None:
        self.got = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        """
        Keep it.
        """
        self.got += data

    def connectionLost(self, reason: Any = None) -> None:
        """
        That was all.
        """
        self.lost = True


class NodeTestCase(SynchronousTestCase):
    """
    Nodes that share a reactor in memory, and so a network.
    """

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactor()
        self.network = self.reactor.network

    def run_(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """
        Drive a coroutine to its end.
        """
        result: T = self.network.result(Deferred.fromCoroutine(coroutine))
        return result

    def node(self, name: str = "node") -> Node:
        """
        A node that runs.
        """
        node: Node = self.run_(Node.create(self.reactor, name=name))
        self.addCleanup(self.stop, node)
        return node

    def stop(self, node: Node) -> None:
        """
        Stop a node, and wait for what drains.
        """
        stopped: list[object] = []
        node.stopService().addBoth(stopped.append)
        self.network.advance(3)
        self.assertEqual(stopped, [None])

    def client(self, port: int) -> Client:
        """
        A client of a port.
        """
        client = Client()
        self.reactor.connectTCP("127.0.0.1", port, _Once(client))
        self.network.pump()
        return client

    def serve(self, port: int) -> None:
        """
        A target.
        """
        self.reactor.listenTCP(port, Factory.forProtocol(Echo), interface="127.0.0.1")

    def says(self, client: Client, text: bytes = b"hello") -> bytes:
        """
        Say something, and hear.
        """
        client.got = b""
        assert client.transport is not None
        client.transport.write(text)
        self.network.pump()
        return client.got


class _Once(Factory):
    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def startedConnecting(self, connector: object) -> None:
        """
        See C{ClientFactory}.
        """

    def buildProtocol(self, addr: object) -> Protocol:
        return self._protocol


class LifeTests(NodeTestCase):
    """
    Making, starting and stopping.
    """

    def test_create(self) -> None:
        """
        A node has an identity and runs; it keeps both where its store is
        kept.
        """
        store = MemoryStore()
        first = self.run_(Node.create(self.reactor, store))
        self.assertTrue(first.running)
        self.stop(first)
        self.assertFalse(first.running)
        second = self.run_(Node.create(self.reactor, store))
        self.assertEqual(second.identifier, first.identifier)
        self.assertNotEqual(self.node().identifier, first.identifier)
        self.stop(second)

    def test_noIdentity(self) -> None:
        """
        What needs an identity says so before there is one.
        """
        node = Node(self.reactor)
        self.assertRaises(LocalProtocolError, node.requireParty)
        self.assertRaises(LocalProtocolError, node.createSecureChannelListener, TrustEveryone())
        self.assertEqual(node.status().identifier, "")

    def test_portsAreClosed(self) -> None:
        """
        What listens is closed by a stop, whether the node runs or not, and
        another stop does nothing.
        """
        for runs in (True, False):
            node = Node(self.reactor)
            self.run_(node.loadIdentity())
            self.network.result(node.listen("4000"))
            self.run_(node.createInlet("4001", "outlet"))
            if runs:
                node.startService()
            self.assertEqual(set(self.network.ports), {"127.0.0.1:4000", "127.0.0.1:4001"})
            self.stop(node)
            self.assertEqual(self.network.ports, {})
            self.stop(node)

    def test_order(self) -> None:
        """
        Services stop in the reverse order, each after the one before.
        """
        node = self.node()
        order: list[str] = []
        waiting: Deferred[None] = Deferred()

        class Slow(Service):
            def stopService(self) -> Deferred[None]:
                order.append("slow")
                return waiting

        class First(Service):
            def stopService(self) -> None:
                order.append("first")

        First().setServiceParent(node)
        Slow().setServiceParent(node)
        stopped = node.stopService()
        self.assertEqual(order, ["slow"])
        self.assertNoResult(stopped)
        waiting.callback(None)
        self.assertEqual(order, ["slow", "first"])
        self.successResultOf(stopped)

    def test_oneFails(self) -> None:
        """
        What cannot be stopped is logged, and the rest is stopped.
        """
        node = self.node()
        self.network.result(node.listen("4000"))

        class Bad(Service):
            def stopService(self) -> None:
                raise RuntimeError("no")

        Bad().setServiceParent(node)
        self.stop(node)
        self.assertEqual(self.network.ports, {})
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_status(self) -> None:
        """
        The status shows who it is, where it listens, its ways and its
        streams.
        """
        node = self.node("web")
        self.network.result(node.listen("4000"))
        self.serve(5000)
        node.createOutlet("outlet", "127.0.0.1:5000")
        self.run_(node.createInlet("4001", "outlet"))
        node.createWay("/ip4/127.0.0.1/tcp/9/secure/api/service/outlet", trust=TrustEveryone())
        client = self.client(4001)
        status = node.status()
        self.assertTrue(verifyObject(INodeStatus, status))
        self.assertEqual(status.name, "web")
        self.assertEqual(status.identifier, str(node.identifier))
        self.assertEqual(status.listeners, ("4000",))
        [session] = status.sessions
        self.assertEqual((session.label, session.state, session.inUse), ("way to the outlet", "waiting", False))
        self.assertIn("refused", session.why)
        self.assertGreater(session.nextTry, 0)
        # Both ends of it are in this node.
        self.assertEqual(status.streams, 2)
        assert client.transport is not None
        client.transport.loseConnection()
        self.network.pump()
        self.assertEqual(node.status().streams, 0)

    def test_listenFails(self) -> None:
        """
        A port in use, and a text that is no place to listen, leave no trace
        in the status.
        """
        node = self.node()
        self.reactor.taken.add(4000)
        self.failureResultOf(node.listen("4000"), CannotListenError)
        self.assertRaises(ConfigurationError, node.listen, "a b")
        self.assertEqual(node.status().listeners, ())


class WorkerTests(NodeTestCase):
    """
    Workers.
    """

    def ask(self, node: Node, *hops: Any) -> Deferred[bytes]:
        """
        Send a request.
        """
        return requestRaw(node.router, self.reactor, Route.of(*hops), HELLO, 5)

    def test_echo(self) -> None:
        """
        Every node has an echo worker; the others are there on request.
        """
        node = self.node()
        self.assertEqual(self.network.result(self.ask(node, "echo")), HELLO)
        for name in ("uppercase", "hop"):
            self.assertIsNone(node.router.worker(Address.local(name)))
        node.startUppercase()
        node.startHop()
        self.assertIsNotNone(node.router.worker(Address.local("hop")))
        self.stop(node)
        for name in ("echo", "uppercase", "hop"):
            self.assertIsNone(node.router.worker(Address.local(name)))

    def test_reachable(self) -> None:
        """
        Peers reach only what they are permitted to.
        """
        server, client = self.node(), self.node()
        self.network.result(server.listen("4000"))
        route = self.run_(client.connect("127.0.0.1:4000"))
        server.startUppercase()
        unheard = self.ask(client, *route, "uppercase")
        self.network.pump()
        self.assertNoResult(unheard)
        server.makeReachable("uppercase", [server.transport.listenerId])
        self.assertEqual(self.network.result(self.ask(client, *route, "uppercase")), bare.string("HELLO"))
        self.network.advance(6)
        self.failureResultOf(unheard, TimedOut)

    def test_addWorker(self) -> None:
        """
        Any worker can be added, under a name that is free.
        """
        node = self.node()
        got: list[bytes] = []

        class Worker:
            def messageReceived(self, message: LocalMessage) -> None:
                got.append(message.payload)

        worker: Any = Worker()
        node.addWorker("mine", worker)
        inbox = Inbox(node.router, Address.local("inbox"))
        with node.router.turn:
            node.router.route(LocalMessage(Route.of("mine"), Route((inbox.address,)), b"x"), inbox.address)
        self.assertEqual(got, [b"x"])
        self.assertRaises(AddressTaken, node.addWorker, "mine", worker)
        self.stop(node)
        self.assertIsNone(node.router.worker(Address.local("mine")))

    def test_takenOutlet(self) -> None:
        """
        An outlet at a taken address is refused, and neither it nor its end
        touches the worker that is there.
        """
        node = self.node()
        services = list(node)
        self.assertRaises(AddressTaken, node.createOutlet, "echo", "127.0.0.1:5000")
        self.assertEqual(list(node), services)
        self.assertEqual(node.status().streams, 0)
        self.assertEqual(self.network.result(self.ask(node, "echo")), HELLO)


class ChannelTests(NodeTestCase):
    """
    Secure channels.
    """

    def setUp(self) -> None:
        super().setUp()
        self.server, self.other = self.node("server"), self.node("client")
        self.network.result(self.server.listen("4000"))
        self.road = self.run_(self.other.connect("127.0.0.1:4000"))

    def test_channel(self) -> None:
        """
        Both sides know each other, at both addresses that peers look for, and
        echo answers inside.
        """
        self.server.createSecureChannelListener(TrustEveryone())
        for name in ("api", "secure_channel_listener"):
            made = self.other.createSecureChannel(self.road.append(Address.local(name)), [str(self.server.identifier)])
            channel = self.network.result(made)
            self.assertEqual(channel.peerIdentifier, self.server.identifier)
            route = Route((channel.encryptor, Address.local("echo")))
            asked = requestRaw(self.other.router, self.reactor, route, b"inside", 5)
            self.assertEqual(self.network.result(asked), b"inside")

    def test_names(self) -> None:
        """
        The addresses may come from an iterator.
        """
        self.server.createSecureChannelListener(TrustEveryone(), addresses=iter(["mine"]))
        made = self.other.createSecureChannel([*self.road, "mine"], trust=TrustEveryone())
        self.assertEqual(self.network.result(made).peerIdentifier, self.server.identifier)

    def test_unreachable(self) -> None:
        """
        A listener that nobody is to reach over TCP is not reached.
        """
        self.server.createSecureChannelListener(TrustEveryone(), consumerOf=())
        made = self.other.createSecureChannel([*self.road, "api"], trust=TrustEveryone())
        self.network.pump()
        self.assertNoResult(made)
        self.network.advance(11)
        self.failureResultOf(made)

    def test_notTrusted(self) -> None:
        """
        Whoever is not listed is refused, and nobody is trusted by default.
        """
        self.server.createSecureChannelListener(TrustEveryone())
        route = [*self.road, "api"]
        self.assertRaises(LocalProtocolError, self.other.createSecureChannel, route)
        made = self.other.createSecureChannel(route, ["I" + "0" * 64])
        self.network.pump()
        self.failureResultOf(made, PeerNotTrusted)


class PortalTests(NodeTestCase):
    """
    Outlets, inlets, ways and relays.
    """

    def test_targets(self) -> None:
        """
        An outlet takes text, an endpoint or a target.
        """
        from twisted.internet.endpoints import TCP4ClientEndpoint

        from ockam_twisted.portals.transport import FactoryTarget

        node = self.node()
        self.serve(5000)
        targets: dict[str, Any] = {
            "text": "127.0.0.1:5000",
            "endpoint": TCP4ClientEndpoint(self.reactor, "127.0.0.1", 5000),
            "target": FactoryTarget(node.router, self.reactor, Factory.forProtocol(Echo), "here"),
        }
        for port, (name, target) in enumerate(targets.items(), 4001):
            node.createOutlet(name, target)
            self.run_(node.createInlet(str(port), name))
            self.assertEqual(self.says(self.client(port)), b"HELLO", name)

    def test_noTarget(self) -> None:
        """
        A text that is no target is refused before anything is there.
        """
        node = self.node()
        self.assertRaises(ConfigurationError, node.createOutlet, "outlet", "nonsense")
        self.assertIsNone(node.router.worker(Address.local("outlet")))

    def test_inletPortTaken(self) -> None:
        """
        An inlet that cannot listen is no part of the node.
        """
        node = self.node()
        services = list(node)
        self.reactor.taken.add(4001)
        self.assertRaises(CannotListenError, self.run_, node.createInlet("4001", "outlet"))
        self.assertRaises(ConfigurationError, self.run_, node.createInlet("a b", "outlet"))
        self.assertEqual(list(node), services)

    def test_inletOverAWay(self) -> None:
        """
        An inlet over a way that comes up later holds its clients until then.
        """
        node = self.node()
        self.serve(5000)
        node.createOutlet("outlet", "127.0.0.1:5000")
        way = MemoryWay()
        self.run_(node.createInlet("4001", way))
        client = self.client(4001)
        assert client.transport is not None
        client.transport.write(b"early")
        self.network.pump()
        self.assertEqual(client.got, b"")
        way.change(Route.of("outlet"))
        self.network.pump()
        self.assertEqual(client.got, b"EARLY")

    def test_patience(self) -> None:
        """
        A client is held as long as was said.
        """
        node = self.node()
        self.run_(node.createInlet("4001", MemoryWay(), 2.0))
        client = self.client(4001)
        self.network.advance(1.5)
        self.assertFalse(client.lost)
        self.network.advance(1)
        self.assertTrue(client.lost)

    def test_way(self) -> None:
        """
        A way is kept alive to who is authorized.
        """
        server, node = self.node(), self.node()
        self.serve(5000)
        self.network.result(server.listen("4000"))
        listener = server.createSecureChannelListener(TrustEveryone())
        server.createOutlet("outlet", "127.0.0.1:5000", [listener.flowId])
        to = "/ip4/127.0.0.1/tcp/4000/secure/api/service/outlet"
        way = node.createWay(to, [str(server.identifier)])
        self.network.pump()
        self.run_(node.createInlet("4001", way))
        self.assertEqual(self.says(self.client(4001)), b"HELLO")
        stranger = node.createWay(to, ["I" + "0" * 64])
        self.network.advance(5)
        self.assertIsNone(stranger.route)
        self.assertIn(str(server.identifier), stranger.why)

    def test_wayWithoutChannel(self) -> None:
        """
        A way where nobody would prove anything is made only for those who
        trust everyone.
        """
        node = self.node()
        to = "/ip4/127.0.0.1/tcp/4000/service/outlet"
        self.assertRaises(LocalProtocolError, node.createWay, to, [str(node.identifier)])
        self.assertRaises(LocalProtocolError, node.createWay, to)
        self.assertEqual(node.status().sessions, ())
        node.createWay(to, trust=TrustEveryone())
        self.network.pump()
        self.assertEqual(len(node.status().sessions), 1)

    def relay(self, **options: Any) -> Node:
        """
        A node that relays.
        """
        relay = self.node("relay")
        self.network.result(relay.listen("4000"))
        relay.createRelayService(**options)
        return relay

    def test_relay(self) -> None:
        """
        What is registered at a relay is reached through it, and only what was
        said.
        """
        relay, private, client = self.relay(), self.node(), self.node()
        private.startUppercase()
        road = self.run_(private.connect("127.0.0.1:4000"))
        registration = self.run_(private.createRelay(road, reachable=["uppercase"]))
        self.assertIsNotNone(relay.router.worker(registration.address))
        there = self.run_(client.connect("127.0.0.1:4000")).append(registration.address)
        asked = requestRaw(client.router, self.reactor, there.append(Address.local("uppercase")), HELLO, 5)
        self.assertEqual(self.network.result(asked), bare.string("HELLO"))
        hidden = requestRaw(client.router, self.reactor, there.append(Address.local("echo")), b"hello", 5)
        self.network.advance(6)
        self.failureResultOf(hidden, TimedOut)

    def test_relayForSome(self) -> None:
        """
        A relay for some refuses who does not prove to be one of them.
        """
        self.relay(authorized=["I" + "0" * 64])
        private = self.node()
        road = self.run_(private.connect("127.0.0.1:4000"))
        registering = Deferred.fromCoroutine(private.createRelay(road, "blue"))
        self.network.advance(11)
        self.failureResultOf(registering)

    def test_relayNotOverTCP(self) -> None:
        """
        A relay that is a consumer of nothing is not reached.
        """
        self.relay(consumerOf=())
        private = self.node()
        road = self.run_(private.connect("127.0.0.1:4000"))
        registering = Deferred.fromCoroutine(private.createRelay(road, "blue"))
        self.network.advance(11)
        self.failureResultOf(registering)

    def test_endpoints(self) -> None:
        """
        Endpoints do where text does.
        """
        server, client = self.node(), self.node()
        self.network.result(server.listen(self.network.endpoint("somewhere")))
        route = self.run_(client.connect(self.network.endpoint("somewhere")))
        self.assertEqual(len(route), 1)
        self.assertEqual(len(server.status().listeners), 1)


class StoreTests(NodeTestCase):
    """
    A store that fails.
    """

    def test_cannotStore(self) -> None:
        """
        Without a place for its identity there is no node.
        """

        class Full(MemoryStore):
            def storeSetting(self, name: str, value: bytes) -> Deferred[None]:
                return fail(OSError("the disk is full"))

        self.assertRaises(OSError, self.run_, Node.create(self.reactor, Full()))
