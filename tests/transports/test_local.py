"""
Tests for L{ockam_twisted.transports.local}.
"""

from __future__ import annotations

import socket
import struct

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from ockam_twisted.interfaces import IOutput, ISockets, ISource
from ockam_twisted.routing.turn import Turn
from ockam_twisted.transports.local import LocalSockets
from ockam_twisted.transports.queue import DirectQueue
from ockam_twisted.transports.stalls import StallWatch


class Attached(Protocol):
    """
    Sends back what it receives.
    """

    def __init__(self, sockets: LocalSockets) -> None:
        self.sockets = sockets
        self.made: Deferred[None] = Deferred()
        self.lost: Deferred[None] = Deferred()
        self.largest = 0

    def connectionMade(self):
        self.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        self.output, self.source = self.sockets.attach(self.transport, self.transport.abortConnection, "a program")
        self.made.callback(None)

    def dataReceived(self, data):
        self.largest = max(self.largest, len(data))
        turn = self.sockets.turn
        turn.enter(self.source)
        self.output.write((data,), len(data))
        turn.leave()

    def connectionLost(self, reason):
        self.reason = reason
        self.output.connectionLost()
        self.lost.callback(None)


class LocalSocketsTests(TestCase):
    """
    Tests for L{LocalSockets}.
    """

    timeout = 20

    @inlineCallbacks
    def setUp(self):
        """
        A connected socket of a local program.
        """
        self.clock = Clock()
        self.sockets = LocalSockets(Turn(), StallWatch(self.clock), 10_000, 100_000)
        self.attached = Attached(self.sockets)
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = yield endpoint.listen(Factory.forProtocol(lambda: self.attached))
        self.addCleanup(port.stopListening)
        self.program = socket.socket()
        self.program.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        self.program.connect(("127.0.0.1", port.getHost().port))
        self.program.setblocking(False)
        yield self.attached.made
        self.addCleanup(lambda: self.attached.lost)
        self.addCleanup(self.program.close)

    def test_interfaces(self) -> None:
        """
        What comes out is a labelled L{IOutput} on the fast path and an
        L{ISource}.
        """
        self.assertTrue(verifyObject(ISockets, self.sockets))
        self.assertTrue(verifyObject(IOutput, self.attached.output))
        self.assertTrue(verifyObject(ISource, self.attached.source))
        self.assertIs(type(self.attached.output), DirectQueue)
        self.assertEqual(self.attached.output.label, "a program")

    @inlineCallbacks
    def _flood(self):
        """
        Send until no more is taken, and wait until that does not change.
        """
        total, since = 0, 0
        while since < 20:
            try:
                total += self.program.send(bytes(50_000))
                since = 0
            except BlockingIOError:
                since += 1
            yield deferLater(reactor, 0.001, lambda: None)
        return total

    @inlineCallbacks
    def test_backPressure(self):
        """
        A program that sends and does not read is read no more, until it
        reads; what was sent comes back whole.
        """
        total = yield self._flood()
        self.assertLessEqual(self.attached.output.queued, 100_000 + 10_000)
        self.assertTrue(self.attached.output.full)
        self.assertLessEqual(self.attached.largest, 10_000)
        read = 0
        while read < total:
            try:
                read += len(self.program.recv(100_000))
            except BlockingIOError:
                yield deferLater(reactor, 0, lambda: None)
        self.assertEqual(read, total)
        self.assertFalse(self.attached.output.full)

    @inlineCallbacks
    def test_resetWhilePaused(self):
        """
        A program that resets its connection while it is not read from is
        found out within a second.
        """
        yield self._flood()
        # Nothing is written any more that would find out by itself.
        self.attached.transport.stopWriting()
        self.program.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.program.close()
        yield deferLater(reactor, 0.01, lambda: None)
        self.assertFalse(self.attached.lost.called)
        self.clock.advance(1)
        yield self.attached.lost
        self.attached.reason.trap(ConnectionAborted)

    @inlineCallbacks
    def test_resetWhilePausedByOthers(self):
        """
        The same if it is paused for another reason than a full output.
        """
        self.attached.source.pauseFor("a window")
        self.program.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.program.close()
        yield deferLater(reactor, 0.01, lambda: None)
        self.assertFalse(self.attached.lost.called)
        self.clock.advance(1)
        yield self.attached.lost
        self.attached.reason.trap(ConnectionAborted)
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @inlineCallbacks
    def test_resumed(self):
        """
        A program that is read from again is looked at no more.
        """
        self.attached.source.pauseFor("a window")
        self.attached.source.resumeFor("a window")
        self.program.send(b"echo")
        while not self.attached.largest:
            yield deferLater(reactor, 0.001, lambda: None)
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @inlineCallbacks
    def test_readAhead(self):
        """
        What has come is read at once, but no more than a little; what has not
        come is not waited for.
        """
        self.sockets.readAhead(self.attached.transport)
        self.assertEqual(self.attached.largest, 0)
        self.attached.source.pauseFor("nobody yet")
        self.program.send(bytes(9_000))
        yield deferLater(reactor, 0.01, lambda: None)
        self.assertEqual(self.attached.largest, 0)
        self.sockets.readAhead(self.attached.transport)
        self.assertEqual(self.attached.largest, 4096)
        self.attached.source.resumeFor("nobody yet")
        while self.attached.output.sent < 9_000:
            yield deferLater(reactor, 0.001, lambda: None)
        self.assertEqual(self.attached.largest, 9_000 - 4096)

    @inlineCallbacks
    def test_readAheadOfEnd(self):
        """
        An end that is found then is one.
        """
        self.program.shutdown(socket.SHUT_WR)
        self.sockets.readAhead(self.attached.transport)
        self.assertFalse(self.attached.lost.called)
        yield self.attached.lost
        self.attached.reason.trap(ConnectionDone)

    @inlineCallbacks
    def test_readAheadOfReset(self):
        """
        A reset that is found then is not taken for an end.
        """
        self.program.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.program.close()
        self.sockets.readAhead(self.attached.transport)
        yield self.attached.lost
        self.attached.reason.trap(ConnectionAborted)

    @inlineCallbacks
    def test_take(self):
        """
        What has come can be taken, a little of it, from who is not read yet;
        what has not come is not waited for.
        """
        self.attached.source.pauseFor("nobody yet")
        self.assertEqual(self.sockets.take(self.attached.transport), b"")
        self.program.send(b"x" * 5_000)
        yield deferLater(reactor, 0.01, lambda: None)
        self.assertEqual(self.sockets.take(self.attached.transport), b"x" * 4096)
        self.assertEqual(self.attached.largest, 0)
        self.attached.source.resumeFor("nobody yet")
        while self.attached.output.sent < 5_000 - 4096:
            yield deferLater(reactor, 0.001, lambda: None)
        self.assertEqual(self.attached.largest, 5_000 - 4096)

    @inlineCallbacks
    def test_takeEnd(self):
        """
        An end that is found then is found again.
        """
        self.attached.source.pauseFor("nobody yet")
        self.program.send(b"last")
        self.program.shutdown(socket.SHUT_WR)
        self.assertEqual(self.sockets.take(self.attached.transport), b"last")
        self.assertEqual(self.sockets.take(self.attached.transport), b"")
        self.attached.source.resumeFor("nobody yet")
        yield self.attached.lost
        self.attached.reason.trap(ConnectionDone)

    @inlineCallbacks
    def test_takeReset(self):
        """
        A reset that is found then is one.
        """
        self.attached.source.pauseFor("nobody yet")
        self.program.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.program.close()
        self.assertEqual(self.sockets.take(self.attached.transport), b"")
        yield self.attached.lost
        self.attached.reason.trap(ConnectionAborted)

    def test_takeElsewhere(self) -> None:
        """
        From other transports nothing is taken.
        """
        self.assertEqual(self.sockets.take(object()), b"")

    def test_readAheadElsewhere(self) -> None:
        """
        Of other transports nothing is read ahead.
        """
        self.sockets.readAhead(object())
