"""
How often a portal says that it refuses somebody.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

#: Seconds between two lines for the same reason.
INTERVAL = 10.0

#: How many reasons are told apart.
_MAX_REASONS = 16


class Refusals:
    """
    Finds out which reasons are worth a line: each one at most once in a
    while, so that a client that tries again and again does not fill a disk.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}

    def isNews(self, reason: str) -> bool:
        """
        Somebody was refused: should it be logged?
        """
        now = self._clock.seconds()
        if now - self._last.get(reason, float("-inf")) < INTERVAL:
            return False
        if len(self._last) >= _MAX_REASONS:
            self._last.clear()
        self._last[reason] = now
        return True
