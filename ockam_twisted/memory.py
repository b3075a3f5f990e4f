"""
Connections and ways in memory, in the hands of a test: see L{ockam_twisted.testing}.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, cast

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableProtocol,
    IPushProducer,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.interfaces import IWay
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.transports.stream import MessageStreamProtocol
from ockam_twisted.wire.frames import VERSION, FrameDecoder, encodeFrame


@implementer(IAddress)
@frozen
class MemoryAddress:
    """
    One end of a link.
    """

    host: str
    port: int


class MemoryPipe:
    """
    One direction of a link, in the hands of a test.

    @ivar waiting: What is under way, oldest first; change it at will while
        C{held}.  Between nodes each item is one transport message without its
        length, else what one write gave.
    @ivar held: Deliver nothing for now.
    @ivar intercept: Called with each item as it is sent; what it returns is
        put on the way instead.
    @ivar record: Append each item to C{recorded} as it is sent.
    @ivar delivered: Bytes that have arrived.
    """

    def __init__(self, target: MemoryTransport, framed: bool) -> None:
        self.waiting: deque[bytes] = deque()
        self.held = False
        self.intercept: Callable[[bytes], Iterable[bytes]] | None = None
        self.record = False
        self.recorded: list[bytes] = []
        self.delivered = 0
        self.size = 0
        self._target = target
        self._frames = FrameDecoder() if framed else None
        self._greeting = VERSION if framed else b""
        self._end: Failure | None = None
        self._isTold = False

    def inject(self, item: bytes) -> None:
        """
        Put something on the way that nobody sent.
        """
        self.waiting.append(item)

    def write(self, data: bytes) -> None:
        """
        The sending end has written.
        """
        items = (
            [data] if self._frames is None else [buffer[start:end] for buffer, start, end in self._frames.feed(data)]
        )
        for item in items:
            if self.record:
                self.recorded.append(item)
            self.waiting.extend((item,) if self.intercept is None else self.intercept(item))

    def end(self, reason: Failure, atOnce: bool) -> None:
        """
        The sending end has ended.

        @param atOnce: What is still under way is lost.
        """
        if self._end is None or (atOnce and self._end.check(ConnectionDone)):
            self._end = reason
            self._isTold = False
            if atOnce:
                self.waiting.clear()

    @property
    def pending(self) -> int:
        """
        Bytes under way.
        """
        return sum(map(len, self.waiting))

    def deliver(self) -> bool:
        """
        Deliver what is next.

        @return: Whether there was something that could be delivered.
        """
        target = self._target
        if not target.connected and self.waiting and target.peer.connected and not self.held:
            # Nobody is there to read it.
            self.waiting.clear()
            target.peer.lost(Failure(ConnectionLost()))
            return True
        if self.held or target.isPaused or not target.connected:
            return False
        if self._greeting:
            data, self._greeting = self._greeting, b""
        elif self.waiting:
            item = self.waiting.popleft()
            self.delivered += len(item)
            data = item if self._frames is None else encodeFrame(item)
        elif self._end is not None:
            if not self._isTold:
                self._isTold = True
                target.ended(self._end)
                return True
            return False
        else:
            return False
        target.protocol.dataReceived(data)
        return True


@implementer(ITransport, IConsumer, IPushProducer)
class MemoryTransport:
    """
    What a protocol at one end of a link writes to.  Like a socket it is deaf
    while it is paused.

    @ivar protocol: Who reads here.
    @ivar connected: Has the protocol not yet been told that this has ended?
    @ivar isPaused: Does the protocol not want to read?
    @ivar outgoing: The pipe to the other end.
    """

    #: Bytes under way above which a registered producer is paused.
    bufferSize = 64 * 1024

    outgoing: MemoryPipe
    peer: MemoryTransport

    def __init__(self, protocol: Any, host: MemoryAddress, remote: MemoryAddress) -> None:
        self.protocol = protocol
        self.connected = True
        self.isPaused = False
        self._host = host
        self._remote = remote
        self._producer: Any = None
        self._streaming = True
        self._full = False
        self._closing: Failure | None = None
        self._closed = False

    def write(self, data: bytes) -> None:
        """
        See C{ITransport}.
        """
        if self.connected and self._closing is None and data:
            self.outgoing.write(bytes(data))
            if self._producer is not None and self._streaming and not self._full:
                self._full = self.outgoing.pending > self.bufferSize
                if self._full:
                    self._producer.pauseProducing()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """
        See C{ITransport}.
        """
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """
        See C{ITransport}.
        """
        if self._closing is None:
            self._closing = Failure(ConnectionDone())

    def abortConnection(self) -> None:
        """
        See C{ITCPTransport}.
        """
        if self.connected and not self._closed:
            self._closing = Failure(ConnectionAborted())
            self.outgoing.end(Failure(ConnectionLost()), atOnce=True)

    def getPeer(self) -> MemoryAddress:
        """
        See C{ITransport}.
        """
        return self._remote

    def getHost(self) -> MemoryAddress:
        """
        See C{ITransport}.
        """
        return self._host

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See C{IConsumer}.
        """
        if self._producer is not None:
            raise RuntimeError("there is a producer already")
        if not self.connected:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """
        See C{IConsumer}.
        """
        self._producer = None
        self._full = False

    def pauseProducing(self) -> None:
        """
        See C{IPushProducer}.
        """
        self.isPaused = True

    def resumeProducing(self) -> None:
        """
        See C{IPushProducer}.
        """
        self.isPaused = False

    def stopProducing(self) -> None:
        """
        See C{IProducer}.
        """
        self.loseConnection()

    def step(self) -> bool:
        """
        Carry out what the protocol asked for since the last time.

        @return: Whether there was something.
        """
        if self._closing is not None and (self._producer is None or self._closing.check(ConnectionAborted)):
            closing = self._closing
            if self.connected:
                self.outgoing.end(Failure(ConnectionDone()), atOnce=False)
                self.lost(closing)
                return True
        if self._producer is not None and (self._full or not self._streaming):
            if self.outgoing.pending <= (self.bufferSize // 2 if self._streaming else 0):
                self._full = False
                self._producer.resumeProducing()
                # A pull producer has done something if it wrote or finished.
                return self._streaming or self.outgoing.pending > 0 or self._producer is None
        return False

    def loseWriteConnection(self) -> None:
        """
        See C{IHalfCloseableDescriptor}.
        """
        self.outgoing.end(Failure(ConnectionDone()), atOnce=False)

    def ended(self, reason: Failure) -> None:
        """
        The other end writes no more.
        """
        halves = IHalfCloseableProtocol(self.protocol, None)
        if halves is None or not reason.check(ConnectionDone):
            self.lost(reason)
        else:
            halves.readConnectionLost()

    def lost(self, reason: Failure) -> None:
        """
        Tell the protocol that this has ended.
        """
        if self.connected:
            self.connected = False
            self._closed = True
            producer, self._producer = self._producer, None
            if producer is not None:
                producer.stopProducing()
            self.outgoing.end(Failure(ConnectionDone()), atOnce=False)
            self.protocol.connectionLost(reason)


class MemoryLink:
    """
    A connection between two protocols.

    @ivar client: The transport of the end that connected.
    @ivar server: The transport of the end that was connected to.
    @ivar toServer: The pipe from client to server.
    @ivar toClient: The pipe from server to client.
    """

    def __init__(self, client: Any, server: Any, framed: bool, number: int, name: str) -> None:
        here, there = MemoryAddress("memory", number), MemoryAddress(name, 0)
        self.client = MemoryTransport(client, here, there)
        self.server = MemoryTransport(server, there, here)
        self.toServer = self.client.outgoing = MemoryPipe(self.server, framed)
        self.toClient = self.server.outgoing = MemoryPipe(self.client, framed)
        self.client.peer, self.server.peer = self.server, self.client

    def route(self, *hops: Address | str) -> Route:
        """
        Between nodes: the route from the one that connected over this link.
        """
        return Route.of(cast(MessageStreamProtocol, self.client.protocol).address, *hops)

    @property
    def isAlive(self) -> bool:
        """
        Is there an end that has not been told of the end?
        """
        return self.client.connected or self.server.connected

    def cut(self) -> None:
        """
        Break the connection; both ends hear of it, but no more of each other.
        """
        for transport in (self.client, self.server):
            transport.outgoing.end(Failure(ConnectionLost()), atOnce=True)

    def step(self) -> bool:
        """
        Move what can be moved by one step.
        """
        return any([self.client.step(), self.server.step(), self.toServer.deliver(), self.toClient.deliver()])


@implementer(IWay)
class MemoryWay:
    """
    A way that is up when a test says so.

    @ivar suspected: What the way was suspected for.
    @ivar isSuspect: See L{IWay}; set by the test.
    """

    isSuspect = False

    def __init__(self, route: Route | None = None, why: str = "it is not up yet") -> None:
        self.route = route
        self.why = "" if route else why
        self.suspected: list[str] = []
        self._waiting: list[Deferred[Route]] = []
        self._listeners: dict[object, Callable[[Route | None], None]] = {}

    def change(self, route: Route | None, why: str = "it went down") -> None:
        """
        The way comes up, moves, or goes down.
        """
        self.route = route
        self.why = "" if route else why
        for listener in list(self._listeners.values()):
            listener(route)
        if route is not None:
            # Whom the first makes give up is not told.
            while self._waiting:
                self._waiting.pop(0).callback(route)

    def whenUp(self) -> Deferred[Route]:
        """
        See L{IWay.whenUp}.
        """
        if self.route is not None:
            return succeed(self.route)
        waiting: Deferred[Route] = Deferred(lambda each: self._waiting.remove(each) if each in self._waiting else None)
        self._waiting.append(waiting)
        return waiting

    def suspect(self, reason: str, route: Route | None = None) -> None:
        """
        See L{IWay.suspect}.
        """
        self.suspected.append(reason)

    def changed(self, listener: Callable[[Route | None], None]) -> Callable[[], None]:
        """
        See L{IWay.changed}.
        """
        key = object()
        self._listeners[key] = listener
        return lambda: self._listeners.pop(key, None) and None
