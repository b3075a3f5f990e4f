"""
What every output queue of a connection does: collecting during a turn, holding
sources back, telling of progress, ending (design, section 6).
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ockam_twisted.interfaces import Buffer, ISource
from ockam_twisted.routing.turn import Turn
from ockam_twisted.transports.budget import QueueBudget
from ockam_twisted.transports.stalls import STALL_SECONDS

#: What is joined, at most, to be sent in one call once there is room again.
_BATCH = 256 * 1024

#: What is smaller is joined with what waits before it, bytes: each piece has
#: a cost of its own.
_SMALL = 2048

#: From so many bytes on what was collected does not wait for more.
_GATHER = 64 * 1024


def _nothing() -> None:
    """
    Nobody watches.
    """


class OutputQueue:
    """
    What the queues share.

    @ivar queued: See L{IOutput}.
    @ivar full: See L{IOutput}.
    @ivar sent: Bytes handed to the transport in all; says whether the peer
        makes progress.
    @ivar held: Sources that wait for this output.
    @ivar patience: How long they wait, at most, if it makes no progress and
        others wait with them, seconds.
    @ivar isShared: See L{IOutput}.
    @ivar losing: The connection ends once this has drained.
    @ivar isResetting: It ends with a reset then.
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
        self.isResetting = False
        self.isShared = False
        self.queued = 0
        self.sent = 0
        self.full = False
        self.lost = False
        self.label = ""
        self.patience = STALL_SECONDS
        self.held: set[ISource] = set()
        self.mark = sys.maxsize
        self._progressed: Callable[[], None] = _nothing
        self._finishing = self._isOneHalf = False
        self._lose: Callable[[], object] = transport.loseConnection
        self.begin()

    def begin(self) -> None:
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

    def postpone(self) -> bool:
        """
        See L{IOutput}.
        """
        if self._busy or self._collected >= _GATHER:
            return False
        self._touched = False
        return True

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
        if self._busy:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            waiting = self._waiting
            if size < _SMALL and waiting and len(waiting[-1]) < _SMALL:
                data = b"".join((waiting.pop(), data))
            waiting.append(bytes(data))
            self._count(size)
        else:
            self._sendAll(pieces, size)
            if self.sent >= self.mark:
                self._progressed()

    def _sendAll(self, pieces: list[Buffer], size: int) -> None:
        """
        Send what was collected; nothing waits.
        """
        self._send(pieces[0] if len(pieces) == 1 else b"".join(pieces))

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
        if self.sent >= self.mark:
            self._progressed()
        if self.losing or self._finishing:
            if not self._busy and self._transport is not None:
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
            source.pauseFor(self)
            self._heldBack(self)

    def letGo(self, source: ISource) -> None:
        """
        See L{IOutput}.
        """
        if source in self.held:
            self.held.discard(source)
            source.resumeFor(self)

    def _letGo(self) -> None:
        held = self.held
        if held:
            self.held = set()
            for source in held:
                source.resumeFor(self)

    def watchProgress(self, mark: int, progressed: Callable[[], None]) -> None:
        """
        See L{IOutput}.
        """
        self.mark = mark
        self._progressed = progressed
        # Windows bound what comes here, and what waits in all of them.
        self._budget.used -= self.queued
        self._budget = QueueBudget(sys.maxsize, self.queued)
        self._highWater = sys.maxsize

    def finish(self) -> None:
        """
        See L{IOutput}.
        """
        if self.losing or self._finishing:
            return
        self.flush()
        self._finishing = True
        if self._transport is not None and not self._busy:
            self._end()

    def _loseHalf(self) -> None:
        """
        End this direction; the connection as a whole if it has no halves.
        """
        transport = self._transport
        # Of the class: TLS would pass it through to the socket below, whose
        # end is not its own.  It says its last word, and still listens, when
        # it is asked to end as a whole.
        if hasattr(type(transport), "loseWriteConnection"):
            transport.loseWriteConnection()
        else:
            self.losing = self._isOneHalf = True
            transport.loseConnection()

    def endBy(self, lose: Callable[[], object]) -> None:
        """
        How to end the connection once all is sent, if not by the transport's
        C{loseConnection}.
        """
        self._lose = lose

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

    def resetConnection(self) -> None:
        """
        See L{IOutput}.
        """
        self.isResetting = True
        if self.losing:
            if self._isOneHalf:
                # The other direction goes on, and nobody else ends it.
                self.abortConnection()
            return
        self.loseConnection()
        if not self.lost and not self._busy and self._transport is not None:
            # The kernel has what the peer has not.
            self._heldBack(self)

    @property
    def isDrained(self) -> bool:
        """
        Does the peer have all, as far as can be known?
        """
        return not self._busy

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
        # Whom it has told may be forgotten, although it may be remembered.
        self._progressed = self._lose = _nothing
        self.lost = True
        self._pieces = []
        self._waiting.clear()
        self._count(-self.queued)
        self.full = False
        self._letGo()
