"""
Every transport, and every pair of transports; nodes in this process, over real
sockets and in real time.
"""

from __future__ import annotations

import hashlib
import os
import random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from zope.interface import implementer

from ockam_twisted.authority.admission import Admission
from ockam_twisted.errors import InvalidMultiAddr, OckamError, TimedOut
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.interfaces import IWorker
from ockam_twisted.policies.policy import Policy
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import PeerIdentity
from ockam_twisted.transports import udp
from ockam_twisted.transports.secured import CERTIFICATE
from tests.certificates import makeCertificate
from tests.scenarios.nodes import ECHO, MIRROR, Mirror, RoadTestCase
from tests.scenarios.processes import PATIENCE, eachVariant
from tests.scenarios.roads import EACH, EXTRAS, KINDS, PAIRS

#: What goes each way, bytes; less over what is slower.
SIZE = 20 * 1024 * 1024


class Peer(Protocol):
    """
    One end of a stream: sends so many bytes, and knows those that come by
    their hash.
    """

    def __init__(self, data: bytes) -> None:
        """
        @param data: The other end sends as much.
        """
        self.data = data
        self.digest = hashlib.sha256()
        self.count = 0
        self.done: Deferred[None] = Deferred()
        self.isOver = False

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(self.data)

    def dataReceived(self, data: bytes) -> None:
        self.digest.update(data)
        self.count += len(data)
        if self.count >= len(self.data) and not self.done.called:
            self.done.callback(None)

    def connectionLost(self, reason: Any = None) -> None:
        self.isOver = True


@implementer(IWorker)
class Sink:
    """
    Keeps what arrives.
    """

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    def messageReceived(self, message: Any) -> None:
        self.payloads.append(bytes(message.payload))


@eachVariant(*PAIRS)
class PairTests(RoadTestCase):
    """
    Two hops, each over a transport of its own, and one channel over both.
    """

    async def test_pair(self, pair: str) -> None:
        """
        So many bytes go each way at once, and arrive as they were sent.
        """
        first, second = pair.split()
        if not (KINDS[first].isOrdered and KINDS[second].isOrdered):
            await self.requested(first, second)
            return
        size = SIZE // max(KINDS[first].pace, KINDS[second].pace)
        relay, outlet, inlet = [await self.node() for _ in range(3)]
        places = {kind: self.places.place(kind) for kind in {first, second}}
        for kind, place in places.items():
            await relay.listen(self.places.listen(kind, place))
        relay.createRelayService()
        up, down = (random.Random(seed).randbytes(size) for seed in (1, 2))
        targets = []

        def target() -> Peer:
            targets.append(Peer(down))
            return targets[-1]

        port: Any = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(target))
        self.addCleanup(port.stopListening)
        listener = outlet.createSecureChannelListener(TrustEveryone())
        outlet.createOutlet("outlet", f"127.0.0.1:{port.getHost().port}", consumerOf=[listener.flowId])
        road = await outlet.connect(self.places.to(second, places[second]))
        registration = await outlet.createRelay(road, reachable=["api"])
        road = await inlet.connect(self.places.to(first, places[first]))
        channel = await inlet.createSecureChannel([*road, registration.address, "api"], [str(outlet.identifier)])
        portal = await inlet.createInlet("0", [channel.encryptor, "outlet"])
        at: Any = portal.port.getHost()  # type: ignore[union-attr]
        client: Any = await TCP4ClientEndpoint(reactor, "127.0.0.1", at.port).connect(
            Factory.forProtocol(lambda: Peer(up))
        )
        await client.done
        await self.until(lambda: targets and targets[0].count >= size, "the last bytes")
        self.assertEqual(client.digest.digest(), hashlib.sha256(down).digest())
        self.assertEqual(targets[0].digest.digest(), hashlib.sha256(up).digest())
        client.transport.abortConnection()
        # Nothing of it is left for whatever comes next.
        await self.until(lambda: client.isOver and targets[0].isOver, "the end of the stream")

    async def requested(self, first: str, second: str) -> None:
        """
        The same by messages of the channel, for roads that no portal may
        use: what is lost is sent again.
        """
        relay, server, client = [await self.node() for _ in range(3)]
        places = {kind: self.places.place(kind) for kind in {first, second}}
        for kind, place in places.items():
            await relay.listen(self.places.listen(kind, place))
        relay.createRelayService()
        listener = server.createSecureChannelListener(TrustEveryone())
        server.router.register(MIRROR, Mirror(server))
        server.makeReachable("mirror", (listener.flowId,))
        road = await server.connect(self.places.to(second, places[second]))
        registration = await server.createRelay(road, reachable=["api"])
        road = await client.connect(self.places.to(first, places[first]))
        channel = await client.createSecureChannel([*road, registration.address, "api"], [str(server.identifier)])
        pace = max(KINDS[first].pace, KINDS[second].pace)
        size = SIZE // pace
        # A road that is slow is not one that has lost it.
        patience = 2.0 if pace == 1 else 20.0
        piece = random.Random(pair := f"{first} {second}").randbytes(40_000)

        async def move(start: int) -> None:
            for number in range(start, size // len(piece), 4):
                payload = number.to_bytes(4, "big") + piece
                for attempt in range(5):
                    try:
                        await self.echoed(client, Route((channel.encryptor,)), payload, patience, MIRROR)
                        break
                    except TimedOut:
                        self.assertLess(attempt, 4, pair)

        await gatherResults([Deferred.fromCoroutine(move(start)) for start in range(4)])


@eachVariant(*EACH)
class EachTests(RoadTestCase):
    """
    What every transport has to be good for.
    """

    async def test_connects(self, kind: str) -> None:
        """
        A node connects, messages of all sizes come back, and the end is
        seen by both.
        """
        # Over UDP silence is all that tells of an end.
        self.patch(udp, "IDLE", 2.0)
        place = self.places.place(kind)
        server, client = await self.server(kind, place), await self.node()
        way = await client.connect(self.places.to(kind, place))
        pace = KINDS[kind].pace
        for size in (0, 1, 100, 70_000, 500_000):
            await self.echoed(client, way, b"x" * (size // pace), 60.0, MIRROR)
        [hop], [other] = client.transport.hops, server.transport.hops
        self.assertGreater(hop.carried, 900_000 // pace)
        hop.loseConnection()
        await hop.whenLost()
        await other.whenLost()
        self.assertEqual((client.transport.hops, server.transport.hops), (set(), set()))

    async def test_nobody(self, kind: str) -> None:
        """
        Where nobody listens nobody is connected.
        """
        if not KINDS[kind].isOrdered or KINDS[kind].isPatient:
            return
        client = await self.node()
        try:
            await client.connect(self.places.to(kind, self.places.place(kind)))
        except Exception as error:
            self.assertNotIsInstance(error, (AssertionError, TypeError, AttributeError))
        else:
            self.fail("it has connected")
        self.assertEqual(client.transport.hops, set())

    async def test_reconnects(self, kind: str) -> None:
        """
        A way comes back when the node at its end has gone and come back.
        """
        place = self.places.place(kind)
        client = await self.node()
        server = await self.server(kind, place)
        store = server.store
        server.createSecureChannelListener(TrustEveryone())
        to = self.places.to(kind, place)
        session = client.createWay(f"{to}/secure/api/service/echo", authorized=[str(server.identifier)])
        await session.whenUp()
        await server.stopService()
        await self.until(lambda: session.route is None, "the end of the way")
        server = await self.server(kind, place, store=store)
        server.createSecureChannelListener(TrustEveryone())
        await session.whenUp()
        route = session.route
        assert route is not None
        await self.echoed(client, Route(route[:-1]), b"again")

    async def test_lastWords(self, kind: str) -> None:
        """
        What was sent before the connection was closed arrives, although much
        that comes the other way is not read any more.
        """
        place = self.places.place(kind)
        server, client = await self.server(kind, place), await self.node()
        sink = Sink()
        server.router.register(Address.local("sink"), sink)
        server.makeReachable("sink", (server.transport.listenerId,))
        way = await client.connect(self.places.to(kind, place))
        [hop] = client.transport.hops
        if KINDS[kind].isOrdered and KINDS[kind].pace == 1:
            await self.echoed(client, way, b"are you there?")
            [other] = server.transport.hops
            hop.source.pauseFor("the test")
            flow = server.router.open(Route((other.address, ECHO)), Route((ECHO,)), ECHO)
            while not other.output.full:
                with server.router.turn:
                    flow.send((b"x" * 50_000,), 50_000)
                await deferLater(reactor, 0)
        # A road that holds up nobody loses what is too much for it.
        count = 500 // KINDS[kind].pace if KINDS[kind].isOrdered else 20
        # What is slow has only so long for its last words.
        size = 8000 if KINDS[kind].pace == 1 else 800
        send = client.router.open(Route((*way, Address.local("sink"))), Route((ECHO,)), ECHO)
        with client.router.turn:
            for number in range(count):
                send.send((number.to_bytes(4, "big") * (size // 4),), size)
        hop.loseConnection()
        await self.until(lambda: len(sink.payloads) == count, "the last of all messages")
        self.assertEqual([int.from_bytes(each[:4], "big") for each in sink.payloads], list(range(count)))

    async def test_slowReader(self, kind: str) -> None:
        """
        Who does not read holds up who sends, and what waits is bounded.
        """
        place = self.places.place(kind)
        server, client = await self.server(kind, place), await self.node()
        sink = Sink()
        server.router.register(Address.local("sink"), sink)
        server.makeReachable("sink", (server.transport.listenerId,))
        way = await client.connect(self.places.to(kind, place))
        await self.echoed(client, way, b"are you there?")
        [hop], [other] = client.transport.hops, server.transport.hops
        other.source.pauseFor("the test")
        flow = client.router.open(Route((*way, Address.local("sink"))), Route((ECHO,)), ECHO)
        if not KINDS[kind].isOrdered:
            # Nobody is held up: what is not read is lost, and nothing waits for it.
            for _ in range(100):
                with client.router.turn:
                    flow.send((b"x" * 50_000,), 50_000)
                await deferLater(reactor, 0)
            self.assertEqual((hop.output.queued, sink.payloads), (0, []))
            other.source.resumeFor("the test")
            await self.echoed(client, way, b"are you there again?")
            return
        sent = 0
        while not hop.output.full:
            with client.router.turn:
                flow.send((b"x" * 50_000,), 50_000)
            sent += 1
            self.assertLess(sent, 2000, "nothing is ever full")
            await deferLater(reactor, 0)
        self.assertTrue(hop.isBlocked)
        self.assertLess(len(sink.payloads), sent)
        other.source.resumeFor("the test")
        await self.until(lambda: len(sink.payloads) == sent, "all that has waited", PATIENCE * KINDS[kind].pace)
        self.assertFalse(hop.output.full)

    async def test_tooLarge(self, kind: str) -> None:
        """
        Who sends more at once than is allowed harms himself at most.
        """
        place = self.places.place(kind)
        server = await self.server(kind, place, maxFrame=100_000)
        good, bad = await self.node(), await self.node(maxFrame=4_000_000)
        goodWay = await good.connect(self.places.to(kind, place))
        way = await bad.connect(self.places.to(kind, place))
        size = max(3_000_000 // KINDS[kind].pace, 150_000)
        with bad.router.turn:
            bad.router.open(Route((*way, ECHO)), Route((ECHO,)), ECHO).send((b"x" * size,), size)
        try:
            await self.echoed(bad, way, b"still there?", 2.0)
        except OckamError:
            pass
        await self.echoed(good, goodWay, b"still there")
        self.assertEqual(len(server.transport.hops) >= 1, True)

    async def test_garbage(self, kind: str) -> None:
        """
        Who says what nobody understands is let go, or not heard; others
        notice nothing.
        """
        connect = KINDS[kind].connect
        if connect is None:
            return
        place = self.places.place(kind)
        server, good = await self.server(kind, place), await self.node()
        way = await good.connect(self.places.to(kind, place))
        for seed in range(4):

            def speak(seed: int = seed) -> None:
                with connect(place) as stranger:
                    stranger.settimeout(2)
                    try:
                        stranger.sendall(random.Random(seed).randbytes(70_000))
                        while stranger.recv(65536):
                            pass
                    except OSError:
                        pass

            await deferToThread(speak)
            await self.echoed(good, way, b"still there")
        await self.until(lambda: len(server.transport.hops) == 1, "the end of the strangers")

    async def test_halfOpen(self, kind: str) -> None:
        """
        Who connects and says nothing is let go, where the first word is his.
        """
        connect = KINDS[kind].connect
        if KINDS[kind].silence or connect is None:
            return
        place = self.places.place(kind)
        server = await self.server(kind, place)

        def wait() -> bytes:
            with connect(place) as silent:
                silent.settimeout(PATIENCE)
                got = b""
                try:
                    while data := silent.recv(100):
                        got += data
                except ConnectionResetError:
                    pass
                return got

        server.transport.settings.versionTimeout = 0.5
        said = await deferToThread(wait)
        self.assertLess(len(said), 100)
        self.assertEqual(server.transport.hops, set())


class WhoTests(RoadTestCase):
    """
    Connections whose other end somebody vouches for, and policies about them.
    """

    async def peer(self, listen: str, to: str) -> PeerIdentity:
        """
        Somebody connects and makes a channel.

        @return: What the other node knows of him.
        """
        server, client = await self.node(), await self.node()
        await server.listen(listen)
        server.createSecureChannelListener(TrustEveryone())
        road = await client.connect(to)
        channel = await client.createSecureChannel([*road, "api"], [str(server.identifier)])
        await self.echoed(client, Route((channel.encryptor,)), b"there?")
        [peer] = server.router.peers.ofIdentifier(str(client.identifier))
        return peer

    def assertAdmitted(self, peer: PeerIdentity, allow: str, isAdmitted: bool) -> None:
        """
        A policy admits him, or not.
        """
        self.assertEqual(not Admission(Policy.fromText(allow), "outlet").refusal(peer), isAdmitted, allow)

    async def test_unixSocket(self) -> None:
        """
        The kernel says which user it is, over either framing; over TCP nobody
        does, and whoever asks for it admits nobody.
        """
        path = f"{self.folder}/sock"
        for place in (f"uds:{path}1", f"unix:{path}2"):
            peer = await self.peer(place, place)
            self.assertEqual(dict(peer.connection)["uid"], str(os.getuid()))
            self.assertAdmitted(peer, f'(= connection.uid "{os.getuid()}")', True)
            self.assertAdmitted(peer, '(= connection.uid "4242")', False)
        place = self.places.place("tcp")
        peer = await self.peer(self.places.listen("tcp", place), self.places.to("tcp", place))
        self.assertEqual(peer.connection, ())
        self.assertAdmitted(peer, f'(= connection.uid "{os.getuid()}")', False)

    async def test_certificate(self) -> None:
        """
        A server that asks for certificates lets in who has one, and knows
        whose it is; who has none, or another one, is not let in.
        """
        port, server = self.places.place("tls"), self.folder / "localhost.pem"
        pem, other = makeCertificate(self.folder, "client.example"), makeCertificate(self.folder, "other.example")
        listen = f"ssl:{port}:interface=127.0.0.1:privateKey={server}:clients={pem}"
        os.environ[CERTIFICATE] = str(pem)
        self.addCleanup(os.environ.pop, CERTIFICATE, None)
        to = f"/dnsaddr/localhost/tcp/{port}/tls"
        peer = await self.peer(listen, to)
        self.assertEqual(peer.connection, (("certificate", "client.example"),))
        self.assertAdmitted(peer, '(= connection.certificate "client.example")', True)
        self.assertAdmitted(peer, '(= connection.certificate "other.example")', False)
        for wrong in (str(other), ""):
            os.environ[CERTIFICATE] = wrong
            client = await self.node()
            with self.assertRaises(Exception):  # noqa: B017
                await client.connect(to)
        os.environ[CERTIFICATE] = f"{self.folder}/none.pem"
        with self.assertRaises(InvalidMultiAddr) as caught:
            await client.connect(to)
        self.assertIn("none.pem", str(caught.exception))

    async def test_relayed(self) -> None:
        """
        Who comes through a relay is not who is connected.
        """
        path = f"{self.folder}/relay.sock"
        relay, outlet, inlet = [await self.node() for _ in range(3)]
        await relay.listen(f"uds:{path}")
        relay.createRelayService()
        outlet.createSecureChannelListener(TrustEveryone())
        registration = await outlet.createRelay(await outlet.connect(f"uds:{path}"), reachable=["api"])
        road = await inlet.connect(f"uds:{path}")
        channel = await inlet.createSecureChannel([*road, registration.address, "api"], [str(outlet.identifier)])
        await self.echoed(inlet, Route((channel.encryptor,)), b"there?")
        [peer] = outlet.router.peers.ofIdentifier(str(inlet.identifier))
        self.assertEqual(peer.connection, ())


class Road(DatagramProtocol):
    """
    A road of UDP that loses datagrams, and keeps each for a while.
    """

    def __init__(self, to: int, loss: float, delay: float) -> None:
        self.loss, self.delay, self.to, self.client = loss, delay, ("127.0.0.1", to), ("", 0)
        self.lost = 0
        self.chance = random.Random(5)

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if addr != self.to:
            self.client = addr
        if self.chance.random() < self.loss:
            self.lost += 1
            return
        transport: Any = self.transport
        there = self.client if addr == self.to else self.to
        reactor.callLater(self.delay, transport.write, datagram, there)  # type: ignore[attr-defined]


class LossyTests(RoadTestCase):
    """
    QUIC over a road that loses a twentieth of all datagrams.
    """

    async def test_exact(self) -> None:
        """
        Messages arrive, all of them and in order.
        """
        place = self.places.place("quic")
        server, client = await self.server("quic", place), await self.node()
        road = Road(place, 0.05, 0.01)
        port: Any = reactor.listenUDP(0, road, "127.0.0.1")  # type: ignore[attr-defined]
        way = await client.connect(f"/ip4/127.0.0.1/udp/{port.getHost().port}/quic")
        for number in range(30):
            await self.echoed(client, way, bytes([number]) * 20_000, 20.0, MIRROR)
        self.assertGreater(road.lost, 20)
        [hop] = client.transport.hops
        hop.loseConnection()
        await hop.whenLost()
        await self.until(lambda: not server.transport.hops, "the other end")
        await deferLater(reactor, 0.1)
        await port.stopListening()


class TableTests(RoadTestCase):
    """
    Of the tests themselves.
    """

    def test_allRoads(self) -> None:
        """
        There is a row for every road.
        """
        from ockam_twisted.routing.multiaddr import MultiAddr
        from ockam_twisted.transports.roads import ROADS, findRoad

        tested = {
            findRoad(MultiAddr.fromText(kind.to.replace("HERE", "1").replace("ADAPTER", "1")).road).name
            for kind in (KINDS | EXTRAS).values()
        }
        self.assertEqual(tested, {road.name for road in ROADS})
