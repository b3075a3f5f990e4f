"""
One pass of the node over what the reactor has just given it.

Every entry from the reactor (data, a timer, a connection made or lost) enters
the turn with its source and leaves it.  Whatever the layers in between send
is collected by the outputs and leaves, in one piece for each, when the
outermost entry ends.  An output that is still full then pauses the source
that fed it.  So the layers in between need no back-pressure code at all.

A turn is one socket that had something to read.  Several turns in one pass
over many sockets share their flushes of the connections that many feed: with
many busy sockets most of them send a little over the same one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType

from twisted.logger import Logger

from ockam_twisted.interfaces import IOutput, ISource


class Turn:
    """
    The turn of one router.

    @ivar depth: How many entries are open.
    """

    __slots__ = ("_gathered", "_isEnding", "_isPassing", "_later", "_source", "_touched", "depth")
    _log = Logger()

    def __init__(self) -> None:
        self.depth = 0
        self._source: ISource | None = None
        self._touched: list[IOutput] = []
        self._later: deque[Callable[[], object]] = deque()
        self._isEnding = False
        self._isPassing = False
        self._gathered: list[tuple[IOutput, ISource | None]] = []

    def beginPass(self) -> None:
        """
        From now on, until L{endPass}, turns share flushes.
        """
        self._isPassing = True

    def endPass(self) -> None:
        """
        Flush what was gathered.
        """
        self._isPassing = False
        gathered = self._gathered
        if not gathered:
            return
        self._gathered = []
        with self:
            for output, source in gathered:
                try:
                    output.flush()
                    if source is not None and output.full:
                        output.holdBack(source)
                except Exception:
                    self._log.failure("Could not send to {whom}", whom=output.label, event="send-failed")

    def enter(self, source: ISource | None) -> None:
        """
        Something happened.

        @param source: What is being read from, to be paused if an output it
            feeds is full; L{None} for what cannot be paused.
        """
        if not self.depth:
            self._source = source
        self.depth += 1

    def leave(self) -> None:
        """
        End what L{enter} began; the outermost one flushes.
        """
        if self.depth == 1:
            # Flushing counts as part of the turn: what it sets off is
            # flushed by the same loop.
            touched = self._touched
            source = self._source
            isPassing = self._isPassing
            while touched:
                output = touched.pop()
                try:
                    if source is not None:
                        source.fed(output)
                    if isPassing and output.isShared and output.postpone():
                        self._gathered.append((output, source))
                        continue
                    output.flush()
                    if source is not None and output.full:
                        output.holdBack(source)
                except Exception:
                    # One broken output must not keep the others from leaving.
                    self._log.failure("Could not send to {whom}", whom=output.label, event="send-failed")
            self._source = None
            self.depth = 0
            if self._later:
                self._end()
        else:
            self.depth -= 1

    def afterwards(self, call: Callable[[], object]) -> None:
        """
        Call something, with a turn of its own to make, once this one is over;
        at once if there is none.
        """
        self._later.append(call)
        if not self.depth:
            self._end()

    def _end(self) -> None:
        """
        Do what was left to be done after a turn, one by one.
        """
        if self._isEnding:
            return
        self._isEnding = True
        while self._later:
            try:
                self._later.popleft()()
            except Exception:
                self._log.failure("Could not do what comes after a turn", event="after-turn-failed")
        self._isEnding = False

    def touch(self, output: IOutput) -> None:
        """
        C{output} has something to send.  Called once per turn and output;
        outside of a turn it is flushed at once.
        """
        self._touched.append(output)
        if not self.depth:
            self.depth = 1
            self.leave()

    def __enter__(self) -> Turn:
        self.enter(None)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.leave()
