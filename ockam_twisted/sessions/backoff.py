"""
How long a session waits between two attempts (design, section 8).
"""

from __future__ import annotations

from collections.abc import Callable

#: Seconds between attempts: the first, and the most.
FIRST_DELAY = 0.1
LONGEST_DELAY = 30.0


def delayAfter(failures: int, tried: float, uniform: Callable[[float, float], float]) -> float:
    """
    @param failures: How many attempts have failed before this one.
    @param tried: Seconds that this one has taken.  They count: it may have
        waited at a relay all the time.
    @param uniform: Picks a number between two others, for jitter.
    @return: Seconds until the next attempt.
    """
    longest = min(FIRST_DELAY * 2.0 ** min(failures, 64), LONGEST_DELAY)
    delay = uniform(longest / 2, longest)
    return max(delay - max(0.0, tried), min(delay, FIRST_DELAY / 2))
