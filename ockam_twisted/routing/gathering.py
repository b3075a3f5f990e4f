"""
What several turns in one pass of the reactor send over the same connection
leaves in one piece (C{docs/performance.rst}).

A turn is one socket that had something to read.  With many busy sockets one
pass of the reactor has many turns, and most of them send a little over the
same connection; with one busy socket it has one, and then nothing should
wait.  Which of these it is shows in how many turns share a flush: so they
are gathered for as long as that is more than one, and tried again every now
and then.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from ockam_twisted.interfaces import IOutput, ISource

#: After so many flushes at once it is tried whether gathering pays.
_PATIENCE = 128

#: What is gathered, and the sources that fed it.
Gathered = dict[IOutput, set[ISource]]


class Gathering:
    """
    See the module.

    @ivar isOn: Are turns gathered at present?
    """

    __slots__ = ("_clock", "_direct", "_flush", "_gathered", "_turns", "isOn")

    def __init__(self, clock: IReactorTime, flush: Callable[[Gathered], None]) -> None:
        """
        @param clock: The reactor: it calls what is due now once it is done
            with all sockets that are ready, and before it looks for more.
        @param flush: Sends what was gathered.
        """
        self.isOn = False
        self._clock = clock
        self._flush = flush
        self._gathered: Gathered = {}
        self._turns = 0
        self._direct = 0

    def takes(self, output: IOutput, source: ISource | None) -> bool:
        """
        Called instead of a flush at the end of a turn.

        @return: It will be flushed when the reactor has come around;
            otherwise, it has to be flushed now.
        """
        if not self.isOn:
            self._direct += 1
            if self._direct < _PATIENCE:
                return False
            self._direct = 0
            self.isOn = True
        if not output.postpone():
            return False
        gathered = self._gathered
        if not gathered:
            self._clock.callLater(0, self._due)
        fed = gathered.get(output)
        if fed is None:
            fed = gathered[output] = set()
        if source is not None:
            fed.add(source)
        self._turns += 1
        return True

    def _due(self) -> None:
        gathered, self._gathered = self._gathered, {}
        turns, self._turns = self._turns, 0
        self.isOn = turns >= 2 * len(gathered)
        self._flush(gathered)
