"""
The output queue: bytes leave a connection through it, once per turn, tried
on the socket at once (design, section 6; C{docs/performance.rst}).

Implementations of L{IOutput}: L{DirectQueue} hands bytes to the kernel
itself, on plain TCP and Unix sockets only; L{WriteQueue} uses nothing but
C{write} and serves every other transport.  L{outputFor} picks.  L{MessageQueue}
is for transports that keep messages.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer

from ockam_twisted.interfaces import Buffer, IOutput
from ockam_twisted.routing.turn import Turn
from ockam_twisted.transports.budget import QueueBudget
from ockam_twisted.transports.output import OutputQueue
from ockam_twisted.transports.sockets import SEND_LIMIT, endHalf, isPlainSocket, unsent

#: What a transport that is full gets at once to keep.  Small, because a part
#: of it that leaves does not show, and who makes progress must be seen to.
_CHUNK = 64 * 1024

#: From so many bytes on, and up to so many pieces, the kernel gets the pieces
#: themselves: joining them would be another copy of all.
_SCATTERED = 16 * 1024
_MOST_PIECES = 64

#: How a kernel says that it takes no more for now.
_FULL = (errno.EWOULDBLOCK, errno.EAGAIN, errno.ENOBUFS)


@implementer(IOutput, IPullProducer)
class DirectQueue(OutputQueue):
    """
    Sends to the socket at once; what the kernel does not take waits in
    Twisted's buffer (at most one send's worth) and here.
    """

    _producing = False
    _registering = False
    _inTwisted = 0

    def begin(self) -> None:
        handle = self._transport.getHandle()
        self._write = handle.send
        self._writePieces = getattr(handle, "sendmsg", None)

    def _sendAll(self, pieces: list[Buffer], size: int) -> None:
        """
        Twisted's buffer is empty: this must hold, or bytes would overtake.
        """
        count = len(pieces)
        if count == 1 or count > _MOST_PIECES or not _SCATTERED <= size <= SEND_LIMIT or self._writePieces is None:
            data = pieces[0] if count == 1 else b"".join(pieces)
            done = self._push(data)
            if done < size:
                # What waits must not keep alive the read that it is a view of.
                self._wait(memoryview(data)[done:] if isinstance(data, bytes) else memoryview(bytes(data[done:])))
        elif not self._transport.connected:
            self.connectionLost()
        else:
            try:
                done = self._writePieces(pieces)
            except OSError as error:
                if error.errno not in _FULL:
                    self.abortConnection()
                    return
                done = 0
            self.sent += done
            if done < size:
                self._wait(memoryview(b"".join(pieces))[done:])

    def _push(self, data: Buffer) -> int:
        """
        Hand bytes to the kernel.

        @return: How many it took; all, if the connection turns out broken.
        """
        transport = self._transport
        size = len(data)
        if not transport.connected:
            self.connectionLost()
            return size
        done = 0
        while done < size:
            limited = size - done > SEND_LIMIT
            try:
                taken = self._write(memoryview(data)[done : done + SEND_LIMIT] if done or limited else data)
            except OSError as error:
                if error.errno not in _FULL:
                    self.abortConnection()
                    return size
                break
            done += taken
            self.sent += taken
            if not limited or taken < SEND_LIMIT:
                break
        return done

    def _wait(self, rest: memoryview) -> None:
        """
        The kernel is full.
        """
        transport = self._transport
        self._busy = True
        handed = bytes(rest[:_CHUNK])
        transport.write(handed)
        self._inTwisted = len(handed)
        if len(rest) > _CHUNK:
            self._waiting.appendleft(rest[_CHUNK:])
        self._count(len(rest))
        if not self._producing:
            self._producing = True
            # Registering a pull producer calls it at once, before anything
            # has drained.
            self._registering = True
            transport.registerProducer(self, False)
            self._registering = False

    def resumeProducing(self) -> None:
        """
        Called by the transport: its buffer is empty.
        """
        if self._registering or self._transport is None:
            return
        self._count(-self._inTwisted)
        self.sent += self._inTwisted
        self._inTwisted = 0
        self._busy = False
        while self._waiting and not self._busy:
            data = self._next()
            done = self._push(data)
            if self._transport is None:
                return
            if done < len(data):
                self._wait(memoryview(data)[done:])
        if not self._busy:
            self._producing = False
            self._transport.unregisterProducer()
        self._eased()

    def stopProducing(self) -> None:
        """
        Called by the transport: the connection is gone.
        """
        self.connectionLost()

    @property
    def isDrained(self) -> bool:
        """
        See L{OutputQueue.isDrained}.
        """
        return not self._busy and not unsent(self._transport)

    def _end(self) -> None:
        if self.isResetting:
            if self.isDrained:
                self.abortConnection()
        elif self.losing:
            self._lose()
        else:
            self._loseHalf()

    def _loseHalf(self) -> None:
        if not endHalf(self._transport):
            # To who reads it would be an end now.
            self.abortConnection()

    def connectionLost(self) -> None:
        """
        See L{IOutput}.
        """
        transport = self._transport
        super().connectionLost()
        if self._producing and transport is not None:
            self._producing = False
            transport.unregisterProducer()


@implementer(IOutput, IPushProducer)
class WriteQueue(OutputQueue):
    """
    For transports that may be written to in one way only.
    """

    _isRegistered = True

    def begin(self) -> None:
        self._transport.registerProducer(self, True)

    def _send(self, data: Buffer) -> None:
        size = len(data)
        done = 0
        # The transport may pause us, or lose the connection, in between.
        while done < size and not self._busy and self._transport is not None:
            chunk = bytes(data[done : done + _CHUNK])
            done += len(chunk)
            self.sent += len(chunk)
            self._transport.write(chunk)
        if done < size and self._transport is not None:
            self._waiting.appendleft(bytes(data[done:]))
            self._count(size - done)

    def pauseProducing(self) -> None:
        """
        Called by the transport: it holds more than it likes to.
        """
        self._busy = True

    def resumeProducing(self) -> None:
        """
        Called by the transport: it has room.
        """
        self._busy = False
        while self._waiting and not self._busy and self._transport is not None:
            self._send(self._next())
        if self._transport is not None:
            self._eased()

    def stopProducing(self) -> None:
        """
        Called by the transport: the connection is gone.
        """
        self.connectionLost()

    def _end(self) -> None:
        if self._isRegistered:
            self._isRegistered = False
            self._transport.unregisterProducer()
        if self.isResetting:
            self.abortConnection()
        elif self.losing:
            self._lose()
        else:
            self._loseHalf()


class MessageQueue(WriteQueue):
    """
    For transports that keep messages: what was given at once leaves in one
    C{write}, and nothing else with it.
    """

    def write(self, pieces: Sequence[Buffer], size: int) -> None:
        """
        See L{IOutput}.

        @param pieces: Of one message.
        """
        super().write((b"".join(pieces),), size)

    def flush(self) -> None:
        """
        See L{IOutput}.
        """
        self._touched = False
        pieces, self._pieces, self._collected = self._pieces, [], 0
        for piece in pieces:
            if self._transport is None or self.losing:
                return
            if self._busy:
                self._waiting.append(piece)
                self._count(len(piece))
            else:
                self._send(piece)
        if self.sent >= self.mark:
            self._progressed()

    def _send(self, data: Buffer) -> None:
        self.sent += len(data)
        self._transport.write(bytes(data))

    def _next(self) -> Buffer:
        first = self._waiting.popleft()
        self._count(-len(first))
        return first


def outputFor(
    transport: Any,
    turn: Turn,
    highWater: int,
    heldBack: Callable[[Any], object],
    budget: QueueBudget | None = None,
) -> DirectQueue | WriteQueue:
    """
    @return: The fastest queue that is right for C{transport}.
    """
    kind = DirectQueue if isPlainSocket(transport) else WriteQueue
    return kind(transport, turn, highWater, heldBack, budget)
