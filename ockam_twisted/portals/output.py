"""
What comes out of a stream for a protocol in this process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from ockam_twisted.interfaces import Buffer, IOutput, ISource
from ockam_twisted.routing.turn import Turn

if TYPE_CHECKING:
    from ockam_twisted.portals.protocol import PortalTransport

#: What may wait for a protocol that has paused before the hop that feeds it
#: is paused too, bytes.
HIGH_WATER = 4 * 1024 * 1024

#: For how many seconds it may then hold others back without progress.
PATIENCE = 5.0

#: What is smaller is joined with what waits before it, bytes.
_SMALL = 2048


def _nothing() -> None:
    """
    Nobody is told of progress any more.
    """


def ignored(output: object) -> None:
    """
    What is told of outputs that hold back when nobody watches.
    """


@implementer(IOutput)
class ProtocolOutput:
    """
    What waits to be received by a protocol.

    @ivar sent: Bytes that were received, in all.
    @ivar held: Sources that wait for this output.
    @ivar patience: How long they wait, at most, seconds.
    @ivar losing: Never: nothing is left to be drained after the end.
    @ivar isResetting: Likewise.
    """

    isShared = False

    def __init__(self, transport: PortalTransport, turn: Turn, label: str, heldBack: Callable[[Any], object]) -> None:
        """
        @param transport: Takes what waits.
        """
        self._transport = transport
        self._turn = turn
        self._heldBack = heldBack
        self._pieces: list[Buffer] = []
        self._touched = False
        self._waiting: list[bytes] = []
        self.label = label
        self.patience = PATIENCE
        self.queued = 0
        self.sent = 0
        self.full = False
        self.lost = False
        self.losing = False
        self.isResetting = False
        self.held: set[ISource] = set()
        self.mark = sys.maxsize
        self._highWater = HIGH_WATER
        self._progressed: Callable[[], object] = transport.wake

    def watchProgress(self, mark: int, progressed: Callable[[], None]) -> None:
        """
        See L{IOutput}.
        """
        self.mark = mark
        self._progressed = progressed
        self._highWater = sys.maxsize

    def finish(self) -> None:
        """
        See L{IOutput}.
        """
        self._transport.streamFinished()

    def write(self, pieces: Sequence[Buffer], size: int) -> None:
        """
        See L{IOutput}.
        """
        if not self.lost:
            self._pieces += pieces
            self.queued += size
            if not self._touched:
                self._touched = True
                self._turn.touch(self)

    def postpone(self) -> bool:
        """
        See L{IOutput}.
        """
        return False

    def flush(self) -> None:
        """
        See L{IOutput}.
        """
        self._touched = False
        if self._pieces:
            waiting, data = self._waiting, b"".join(self._pieces)
            if len(data) < _SMALL and waiting and len(waiting[-1]) < _SMALL:
                data = waiting.pop() + data
            waiting.append(data)
            self._pieces = []
            self.full = self.queued > self._highWater
            self._transport.wake()

    def take(self) -> bytes:
        """
        @return: All that waits, which then waits no more.
        """
        data = b"".join(self._waiting)
        self._waiting = []
        self.queued -= len(data)
        self.sent += len(data)
        self.full = False
        self._letGo()
        if self.sent >= self.mark:
            with self._turn:
                self._progressed()
        return data

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
        held, self.held = self.held, set()
        for source in held:
            source.resumeFor(self)

    def loseConnection(self) -> None:
        """
        See L{IOutput}.
        """
        self._transport.loseConnection()

    def abortConnection(self) -> None:
        """
        See L{IOutput}.
        """
        self._transport.abortConnection()

    def resetConnection(self) -> None:
        """
        See L{IOutput}.
        """
        self._transport.streamReset("it was reset")

    def connectionLost(self) -> None:
        """
        See L{IOutput}.
        """
        self.lost = True
        self._progressed = _nothing
        self._pieces = []
        self._waiting = []
        self.queued = 0
        self.full = False
        self._letGo()
