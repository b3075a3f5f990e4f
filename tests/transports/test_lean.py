"""
Tests for L{ockam_twisted.transports.lean}.  They use real sockets.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from ockam_twisted.transports.lean import LeanPort
from ockam_twisted.transports.sockets import KEEPALIVE_IDLE, prepareSocket


class _Accepted(Protocol):
    """
    Says when it begins and ends.
    """

    def __init__(self) -> None:
        self.made: Deferred[None] = Deferred()
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.made.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class LeanTests(TestCase):
    """
    Tests for L{LeanPort} and what it makes.
    """

    timeout = 30

    async def accept(self) -> tuple[socket.socket, Any]:
        """
        A client, and what it has connected to.
        """
        accepted = _Accepted()
        port = LeanPort(0, Factory.forProtocol(lambda: accepted), interface="127.0.0.1", reactor=reactor)
        port.startListening()
        self.addCleanup(port.stopListening)
        client = socket.create_connection(("127.0.0.1", port.getHost().port))
        self.addCleanup(client.close)
        client.settimeout(10)
        await accepted.made
        return client, accepted

    async def test_options(self) -> None:
        """
        What is accepted has the options of every socket.
        """
        client, accepted = await self.accept()
        prepareSocket(accepted.transport, 1000)
        handle = accepted.transport.getHandle()
        self.assertTrue(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        self.assertTrue(handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        if hasattr(socket, "TCP_KEEPIDLE"):
            self.assertEqual(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), KEEPALIVE_IDLE)
        self.assertEqual(accepted.transport.bufferSize, 1000)
        client.close()
        await accepted.lost

    async def test_ends(self) -> None:
        """
        What there is to be sent is, before the end; and without anything there
        is an end, too.
        """
        for data in (b"hello", b""):
            client, accepted = await self.accept()
            accepted.transport.write(data)
            self.assertEqual(accepted.transport.writeSomeData(b""), 0)
            accepted.transport.loseConnection()
            await accepted.lost
            self.assertEqual(client.recv(10), data)
            self.assertEqual(client.recv(10) if data else b"", b"")

    async def test_halves(self) -> None:
        """
        So is what precedes the end of one direction.
        """
        client, accepted = await self.accept()
        accepted.transport.write(b"hello")
        accepted.transport.loseWriteConnection()
        received = b""
        while len(received) < 5:
            received += await self.later(client)
        client.close()
        await accepted.lost
        self.assertEqual(received, b"hello")

    async def later(self, client: socket.socket) -> bytes:
        """
        What a client gets while the reactor runs.
        """
        return await deferToThread(client.recv, 10)
