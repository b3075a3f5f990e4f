"""
Tests for L{ockam_twisted.transports.queue}: real sockets wherever bytes
could overtake one another or get lost.
"""

from __future__ import annotations

import random
import socket
import struct
import weakref
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import reactor, ssl
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXServerEndpoint,
    wrapClientTLS,
)
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ockam_twisted.interfaces import IOutput, ISource
from ockam_twisted.routing.turn import Turn
from ockam_twisted.transports.queue import DirectQueue, WriteQueue, outputFor
from ockam_twisted.transports.sockets import prepareSocket

KB = 1024


def payload(size: int, seed: int = 0) -> bytes:
    """
    Bytes in which nothing can be missing, doubled or exchanged unseen.
    """
    return random.Random(seed).randbytes(size)


def certificate() -> ssl.PrivateCertificate:
    """
    A fresh self-made certificate for C{localhost}.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + made.public_bytes(serialization.Encoding.PEM)
    return ssl.PrivateCertificate.loadPEM(pem)


@implementer(ISource)
class Source:
    """
    A source that knows whether it is paused.
    """

    def __init__(self) -> None:
        self.pausedFor: set[object] = set()
        self.resumed = 0

    def pauseFor(self, output):
        self.pausedFor.add(output)

    def resumeFor(self, output):
        self.pausedFor.discard(output)
        self.resumed += 1

    def fed(self, output):
        """
        Not asked here.
        """

    servesOthers = owns = fed

    def charge(self, seconds):
        """
        Not asked here.
        """

    def checkLiveness(self):
        """
        Not asked here.
        """


class Sender(Protocol):
    """
    The side of a connection that owns an output.
    """

    output: DirectQueue | WriteQueue

    def __init__(self, turn: Turn, highWater: int, sendBuffer: int | None) -> None:
        self.turn = turn
        self.highWater = highWater
        self.sendBuffer = sendBuffer
        self.heldBack: list[object] = []
        self.made: Deferred[None] = Deferred()
        self.lost: Deferred[None] = Deferred()
        self.received = b""

    def connectionMade(self):
        if self.sendBuffer is not None:
            self.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.sendBuffer)
        prepareSocket(self.transport, 64 * KB)
        self.output = outputFor(self.transport, self.turn, self.highWater, self.heldBack.append)
        self.made.callback(None)

    def dataReceived(self, data):
        self.received += data

    def connectionLost(self, reason):
        self.output.connectionLost()
        self.reason = reason
        self.lost.callback(None)

    def send(self, data, source=None):
        """
        Send some bytes in a turn of their own.
        """
        self.turn.enter(source)
        self.output.write((data,), len(data))
        self.turn.leave()


class Sniffer(Protocol):
    """
    Passes bytes on to another port and records them.
    """

    def __init__(self, factory: SnifferFactory) -> None:
        self.wire = factory
        self.other: Sniffer | None = None
        self.early = b""

    def connectionMade(self):
        if self.wire.target is not None:
            other = Sniffer(self.wire)
            other.other = self
            other.wire.connect(other).addCallback(self.joined)

    def joined(self, other):
        self.other = other
        other.transport.write(self.early)

    def dataReceived(self, data):
        self.wire.seen += data
        if self.other is None:
            self.early += data
        else:
            self.other.transport.write(data)

    def connectionLost(self, reason):
        if self.other is not None:
            self.other.transport.loseConnection()


class SnifferFactory(Factory):
    """
    Makes L{Sniffer}s in front of C{port}.
    """

    def __init__(self, port: int) -> None:
        self.target: int | None = port
        self.seen = b""

    def buildProtocol(self, addr):
        return Sniffer(self)

    def connect(self, protocol):
        port, self.target = self.target, None
        return TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(Factory.forProtocol(lambda: protocol))


class _Sockets(TestCase):
    """
    Connections of a L{Sender}, an accepted one, to a bare socket.
    """

    timeout = 20
    family = socket.AF_INET

    @inlineCallbacks
    def connect(self, highWater=256 * KB, buffers=16 * KB):
        """
        Make a connection whose kernel buffers are small.
        """
        sender = Sender(Turn(), highWater, buffers)
        factory = Factory.forProtocol(lambda: sender)
        if self.family == socket.AF_INET:
            port = yield TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
            address = ("127.0.0.1", port.getHost().port)
        else:
            address = self.mktemp()[-60:].replace("/", "_")
            port = yield UNIXServerEndpoint(reactor, address).listen(factory)
        self.addCleanup(port.stopListening)
        client = socket.socket(self.family)
        self.addCleanup(client.close)
        if buffers is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
        client.connect(address)
        client.setblocking(False)
        yield sender.made
        self.addCleanup(lambda: sender.lost)
        self.addCleanup(client.close)
        return sender, client

    @inlineCallbacks
    def read(self, client, size):
        """
        Read so many bytes; less at the end of the stream.
        """
        data = bytearray()
        while len(data) < size:
            try:
                piece = client.recv(min(size - len(data), 64 * KB))
            except BlockingIOError:
                yield deferLater(reactor, 0, lambda: None)
                continue
            if not piece:
                break
            data += piece
        return bytes(data)

    @inlineCallbacks
    def fill(self, sender, source=None):
        """
        Send until the output is full.

        @return: What was sent.
        """
        sent = []
        while not sender.output.full:
            sent.append(payload(20_000, len(sent)))
            sender.send(sent[-1], source)
            yield deferLater(reactor, 0, lambda: None)
        return b"".join(sent)


class DirectQueueTests(_Sockets):
    """
    Tests for L{DirectQueue} on TCP.
    """

    @inlineCallbacks
    def test_interface(self):
        """
        It is an L{IOutput}.
        """
        sender, client = yield self.connect()
        self.assertIs(type(sender.output), DirectQueue)
        self.assertTrue(verifyObject(IOutput, sender.output))
        client.close()

    @inlineCallbacks
    def test_atOnce(self):
        """
        What fits into the socket is in the kernel when the turn has ended,
        and not before.
        """
        sender, client = yield self.connect(buffers=None)
        sender.turn.enter(None)
        sender.output.write((b"one", memoryview(b"two")), 6)
        sender.output.write((b"three",), 5)
        self.assertRaises(BlockingIOError, client.recv, 100)
        sender.turn.leave()
        client.settimeout(5)
        self.assertEqual(client.recv(100), b"onetwothree")
        self.assertEqual((sender.output.queued, sender.output.sent, sender.output.full), (0, 11, False))
        client.close()

    @inlineCallbacks
    def test_postpones(self):
        """
        A little may wait for what other turns add; much, or what is behind
        something that waits already, may not.
        """
        sender, client = yield self.connect(buffers=None)
        output = sender.output
        output.isShared = True
        sender.turn.beginPass()
        for data in (b"one", b"two"):
            sender.send(data, Source())
        self.assertEqual(output.sent, 0)
        sender.turn.endPass()
        self.assertEqual((yield self.read(client, 6)), b"onetwo")
        sender.turn.beginPass()
        sender.send(bytes(64 * KB))
        self.assertEqual(output.sent + output.queued, 6 + 64 * KB)
        sender.turn.endPass()
        yield self.read(client, 64 * KB)
        sender.send(b"last")
        output.loseConnection()
        self.assertEqual((yield self.read(client, 5)), b"last")

    @inlineCallbacks
    def test_pieces(self):
        """
        Pieces leave in their order, few or many, large or small, whether the
        kernel takes all of them or part of one.
        """
        for count, size, buffers in ((3, 10 * KB, None), (100, KB, None), (3, 3, None), (5, 200 * KB, 4 * KB)):
            sender, client = yield self.connect(buffers=buffers)
            pieces = [payload(size + n, n) for n in range(count)]
            with sender.turn:
                for n, each in enumerate(pieces):
                    sender.output.write((memoryview(each) if n & 1 else each, b""), len(each))
            data = b"".join(pieces)
            self.assertEqual(sender.output.sent + sender.output.queued, len(data))
            self.assertTrue((yield self.read(client, len(data))) == data, (count, size))
            self.assertEqual((sender.output.sent, sender.output.queued), (len(data), 0))
            client.close()

    @inlineCallbacks
    def test_piecesToNobody(self):
        """
        Pieces for a peer that has reset the connection end it.
        """
        sender, client = yield self.connect(buffers=None)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        sender.transport.stopReading()
        for _ in range(2):
            with sender.turn:
                sender.output.write((bytes(20 * KB), bytes(20 * KB)), 40 * KB)
        self.assertTrue(sender.output.lost)
        yield sender.lost
        self.assertTrue(sender.reason.check(ConnectionAborted, ConnectionLost))

    @inlineCallbacks
    def test_finish(self):
        """
        The end of one direction is in the kernel at once if nothing waits, and
        after what waits otherwise; the other direction goes on.
        """
        sender, client = yield self.connect(buffers=None)
        sender.send(b"last")
        sender.output.finish()
        client.settimeout(5)
        self.assertEqual((client.recv(100), client.recv(100)), (b"last", b""))
        client.send(b"still")
        while sender.received != b"still":
            yield deferLater(reactor, 0, lambda: None)
        client.close()
        yield sender.lost
        sender, client = yield self.connect(buffers=4 * KB)
        sender.send(data := payload(2_000_000))
        sender.output.finish()
        self.assertTrue((yield self.read(client, len(data))) == data)
        while (end := self._end(client)) is None:
            yield deferLater(reactor, 0, lambda: None)
        self.assertEqual(end, b"")
        client.close()

    @staticmethod
    def _end(client):
        try:
            return client.recv(1)
        except BlockingIOError:
            return None

    @inlineCallbacks
    def _random(self, seed, gather=False):
        chance = random.Random(seed)
        sender, client = yield self.connect(highWater=100 * KB, buffers=chance.choice((4 * KB, 64 * KB, None)))
        sender.output.isShared = gather
        sent, received, total = [b"\x01"], bytearray(), 0
        sender.send(b"\x01")
        while total < 4_000_000:
            if gather and chance.random() < 0.7:
                sender.turn.endPass()
                sender.turn.beginPass()
            with sender.turn:
                for _ in range(chance.randrange(4)):
                    size = chance.choice((0, 1, chance.randrange(100), chance.randrange(300_000)))
                    data = chance.randbytes(size)
                    sent.append(data)
                    total += size
                    sender.output.write((memoryview(data) if size & 1 else data,), size)
            if chance.random() < 0.3:
                yield deferLater(reactor, 0, lambda: None)
            if chance.random() < 0.7:
                try:
                    received += client.recv(chance.randrange(1, 400_000))
                except BlockingIOError:
                    yield deferLater(reactor, 0, lambda: None)
        expected = b"".join(sent)
        sender.turn.endPass()
        sender.output.loseConnection()
        received += yield self.read(client, len(expected))
        self.assertEqual(len(received), len(expected))
        self.assertTrue(bytes(received) == expected, "the bytes differ")
        self.assertEqual((sender.output.queued, sender.output.sent), (0, len(expected)))

    @inlineCallbacks
    def test_inOrder(self):
        """
        Whatever the sizes and however slowly the peer reads, every byte
        arrives once and in order.
        """
        for seed in range(4):
            yield self._random(seed)

    @inlineCallbacks
    def test_inOrderGathered(self):
        """
        The same where turns are gathered.
        """
        for seed in range(4, 6):
            yield self._random(seed, gather=True)

    @inlineCallbacks
    def test_waits(self):
        """
        A source is held back when more than the high water waits, once, and
        let go at half of it.
        """
        sender, client = yield self.connect()
        source = Source()
        sent = yield self.fill(sender, source)
        output = sender.output
        self.assertEqual(source.pausedFor, {output})
        self.assertEqual(sender.heldBack, [output])
        sender.send(b"more", source)
        self.assertEqual(sender.heldBack, [output])
        self.assertGreater(output.queued, 256 * KB)
        data = bytearray()
        while source.pausedFor:
            self.assertGreater(output.queued, 128 * KB)
            data += yield self.read(client, 4 * KB)
            yield deferLater(reactor, 0, lambda: None)
        self.assertGreater(output.queued, 0)
        self.assertLessEqual(output.queued, 128 * KB)
        self.assertEqual((source.resumed, output.full), (1, False))
        data += yield self.read(client, len(sent) + 4 - len(data))
        self.assertTrue(data == sent + b"more", "the bytes differ")
        client.close()

    @inlineCallbacks
    def test_bounded(self):
        """
        With a source that stops when told, no more waits than the high water
        and what one turn adds.
        """
        sender, client = yield self.connect()
        source = Source()
        most = total = 0
        while total < 3_000_000:
            if not source.pausedFor:
                sender.send(bytes(50_000), source)
                total += 50_000
            most = max(most, sender.output.queued)
            yield self.read(client, 10_000)
            yield deferLater(reactor, 0, lambda: None)
        self.assertGreater(most, 256 * KB)
        self.assertLessEqual(most, 256 * KB + 50_000)
        client.close()

    @inlineCallbacks
    def test_progressShows(self):
        """
        A peer that takes a little at a time is seen to.
        """
        sender, client = yield self.connect(highWater=4 * KB * KB)
        sender.send(bytes(3_000_000))
        yield self.read(client, 100_000)
        yield deferLater(reactor, 0.01, lambda: None)
        before = sender.output.sent
        yield self.read(client, 200_000)
        yield deferLater(reactor, 0.01, lambda: None)
        self.assertGreater(sender.output.sent - before, 100_000)
        self.assertEqual(sender.output.sent + sender.output.queued, 3_000_000)
        client.close()

    @inlineCallbacks
    def test_losesAfterDraining(self):
        """
        Losing the connection sends what waits, then FIN; nobody is held back
        by it any more, and what is written afterwards goes nowhere.
        """
        sender, client = yield self.connect()
        source = Source()
        sent = yield self.fill(sender, source)
        with sender.turn:
            sender.output.write((b"last",), 4)
            sender.output.loseConnection()
            sender.output.write((b"late",), 4)
        sender.send(b"later", source)
        sender.output.loseConnection()
        self.assertEqual((source.pausedFor, sender.output.full), (set(), False))
        self.assertIn(sender.output, sender.heldBack)
        data = yield self.read(client, len(sent) + 100)
        self.assertTrue(data == sent + b"last", "the bytes differ")
        yield sender.lost
        sender.reason.trap(ConnectionDone)
        self.assertTrue(sender.output.lost)

    @inlineCallbacks
    def test_losesIdle(self):
        """
        Losing a connection on which nothing waits sends what the turn has
        collected, then FIN.
        """
        sender, client = yield self.connect()
        with sender.turn:
            sender.output.write((b"last",), 4)
            sender.output.loseConnection()
        data = yield self.read(client, 100)
        self.assertEqual(data, b"last")
        self.assertEqual(sender.heldBack, [])
        yield sender.lost

    @inlineCallbacks
    def test_aborts(self):
        """
        Aborting drops what waits and resets the connection.
        """
        sender, client = yield self.connect()
        source = Source()
        sent = yield self.fill(sender, source)
        sender.output.abortConnection()
        self.assertTrue(sender.output.lost)
        self.assertEqual((source.pausedFor, sender.output.queued, sender.output.full), (set(), 0, False))
        yield sender.lost
        sender.reason.trap(ConnectionAborted)
        with self.assertRaises(ConnectionResetError):
            yield self.read(client, len(sent))
        sender.send(b"late")
        sender.output.abortConnection()
        sender.output.loseConnection()

    @inlineCallbacks
    def test_resets(self):
        """
        A reset comes after what waits, when the peer reads it.
        """
        sender, client = yield self.connect()
        sent = yield self.fill(sender)
        with sender.turn:
            sender.output.write((b"last",), 4)
            sender.output.resetConnection()
            sender.output.write((b"late",), 4)
        self.assertIn(sender.output, sender.heldBack)
        data = yield self.read(client, len(sent) + 4)
        self.assertTrue(data == sent + b"last", "the bytes differ")
        # Somebody looks once a second.
        while not sender.output.isDrained:
            yield deferLater(reactor, 0.01, lambda: None)
        sender.output.abortConnection()
        yield sender.lost
        yield self.ends(client)

    @inlineCallbacks
    def test_resetsIdle(self):
        """
        It comes at once when nothing waits.
        """
        sender, client = yield self.connect()
        sender.send(b"first")
        yield deferLater(reactor, 0.05, lambda: None)
        sender.output.resetConnection()
        self.assertTrue(sender.output.lost)
        yield sender.lost
        data = yield self.read(client, 5)
        self.assertEqual(data, b"first")
        yield self.ends(client)

    @inlineCallbacks
    def ends(self, client):
        """
        The connection ends as after a reset.
        """
        with self.assertRaises(ConnectionResetError):
            while True:
                try:
                    self.assertEqual(client.recv(1), b"x")
                except BlockingIOError:
                    yield deferLater(reactor, 0, lambda: None)

    @inlineCallbacks
    def test_joins(self):
        """
        Small pieces that wait cost no more than their bytes.
        """
        sender, client = yield self.connect()
        sent = yield self.fill(sender)
        count = len(sender.output._waiting)
        for _ in range(5000):
            sender.send(b"x")
        self.assertLess(len(sender.output._waiting), count + 5)
        data = yield self.read(client, len(sent) + 5000)
        self.assertTrue(data == sent + b"x" * 5000, "the bytes differ")
        client.close()

    @inlineCallbacks
    def test_lostInTheMiddle(self):
        """
        When the peer goes while bytes wait for it, sources are let go, later
        writes go nowhere, and who was told of progress is forgotten.
        """
        sender, client = yield self.connect()
        source = Source()
        yield self.fill(sender, source)
        watcher = Source()
        sender.output.watchProgress(2**60, watcher.checkLiveness)
        progress = weakref.ref(watcher)
        del watcher
        client.close()
        yield sender.lost
        self.assertEqual((source.pausedFor, sender.output.queued, sender.output.lost), (set(), 0, True))
        self.assertIsNone(progress())
        sender.send(b"late", source)
        self.assertEqual(source.pausedFor, set())

    @inlineCallbacks
    def test_brokenWhileSending(self):
        """
        A write that finds the connection reset, before the reactor has seen
        it, ends it like any other.
        """
        sender, client = yield self.connect()
        source = Source()
        sender.output.holdBack(source)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        sender.send(b"one")
        sender.send(b"two")
        self.assertTrue(sender.output.lost)
        self.assertEqual(source.pausedFor, set())
        yield sender.lost
        sender.reason.trap(ConnectionLost, ConnectionAborted)

    @inlineCallbacks
    def test_transportLoses(self):
        """
        A protocol that loses its connection past the queue still gets sent
        what waits.
        """
        sender, client = yield self.connect()
        sent = yield self.fill(sender)
        sender.transport.loseConnection()
        data = yield self.read(client, len(sent) + 1)
        self.assertTrue(data == sent, "the bytes differ")
        yield sender.lost

    @inlineCallbacks
    def test_writeWhileBeingLost(self):
        """
        What is written after the transport has gone, but before the protocol
        told the queue, does no harm.
        """
        sender, client = yield self.connect()
        sender.connectionLost = lambda reason: (sender.send(b"late"), Sender.connectionLost(sender, reason))
        client.close()
        yield sender.lost
        self.assertTrue(sender.output.lost)

    @inlineCallbacks
    def test_viewsAreNotKept(self):
        """
        What waits does not keep a large read alive that it was a part of.
        """
        sender, client = yield self.connect()
        large = bytearray(64 * KB)
        sent = yield self.fill(sender)
        sender.send(memoryview(large)[:5000])
        large += b"resizing fails while there is a view"
        client.close()
        self.assertGreater(len(sent), 0)


class UnixDirectQueueTests(DirectQueueTests):
    """
    The same on Unix sockets.
    """

    family = socket.AF_UNIX

    @inlineCallbacks
    def ends(self, client):
        """
        The connection ends.
        """
        data = yield self.read(client, 1)
        self.assertEqual(data, b"")

    # A Unix socket knows no reset by its sender: it is the end of the stream.
    @inlineCallbacks
    def test_aborts(self):
        """
        Aborting drops what waits and ends the connection.
        """
        sender, client = yield self.connect()
        source = Source()
        sent = yield self.fill(sender, source)
        sender.output.abortConnection()
        self.assertEqual((source.pausedFor, sender.output.lost), (set(), True))
        yield sender.lost
        data = yield self.read(client, len(sent))
        self.assertLess(len(data), len(sent))


class WriteQueueTests(SynchronousTestCase):
    """
    Tests for L{WriteQueue} on a transport in memory.
    """

    def setUp(self) -> None:
        """
        A queue with room for 100,000 bytes.
        """
        self.turn = Turn()
        self.transport = StringTransport()
        self.heldBack: list[object] = []
        output = outputFor(self.transport, self.turn, 100_000, self.heldBack.append)
        assert isinstance(output, WriteQueue)
        self.output = output
        self.source = Source()

    def send(self, data: bytes) -> None:
        """
        Send some bytes in a turn of their own.
        """
        self.turn.enter(self.source)
        self.output.write((data,), len(data))
        self.turn.leave()

    def test_interface(self) -> None:
        """
        It is an L{IOutput}.
        """
        self.assertTrue(verifyObject(IOutput, self.output))

    def test_atOnce(self) -> None:
        """
        A turn's bytes are one write.
        """
        writes: list[bytes] = []
        self.transport.write = writes.append  # type: ignore[method-assign]
        with self.turn:
            self.output.write((b"a", memoryview(b"b")), 2)
            self.output.write((b"c",), 1)
        self.assertEqual(writes, [b"abc"])
        self.assertEqual((self.output.sent, self.output.queued), (3, 0))

    def test_waits(self) -> None:
        """
        While the transport is paused bytes wait; sources are held back at the
        high water and let go at half of it.
        """
        self.output.pauseProducing()
        for n in range(10):
            self.send(payload(10_000, n))
        self.assertEqual((self.output.queued, self.output.full, self.source.pausedFor), (100_000, False, set()))
        self.send(b"x")
        self.assertEqual((self.output.queued, self.output.full), (100_001, True))
        self.assertEqual(self.source.pausedFor, {self.output})
        self.assertEqual(self.heldBack, [self.output])
        self.assertEqual(self.transport.value(), b"")

        def full(data: bytes) -> None:
            StringTransport.write(self.transport, data)
            self.output.pauseProducing()

        self.transport.write = full  # type: ignore[method-assign]
        while self.source.pausedFor:
            self.assertGreater(self.output.queued, 50_000)
            self.output.resumeProducing()
        self.assertGreater(self.output.queued, 0)
        while self.output.queued:
            self.output.resumeProducing()
        self.assertEqual(self.transport.value(), b"".join(payload(10_000, n) for n in range(10)) + b"x")
        self.assertEqual(self.output.sent, 100_001)

    def test_large(self) -> None:
        """
        A large write stops where the transport says so, and goes on from
        there.
        """
        data = payload(300_000)

        def full(data: bytes) -> None:
            StringTransport.write(self.transport, data)
            self.output.pauseProducing()

        self.transport.write = full  # type: ignore[method-assign]
        self.send(data)
        first = self.output.sent
        self.assertLess(first, 70_000)
        self.assertEqual(self.output.queued, 300_000 - first)
        self.assertEqual(self.source.pausedFor, {self.output})
        while self.output.queued:
            self.output.resumeProducing()
        self.assertTrue(self.transport.value() == data, "the bytes differ")

    def test_losesAfterDraining(self) -> None:
        """
        Losing the connection waits for the transport to take all.
        """
        self.output.pauseProducing()
        self.send(b"a")
        with self.turn:
            self.output.write((b"b",), 1)
            self.output.loseConnection()
            self.output.write((b"late",), 4)
        self.assertFalse(self.transport.disconnecting)
        self.assertEqual(self.heldBack, [self.output])
        self.output.resumeProducing()
        self.assertEqual(self.transport.value(), b"ab")
        self.assertTrue(self.transport.disconnecting)
        self.assertIsNone(self.transport.producer)
        self.output.loseConnection()

    def test_resets(self) -> None:
        """
        A reset waits for the transport to take all.
        """
        self.output.pauseProducing()
        self.send(b"a")
        self.output.resetConnection()
        self.output.resetConnection()
        self.assertFalse(self.transport.disconnected)
        self.output.resumeProducing()
        self.assertEqual(self.transport.value(), b"a")
        self.assertTrue(self.transport.disconnected)
        self.assertTrue(self.output.lost)

    def test_resetsAfterHalf(self) -> None:
        """
        A connection without halves, whose end was said and which still
        listens, is reset at once: nobody else would end it.
        """
        self.output.finish()
        self.assertTrue(self.transport.disconnecting)
        self.assertFalse(self.transport.disconnected)
        self.output.resetConnection()
        self.assertTrue(self.transport.disconnected)

    def test_losesIdle(self) -> None:
        """
        With nothing waiting the connection is lost at once.
        """
        self.output.loseConnection()
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.heldBack, [])

    def test_aborts(self) -> None:
        """
        Aborting drops what waits and lets sources go.
        """
        self.output.pauseProducing()
        self.send(bytes(200_000))
        self.output.abortConnection()
        self.assertTrue(self.transport.disconnected)
        self.assertEqual((self.source.pausedFor, self.output.lost), (set(), True))
        self.send(b"late")
        self.assertEqual(self.transport.value(), b"")

    def test_abortsPipe(self) -> None:
        """
        A transport that knows no abort is lost.
        """

        class Pipe:
            lost = False

            def registerProducer(self, producer: object, streaming: bool) -> None:
                """
                Nothing to do.
                """

            def loseConnection(self) -> None:
                self.lost = True

        pipe = Pipe()
        outputFor(pipe, self.turn, 1, self.heldBack.append).abortConnection()
        self.assertTrue(pipe.lost)

    def test_stopProducing(self) -> None:
        """
        A transport that is gone says so.
        """
        self.output.pauseProducing()
        self.send(bytes(200_000))
        self.output.stopProducing()
        self.output.resumeProducing()
        self.assertEqual((self.source.pausedFor, self.output.lost, self.output.queued), (set(), True, 0))


class TLSTests(_Sockets):
    """
    The queue for TLS, over real sockets.
    """

    @inlineCallbacks
    def setUp(self):
        """
        A TLS connection through a recording proxy.
        """
        made = certificate()
        self.receiver = Sender(Turn(), 256 * KB, None)
        self.sender = Sender(Turn(), 256 * KB, None)
        factory = TLSMemoryBIOFactory(made.options(), False, Factory.forProtocol(lambda: self.receiver))
        port = yield TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        self.sniffer = SnifferFactory(port.getHost().port)
        proxy = yield TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(self.sniffer)
        self.addCleanup(proxy.stopListening)
        endpoint = wrapClientTLS(
            ssl.optionsForClientTLS("localhost", ssl.Certificate(made.original)),
            TCP4ClientEndpoint(reactor, "127.0.0.1", proxy.getHost().port),
        )
        yield endpoint.connect(Factory.forProtocol(lambda: self.sender))
        yield self.receiver.made

    @inlineCallbacks
    def test_nothingInClear(self):
        """
        Not a byte of what is sent can be read on the wire, and all of it
        arrives in order.
        """
        self.assertIs(type(self.sender.output), WriteQueue)
        self.assertIs(type(self.receiver.output), WriteQueue)
        parts = [b"\x01"] + [b"the plain text %06d " % n * 37 for n in range(3000)]
        for part in parts:
            self.sender.send(part)
        self.sender.output.loseConnection()
        yield self.receiver.lost
        yield self.sender.lost
        self.assertTrue(self.receiver.received == b"".join(parts), "the bytes differ")
        self.assertGreater(len(self.sniffer.seen), len(self.receiver.received))
        self.assertNotIn(b"plain text", self.sniffer.seen)

    @inlineCallbacks
    def test_waits(self):
        """
        A peer that does not read holds sources back, and lets them go when it
        reads on.
        """
        source = Source()
        self.receiver.transport.pauseProducing()
        total = 0
        while not source.pausedFor:
            self.sender.send(payload(100_000, total), source)
            total += 100_000
            yield deferLater(reactor, 0, lambda: None)
        self.assertLessEqual(self.sender.output.queued, 256 * KB + 100_000)
        self.receiver.transport.resumeProducing()
        while source.pausedFor:
            yield deferLater(reactor, 0, lambda: None)
        self.sender.output.loseConnection()
        yield self.receiver.lost
        yield self.sender.lost
        expected = b"".join(payload(100_000, n) for n in range(0, total, 100_000))
        self.assertTrue(self.receiver.received == expected, "the bytes differ")

    @inlineCallbacks
    def test_aborts(self):
        """
        Aborting ends it at once on both sides.
        """
        self.sender.output.abortConnection()
        yield self.sender.lost
        yield self.receiver.lost
        self.assertTrue(self.receiver.output.lost)


class OutputForTests(_Sockets):
    """
    Tests for L{outputFor}.
    """

    @inlineCallbacks
    def test_wrapped(self):
        """
        A wrapper that passes C{writeSomeData} through is not taken for a
        socket.
        """
        sender = Sender(Turn(), 1000, None)
        factory = WrappingFactory(Factory.forProtocol(lambda: sender))
        port = yield TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        with socket.create_connection(("127.0.0.1", port.getHost().port)) as client:
            yield sender.made
            self.assertTrue(callable(sender.transport.writeSomeData))
            self.assertIs(type(sender.output), WriteQueue)
            sender.send(b"a")
            client.setblocking(False)
            data = yield self.read(client, 1)
            self.assertEqual(data, b"a")
        yield sender.lost

    @inlineCallbacks
    def test_startedTLS(self):
        """
        A TCP transport on which TLS was started is none that may be written
        to directly.
        """
        sender, client = yield self.connect()
        sender.transport.startTLS(certificate().options(), False)
        output = outputFor(sender.transport, sender.turn, 1000, sender.heldBack.append)
        self.assertIs(type(output), WriteQueue)
        client.close()
        yield sender.lost

    def test_memory(self) -> None:
        """
        Anything else is written to.
        """
        transport = StringTransport(peerAddress=IPv4Address("TCP", "192.0.2.1", 1))
        self.assertIs(type(outputFor(transport, Turn(), 1, lambda queue: None)), WriteQueue)
