"""
Does the far end of a way still live?  Any byte of it counts; after a while of
silence it is asked (design, section 8).  Over a road that keeps what is sent for
who is away, silence means nothing, and nobody asks but for a word from the way.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ockam_twisted.sessions.life import Established

#: Seconds of silence before a ping, and before the way is down.
PING_AFTER = 8.0
DOWN_AFTER = 25.0
#: Seconds that a message may take to arrive while nothing else is heard: who is
#: on the way must not keep a dead way up with a byte now and then.
LONGEST_ARRIVAL = 90.0
#: Seconds a ping may take when somebody has already waited in vain.
SUSPECT_TIMEOUT = 5.0
#: The same when somebody on the way says that the rest of it is gone.
HINT_TIMEOUT = 2.0
#: Seconds between two questions that such words lead to.
HINT_DELAY = 1.0
#: So many seconds between two looks, which are one second apart, were not
#: silence of the far end: this machine slept, or this process was stopped.
SLEPT_AFTER = 4.0


class Watch:
    """
    See the module.

    @ivar established: What it looks at.
    @ivar since: When that came to be, on the clock.
    @ivar answers: Has the far end ever answered?  What never has is not given
        up for its silence.
    @ivar replaced: When another one came in its place, on the clock.
    """

    replaced = float("inf")
    _log = Logger()

    def __init__(
        self, clock: IReactorTime, established: Established, label: str, uniform: Callable[[float, float], float]
    ) -> None:
        """
        @param label: Of whom it is, for people.
        @param uniform: Picks a number between two others, for jitter.
        """
        self.established = established
        self.since = clock.seconds()
        self.answers = established.isPatient
        self._clock = clock
        self._label = label
        self._uniform = uniform
        self._heard = established.heard()
        self._lastHeard = self._looked = self.since
        self._pingAt = self._jittered()
        # Since when it is silent, whatever the reason, and what was arriving at
        # the last look.
        self._silentSince = self.since
        self._arriving: tuple[int, int] | None = None
        self._downAt: float | None = None
        self._suspicion = ""
        self._within = SUSPECT_TIMEOUT
        self._hint = ""
        self._hintedAt = float("-inf")
        if not established.isPatient:
            self._ping(DOWN_AFTER)

    def _jittered(self) -> float:
        return self._uniform(0.75, 1.0) * PING_AFTER

    def _ping(self, timeout: float) -> None:
        began = self._clock.seconds()

        def answered(answer: object) -> None:
            self.answers = True
            self.established.word.roundTrip = max(0.0, self._clock.seconds() - began)

        self.established.ping(timeout).addCallbacks(answered, lambda failure: None)

    @property
    def isSuspect(self) -> bool:
        """
        Was it asked for a reason, and has not answered?
        """
        return self._downAt is not None

    def suspect(self, reason: str, within: float = SUSPECT_TIMEOUT) -> None:
        """
        Ask now, unless it is being asked already; it is down if nothing is
        heard.

        @param reason: Why, for people.
        @param within: Seconds it has.
        """
        if not self.established.isPatient:
            self._suspect(reason, within)

    def _suspect(self, reason: str, within: float) -> None:
        now, heard = self._clock.seconds(), self.established.heard()
        if heard != self._heard:
            # It was heard before, which does not count, and has answered if
            # it was asked before.
            self._heard, self._lastHeard, self._downAt = heard, now, None
        if self._downAt is None or self._downAt > now + within:
            isAsked = self._downAt is not None
            self._downAt = now + within
            self._suspicion = reason
            self._within = within
            if not isAsked:
                self._ping(within)

    def hint(self, reason: str) -> None:
        """
        Somebody says, without proof, that the far end is gone: ask it, but
        not more than once a second.
        """
        now = self._clock.seconds()
        if 0 <= now - self._hintedAt < HINT_DELAY:
            # Seen to at the next look.
            self._hint = reason
        else:
            self._hint, self._hintedAt = "", now
            self._suspect(reason, HINT_TIMEOUT)

    def look(self) -> str:
        """
        To be called once a second: was the far end heard?

        @return: Why it is down; empty if it is not.
        """
        why = self._judge()
        if not why and self._hint:
            self.hint(self._hint)
        return why

    def _isArriving(self, now: float) -> bool:
        """
        Is a message on its way that takes longer than from one look to the next?
        Whatever the far end says comes after it.
        """
        before, self._arriving = self._arriving, self.established.arriving()
        if before is None:
            return False
        messages, pieces = self._arriving
        isLate = now - self._silentSince >= LONGEST_ARRIVAL
        return messages == before[0] and pieces != before[1] and not isLate

    def _judge(self) -> str:
        now = self._clock.seconds()
        slept, self._looked = now - self._looked, now
        heard = self.established.heard()
        if slept < 0:
            # The clock was set back: what was to come by it comes too late.
            self._lastHeard, self._pingAt, self._downAt = now, self._jittered(), None
        if slept >= SLEPT_AFTER and self.established.isPatient:
            self._downAt = None
        elif slept >= SLEPT_AFTER and self.answers:
            # Nobody has read what came meanwhile: ask again.
            self._lastHeard, self._pingAt, self._downAt = now, PING_AFTER, None
            self._log.info(
                "{label}: this node did not run for {slept:.0f} s: is the other end still there?",
                label=self._label,
                slept=slept,
                event="node-slept",
            )
            self.suspect("this node did not run for a while")
            return ""
        if heard != self._heard:
            self._heard = heard
            self._lastHeard = self._silentSince = now
            self._pingAt = self._jittered()
            self._downAt = self._arriving = None
            return ""
        if self.established.isBlocked() or self._isArriving(now):
            # Its silence means nothing; what was suspected still has to show.
            self._lastHeard = now
            self._pingAt = self._jittered()
            if self._downAt is not None:
                self._downAt = now + self._within
            return ""
        silent = now - self._lastHeard
        isDue = self._downAt is not None and now >= self._downAt
        if self.established.isPatient and not isDue:
            return ""
        if self.answers and (silent >= DOWN_AFTER or isDue):
            why = f" ({self._suspicion})" if isDue else ""
            return f"nothing heard for {silent:.0f} s{why}"
        if silent >= self._pingAt:
            self._pingAt = silent + self._jittered()
            self._ping(DOWN_AFTER)
        return ""
