"""
What several turns in one pass of the reactor send over the same connection
leaves in one piece (C{docs/performance.rst}).

A turn is one socket that had something to read.  With many busy sockets one
pass of the reactor has many turns, and most of them send a little over the
same connection; with one busy socket it has one, and then nothing should
wait.  A connection that others and others feed is tried; it goes on for as
long as turns do come together.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from ockam_twisted.interfaces import IOutput, ISource

#: After so many changes of who feeds a connection it is tried whether
#: gathering pays, and after so many passes in a row in which it did not it is
#: given up.
_PATIENCE = 8
_TRIES = 4

#: What is gathered, and the sources that fed it.
Gathered = dict[IOutput, set[ISource]]


class Gathering:
    """
    See the module.

    @ivar isOn: Are turns gathered at present?
    """

    __slots__ = ("_changes", "_clock", "_flush", "_gathered", "_lone", "_turns", "isOn")

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
        self._changes = 0
        self._lone = 0

    def takes(self, output: IOutput, source: ISource | None) -> bool:
        """
        Called instead of a flush at the end of a turn.

        @return: It will be flushed when the reactor has come around;
            otherwise, it has to be flushed now.
        """
        if not self.isOn:
            if source is None or source is output.feeder:
                return False
            output.feeder = source
            self._changes += 1
            if self._changes < _PATIENCE:
                return False
            self._changes = 0
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
        if turns >= 2 * len(gathered):
            self._lone = 0
        else:
            self._lone += 1
            if self._lone == _TRIES:
                self._lone = 0
                self.isOn = False
        self._flush(gathered)
