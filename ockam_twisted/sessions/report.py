"""
What a session says of itself: one line for each change, with since when, why,
and what comes next.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

#: How many changes are remembered.
REMEMBERED = 30

#: The same failure is remembered again after so many seconds.  It is logged each
#: time: that it repeats is for the log to see (L{ockam_twisted.ops.repeats}).
REPEAT = 300.0


class Report:
    """
    See the module.

    @ivar history: The last changes, each with when (on the clock), what, and
        why.
    @ivar changes: How often it came up, or was lost.
    """

    _log = Logger()
    changes = 0

    def __init__(self, clock: IReactorTime, label: str) -> None:
        """
        @param label: Begins each line.
        """
        self._clock = clock
        self._label = label
        self._last = ("", float("-inf"))
        self._downSince = clock.seconds()
        self.history: deque[tuple[float, str, str]] = deque(maxlen=REMEMBERED)

    def _remember(self, what: str, why: str) -> None:
        self.history.append((self._clock.seconds(), what, why))
        self.changes += what in ("up", "lost", "waiting", "moved")

    def _isNews(self, reason: str) -> bool:
        now = self._clock.seconds()
        isNews = self._last[0] != reason or not 0 <= now - self._last[1] < REPEAT
        if isNews:
            self._last = (reason, now)
        return isNews

    def lacking(self) -> float:
        """
        For how many seconds there has been no way, if there is none.
        """
        return max(0.0, self._clock.seconds() - self._downSince)

    def up(self, description: str) -> None:
        """
        There is a way.
        """
        self._last = ("", float("-inf"))
        self._remember("up", description)
        self._log.info(
            "{label}: up, after {lacking:.0f} s without a way: {description}",
            label=self._label,
            lacking=self.lacking(),
            description=description,
            event="session-up",
        )

    def down(self) -> None:
        """
        There is none any more; L{waiting} or L{tryingOn} says so.
        """
        self._downSince = self._clock.seconds()

    def waiting(self, reason: str, delay: float) -> None:
        """
        The next try is after C{delay} seconds.
        """
        if self._isNews(reason):
            self._remember("waiting", reason)
        self._log.warn(
            "{label}: {reason}; no way for {lacking:.0f} s, next try in {delay:.1f} s",
            label=self._label,
            reason=reason,
            lacking=self.lacking(),
            delay=float(delay),
            event="session-waiting",
        )

    def tryingOn(self, reason: str) -> None:
        """
        The way is lost while another one is being made.
        """
        self._remember("lost", reason)
        self._log.warn(
            "{label}: {reason}; the next try is under way", label=self._label, reason=reason, event="session-lost"
        )

    def renewing(self, reason: str) -> None:
        """
        Another way is being made.
        """
        self._remember("renewing", reason)
        self._log.info(
            "{label}: making another way, {reason}", label=self._label, reason=reason, event="session-renewing"
        )

    def kept(self, reason: str, delay: float) -> None:
        """
        It was not made.
        """
        self._log.warn(
            "{label}: still up, but there is no other way: {reason}; next try in {delay:.1f} s",
            label=self._label,
            reason=reason,
            delay=float(delay),
            event="session-not-renewed",
        )

    def moved(self, description: str) -> None:
        """
        It is in use.
        """
        self._last = ("", float("-inf"))
        self._remember("moved", description)
        self._log.info(
            "{label}: moved to {description}", label=self._label, description=description, event="session-moved"
        )

    def stopped(self, state: str, since: float) -> None:
        """
        Nothing is tried any more.

        @param state: What it was until now, and since when.
        """
        lasted = max(0.0, self._clock.seconds() - since)
        self._log.info(
            "{label}: stopped, {state} for {lasted:.0f} s",
            label=self._label,
            state=state,
            lasted=lasted,
            event="session-stopped",
        )
