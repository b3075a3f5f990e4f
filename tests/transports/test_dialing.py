"""
Tests for L{ockam_twisted.transports.dialing}, with real sockets on this
machine.
"""

from __future__ import annotations

import gc
import os
import socket
from typing import Any

from twisted.internet import reactor as anyReactor
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectError, ConnectionRefusedError, NoProtocol, TimeoutError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import MemoryReactor
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, TestCase

from ockam_twisted.transports.dialing import AddressEndpoint, _Attempt, canDial

reactor: Any = anyReactor


class _Echoed(Protocol):
    """
    Keeps what comes.
    """

    def __init__(self) -> None:
        self.received = b""
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class _Timed:
    """
    The reactor, with another clock.
    """

    def __init__(self, clock: Clock) -> None:
        self.callLater = clock.callLater

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


def descriptors() -> int:
    """
    How many files this process has open.
    """
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


class AddressEndpointTests(TestCase):
    """
    Tests for L{AddressEndpoint}.
    """

    timeout = 20

    def server(self, host: str = "127.0.0.1", backlog: int = 5) -> socket.socket:
        """
        Something that listens.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = socket.create_server((host, 0), family=family, backlog=backlog)
        self.addCleanup(server.close)
        return server

    def endpoint(self, port: int, host: str = "127.0.0.1", clock: Clock | None = None) -> AddressEndpoint:
        """
        The endpoint of a port.
        """
        return AddressEndpoint(reactor if clock is None else _Timed(clock), host, port, 3.0)

    def test_canDial(self) -> None:
        """
        Only a reactor that waits for sockets will do.
        """
        self.assertFalse(canDial(MemoryReactor()))
        self.assertFalse(canDial(Clock()))

    async def _connects(self, host: str) -> None:
        server = self.server(host)
        protocol = await self.endpoint(server.getsockname()[1], host).connect(Factory.forProtocol(_Echoed))
        self.assertIsInstance(protocol, _Echoed)
        self.assertEqual(protocol.transport.getPeer().port, server.getsockname()[1])
        accepted, _ = server.accept()
        with accepted:
            protocol.transport.write(b"there")
            # It is the reactor of this thread that sends it.
            accepted.setblocking(False)
            came = b""
            while len(came) < 5:
                await deferLater(reactor, 0.01)
                try:
                    came += accepted.recv(10)
                except BlockingIOError:
                    continue
            self.assertEqual(came, b"there")
            accepted.send(b"and back")
            while not protocol.received:
                await deferLater(reactor, 0.01)
            self.assertEqual(protocol.received, b"and back")
            self.assertFalse(protocol.transport.getHandle().get_inheritable())
        while protocol.lost is None:
            await deferLater(reactor, 0.01)

    async def test_connects(self) -> None:
        """
        The protocol itself is on the connection.
        """
        await self._connects("127.0.0.1")

    async def test_connects6(self) -> None:
        """
        The same with IPv6.
        """
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError:
            raise SkipTest("there is no IPv6 here") from None
        await self._connects("::1")

    async def test_refused(self) -> None:
        """
        Nobody listens: it fails as any endpoint does, and nothing is left.
        """
        server = self.server()
        port = server.getsockname()[1]
        server.close()
        before = descriptors()
        with self.assertRaises(ConnectionRefusedError):
            await self.endpoint(port).connect(Factory.forProtocol(_Echoed))
        self.assertEqual(descriptors(), before)

    async def test_impossible(self) -> None:
        """
        What the kernel does not even try fails the same way.
        """
        before = descriptors()
        for port, host in ((1, "255.255.255.255"), (70_000, "127.0.0.1")):
            with self.assertRaises(ConnectError):
                await self.endpoint(port, host).connect(Factory.forProtocol(_Echoed))
        self.assertEqual(descriptors(), before)

    async def test_noProtocol(self) -> None:
        """
        A factory that wants no connection gets none.
        """
        server = self.server()
        factory = Factory()
        factory.buildProtocol = lambda addr: None  # type: ignore[method-assign]
        before = descriptors()
        with self.assertRaises(NoProtocol):
            await self.endpoint(server.getsockname()[1]).connect(factory)
        self.assertEqual(descriptors(), before)

    async def test_factoryFails(self) -> None:
        """
        What a factory raises is what comes of it.
        """
        server = self.server()
        factory = Factory.forProtocol(lambda: 1 / 0)  # type: ignore[arg-type]
        with self.assertRaises(ZeroDivisionError):
            await self.endpoint(server.getsockname()[1]).connect(factory)

    def _unanswered(self, clock: Clock) -> Any:
        """
        Connect to somebody whose backlog is full: the kernel does not answer.
        """
        server = self.server(backlog=0)
        address = server.getsockname()
        for _ in range(3):
            filler = socket.socket()
            self.addCleanup(filler.close)
            filler.setblocking(False)
            filler.connect_ex(address)
        return self.endpoint(address[1], clock=clock).connect(Factory.forProtocol(_Echoed))

    async def test_timesOut(self) -> None:
        """
        Who does not answer in time is given up.
        """
        clock = Clock()
        connecting = self._unanswered(clock)
        await deferLater(reactor, 0.01)
        self.assertFalse(connecting.called)
        clock.advance(2.9)
        self.assertFalse(connecting.called)
        clock.advance(0.2)
        self.failureResultOf(connecting, TimeoutError)
        self.assertEqual(clock.getDelayedCalls(), [])

    async def test_canceled(self) -> None:
        """
        It can be given up at any time, and nothing is left.
        """
        clock = Clock()
        before = descriptors()
        connecting = self._unanswered(clock)
        self.assertEqual(descriptors(), before + 5)
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertEqual(descriptors(), before + 4)
        self.assertEqual(clock.getDelayedCalls(), [])

    async def test_waits(self) -> None:
        """
        A connection that is not there at once comes later, or is refused
        later.
        """
        for listens in (True, False):
            server = self.server()
            address = server.getsockname()
            if not listens:
                server.close()
            attempt = _Attempt(reactor, Factory.forProtocol(_Echoed), socket.AF_INET)
            attempt._socket = waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(address)
            attempt._isWaiting = True
            reactor.addWriter(attempt)
            if listens:
                protocol = await attempt.done
                protocol.transport.abortConnection()
                while protocol.lost is None:
                    await deferLater(reactor, 0.01)
            else:
                with self.assertRaises(ConnectionRefusedError):
                    await attempt.done
