"""
Tests of L{ockam_twisted.transports.stream}.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ockam_twisted.errors import ConnectionClosed, DecodeError, RemoteProtocolError, TimedOut, VersionMismatch
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.router import Router
from ockam_twisted.testing import Inbox, MemoryNetwork, MemoryNode
from ockam_twisted.transports import stream
from ockam_twisted.transports.queue import DirectQueue, WriteQueue
from ockam_twisted.transports.stalls import StallWatch
from ockam_twisted.transports.stream import HopSettings, MessageStreamFactory, MessageStreamProtocol
from ockam_twisted.transports.tcp import TCPTransport
from ockam_twisted.wire.cbor import byteString
from ockam_twisted.wire.frames import VERSION, FrameDecoder, encodeFrame
from ockam_twisted.wire.messages import decodeTransport, encodeTransport, routeBytes

BACK = Route.of("back")


class Peer(Protocol):
    """
    Something at the other end that need not be a node.

    @ivar received: All bytes it got.
    @ivar ended: Has the connection ended?
    """

    def __init__(self) -> None:
        self.received = b""
        self.ended = False

    def dataReceived(self, data: bytes) -> None:
        """
        See C{IProtocol}.
        """
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        """
        See C{IProtocol}.
        """
        self.ended = True

    @property
    def frames(self) -> list[bytes]:
        """
        The bodies of all frames it got.
        """
        return [buffer[start:end] for buffer, start, end in FrameDecoder().feed(self.received)]


class Near:
    """
    A router with hops whose other ends are L{Peer}s.
    """

    def __init__(self, **options: Any) -> None:
        self.network = MemoryNetwork()
        self.router = Router()
        self.settings = HopSettings(self.router, self.network.clock, StallWatch(self.network.clock), **options)
        self.inboxes: dict[bytes, Inbox] = {}

    def connect(self) -> tuple[MessageStreamProtocol, Peer]:
        """
        Make a hop that trusts its peer.
        """
        hop, peer = MessageStreamProtocol(self.settings), Peer()
        self.network.join(hop, peer)
        for inbox in self.inboxes.values():
            self.router.flowControls.addConsumer(inbox.address, hop.flowId)
        return hop, peer

    def inbox(self, name: str) -> Inbox:
        """
        Add an inbox that hops made from now on may reach.
        """
        made = self.inboxes[name.encode()] = Inbox(self.router, Address.local(name))
        return made

    def give(self, hop: MessageStreamProtocol, data: bytes) -> None:
        """
        Let a hop read something.
        """
        if data:
            hop.dataReceived(data)

    def warnings(self, hop: MessageStreamProtocol, *chunks: bytes) -> list[str]:
        """
        Let a hop read something that it ends for.

        @return: What was logged as a warning or worse.
        """
        with capturedLogs() as events:
            for chunk in chunks:
                self.give(hop, chunk)
            self.network.pump()
        return [
            event["log_format"].format(**event) for event in events if event["log_level"] in (LogLevel.warn, *_WORSE)
        ]


_WORSE = (LogLevel.error, LogLevel.critical)


def message(to: str, payload: bytes) -> bytes:
    """
    A frame for a worker.
    """
    return encodeFrame(encodeTransport(Route.of(to), BACK, payload))


class InboundTests(SynchronousTestCase):
    """
    What a hop does with the bytes of its peer.
    """

    def setUp(self) -> None:
        """
        A router with one worker.
        """
        self.near = Near()
        self.inbox = self.near.inbox("a")

    def test_version(self) -> None:
        """
        A new hop sends one version byte and nothing else.
        """
        _, peer = self.near.connect()
        self.near.network.pump()
        self.assertEqual(peer.received, VERSION)

    def test_byteByByte(self) -> None:
        """
        Version and frames may arrive one byte at a time.
        """
        hop, _ = self.near.connect()
        data = VERSION + b"".join(message("a", b"x" * size) for size in (0, 1, 23, 24, 255, 256, 5000))
        for index in range(len(data)):
            hop.dataReceived(data[index : index + 1])
        self.assertEqual([len(payload) for payload in self.inbox.payloads], [0, 1, 23, 24, 255, 256, 5000])
        self.assertIs(self.successResultOf(hop.ready), hop)
        self.assertEqual(hop.received, len(data))

    def test_returnRoute(self) -> None:
        """
        What arrives has the address of the hop in front of its return route.
        """
        hop, _ = self.near.connect()
        hop.dataReceived(VERSION + message("a", b"p"))
        self.assertEqual(self.inbox.messages[0].return_route, Route.of(hop.address, "back"))
        self.assertEqual(self.inbox.messages[0].source, hop.receiver)

    def test_noConsumer(self) -> None:
        """
        Who is no consumer of the hop is not reached, and the hop stays.
        """
        hop, peer = self.near.connect()
        hidden = self.near.inbox("hidden")
        hop.dataReceived(VERSION + message("hidden", b"p") + message("a", b"q"))
        self.assertEqual((hidden.payloads, self.inbox.payloads), ([], [b"q"]))
        self.assertFalse(peer.ended)

    def test_heartbeat(self) -> None:
        """
        A message with an empty onward route is no error and goes nowhere,
        whichever number of fields it has.
        """
        hop, peer = self.near.connect()
        empty = routeBytes(()) + routeBytes(())
        beats = [encodeTransport((), (), b""), b"\x83" + empty + b"\x40", b"\x85" + empty + b"\x40\xf6\x00"]
        warnings = self.near.warnings(hop, VERSION + b"".join(map(encodeFrame, beats)) + message("a", b"p"))
        self.assertEqual(warnings, [])
        self.assertEqual(self.inbox.payloads, [b"p"])
        self.assertEqual(self.near.router.dropped.total(), 0)
        self.assertFalse(peer.ended)

    def test_failingWorker(self) -> None:
        """
        A worker that fails costs its message, not the connection.
        """

        class Failing(Inbox):
            def messageReceived(self, message: LocalMessage) -> None:
                raise ZeroDivisionError

        failing = Failing(self.near.router, Address.local("failing"))
        hop, peer = self.near.connect()
        self.near.router.flowControls.addConsumer(failing.address, hop.flowId)
        hop.dataReceived(VERSION + message("failing", b"p") + message("a", b"q"))
        self.near.network.pump()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.inbox.payloads, [b"q"])
        self.assertFalse(peer.ended)

    def test_largePayloadOutlivesRead(self) -> None:
        """
        A payload that was passed on as a view of a read stays as it was.
        """
        hop, _ = self.near.connect()
        first, second = b"1" * 10000, b"2" * 10000
        hop.dataReceived(VERSION + message("a", first) + message("a", second))
        hop.dataReceived(message("a", b"3" * 20000))
        self.assertEqual(self.inbox.payloads[:2], [first, second])


class HostileTests(SynchronousTestCase):
    """
    Bytes that are no messages end the connection they came over, and no more.
    """

    def check(self, *chunks: bytes, **options: Any) -> str:
        """
        Let one of two hops read something it must not survive.

        @return: The only warning.
        """
        near = Near(**options)
        inbox = near.inbox("a")
        bad, badPeer = near.connect()
        good, goodPeer = near.connect()
        good.dataReceived(VERSION)
        bad.ready.addErrback(lambda failure: failure.trap(RemoteProtocolError))
        warnings = near.warnings(bad, *chunks)
        self.assertEqual(len(warnings), 1, warnings)
        self.assertTrue(badPeer.ended)
        self.assertNotIn(bad.address, near.router)
        self.assertNotIn(bad.receiver, near.router)
        self.assertIn(warnings[0].rpartition(": ")[2], self.successResultOf(bad.whenLost()))
        good.dataReceived(message("a", b"still here"))
        self.assertEqual(inbox.payloads[-1:], [b"still here"])
        self.assertFalse(goodPeer.ended)
        return warnings[0]

    def test_http(self) -> None:
        """
        A web browser is refused at its first byte.
        """
        self.assertIn("version", self.check(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))

    def test_garbage(self) -> None:
        """
        A frame that holds no message.
        """
        for body in (b"\xff" * 40, b"\x00", b"\x84", b"\x83\x80", b"\x84\x81\x82\x00", b"\x9b" + b"\xff" * 8):
            self.check(VERSION, encodeFrame(body))

    def test_everyTruncation(self) -> None:
        """
        A message cut short anywhere, also after its routes are known, and
        also when the next frame would continue it.
        """
        whole = encodeTransport(Route.of("a"), BACK, b"payload")
        for size in range(1, len(whole)):
            self.check(VERSION + encodeFrame(whole) + encodeFrame(whole[:size]) + whole[size:])

    def test_trailing(self) -> None:
        """
        A message with something behind it.
        """
        whole = encodeTransport(Route.of("a"), BACK, b"payload")
        self.check(VERSION, encodeFrame(whole + b"\x00"))
        self.check(VERSION, encodeFrame(whole) + encodeFrame(whole + b"\x00"))

    def test_oversize(self) -> None:
        """
        A frame is refused by its announced length, before any of it came.
        """
        self.assertIn("1001 bytes", self.check(VERSION, (1001).to_bytes(4, "big"), maxFrame=1000))
        self.check(VERSION + b"\xff\xff\xff\xff")

    def test_zeroLength(self) -> None:
        """
        A frame of no bytes.
        """
        self.assertIn("empty", self.check(VERSION, b"\x00\x00\x00\x00"))

    def test_framesBeforeAreDelivered(self) -> None:
        """
        What came before the garbage counts.
        """
        near = Near()
        inbox = near.inbox("a")
        hop, _ = near.connect()
        near.warnings(hop, VERSION + message("a", b"p") + b"\x00\x00\x00\x00" + message("a", b"q"))
        self.assertEqual(inbox.payloads, [b"p"])
        self.failureResultOf(hop.ready, DecodeError)

    def test_wrongVersionFailsReady(self) -> None:
        """
        Who connected learns that the peer speaks another version.
        """
        near = Near()
        hop, _ = near.connect()
        near.warnings(hop, b"\x02")
        self.failureResultOf(hop.ready, VersionMismatch)

    def test_lostEarlyFailsReady(self) -> None:
        """
        Who connected learns that the peer has gone before its version byte.
        """
        near = Near()
        hop, _ = near.connect()
        near.network.links[-1].cut()
        near.network.pump()
        self.failureResultOf(hop.ready, ConnectionClosed)
        self.assertEqual(near.network.clock.getDelayedCalls(), [])


hops = st.tuples(st.sampled_from([0, 1, 23, 24, 255]), st.binary(max_size=40) | st.just(b"y" * 255))
onwards = st.builds(
    lambda name, rest: ((0, name), *rest), st.sampled_from([b"a", b"b", b"nobody"]), st.lists(hops, max_size=3)
)
sizes = st.sampled_from([0, 1, 23, 24, 255, 256, 4095, 4096, 65535, 65536]) | st.integers(0, 300)
#: Number of fields and what follows the payload.
shapes = st.sampled_from(
    [
        (b"\x84", b"\x62{}"),
        (b"\x83", b""),
        (b"\x84", b"\xf6"),
        (b"\x84", b"\x60"),
        (b"\x84", b"\x63abc"),
        (b"\x85", b"\x62{}\x01"),
    ]
)
bodies = st.builds(
    lambda onward, back, size, shape: b"".join(
        (shape[0], routeBytes(onward), routeBytes(back), byteString(b"z" * size), shape[1])
    ),
    onwards,
    st.lists(hops, max_size=3).map(tuple),
    sizes,
    shapes,
)


class FlowTableTests(SynchronousTestCase):
    """
    The flow table gives what the codec gives.
    """

    def deliver(self, messages: list[bytes], chunk: int) -> None:
        """
        Let a hop read messages, each followed by itself, and compare.
        """
        near = Near()
        for name in "ab":
            near.inbox(name)
        hop, _ = near.connect()
        hop.dataReceived(VERSION)
        expected: dict[bytes, list[Any]] = {b"a": [], b"b": []}
        data = b""
        for body in [*messages, *messages, *(body for body in messages for _ in range(2))]:
            data += encodeFrame(body)
            onward, back, payload = decodeTransport(body)
            if onward[0][1] in expected:
                expected[onward[0][1]].append((onward, (hop.address, *back), payload))
        for index in range(0, len(data), chunk):
            hop.dataReceived(data[index : index + chunk])
        for name, inbox in near.inboxes.items():
            got = [(tuple(each.onward_route), tuple(each.return_route), each.payload) for each in inbox.messages]
            self.assertEqual(got, expected[name])

    @settings(deadline=None, max_examples=100, derandomize=True, database=None)
    @given(st.lists(bodies, min_size=1, max_size=12), st.integers(1, 3000) | st.just(10**9))
    def test_sameAsCodec(self, messages: list[bytes], chunk: int) -> None:
        """
        Random routes, sizes and forms, met for the first time and again, in
        reads of any size, give the same as the general codec.
        """
        self.deliver(messages, max(chunk, sum(map(len, messages)) // 500))

    def test_tableOverflows(self) -> None:
        """
        More routes, and routes of more lengths, than the table holds.
        """
        self.patch(stream, "_MAX_FLOWS", 5)
        self.patch(stream, "_MAX_LENGTHS", 2)
        self.patch(stream, "_MAX_PREFIXES", 150)
        self.deliver(
            [encodeTransport(Route.of("a", b"w" * (index % 7)), Route.of(str(index)), b"p") for index in range(40)],
            10**9,
        )

    def test_tableIsBounded(self) -> None:
        """
        A peer that never repeats a route cannot make the table grow.
        """
        self.patch(stream, "_MAX_FLOWS", 5)
        near = Near()
        near.inbox("a")
        hop, _ = near.connect()
        hop.dataReceived(VERSION)
        for index in range(100):
            hop.dataReceived(encodeFrame(encodeTransport(Route.of("a"), Route.of(b"r" * index), b"")))
            self.assertLessEqual(len(hop._flows), 5)
            self.assertLessEqual(len(hop._lengths), stream._MAX_LENGTHS)


class OutboundTests(SynchronousTestCase):
    """
    What a hop sends.
    """

    def setUp(self) -> None:
        """
        A worker, and a hop to send through.
        """
        self.near = Near(maxFrame=70000)
        self.inbox = self.near.inbox("a")
        self.hop, self.peer = self.near.connect()
        self.near.network.pump()

    def test_flowAndMessageAreTheSame(self) -> None:
        """
        Flows and single messages are encoded as the codec does it.
        """
        route, back = Route.of(self.hop.address, "far", "1#x"), Route.of("a")
        flow = self.near.router.open(route, back, self.inbox.address)
        sizes = (0, 23, 24, 255, 256, 65535, 65536)
        with self.near.router.turn:
            for size in sizes:
                flow.send((b"q" * (size - size // 2), memoryview(b"q" * (size // 2))), size)
                self.hop.messageReceived(LocalMessage(route, back, b"q" * size))
        self.near.network.pump()
        expected = [encodeTransport(route[1:], back, b"q" * size) for size in sizes for _ in range(2)]
        self.assertEqual(self.peer.frames, expected)

    def test_oneWriteATurn(self) -> None:
        """
        All messages of one turn leave in one write.
        """
        link = self.near.network.links[-1]
        with self.near.router.turn:
            for _ in range(10):
                self.hop.messageReceived(LocalMessage(Route.of(self.hop.address, "far"), BACK, b"p"))
            self.assertEqual(len(link.toServer.waiting), 0)
        self.assertEqual(len(link.toServer.waiting), 1)

    def test_tooLarge(self) -> None:
        """
        What the peer would end the connection for is not sent; one warning.
        """
        route = Route.of(self.hop.address, "far")
        with capturedLogs() as events:
            for payload in (b"x" * 70000, b"x" * 70001, b"fits"):
                self.hop.messageReceived(LocalMessage(route, BACK, payload))
        self.near.network.pump()
        self.assertEqual(self.peer.frames, [encodeTransport(route[1:], BACK, b"fits")])
        self.assertEqual(len([event for event in events if event["log_level"] is LogLevel.warn]), 1)

    def test_afterTheEnd(self) -> None:
        """
        A message for a connection that is gone is dropped silently.
        """
        self.hop.dataReceived(VERSION)
        flow = self.near.router.open(Route.of(self.hop.address, "far"), BACK, self.inbox.address)
        flow.send((b"p",), 1)
        self.near.network.links[-1].cut()
        self.near.network.pump()
        flow.send((b"p",), 1)
        self.hop.messageReceived(LocalMessage(Route.of(self.hop.address, "far"), BACK, b"p"))
        self.assertEqual(self.near.router.dropped.total(), 1)
        self.assertEqual(self.hop.output.queued, 0)

    def test_loseConnection(self) -> None:
        """
        What was sent before arrives; both ends hear of the end.
        """
        self.hop.dataReceived(VERSION)
        lost = self.hop.whenLost()
        self.hop.messageReceived(LocalMessage(Route.of(self.hop.address, "far"), BACK, b"last"))
        self.hop.loseConnection()
        self.assertNoResult(lost)
        self.near.network.pump()
        self.assertEqual(self.peer.frames, [encodeTransport(Route.of("far"), BACK, b"last")])
        self.assertTrue(self.peer.ended)
        self.assertEqual(self.successResultOf(lost), "we have closed it")


class VersionTimeoutTests(SynchronousTestCase):
    """
    A peer has to say something soon.
    """

    def test_silence(self) -> None:
        """
        A silent peer is given up, not earlier than it may be.
        """
        near = Near(versionTimeout=3.0)
        hop, peer = near.connect()
        near.network.advance(2.5)
        self.assertNoResult(hop.ready)
        with capturedLogs() as events:
            near.network.advance(1.0)
        self.failureResultOf(hop.ready, TimedOut)
        self.assertTrue(peer.ended)
        self.assertEqual([event["log_level"] for event in events], [LogLevel.warn])
        self.assertNotIn(hop.address, near.router)

    def test_inTime(self) -> None:
        """
        The version byte alone is enough, and no timer stays.
        """
        near = Near(versionTimeout=3.0)
        hop, peer = near.connect()
        near.network.advance(2.5)
        hop.dataReceived(VERSION)
        self.assertEqual(near.network.clock.getDelayedCalls(), [])
        near.network.advance(60)
        self.assertFalse(peer.ended)


class FactoryTests(SynchronousTestCase):
    """
    How many connections are accepted.
    """

    def accept(self, factory: MessageStreamFactory, near: Near, count: int) -> list[bool]:
        """
        Try to connect.

        @return: Which attempts were accepted.
        """
        accepted = []
        for _ in range(count):
            hop = factory.buildProtocol(_Host("192.0.2.1"))
            accepted.append(hop is not None)
            if hop is not None:
                near.network.join(hop, Peer())
        return accepted

    def test_perAddress(self) -> None:
        """
        One address gets so many connections, another address still gets its
        own, and one that ends makes room.
        """
        near = Near(perAddress=2)
        factory = MessageStreamFactory(near.settings, "spawner")
        with capturedLogs() as events:
            self.assertEqual(self.accept(factory, near, 3), [True, True, False])
        self.assertEqual([event["log_level"] for event in events], [LogLevel.warn])
        other = factory.buildProtocol(_Host("192.0.2.2"))
        self.assertIsNotNone(other)
        near.network.links[0].cut()
        near.network.pump()
        self.assertEqual(self.accept(factory, near, 2), [True, False])

    def test_total(self) -> None:
        """
        All addresses together get so many.
        """
        near = Near(total=1)
        factory = MessageStreamFactory(near.settings, "spawner")
        self.assertIsNotNone(factory.buildProtocol(_Host("192.0.2.1")))
        self.assertIsNone(factory.buildProtocol(_Host("192.0.2.2")))

    def test_clientsAreNotCounted(self) -> None:
        """
        Connections that we make ourselves are not limited.
        """
        near = Near(perAddress=1, total=1)
        self.assertEqual(self.accept(MessageStreamFactory(near.settings), near, 3), [True, True, True])


class _Host:
    """
    The address of a peer.
    """

    def __init__(self, host: str) -> None:
        self.host = host


class NodesTests(SynchronousTestCase):
    """
    Two nodes in memory.
    """

    def test_roundTrip(self) -> None:
        """
        A message goes to the other node and is answered along its route.
        """
        network = MemoryNetwork()
        alice, bob = MemoryNode(network, "alice"), MemoryNode(network, "bob")
        bob.inbox("echo", bob.transport.listenerId, echo=True)
        link = alice.connect(bob)
        inbox = alice.inbox("app")
        self.assertTrue(alice.send(link.route("echo"), b"hello", inbox))
        network.pump()
        self.assertEqual(inbox.payloads, [b"hello"])
        self.assertIsInstance(link.client.protocol.output, WriteQueue)


class LoopbackTests(TestCase):
    """
    Over real sockets.
    """

    async def test_nodes(self) -> None:
        """
        Messages of all sizes come back in order over TCP, and a stranger
        that speaks HTTP disturbs nobody.
        """
        from twisted.internet import reactor

        anyReactor: Any = reactor
        clock = Clock()
        routers = [Router(), Router()]
        transports = [TCPTransport(HopSettings(router, clock, StallWatch(clock))) for router in routers]
        port = await transports[1].listen(TCP4ServerEndpoint(anyReactor, 0, interface="127.0.0.1"))
        number = port.getHost().port
        echo = Inbox(routers[1], Address.local("echo"), echo=True)
        routers[1].flowControls.addConsumer(echo.address, transports[1].listenerId)
        sizes = [0, 1, 4096, 100_000, 900_000] * 4
        done: Deferred[None] = Deferred()

        class Last(Inbox):
            def messageReceived(self, message: LocalMessage) -> None:
                super().messageReceived(message)
                if len(self.messages) == len(sizes):
                    done.callback(None)

        inbox = Last(routers[0], Address.local("inbox"))
        hop = await transports[0].connect(TCP4ClientEndpoint(anyReactor, "127.0.0.1", number))
        self.assertIsInstance(hop.output, DirectQueue)  # type: ignore[attr-defined]
        routers[0].flowControls.addConsumer(inbox.address, hop.flowId)

        ended: Deferred[None] = Deferred()

        class Browser(Protocol):
            def connectionMade(self) -> None:
                self.transport.write(b"GET / HTTP/1.0\r\n\r\n")  # type: ignore[union-attr]

            def connectionLost(self, reason: Any = None) -> None:
                ended.callback(None)

        await TCP4ClientEndpoint(anyReactor, "127.0.0.1", number).connect(Factory.forProtocol(Browser))
        await ended
        with routers[0].turn:
            for index, size in enumerate(sizes):
                routers[0].route(
                    LocalMessage(Route.of(hop.address, "echo"), Route((inbox.address,)), bytes([index]) * size),
                    inbox.address,
                )
        await done.addTimeout(20, anyReactor)
        self.assertEqual(inbox.payloads, [bytes([index]) * size for index, size in enumerate(sizes)])
        for transport in transports:
            await transport.stopService()
        self.assertEqual([transport.hops for transport in transports], [set(), set()])
