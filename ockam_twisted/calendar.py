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

from ockam_twisted.clocks import sinceBoot
from ockam_twisted.interfaces import IIdentityStore

#: How many cancelled entries are kept at least before they are looked for.
_SLACK = 64

#: Seconds between two looks at the clocks.
TICK = 1.0

#: Seconds that a clock may be behind before nothing is believed any more
#: (clocks of two machines may differ as much).
TOLERATED = 60

#: Where the newest time is kept, and how often, seconds.
NEWEST = "newest-time"
NOTED_EVERY = 60


class Calendar(Service):
    """
    See the module.

    @ivar setBack: Called when the wall clock has been set back by more than
        L{TOLERATED} seconds.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        wall: Callable[[], float] = time.time,
        boot: Callable[[], float] = sinceBoot,
        store: IIdentityStore | None = None,
    ) -> None:
        """
        @param store: Where the newest time that was ever seen is kept.
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
        self._live = 0
        self._offset = wall() - boot()
        self._store = store
        self._noted = 0

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
        if len(self._waiting) > 2 * self._live + _SLACK:
            self._compact()
        self._live += 1
        heapq.heappush(self._waiting, (float(when), number, entry))
        heapq.heappush(self._byBoot, (self._boot() + when - self._wall(), number, entry))

        def cancel() -> None:
            if entry:
                entry.clear()
                self._live -= 1

        return cancel

    def _compact(self) -> None:
        """
        Forget what was cancelled: a peer may present credentials without end.
        """
        for heap in (self._waiting, self._byBoot):
            heap[:] = [each for each in heap if each[2]]
            heapq.heapify(heap)

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

    def checkNewest(self) -> None:
        """
        Was the clock set back while the node did not run?
        """
        stored = None if self._store is None else self._store.setting(NEWEST)
        newest = int(stored) if stored is not None and stored.isdigit() else 0
        if self.now() < newest - TOLERATED:
            self._wasSetBack(newest - self.now())

    def _wasSetBack(self, seconds: float) -> None:
        self._log.warn(
            "The clock is {seconds} s behind what it was: no ticket and no stored credential counts any more",
            seconds=int(seconds),
            audit="changed",
            event="clock-behind",
        )
        for call in list(self.setBack):
            try:
                call()
            except Exception:
                self._log.failure("That the clock was set back was not followed", event="clock-behind-failed")
        self._note()

    def _note(self) -> None:
        self._noted = self.now()
        if self._store is not None:
            self._store.storeSetting(NEWEST, b"%d" % self._noted).addErrback(
                lambda failure: self._log.warn(
                    "The time was not stored: {reason}", reason=failure.getErrorMessage(), event="time-not-stored"
                )
            )

    def look(self) -> None:
        """
        Look at the clocks now.
        """
        wall, boot = self._wall(), self._boot()
        if wall - boot < self._offset - TOLERATED:
            behind = self._offset - (wall - boot)
            self._offset = wall - boot
            self._wasSetBack(behind)
        if not self._noted <= self.now() < self._noted + NOTED_EVERY:
            self._note()
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
                self._live -= 1
                try:
                    call()
                except Exception:
                    # One deadline must not keep another from coming.
                    self._log.failure("What was to happen now did not", event="deadline-failed")
