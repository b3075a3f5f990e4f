"""
Datagrams through a portal (design, section 7; C{docs/portal-extension.rst}): what
both ends of a flow have in common.

A flow is what one client sends and gets.  It begins as a stream does, with a
Ping that offers nothing but datagrams; each then goes in one message.  As on any
road of theirs, they may be lost: when more come than can be sent, the oldest are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import define
from zope.interface import implementer

from ockam_twisted.errors import DecodeError, NoRoute
from ockam_twisted.interfaces import IFlow, IRouter, IWorker
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.source import Source
from ockam_twisted.wire import cbor
from ockam_twisted.wire.extension import DATAGRAM_KIND, Datagram, decodeExtension
from ockam_twisted.wire.portal import DISCONNECT, readPortal

#: What the worker for datagrams of an outlet is called: the outlet's own address,
#: and this.
SUFFIX = "-udp"

#: Seconds without a datagram after which a flow ends.
IDLE = 60.0

#: How many datagrams, and how many bytes, may wait in one flow; and how many bytes
#: in all flows of a portal.
MOST, MOST_BYTES, ALL_BYTES = 512, 1024 * 1024, 32 * 1024 * 1024

_DISCONNECT = 2


def datagramAddress(outlet: str) -> str:
    """
    @param outlet: The address of an outlet.
    @return: That of its worker for datagrams.
    """
    return outlet + SUFFIX


def encodeDatagram(data: bytes) -> bytes:
    """
    What L{ockam_twisted.wire.extension.encodeExtension} makes of one, with
    less ado.
    """
    return b"\x0f\x81" + cbor.byteString(data)


@define
class DatagramTotals:
    """
    What all flows of a portal have done.

    @ivar opened: Flows.
    @ivar sent: Datagrams that went into the portal here.
    @ivar received: Datagrams that came out of it here.
    @ivar dropped: Datagrams that were lost here.
    @ivar waiting: Bytes of those that wait now.
    @ivar sentBytes: Bytes of those that went in.
    @ivar receivedBytes: Bytes of those that came out.
    """

    opened: int = 0
    sent: int = 0
    received: int = 0
    dropped: int = 0
    waiting: int = 0
    sentBytes: int = 0
    receivedBytes: int = 0


class DatagramQueue:
    """
    Datagrams that wait: when there are too many the oldest are dropped.

    @ivar dropped: How many were.
    """

    def __init__(
        self,
        most: int = MOST,
        mostBytes: int = MOST_BYTES,
        totals: DatagramTotals | None = None,
        allBytes: int = ALL_BYTES,
    ) -> None:
        """
        @param totals: Of all that may have so many bytes together.
        """
        self.dropped = 0
        self._totals = DatagramTotals() if totals is None else totals
        self._allBytes = allBytes
        self._most = most
        self._mostBytes = mostBytes
        self._waiting: deque[bytes] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, data: bytes) -> int:
        """
        One more.

        @return: How many were dropped for it.
        """
        self._waiting.append(data)
        self._size += len(data)
        self._totals.waiting += len(data)
        dropped = 0
        while self._waiting and (
            len(self._waiting) > self._most or self._size > self._mostBytes or self._totals.waiting > self._allBytes
        ):
            self.take()
            dropped += 1
        self.dropped += dropped
        return dropped

    def take(self) -> bytes:
        """
        The one that has waited longest.
        """
        data = self._waiting.popleft()
        self._size -= len(data)
        self._totals.waiting -= len(data)
        return data

    def clear(self) -> int:
        """
        Drop them all.

        @return: How many there were.
        """
        count = len(self._waiting)
        self._waiting.clear()
        self._totals.waiting -= self._size
        self._size = 0
        return count


@implementer(IWorker)
class DatagramFlow:
    """
    One end of a flow: a worker that datagrams come to, and what sends those of
    the local side.

    @ivar address: Of this end.
    @ivar usedAt: When a datagram went or came last, on the clock.
    @ivar isOpen: Is the other end there?
    """

    def __init__(self, router: IRouter, clock: Any, totals: DatagramTotals, deliver: Callable[[bytes], object]) -> None:
        """
        @param deliver: Hands a datagram to the local side.
        """
        self.address = Address.random()
        self.usedAt = clock.seconds()
        self.isOpen = False
        self.isOver = False
        self._router = router
        self._clock = clock
        self._totals = totals
        self._deliver = deliver
        self._queue = DatagramQueue(totals=totals)
        self._flow: IFlow | None = None
        self._peer: Address | None = None
        self._back: Route | None = None
        self._source = Source(lambda: None, self._resumed, None, lambda: False, lambda: None)
        self._unwatch: Callable[[], None] | None = None
        self.lost: Callable[[], object] = lambda: None
        totals.opened += 1

    def connect(self, route: Route, encryptor: Address | None) -> None:
        """
        The other end is there.

        @param route: To it.
        @param encryptor: Of the channel that it is behind; what does not come
            through that is not from it.
        """
        self._close()
        self._peer = encryptor
        self._back = route
        self._flow = self._router.open(route, Route((self.address,)), self.address)
        self.isOpen = True
        self._unwatch = self._router.watch(route[0], self._wayLost)
        self._resumed()

    def listen(self, flowId: str | None) -> None:
        """
        Have datagrams come here.

        @param flowId: The flow-control id of those that may.
        """
        self._router.register(self.address, self)
        self.admit(flowId)

    def admit(self, flowId: str | None) -> None:
        """
        They come from somewhere else now.
        """
        if flowId is not None:
            self._router.flowControls.addConsumer(self.address, flowId)

    def answer(self, message: bytes) -> None:
        """
        Say something else than a datagram to the other end.
        """
        if self._back is not None:
            try:
                self._router.route(LocalMessage(self._back, Route((self.address,)), message), self.address)
            except NoRoute:
                pass

    def send(self, data: bytes) -> None:
        """
        A datagram of the local side.
        """
        self.usedAt = self._clock.seconds()
        if not self.isOpen or self._source.isPaused or len(self._queue):
            self._totals.dropped += self._queue.add(data)
        else:
            self._send(data)

    def _send(self, data: bytes) -> None:
        assert self._flow is not None
        self._totals.sent += 1
        self._totals.sentBytes += len(data)
        turn = self._router.turn
        turn.enter(self._source)
        try:
            message = encodeDatagram(data)
            self._flow.send((message,), len(message))
        except NoRoute:
            self._totals.sent -= 1
            self._totals.sentBytes -= len(data)
            self._totals.dropped += 1
        finally:
            turn.leave()

    def _resumed(self) -> None:
        while self.isOpen and len(self._queue) and not self._source.isPaused:
            self._send(self._queue.take())

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        peer = message.peerIdentity
        if self._peer is not None and (peer is None or peer.encryptor != self._peer):
            return
        payload = message.payload
        try:
            if payload[:1] == bytes((DATAGRAM_KIND,)):
                datagram = decodeExtension(payload)
                assert isinstance(datagram, Datagram)
                self.usedAt = self._clock.seconds()
                self._totals.received += 1
                self._totals.receivedBytes += len(datagram.data)
                self._deliver(datagram.data)
                return
            kind, _, _, _ = readPortal(payload)
        except DecodeError:
            return
        if kind == _DISCONNECT and self.isOpen:
            self._wayLost()
        else:
            self.said(message)

    def said(self, message: LocalMessage) -> None:
        """
        Something else has come.
        """

    def leave(self) -> None:
        """
        The way that it had is of no use any more: the other end is told.
        """
        if self.isOpen:
            self.answer(DISCONNECT)
        self._close()

    def _wayLost(self) -> None:
        self._close()
        self.lost()

    def _close(self) -> None:
        self.isOpen = False
        self._flow = self._peer = None
        unwatch, self._unwatch = self._unwatch, None
        if unwatch is not None:
            unwatch()

    def end(self) -> None:
        """
        It is over.
        """
        if self.isOver:
            return
        self.isOver = True
        self.leave()
        self._totals.dropped += self._queue.clear()
        self._router.unregister(self.address)
