"""
How an end of a portal says that it refuses somebody: to the far end, and in the
log.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from ockam_twisted.routing.addresses import printable
from ockam_twisted.wire.extension import REASONS, Reset, encodeExtension

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


def refusal(code: int, reason: str) -> bytes:
    """
    What is said to an inlet that knows the extension and gets no stream.
    """
    return encodeExtension(Reset(code, 0, reason))


def reasonOf(reset: Reset) -> str:
    """
    Why a stream was reset, in words fit for a log.
    """
    words = REASONS.get(reset.code, f"code {reset.code}")
    text = printable(reset.text)
    return words if not text or text == words else f"{words}: {text}"
