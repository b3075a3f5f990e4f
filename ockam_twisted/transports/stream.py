"""
One hop between two nodes: transport messages over any stream transport
(spec messaging, sections 5.1 and 6).

The fast path of the whole package is L{MessageStreamProtocol.dataReceived}
and what L{MessageStreamProtocol.flowOpened} returns: per message one prefix
comparison in, one concatenation out.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.errors import ConnectionClosed, OckamError, RemoteProtocolError, TimedOut
from ockam_twisted.interfaces import Buffer, IFlow, IHop, PayloadReceiver
from ockam_twisted.routing.access import DenyAll
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.flow import newFlowId
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.source import Source
from ockam_twisted.transports.allowance import Allowance
from ockam_twisted.transports.hops import HopSettings
from ockam_twisted.transports.queue import outputFor
from ockam_twisted.transports.sockets import (
    HOP_READ,
    HOP_READ_SMALL,
    isDead,
    isPlainSocket,
    prepareSocket,
    unanswered,
)
from ockam_twisted.wire.frames import VERSION, FrameDecoder
from ockam_twisted.wire.messages import (
    TRANSPORT_TAIL,
    decodeTransport,
    payloadBounds,
    payloadHead,
    readTransportRoutes,
    transportPrefix,
)

_length = Struct(">I").pack

#: From this size on a payload is passed on as a view of what was read.
#: Smaller ones are copied, so that they do not keep a large read alive.
_VIEW = 4096

#: How many pairs of routes one connection may have in its table, and how
#: many different lengths these may have.
_MAX_FLOWS = 4096
_MAX_LENGTHS = 8

#: How long all encoded pairs of routes in the table may be, bytes.  Decoded
#: they take many times as much.
_MAX_PREFIXES = 512 * 1024

#: What may be in one read before the next ones are smaller, so that others get
#: their turn: messages, and seconds for those that do not go the direct way.
_MAX_FRAMES = 256
_MAX_SECONDS = 0.005

#: The first bytes of a frame: array(4) has a tracing context, array(3) none.
_TAILED, _BARE = 0x84, 0x83


class _Inbound(NamedTuple):
    """
    What is known about messages that begin with the same bytes.
    """

    prefix: bytes
    size: int
    tailed: bool
    flow: IFlow


@implementer(IHop)
class MessageStreamProtocol(Protocol):
    """
    See L{IHop}.

    @ivar received: Bytes of frames received.
    """

    _log = Logger()
    peer = "nobody yet"

    def __init__(self, settings: HopSettings, spawnerId: str | None = None, greets: bool = True) -> None:
        """
        @param spawnerId: The flow-control id of the listener that accepts
            this connection; L{None} for one that we make.
        @param greets: Must it still say which version we speak?
        """
        self.address = Address.random()
        self.receiver = Address.random()
        self.flowId = newFlowId()
        self.received = 0
        self.ready: Deferred[MessageStreamProtocol] = Deferred()
        self._settings = settings
        self._spawnerId = spawnerId
        self._greets = greets
        self._frames = FrameDecoder(settings.maxFrame)
        self._greeted = False
        self._ended = False
        self._error: OckamError | None = None
        self._warned = False
        self._lost: list[Deferred[str]] = []
        self._reason: str | None = None
        self._flows: dict[bytes, _Inbound] = {}
        self._prefixes = 0
        self._lengths: list[int] = []
        self._last: _Inbound | None = None
        self._spent = 0.0
        self._readSize = HOP_READ

    def connectionMade(self) -> None:
        """
        Register both addresses and say which version we speak.
        """
        settings = self._settings
        router = settings.router
        transport: Any = self.transport
        prepareSocket(transport, HOP_READ)
        peer = transport.getPeer()
        host, port = getattr(peer, "host", None), getattr(peer, "port", None)
        self.peer = f"{host}:{port}" if host is not None else str(getattr(peer, "name", None) or "a local socket")
        self._turn = router.turn
        self.output = outputFor(
            transport, router.turn, settings.highWater, settings.stalls.heldBack, settings.stalls.budget
        )
        self.output.label = f"the connection with {self.peer}"
        self.output.isShared = True
        self.source = Source(
            transport.pauseProducing,
            transport.resumeProducing,
            self.output,
            lambda: isDead(transport),
            lambda: self.abortConnection("the peer has reset the connection"),
            isShared=True,
        )
        self._isPlain = isPlainSocket(transport)
        # Who we connect to is our choice, and brings what others send.
        self._allowance = None if self._spawnerId is None else Allowance(settings.clock, self.source)
        router.register(self.address, self)
        router.register(self.receiver, self, DenyAll())
        router.flowControls.addProducer(self.receiver, self.flowId, self._spawnerId, (self.address,))
        self._deadline = settings.clock.callLater(settings.versionTimeout, self._versionMissing)
        if self._greets:
            with router.turn:
                self.output.write((VERSION,), 1)

    def _versionMissing(self) -> None:
        reason = f"no version byte within {self._settings.versionTimeout:.0f} s: not an Ockam peer?"
        self._error = TimedOut(reason)
        self.abortConnection(reason)

    # ------------------------------------------------------------- inbound

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes from the peer: deliver every complete frame.
        """
        if self.output.lost:
            # Aborted, but some transports still hand over what they have.
            return
        turn = self._turn
        turn.enter(self.source)
        try:
            frames = self._frames.feed(data)
            if not self._greeted:
                self._greet()
            for buffer, start, end in frames:
                last = self._last
                if last is None or not buffer.startswith(last.prefix, start):
                    last = self._find(buffer, start, end)
                    if last is None:
                        continue
                    self._last = last
                begin, stop = payloadBounds(buffer, start + last.size, end, last.tailed)
                size = stop - begin
                flow = last.flow
                if flow.isDirect:
                    flow.send((memoryview(buffer)[begin:stop] if size >= _VIEW else buffer[begin:stop],), size)
                else:
                    began = self._settings.clock.seconds()
                    flow.send((buffer[begin:stop],), size)
                    self._spent += self._settings.clock.seconds() - began
            self.received += len(data)
            self._chooseReadSize(len(frames))
            if self._frames.failure is not None:
                raise self._frames.failure
        except RemoteProtocolError as error:
            self.abortConnection(str(error))
        except Exception:
            self._log.failure("Losing the connection with {peer}", peer=self.peer, event="connection-failed")
            self.abortConnection("an internal error")
        finally:
            turn.leave()

    def _chooseReadSize(self, frames: int) -> None:
        """
        Read less at once from who asks for much, and make it wait if it asks
        for too much.
        """
        spent, self._spent = self._spent, 0.0
        size = HOP_READ_SMALL if frames > _MAX_FRAMES or spent > _MAX_SECONDS else HOP_READ
        if size != self._readSize and self._isPlain:
            self._readSize = size
            transport: Any = self.transport
            transport.bufferSize = size
        if spent and self._allowance is not None:
            self._allowance.take(spent)

    def _greet(self) -> None:
        """
        Has the peer's version byte arrived?
        """
        if self._frames.failure is None:
            self._greeted = True
            self._deadline.cancel()
            self.ready.callback(self)

    def _find(self, buffer: bytes, start: int, end: int) -> _Inbound | None:
        """
        Look up or open the flow of a message.

        @return: L{None} if the message is dealt with.
        @raise DecodeError: It is none.
        """
        flows = self._flows
        for length in self._lengths:
            found = flows.get(buffer[start : start + length])
            if found is not None:
                return found
        began = self._settings.clock.seconds()
        try:
            return self._meet(buffer, start, end)
        finally:
            self._spent += self._settings.clock.seconds() - began

    def _meet(self, buffer: bytes, start: int, end: int) -> _Inbound | None:
        """
        See L{_find}: it is not in the table.
        """
        flows = self._flows
        first = buffer[start]
        if first != _TAILED and first != _BARE:
            onward, back, payload = decodeTransport(buffer, start, end)
            if onward:
                self._settings.router.route(
                    LocalMessage(Route.fromWire(onward), Route.fromWire(((self.address), *back)), payload),
                    self.receiver,
                )
            return None
        onward, back, position = readTransportRoutes(buffer, start, end)
        if not onward:
            # A heartbeat of older versions.
            payloadBounds(buffer, position, end, first == _TAILED)
            return None
        prefix = buffer[start:position]
        flow = self._settings.router.open(Route.fromWire(onward), Route.fromWire((self.address, *back)), self.receiver)
        found = _Inbound(prefix, len(prefix), first == _TAILED, flow)
        self._prefixes += found.size
        if len(flows) >= _MAX_FLOWS or self._prefixes > _MAX_PREFIXES:
            flows.clear()
            self._prefixes = found.size
        if found.size not in self._lengths:
            if len(self._lengths) >= _MAX_LENGTHS:
                self._lengths.pop()
            self._lengths.insert(0, found.size)
        flows[prefix] = found
        return found

    # ------------------------------------------------------------ outbound

    def flowOpened(self, message: LocalMessage) -> PayloadReceiver:
        """
        See L{IFlowReceiver.flowOpened}.
        """
        prefix = transportPrefix(message.onward_route[1:], message.return_route)
        fixed = len(prefix) + len(TRANSPORT_TAIL)
        write = self.output.write
        maximum = self._settings.maxFrame

        def send(pieces: Sequence[Buffer], size: int) -> None:
            head = payloadHead(size)
            total = fixed + len(head) + size
            if total > maximum:
                self._tooLarge(total)
                return
            write((_length(total) + prefix + head, *pieces, TRANSPORT_TAIL), total + 4)

        return send

    def _tooLarge(self, size: int) -> None:
        if not self._warned:
            self._warned = True
            self._log.warn(
                "Dropping messages for {peer} that are too large, the first of {size} bytes",
                peer=self.peer,
                size=size,
                event="message-too-large",
            )

    def messageReceived(self, message: LocalMessage) -> None:
        """
        Send one message.  See L{IWorker.messageReceived}.
        """
        self.flowOpened(message)((message.payload,), len(message.payload))

    # ----------------------------------------------------------------- end

    @property
    def carried(self) -> int:
        """
        See L{IHop.carried}.
        """
        return self.received + self.output.sent

    @property
    def isBlocked(self) -> bool:
        """
        See L{IHop.isBlocked}.
        """
        return (bool(self.source.pauses) or self.output.queued > 0) and not unanswered(self.transport)

    def loseConnection(self) -> None:
        """
        See L{IHop.loseConnection}.
        """
        if self._reason is None:
            self._reason = "we have closed it"
        self.output.loseConnection()

    def abortConnection(self, reason: str) -> None:
        """
        See L{IHop.abortConnection}.
        """
        if self._reason is None:
            self._reason = reason
            # Until it is ready, who has made it is told, and says so.
            if self._greeted or self._spawnerId is not None:
                self._log.warn(
                    "Losing the connection with {peer}: {reason}",
                    peer=self.peer,
                    reason=reason,
                    event="connection-broken",
                )
        self.output.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection has ended: forget both addresses.
        """
        text = self._reason = self._reason or reason.getErrorMessage()
        self._ended = True
        router = self._settings.router
        if self._deadline.active():
            self._deadline.cancel()
        with router.turn:
            self.output.connectionLost()
            if self._allowance is not None:
                self._allowance.close()
            router.unregister(self.address)
            router.unregister(self.receiver)
            self._flows.clear()
            self._last = None
            lost, self._lost = self._lost, []
            for waiting in lost:
                waiting.callback(text)
            if not self._greeted:
                self._greeted = True
                self.ready.errback(self._frames.failure or self._error or ConnectionClosed(text))

    def whenLost(self) -> Deferred[str]:
        """
        See L{IHop.whenLost}.
        """
        waiting: Deferred[str] = Deferred()
        if self._ended:
            waiting.callback(str(self._reason))
        else:
            self._lost.append(waiting)
        return waiting
