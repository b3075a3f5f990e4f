"""
Tests for L{ockam_twisted.transports.sockets}.
"""

from __future__ import annotations

import socket
import struct
import sys

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import TCP4ServerEndpoint, UNIXServerEndpoint
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import directlyProvides

from ockam_twisted.transports.carrier import CarrierProtocol
from ockam_twisted.transports.sockets import (
    HOP_READ,
    KEEPALIVE_COUNT,
    KEEPALIVE_IDLE,
    KEEPALIVE_INTERVAL,
    SEND_LIMIT,
    behindGap,
    closeSent,
    endSending,
    isDead,
    isPlainSocket,
    keepFreedMemory,
    prepareSocket,
    unanswered,
)


class Accepted(Protocol):
    """
    Says when it is connected and when no more.
    """

    def __init__(self) -> None:
        self.made: Deferred[None] = Deferred()
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self):
        self.made.callback(None)

    def connectionLost(self, reason):
        self.lost.callback(None)


class SocketTests(TestCase):
    """
    Tests with real sockets.
    """

    timeout = 10

    @inlineCallbacks
    def accept(self, endpoint, wrap=lambda factory: factory):
        """
        Accept one connection.
        """
        protocol = Accepted()
        port = yield endpoint.listen(wrap(Factory.forProtocol(lambda: protocol)))
        self.addCleanup(port.stopListening)
        host = port.getHost()
        client = socket.socket(socket.AF_UNIX if hasattr(host, "name") else socket.AF_INET)
        client.connect(host.name if hasattr(host, "name") else ("127.0.0.1", host.port))
        yield protocol.made
        self.addCleanup(lambda: protocol.lost)
        self.addCleanup(client.close)
        return protocol, client

    @inlineCallbacks
    def test_prepareTCP(self):
        """
        A TCP socket gets no delay, keepalive with short times, large reads
        and large sends.
        """
        protocol, _ = yield self.accept(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
        transport = protocol.transport
        self.assertTrue(isPlainSocket(transport))
        prepareSocket(transport, HOP_READ)
        self.assertEqual((transport.bufferSize, transport.SEND_LIMIT), (HOP_READ, SEND_LIMIT))
        self.assertTrue(transport.getTcpNoDelay())
        self.assertTrue(transport.getTcpKeepAlive())
        handle = transport.getHandle()
        for name, value in (
            ("TCP_KEEPIDLE", KEEPALIVE_IDLE),
            ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL),
            ("TCP_KEEPCNT", KEEPALIVE_COUNT),
        ):
            if hasattr(socket, name):
                self.assertEqual(handle.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)), value)

    @inlineCallbacks
    def test_prepareUnix(self):
        """
        A Unix socket gets the sizes; it has no TCP options.
        """
        protocol, _ = yield self.accept(UNIXServerEndpoint(reactor, "s"))
        self.assertTrue(isPlainSocket(protocol.transport))
        prepareSocket(protocol.transport, 1000)
        self.assertEqual(protocol.transport.bufferSize, 1000)

    @inlineCallbacks
    def test_prepareWrapped(self):
        """
        Behind a wrapper TCP gets what can be asked for; a Unix socket, which
        cannot do it, is left as it is.
        """
        for endpoint, delays in (
            (TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"), False),
            (UNIXServerEndpoint(reactor, "s"), True),
        ):
            protocol, _ = yield self.accept(endpoint, WrappingFactory)
            self.assertIsInstance(protocol.transport, ProtocolWrapper)
            self.assertFalse(isPlainSocket(protocol.transport))
            prepareSocket(protocol.transport, 1000)
            if not delays:
                self.assertTrue(protocol.transport.getTcpNoDelay())
                self.assertTrue(protocol.transport.getTcpKeepAlive())
                handle = protocol.transport.getHandle()
                if hasattr(socket, "TCP_KEEPIDLE"):
                    self.assertEqual(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), KEEPALIVE_IDLE)

    @inlineCallbacks
    def test_endSending(self):
        """
        A plain socket ends by halves, also below a carrier; and is closed
        when the other half has had its time.
        """
        protocol, client = yield self.accept(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
        client.setblocking(False)
        carrier = CarrierProtocol()
        carrier.makeConnection(protocol.transport)
        protocol.transport.write(b"the last word")
        endSending(protocol.transport)
        heard = []
        while b"" not in heard:
            try:
                heard.append(client.recv(100))
            except BlockingIOError:
                yield deferLater(reactor, 0.001, lambda: None)
        self.assertEqual(heard, [b"the last word", b""])
        client.sendall(b"so it was")
        yield deferLater(reactor, 0.01, lambda: None)
        self.assertNoResult(protocol.lost)
        self.assertTrue(closeSent(carrier))
        yield protocol.lost

    @inlineCallbacks
    def test_endUnsent(self):
        """
        What the kernel has not taken yet is not closed over.
        """
        protocol, _ = yield self.accept(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
        protocol.transport.write(bytes(64_000_000))
        endSending(protocol.transport)
        self.assertFalse(closeSent(protocol.transport))
        protocol.transport.abortConnection()
        yield protocol.lost

    @inlineCallbacks
    def test_endWrapped(self):
        """
        What is not a plain socket, and TLS above one, ends as it does.
        """
        transport = StringTransport()
        endSending(transport)
        self.assertTrue(transport.disconnecting)
        self.assertFalse(closeSent(transport))
        protocol, _ = yield self.accept(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"), WrappingFactory)
        directlyProvides(protocol.transport, ISSLTransport)
        self.assertFalse(closeSent(protocol.transport))
        protocol.transport.loseConnection()
        yield protocol.lost

    @inlineCallbacks
    def test_unanswered(self):
        """
        A peer that does not read owes nothing: its kernel answers.
        """
        protocol, _ = yield self.accept(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
        transport = protocol.transport
        prepareSocket(transport, HOP_READ)
        self.assertEqual(unanswered(transport), 0.0)
        transport.write(bytes(32 * 1024 * 1024))
        for _ in range(20):
            yield deferLater(reactor, 0.05, lambda: None)
            self.assertEqual(unanswered(transport), 0.0)
        self.assertEqual(unanswered(StringTransport()), 0.0)
        transport.abortConnection()
        yield protocol.lost
        self.assertEqual(unanswered(transport), 0.0)

    @inlineCallbacks
    def test_behindGap(self):
        """
        A connection that lost nothing has nothing behind a gap, and nobody can tell of what is no
        TCP socket, or closed.
        """
        protocol, client = yield self.accept(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
        client.sendall(bytes(100))
        self.assertEqual(behindGap(protocol.transport), 0)
        self.assertEqual(behindGap(StringTransport()), 0)
        protocol.transport.abortConnection()
        yield protocol.lost
        self.assertEqual(behindGap(protocol.transport), 0)

    @inlineCallbacks
    def test_isDead(self):
        """
        A paused connection that was reset is dead; one that lives, one that
        only ended, and one that is already gone are not.
        """
        protocol, client = yield self.accept(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
        transport = protocol.transport
        transport.pauseProducing()
        self.assertFalse(isDead(transport))
        client.shutdown(socket.SHUT_WR)
        yield deferLater(reactor, 0.01, lambda: None)
        self.assertFalse(isDead(transport))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        yield deferLater(reactor, 0.01, lambda: None)
        self.assertFalse(protocol.lost.called)
        self.assertTrue(isDead(transport))
        transport.abortConnection()
        yield protocol.lost
        self.assertFalse(isDead(transport))


class MemoryTests(SynchronousTestCase):
    """
    Tests without sockets.
    """

    def test_noSocket(self) -> None:
        """
        A transport without a socket is neither prepared nor dead.
        """
        transport = StringTransport()
        prepareSocket(transport, 1000)
        self.assertFalse(isPlainSocket(transport))
        self.assertFalse(isDead(transport))

    def test_keepFreedMemory(self) -> None:
        """
        It says whether it did it; only where there is glibc.
        """
        if not sys.platform.startswith("linux"):
            self.assertFalse(keepFreedMemory())
        self.patch(sys, "platform", "win32")
        self.assertFalse(keepFreedMemory())
