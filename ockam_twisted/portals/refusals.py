"""
How often a portal says that it refuses somebody.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

#: Seconds between two lines for the same reason.
INTERVAL = 10.0

#: How many reasons are told apart.
_MAX_REASONS = 16


class Refusals:
    """
    Logs reasons, each one at most once in a while: a client that tries again
    and again does not fill a disk.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, text: str) -> None:
        """
        @param text: The log line, with C{{reason}} in it.
        """
        self._clock = clock
        self._text = text
        self._last: dict[str, float] = {}

    def log(self, reason: str) -> None:
        """
        Somebody was refused.
        """
        now = self._clock.seconds()
        if now - self._last.get(reason, float("-inf")) < INTERVAL:
            return
        if len(self._last) >= _MAX_REASONS:
            self._last.clear()
        self._last[reason] = now
        self._log.warn(self._text, reason=reason)
