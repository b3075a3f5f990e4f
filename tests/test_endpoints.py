"""
Tests of L{ockam_twisted.endpoints}.  L{EndpointTests} has an unmodified
Twisted web server and client over a portal, with real sockets and real time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface.verify import verifyObject

from ockam_twisted.endpoints import InletEndpoint, OutletEndpoint, parseClient, parseServer
from ockam_twisted.errors import ConfigurationError, OckamError, StateUnusable
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.node import Node
from ockam_twisted.storage.folder import StateFolder
from ockam_twisted.storage.sqlite import SQLiteStore
from tests.test_node import Client, NodeTestCase

reactor: Any = _reactor


class _Page(Resource):
    isLeaf = True

    def render_GET(self, request: object) -> bytes:
        """
        One page.
        """
        return b"a private page " * 10000


class _Get(Protocol):
    """
    Asks for the page and collects the answer.
    """

    def __init__(self) -> None:
        self.got = b""
        self.done: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        """
        Ask.
        """
        assert self.transport is not None
        self.transport.write(b"GET / HTTP/1.0\r\n\r\n")

    def dataReceived(self, data: bytes) -> None:
        """
        Collect.
        """
        self.got += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        """
        That was all.
        """
        self.done.callback(self.got)


class EndpointTests(TestCase):
    """
    C{ockam:} for servers and clients.
    """

    async def test_web(self) -> None:
        """
        A page comes through a relay to a client; neither side has a port.
        """
        relay = await Node.create(reactor)
        port: Any = await relay.listen("tcp:0:interface=127.0.0.1")
        listener = relay.createSecureChannelListener(_everyone())
        relay.createRelayService(listener=listener)
        at = port.getHost().port
        try:
            server = serverFromString(reactor, f"ockam:relay=127.0.0.1\\:{at}:trust=everyone")
            self.assertIsInstance(server, OutletEndpoint)
            listening: Any = await server.listen(Site(_Page()))
            host = listening.getHost()
            to = f"/ip4/127.0.0.1/tcp/{at}/service/{host.label}/secure/api/service/outlet"
            client = clientFromString(reactor, f"ockam:to={to}:authorized={host.identifier}")
            self.assertIsInstance(client, InletEndpoint)
            # Twice, so that the node is stopped and started again.
            for _ in range(2):
                protocol: Any = await client.connect(Factory.forProtocol(_Get))
                got = await protocol.done
                self.assertTrue(got.endswith(b"a private page " * 10000), got[-100:])
            await listening.stopListening()
            await _turns(20)
        finally:
            await relay.stopService()

    def test_refused(self) -> None:
        """
        What is missing or in conflict is a plain error.
        """
        who = "I" + "0" * 64
        for text in ("ockam:trust=everyone", f"ockam:relay=a\\:1:trust=everyone:authorized={who}", "ockam:relay=a\\:1"):
            self.assertRaises(ConfigurationError, serverFromString, reactor, text)
        for text in ("ockam:to=/service/outlet", "ockam:to=/service/outlet:trust=nobody"):
            self.assertRaises(ConfigurationError, clientFromString, reactor, text)


class _Echo(Protocol):
    """
    Says what it hears.
    """

    def dataReceived(self, data: bytes) -> None:
        """
        Say it.
        """
        assert self.transport is not None
        self.transport.write(data)


class _Counting(Factory):
    """
    Knows how many ports use it.
    """

    noisy = False

    def buildProtocol(self, addr: object) -> Protocol:
        """
        See C{IProtocolFactory}.
        """
        return _Echo()


class MemoryTests(NodeTestCase):
    """
    The same on a reactor in memory; only databases are real.
    """

    def setUp(self) -> None:
        super().setUp()
        self.folder = str(Path(self.mktemp()).absolute())

    def listen(self, **options: str) -> tuple[Any, _Counting]:
        """
        Listen without a relay.
        """
        factory = _Counting()
        endpoint = parseServer(self.reactor, listen="4000", trust="everyone", **options)
        port = self.reactor.wait(endpoint.listen(factory))
        self.addCleanup(self.close, port)
        return port, factory

    def close(self, port: Any) -> None:
        """
        Stop listening, and wait for what drains.
        """
        stopped = port.stopListening()
        self.network.advance(3)
        self.reactor.wait(stopped)

    def dial(self, who: str, **options: str) -> InletEndpoint:
        """
        The other side.
        """
        return parseClient(self.reactor, "/ip4/127.0.0.1/tcp/4000/secure/api/service/outlet", who, **options)

    def settle(self, endpoint: InletEndpoint) -> None:
        """
        Wait until the node of a client has stopped.
        """
        self.network.advance(3)
        self.assertIsNotNone(endpoint._stopping)
        assert endpoint._stopping is not None
        self.reactor.wait(endpoint._stopping.wait())

    def connect(self, endpoint: InletEndpoint) -> Client:
        """
        Connect.
        """
        client: Client = self.reactor.wait(endpoint.connect(_factory()))
        return client

    def test_port(self) -> None:
        """
        A port says where and who it is, holds its factory while it listens,
        and leaves nothing behind.
        """
        port, factory = self.listen()
        self.assertTrue(verifyObject(IListeningPort, port))
        port.startListening()
        self.assertEqual(port.getHost().label, "outlet")
        self.assertEqual(port.getHost().identifier, port.identifier)
        self.assertEqual(factory.numPorts, 1)
        self.close(port)
        self.assertEqual(factory.numPorts, 0)
        self.assertEqual(self.network.ports, {})

    def test_shared(self) -> None:
        """
        Connections of one endpoint share a node, which stops with the last of
        them and starts again with the next.
        """
        port, _ = self.listen()
        endpoint = self.dial(port.identifier)
        one, two = self.connect(endpoint), self.connect(endpoint)
        self.assertEqual(len(self.network.links), 1)
        self.assertEqual(self.says(one), b"hello")
        for client in (one, two):
            self.assertEqual(self.says(client), b"hello")
            client.transport.loseConnection()
            self.network.pump()
            self.assertTrue(client.lost)
        self.settle(endpoint)
        self.assertFalse(self.network.links[0].isAlive)
        again = self.connect(endpoint)
        self.assertEqual(self.says(again), b"hello")
        again.transport.abortConnection()
        self.settle(endpoint)

    def test_kept(self) -> None:
        """
        With a state folder the identity stays, and the folder is free between
        uses.
        """
        seen = set()
        for _ in range(2):
            port, _ = self.listen(state=self.folder)
            seen.add(port.identifier)
            self.assertRaises(StateUnusable, StateFolder(self.folder).check)
            self.close(port)
            StateFolder(self.folder).check()
        self.assertEqual(len(seen), 1)
        port, _ = self.listen()
        endpoint = self.dial(port.identifier, state=self.folder)
        for _ in range(2):
            client = self.connect(endpoint)
            self.assertRaises(StateUnusable, StateFolder(self.folder).check)
            client.transport.abortConnection()
            self.settle(endpoint)
            StateFolder(self.folder).check()

    def test_folderTaken(self) -> None:
        """
        A folder that is in use fails each attempt, those at the same time
        too, and later ones succeed.
        """
        port, _ = self.listen()
        other = StateFolder(self.folder)
        other.open()
        endpoint = self.dial(port.identifier, state=self.folder)
        for _ in range(2):
            self.failureResultOf(endpoint.connect(_factory()), StateUnusable)
        server = parseServer(self.reactor, listen="4007", trust="everyone", state=self.folder)
        self.failureResultOf(server.listen(_Counting()), StateUnusable)
        other.close()
        self.connect(endpoint).transport.abortConnection()
        self.settle(endpoint)

    def test_failTogether(self) -> None:
        """
        What keeps the node from starting is told to all who wait for it.
        """
        failing: Deferred[None] = Deferred()
        self.patch(SQLiteStore, "storeSecret", lambda *arguments: failing)
        endpoint = self.dial("I" + "0" * 64, state=self.folder)
        waiting = [endpoint.connect(_factory()) for _ in range(3)]
        failing.errback(StateUnusable("the disk is full"))
        for each in waiting:
            self.failureResultOf(each, StateUnusable)
        self.settle(endpoint)
        StateFolder(self.folder).check()

    def test_givenUp(self) -> None:
        """
        One who gives up while the node starts leaves the others alone; when
        the last one does, nothing is left.
        """
        port, _ = self.listen()
        endpoint = self.dial(port.identifier, state=self.folder)
        first, second = endpoint.connect(_factory()), endpoint.connect(_factory())
        first.cancel()
        self.failureResultOf(first, CancelledError)
        client: Client = self.reactor.wait(second)
        self.assertEqual(self.says(client), b"hello")
        transport: Any = client.transport
        transport.abortConnection()
        self.settle(endpoint)
        links = len(self.network.links)
        other = self.dial(port.identifier, state=str(Path(self.mktemp()).absolute()))
        third = other.connect(_factory())
        third.cancel()
        self.failureResultOf(third, CancelledError)
        self.settle(other)
        self.network.advance(5)
        self.assertEqual(len(self.network.links), links)

    def test_relayComesLater(self) -> None:
        """
        Listening waits for the relay, and can be given up; then nothing is
        left.
        """
        server = parseServer(self.reactor, relay="127.0.0.1:4000", name="blue", trust="everyone")
        first = server.listen(_Counting())
        self.network.advance(3)
        self.assertNoResult(first)
        first.cancel()
        self.network.advance(3)
        self.failureResultOf(first, CancelledError)
        waiting = server.listen(_Counting())
        relay = self.node("relay")
        self.network.result(relay.listen("4000"))
        relay.createRelayService(listener=relay.createSecureChannelListener(TrustEveryone()))
        self.network.advance(20)
        port: Any = self.successResultOf(waiting)
        self.assertEqual(port.getHost().label, "forward_to_blue")
        self.close(port)

    def test_portTaken(self) -> None:
        """
        A port in use fails the attempt, and nothing is left.
        """
        self.reactor.taken.add(4000)
        factory = _Counting()
        waiting = parseServer(self.reactor, listen="4000", trust="everyone").listen(factory)
        self.network.advance(3)
        self.failureResultOf(waiting, CannotListenError)
        self.assertEqual(factory.numPorts, 0)

    def test_parsed(self) -> None:
        """
        What can be known when the text is parsed is said then.
        """
        for options, says in (
            ({"relay": "nonsense"}, "relay="),
            ({"relay": "/ip4/127.0.0.1"}, "relay="),
            ({"listen": "a b"}, "listen="),
            ({"relay": "a:1", "name": "not a name"}, "name"),
            ({"listen": "4000", "name": "blue"}, "relay="),
        ):
            error = self.assertRaises(OckamError, parseServer, self.reactor, trust="everyone", **options)
            self.assertIn(says, str(error))
        plain = "/ip4/127.0.0.1/tcp/4000/service/outlet"
        self.assertRaises(OckamError, parseClient, self.reactor, plain, "I" + "0" * 64)
        self.assertIsInstance(parseClient(self.reactor, plain, trust="everyone"), InletEndpoint)
        self.assertRaises(OckamError, parseClient, self.reactor, "/service/outlet", trust="everyone")

    def test_parsedWays(self) -> None:
        """
        Several ways may be given, each with who must be at its end.
        """
        way, a, b = "/ip4/127.0.0.1/tcp/4000/secure/api/service/out,let", "I" + "0" * 64, "I" + "1" * 64
        for to, options, expected in (
            (f"{a}@{way},{b}@{way},{a}@{way}", {}, [(a, 2), (b, 1)]),
            (f"{way},{way}", {"authorized": a}, [(a, 2)]),
            (f"{a}@{way},{way}", {"trust": "everyone"}, [(a, 1), ("", 1)]),
            (f"{a}@{way}", {"state": "somewhere"}, [(a, 1)]),
            (way, {"state": "somewhere"}, []),
        ):
            made = parseClient(self.reactor, to, **options)
            self.assertEqual([(each.whom, len(each.ways)) for each in made._destinations], expected)
        for to, options in (
            (f"{a}@{way},{way}", {}),
            (f"{a}@/ip4/127.0.0.1/tcp/4000/service/outlet", {}),
            (f"{a}@{way},{b}@/service/outlet", {}),
            ("", {}),
        ):
            self.assertRaises(OckamError, parseClient, self.reactor, to, **options)

    def test_ways(self) -> None:
        """
        A client goes to the outlet that is there.
        """
        port, _ = self.listen()
        way = "/ip4/127.0.0.1/tcp/{}/secure/api/service/outlet"
        client = parseClient(self.reactor, f"I{'1' * 64}@{way.format(4007)},{port.identifier}@{way.format(4000)}")
        self.assertIsNotNone(self.connect(client))


def _factory() -> Factory:
    factory = Factory.forProtocol(Client)
    factory.noisy = False
    return factory


def _everyone() -> Any:
    return TrustEveryone()


async def _turns(count: int) -> None:
    """
    Let what is closing close.
    """
    for _ in range(count):
        turn: Deferred[None] = Deferred()
        reactor.callLater(0.02, turn.callback, None)
        await turn
