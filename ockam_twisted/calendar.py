"""
The calendar: what is to happen at a time of day, although clocks are set and
machines sleep.

A deadline has come as soon as either the wall clock says so, or as much time
has passed on the clock that goes on while the machine is suspended.  The
first sees time pass while the node was not running, the second cannot be set
back.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from itertools import count

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

#: Seconds between two looks at the clocks.
TICK = 1.0

#: Seconds that a clock may be behind before nothing is believed any more
#: (clocks of two machines may differ as much).
TOLERATED = 60


def _sinceBoot() -> float:
    """
    Seconds on the clock that nobody can set and that does not stop.
    """
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Calendar(Service):
    """
    See the module.

    @ivar setBack: Called when the wall clock has been set back by more than
        L{TOLERATED} seconds.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, wall: Callable[[], float] = time.time, boot: Callable[[], float] = _sinceBoot
    ) -> None:
        """
        @param wall: The wall clock, seconds since the Unix epoch.
        @param boot: A clock that only goes forward, seconds.
        """
        self.setBack: list[Callable[[], object]] = []
        self._clock = clock
        self._wall = wall
        self._boot = boot
        self._tick: IDelayedCall | None = None
        self._waiting: list[tuple[float, int, list[Callable[[], object]]]] = []
        self._byBoot: list[tuple[float, int, list[Callable[[], object]]]] = []
        self._number = count()
        self._offset = wall() - boot()

    def now(self) -> int:
        """
        Whole seconds since the Unix epoch.
        """
        return int(self._wall())

    def at(self, when: int, call: Callable[[], object]) -> Callable[[], None]:
        """
        Call something once when C{when} has come, within a second.

        @param when: Epoch seconds.
        @return: Cancels it.
        """
        entry = [call]
        number = next(self._number)
        heapq.heappush(self._waiting, (float(when), number, entry))
        heapq.heappush(self._byBoot, (self._boot() + when - self._wall(), number, entry))
        return entry.clear

    def startService(self) -> None:
        """
        Look at the clocks from now on.
        """
        super().startService()
        self._again()

    def stopService(self) -> None:
        """
        Nothing happens any more.
        """
        super().stopService()
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def _again(self) -> None:
        self._tick = self._clock.callLater(TICK, self._look)

    def _look(self) -> None:
        self._again()
        self.look()

    def look(self) -> None:
        """
        Look at the clocks now.
        """
        wall, boot = self._wall(), self._boot()
        if wall - boot < self._offset - TOLERATED:
            self._log.warn(
                "The clock was set back by {seconds} s: tickets and credentials that depend on it count no more",
                seconds=int(self._offset - (wall - boot)),
            )
            self._offset = wall - boot
            for call in list(self.setBack):
                call()
        # A clock that is set forward may be set back again.
        self._offset = max(self._offset, wall - boot)
        self._fire(self._waiting, wall)
        self._fire(self._byBoot, boot)

    def _fire(self, waiting: list[tuple[float, int, list[Callable[[], object]]]], now: float) -> None:
        while waiting and (waiting[0][0] <= now or not waiting[0][2]):
            entry = heapq.heappop(waiting)[2]
            if entry:
                [call] = entry
                entry.clear()
                call()
