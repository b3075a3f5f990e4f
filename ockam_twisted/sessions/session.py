"""
A session keeps one way alive: it makes an attempt, watches what came of it,
and begins again, for ever (design, section 8).  What follows what is in
L{ockam_twisted.sessions.life}; here is what is done then.

Nothing else in this package retries.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import Enum

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionLost, DNSLookupError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.errors import (
    EnrollmentRefused,
    IdentityRefused,
    InvalidTicket,
    NotAccepted,
    OckamError,
    PeerNotTrusted,
)
from ockam_twisted.interfaces import IAttempt, IWay
from ockam_twisted.routing.addresses import Route, printable
from ockam_twisted.sessions.life import Established, Life, makeLife

__all__ = ["Established", "Session", "State", "StaticWay"]

#: What a dial may end with.
NETWORK_ERRORS = (ConnectError, ConnectingCancelledError, ConnectionLost, DNSLookupError, OSError)

#: What somebody has to do something about, rather than wait.
REFUSALS = (NotAccepted, PeerNotTrusted, IdentityRefused, EnrollmentRefused, InvalidTicket)

#: Seconds between two attempts that were asked for.
ASKED_DELAY = 1.0

#: Seconds between attempts: the first, and the most.
FIRST_DELAY = 0.1
LONGEST_DELAY = 30.0
#: Seconds one attempt may take.
ATTEMPT_TIMEOUT = 30.0
#: Seconds of silence before a ping, and before the way is down.
PING_AFTER = 8.0
DOWN_AFTER = 25.0
#: Seconds a ping may take when somebody has already waited in vain.
SUSPECT_TIMEOUT = 5.0
#: So many seconds between two looks, which are one second apart, were not
#: silence of the far end: this machine slept, or this process was stopped.
SLEPT_AFTER = 4.0
#: A way that was up for so many seconds begins again without delay.
STABLE = 10.0
#: The same failure is logged again after so many seconds.
REPEAT = 300.0


class State(Enum):
    """
    Where a session is in its life.
    """

    IDLE = "idle"
    TRYING = "trying"
    WAITING = "waiting"
    UP = "up"


@implementer(IWay)
class Session(Service):
    """
    See L{IWay} and the module.

    @ivar label: What it keeps alive, for people; begins its log lines.
    @ivar state: Where it is.
    @ivar since: When it came there, on its clock.
    @ivar established: What the last successful attempt made, while it is up.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        attempt: IAttempt,
        label: str,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """
        @param uniform: Picks a number between two others, for jitter.
        """
        self.label = label
        self.state = State.IDLE
        self.since = clock.seconds()
        self.why = "the first attempt is still under way"
        self.established: Established | None = None
        self._clock = clock
        self._attempt = attempt
        self._uniform = uniform
        self._failures = 0
        self._refused = False
        self._trying: Deferred[Established] | None = None
        self._retry: IDelayedCall | None = None
        self._waiting: list[Deferred[Route]] = []
        self._listeners: dict[object, Callable[[Route | None], None]] = {}
        self._logged = ("", float("-inf"))
        self._tick = LoopingCall(self._look)
        self._tick.clock = clock
        self._life: Life = makeLife(self)
        self._heard = 0
        self._lastHeard = 0.0
        self._pingAt = 0.0
        self._looked = 0.0
        self._answers = False
        self._downAt: float | None = None

    # ----------------------------------------------------------------- way

    @property
    def route(self) -> Route | None:
        """
        See L{IWay.route}.
        """
        return None if self.established is None else self.established.route

    def whenUp(self) -> Deferred[Route]:
        """
        See L{IWay.whenUp}.
        """
        waiting: Deferred[Route] = Deferred(lambda d: self._waiting.remove(d) if d in self._waiting else None)
        if self.established is not None:
            waiting.callback(self.established.route)
        elif self._refused and self._clock.seconds() - self.since < ASKED_DELAY:
            waiting.errback(NotAccepted(self.why))
        else:
            self._waiting.append(waiting)
            if self._refused:
                # Perhaps somebody has done something about it.
                self.cancelWait()
                self._life.due()
        return waiting

    def changed(self, listener: Callable[[Route | None], None]) -> Callable[[], None]:
        """
        See L{IWay.changed}.
        """
        key = object()
        self._listeners[key] = listener
        return lambda: self._listeners.pop(key, None) and None

    def suspect(self, reason: str) -> None:
        """
        See L{IWay.suspect}.
        """
        established = self.established
        if established is not None and self._downAt is None:
            self._downAt = self._clock.seconds() + SUSPECT_TIMEOUT
            established.ping(SUSPECT_TIMEOUT).addBoth(lambda _: None)

    def networkChanged(self) -> None:
        """
        The network is another one: what waits for its next attempt makes it
        now, and what is up shows within L{SUSPECT_TIMEOUT} seconds whether
        it still is.
        """
        if self.state is State.WAITING:
            self.cancelWait()
            self._failures = 0
            self._life.due()
        elif self.state is State.UP and self._answers:
            self.suspect("the network has changed")

    # ------------------------------------------------------------ attempts

    def startService(self) -> None:
        """
        Begin.
        """
        super().startService()
        self._life.start()

    def stopService(self) -> None:
        """
        End the way and try no more.
        """
        super().stopService()
        self._life.stop()

    def _enter(self, state: State) -> None:
        self.state = state
        self.since = self._clock.seconds()

    def rest(self) -> None:
        """
        See L{Core.rest <ockam_twisted.sessions.life.Core.rest>}.
        """
        self._enter(State.IDLE)
        self.why = "it is shutting down"

    def attempt(self) -> None:
        """
        See L{Core.attempt <ockam_twisted.sessions.life.Core.attempt>}.
        """
        self._retry = None
        self._refused = False
        self._enter(State.TRYING)
        attempt = self._trying = self._attempt.start()
        attempt.addTimeout(ATTEMPT_TIMEOUT, self._clock)
        attempt.addCallbacks(self._succeeded, self._failed)

    def cancelAttempt(self) -> None:
        """
        See L{Core.cancelAttempt <ockam_twisted.sessions.life.Core.cancelAttempt>}.
        """
        if self._trying is not None:
            self._trying.cancel()

    def _succeeded(self, established: Established) -> None:
        self._trying = None
        self._life.succeeded(established)

    def _failed(self, failure: Failure) -> None:
        self._trying = None
        if failure.check(DeferredTimeout):
            reason = f"no success within {ATTEMPT_TIMEOUT:.0f} s"
        else:
            # Names of hosts and what peers say end up in here.
            reason = printable(failure.getErrorMessage() or type(failure.value).__name__)
            if not failure.check(OckamError, CancelledError, *NETWORK_ERRORS):
                self._log.failure("{label}: an attempt failed", failure, label=self.label)
        refused = failure.check(*REFUSALS) is not None
        self._life.failed(reason)
        if refused and self.state is State.WAITING:
            self._refused = True
            # Their clients need not wait for what will not come by itself.
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.errback(NotAccepted(reason))

    def wait(self, reason: str) -> None:
        """
        See L{Core.wait <ockam_twisted.sessions.life.Core.wait>}.
        """
        self._enter(State.WAITING)
        self.why = reason
        longest = min(FIRST_DELAY * 2**self._failures, LONGEST_DELAY)
        self._failures += 1
        delay = self._uniform(longest / 2, longest)
        now = self._clock.seconds()
        if self._logged[0] != reason or now - self._logged[1] >= REPEAT:
            self._logged = (reason, now)
            self._log.warn("{label}: {reason}; next try in {delay:.1f} s", label=self.label, reason=reason, delay=delay)
        self._retry = self._clock.callLater(delay, self._life.due)

    def cancelWait(self) -> None:
        """
        See L{Core.cancelWait <ockam_twisted.sessions.life.Core.cancelWait>}.
        """
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    # ------------------------------------------------------------------ up

    def comeUp(self, established: Established) -> None:
        """
        See L{Core.comeUp <ockam_twisted.sessions.life.Core.comeUp>}.
        """
        self._enter(State.UP)
        self.established = established
        self.why = ""
        self._logged = ("", float("-inf"))
        self._log.info("{label}: up, {description}", label=self.label, description=established.description)
        self._heard = established.heard()
        self._lastHeard = self._looked = self._clock.seconds()
        self._pingAt = self._uniform(0.75, 1.0) * PING_AFTER
        self._answers = False
        self._downAt = None
        self._tick.start(1.0, now=False)
        established.ping(DOWN_AFTER).addCallbacks(self._answered, lambda failure: None, callbackArgs=(established,))
        for listener in list(self._listeners.values()):
            listener(established.route)
        while self._waiting:
            # One of them may cancel another one.
            self._waiting.pop(0).callback(established.route)
        established.lost.addCallback(self._ended, established)

    def _answered(self, answer: object, established: Established) -> None:
        if established is self.established:
            self._answers = True

    def _look(self) -> None:
        """
        Once a second: was the far end heard?
        """
        established = self.established
        if established is None:
            return
        now = self._clock.seconds()
        slept, self._looked = now - self._looked, now
        heard = established.heard()
        if slept >= SLEPT_AFTER and self._answers:
            # Nobody has read what came meanwhile: ask again.
            self._lastHeard, self._pingAt = now, PING_AFTER
            self._log.info(
                "{label}: this node did not run for {slept:.0f} s: is the other end still there?",
                label=self.label,
                slept=slept,
            )
            self.suspect("this node did not run for a while")
            return
        if heard != self._heard:
            self._heard = heard
            self._lastHeard = now
            self._pingAt = self._uniform(0.75, 1.0) * PING_AFTER
            self._downAt = None
            return
        silent = now - self._lastHeard
        if self._answers and (silent >= DOWN_AFTER or (self._downAt is not None and now >= self._downAt)):
            self._life.lost(f"nothing heard for {silent:.0f} s")
        elif silent >= self._pingAt:
            self._pingAt = silent + self._uniform(0.75, 1.0) * PING_AFTER
            established.ping(DOWN_AFTER).addCallbacks(self._answered, lambda failure: None, callbackArgs=(established,))

    def _ended(self, reason: str, established: Established) -> None:
        if established is self.established:
            self._life.lost(printable(reason))

    def goDown(self) -> float:
        """
        See L{Core.goDown <ockam_twisted.sessions.life.Core.goDown>}.
        """
        established, self.established = self.established, None
        assert established is not None
        lasted = self._clock.seconds() - self.since
        if lasted >= STABLE:
            self._failures = 0
        if self._tick.running:
            self._tick.stop()
        for listener in list(self._listeners.values()):
            listener(None)
        established.close()
        return lasted

    def discard(self, established: Established) -> None:
        """
        See L{Core.discard <ockam_twisted.sessions.life.Core.discard>}.
        """
        established.close()


@implementer(IWay)
class StaticWay:
    """
    A way that somebody else has made and keeps: always up.
    """

    why = ""

    def __init__(self, route: Route) -> None:
        self.route: Route | None = route
        self._route = route

    def whenUp(self) -> Deferred[Route]:
        """
        See L{IWay.whenUp}.
        """
        up: Deferred[Route] = Deferred()
        up.callback(self._route)
        return up

    def suspect(self, reason: str) -> None:
        """
        See L{IWay.suspect}.
        """

    def changed(self, listener: Callable[[Route | None], None]) -> Callable[[], None]:
        """
        See L{IWay.changed}.
        """
        return lambda: None
