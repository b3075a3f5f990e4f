"""
What is in use is replaced before it is lost: because its keys grow old, or
because somebody on the way will go.  Another one is made first, and what was
replaced lives on for as long as somebody uses it (design, section 8).
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from ockam_twisted.sessions.life import Established
from ockam_twisted.sessions.watch import Watch

#: What is in use is replaced after so many seconds, or when it has carried so
#: many bytes: a stolen session key opens no more.
RENEW_AFTER = 3600.0
RENEW_BYTES = 64 << 30
#: Seconds between two replacements that others ask for, at least: a relay
#: that lies costs no more than that.
LEAVE_DELAY = 10.0
#: Seconds that what was replaced lives on for what is still under way.
RETIRE_DELAY = 1.0
#: How many replaced ones may still be in use; with more, none is replaced.
MAX_RETIRED = 8

_NEVER = float("inf")


class Renewal:
    """
    See the module.

    @ivar failures: How many attempts at replacing what is in use now have
        failed.
    @ivar reason: Why it is to be replaced.
    @ivar retired: What was replaced and has not ended.
    """

    def __init__(self, clock: IReactorTime, uniform: Callable[[float, float], float], after: float, limit: int) -> None:
        """
        @param uniform: Picks a number between two others.
        @param after: Seconds after which what is in use is replaced.
        @param limit: Bytes it may have carried before that.
        """
        self.failures = 0
        self.reason = ""
        self.retired: list[Watch] = []
        self._clock = clock
        self._uniform = uniform
        self._after = after
        self._limit = limit
        self._at = _NEVER
        self._began = -_NEVER

    def used(self, established: Established) -> None:
        """
        From now on this is in use.
        """
        self.failures = 0
        self.reason = "its keys have been in use for long"
        # Not all that began together at once.
        wears = established.carried is not None and not established.isPatient
        self._at = self._clock.seconds() + self._uniform(0.9, 1.0) * self._after if wears else _NEVER

    def leave(self, reason: str) -> bool:
        """
        It shall be replaced now, or as soon as that is permitted.

        @return: L{False} if that is on its way already.
        """
        now = self._clock.seconds()
        # The clock may have been set back.
        at = max(now, min(self._began, now) + LEAVE_DELAY)
        if self._at <= at:
            return False
        self._at, self.reason = at, reason
        return True

    def isDue(self, established: Established) -> bool:
        """
        Is it time?
        """
        carried = established.carried
        if carried is not None and not self.failures and carried() >= self._limit:
            self._at = -_NEVER
        return self._clock.seconds() >= self._at and len(self.retired) < MAX_RETIRED

    def begun(self) -> None:
        """
        An attempt begins.
        """
        self._began = self._clock.seconds()

    def failed(self, delay: float) -> None:
        """
        It has failed; there is another one after C{delay} seconds.
        """
        self.failures += 1
        self._at = self._clock.seconds() + delay

    # ------------------------------------------------------------- retired

    def retire(self, watch: Watch) -> None:
        """
        Another one has come in its place.
        """
        watch.replaced = self._clock.seconds()
        self.retired.append(watch)

    def look(self) -> None:
        """
        Once a second: end what is lost, or used by nobody.
        """
        until = self._clock.seconds() - RETIRE_DELAY
        for watch in list(self.retired):
            if watch.look() or not (watch.replaced > until or watch.established.isUsed()):
                self._end(watch)

    def ended(self, established: Established) -> None:
        """
        Something has ended by itself.
        """
        for watch in [each for each in self.retired if each.established is established]:
            self._end(watch)

    def _end(self, watch: Watch) -> None:
        self.retired.remove(watch)
        watch.established.close()

    def close(self) -> None:
        """
        End all that was replaced.
        """
        while self.retired:
            self.retired.pop().established.close()
