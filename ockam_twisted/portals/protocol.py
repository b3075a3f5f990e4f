"""
The near end of a stream as a Twisted transport: any protocol runs over a
portal in this process, without a socket.

A protocol is called from the reactor alone, never from within a call of its
own, and sends with a turn of its own: what it wrote since it was last called
leaves in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attrs import frozen
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IDelayedCall,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    IReactorTime,
    ITransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.interfaces import ILocalSide, IRouter
from ockam_twisted.portals.output import PATIENCE, ProtocolOutput, ignored
from ockam_twisted.portals.plain import State
from ockam_twisted.portals.stream import PortalStream
from ockam_twisted.routing.source import Source
from ockam_twisted.routing.turn import Turn
from ockam_twisted.wire.extension import RESET_BY_PEER
from ockam_twisted.wire.portal import MAX_PAYLOAD

#: What leaves in one turn, before back-pressure is looked at.
_BATCH = 1024 * 1024

#: What a protocol may write before its producer is paused, bytes.
BUFFER = 64 * 1024


@implementer(IAddress)
@frozen
class PortalAddress:
    """
    One end of a portal stream.

    @ivar label: What is there, for people.
    @ivar identifier: Who is there, proven by a secure channel, in text;
        L{None} if nobody has.
    """

    label: str
    identifier: str | None = None


@implementer(ILocalSide, ITransport, IConsumer, IPushProducer)
class PortalTransport:
    """
    See the module.

    @ivar stream: Set by who makes this transport, before anything else.
    @ivar protocol: Who writes here.
    @ivar connected: Has the protocol been told that it is connected, and not
        yet that it is no more?
    @ivar disconnecting: Has the protocol asked for the end?
    """

    _log = Logger()
    stream: PortalStream
    protocol: IProtocol | None = None
    connected = False
    disconnecting = False

    def __init__(
        self, router: IRouter, clock: IReactorTime, label: str, heldBack: Callable[[Any], object] = ignored
    ) -> None:
        """
        @param label: What is at the far end, for people.
        @param heldBack: Called with the output that begins to hold sources
            back, so that somebody looks for stalls.
        """
        self._turn: Turn = router.turn
        self._clock = clock
        self._label = label
        self.output = ProtocolOutput(self, self._turn, f"a protocol for {label}", heldBack)
        self.source = Source(
            self._pauseProducer,
            self.wake,
            self.output,
            lambda: False,
            self.abortConnection,
        )
        self._written: list[bytes] = []
        self._size = 0
        self._producer: Any = None
        self._streaming = True
        self._isProducerPaused = False
        self._isPaused = False
        self._isOpen = False
        self._isAwake = False
        self._reason: Failure | None = None
        self._deadline: IDelayedCall | None = None
        self._isLost = False
        self._isFinished = False
        self._isHalfClosed = False

    # ---------------------------------------------------------- the stream

    def hear(self, data: bytes) -> None:
        """
        See L{ILocalSide.hear}.
        """
        self.output.write((data,), len(data))

    def streamOpened(self) -> None:
        """
        See L{ILocalSide.streamOpened}.
        """
        self._isOpen = True
        self.wake()

    def streamEnded(self, reason: str, clean: bool) -> None:
        """
        See L{ILocalSide.streamEnded}.
        """
        self._end(Failure(ConnectionDone() if clean else ConnectionLost(reason)), keep=clean)

    def streamReset(self, reason: str) -> None:
        """
        See L{ILocalSide.streamReset}.
        """
        self._end(Failure(ConnectionLost(reason)), keep=True)
        # One that has paused, and is not lost yet, need not hear all of it.
        self._deadline = self._clock.callLater(PATIENCE, self._drop)

    def _drop(self) -> None:
        """
        What is still to be received will not be.
        """
        if not self._isLost:
            self.output.connectionLost()
            self.wake()

    def streamFinished(self) -> None:
        """
        See L{ILocalSide.streamFinished}.
        """
        self._isFinished = True
        self.wake()

    def _tellFinished(self) -> None:
        """
        All has come out of the stream: a protocol that does not care for
        halves has lost its connection.
        """
        self._isFinished = False
        halves = IHalfCloseableProtocol(self.protocol, None)
        if halves is None:
            self.loseConnection()
        else:
            self._tell(halves.readConnectionLost)

    def _end(self, reason: Failure, keep: bool) -> None:
        """
        @param keep: What has come in is still to be received.
        """
        if self._reason is None:
            self._reason = reason
            self._written = []
            self._size = 0
            if not keep:
                self._isOpen = False
                self.output.connectionLost()
            self.wake()

    # ---------------------------------------------------------- the reactor

    def wake(self) -> None:
        """
        Look, in the next turn of the reactor, what there is to do.
        """
        if not self._isAwake:
            self._isAwake = True
            self._clock.callLater(0, self._run)

    def _run(self) -> None:
        self._isAwake = False
        if self._isLost:
            return
        if self._isOpen:
            self._isOpen = False
            self.protocol = self._build()
            if self.protocol is not None:
                self.connected = True
                self._tell(self.protocol.makeConnection, self)
                self._made(self.protocol)
        if self.connected and self.protocol is not None:
            if self.output.queued and (self.disconnecting or not self._isPaused):
                data = self.output.take()
                if not self.disconnecting:
                    self._tell(self.protocol.dataReceived, data)
            if self._isFinished and not self.output.queued:
                self._tellFinished()
            if self._reason is None:
                self._send()
        if self._reason is not None and not (self.connected and self._isPaused and self.output.queued):
            self._lose(self._reason)

    def _build(self) -> IProtocol | None:
        """
        @return: The protocol, made by now.
        """
        return self.protocol

    def _made(self, protocol: IProtocol) -> None:
        """
        The protocol is connected.
        """

    def _neverMade(self, reason: Failure) -> None:
        """
        The stream has ended before it was open.
        """

    def _tell(self, event: Callable[..., object], *arguments: object) -> None:
        """
        Call the protocol; a mistake of its own ends its stream only.
        """
        try:
            event(*arguments)
        except Exception:
            self._log.failure("The protocol for {label} failed", label=self._label, event="protocol-failed")
            self.abortConnection()

    def _send(self) -> None:
        """
        Send what was written, then ask for more or end.
        """
        while self._written and not self.source.pauses and self._reason is None:
            data = b"".join(self._written)
            self._written = [data[_BATCH:]] if len(data) > _BATCH else []
            self._size = max(0, len(data) - _BATCH)
            self._turn.enter(self.source)
            try:
                for start in range(0, min(len(data), _BATCH), MAX_PAYLOAD):
                    self.stream.send(data[start : min(start + MAX_PAYLOAD, _BATCH)])
            finally:
                self._turn.leave()
        if self._written or self.source.pauses or self._reason is not None:
            return
        # The order of Twisted's own: a producer that waits comes first.
        if self._producer is not None and (self._isProducerPaused or not self._streaming):
            self._isProducerPaused = False
            self._tell(self._producer.resumeProducing)
        elif self.disconnecting:
            self._end(Failure(ConnectionDone()), keep=False)
            with self._turn:
                self.stream.disconnect("the protocol has closed it")
        elif self._isHalfClosed:
            with self._turn:
                self.stream.finish("the protocol has closed it")
            if self.stream.state is State.ENDED:
                # The far end knows no halves.
                self._end(Failure(ConnectionDone()), keep=False)

    def _lose(self, reason: Failure) -> None:
        """
        Tell the protocol that it is over.
        """
        self._isLost = True
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self.output.connectionLost()
        producer, self._producer = self._producer, None
        protocol, self.protocol = self.protocol, None
        if self.connected and protocol is not None:
            self.connected = False
            if producer is not None:
                self._tell(producer.stopProducing)
            self._tell(protocol.connectionLost, reason)
        else:
            self._neverMade(reason)

    # --------------------------------------------------------- the protocol

    def write(self, data: bytes) -> None:
        """
        See C{ITransport.write}.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError("data must be bytes")
        if self._reason is None and data and not self._isHalfClosed:
            self._written.append(bytes(data))
            self._size += len(data)
            if self._size > BUFFER:
                self._pauseProducer()
            self.wake()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """
        See C{ITransport.writeSequence}.
        """
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """
        See C{ITransport.loseConnection}: what was written is sent first.
        """
        if not self.disconnecting:
            self.disconnecting = True
            self.wake()

    def loseWriteConnection(self) -> None:
        """
        See C{IHalfCloseableDescriptor.loseWriteConnection}: what was written
        is sent first, and what comes is still received.  Where the far end
        does not know such a thing the stream ends.
        """
        self._isHalfClosed = True
        self.wake()

    def abortConnection(self) -> None:
        """
        See C{ITCPTransport.abortConnection}.
        """
        if self._reason is None:
            self._end(Failure(ConnectionAborted()), keep=False)
            with self._turn:
                self.stream.abandon("the protocol has aborted it", RESET_BY_PEER)
        else:
            self._drop()

    def getPeer(self) -> PortalAddress:
        """
        See C{ITransport.getPeer}.
        """
        peer = self.stream.peer
        return PortalAddress(self._label, None if peer is None else peer.identifier)

    def getHost(self) -> PortalAddress:
        """
        See C{ITransport.getHost}.
        """
        return PortalAddress(str(self.stream.address))

    def pauseProducing(self) -> None:
        """
        See C{IPushProducer.pauseProducing}.
        """
        self._isPaused = True

    def resumeProducing(self) -> None:
        """
        See C{IPushProducer.resumeProducing}.
        """
        self._isPaused = False
        self.wake()

    def stopProducing(self) -> None:
        """
        See C{IProducer.stopProducing}.
        """
        self.loseConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See C{IConsumer.registerProducer}.
        """
        if self._producer is not None:
            raise RuntimeError(f"cannot register {producer!r}: {self._producer!r} was never unregistered")
        if self._reason is not None:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        self._isProducerPaused = False
        if not streaming:
            self.wake()
        elif self.source.pauses or self._size > BUFFER:
            self._pauseProducer()

    def unregisterProducer(self) -> None:
        """
        See C{IConsumer.unregisterProducer}.
        """
        self._producer = None
        self.wake()

    def _pauseProducer(self) -> None:
        if self._producer is not None and self._streaming and not self._isProducerPaused:
            self._isProducerPaused = True
            self._producer.pauseProducing()
