"""
One pass of the node over what the reactor has just given it.

Every entry from the reactor (data, a timer, a connection made or lost) enters
the turn with its source and leaves it.  Whatever the layers in between send
is collected by the outputs and leaves, in one piece for each, when the
outermost entry ends.  An output that is still full then pauses the source
that fed it.  So the layers in between need no back-pressure code at all.

A turn is one socket that had something to read.  Several turns in one pass
over many sockets share their flushes of the connections that many feed: with
many busy sockets most of them send a little over the same one.  What may leave
as one message (L{IBundle}) is put together at the end of the pass.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType

from twisted.logger import Logger

from ockam_twisted.interfaces import IBundle, IOutput, ISource


class Several:
    """
    Those whose messages have become one.
    """

    __slots__ = ("_sources",)

    def __init__(self, sources: set[ISource | Several | None]) -> None:
        self._sources = [each for each in sources if each is not None]

    def fed(self, output: IOutput) -> None:
        """
        See L{ISource.fed}.
        """
        for each in self._sources:
            each.fed(output)

    def charge(self, seconds: float) -> None:
        """
        See L{ISource.charge}: who has asked for it cannot be told.
        """

    def waitFor(self, output: IOutput) -> None:
        """
        It is full.
        """
        for each in self._sources:
            _wait(each, output)


def _wait(source: ISource | Several, output: IOutput) -> None:
    """
    Who feeds an output that is full waits.
    """
    if isinstance(source, Several):
        source.waitFor(output)
    else:
        output.holdBack(source)


class Turn:
    """
    The turn of one router.

    @ivar depth: How many entries are open.
    @ivar isPassing: Will there be others before L{endPass}?
    @ivar source: What is being read from.
    """

    __slots__ = ("_bundles", "_gathered", "_isEnding", "_later", "_touched", "depth", "isPassing", "source")
    _log = Logger()

    def __init__(self) -> None:
        self.depth = 0
        self.source: ISource | Several | None = None
        self.isPassing = False
        self._touched: list[IOutput] = []
        self._later: deque[Callable[[], object]] = deque()
        self._isEnding = False
        self._gathered: list[tuple[IOutput, ISource | Several | None]] = []
        self._bundles: list[IBundle] = []

    def beginPass(self) -> None:
        """
        From now on, until L{endPass}, turns share flushes.
        """
        self.isPassing = True

    def endPass(self) -> None:
        """
        Send what was put together, and flush what was gathered.
        """
        # One may go into another.
        while self._bundles:
            bundle = self._bundles.pop()
            self.enter(Several(bundle.sources))
            try:
                bundle.send()
            except Exception:
                self._log.failure("Could not send to {whom}", whom="a channel", event="send-failed")
            finally:
                self.leave()
        self.isPassing = False
        gathered = self._gathered
        if not gathered:
            return
        self._gathered = []
        with self:
            for output, source in gathered:
                try:
                    output.flush()
                    if source is not None and output.full:
                        _wait(source, output)
                except Exception:
                    self._log.failure("Could not send to {whom}", whom=output.label, event="send-failed")

    def enter(self, source: ISource | Several | None) -> None:
        """
        Something happened.

        @param source: What is being read from, to be paused if an output it
            feeds is full; L{None} for what cannot be paused.
        """
        if not self.depth:
            self.source = source
        self.depth += 1

    def leave(self) -> None:
        """
        End what L{enter} began; the outermost one flushes.
        """
        if self.depth == 1:
            # Flushing counts as part of the turn: what it sets off is
            # flushed by the same loop.
            touched = self._touched
            source = self.source
            isPassing = self.isPassing
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
                        _wait(source, output)
                except Exception:
                    # One broken output must not keep the others from leaving.
                    self._log.failure("Could not send to {whom}", whom=output.label, event="send-failed")
            self.source = None
            self.depth = 0
            if self._later:
                self._end()
        else:
            self.depth -= 1

    def gather(self, bundle: IBundle) -> None:
        """
        C{bundle} has something to send at the end of this pass.  Called once
        per pass and bundle.
        """
        self._bundles.append(bundle)

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
