"""
Tests for L{ockam_twisted.transports.pool}.  They use real sockets.
"""

from __future__ import annotations

import random
import shutil
import socket
import tempfile
from typing import Any

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IReactorFDSet, IReactorTCP, IReadDescriptor
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import MemoryReactor
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ockam_twisted.transports.pool import MANY, SocketPool, _epoll, pooled


class Talk(Protocol):
    """
    Remembers what it has got, and how it ended.
    """

    def __init__(self) -> None:
        self.got = b""
        self.ended: Failure | None = None
        self.lost: Deferred[Failure] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = reason
        self.lost.callback(None)


@implementer(IHalfCloseableProtocol)
class Half(Talk):
    """
    One that can end one direction.
    """

    halves = 0

    def readConnectionLost(self) -> None:
        self.halves += 1

    def writeConnectionLost(self) -> None:
        """
        Not asked here.
        """


class Talks(Factory):
    """
    Remembers whom it has made.
    """

    noisy = False

    def __init__(self, kind: type[Talk] = Talk) -> None:
        self.kind = kind
        self.made: list[Any] = []

    def buildProtocol(self, addr: object) -> Talk:
        self.made.append(self.kind())
        return self.made[-1]


class PooledTests(SynchronousTestCase):
    """
    Tests for L{pooled}.
    """

    def test_elsewhere(self) -> None:
        """
        What waits for no sockets of the kernel has no pool.
        """
        for other in (Clock(), MemoryReactor()):
            self.assertIs(pooled(other, int, int), other)

    def test_likeReactor(self) -> None:
        """
        To transports and endpoints it looks like its reactor.
        """
        if _epoll is None:
            raise SkipTest("no epoll here")
        pool = pooled(reactor, int, int)
        for interface in (IReactorFDSet, IReactorTCP, IReadDescriptor):
            self.assertTrue(interface.providedBy(pool))
        self.assertTrue(verifyObject(IReactorFDSet, pool))
        self.assertEqual(pool.callLater, reactor.callLater)


class SocketPoolTests(TestCase):
    """
    Tests for L{SocketPool}.
    """

    timeout = 30

    def setUp(self) -> None:
        """
        A pool that notes its passes.
        """
        if _epoll is None:
            raise SkipTest("no epoll here")
        self.passes: list[str] = []
        self.pool = SocketPool(reactor, lambda: self.passes.append("begin"), lambda: self.passes.append("end"))
        self.factory = Talks()

    async def until(self, condition: Any) -> None:
        """
        Let the reactor run.
        """
        for _ in range(2000):
            if condition():
                return
            await deferLater(reactor, 0.002)
        self.fail("that never came")

    async def server(self, factory: Talks | None = None) -> int:
        """
        Something that listens through the pool.
        """
        endpoint = serverFromString(self.pool, "tcp:0:interface=127.0.0.1")
        port: Any = await endpoint.listen(factory or self.factory)
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def client(self, port: int) -> socket.socket:
        """
        Somebody who connects.
        """
        client = socket.create_connection(("127.0.0.1", port))
        self.addCleanup(client.close)
        client.setblocking(False)
        return client

    async def crowd(self, count: int, factory: Talks | None = None) -> tuple[list[socket.socket], list[Any]]:
        """
        So many connections.
        """
        factory = factory or self.factory
        port = await self.server(factory)
        clients = []
        for n in range(count):
            clients.append(self.client(port))
            await self.until(lambda n=n: len(factory.made) == n + 1)
        self.addCleanup(self._empty, factory)
        return clients, factory.made

    async def _emptied(self, factory: Talks) -> None:
        for each in factory.made:
            if each.ended is None:
                each.transport.abortConnection()
        await self.until(lambda: all(each.ended for each in factory.made))

    def _empty(self, factory: Talks) -> Deferred[None]:
        return Deferred.fromCoroutine(self._emptied(factory))

    @property
    def isOn(self) -> bool:
        """
        Does the reactor look after the pool, and not after its sockets?
        """
        return self.pool in reactor.getReaders()

    async def _few(self) -> None:
        clients, made = await self.crowd(MANY - 2)
        clients[0].send(b"hello")
        await self.until(lambda: made[0].got == b"hello")
        self.assertFalse(self.isOn)
        self.assertEqual(self.passes, [])

    def test_few(self) -> Deferred[None]:
        """
        A few sockets are left to the reactor.
        """
        return Deferred.fromCoroutine(self._few())

    async def _many(self) -> None:
        clients, made = await self.crowd(3 * MANY)
        self.assertTrue(self.isOn)
        del self.passes[:]
        for client in clients:
            client.send(b"all")
        await self.until(lambda: all(each.got == b"all" for each in made))
        self.assertEqual(self.passes[:2], ["begin", "end"])
        self.assertEqual(self.passes.count("begin"), self.passes.count("end"))
        for each in made:
            each.transport.write(b"back" * 100_000)
        for client in clients:
            got = 0
            while got < 400_000:
                await deferLater(reactor, 0)
                try:
                    got += len(client.recv(1 << 20))
                except BlockingIOError:
                    continue
            self.assertEqual(got, 400_000)

    def test_many(self) -> Deferred[None]:
        """
        Many are dealt with in passes, both ways, also when they are full.
        """
        return Deferred.fromCoroutine(self._many())

    async def _comeAndGo(self) -> None:
        chance = random.Random(7)
        port = await self.server()
        clients: list[tuple[socket.socket, Any, bytearray]] = []
        for _ in range(300):
            if chance.random() < 0.5 + 0.4 * (len(clients) < 2 * MANY) - 0.4 * (len(clients) > 2 * MANY):
                count = len(self.factory.made)
                client = self.client(port)
                await self.until(lambda count=count: len(self.factory.made) > count)
                clients.append((client, self.factory.made[-1], bytearray()))
            elif clients:
                client, talk, sent = clients.pop(chance.randrange(len(clients)))
                # A paused one does not hear of it.
                talk.transport.resumeProducing()
                client.close()
                await talk.lost
                self.assertEqual(talk.got, bytes(sent))
            for client, talk, sent in clients:
                if chance.random() < 0.3:
                    data = chance.randbytes(chance.randrange(1, 50))
                    client.send(data)
                    sent += data
                if chance.random() < 0.1:
                    talk.transport.pauseProducing()
                elif chance.random() < 0.8:
                    talk.transport.resumeProducing()
        for client, talk, sent in clients:
            talk.transport.resumeProducing()
            await self.until(lambda talk=talk, sent=sent: talk.got == bytes(sent))
            client.close()
            await talk.lost
        self.assertFalse(self.isOn)
        self.assertEqual((self.pool.getWriters(), len(self.pool.getReaders())), ([], 1))

    def test_comeAndGo(self) -> Deferred[None]:
        """
        As connections come and go, pause and resume, each gets its own bytes,
        whoever looks after it; at last the reactor does.
        """
        return Deferred.fromCoroutine(self._comeAndGo())

    async def _ends(self) -> None:
        clients, made = await self.crowd(2 * MANY)
        clients[0].close()
        clients[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        clients[1].close()
        await made[0].lost
        await made[1].lost
        self.assertTrue(made[0].ended.check(ConnectionDone))
        self.assertTrue(made[1].ended.check(ConnectionLost))
        made[2].transport.loseConnection()
        await made[2].lost
        self.assertTrue(made[2].ended.check(ConnectionDone))

    def test_ends(self) -> Deferred[None]:
        """
        A connection that was closed, or reset, ends as with a reactor.
        """
        return Deferred.fromCoroutine(self._ends())

    async def _halves(self) -> None:
        factory = Talks(Half)
        clients, made = await self.crowd(MANY - 2, factory)
        for client in clients[:2]:
            client.send(b"last")
            client.shutdown(socket.SHUT_WR)
        await self.until(lambda: made[0].halves and made[1].halves)
        self.assertFalse(self.isOn)
        port = await self.server()
        for _ in range(MANY):
            self.client(port)
        await self.until(lambda: len(self.factory.made) == MANY and self.isOn)
        self.addCleanup(self._empty, self.factory)
        clients[2].send(b"last")
        clients[2].shutdown(socket.SHUT_WR)
        await self.until(lambda: made[2].halves)
        for _ in range(20):
            await deferLater(reactor, 0)
        self.assertEqual([each.halves for each in made[:3]], [1, 1, 1])
        made[0].transport.write(b"answer")
        await self.until(lambda: _has(clients[0], b"answer"))

    def test_halves(self) -> Deferred[None]:
        """
        The end of one direction is told once, whoever looks after it then, and
        the other one goes on.
        """
        return Deferred.fromCoroutine(self._halves())

    async def _fails(self) -> None:
        clients, made = await self.crowd(2 * MANY)
        made[0].dataReceived = lambda data: 1 / 0
        clients[0].send(b"x")
        clients[1].send(b"y")
        await made[0].lost
        await self.until(lambda: made[1].got == b"y")
        self.assertTrue(made[0].ended.check(ZeroDivisionError))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_fails(self) -> Deferred[None]:
        """
        A protocol that fails loses its connection, and disturbs no other.
        """
        return Deferred.fromCoroutine(self._fails())

    async def _sameNumber(self) -> None:
        clients, made = await self.crowd(2 * MANY)
        first, second = made[:2]
        others: list[Any] = []

        def endsAll(data: bytes) -> None:
            # The next accepted connection has the number of the one that was
            # ready, and is not.
            for each in (first, second):
                each.transport.abortConnection()
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            others.append((self.pool.adopt(ours, self.factory), theirs))

        first.dataReceived = second.dataReceived = endsAll
        clients[0].send(b"x")
        clients[1].close()
        await first.lost
        await second.lost
        transport, theirs = others[0]
        await deferLater(reactor, 0.01)
        self.assertTrue(transport.connected)
        theirs.send(b"hello")
        await self.until(lambda: transport.protocol.got == b"hello")
        theirs.close()

    def test_sameNumber(self) -> Deferred[None]:
        """
        A new connection that has the number of one that has just ended does
        not get what that one was ready for.
        """
        return Deferred.fromCoroutine(self._sameNumber())

    async def _closes(self) -> None:
        clients, made = await self.crowd(2 * MANY)
        made[0].dataReceived = lambda data: made[0].transport.loseConnection()
        clients[0].send(b"x")
        del self.passes[:]
        await made[0].lost
        self.assertEqual(self.passes.count("begin"), 1)
        self.assertTrue(made[0].ended.check(ConnectionDone))
        # What is still to be sent leaves first.
        made[1].dataReceived = lambda data: (
            made[1].transport.write(b"!" * 3_000_000),
            made[1].transport.loseConnection(),
        )
        clients[1].send(b"x")
        got = 0
        while not made[1].lost.called or got < 3_000_000:
            await deferLater(reactor, 0.001)
            try:
                got += len(clients[1].recv(1 << 20))
            except BlockingIOError:
                continue
        self.assertEqual((got, clients[1].recv(1)), (3_000_000, b""))

    def test_closes(self) -> Deferred[None]:
        """
        A connection that ends in a pass is gone when that is over, unless it
        has still something to send.
        """
        return Deferred.fromCoroutine(self._closes())

    async def _dials(self) -> None:
        port = await self.server()
        for text in (f"tcp:127.0.0.1:{port}", f"tcp:localhost:{port}"):
            factory = Talks()
            talk: Any = await clientFromString(self.pool, text).connect(factory)
            await self.until(lambda: self.factory.made)
            self.factory.made[-1].transport.write(b"hello")
            await self.until(lambda talk=talk: talk.got == b"hello")
            self.assertIs(talk.transport.reactor, self.pool)
            talk.transport.loseConnection()
            await talk.lost
            await self.factory.made[-1].lost

    def test_dials(self) -> Deferred[None]:
        """
        Twisted's own endpoints connect through it.
        """
        return Deferred.fromCoroutine(self._dials())

    async def _unix(self) -> None:
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = f"{folder}/socket"
        listening: Any = await serverFromString(self.pool, f"unix:{path}").listen(self.factory)
        talk: Any = await clientFromString(self.pool, f"unix:{path}").connect(Talks())
        talk.transport.write(b"hello")
        await self.until(lambda: self.factory.made and self.factory.made[0].got == b"hello")
        self.assertIs(self.factory.made[0].transport.reactor, self.pool)
        talk.transport.loseConnection()
        await talk.lost
        await self.factory.made[0].lost
        await listening.stopListening()

    def test_unix(self) -> Deferred[None]:
        """
        So do Unix sockets.
        """
        return Deferred.fromCoroutine(self._unix())

    @inlineCallbacks
    def test_adopts(self) -> Any:
        """
        A connection that somebody else has made, or its descriptor, becomes
        one of the pool; nobody's, it is closed.
        """
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        transport = self.pool.adoptStreamConnection(ours.fileno(), ours.family, self.factory)
        ours.close()
        theirs.send(b"hello")
        yield Deferred.fromCoroutine(self.until(lambda: transport.protocol.got == b"hello"))
        transport.loseConnection()
        yield transport.protocol.lost
        ours, other = socket.socketpair()
        self.addCleanup(other.close)
        self.factory.buildProtocol = lambda addr: None  # type: ignore[method-assign,assignment]
        self.assertIsNone(self.pool.adopt(ours, self.factory))
        self.assertEqual(other.recv(1), b"")

    async def _known(self) -> None:
        port = await self.server()
        connected = self.client(port)
        factory = Talks()
        transport = self.pool.adopt(connected, factory, IPv4Address("TCP", "127.0.0.1", port))
        self.assertEqual(transport.getPeer(), IPv4Address("TCP", "127.0.0.1", port))
        await self.until(lambda: self.factory.made)
        self.factory.made[0].transport.write(b"hello")
        await self.until(lambda: factory.made[0].got == b"hello")
        transport.loseConnection()
        await self.until(lambda: self.factory.made[0].ended)

    def test_known(self) -> Deferred[None]:
        """
        Nobody has to be asked for an address that is known already.
        """
        return Deferred.fromCoroutine(self._known())

    async def _stops(self) -> None:
        _, made = await self.crowd(2 * MANY)
        self.pool.connectionLost(Failure(ConnectionLost()))
        self.assertTrue(all(each.ended.check(ConnectionLost) for each in made))

    def test_stops(self) -> Deferred[None]:
        """
        When the reactor ends, so do all connections.
        """
        return Deferred.fromCoroutine(self._stops())


def _has(client: socket.socket, data: bytes) -> bool:
    try:
        return client.recv(100) == data
    except BlockingIOError:
        return False
