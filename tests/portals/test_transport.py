"""
Tests for L{ockam_twisted.portals.transport}: protocols in this process at the
ends of portals.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer, IProtocol, IPushProducer, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.basic import FileSender, LineReceiver
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from ockam_twisted.errors import ConnectionClosed, LimitReached
from ockam_twisted.identity.trust import TrustEveryone, TrustIdentifier
from ockam_twisted.interfaces import ILocalSide, IOutput, ITarget
from ockam_twisted.portals.inlet import CONNECT_TIMEOUT
from ockam_twisted.portals.output import HIGH_WATER, PATIENCE
from ockam_twisted.portals.transport import FactoryTarget, PortalTransport, openStream
from ockam_twisted.routing.addresses import Route
from ockam_twisted.wire.portal import PONG
from tests.portals.common import OUTLET, ChannelPortalTestCase, Halved, PortalTestCase, Program, Programs

MIB = 1024 * 1024


class _TransportTestCase(PortalTestCase):
    """
    A factory on each side, between them the usual two nodes.
    """

    def setUp(self) -> None:
        super().setUp()
        self.clients = Programs()
        self.servers = Programs()

    def serve(self, factory: Any = None) -> FactoryTarget:
        """
        Start an outlet for a factory.
        """
        target = FactoryTarget(
            self.outletNode.router, self.network.clock, factory or self.servers, "the service", self.stalled.append
        )
        self.portal = self.outlet(target=target)
        return target

    stalled: list[Any]

    def open(self, factory: Any = None) -> Any:
        """
        Open a stream for a factory.
        """
        return self.network.result(openStream(self.near, factory or self.clients))

    def both(self) -> tuple[Any, Any]:
        """
        A client and a server, connected.
        """
        self.stalled = []
        self.near = self.inlet()
        self.serve()
        client = self.open()
        return client, self.servers.made[-1]


class StreamTests(_TransportTestCase):
    """
    Whole streams.
    """

    def test_interfaces(self) -> None:
        """
        The transport is what Twisted's protocols expect.
        """
        client, _ = self.both()
        for interface in (ITransport, IConsumer, IPushProducer, ILocalSide):
            verifyObject(interface, client.transport)
        verifyObject(IOutput, client.transport.output)
        verifyObject(ITarget, FactoryTarget(self.outletNode.router, self.network.clock, self.servers, "x"))

    def test_bothWays(self) -> None:
        """
        Bytes go both ways, and a close is seen as one at both ends.
        """
        client, server = self.both()
        client.send(b"question")
        client.transport.writeSequence([b" and", b" more"])
        self.network.pump()
        server.send(b"answer")
        self.network.pump()
        self.assertEqual((server.received, client.received), (b"question and more", b"answer"))
        client.transport.loseConnection()
        self.network.pump()
        self.assertEqual((client.ending, server.ending), ("ConnectionDone", "ConnectionDone"))
        self.assertIdle(self.near, self.portal)
        self.assertFalse(client.transport.connected)

    def test_oneNode(self) -> None:
        """
        Both ends may be on one node.
        """
        self.outletNode = self.inletNode
        self.way.change(Route((OUTLET,)))
        client, server = self.both()
        server.echo = True
        client.send(b"x" * 300_000)
        self.network.pump()
        self.assertEqual(client.received, b"x" * 300_000)

    def test_splits(self) -> None:
        """
        A large write leaves as Payloads of at most 128 KiB, in order.
        """
        client, server = self.both()
        self.hop.toServer.record = True
        data = bytes(range(256)) * 4096 * 3
        client.send(data)
        self.network.pump()
        self.assertEqual(server.received, data)
        self.assertLess(max(map(len, self.hop.toServer.recorded)), 128 * 1024 + 200)

    def test_gathers(self) -> None:
        """
        What a protocol writes while it is called leaves as one Payload.
        """
        client, server = self.both()
        self.hop.toServer.record = True
        for _ in range(100):
            client.send(b"line\r\n")
        self.network.pump()
        self.assertEqual(len(self.hop.toServer.recorded), 1)
        self.assertEqual(server.received, b"line\r\n" * 100)

    def test_serverSpeaksFirst(self) -> None:
        """
        A server may greet as soon as it is connected, and even close.
        """
        self.servers._attributes = {"greeting": b"220 ready"}
        client, _ = self.both()
        self.network.pump()
        self.assertEqual(client.received, b"220 ready")

    def test_brief(self) -> None:
        """
        A stream that ends as soon as it is open is still one, for the client
        too.
        """

        class Brief(Protocol):
            def connectionMade(self) -> None:
                transport: Any = self.transport
                transport.write(b"busy")
                transport.loseConnection()

        self.stalled = []
        self.near = self.inlet()
        self.serve(Factory.forProtocol(Brief))
        client = self.open()
        self.assertEqual((client.received, client.ending), (b"busy", "ConnectionDone"))

    def test_notReentrant(self) -> None:
        """
        Nobody is called within a call of its own, even where both ends are in
        one place, and two that answer each other for ever leave the reactor
        its turn.
        """
        depth = 0
        deepest = 0

        class Chatter(Protocol):
            def dataReceived(self, data: bytes) -> None:
                nonlocal depth, deepest
                depth += 1
                deepest = max(deepest, depth)
                transport: Any = self.transport
                transport.write(data)
                transport.write(data[:0])
                depth -= 1

            def connectionLost(self, reason: Failure = connectionDone) -> None:
                nonlocal depth, deepest
                deepest = max(deepest, depth + 1)

        self.outletNode = self.inletNode
        self.way.change(Route((OUTLET,)))
        self.stalled = []
        self.near = self.inlet()
        self.serve(Factory.forProtocol(Chatter))
        client = self.open(Factory.forProtocol(Chatter))
        # Unlike a reactor, this clock runs new calls in the same round.
        clock = self.network.clock
        later = clock.callLater
        clock.callLater = lambda delay, *call: later(max(delay, 0.001), *call)  # type: ignore[method-assign]
        client.transport.write(b"ping")
        for _ in range(100):
            clock.advance(0.001)
        [stream] = self.near.streams
        self.assertGreater(stream.received, 100)
        self.assertLess(stream.received, 1000)
        client.transport.abortConnection()
        clock.advance(0.001)
        self.assertEqual(deepest, 1)

    def test_lineReceiver(self) -> None:
        """
        A protocol that looks at C{disconnecting} sees no line after it has
        closed.
        """
        lines = []

        class Lines(LineReceiver):
            def lineReceived(self, line: bytes) -> None:
                lines.append(line)
                transport: Any = self.transport
                transport.loseConnection()

        self.stalled = []
        self.near = self.inlet()
        self.serve(Factory.forProtocol(Lines))
        client = self.open()
        client.send(b"one\r\ntwo\r\n")
        self.network.pump()
        self.assertEqual(lines, [b"one"])
        self.assertEqual(client.ending, "ConnectionDone")

    def test_addresses(self) -> None:
        """
        A protocol can ask who is at the other end; over a plain connection
        nobody knows.
        """
        client, server = self.both()
        self.assertEqual(server.transport.getPeer().label, "a client of the service")
        self.assertEqual((server.transport.getPeer().identifier, client.transport.getPeer().identifier), (None, None))
        self.assertNotEqual(client.transport.getHost(), server.transport.getHost())

    def test_identities(self) -> None:
        """
        Through a secure channel both ends know who is there.
        """
        self.outletNode.listen(TrustEveryone())
        trust = TrustIdentifier(self.outletNode.identifier)
        channel = self.network.result(self.inletNode.createChannel(self.hop.route("api"), trust))
        self.way.change(Route((channel.encryptor, OUTLET)))
        self.stalled = []
        self.near = self.inlet()
        target = FactoryTarget(self.outletNode.router, self.network.clock, self.servers, "the service")
        [listener] = [
            self.outletNode.router.worker(address)
            for address in self.outletNode.router._mailboxes
            if address.value == b"api"
        ]
        self.outlet(listener.flowId, target=target)  # type: ignore[union-attr]
        client = self.open()
        [server] = self.servers.made
        self.assertEqual(client.transport.getPeer().identifier, self.outletNode.identifier)
        self.assertEqual(server.transport.getPeer().identifier, self.inletNode.identifier)


class EndTests(_TransportTestCase):
    """
    How streams end.
    """

    def test_routeLost(self) -> None:
        """
        The loss of the route is no clean end.
        """
        client, server = self.both()
        self.hop.cut()
        self.network.pump()
        self.assertEqual((client.ending, server.ending), ("ConnectionLost", "ConnectionLost"))

    def test_abort(self) -> None:
        """
        Whoever aborts drops what it wrote.
        """
        client, server = self.both()
        client.send(b"never mind")
        client.transport.abortConnection()
        client.transport.abortConnection()
        self.assertEqual(client.ending, "")
        self.network.pump()
        self.assertEqual((client.ending, server.received), ("ConnectionAborted", b""))
        self.assertIdle(self.near, self.portal)

    def test_noHalves(self) -> None:
        """
        To end one direction ends the stream where the far end knows no halves,
        and the protocol is told.
        """
        self.clients.kind = Halved
        client, server = self.both()
        client.send(b"all")
        client.transport.loseWriteConnection()
        self.network.pump()
        self.assertEqual((bytes(server.received), server.ending, client.ending), (b"all", *["ConnectionDone"] * 2))
        self.assertIdle(self.near, self.portal)

    def test_writeThenLose(self) -> None:
        """
        What was written before the close arrives, whatever its size.
        """
        client, server = self.both()
        client.send(b"x" * 3 * MIB)
        client.transport.loseConnection()
        self.network.pump()
        self.assertEqual((len(server.received), server.ending), (3 * MIB, "ConnectionDone"))

    def test_writeAfterTheEnd(self) -> None:
        """
        Writing to what has ended is no mistake, and has no effect.
        """
        client, server = self.both()
        server.transport.loseConnection()
        self.network.pump()
        transport = client.transport
        for act in (lambda: transport.write(b"x"), transport.loseConnection, transport.abortConnection):
            act()
        self.network.pump()
        self.assertEqual(client.ending, "ConnectionDone")

    def test_nothingAfterLoseConnection(self) -> None:
        """
        Who has closed receives no more.
        """
        client, server = self.both()
        client.transport.pauseProducing()
        server.send(b"unwanted")
        self.network.pump()
        client.transport.loseConnection()
        self.network.pump()
        self.assertEqual((client.received, client.ending), (b"", "ConnectionDone"))

    def test_text(self) -> None:
        """
        Text is refused, as everywhere in Twisted.
        """
        client, _ = self.both()
        self.assertRaises(TypeError, client.transport.write, "text")

    def test_dataBeforeTheEnd(self) -> None:
        """
        A protocol that has paused gets its data before it is told of the end.
        """
        client, server = self.both()
        client.transport.pauseProducing()
        server.send(b"last")
        server.transport.loseConnection()
        self.network.pump()
        self.assertEqual((client.received, client.ending), (b"", ""))
        client.transport.resumeProducing()
        self.network.pump()
        self.assertEqual((client.received, client.ending), (b"last", "ConnectionDone"))

    def test_protocolFails(self) -> None:
        """
        A mistake of a protocol ends its own stream, with a traceback in the
        log.
        """

        class Broken(Program):
            def dataReceived(self, data: bytes) -> None:
                raise ZeroDivisionError

        self.stalled = []
        self.near = self.inlet()
        self.serve()
        broken = self.open(Factory.forProtocol(Broken))
        other = self.open()
        for server in self.servers.made:
            server.send(b"x")
        self.network.pump()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((broken.ending, other.received), ("ConnectionAborted", b"x"))
        self.assertEqual(len(self.portal.streams), 1)

    def test_noProtocolForClient(self) -> None:
        """
        A factory of a client that makes no protocol gets no stream.
        """

        class Unwilling(Factory):
            def buildProtocol(self, addr: object) -> None:
                return None

        self.stalled = []
        self.near = self.inlet()
        self.serve()
        self.assertRaises(ConnectionClosed, self.open, Unwilling())
        self.network.pump()
        self.assertIdle(self.near, self.portal)
        self.assertEqual(self.servers.made[0].ending, "ConnectionDone")

    def test_noProtocolForServer(self) -> None:
        """
        A factory of a server that makes none, or fails to, refuses the
        stream.
        """

        class Unwilling(Factory):
            def buildProtocol(self, addr: object) -> None:
                if broken:
                    raise ZeroDivisionError("a mistake")

        self.stalled = []
        self.near = self.inlet()
        self.serve(Unwilling())
        broken = False
        self.assertRaises(ConnectionClosed, self.open)
        broken = True
        self.assertRaises(ConnectionClosed, self.open)
        self.assertIdle(self.near, self.portal)


class ResetWhilePausedTests(ChannelPortalTestCase):
    """
    A protocol that has paused, when its stream is reset after a few bytes.
    """

    def setUp(self) -> None:
        super().setUp()
        self.outlet()
        self.lost: list[bool] = []
        clients = Programs()
        opening = openStream(self.inlet(), clients, lost=lambda: self.lost.append(True))
        self.client: Any = self.network.result(opening)
        self.client.transport.pauseProducing()
        self.target = self.targets.made[-1]
        self.target.send(b"abc")
        self.network.pump()
        self.target.transport.abortConnection()
        self.network.pump()

    def end(self) -> None:
        """
        It has ended.
        """
        self.network.pump()
        self.assertEqual((self.client.received, self.client.ending, self.lost), (b"", "ConnectionLost", [True]))

    def test_waits(self) -> None:
        """
        The bytes are kept for seconds, not for ever.
        """
        self.network.clock.advance(PATIENCE - 0.1)
        self.network.pump()
        self.assertEqual(self.client.ending, "")
        self.network.clock.advance(0.1)
        self.end()

    def test_resumes(self) -> None:
        """
        Who goes on by then gets them.
        """
        self.client.transport.resumeProducing()
        self.network.pump()
        self.assertEqual((self.client.received, self.client.ending), (b"abc", "ConnectionLost"))
        self.network.clock.advance(PATIENCE)
        self.network.pump()
        self.assertEqual(self.lost, [True])

    def test_aborts(self) -> None:
        """
        Who does not want them is told at once.
        """
        self.client.transport.abortConnection()
        self.end()


class OpenStreamTests(_TransportTestCase):
    """
    Opening a stream.
    """

    def setUp(self) -> None:
        super().setUp()
        self.stalled = []
        self.near = self.inlet(maxStreams=2)

    def test_factoryIsStartedAndStopped(self) -> None:
        """
        As with other client endpoints a factory is in use as long as its
        protocol is.
        """
        self.serve()
        client = self.open()
        self.assertEqual(self.clients.numPorts, 1)
        client.transport.loseConnection()
        self.network.pump()
        self.assertEqual(self.clients.numPorts, 0)

    def test_factoryIsStoppedOnce(self) -> None:
        """
        Whatever a protocol does after its end does not end the others' use of
        the factory.
        """
        self.serve()
        client = self.open()
        self.open()
        transport = client.transport
        transport.loseConnection()
        self.network.pump()
        transport.resumeProducing()
        self.network.pump()
        self.assertEqual(self.clients.numPorts, 1)

    def test_refused(self) -> None:
        """
        An outlet that refuses fails the Deferred, with words.
        """
        self.serve()
        self.portal._maxStreams = 0
        error = self.assertRaises(ConnectionClosed, self.open)
        self.assertEqual(
            str(error),
            "no stream to the outlet: Connection to the other side was lost in a non-clean fashion: "
            "the outlet could not connect to its target.",
        )
        self.assertEqual((self.clients.made, self.clients.numPorts), ([], 0))

    def test_timeout(self) -> None:
        """
        So does one that does not answer.
        """
        opening = openStream(self.near, self.clients)
        self.network.advance(CONNECT_TIMEOUT)
        self.assertIn("did not answer within 10 s", str(self.failureResultOf(opening, ConnectionClosed).value))

    def test_limit(self) -> None:
        """
        So does the inlet's limit.
        """
        self.serve()
        self.open()
        self.open()
        self.assertRaises(LimitReached, self.open)

    def test_cancel(self) -> None:
        """
        A stream that is given up is let go at the outlet too, even if its
        Pong is on the way.
        """
        self.serve()
        self.hop.toClient.held = True
        opening: Deferred[IProtocol] = openStream(self.near, self.clients)
        self.network.pump()
        self.assertEqual(len(self.portal.streams), 1)
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        self.hop.toClient.held = False
        self.network.pump()
        self.assertIdle(self.near, self.portal)
        self.assertEqual((self.clients.made, self.clients.numPorts), ([], 0))

    def test_wayDown(self) -> None:
        """
        A stream waits for its way.
        """
        self.serve()
        route = self.way.route
        self.way.change(None)
        opening = openStream(self.near, self.clients)
        self.network.advance(1)
        self.assertNoResult(opening)
        self.way.change(route)
        self.network.pump()
        self.assertIs(self.successResultOf(opening), self.clients.made[0])


class Producer:
    """
    A push producer that produces when it is asked to.
    """

    def __init__(self) -> None:
        self.events: list[str] = []

    def pauseProducing(self) -> None:
        self.events.append("pause")

    def resumeProducing(self) -> None:
        self.events.append("resume")

    def stopProducing(self) -> None:
        self.events.append("stop")


class BackPressureTests(_TransportTestCase):
    """
    Neither side is sent more than it can take.
    """

    def test_pausedProtocol(self) -> None:
        """
        A protocol that has paused holds back the connection that feeds it
        after 4 MiB and only then; no byte is lost.
        """
        client, server = self.both()
        [hop] = self.outletNode.transport.hops
        server.transport.pauseProducing()
        client.send(bytes(HIGH_WATER))
        self.network.pump()
        self.assertFalse(hop.source.pauses)
        client.send(b"x")
        self.network.pump()
        self.assertTrue(hop.source.pauses)
        self.assertEqual(self.stalled, [server.transport.output])
        client.send(bytes(20 * MIB))
        self.network.pump()
        self.assertLess(server.transport.output.queued, 5 * MIB)
        self.assertEqual(server.received, b"")
        server.transport.resumeProducing()
        self.network.pump()
        self.assertFalse(hop.source.pauses)
        self.assertEqual(len(server.received), HIGH_WATER + 20 * MIB + 1)

    def test_pausedProtocolEnds(self) -> None:
        """
        One that ends lets the connection go.
        """
        client, server = self.both()
        [hop] = self.outletNode.transport.hops
        server.transport.pauseProducing()
        client.send(bytes(5 * MIB))
        self.network.pump()
        self.assertTrue(hop.source.pauses)
        server.transport.abortConnection()
        self.network.pump()
        self.assertFalse(hop.source.pauses)
        self.assertEqual(server.ending, "ConnectionAborted")

    def test_stalledProtocol(self) -> None:
        """
        The watch for stalls can end a protocol that holds others back.
        """
        client, server = self.both()
        target = FactoryTarget(
            self.outletNode.router, self.network.clock, self.servers, "x", self.outletNode.stalls.heldBack
        )
        self.portal.target = target
        client = self.open()
        other = self.open()
        server, otherServer = self.servers.made[-2:]
        other.send(b"x")
        server.transport.pauseProducing()
        client.send(bytes(5 * MIB))
        self.network.advance(15)
        self.assertEqual(server.ending, "ConnectionAborted")
        other.send(b"y")
        self.network.pump()
        self.assertEqual(otherServer.received, b"xy")

    def test_pushProducer(self) -> None:
        """
        A producer is paused while the connection to the other node is full,
        and resumed when it has drained.
        """
        client, server = self.both()
        producer = Producer()
        client.transport.registerProducer(producer, True)
        self.hop.toServer.held = True
        written = 0
        while not producer.events:
            client.send(bytes(32 * 1024))
            written += 32 * 1024
            self.network.pump()
            self.assertLess(written, 16 * MIB)
        self.assertEqual(producer.events, ["pause"])
        self.hop.toServer.held = False
        self.network.pump()
        self.assertEqual(producer.events, ["pause", "resume"])
        self.assertEqual(len(server.received), written)
        client.transport.abortConnection()
        self.network.pump()
        self.assertEqual(producer.events, ["pause", "resume", "stop"])

    def test_noProducer(self) -> None:
        """
        A protocol that writes without end and without a producer fills its
        own memory, not the connection that others share.
        """
        client, server = self.both()
        self.hop.toServer.held = True
        client.send(bytes(40 * MIB))
        self.network.pump()
        [hop] = self.inletNode.transport.hops
        self.assertLess(hop.output.queued, 8 * MIB)
        self.hop.toServer.held = False
        self.network.pump()
        self.assertEqual(len(server.received), 40 * MIB)

    def test_pushProducerThatFills(self) -> None:
        """
        It is paused too when it writes much at once.
        """
        client, _ = self.both()
        producer = Producer()
        client.transport.registerProducer(producer, True)
        client.send(bytes(100_000))
        self.assertEqual(producer.events, ["pause"])
        self.network.pump()
        self.assertEqual(producer.events, ["pause", "resume"])

    def test_pullProducer(self) -> None:
        """
        A pull producer is asked for more whenever there is room.
        """
        from io import BytesIO

        client, server = self.both()
        data = bytes(range(256)) * 40_000
        sending = FileSender().beginFileTransfer(BytesIO(data), client.transport)
        sending.addCallback(lambda _: client.transport.loseConnection())
        self.network.pump()
        self.assertEqual(server.received, data)
        self.assertEqual(server.ending, "ConnectionDone")

    def test_pullProducerWaits(self) -> None:
        """
        While there is no room it is not asked.
        """
        from io import BytesIO

        client, server = self.both()
        self.hop.toServer.held = True
        data = BytesIO(bytes(30 * MIB))
        FileSender().beginFileTransfer(data, client.transport)
        self.network.pump()
        self.assertLess(data.tell(), 10 * MIB)
        self.hop.toServer.held = False
        self.network.pump()
        self.assertEqual(len(server.received), 30 * MIB)

    def test_producers(self) -> None:
        """
        There is one producer at a time; one for a stream that has ended is
        stopped at once.
        """
        client, _ = self.both()
        client.transport.registerProducer(Producer(), True)
        self.assertRaises(RuntimeError, client.transport.registerProducer, Producer(), True)
        client.transport.unregisterProducer()
        client.transport.abortConnection()
        late = Producer()
        client.transport.registerProducer(late, True)
        self.assertEqual(late.events, ["stop"])

    def test_pullProducerHoldsBackTheEnd(self) -> None:
        """
        A pull producer still has its say after the close was asked for.
        """
        client, server = self.both()

        class Three:
            left = 3

            def resumeProducing(self) -> None:
                if self.left:
                    self.left -= 1
                    client.transport.write(b"part ")
                else:
                    client.transport.unregisterProducer()

            def stopProducing(self) -> None:
                self.left = 0

        client.transport.registerProducer(Three(), False)
        client.transport.loseConnection()
        self.network.pump()
        self.assertEqual((server.received, server.ending), (b"part part part ", "ConnectionDone"))


class PongTests(_TransportTestCase):
    """
    The portal's handshake below a protocol.
    """

    def test_notConnectedBeforePong(self) -> None:
        """
        No protocol is made before the outlet has answered.
        """
        self.near = self.inlet()
        outlet = self.outletNode.inbox("outlet", self.outletNode.transport.listenerId)
        openStream(self.near, self.clients)
        self.network.pump()
        self.assertEqual(self.clients.made, [])
        self.outletNode.send(outlet.messages[0].return_route, PONG, outlet)
        self.network.pump()
        self.assertIsInstance(self.clients.made[0].transport, PortalTransport)
