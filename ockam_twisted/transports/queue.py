"""
The output queue: bytes leave a connection through it, once per turn, tried
on the socket at once (design, section 6; C{docs/performance.rst}).

Two implementations of L{IOutput}: L{DirectQueue} hands bytes to the kernel
itself, on plain TCP and Unix sockets only; L{WriteQueue} uses nothing but
C{write} and serves every other transport.  L{outputFor} picks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer

from ockam_twisted.interfaces import Buffer, IOutput, ISource
from ockam_twisted.routing.turn import Turn
from ockam_twisted.transports.budget import QueueBudget
from ockam_twisted.transports.sockets import SEND_LIMIT, isPlainSocket

#: What a transport that is full gets at once to keep.  Small, because a part
#: of it that leaves does not show, and who makes progress must be seen to.
_CHUNK = 64 * 1024

#: What is joined, at most, to be sent in one call once there is room again.
_BATCH = 256 * 1024


class _Queue:
    """
    What both queues share: collecting, holding sources back, ending.

    @ivar queued: See L{IOutput}.
    @ivar full: See L{IOutput}.
    @ivar sent: Bytes handed to the transport in all; says whether the peer
        makes progress.
    @ivar held: Sources that wait for this output.
    @ivar losing: The connection ends once this has drained.
    """

    def __init__(
        self,
        transport: Any,
        turn: Turn,
        highWater: int,
        heldBack: Callable[[Any], object],
        budget: QueueBudget | None = None,
    ) -> None:
        """
        @param highWater: Bytes that may wait here before sources are paused.
        @param heldBack: Called with this queue when it begins to hold
            sources back; see L{ockam_twisted.transports.stalls}.
        @param budget: What it shares with others.
        """
        self._transport = transport
        self._turn = turn
        self._highWater = highWater
        self._heldBack = heldBack
        self._budget = budget or QueueBudget()
        self._pieces: list[Buffer] = []
        self._collected = 0
        self._touched = False
        self._waiting: deque[Buffer] = deque()
        self._busy = False
        self.losing = False
        self.queued = 0
        self.sent = 0
        self.full = False
        self.lost = False
        self.label = ""
        self.held: set[ISource] = set()
        self._begin()

    def _begin(self) -> None:
        """
        The transport is there.
        """

    def write(self, pieces: Sequence[Buffer], size: int) -> None:
        """
        See L{IOutput}.
        """
        self._pieces += pieces
        self._collected += size
        if not self._touched:
            self._touched = True
            self._turn.touch(self)  # type: ignore[arg-type]

    def flush(self) -> None:
        """
        See L{IOutput}.
        """
        self._touched = False
        pieces = self._pieces
        if not pieces:
            return
        self._pieces = []
        size = self._collected
        self._collected = 0
        if self._transport is None or self.losing:
            return
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self._busy:
            self._waiting.append(bytes(data))
            self._count(size)
        else:
            self._send(data)

    def _count(self, size: int) -> None:
        """
        More waits here than before, or less.
        """
        self.queued += size
        self._budget.used += size
        self.full = not self.losing and self.queued > self._budget.highWater(self._highWater)

    def _send(self, data: Buffer) -> None:
        raise NotImplementedError

    def _end(self) -> None:
        raise NotImplementedError

    def _next(self) -> Buffer:
        """
        Take what has waited longest.
        """
        waiting = self._waiting
        first = waiting.popleft()
        size = len(first)
        if waiting and size + len(waiting[0]) <= _BATCH:
            batch = [first]
            while waiting and size + len(waiting[0]) <= _BATCH:
                batch.append(waiting.popleft())
                size += len(batch[-1])
            first = b"".join(batch)
        self._count(-size)
        return first

    def _eased(self) -> None:
        """
        Less is queued than before.
        """
        if self.losing:
            if not self._busy:
                self._end()
            return
        highWater = self._budget.highWater(self._highWater)
        self.full = self.queued > highWater
        if self.queued <= highWater // 2:
            self._letGo()

    def holdBack(self, source: ISource) -> None:
        """
        See L{IOutput}.
        """
        if source not in self.held:
            self.held.add(source)
            source.pauseFor(self)  # type: ignore[arg-type]
            self._heldBack(self)

    def _letGo(self) -> None:
        held = self.held
        if held:
            self.held = set()
            for source in held:
                source.resumeFor(self)  # type: ignore[arg-type]

    def loseConnection(self) -> None:
        """
        See L{IOutput}.
        """
        if self.losing:
            return
        self.flush()
        # From now on nothing more is taken, so nobody has to wait for it.
        self.losing = True
        self.full = False
        self._letGo()
        if self._transport is None:
            return
        if not self._busy:
            self._end()
        else:
            # Somebody has to see that it drains.
            self._heldBack(self)

    def abortConnection(self) -> None:
        """
        See L{IOutput}.
        """
        transport = self._transport
        self.connectionLost()
        if transport is not None:
            # Pipes have nothing to reset.
            getattr(transport, "abortConnection", transport.loseConnection)()

    def connectionLost(self) -> None:
        """
        See L{IOutput}.
        """
        self._transport = None
        self.lost = True
        self._pieces = []
        self._waiting.clear()
        self._count(-self.queued)
        self.full = False
        self._letGo()


@implementer(IOutput, IPullProducer)
class DirectQueue(_Queue):
    """
    Sends to the socket at once; what the kernel does not take waits in
    Twisted's buffer (at most one send's worth) and here.
    """

    _producing = False
    _registering = False
    _inTwisted = 0

    def _send(self, data: Buffer) -> None:
        """
        Twisted's buffer is empty: this must hold, or bytes would overtake.
        """
        done = self._push(data)
        if done < len(data):
            # What waits must not keep alive the read that it is a view of.
            self._wait(memoryview(data)[done:] if isinstance(data, bytes) else memoryview(bytes(data[done:])))

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
            taken = transport.writeSomeData(memoryview(data)[done:] if done else data)
            if not isinstance(taken, int) or taken < 0:
                # An exception, not raised: the connection is broken.
                self.abortConnection()
                return size
            done += taken
            self.sent += taken
            if taken < min(SEND_LIMIT, size - done + taken):
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

    def _end(self) -> None:
        self._transport.loseConnection()

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
class WriteQueue(_Queue):
    """
    For transports that may be written to in one way only.
    """

    def _begin(self) -> None:
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
        self._transport.unregisterProducer()
        self._transport.loseConnection()


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
