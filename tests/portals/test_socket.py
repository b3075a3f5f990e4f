"""
Tests for L{ockam_twisted.portals.socket}: streams between real sockets on
loopback, over a real connection between two nodes.
"""

from __future__ import annotations

import hashlib
import os
import socket
import struct
from typing import Any

from twisted.internet import reactor as globalReactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from ockam_twisted.interfaces import ILocalSide
from ockam_twisted.portals.inlet import Inlet
from ockam_twisted.portals.outlet import Outlet, SocketTarget
from ockam_twisted.portals.socket import PortalSocket
from ockam_twisted.portals.stream import PortalStream
from ockam_twisted.routing.addresses import Route
from ockam_twisted.routing.router import Router
from ockam_twisted.testing import MemoryWay
from ockam_twisted.transports.hops import HopSettings
from ockam_twisted.transports.local import LocalSockets
from ockam_twisted.transports.service import TransportService
from ockam_twisted.transports.stalls import OWN_SECONDS, STREAM_SECONDS, StallWatch
from tests.portals.common import OUTLET, ChannelPortalTestCase, Halved, PortalTestCase, Program, Programs, Told
from tests.scenarios.pairs import reset

reactor: Any = globalReactor
MIB = 1024 * 1024


class _Node:
    """
    A node without an identity, on real sockets.
    """

    def __init__(self) -> None:
        self.router = Router()
        self.stalls = StallWatch(reactor)
        self.sockets = LocalSockets(self.router.turn, self.stalls)
        self.transport = TransportService(HopSettings(self.router, reactor, self.stalls))

    async def stop(self) -> None:
        self.stalls.stopService()
        await self.transport.stopService()


class RealSocketTests(TestCase):
    """
    A client, an inlet, an outlet and a target with sockets of the kernel on
    loopback, since FIN, RST and full buffers are the kernel's.
    """

    timeout = 20

    def setUp(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._begin())

    async def _begin(self) -> None:
        self.near, self.far = _Node(), _Node()
        self.targets = Programs()
        self.programs: list[Program] = []
        self.targetPort = await self._listen(self.targets)
        relay: IListeningPort = await self.far.transport.listen(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
        self.hop = await self.near.transport.connect(self._endpoint(relay))
        target = SocketTarget(self.far.router, self.far.sockets, self._endpoint(self.targetPort), "the target")
        self.outlet = Outlet(self.far.router, reactor, target, OUTLET)
        self.outlet.startService()
        self.far.router.flowControls.addConsumer(OUTLET, self.far.transport.listenerId)
        way = MemoryWay(Route((self.hop.address, OUTLET)))
        self.inlet = Inlet(self.near.router, reactor, self.near.sockets, way)
        self.inlet.startService()
        self.port = await self.inlet.listen(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
        self.addCleanup(lambda: Deferred.fromCoroutine(self._finish()))

    async def _listen(self, factory: Factory) -> IListeningPort:
        return await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)

    def _endpoint(self, port: IListeningPort) -> TCP4ClientEndpoint:
        return TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)  # type: ignore[attr-defined]

    async def _finish(self) -> None:
        await self.inlet.stopService()  # type: ignore[misc]
        self.outlet.stopService()
        for program in (*self.programs, *self.targets.made):
            transport: Any = program.transport
            transport.abortConnection()
        await self.until(lambda: all(each.lost for each in (*self.programs, *self.targets.made)))
        await self.targetPort.stopListening()  # type: ignore[misc]
        await self.near.stop()
        await self.far.stop()

    async def until(self, condition: Any) -> None:
        """
        Wait until something is so.
        """
        while not condition():
            await deferLater(reactor, 0.001)

    async def open(self) -> tuple[Program, Program]:
        """
        A stream.

        @return: Client and target.
        """
        client = Program()
        self.programs.append(client)
        count = len(self.targets.made)
        await self._endpoint(self.port).connect(Factory.forProtocol(lambda: client))
        await self.until(lambda: len(self.targets.made) > count and self.targets.made[-1].connected)
        return client, self.targets.made[-1]

    async def _both(self) -> None:
        client, target = await self.open()
        for here, there in ((client, target), (target, client)):
            data = os.urandom(3 * MIB)
            here.send(data)
            await self.until(lambda there=there: len(there.received) == 3 * MIB)
            self.assertEqual(hashlib.sha256(there.received).digest(), hashlib.sha256(data).digest())
        target.send(b"last words" * 100_000)
        transport: Any = target.transport
        transport.loseConnection()
        await self.until(lambda: client.lost)
        self.assertEqual(client.ending, "ConnectionDone")
        self.assertEqual(client.received[3 * MIB :], b"last words" * 100_000)
        self.assertEqual((self.inlet.streams, self.outlet.streams), (set(), set()))

    def test_both(self) -> Deferred[None]:
        """
        Megabytes go both ways unchanged, and what was sent before FIN arrives
        before FIN.
        """
        return Deferred.fromCoroutine(self._both())

    async def fill(self, writer: Program, streams: set[PortalStream]) -> tuple[int, Any]:
        """
        Send to a program that does not read, until some of it waits on the
        way, outside of the kernel.

        @return: How much was sent, and the queue that it waits in.
        """
        [stream] = streams
        queue: Any = stream.local.output
        sent = 0
        while not queue.queued:
            writer.send(bytes(64 * 1024))
            sent += 64 * 1024
            await self.until(lambda sent=sent: stream.received == sent)
        return sent, queue

    async def _finNotReset(self) -> None:
        client, target = await self.open()
        reading: Any = client.transport
        writing: Any = target.transport
        reading.pauseProducing()
        sent, queue = await self.fill(target, self.inlet.streams)
        writing.loseConnection()
        await self.until(lambda: not self.inlet.streams)
        self.assertTrue(queue.queued)
        client.send(b"y" * 64 * 1024)
        await deferLater(reactor, 0.02)
        reading.resumeProducing()
        await self.until(lambda: client.lost)
        self.assertEqual(len(client.received), sent)

    def test_clientStillSends(self) -> Deferred[None]:
        """
        A client that still sends while what the far end has said drains to it
        gets all of that.
        """
        return Deferred.fromCoroutine(self._finNotReset())

    async def _routeLost(self) -> None:
        client, target = await self.open()
        client.send(b"hello")
        await self.until(lambda: target.received)
        self.hop.abortConnection("the test says so")
        await self.until(lambda: client.lost and target.lost)
        self.assertEqual((client.ending, target.ending), ("ConnectionLost", "ConnectionLost"))

    def test_routeLost(self) -> Deferred[None]:
        """
        A lost route is RST at both ends, not FIN.
        """
        return Deferred.fromCoroutine(self._routeLost())

    async def _clientResets(self) -> None:
        client, target = await self.open()
        transport: Any = client.transport
        transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abortConnection()
        await self.until(lambda: target.lost)
        self.assertEqual((self.inlet.streams, self.outlet.streams), (set(), set()))

    def test_clientResets(self) -> Deferred[None]:
        """
        A client that resets takes its target along.
        """
        return Deferred.fromCoroutine(self._clientResets())

    async def _backPressure(self) -> None:
        client, target = await self.open()
        other, otherTarget = await self.open()
        [hop] = self.far.transport.hops
        reading: Any = target.transport
        reading.pauseProducing()
        total = 64 * MIB
        client.send(bytes(total))
        await self.until(lambda: hop.source.pauses)
        [queue] = hop.source.pauses._askers  # type: ignore[attr-defined]
        self.assertGreater(queue.queued, 4 * MIB)
        self.assertLess(queue.queued, 6 * MIB)
        reading.resumeProducing()
        await self.until(lambda: len(target.received) == total)
        self.assertFalse(hop.source.pauses)
        other.send(b"still there")
        await self.until(lambda: otherTarget.received)

    def test_backPressure(self) -> Deferred[None]:
        """
        A target that stops reading pauses the connection between the nodes
        once more than 4 MiB wait for it, and no byte is lost when it reads
        on.
        """
        return Deferred.fromCoroutine(self._backPressure())

    async def _aLittle(self) -> None:
        client, target = await self.open()
        [hop] = self.far.transport.hops
        reading: Any = target.transport
        reading.pauseProducing()
        sent, queue = await self.fill(client, self.outlet.streams)
        self.assertLess(queue.queued, 4 * MIB)
        other, otherTarget = await self.open()
        other.send(b"first")
        await self.until(lambda: otherTarget.received)
        self.assertFalse(hop.source.pauses)
        reading.resumeProducing()
        await self.until(lambda: len(target.received) == sent)

    def test_noBackPressureBelow(self) -> Deferred[None]:
        """
        One that is behind by less than that holds nobody back.
        """
        return Deferred.fromCoroutine(self._aLittle())


class ResetTests(TestCase):
    """
    A reset is never taken for an end, whoever of us hears of it first.  Real
    sockets: the kernel tells of it once.
    """

    timeout = 20

    async def accept(self) -> PortalSocket:
        """
        @return: The near end of a stream, which the local program has reset
            since the reactor has last looked.
        """
        router = Router()
        stalls = StallWatch(reactor)
        stalls.startService()
        self.addCleanup(stalls.stopService)
        local = PortalSocket(router, LocalSockets(router.turn, stalls), "x")
        stream: Any = Told()
        local.stream = stream
        listening = reactor.listenTCP(0, Factory.forProtocol(lambda: local), interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        client = socket.create_connection(("127.0.0.1", listening.getHost().port))
        self.told = stream.told
        while local.transport is None:
            await deferLater(reactor, 0.001)
        local.streamOpened()
        reset(client)
        return local

    async def abandoned(self) -> None:
        """
        The far end is told of a reset, and of nothing else.
        """
        while not self.told:
            await deferLater(reactor, 0.001)
        self.assertEqual(self.told, ["abandon"])

    async def test_ended(self) -> None:
        """
        The reactor calls it an end, since the kernel has an error for it, and
        nothing to be read yet.
        """
        local = await self.accept()
        transport: Any = local.transport
        transport.readConnectionLost(Failure(ConnectionDone()))
        await self.abandoned()

    async def test_finishing(self) -> None:
        """
        It is found while our own direction is ended.
        """
        local = await self.accept()
        local.streamFinished()
        await self.abandoned()

    async def test_read(self) -> None:
        """
        The reactor reads it.
        """
        await self.accept()
        await self.abandoned()


class MemorySocketTests(PortalTestCase):
    """
    What can be seen without a kernel.
    """

    def test_interfaces(self) -> None:
        """
        A portal's socket is a near end.
        """
        node = self.inletNode
        local = PortalSocket(node.router, node.sockets, "x")
        self.inlet()
        client = self.client()
        self.assertTrue(ILocalSide.providedBy(local))
        verifyObject(ILocalSide, self.link(client).server.protocol)

    def test_nothingIsReadBeforePong(self) -> None:
        """
        Until the stream is open the client's bytes stay with the client.
        """
        self.inlet()
        client = self.client()
        client.send(b"x" * 100_000)
        self.network.pump()
        self.assertTrue(self.link(client).server.isPaused)
        self.assertEqual(self.link(client).toServer.delivered, 0)

    def test_hopFull(self) -> None:
        """
        When the connection to the other node takes no more, clients are not
        read from, until it does; no byte is lost.
        """
        self.outlet()
        self.inlet()
        client = self.client()
        self.hop.toServer.held = True
        for _ in range(400):
            client.send(bytes(48 * 1024))
            self.network.pump()
        self.assertTrue(self.link(client).server.isPaused)
        self.assertLess(self.link(client).toServer.delivered, 8 * MIB)
        self.hop.toServer.held = False
        self.network.pump()
        self.assertFalse(self.link(client).server.isPaused)
        self.assertEqual(len(self.targets.made[0].received), 400 * 48 * 1024)


class NeighbourTests(PortalTestCase):
    """
    Streams without windows that share a connection, one of which has a target
    that does not read.
    """

    def setUp(self) -> None:
        super().setUp()
        self.theOutlet = self.outlet()
        self.inlet()
        self.stopped, self.other = self.client(), self.client()
        self.target, self.otherTarget = self.targets.made
        self.other.send(b"here, ")
        self.network.pump()
        self.link(self.target).toServer.held = True

    def _send(self, size: int) -> None:
        """
        As much is sent to the target that does not read, and a little to the
        other one.
        """
        for _ in range(size // (64 * 1024)):
            self.stopped.send(bytes(64 * 1024))
            self.network.pump()
        if not self.other.lost:
            self.other.send(b"and others?")
        self.network.pump()

    def _readOn(self) -> None:
        self.link(self.target).toServer.held = False
        self.network.pump()

    def close(self, program: Program) -> None:
        transport: Any = program.transport
        transport.loseConnection()
        self.network.pump()

    def _pass(self, seconds: float) -> None:
        for _ in range(int(2 * seconds)):
            self.network.clock.advance(0.5)
            self.network.pump()

    def test_little(self) -> None:
        """
        Less than 4 MiB hold nobody back, and wait for as long as it takes.
        """
        self._send(3 * MIB)
        self.assertEqual(self.otherTarget.received, b"here, and others?")
        self._pass(100)
        self._readOn()
        self.assertEqual(len(self.target.received), 3 * MIB)

    def test_much(self) -> None:
        """
        With more, others wait for five seconds, then the stream is reset, with
        a line in the log, and the others go on; no more is kept meanwhile.
        """
        self._send(8 * MIB)
        self.assertEqual(self.otherTarget.received, b"here, ")
        self.assertLess(self.outletNode.stalls.budget.used, 5 * MIB)
        self._pass(STREAM_SECONDS - 0.5)
        self.assertEqual(self.otherTarget.received, b"here, ")
        self._pass(1)
        self.assertEqual(self.otherTarget.received, b"here, and others?")
        self._readOn()
        # Without the extension nobody can be told that it was no clean end.
        self.assertEqual((self.stopped.ending, self.target.ending), ("ConnectionDone", "ConnectionLost"))
        self.assertEqual(len([line for line in self.lines() if "holds others back" in line]), 1)
        self.assertEqual(self.outletNode.stalls.budget.used, 0)
        self.assertEqual(len(self.theOutlet.streams), 1)

    def test_slow(self) -> None:
        """
        A target that reads slowly keeps its stream.
        """
        self._send(8 * MIB)
        link = self.link(self.target)
        for _ in range(40):
            self._pass(1)
            link.toServer.held = False
            link.step()
            link.toServer.held = True
        self.assertEqual(self.stopped.ending, "")

    def test_newcomer(self) -> None:
        """
        Who has not been heard of cannot be heard while the connection is
        paused: then, too, the stream ends, after half a minute in which
        nothing was read.
        """
        self.close(self.other)
        self._pass(1)
        self._send(8 * MIB)
        self._pass(OWN_SECONDS - 5)
        newcomer = self.client()
        newcomer.send(b"hello")
        self._pass(3)
        self.assertEqual((self.stopped.ending, len(self.targets.made)), ("", 2))
        self._pass(3)
        self._readOn()
        self.assertEqual(self.target.ending, "ConnectionLost")
        self.assertEqual(self.targets.made[-1].received, b"hello")


class HalfClosedSocketTests(ChannelPortalTestCase):
    """
    What has ended its direction.
    """

    def test_paused(self) -> None:
        """
        A program that has ended its direction counts as paused from then on,
        also when the stream goes on over another way: so it is looked at
        whether it has reset, and its end is read once only.
        """
        self.targets.kind = Halved
        client, target = self.both()
        self.close(client, half=True)
        self.assertTrue(self.link(client).server.isPaused)
        self.newWay()
        target.send(b"after that")
        self.network.pump()
        self.assertEqual(client.received, b"after that")
        self.assertTrue(self.link(client).server.isPaused)
        self.close(target)
        self.assertIdle(self.theInlet, self.theOutlet)
