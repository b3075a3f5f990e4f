"""
Tests for L{ockam_twisted.transports.stream}, in memory.
"""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.test import iosim
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ockam_twisted.errors import ConnectionClosed, DecodeError, TimedOut, VersionMismatch
from ockam_twisted.interfaces import IFlowReceiver, IHop, IWorker
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.inbound import ADDRESS_WEIGHT, FLOW_WEIGHT, MAX_WEIGHT, InboundBudget
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.router import FLOW_CONTROL, INCOMING, NOBODY, TOO_LONG, Router
from ockam_twisted.transports import hop
from ockam_twisted.transports.allowance import LONGEST
from ockam_twisted.transports.hops import HopSettings
from ockam_twisted.transports.stalls import StallWatch
from ockam_twisted.transports.stream import MessageStreamProtocol
from ockam_twisted.wire.frames import MAX_FRAME, encodeFrame
from ockam_twisted.wire.messages import decodeTransport, encodeTransport, payloadHead, routeBytes

APP = Address.local("app")
PEER = IPv4Address("TCP", "192.0.2.1", 4000)


@implementer(IWorker)
class Sink:
    """
    Keeps the messages it gets.
    """

    def __init__(self, messages: list[LocalMessage] | None = None) -> None:
        self.messages: list[LocalMessage] = [] if messages is None else messages

    def messageReceived(self, message):
        self.messages.append(message)


@implementer(IFlowReceiver)
class FlowSink(Sink):
    """
    Takes flows, and keeps what they carry as messages.
    """

    def flowOpened(self, message):
        def receive(pieces, size):
            payload = b"".join(pieces)
            assert len(payload) == size
            self.messages.append(
                LocalMessage(message.onward_route, message.return_route, payload, message.local_info, message.source)
            )

        return receive


class Node:
    """
    As much of a node as has hops.
    """

    def __init__(self, **limits: Any) -> None:
        self.router = Router()
        self.clock = Clock()
        self.settings = HopSettings(self.router, self.clock, StallWatch(self.clock), **limits)
        self.app = Sink()
        self.router.register(APP, self.app)

    def hop(self, spawnerId: str | None = None) -> MessageStreamProtocol:
        """
        A hop, not connected yet.
        """
        return MessageStreamProtocol(self.settings, spawnerId)

    def add(self, name: str, worker: Any, hop: MessageStreamProtocol) -> Any:
        """
        Register a worker that a hop may reach.
        """
        address = Address.local(name)
        self.router.register(address, worker)
        self.router.flowControls.addConsumer(address, hop.flowId)
        return worker

    def send(self, hop: MessageStreamProtocol, onward: Route, payload: bytes) -> None:
        """
        Send a message from the application through a hop.
        """
        self.router.route(LocalMessage(onward.prepend(hop.address), Route((APP,)), payload), APP)


class StreamCase(SynchronousTestCase):
    """
    One hop whose other end is a test.
    """

    def connected(self, node: Node, hop: MessageStreamProtocol | None = None) -> MessageStreamProtocol:
        """
        A connected hop.
        """
        hop = hop or node.hop()
        hop.makeConnection(StringTransport(peerAddress=PEER))
        return hop

    def setUp(self) -> None:
        """
        A node with a connected hop that has seen the version byte.
        """
        self.node = Node()
        self.hop = self.connected(self.node)
        self.transport: Any = self.hop.transport
        self.assertEqual(self.transport.value(), b"\x01")
        self.transport.clear()
        self.hop.dataReceived(b"\x01")

    def lose(self) -> None:
        """
        The transport tells the hop that it is over.
        """
        self.hop.connectionLost(Failure(ConnectionLost()))


class BlockedTests(StreamCase):
    """
    Who is held back, and who is merely silent.
    """

    def test_blocked(self) -> None:
        """
        A hop that we do not read from, or whose peer does not read, is
        blocked; not if nothing on the way to it answers any more.
        """
        owed = 0.0
        unanswered: Any = lambda transport: owed  # noqa: E731
        self.patch(hop, "unanswered", unanswered)
        self.assertFalse(self.hop.isBlocked)
        self.hop.source.pauseFor("somebody")
        self.assertTrue(self.hop.isBlocked)
        owed = 1.0
        self.assertFalse(self.hop.isBlocked)


class ArrivingTests(StreamCase):
    """
    How it can be seen that a message is on its way.
    """

    def test_pieces(self) -> None:
        """
        Each piece that comes is counted, and so are messages once they are whole; what the kernel
        has behind a gap is a piece.
        """
        behind = 0
        behindGap: Any = lambda transport: behind  # noqa: E731
        self.patch(hop, "behindGap", behindGap)
        frame = encodeFrame(encodeTransport([], [], b""))
        begun = self.hop.pieces
        seen = []
        for byte in frame:
            seen.append((self.hop.messages, self.hop.pieces - begun))
            self.hop.dataReceived(bytes([byte]))
        self.assertEqual(seen, [(0, count) for count in range(len(frame))])
        self.assertEqual((self.hop.messages, self.hop.pieces - begun), (1, len(frame)))
        behind = 3
        self.assertEqual(self.hop.pieces - begun, len(frame) + 3)


class InboundTests(StreamCase):
    """
    From the wire to the workers.
    """

    def test_delivered(self) -> None:
        """
        A message arrives with all of its onward route, the hop's address in
        front of its return route, and the receiver as its source.
        """
        for worker in (Sink(), FlowSink()):
            self.node.add("echo", worker, self.hop)
            for payload in (b"one", b"two" * 5000):
                self.hop.dataReceived(encodeFrame(encodeTransport(Route.of("echo", "x"), Route.of("a"), payload)))
            expected = [
                LocalMessage(
                    Route.of("echo", "x"), Route((self.hop.address, *Route.of("a"))), payload, (), self.hop.receiver
                )
                for payload in (b"one", b"two" * 5000)
            ]
            self.assertEqual(worker.messages, expected)
            self.node.router.unregister(Address.local("echo"))

    def test_byteByByte(self) -> None:
        """
        Frames may arrive in any pieces, the version byte too.
        """
        hop = self.connected(self.node)
        sink = self.node.add("echo", Sink(), hop)
        data = b"\x01" + b"".join(
            encodeFrame(encodeTransport(Route.of("echo"), Route.of("a"), bytes(n))) for n in (0, 1, 300)
        )
        for n in range(len(data)):
            hop.dataReceived(data[n : n + 1])
        self.assertEqual([message.payload for message in sink.messages], [bytes(n) for n in (0, 1, 300)])
        self.assertEqual(hop.received, len(data))

    def test_version(self) -> None:
        """
        The hop is ready with the peer's version byte, not before.
        """
        hop = self.connected(self.node)
        self.assertNoResult(hop.ready)
        hop.dataReceived(b"\x01")
        self.assertIs(self.successResultOf(hop.ready), hop)

    def test_heartbeat(self) -> None:
        """
        Messages with an empty onward route are ignored.
        """
        for body in ("84808040627b7d", "83808040", "84808040f6", "85808040f601"):
            self.hop.dataReceived(encodeFrame(bytes.fromhex(body)))
        self.assertEqual(sum(self.node.router.dropped.values()), 0)
        self.assertFalse(self.transport.disconnected)

    def assertLoses(self, data: bytes, error: type[Exception] | None = None) -> None:
        """
        The data loses the connection, with one line in the log and no
        traceback.
        """
        hop = self.connected(self.node, self.node.hop("listener"))
        with capturedLogs() as events:
            hop.dataReceived(data[:1])
            hop.dataReceived(data[1:])
            hop.dataReceived(b"more")
        self.assertTrue(hop.transport.disconnected)
        self.assertEqual([event["log_level"] for event in events], [LogLevel.warn])
        self.assertNotIn("log_failure", events[0])
        hop.connectionLost(Failure(ConnectionLost()))
        if error is None:
            self.assertIs(self.successResultOf(hop.ready), hop)
        else:
            self.failureResultOf(hop.ready, error)
        self.assertFalse(self.transport.disconnected)

    def test_hostileServer(self) -> None:
        """
        Who has made the connection is told, and nothing is logged.
        """
        hop = self.connected(self.node)
        with capturedLogs() as events:
            hop.dataReceived(b"HTTP/1.1 400 Bad Request")
        self.assertTrue(hop.transport.disconnected)
        self.assertEqual(len(events), 0)
        hop.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(hop.ready, VersionMismatch)

    def test_hostile(self) -> None:
        """
        What is no protocol of ours loses the connection it came over, and no
        other.
        """
        self.assertLoses(b"\x02", VersionMismatch)
        self.assertLoses(b"\x00", VersionMismatch)
        self.assertLoses(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", VersionMismatch)
        self.assertLoses(b"\x16\x03\x01\x02\x00\x01\x00", VersionMismatch)
        self.assertLoses(b"\x01" + bytes(4))
        self.assertLoses(b"\x01" + (1024 * 1024 + 1).to_bytes(4, "big"))
        self.assertLoses(b"\x01\xff\xff\xff\xff")
        self.assertLoses(b"\x01" + encodeFrame(random.Random(0).randbytes(100)))
        echo = routeBytes(Route.of("echo"))
        for body in (
            b"\xa0",
            b"\x82\x80\x80",
            b"\x83\x80\x80\x5f\x41\x01\xff",
            b"\x83\x80\x80\x82\x01\x02",
            b"\x83\x81\x82\x00\x61a\x80\x40",
            b"\x84" + echo + echo + b"\x40\x01",
            b"\x84" + echo + echo + b"\x40",
            b"\x83" + echo + echo + b"\x41",
            b"\x83" + echo + b"\x98\x21" + b"\x82\x00\x40" * 33 + b"\x40",
        ):
            self.assertLoses(b"\x01" + encodeFrame(body))

    def test_failureReason(self) -> None:
        """
        Who waits for a hop learns what the peer sent instead.
        """
        hop = self.connected(self.node)
        hop.dataReceived(b"HTTP")
        lost = hop.whenLost()
        hop.connectionLost(Failure(ConnectionLost()))
        self.assertIn("72", str(self.failureResultOf(hop.ready, VersionMismatch).value))
        self.assertIn("72", self.successResultOf(lost))

    def test_goodBeforeBad(self) -> None:
        """
        Frames before the bad one are delivered, those behind it are not.
        """
        sink = self.node.add("echo", Sink(), self.hop)
        good = encodeFrame(encodeTransport(Route.of("echo"), Route(), b"good"))
        for bad in (encodeFrame(b"\xa0"), bytes(4)):
            hop = self.connected(self.node)
            self.node.router.flowControls.addConsumer(Address.local("echo"), hop.flowId)
            hop.dataReceived(b"\x01" + good + good + bad + good)
            self.assertEqual(len(sink.messages), 2)
            sink.messages.clear()

    def test_frameAcrossTheNext(self) -> None:
        """
        A frame that ends within its routes is refused even if the bytes
        behind it would complete what a known flow looks like.
        """
        sink = self.node.add("echo", Sink(), self.hop)
        body = encodeTransport(Route.of("echo"), Route.of("aaaa"), b"")
        self.hop.dataReceived(encodeFrame(body))
        cut = len(body) - len(b"aaaa\x40\x62{}")
        self.hop.dataReceived(cut.to_bytes(4, "big") + body)
        self.assertTrue(self.transport.disconnected)
        self.assertEqual(len(sink.messages), 1)

    def test_workerFails(self) -> None:
        """
        A worker that raises does not disturb the connection.
        """

        @implementer(IWorker)
        class Failing:
            def messageReceived(self, message):
                raise ZeroDivisionError

        self.node.add("echo", Failing(), self.hop)
        frame = encodeFrame(encodeTransport(Route.of("echo"), Route(), b""))
        self.hop.dataReceived(frame + frame)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertFalse(self.transport.disconnected)
        self.assertEqual(self.node.router.turn.depth, 0)

    def test_receiverFails(self) -> None:
        """
        An error of ours in the receiver of a flow loses the connection, and
        leaves the turn in order.
        """

        @implementer(IFlowReceiver)
        class Failing(Sink):
            def flowOpened(self, message):
                return lambda pieces, size: 1 / 0

        self.node.add("echo", Failing(), self.hop)
        self.hop.dataReceived(encodeFrame(encodeTransport(Route.of("echo"), Route(), b"")))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(self.transport.disconnected)
        self.assertEqual(self.node.router.turn.depth, 0)

    def test_dropped(self) -> None:
        """
        Messages for nobody, for who may not have them, for the receiver
        itself, and with too long a way back, are dropped; the connection
        lives.
        """
        self.node.add("echo", Sink(), self.hop)
        for onward, back in (
            (Route.of("nobody"), Route()),
            (Route.of("1#127.0.0.1:1"), Route()),
            (Route.of("app"), Route()),
            (Route.of("echo"), Route.of(*"a" * 32)),
        ):
            self.hop.dataReceived(encodeFrame(encodeTransport(onward, back, b"")))
        self.node.router.flowControls.addConsumer(self.hop.receiver, self.hop.flowId)
        self.hop.dataReceived(encodeFrame(encodeTransport(Route((self.hop.receiver,)), Route(), b"")))
        self.assertEqual(self.node.router.dropped, {NOBODY: 2, FLOW_CONTROL: 1, TOO_LONG: 1, INCOMING: 1})
        self.assertEqual(self.node.app.messages, [])
        self.assertFalse(self.transport.disconnected)

    def test_reregistered(self) -> None:
        """
        When the worker of a cached flow goes, messages go to the next one at
        its address, once that may have them.
        """
        frame = encodeFrame(encodeTransport(Route.of("echo"), Route(), b"x"))
        one = self.node.add("echo", FlowSink(), self.hop)
        self.hop.dataReceived(frame)
        self.node.router.unregister(Address.local("echo"))
        self.hop.dataReceived(frame)
        two = FlowSink()
        self.node.router.register(Address.local("echo"), two)
        self.hop.dataReceived(frame)
        self.node.router.flowControls.addConsumer(Address.local("echo"), self.hop.flowId)
        self.hop.dataReceived(frame)
        self.assertEqual((len(one.messages), len(two.messages)), (1, 1))
        self.assertEqual(self.node.router.dropped, {NOBODY: 1, FLOW_CONTROL: 1})

    def test_spawned(self) -> None:
        """
        An accepted connection reaches the consumers of its listener's id, one
        that we made does not.
        """
        sink = Sink()
        self.node.router.register(Address.local("api"), sink)
        self.node.router.flowControls.addConsumer(Address.local("api"), "listener")
        frame = encodeFrame(encodeTransport(Route.of("api"), Route(), b""))
        self.hop.dataReceived(frame)
        self.assertEqual(sink.messages, [])
        accepted = self.connected(self.node, self.node.hop("listener"))
        accepted.dataReceived(b"\x01" + frame)
        self.assertEqual(len(sink.messages), 1)


class TableTests(StreamCase):
    """
    The table of known routes gives the same result as decoding each message.
    """

    def test_manyFlows(self) -> None:
        """
        The table holds at most 4096 pairs of routes, and messages of all
        arrive.
        """
        sink = self.node.add("echo", Sink(), self.hop)
        for _ in range(2):
            for n in range(5000):
                self.hop.dataReceived(encodeFrame(encodeTransport(Route.of("echo"), Route.of(f"{n:04}"), b"")))
                self.assertLessEqual(len(self.hop._flows), 4096)
        self.assertEqual(
            [message.return_route[1].value for message in sink.messages], [b"%04d" % n for n in range(5000)] * 2
        )

    def test_manyLengths(self) -> None:
        """
        Routes of many different lengths are found or opened again.
        """
        sink = self.node.add("echo", Sink(), self.hop)
        for _ in range(3):
            for n in range(1, 60):
                self.hop.dataReceived(encodeFrame(encodeTransport(Route.of("echo"), Route.of("a" * n), b"")))
        self.assertEqual([len(message.return_route[1].value) for message in sink.messages], list(range(1, 60)) * 3)

    def test_longRoutes(self) -> None:
        """
        Long routes do not make the table large.
        """
        sink = self.node.add("echo", Sink(), self.hop)
        for n in range(300):
            back = Route.of(*(f"{n:04}" + "a" * 251 for _ in range(31)))
            self.hop.dataReceived(encodeFrame(encodeTransport(Route.of("echo"), back, b"")))
            self.assertLessEqual(len(self.hop._flows) * 31 * (255 + ADDRESS_WEIGHT), MAX_WEIGHT)
        self.assertEqual(len(sink.messages), 300)

    def test_shortAddresses(self) -> None:
        """
        Nor do long routes of short addresses, which take little on the wire.
        """
        sink = self.node.add("echo", Sink(), self.hop)
        for n in range(1000):
            back = Route.of(f"{n:04}", *[b""] * 30)
            self.hop.dataReceived(encodeFrame(encodeTransport(Route.of("echo"), back, b"")))
            self.assertLessEqual(len(self.hop._flows) * 32 * ADDRESS_WEIGHT, MAX_WEIGHT)
        self.assertEqual(len(sink.messages), 1000)

    def test_together(self) -> None:
        """
        The tables of all connections have a bound together, and emptying one loses no message.
        """
        self.node.router.inbound = InboundBudget(20 * (FLOW_WEIGHT + 200))
        hops = [self.connected(self.node) for _ in range(4)]
        sink = Sink()
        self.node.router.register(Address.local("echo"), sink)
        for each in hops:
            each.dataReceived(b"\x01")
            self.node.router.flowControls.addConsumer(Address.local("echo"), each.flowId)
        for n in range(200):
            # Twice the same: what it has found last stays good.
            frame = encodeFrame(encodeTransport(Route.of("echo"), Route.of(f"{n:04}"), b"%d" % n))
            hops[n % 4].dataReceived(frame)
            hops[n % 4].dataReceived(frame * 2)
            self.assertLessEqual(sum(len(each._flows) for each in hops), 24)
        self.assertEqual([message.payload for message in sink.messages], [b"%d" % (n // 3) for n in range(600)])

    _names = st.sampled_from(("flow", "sink", "nobody", "x" * 23, "x" * 24, "x" * 255))
    _hops = st.tuples(st.sampled_from((0, 0, 0, 1, 24, 255)), _names)
    _routes = st.lists(_hops, max_size=4) | st.just([(0, "flow")]) | st.just([(0, "sink")])
    _sizes = st.one_of(st.integers(0, 300), st.integers(0, 200_000), st.sampled_from((4095, 4096, 65535, 65536)))
    _tails = st.sampled_from(
        (None, b"\xf6", b"\x62{}", b'\x74{"traceparent":"00"}', b"\x60", b"\x62{}\x01", b"\x62{}\x81\x00", b"\x01", b"")
    )

    @staticmethod
    def body(onward: Any, back: Any, size: int, tail: bytes | None, seed: int) -> bytes:
        """
        A transport message in one of its forms; now and then a broken one.
        """
        count = 3 if tail is None else 5 if tail[1:] and tail[0] == 0x62 and len(tail) > 3 else 4
        chance = random.Random(seed)
        made = b"".join(
            (
                bytes((0x80 + count,)),
                routeBytes((kind, name.encode()) for kind, name in onward),
                routeBytes((kind, name.encode()) for kind, name in back),
                payloadHead(size),
                chance.randbytes(size),
                tail or b"",
            )
        )
        kind = chance.randrange(40)
        if kind == 0:
            at = chance.randrange(min(len(made), 60))
            made = made[:at] + bytes((chance.randrange(256),)) + made[at + 1 :]
        elif kind == 1:
            made = made[: chance.randrange(1, len(made))]
        elif kind == 2:
            made += b"\x00"
        return made

    @settings(deadline=None, max_examples=150, derandomize=True)
    @given(
        st.lists(st.tuples(_routes, _routes), min_size=1, max_size=3),
        st.lists(st.tuples(st.integers(0, 2), _sizes, _tails, st.integers(0, 2**32)), min_size=1, max_size=12),
        st.integers(0, 2**32),
    )
    def test_same(self, routes: Any, messages: Any, seed: int) -> None:
        """
        Whatever the peer sends, in whatever pieces, the workers get what the
        general decoder makes of it, up to the first message it refuses.
        """
        node = Node()
        got: list[LocalMessage] = []
        hop = node.hop()
        hop.makeConnection(StringTransport(peerAddress=PEER))
        node.add("flow", FlowSink(got), hop)
        node.add("sink", Sink(got), hop)
        expected: list[LocalMessage] = []
        refused = False
        data = [b"\x01"]
        for which, size, tail, each in messages:
            onward, back = routes[which % len(routes)]
            body = self.body(onward, back, size, tail, each)
            data.append(encodeFrame(body))
            if refused:
                continue
            try:
                message = decodeTransport(body)
            except DecodeError:
                refused = True
                continue
            if message.onward_route and message.onward_route[0] in ((0, b"flow"), (0, b"sink")):
                expected.append(
                    LocalMessage(
                        Route.fromWire(message.onward_route),
                        Route.fromWire((hop.address, *message.return_route)),
                        message.payload,
                        (),
                        hop.receiver,
                    )
                )
        stream = b"".join(data)
        chance = random.Random(seed)
        position = 0
        while position < len(stream):
            size = chance.choice((chance.randrange(1, 20), chance.randrange(1, 3000), 256 * 1024))
            hop.dataReceived(stream[position : position + size])
            position += size
        transport: Any = hop.transport
        self.assertEqual(transport.disconnected, refused)
        self.assertEqual(len(got), len(expected))
        self.assertTrue(got == expected, "a message differs")


class OutboundTests(StreamCase):
    """
    From the workers to the wire.
    """

    def test_interface(self) -> None:
        """
        It is an L{IHop}.
        """
        self.assertTrue(verifyObject(IHop, self.hop))

    def test_spec(self) -> None:
        """
        A message looks as the specification shows it.
        """
        back = Route.of("00112233445566778899aabbccddeeff")
        self.node.router.route(LocalMessage(Route.of("echo").prepend(self.hop.address), back, b"\x0cHello Ockam!"), APP)
        self.assertEqual(
            self.transport.value().hex(),
            "0000003f84818200446563686f8182005820"
            + b"00112233445566778899aabbccddeeff".hex()
            + "4d0c48656c6c6f204f636b616d21627b7d",
        )

    def test_sizes(self) -> None:
        """
        Flow and single message are the same on the wire, as the general
        encoder makes them, for payloads of all sizes.
        """
        flow = self.node.router.open(Route.of("echo").prepend(self.hop.address), Route((APP,)), APP)
        for size in (0, 1, 23, 24, 255, 256, 65535, 65536, 1_000_000):
            payload = random.Random(size).randbytes(size)
            expected = encodeFrame(encodeTransport(Route.of("echo"), Route((APP,)), payload))
            flow.send((payload[:10], memoryview(payload)[10:]), size)
            self.assertEqual(self.transport.value(), expected)
            self.transport.clear()
            self.node.send(self.hop, Route.of("echo"), payload)
            self.assertEqual(self.transport.value(), expected)
            self.transport.clear()

    def test_oneWrite(self) -> None:
        """
        What is sent in one turn is one write.
        """
        writes: list[bytes] = []
        self.transport.write = writes.append
        with self.node.router.turn:
            for _ in range(3):
                self.node.send(self.hop, Route.of("echo"), b"")
        self.assertEqual(len(writes), 1)

    def test_tooLarge(self) -> None:
        """
        A message above the limit is dropped, one at the limit is not, and the
        log says so once.
        """
        overhead = len(encodeTransport(Route.of("echo"), Route((APP,)), bytes(70_000))) - 70_000
        fits = 1024 * 1024 - overhead
        with capturedLogs() as events:
            self.node.send(self.hop, Route.of("echo"), bytes(fits))
            sent = len(self.transport.value())
            for _ in range(3):
                self.node.send(self.hop, Route.of("echo"), bytes(fits + 1))
        self.assertEqual(sent, 1024 * 1024 + 4)
        self.assertEqual(len(self.transport.value()), sent)
        self.assertEqual(len(events), 1)
        self.assertFalse(self.transport.disconnected)

    def test_limitIsTheWires(self) -> None:
        """
        With the largest limit the largest frame of the wire is accepted.
        """
        node = Node(maxFrame=MAX_FRAME)
        hop = self.connected(node)
        sink = node.add("echo", Sink(), hop)
        overhead = len(encodeTransport(Route.of("echo"), Route(), bytes(70_000))) - 70_000
        hop.dataReceived(b"\x01" + encodeFrame(encodeTransport(Route.of("echo"), Route(), bytes(MAX_FRAME - overhead))))
        self.assertEqual(len(sink.messages), 1)

    def test_gone(self) -> None:
        """
        Flows to a hop that is gone, and messages to it, are dropped.
        """
        flow = self.node.router.open(Route.of("echo").prepend(self.hop.address), Route((APP,)), APP)
        flow.send((b"",), 0)
        self.lose()
        self.transport.clear()
        flow.send((b"",), 0)
        self.node.send(self.hop, Route.of("echo"), b"")
        self.assertEqual(self.transport.value(), b"")
        self.assertEqual(self.node.router.dropped, {NOBODY: 2})


class EndTests(StreamCase):
    """
    How hops begin and end.
    """

    def test_forgotten(self) -> None:
        """
        Of 1,000 connections nothing is left behind.
        """
        self.lose()
        frame = encodeFrame(encodeTransport(Route.of("app"), Route(), b""))
        for _ in range(1000):
            hop = self.connected(self.node, self.node.hop("listener"))
            self.node.router.flowControls.addConsumer(APP, hop.flowId)
            hop.dataReceived(b"\x01" + frame)
            hop.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(len(self.node.app.messages), 1000)
        self.assertEqual(list(self.node.router._mailboxes), [APP])
        for name, value in vars(self.node.router.flowControls).items():
            if isinstance(value, dict):
                self.assertEqual(value, {}, name)
        self.assertEqual(self.node.clock.getDelayedCalls(), [])

    def test_versionTimeout(self) -> None:
        """
        A peer that says nothing is given up after 10 seconds.
        """
        hop = self.connected(self.node, self.node.hop("listener"))
        self.node.clock.advance(9.9)
        self.assertFalse(hop.transport.disconnected)
        with capturedLogs() as events:
            self.node.clock.advance(0.1)
        self.assertTrue(hop.transport.disconnected)
        self.assertEqual(len(events), 1)
        lost = hop.whenLost()
        hop.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(hop.ready, TimedOut)
        self.assertIn("version byte", self.successResultOf(lost))

    def test_noTimeoutAfterwards(self) -> None:
        """
        A peer that said its version byte may be silent.
        """
        self.node.clock.advance(1000)
        self.assertFalse(self.transport.disconnected)

    def test_closedBeforeReady(self) -> None:
        """
        A peer that closes before its version byte fails who waits.
        """
        hop = self.connected(self.node)
        hop.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(hop.ready, ConnectionClosed)
        self.assertEqual(len(self.node.clock.getDelayedCalls()), 0)

    def test_whenLost(self) -> None:
        """
        Everyone who asks is told the reason, before and after.
        """
        before = self.hop.whenLost(), self.hop.whenLost()
        self.assertNoResult(before[0])
        self.lose()
        texts = [self.successResultOf(each) for each in (*before, self.hop.whenLost())]
        self.assertEqual(len(set(texts)), 1)
        self.assertIn("lost", texts[0])

    def test_notLostYet(self) -> None:
        """
        A hop whose end was asked for is not lost before its connection is.
        """
        self.hop.loseConnection()
        waiting = self.hop.whenLost()
        self.assertNoResult(waiting)
        self.assertTrue(self.transport.disconnecting)
        self.lose()
        self.assertEqual(self.successResultOf(waiting), "we have closed it")

    def test_abort(self) -> None:
        """
        The first reason counts, and is logged once.
        """
        with capturedLogs() as events:
            self.hop.abortConnection("enough")
            self.hop.abortConnection("again")
        self.assertEqual(len(events), 1)
        self.lose()
        self.assertEqual(self.successResultOf(self.hop.whenLost()), "enough")

    def test_watched(self) -> None:
        """
        Who watches the address learns that it is gone, in a turn.
        """
        depths: list[int] = []
        self.node.router.watch(self.hop.address, lambda: depths.append(self.node.router.turn.depth))
        self.lose()
        self.assertEqual(len(depths), 1)
        self.assertGreater(depths[0], 0)

    def test_losesAfterDraining(self) -> None:
        """
        What a hop has to send leaves before it is lost.
        """
        self.transport.producer.pauseProducing()
        self.node.send(self.hop, Route.of("echo"), b"last")
        self.hop.loseConnection()
        self.assertFalse(self.transport.disconnecting)
        self.transport.producer.resumeProducing()
        self.assertIn(b"last", self.transport.value())
        self.assertTrue(self.transport.disconnecting)

    def test_peer(self) -> None:
        """
        The peer is named as people know it.
        """
        self.assertEqual(self.hop.peer, "192.0.2.1:4000")
        hop = self.node.hop()
        hop.makeConnection(StringTransport(peerAddress=UNIXAddress("/run/x")))
        self.assertIn("/run/x", hop.peer)
        self.assertIn("192.0.2.1:4000", self.hop.output.label)

    def test_fullHopPausesFeeder(self) -> None:
        """
        A hop that is read from is paused while the one it feeds is full, and
        read on when that has drained.
        """
        node = Node(highWater=1000)
        feeder, full = self.connected(node), self.connected(node)
        feeder.dataReceived(b"\x01")
        node.router.flowControls.addConsumer(full.address, feeder.flowId)
        onward: Any = full.transport
        inward: Any = feeder.transport
        onward.producer.pauseProducing()
        frame = encodeFrame(encodeTransport(Route.of("echo").prepend(full.address), Route(), bytes(600)))
        feeder.dataReceived(frame)
        self.assertEqual(inward.producerState, "producing")
        feeder.dataReceived(frame)
        self.assertEqual(inward.producerState, "paused")
        onward.producer.resumeProducing()
        self.assertEqual(inward.producerState, "producing")


class Laborious(Sink):
    """
    Needs a tenth of a second for each message.
    """

    clock: Clock

    def messageReceived(self, message):
        super().messageReceived(message)
        self.clock.rightNow += 0.1


class AllowanceTests(StreamCase):
    """
    Who asks for much that takes long is read more slowly.
    """

    def setUp(self) -> None:
        """
        A worker that needs long, and a hop of somebody who has connected.
        """
        super().setUp()
        self.accepted = self.connected(self.node, self.node.hop("listener"))
        self.accepted.dataReceived(b"\x01")
        self.worker = Laborious()
        self.worker.clock = self.node.clock
        self.node.add("slow", self.worker, self.hop)
        self.node.router.flowControls.addConsumer(Address.local("slow"), self.accepted.flowId)

    def ask(self, hop: MessageStreamProtocol, count: int, name: str = "slow") -> None:
        """
        So many messages in one read, each one of somebody else.
        """
        onward = (Address.local(name),)
        hop.dataReceived(
            b"".join(encodeFrame(encodeTransport(onward, (Address.random(),), b"x")) for _ in range(count))
        )

    def test_paused(self) -> None:
        """
        All that was read is delivered; then nothing is read for a while.
        """
        self.ask(self.accepted, 2)
        self.assertFalse(self.accepted.source.pauses)
        self.ask(self.accepted, 3)
        self.assertTrue(self.accepted.source.pauses)
        self.assertEqual(len(self.worker.messages), 5)
        self.node.clock.advance(LONGEST)
        self.assertFalse(self.accepted.source.pauses)

    def test_sameRoute(self) -> None:
        """
        It makes no difference that the routes are known.
        """
        frame = encodeFrame(encodeTransport((Address.local("slow"),), (Address.local("me"),), b"x"))
        self.accepted.dataReceived(frame * 5)
        self.assertTrue(self.accepted.source.pauses)

    def test_direct(self) -> None:
        """
        Who has prepared for a flow is not looked at.
        """
        received = FlowSink()

        def flowOpened(message: LocalMessage) -> Any:
            def receive(pieces: Any, size: int) -> None:
                self.node.clock.rightNow += 0.1

            return receive

        received.flowOpened = flowOpened  # type: ignore[method-assign]
        self.node.add("fast", received, self.accepted)
        frame = encodeFrame(encodeTransport((Address.local("fast"),), (Address.local("me"),), b"x"))
        # The first one is what it is prepared for.
        self.accepted.dataReceived(frame)
        self.accepted.dataReceived(frame * 100)
        self.assertFalse(self.accepted.source.pauses)

    def test_within(self) -> None:
        """
        What goes the direct way and takes long all the same, as somebody finds
        who looks into it, is counted when all that was read is delivered.
        """
        received = FlowSink()
        seen: list[bool] = []

        def flowOpened(message: LocalMessage) -> Any:
            def receive(pieces: Any, size: int) -> None:
                self.node.router.turn.source.charge(0.1)
                seen.append(bool(self.accepted.source.pauses))

            return receive

        received.flowOpened = flowOpened  # type: ignore[method-assign]
        self.node.add("fast", received, self.accepted)
        frame = encodeFrame(encodeTransport((Address.local("fast"),), (Address.local("me"),), b"x"))
        self.accepted.dataReceived(frame)
        self.assertFalse(self.accepted.source.pauses)
        self.accepted.dataReceived(frame * 3)
        self.assertEqual(seen, [False] * 4)
        self.assertTrue(self.accepted.source.pauses)

    def test_ours(self) -> None:
        """
        A connection that we have made brings what others send: it is never
        paused for that.
        """
        self.ask(self.hop, 100)
        self.assertFalse(self.hop.source.pauses)

    def test_ended(self) -> None:
        """
        A connection that ends while it is paused leaves no timer.
        """
        self.ask(self.accepted, 5)
        self.accepted.connectionLost(Failure(ConnectionLost()))
        self.hop.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.node.clock.getDelayedCalls(), [])


class TwoNodesTests(SynchronousTestCase):
    """
    Two nodes on the two ends of a connection.
    """

    def setUp(self) -> None:
        """
        Connect them.
        """
        self.alice, self.bob = Node(), Node()
        self.toBob, self.toAlice = self.alice.hop(), self.bob.hop("listener")
        self.toAlice.ready.addErrback(lambda failure: None)
        self.pump = iosim.connect(
            self.toAlice,
            iosim.FakeTransport(self.toAlice, True),
            self.toBob,
            iosim.FakeTransport(self.toBob, False),
        )
        self.pump.flush()

    def test_ready(self) -> None:
        """
        Both are ready.
        """
        self.assertIs(self.successResultOf(self.toBob.ready), self.toBob)
        self.assertIs(self.successResultOf(self.toAlice.ready), self.toAlice)

    def test_reply(self) -> None:
        """
        A reply to the return route comes back to the sender, and the routes
        are those of the specification's example.
        """
        self.alice.router.flowControls.addConsumer(APP, self.toBob.flowId)
        bob = self.bob

        @implementer(IWorker)
        class Echo(Sink):
            def messageReceived(self, message):
                super().messageReceived(message)
                reply = LocalMessage(message.return_route, Route.of("echoer"), message.payload)
                bob.router.route(reply, Address.local("echoer"))

        echo = bob.add("echoer", Echo(), self.toAlice)
        for size in (0, 10, 100_000):
            self.alice.send(self.toBob, Route.of("echoer"), bytes(size))
            self.pump.flush()
        self.assertEqual(echo.messages[0].onward_route, Route.of("echoer"))
        self.assertEqual(echo.messages[0].return_route, Route((self.toAlice.address, APP)))
        self.assertEqual([len(message.payload) for message in self.alice.app.messages], [0, 10, 100_000])
        for message in self.alice.app.messages:
            self.assertEqual(message.onward_route, Route((APP,)))
            self.assertEqual(message.return_route, Route((self.toBob.address, *Route.of("echoer"))))
            self.assertEqual(message.source, self.toBob.receiver)

    def test_ends(self) -> None:
        """
        When one end closes both are gone from their routers, and what was
        sent before has arrived.
        """
        sink = self.bob.add("sink", Sink(), self.toAlice)
        self.alice.send(self.toBob, Route.of("sink"), b"last")
        self.toBob.loseConnection()
        self.pump.flush()
        self.assertEqual([message.payload for message in sink.messages], [b"last"])
        self.successResultOf(self.toBob.whenLost())
        self.successResultOf(self.toAlice.whenLost())
        self.assertNotIn(self.toBob.address, self.alice.router)
        self.assertNotIn(self.toAlice.receiver, self.bob.router)
