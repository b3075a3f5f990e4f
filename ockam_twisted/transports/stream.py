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
from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from ockam_twisted.errors import RemoteProtocolError, TimedOut
from ockam_twisted.interfaces import Buffer, PayloadReceiver
from ockam_twisted.routing.addresses import Route
from ockam_twisted.routing.inbound import Inbound, InboundFlows
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.transports.hop import HopProtocol
from ockam_twisted.transports.hops import HopSettings
from ockam_twisted.transports.queue import outputFor
from ockam_twisted.transports.sockets import (
    HOP_READ,
    HOP_READ_SMALL,
    isPlainSocket,
    prepareSocket,
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

#: What may be in one read before the next ones are smaller, so that others get
#: their turn: messages, and seconds for those that do not go the direct way.
_MAX_FRAMES = 256
_MAX_SECONDS = 0.005

#: The first bytes of a frame: array(4) has a tracing context, array(3) none.
_TAILED, _BARE = 0x84, 0x83


class MessageStreamProtocol(HopProtocol):
    """
    See L{IHop}: messages over a carrier that is a stream of bytes.
    """

    makeOutput = staticmethod(outputFor)

    def __init__(self, settings: HopSettings, spawnerId: str | None = None, greets: bool = True) -> None:
        """
        @param spawnerId: See L{HopProtocol}.
        @param greets: Must it still say which version we speak?
        """
        super().__init__(settings, spawnerId)
        self._greets = greets
        self._frames = FrameDecoder(settings.maxFrame)
        self._flows = InboundFlows(settings.router.inbound)
        self._last: Inbound | None = None
        self._readSize = HOP_READ

    def connectionMade(self) -> None:
        """
        Register both addresses and say which version we speak.
        """
        transport: Any = self.transport
        prepareSocket(transport, HOP_READ)
        super().connectionMade()
        self._isPlain = isPlainSocket(transport)
        settings = self._settings
        self._deadline = settings.clock.callLater(settings.versionTimeout, self._versionMissing)
        if self._greets:
            with self._turn:
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
        if self.output.lost or self._lingering is not None:
            # It has ended, but some transports still hand over what they have.
            return
        turn = self._turn
        turn.enter(self.source)
        try:
            frames = self._frames.feed(data)
            if not self._isReady:
                self._greet()
            for buffer, start, end in frames:
                last = self._last
                if last is None or not buffer.startswith(last.prefix, start):
                    last = self._find(buffer, start, end)
                    if last is None:
                        continue
                    self._last = last
                begin, stop = payloadBounds(buffer, start + last.size, end, buffer[start] == _TAILED)
                size = stop - begin
                flow = last.flow
                if flow.isDirect:
                    flow.send((memoryview(buffer)[begin:stop] if size >= _VIEW else buffer[begin:stop],), size)
                else:
                    # What is charged meanwhile is a part of that.
                    began, spent = self._settings.clock.seconds(), self._spent
                    flow.send((buffer[begin:stop],), size)
                    self._spent = spent + self._settings.clock.seconds() - began
            self.received += len(data)
            self.messages += len(frames)
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
        size = HOP_READ_SMALL if frames > _MAX_FRAMES or self._spent > _MAX_SECONDS else HOP_READ
        if size != self._readSize and self._isPlain:
            self._readSize = size
            transport: Any = self.transport
            transport.bufferSize = size
        if self._spent:
            self.pay()

    def _greet(self) -> None:
        """
        Has the peer's version byte arrived?
        """
        if self._frames.failure is None:
            self._deadline.cancel()
            self.becomeReady()

    def _find(self, buffer: bytes, start: int, end: int) -> Inbound | None:
        """
        Look up or open the flow of a message.

        @return: L{None} if the message is dealt with.
        @raise DecodeError: It is none.
        """
        found = self._flows.find(buffer, start)
        if found is not None:
            return found
        began, spent = self._settings.clock.seconds(), self._spent
        try:
            return self._meet(buffer, start, end)
        finally:
            self._spent = spent + self._settings.clock.seconds() - began

    def _meet(self, buffer: bytes, start: int, end: int) -> Inbound | None:
        """
        See L{_find}: it is not in the table.
        """
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
        flow = self._settings.router.open(Route.fromWire(onward), Route.fromWire((self.address, *back)), self.receiver)
        return self._flows.add(buffer[start:position], flow)

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
                self.messageTooLarge(total)
                return
            write((_length(total) + prefix + head, *pieces, TRANSPORT_TAIL), total + 4)

        return send

    # ----------------------------------------------------------------- end

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection has ended: forget what was known of its messages.
        """
        if self._deadline.active():
            self._deadline.cancel()
        if self._frames.failure is not None:
            self._error = self._frames.failure
        super().connectionLost(reason)
        self._flows.clear()
        self._last = None
