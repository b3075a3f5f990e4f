"""
How late a node is: the time between when something was due and when the
reactor came to it.  Whatever keeps the process from its work shows here.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall

#: Seconds between two looks, and how many looks are remembered.
INTERVAL = 1.0
REMEMBERED = 60


class LoopLag(Service):
    """
    See the module.

    @ivar last: At the last look, seconds.
    @ivar looks: How many looks there were.
    """

    def __init__(self, clock: Any) -> None:
        """
        @param clock: The reactor.
        """
        self.last = 0.0
        self.looks = 0
        self._clock = clock
        self._recent: deque[float] = deque(maxlen=REMEMBERED)
        self._call: IDelayedCall | None = None
        self._due = 0.0

    @property
    def most(self) -> float:
        """
        The most of the last minute, seconds.
        """
        return max(self._recent, default=0.0)

    def startService(self) -> None:
        """
        Begin to look.
        """
        super().startService()
        self._wait()

    def stopService(self) -> None:
        """
        Look no more.
        """
        super().stopService()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _wait(self) -> None:
        self._due = self._clock.seconds() + INTERVAL
        self._call = self._clock.callLater(INTERVAL, self._look)

    def _look(self) -> None:
        # Below zero the clock was set back: nothing is known then.
        self.last = max(0.0, self._clock.seconds() - self._due)
        self._recent.append(self.last)
        self.looks += 1
        self._wait()
