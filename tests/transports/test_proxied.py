"""
Tests of L{ockam_twisted.transports.proxied}.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from ockam_twisted.transports.proxied import MAX_WAITING, PATIENCE, Header, ProxiedFactory

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V4 = struct.pack("!4s4sHH", socket.inet_aton("192.0.2.7"), socket.inet_aton("192.0.2.1"), 41000, 443)
V6 = struct.pack(
    "!16s16sHH",
    socket.inet_pton(socket.AF_INET6, "2001:db8::7"),
    socket.inet_pton(socket.AF_INET6, "2001:db8::1"),
    41000,
    443,
)


def v2(rest: bytes, family: int = 0x11, command: int = 0x21) -> bytes:
    """
    A header of version 2.
    """
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest)) + rest


CLIENT = IPv4Address("TCP", "192.0.2.7", 41000)

GOOD = {
    v2(V4): CLIENT,
    v2(V4 + b"\x04\x00\x01x"): CLIENT,
    v2(V6, 0x21): IPv6Address("TCP", "2001:db8:0:0:0:0:0:7", 41000),
    v2(b"", 0, 0x20): None,
    v2(V4, 0x11, 0x20): None,
    v2(b"", 0): None,
    b"PROXY TCP4 192.0.2.7 192.0.2.1 41000 443\r\n": CLIENT,
    b"PROXY TCP6 2001:db8::7 2001:db8::1 41000 443\r\n": IPv6Address("TCP", "2001:db8::7", 41000),
    b"PROXY UNKNOWN \r\n": None,
    b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n": None,
}

BAD = (
    b"GET / HTTP/1.1\r\n",
    b"\x01",
    b"PROXY UDP4 192.0.2.7 192.0.2.1 41000 443\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 41000 99999\r\n",
    b"PROXY TCP4 \x1b[31m 192.0.2.1 41000 443\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 x y\r\n",
    b"PROXY TCP4 " + b"1" * 200,
    v2(V4[:5]),
    v2(V4, 0x11, 0x31),
    v2(V4, 0x11, 0x22),
    v2(V4, 0x44),
    SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 65535),
)


class HeaderTests(SynchronousTestCase):
    """
    L{Header}.
    """

    def test_nothingIsLost(self) -> None:
        """
        In whatever pieces a header comes, it is read, and no byte after it.
        """
        for data, client in GOOD.items():
            for most in (1, 2, 5, 1000):
                header, left = Header(), data + b"the first bytes"
                while header.wanted:
                    piece = left[: min(header.wanted, most)]
                    left = left[len(piece) :]
                    header.add(piece)
                self.assertEqual((left, header.client), (b"the first bytes", client), (data, most))

    def test_refused(self) -> None:
        """
        What is no header, or one that names no address, is an error before
        more is read than one can be long.
        """
        for data in BAD:
            for most in (1, 1000):
                header, left = Header(), data + bytes(70000)

                def read(header: Header = header, left: bytes = left, most: int = most) -> None:
                    while header.wanted:
                        piece = left[: min(header.wanted, most)]
                        left = left[len(piece) :]
                        header.add(piece)

                self.assertRaises(ValueError, read)


@implementer(IHalfCloseableProtocol)
class Recorder(Protocol):
    """
    Writes down what happens.
    """

    def __init__(self) -> None:
        self.events: list[object] = []

    def proxied(self, client: Any, at: Any) -> None:
        self.events.append((client.host, at.port))

    def connectionMade(self) -> None:
        self.events.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.events.append(data)

    def readConnectionLost(self) -> None:
        self.events.append("half")

    def writeConnectionLost(self) -> None:
        self.events.append("other half")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.events.append("lost")


class Transport(StringTransport):
    """
    One with a size for reads.
    """

    bufferSize = 65536
    isAborted = False

    def abortConnection(self) -> None:
        self.isAborted = True
        super().abortConnection()


class ConnectionTests(SynchronousTestCase):
    """
    L{ProxiedFactory}.
    """

    def setUp(self) -> None:
        self.made: list[Recorder] = []
        self.addresses: list[Any] = []
        self.isRefusing = False
        case = self

        class Behind(Factory):
            def buildProtocol(self, addr: Any) -> Any:
                if case.isRefusing:
                    return None
                case.addresses.append(addr)
                case.made.append(Recorder())
                return case.made[-1]

        self.clock = Clock()
        self.factory = ProxiedFactory(Behind(), self.clock)
        self.proxy = IPv4Address("TCP", "127.0.0.1", 50000)

    def connect(self) -> tuple[Any, Transport]:
        """
        The proxy connects.
        """
        protocol: Any = self.factory.buildProtocol(self.proxy)
        transport = Transport()
        protocol.makeConnection(transport)
        return protocol, transport

    def say(self, protocol: Any, transport: Transport, data: bytes) -> None:
        """
        The proxy sends.
        """
        while data:
            piece, data = data[: transport.bufferSize], data[transport.bufferSize :]
            protocol.dataReceived(piece)

    def test_client(self) -> None:
        """
        Who is behind it learns of the client before anything else, has the
        transport itself, and all that comes after the header.
        """
        protocol, transport = self.connect()
        self.assertEqual(self.made, [])
        self.say(protocol, transport, v2(V4) + b"first")
        protocol.dataReceived(b"second")
        protocol.readConnectionLost()
        protocol.writeConnectionLost()
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.addresses, [CLIENT])
        self.assertEqual(
            self.made[0].events, [("192.0.2.7", 443), "made", b"first", b"second", "half", "other half", "lost"]
        )
        self.assertIs(self.made[0].transport, transport)
        self.assertEqual(transport.bufferSize, 65536)
        self.assertFalse(self.clock.getDelayedCalls())
        self.assertFalse(self.factory.waiting)

    def test_own(self) -> None:
        """
        A connection of the proxy's own is the proxy's.
        """
        protocol, transport = self.connect()
        self.say(protocol, transport, v2(b"", 0, 0x20))
        self.assertEqual(self.addresses, [self.proxy])
        self.assertEqual(self.made[0].events, ["made"])

    def test_none(self) -> None:
        """
        Who sends something else, nothing, or half of it is reset, and nobody
        behind hears of it.
        """
        protocol, transport = self.connect()
        self.say(protocol, transport, b"SSH-2.0-x\r\n")
        self.assertTrue(transport.isAborted)
        protocol.connectionLost(Failure(ConnectionDone()))
        protocol, transport = self.connect()
        self.say(protocol, transport, SIGNATURE)
        self.clock.advance(PATIENCE)
        self.assertTrue(transport.isAborted)
        protocol.connectionLost(Failure(ConnectionDone()))
        protocol, transport = self.connect()
        protocol.readConnectionLost()
        self.assertTrue(transport.disconnecting)
        protocol.writeConnectionLost()
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.made, [])
        self.assertFalse(self.factory.waiting)
        self.assertFalse(self.clock.getDelayedCalls())

    def test_refused(self) -> None:
        """
        Where nobody is behind it, it is closed.
        """
        self.isRefusing = True
        protocol, transport = self.connect()
        self.say(protocol, transport, v2(V4))
        self.assertTrue(transport.isAborted)

    def test_many(self) -> None:
        """
        Those who say nothing do not fill the memory.
        """
        for _ in range(MAX_WAITING):
            self.connect()
        self.assertIsNone(self.factory.buildProtocol(self.proxy))
