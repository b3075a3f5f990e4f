"""
How many handshakes may be begun from one place in a while.

The first message of a handshake costs its sender nothing and us a good part of
a millisecond.  Somebody behind a relay who sends many would take all our time,
over a connection that others use too.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import islice

#: Handshakes that may be begun at once, and how many more in a second.
BURST = 64
RATE = 8.0

#: How many places are remembered.
_PLACES = 1024


class Pace:
    """
    See the module.
    """

    def __init__(self, burst: int = BURST, rate: float = RATE) -> None:
        self._burst = burst
        self._rate = rate
        # In the order in which they were heard: how many more, and since when.
        self._left: dict[Hashable, tuple[float, float]] = {}

    def permits(self, place: Hashable, now: float) -> bool:
        """
        One more is to be begun.

        @return: May it?
        """
        left, since = self._left.pop(place, (float(self._burst), now))
        left = min(float(self._burst), left + max(0.0, now - since) * self._rate)
        permitted = left >= 1
        self._left[place] = (left - permitted, now)
        self._forget(now)
        return permitted

    def _forget(self, now: float) -> None:
        """
        Of whoever may begin as many as at first nothing need be known.
        """
        places = self._left
        # Two for each that comes: so they get fewer.
        for place, (_, since) in list(islice(places.items(), 2)):
            if len(places) > _PLACES or (now - since) * self._rate >= self._burst:
                del places[place]
