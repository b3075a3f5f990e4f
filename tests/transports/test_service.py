"""
Tests for L{ockam_twisted.transports.service}, over real connections.
"""

from __future__ import annotations

import random
import socket
import struct
from select import select

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, UNIXClientEndpoint, UNIXServerEndpoint
from twisted.internet.error import ConnectingCancelledError, ConnectionDone, ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ockam_twisted.errors import ConnectionClosed, TimedOut, VersionMismatch
from ockam_twisted.interfaces import ITransport, IWorker
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.router import Router
from ockam_twisted.transports.hop import LINGER
from ockam_twisted.transports.hops import HopSettings
from ockam_twisted.transports.queue import DirectQueue
from ockam_twisted.transports.service import DRAIN, TransportService
from ockam_twisted.transports.stalls import DRAIN_SECONDS, StallWatch
from ockam_twisted.wire.frames import encodeFrame
from ockam_twisted.wire.messages import decodeTransport, encodeTransport

APP, SINK = Address.local("app"), Address.local("sink")


@implementer(IWorker)
class Sink:
    """
    Keeps the payloads it gets, and the last message.
    """

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.message: LocalMessage | None = None

    def messageReceived(self, message):
        self.payloads.append(bytes(message.payload))
        self.message = message


class Node:
    """
    A node with a TCP transport.
    """

    def __init__(self, **limits) -> None:
        self.router = Router()
        self.clock = Clock()
        self.stalls = StallWatch(self.clock)
        self.transport = TransportService(HopSettings(self.router, self.clock, self.stalls, **limits))
        self.transport.startService()
        self.app, self.sink = Sink(), Sink()
        self.router.register(APP, self.app)
        self.router.register(SINK, self.sink)
        self.router.flowControls.addConsumer(SINK, self.transport.listenerId)

    def send(self, hop, payload):
        """
        Send to the sink at the other end of a hop.
        """
        self.router.route(LocalMessage(Route((hop.address, SINK)), Route((APP,)), payload), APP)


class Bare(Protocol):
    """
    A peer that does what a test says.
    """

    def __init__(self, whenMade) -> None:
        self.whenMade = whenMade
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self):
        self.whenMade(self)

    def connectionLost(self, reason):
        self.why = reason
        self.lost.callback(None)


class _Connections(TestCase):
    """
    What the tests need of real connections.
    """

    timeout = 20

    def node(self, **limits) -> Node:
        """
        A node that is stopped after the test.
        """
        node = Node(**limits)

        def stop():
            stopped = node.transport.stopService()
            node.clock.advance(DRAIN)
            return stopped

        self.addCleanup(stop)
        return node

    @inlineCallbacks
    def listen(self, node):
        """
        Make a node listen.

        @return: How to connect to it.
        """
        port = yield node.transport.listen(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
        return TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)

    @inlineCallbacks
    def peer(self, whenMade):
        """
        A server that is no node.

        @return: How to connect to it, and what it has accepted.
        """
        accepted = []

        def build():
            accepted.append(Bare(whenMade))
            return accepted[-1]

        port = yield TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(build))
        self.addCleanup(port.stopListening)
        self.addCleanup(lambda: [each.transport.abortConnection() for each in accepted])
        return TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), accepted

    @inlineCallbacks
    def pair(self, **limits):
        """
        Two connected nodes.

        @return: Both, and the hop of the first one.
        """
        alice, bob = self.node(**limits), self.node(**limits)
        endpoint = yield self.listen(bob)
        hop = yield alice.transport.connect(endpoint)
        return alice, bob, hop

    @inlineCallbacks
    def until(self, condition):
        """
        Wait.
        """
        while not condition():
            yield deferLater(reactor, 0.001, lambda: None)


class TransportServiceTests(_Connections):
    """
    Tests for L{TransportService}.
    """

    def test_interface(self) -> None:
        """
        It is an L{ITransport}.
        """
        self.assertTrue(verifyObject(ITransport, self.node().transport))

    @inlineCallbacks
    def test_messages(self):
        """
        Messages of all sizes arrive in order, and replies come back.
        """
        alice, bob, hop = yield self.pair()
        self.assertIs(type(hop.output), DirectQueue)
        alice.router.flowControls.addConsumer(APP, hop.flowId)
        chance = random.Random(0)
        payloads = [chance.randbytes(chance.choice((0, 10, 5000, 200_000))) for _ in range(100)]
        for payload in payloads:
            alice.send(hop, payload)
        yield self.until(lambda: len(bob.sink.payloads) == 100)
        self.assertTrue(bob.sink.payloads == payloads, "a payload differs")
        (accepted,) = bob.transport.hops
        self.assertEqual(bob.sink.message.return_route, Route((accepted.address, APP)))
        bob.router.route(LocalMessage(bob.sink.message.return_route, Route((SINK,)), b"reply"), SINK)
        yield self.until(lambda: alice.app.payloads)
        self.assertEqual(alice.app.message.return_route, Route((hop.address, SINK)))

    @inlineCallbacks
    def test_unix(self):
        """
        Any stream endpoint will do.
        """
        alice, bob = self.node(), self.node()
        yield bob.transport.listen(UNIXServerEndpoint(reactor, "hop"))
        hop = yield alice.transport.connect(UNIXClientEndpoint(reactor, "hop"))
        alice.send(hop, b"payload")
        yield self.until(lambda: bob.sink.payloads)
        self.assertEqual(bob.sink.payloads, [b"payload"])

    @inlineCallbacks
    def test_drains(self):
        """
        A hop that is lost with much to send delivers all of it first.
        """
        alice, bob, hop = yield self.pair()
        for _ in range(100):
            alice.send(hop, bytes(100_000))
        hop.loseConnection()
        yield hop.whenLost()
        (accepted,) = bob.transport.hops or (None,)
        if accepted is not None:
            yield accepted.whenLost()
        self.assertEqual(sum(map(len, bob.sink.payloads)), 10_000_000)
        self.assertEqual((alice.transport.hops, bob.transport.hops), (set(), set()))

    @inlineCallbacks
    def test_refused(self):
        """
        Connecting to where nobody listens fails.
        """
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", unused.getsockname()[1])
            yield self.assertFailure(self.node().transport.connect(endpoint), ConnectionRefusedError)

    @inlineCallbacks
    def test_closesAtOnce(self):
        """
        Connecting to a server that closes at once fails.
        """
        endpoint, _ = yield self.peer(lambda protocol: protocol.transport.loseConnection())
        node = self.node()
        yield self.assertFailure(node.transport.connect(endpoint), ConnectionClosed)
        self.assertEqual(node.transport.hops, set())

    @inlineCallbacks
    def test_neverSaysVersion(self):
        """
        Connecting to a server that never says its version fails in time.
        """
        endpoint, accepted = yield self.peer(lambda protocol: None)
        node = self.node()
        connecting = node.transport.connect(endpoint)
        yield self.until(lambda: accepted and node.transport.hops)
        node.clock.advance(10)
        yield self.assertFailure(connecting, TimedOut)
        yield accepted[0].lost
        self.assertEqual(node.transport.hops, set())

    @inlineCallbacks
    def test_otherProtocol(self):
        """
        Connecting to a server of another protocol fails with what it said.
        """
        endpoint, _ = yield self.peer(lambda protocol: protocol.transport.write(b"SSH-2.0-x\r\n"))
        yield self.assertFailure(self.node().transport.connect(endpoint), VersionMismatch)

    @inlineCallbacks
    def test_cancel(self):
        """
        An attempt can be given up, before and after the connection is made;
        nothing is left of it.
        """
        endpoint, _ = yield self.peer(lambda protocol: None)
        node = self.node()
        before = node.clock.getDelayedCalls()
        early = node.transport.connect(endpoint)
        early.cancel()
        yield self.assertFailure(early, CancelledError, ConnectingCancelledError)
        late = node.transport.connect(endpoint)
        yield self.until(lambda: node.transport.hops)
        late.cancel()
        yield self.assertFailure(late, CancelledError)
        yield self.until(lambda: not node.transport.hops)
        self.assertEqual(node.clock.getDelayedCalls(), before)

    @inlineCallbacks
    def test_tooMany(self):
        """
        Connections above the limit are closed, the others live on.
        """
        alice, bob = self.node(), self.node(perAddress=1)
        endpoint = yield self.listen(bob)
        hop = yield alice.transport.connect(endpoint)
        yield self.assertFailure(alice.transport.connect(endpoint), ConnectionClosed)
        alice.send(hop, b"still here")
        yield self.until(lambda: bob.sink.payloads)

    @inlineCallbacks
    def test_hostileNeighbour(self):
        """
        A peer that breaks the protocol loses its own connection only.
        """
        alice, bob, hop = yield self.pair()
        (port,) = {each.transport.getHost().port for each in bob.transport.hops}
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x01" + bytes(4), b"\x01\xff\xff\xff\xff", b"\x01\0\0\0\x01\xff"):
            with socket.create_connection(("127.0.0.1", port)) as bad:
                bad.sendall(data)
                bad.setblocking(False)
                while True:
                    try:
                        if not bad.recv(100):
                            break
                    except BlockingIOError:
                        yield deferLater(reactor, 0.001, lambda: None)
                    except ConnectionResetError:
                        break
            yield self.until(lambda: len(bob.transport.hops) == 1)
        alice.send(hop, b"still here")
        yield self.until(lambda: bob.sink.payloads)

    @inlineCallbacks
    def test_relay(self):
        """
        What passes through a node to a peer that does not read stops at its
        source; memory stays bounded, and in the end all arrives, in order.
        """
        node = self.node(highWater=200_000)
        endpoint = yield self.listen(node)
        sockets = []
        for _ in range(2):
            each = socket.socket()
            self.addCleanup(each.close)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
            each.connect(("127.0.0.1", endpoint._port))
            each.setblocking(False)
            before = set(node.transport.hops)
            yield self.until(lambda: node.transport.hops - before)  # noqa: B023
            (hop,) = node.transport.hops - before
            hop.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
            sockets.append((each, hop))
        (feeder, inward), (reader, onward) = sockets
        node.router.flowControls.addConsumer(onward.address, inward.flowId)
        chance = random.Random(1)
        payloads = [chance.randbytes(chance.choice((10, 5000, 50_000))) for _ in range(300)]
        stream = b"\x01" + b"".join(
            encodeFrame(encodeTransport(Route((onward.address, SINK)), Route((APP,)), each)) for each in payloads
        )
        reader.send(b"\x01")
        position = idle = most = 0
        while idle < 50:
            try:
                position += feeder.send(stream[position : position + 60_000])
                idle = 0
            except BlockingIOError:
                idle += 1
            most = max(most, onward.output.queued)
            yield deferLater(reactor, 0.0005, lambda: None)
        self.assertLess(position, len(stream))
        self.assertTrue(inward.source.pauses)
        self.assertGreater(most, 200_000)
        self.assertLessEqual(most, 200_000 + 256 * 1024 + 60_000)
        arrived = bytearray()
        messages = []
        while len(messages) < len(payloads):
            try:
                position += feeder.send(stream[position : position + 60_000])
            except BlockingIOError:
                pass
            try:
                arrived += reader.recv(500_000)
            except BlockingIOError:
                yield deferLater(reactor, 0, lambda: None)
            if arrived[:1] == b"\x01" and not messages:
                del arrived[:1]
            while len(arrived) >= 4 and len(arrived) >= 4 + (size := int.from_bytes(arrived[:4], "big")):
                messages.append(decodeTransport(bytes(arrived[4 : 4 + size])))
                del arrived[: 4 + size]
        self.assertTrue([message.payload for message in messages] == payloads, "a payload differs")
        self.assertEqual(messages[0].onward_route, Route((SINK,)))
        self.assertEqual(messages[0].return_route, Route((inward.address, APP)))
        self.assertFalse(inward.source.pauses)

    @inlineCallbacks
    def test_deadFeeder(self):
        """
        A hop that is paused and whose peer resets it is found out.
        """
        node = self.node()
        endpoint = yield self.listen(node)
        client = socket.create_connection(("127.0.0.1", endpoint._port))
        client.sendall(b"\x01")
        yield self.until(lambda: node.transport.hops)
        (hop,) = node.transport.hops
        yield self.until(lambda: hop.ready.called)
        other = yield self.node().transport.connect(endpoint)
        (full,) = node.transport.hops - {hop}
        full.output.holdBack(hop.source)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        yield deferLater(reactor, 0.01, lambda: None)
        self.assertIn(hop, node.transport.hops)
        node.clock.advance(1)
        reason = yield hop.whenLost()
        self.assertIn("reset", reason)
        self.assertNotIn(hop, node.transport.hops)
        other.loseConnection()
        yield full.whenLost()


class StopTests(_Connections):
    """
    Tests for the end of L{TransportService}.
    """

    @inlineCallbacks
    def test_stop(self):
        """
        Stopping ends listening and all connections, after what was sent.
        """
        alice, bob, hop = yield self.pair()
        for _ in range(50):
            alice.send(hop, bytes(100_000))
        port = hop.transport.getPeer().port
        yield alice.transport.stopService()
        yield self.until(lambda: len(bob.sink.payloads) == 50)
        yield bob.transport.stopService()
        self.assertEqual((alice.transport.hops, bob.transport.hops), (set(), set()))
        alice.clock.advance(1)
        self.assertEqual((alice.clock.getDelayedCalls(), bob.clock.getDelayedCalls()), ([], []))
        with socket.socket() as client:
            self.assertNotEqual(client.connect_ex(("127.0.0.1", port)), 0)

    @inlineCallbacks
    def test_unread(self):
        """
        What was sent last arrives, although much of what the peer sends is
        not read any more: it sees an end, and not a reset, which may take
        with it what is under way.
        """
        endpoint, accepted = yield self.peer(lambda protocol: protocol.transport.write(b"\x01"))
        node = self.node()
        hop = yield node.transport.connect(endpoint)
        hop.transport.pauseProducing()
        peer = accepted[0]
        heard = []
        peer.dataReceived = heard.append
        peer.transport.write(bytes(8_000_000))
        yield self.until(lambda: select([hop.transport], [], [], 0)[0])
        peer.transport.pauseProducing()
        node.send(hop, b"the last word")
        stopping = node.transport.stopService()
        # It writes for a while before it reads.
        yield deferLater(reactor, 0.05, lambda: None)
        peer.transport.resumeProducing()
        yield stopping
        yield peer.lost
        self.assertIn(b"the last word", b"".join(heard))
        self.assertIsInstance(peer.why.value, ConnectionDone)
        self.assertEqual(node.clock.getDelayedCalls(), [])

    @inlineCallbacks
    def test_unended(self):
        """
        Who does not end a connection that we have ended is not waited for,
        whether the service stops or not, and still gets all that was sent.
        """
        for isStopped in (False, True):
            endpoint, accepted = yield self.peer(lambda protocol: protocol.transport.write(b"\x01"))
            node = self.node()
            hop = yield node.transport.connect(endpoint)
            [peer] = accepted
            peer.transport.pauseProducing()
            heard = []
            peer.dataReceived = heard.append
            node.send(hop, bytes(50_000))
            if isStopped:
                stopping = node.transport.stopService()
            else:
                hop.loseConnection()
            yield self.until(lambda hop=hop: hop.output.isDrained)
            # Its own end is under way.
            yield deferLater(reactor, 0.02, lambda: None)
            self.assertEqual(len(node.transport.hops), 1)
            node.clock.advance(DRAIN if isStopped else LINGER)
            if isStopped:
                yield stopping
            self.assertEqual(node.transport.hops, set())
            peer.transport.resumeProducing()
            yield peer.lost
            self.assertGreater(len(b"".join(heard)), 50_000)
            self.assertIsInstance(peer.why.value, ConnectionDone)

    @inlineCallbacks
    def test_full(self):
        """
        The peer does not read, and its kernel has no room for the end of all
        either: stopping ends nevertheless, and so does the connection alone.
        """
        for isStopped in (False, True):
            endpoint, accepted = yield self.peer(lambda protocol: protocol.transport.write(b"\x01"))
            node = self.node()
            node.stalls.startService()
            hop = yield node.transport.connect(endpoint)
            accepted[0].transport.pauseProducing()
            # Their buffers grow for a while.
            for _ in range(20):
                while not hop.output.queued and select([], [hop.transport], [], 0)[1]:
                    node.send(hop, bytes(10_000))
                    yield deferLater(reactor, 0, lambda: None)
                yield deferLater(reactor, 0.005, lambda: None)
            self.assertEqual(select([], [hop.transport], [], 0)[1], [])
            stopped = []
            if isStopped:
                node.transport.stopService().addBoth(stopped.append)
            else:
                hop.loseConnection()
            seconds = DRAIN if isStopped else LINGER + DRAIN_SECONDS + 2
            for _ in range(int(seconds)):
                node.clock.advance(1)
                yield deferLater(reactor, 0.001, lambda: None)
            self.assertEqual((node.transport.hops, len(stopped)), (set(), int(isStopped)))
            node.stalls.stopService()

    @inlineCallbacks
    def test_pausedMeanwhile(self):
        """
        Whoever asks that we read no more while we wait for the peer's end
        does not keep it from us.
        """
        endpoint, accepted = yield self.peer(lambda protocol: protocol.transport.write(b"\x01"))
        node = self.node()
        hop = yield node.transport.connect(endpoint)
        [peer] = accepted
        peer.transport.pauseProducing()
        hop.loseConnection()
        hop.source.pauseFor("the test")
        yield deferLater(reactor, 0.01, lambda: None)
        self.assertEqual(len(node.transport.hops), 1)
        peer.transport.resumeProducing()
        yield hop.whenLost()
        yield peer.lost
        self.assertIsInstance(peer.why.value, ConnectionDone)

    @inlineCallbacks
    def test_deadline(self):
        """
        A connection that does not drain is aborted after 2 seconds.
        """

        def mute(protocol):
            protocol.transport.write(b"\x01")
            protocol.transport.pauseProducing()

        endpoint, _ = yield self.peer(mute)
        node = self.node()
        hop = yield node.transport.connect(endpoint)
        node.router.turn.enter(None)
        while not hop.output.queued:
            node.send(hop, bytes(1_000_000))
            hop.output.flush()
        node.router.turn.leave()
        stopping = node.transport.stopService()
        yield deferLater(reactor, 0.02, lambda: None)
        self.assertNoResult(stopping)
        node.clock.advance(DRAIN)
        yield stopping
        self.assertEqual(node.transport.hops, set())

    @inlineCallbacks
    def test_idle(self):
        """
        A transport without connections stops at once.
        """
        node = self.node()
        yield node.transport.stopService()
        self.assertEqual(node.clock.getDelayedCalls(), [])
