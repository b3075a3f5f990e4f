"""
Tests of L{ockam_twisted.processes.arrivals}, over real sockets; the reactor is
turned by hand.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.tcp import Server
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ockam_twisted.memory import MemoryTransport
from ockam_twisted.processes.arrivals import PATIENCE, Arrivals, IPlaces, ITaker, boundFor, isEnough
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.router import Router
from ockam_twisted.testing import Inbox, MemoryNetwork
from ockam_twisted.transports.hops import HopSettings
from ockam_twisted.transports.service import TransportService
from ockam_twisted.transports.stalls import StallWatch
from ockam_twisted.wire.frames import VERSION, encodeFrame
from ockam_twisted.wire.messages import encodeTransport
from ockam_twisted.wire.relay import SENDING, Notice, encodeNotice

FIRST = VERSION + encodeFrame(encodeTransport([(0, b"forward_to_blue"), (0, b"api")], [(0, b"me")], b"x" * 300))
BLUE = Address.local("forward_to_blue")


class BoundTests(SynchronousTestCase):
    """
    Where is the first message bound for?
    """

    def test_bound(self) -> None:
        """
        It is known as soon as both routes are there.
        """
        known = [size for size in range(len(FIRST) + 1) if boundFor(FIRST[:size]) == BLUE]
        self.assertEqual(known, list(range(known[0], len(FIRST) + 1)))
        self.assertLess(known[0], 50)
        self.assertFalse(any(isEnough(FIRST[:size]) for size in range(1, known[0])))

    def test_nonsense(self) -> None:
        """
        Of what is no message there is enough at once; it is bound for
        nowhere.
        """
        for data in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"G",
            VERSION + b"\0\0\0\5abcde",
            VERSION + encodeFrame(b"\x84" * 5000),
        ):
            self.assertTrue(isEnough(data), data[:20])
            self.assertIsNone(boundFor(data))
        self.assertFalse(isEnough(b"") or isEnough(VERSION))

    def test_notice(self) -> None:
        """
        An inlet of ours says first what it is going to send to: that is where
        it is bound for, once all of it is there.
        """
        hello = encodeNotice(Notice(SENDING, BLUE.value))
        said = VERSION + encodeFrame(encodeTransport([(0, b"relay_notices")], [(0, b"me")], hello))
        self.assertEqual(boundFor(said), BLUE)
        self.assertEqual(boundFor(said + FIRST), BLUE)
        for size in range(len(said)):
            self.assertIsNone(boundFor(said[:size]))
        wrong = VERSION + encodeFrame(encodeTransport([(0, b"relay_notices")], [(0, b"me")], b"nonsense"))
        self.assertIsNone(boundFor(wrong))

    def test_nowhere(self) -> None:
        """
        A message without a route is bound for nowhere.
        """
        self.assertIsNone(boundFor(VERSION + encodeFrame(encodeTransport([], [], b""))))


@implementer(IPlaces, ITaker)
class Places:
    """
    Takes all that is bound for blue.
    """

    isSettled = True

    def __init__(self) -> None:
        self.asked: list[Address | None] = []
        self.taken: list[tuple[socket.socket, bytes, Deferred[None]]] = []

    def choose(self, bound: Address | None) -> Any:
        """
        See L{IPlaces.choose}.
        """
        self.asked.append(bound)
        return self if bound == BLUE else None

    def take(self, descriptor: int, family: int, data: bytes) -> Deferred[None]:
        """
        See L{ITaker.take}.
        """
        over: Deferred[None] = Deferred()
        self.taken.append((socket.socket(fileno=descriptor), data, over))
        assert family == socket.AF_INET
        return over


class Turned(Clock):
    """
    A reactor for transports that are turned by hand.
    """

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.addReader, self.removeReader = self.readers.add, self.readers.discard
        self.addWriter, self.removeWriter = self.writers.add, self.writers.discard


class ArrivalsTests(SynchronousTestCase):
    """
    Accepted connections.
    """

    def setUp(self) -> None:
        """
        A transport, in front of which they arrive.
        """
        self.reactor = Turned()
        self.router = Router()
        settings = HopSettings(self.router, self.reactor, StallWatch(self.reactor), perAddress=3, total=4)
        self.transport = TransportService(settings)
        self.places = Places()
        self.arrivals = Arrivals(self.transport.servers, self.reactor, self.places)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.listening.close)

    def connect(self, host: str = "192.0.2.1") -> tuple[socket.socket, Any]:
        """
        Connect.

        @return: The client, and the transport here; L{None}: refused.
        """
        client = socket.create_connection(self.listening.getsockname())
        self.addCleanup(client.close)
        accepted, addr = self.listening.accept()
        protocol = self.arrivals.buildProtocol(IPv4Address("TCP", host, 5))
        if protocol is None:
            accepted.close()
            return client, None
        accepted.setblocking(False)
        server = Server(accepted, protocol, addr, None, 0, self.reactor)  # type: ignore[arg-type]
        self.addCleanup(accepted.close)
        protocol.makeConnection(server)
        return client, server

    def send(self, client: socket.socket, server: Any, data: bytes) -> None:
        """
        Send, and let it arrive.
        """
        client.sendall(data)
        if server in self.reactor.readers:
            why = server.doRead()
            if why is not None:
                server.connectionLost(Failure(why))
        self.reactor.advance(0)

    def test_interface(self) -> None:
        """
        The places of these tests are what real ones are.
        """
        verifyObject(IPlaces, self.places)
        verifyObject(ITaker, self.places)

    def test_goes(self) -> None:
        """
        A connection is greeted, and goes where its first message is bound
        for, with what was read; here nothing is left of it but that it counts.
        """
        client, server = self.connect()
        self.assertEqual(client.recv(10), VERSION)
        self.send(client, server, FIRST)
        [(taken, data, over)] = self.places.taken
        self.assertEqual((self.places.asked, data), ([BLUE], FIRST))
        self.assertEqual(
            (self.reactor.readers, self.reactor.writers, self.reactor.getDelayedCalls()), (set(), set(), [])
        )
        taken.sendall(b"from there")
        self.assertEqual(client.recv(100), b"from there")
        self.assertEqual(self.arrivals.count, 1)
        taken.close()
        over.callback(None)
        self.assertEqual((self.arrivals.count, client.recv(1)), (0, b""))

    def test_stays(self) -> None:
        """
        One that is bound for something here stays, and is greeted once.
        """
        inbox = Inbox(self.router, Address.local("here"))
        self.router.flowControls.addConsumer(inbox.address, self.transport.listenerId)
        message = encodeFrame(encodeTransport([(0, b"here")], [(0, b"me")], b"hello"))
        client, server = self.connect()
        self.send(client, server, VERSION + message)
        self.send(client, server, message)
        self.assertEqual(inbox.payloads, [b"hello", b"hello"])
        [hop] = self.transport.hops
        self.assertIs(server.protocol, hop)
        self.assertEqual(client.recv(10), VERSION)
        client.close()
        server.connectionLost(Failure(server.doRead()))
        self.assertEqual((self.transport.hops, self.arrivals.count), (set(), 0))

    def test_silent(self) -> None:
        """
        One that says nothing goes somewhere after a second, in pieces too.
        """
        client, server = self.connect()
        self.send(client, server, FIRST[:20])
        self.reactor.advance(PATIENCE / 2)
        self.assertEqual(self.places.asked, [])
        self.reactor.advance(PATIENCE / 2)
        self.reactor.advance(0)
        self.assertEqual(self.places.asked, [None])
        self.assertEqual(len(self.transport.hops), 1)
        client, server = self.connect()
        for byte in FIRST[:60]:
            self.send(client, server, bytes((byte,)))
        self.assertEqual(self.places.asked, [None, BLUE])

    def test_nonsense(self) -> None:
        """
        What is no peer of ours ends as everywhere.
        """
        client, server = self.connect()
        self.send(client, server, b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual((self.transport.hops, self.arrivals.count), (set(), 0))
        self.assertEqual(client.recv(10), VERSION)

    def test_early(self) -> None:
        """
        While processes start connections wait, and take little room; then
        each goes where it belongs.
        """
        self.places.isSettled = False
        client, server = self.connect()
        self.send(client, server, FIRST + b"x" * 100_000)
        self.reactor.advance(10)
        self.assertEqual((self.places.asked, self.reactor.readers), ([], set()))
        gone, there = self.connect()
        self.send(gone, there, FIRST[:10])
        gone.close()
        there.connectionLost(Failure(there.doRead()))
        self.places.isSettled = True
        self.arrivals.settle()
        [(taken, data, _)] = self.places.taken
        self.assertLess(len(data), 66_000)
        self.assertEqual(taken.recv(10), b"x" * 10)
        taken.close()
        self.assertEqual(self.arrivals.count, 1)

    def test_limits(self) -> None:
        """
        Connections count wherever they are: from one address, and in all.
        """
        for _ in range(3):
            client, server = self.connect()
            self.send(client, server, FIRST)
        self.assertIsNone(self.connect()[1])
        self.assertIsNotNone(self.connect("192.0.2.2")[1])
        self.assertIsNone(self.connect("192.0.2.3")[1])
        self.places.taken[0][0].close()
        self.places.taken[0][2].callback(None)
        self.assertIsNotNone(self.connect()[1])
        for taken, _, _ in self.places.taken:
            taken.close()

    def test_networks(self) -> None:
        """
        Who has an IPv6 network is one of them; an IPv4 host is one however it is seen.
        """
        for hosts in (
            [f"2001:db8::{number}" for number in range(4)],
            ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1"],
        ):
            made = [self.arrivals.buildProtocol(IPv4Address("TCP", host, 5)) for host in hosts]
            self.assertEqual([each is None for each in made], [False, False, False, True])
            for each in made[:3]:
                assert each is not None
                each.connectionLost()
            self.assertEqual(self.arrivals.count, 0)
            self.assertEqual(dict(self.arrivals._perAddress), {})

    def test_wrapped(self) -> None:
        """
        What is not a plain socket stays here, and works.
        """
        network = MemoryNetwork()
        protocol = self.arrivals.buildProtocol(IPv4Address("TCP", "192.0.2.1", 5))
        link = network.join(Protocol(), protocol)
        self.assertIsInstance(link.server, MemoryTransport)
        network.pump()
        self.assertEqual(len(self.transport.hops), 1)
        [hop] = self.transport.hops
        link.client.write(VERSION)
        network.pump()
        self.successResultOf(hop.ready)
        link.client.abortConnection()
        network.pump()
        self.assertEqual((self.transport.hops, self.arrivals.count), (set(), 0))
