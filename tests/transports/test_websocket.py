"""
Tests for L{ockam_twisted.transports.websocket}, in memory.
"""

from __future__ import annotations

import tracemalloc
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, TimeoutError
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactor
from twisted.test import iosim
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.routing.addresses import Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.transports.factory import MessageFactory
from ockam_twisted.transports.websocket import (
    FRAMES,
    PATIENCE,
    PING,
    WebSocketClientProtocol,
    WebSocketServerProtocol,
)
from ockam_twisted.wire.codecs import BARE
from tests.transports.carriers import PEER
from tests.transports.test_stream import APP, Node

#: What RFC 6455, section 1.3 has as an example.
KEY, ANSWER = b"dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

REQUEST = (
    b"GET /ockam HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: " + KEY + b"\r\nSec-WebSocket-Version: 13\r\n"
)


class Raw(Protocol):
    """
    Somebody who speaks for himself.
    """

    def __init__(self) -> None:
        self.data = b""
        self.isLost = False

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Any = None) -> None:
        self.isLost = True


class Deaf(FileDescriptor):
    """
    A transport of Twisted, whose peer reads when it is told to.

    @ivar isRead: Does it read now?
    @ivar taken: What it has read.
    """

    def __init__(self) -> None:
        super().__init__(MemoryReactor())
        self.connected = 1
        self.isAborted = False
        self.taken = b""
        self.isRead = False

    @property
    def waiting(self) -> int:
        """
        How many bytes wait here.
        """
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    def getPeer(self) -> Any:
        return PEER

    getHost = getPeer

    def writeSomeData(self, data: bytes) -> int:
        self.taken += bytes(data) if self.isRead else b""
        return len(data) if self.isRead else 0

    def read(self) -> None:
        """
        The peer reads all there is.
        """
        self.isRead = True
        while self.waiting:
            self.doWrite()
        self.isRead = False

    def abortConnection(self) -> None:
        self.isAborted = True


def frame(first: int, data: bytes = b"") -> bytes:
    """
    A frame of a client, with a mask of zeros.
    """
    assert len(data) < 126
    return bytes((first, 0x80 | len(data))) + bytes(4) + data


class WebSocketTests(SynchronousTestCase):
    """
    Two ends, or one and somebody else.
    """

    path = ""

    def setUp(self) -> None:
        """
        Two nodes.
        """
        self.client, self.server = Node(), Node(maxFrame=100_000)
        self.gone: list[bool] = []
        self.hop: list[Any] = []

    def clientEnd(self) -> WebSocketClientProtocol:
        """
        The end that connects.
        """
        factory = MessageFactory(self.client.settings, BARE)
        self.done: Deferred[Any] = Deferred()
        self.failures: list[Exception] = []
        self.done.addCallbacks(self.hop.append, lambda failure: self.failures.append(failure.value))
        return WebSocketClientProtocol(self.client.clock, factory, None, "a.example", "/ockam", self.done)

    def serverEnd(self) -> WebSocketServerProtocol:
        """
        The end that is connected.
        """
        self.servers = MessageFactory(self.server.settings, BARE, "listener")
        return WebSocketServerProtocol(self.server.clock, self.servers, None, self.path, lambda: self.gone.append(True))

    def pair(self, client: Any = None, server: Any = None) -> tuple[Any, Any, Any]:
        """
        Both ends, connected.
        """
        client, server = client or self.clientEnd(), server or self.serverEnd()
        pump = iosim.connect(
            server, iosim.FakeTransport(server, True), client, iosim.FakeTransport(client, False), debug=False
        )
        pump.flush()
        return client, server, pump

    def raw(self, *pieces: bytes) -> tuple[Raw, Any]:
        """
        Say something to a server.
        """
        client, _, pump = self.pair(Raw())
        for piece in pieces:
            client.transport.write(piece)
            pump.flush()
        return client, pump

    def finish(self, pump: Any, *nodes: Node) -> None:
        """
        No timer is left once it is over.
        """
        pump.flush()
        for node in nodes or (self.client, self.server):
            self.assertEqual([call for call in node.clock.getDelayedCalls() if call.active()], [])

    def test_messages(self) -> None:
        """
        Messages of all sizes go both ways, whole and in order.
        """
        _, _, pump = self.pair()
        [hop] = self.hop
        [other] = self.servers.hops
        self.assertEqual(self.gone, [True])
        self.server.router.flowControls.addConsumer(APP, other.flowId)
        self.client.router.flowControls.addConsumer(APP, hop.flowId)
        sent = [b"x" * size for size in (0, 1, 125, 126, 65535, 65536, 90_000)]
        for payload in sent:
            for node, way in ((self.client, hop), (self.server, other)):
                node.router.route(LocalMessage(Route((way.address, APP)), Route((APP,)), payload), APP)
        pump.flush()
        for node in (self.server, self.client):
            self.assertEqual([bytes(each.payload) for each in node.app.messages], sent)
        hop.loseConnection()
        self.finish(pump)
        self.assertEqual((self.servers.hops, self.successResultOf(other.whenLost())[:10]), (set(), "Connection"))

    def test_handshake(self) -> None:
        """
        The answer to a key is that of the RFC, wherever the request is cut.
        """
        whole = REQUEST + b"\r\n"
        for cut in (1, 20, len(whole) - 1):
            client, _ = self.raw(whole[:cut], whole[cut:])
            self.assertTrue(client.data.startswith(b"HTTP/1.1 101 "), client.data)
            self.assertIn(ANSWER, client.data)

    def test_refused(self) -> None:
        """
        A page in a browser is refused, and so is another path, what is no
        WebSocket, and what is no HTTP; then the connection ends.
        """
        self.path = "/ockam"
        for request, status in (
            (REQUEST + b"Origin: https://evil.example\r\n\r\n", b" 403 "),
            (REQUEST.replace(b"/ockam", b"/other") + b"\r\n", b" 404 "),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b" 400 "),
            (b"\x01\x00\x00\x00\x05hello", b""),
            (REQUEST + b"X: " + b"y" * 100_000, b""),
        ):
            client, pump = self.raw(request)
            self.assertIn(status, client.data)
            self.assertTrue(client.isLost, request[:60])
            self.assertEqual(self.servers.hops, set())
            self.finish(pump, self.server)

    def test_full(self) -> None:
        """
        Who comes when there are too many is told so.
        """
        self.server.settings.total = 0
        client, pump = self.raw(REQUEST + b"\r\n")
        self.assertIn(b" 503 ", client.data)
        self.finish(pump, self.server)

    def test_silent(self) -> None:
        """
        Who says nothing is let go.
        """
        client, _, pump = self.pair(Raw())
        self.server.clock.advance(PATIENCE)
        pump.flush()
        self.assertTrue(client.isLost)
        self.assertEqual(self.gone, [True])
        self.finish(pump, self.server)

    def test_tooLong(self) -> None:
        """
        A message that is too long ends the connection before it is there,
        in one frame or in many.
        """
        mask = b"\0\0\0\0"
        long = b"\x82\xff" + (1 << 40).to_bytes(8, "big") + mask + b"x" * 150_000
        size = (60_000).to_bytes(2, "big")
        many = b"".join(first + b"\xfe" + size + mask + b"x" * 60_000 for first in (b"\x02", b"\x00", b"\x00"))
        for frames in (long, many):
            client, pump = self.raw(REQUEST + b"\r\n", frames)
            self.assertTrue(client.isLost)
            self.finish(pump, self.server)

    def test_nonsense(self) -> None:
        """
        Frames that are none end the connection; a message that is none is
        dropped.
        """
        client, pump = self.raw(REQUEST + b"\r\n", b"\xff\xff\xff\xff\xff\xff")
        self.assertTrue(client.isLost)
        self.finish(pump, self.server)
        client, pump = self.raw(REQUEST + b"\r\n", b"\x82\x84\0\0\0\0what")
        self.assertFalse(client.isLost)

    def test_pings(self) -> None:
        """
        A ping is answered; silence is asked about, and ends at last.
        """
        client, pump = self.raw(REQUEST + b"\r\n", b"\x89\x82\0\0\0\0hi")
        self.assertTrue(client.data.endswith(b"\x8a\x02hi"))
        before = len(client.data)
        for _ in range(2):
            self.server.clock.advance(PING)
            pump.flush()
        self.assertEqual(client.data[before:], b"\x89\x00")
        client.transport.write(b"\x8a\x80\0\0\0\0")
        pump.flush()
        for _ in range(2):
            self.server.clock.advance(PING)
            pump.flush()
        self.assertFalse(client.isLost)
        self.server.clock.advance(PING)
        pump.flush()
        self.assertTrue(client.isLost)
        self.finish(pump, self.server)

    def deaf(self) -> tuple[WebSocketServerProtocol, Deaf]:
        """
        A server, and a client that does not read.
        """
        server, transport = self.serverEnd(), Deaf()
        server.makeConnection(transport)
        server.dataReceived(REQUEST + b"\r\n")
        transport.read()
        return server, transport

    def test_pingsUnread(self) -> None:
        """
        Whoever pings and reads nothing makes no more wait than the transport
        takes; once it reads, it has an answer to its last ping, before what
        had to wait.
        """
        server, transport = self.deaf()
        room, ping = transport.bufferSize, frame(0x89, b"x" * 125)
        for _ in range(room // 127 + 1):
            server.dataReceived(ping)
        held = transport.waiting
        self.assertGreater(held, room)
        [hop] = self.servers.hops
        self.server.router.route(LocalMessage(Route((hop.address, APP)), Route((APP,)), b"waits"), APP)
        self.assertGreater(hop.output.queued, 0)
        for number in range(1000):
            server.dataReceived(ping + frame(0x89, b"%d" % number))
        self.assertEqual((transport.waiting, transport.isAborted), (held, False))
        transport.read()
        answers, _, rest = transport.taken.rpartition(b"\x8a\x03999")
        self.assertEqual(len(answers.partition(b"\r\n\r\n")[2]), held)
        self.assertTrue(rest.endswith(b"waits"), rest)
        self.assertEqual(hop.output.queued, 0)
        server.dataReceived(frame(0x89, b"again"))
        transport.read()
        self.assertTrue(transport.taken.endswith(b"\x8a\x05again"))

    def test_littleRoom(self) -> None:
        """
        An answer that fills the transport again lets nothing else out yet.
        """
        server, transport = self.deaf()
        transport.bufferSize = 100
        server.dataReceived(frame(0x89, b"x" * 125) * 2)
        [hop] = self.servers.hops
        self.server.router.route(LocalMessage(Route((hop.address, APP)), Route((APP,)), b"waits"), APP)
        queued = hop.output.queued
        transport.isRead = True
        transport.doWrite()
        self.assertEqual((transport.waiting, hop.output.queued), (127, queued))
        transport.read()
        self.assertEqual((transport.waiting, hop.output.queued), (0, 0))
        self.assertTrue(transport.taken.endswith(b"waits"))

    def test_pingsUnreadThenClosed(self) -> None:
        """
        Who closes meanwhile has a close for an answer, and nothing after it.
        """
        server, transport = self.deaf()
        for _ in range(transport.bufferSize // 127 + 2):
            server.dataReceived(frame(0x89, b"x" * 125))
        server.dataReceived(frame(0x88, b"\x03\xe8"))
        transport.read()
        self.assertTrue(transport.taken.endswith(b"x\x88\x02\x03\xe8"), transport.taken[-10:])

    def message(self, payload: bytes) -> bytes:
        """
        What a message to the application looks like.
        """
        [hop] = self.servers.hops
        self.server.router.flowControls.addConsumer(APP, hop.flowId)
        return BARE.prefix(Route((APP,)), ()) + BARE.head(len(payload)) + payload

    def test_frames(self) -> None:
        """
        A message may be in frames, empty ones as well, with pings in between,
        up to a number; the next message has as many.
        """
        server, transport = self.deaf()
        data = self.message(b"hello")
        for _ in range(2):
            pieces = [b"", *(data[at : at + 1] for at in range(len(data)))]
            pieces += [b""] * (FRAMES - 1 - len(pieces))
            server.dataReceived(b"".join(frame(0x00 if at else 0x02, piece) for at, piece in enumerate(pieces)))
            server.dataReceived(frame(0x89, b"there?") + frame(0x80))
        self.assertEqual([bytes(each.payload) for each in self.server.app.messages], [b"hello", b"hello"])
        transport.read()
        self.assertEqual(transport.taken.count(b"\x8a\x06there?"), 2)

    def test_manyFrames(self) -> None:
        """
        A message in more frames ends the connection, and the log says why,
        whether they are empty or not.
        """
        for piece in (b"", b"x"):
            server, transport = self.deaf()
            [hop] = self.servers.hops
            server.dataReceived(frame(0x02) + frame(0x00, piece) * (FRAMES - 1))
            self.assertFalse(transport.isAborted)
            server.dataReceived(frame(0x00, piece))
            self.assertTrue(transport.isAborted)
            server.connectionLost()
            self.assertIn("in too many frames", self.successResultOf(hop.whenLost()))
            self.assertEqual([call for call in self.server.clock.getDelayedCalls() if call.active()], [])

    def test_crumbs(self) -> None:
        """
        A message that comes a few bytes at a time takes no more memory than
        it has bytes, more or less.
        """
        server, _ = self.deaf()
        size = 60_000
        server.dataReceived(b"\x82\xfe" + size.to_bytes(2, "big") + bytes(4))
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(size // 2 - 1):
                server.dataReceived(b"xx")
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(after - before, 2 * size)

    def test_closed(self) -> None:
        """
        A close is answered by a close.
        """
        client, pump = self.raw(REQUEST + b"\r\n", b"\x88\x82\0\0\0\0\x03\xe8")
        self.assertTrue(client.data.endswith(b"\x88\x02\x03\xe8"))
        self.assertTrue(client.isLost)
        self.finish(pump, self.server)

    def test_noServer(self) -> None:
        """
        Who dials hears in a word why there is no WebSocket.
        """
        for answer, word in (
            (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
            (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "WebSocket"),
            (b"SSH-2.0-OpenSSH\r\n\r\n", "WebSocket"),
        ):
            _, server, pump = self.pair(server=Raw())
            self.assertTrue(server.data.startswith(b"GET /ockam HTTP/1.1\r\nHost: a.example\r\n"))
            server.transport.write(answer)
            pump.flush()
            [error] = self.failures
            self.assertIsInstance(error, ConnectError)
            self.assertIn(word, str(error))
            self.finish(pump, self.client)

    def test_noAnswer(self) -> None:
        """
        Who dials does not wait for ever, and can give up.
        """
        _, _, pump = self.pair(server=Raw())
        self.client.clock.advance(PATIENCE)
        self.assertIsInstance(self.failures[0], TimeoutError)
        self.finish(pump, self.client)
        client, server, pump = self.pair(server=Raw())
        client.giveUp()
        pump.flush()
        self.assertTrue(server.isLost)
        self.assertEqual(self.failures, [])
        self.finish(pump, self.client)

    def test_lost(self) -> None:
        """
        A connection that ends takes its hops with it.
        """
        _, _, pump = self.pair()
        [hop], [other] = self.hop, list(self.servers.hops)
        hop.abortConnection("enough")
        self.finish(pump)
        self.assertEqual(self.successResultOf(hop.whenLost()), "enough")
        self.assertTrue(self.successResultOf(other.whenLost()))
        self.assertNotIn(hop.address, self.client.router._mailboxes)

    @given(st.integers(0, 200), st.binary(min_size=1, max_size=30), st.binary(max_size=60))
    def test_fuzz(self, at: int, junk: bytes, more: bytes) -> None:
        """
        Whatever a stranger says, nothing is raised and no hop stays behind.
        """
        whole = REQUEST + b"\r\n"
        client, pump = self.raw(whole[:at] + junk + whole[at:], more)
        client.transport.loseConnection()
        self.finish(pump, self.server)
        self.assertEqual(self.servers.hops, set())
