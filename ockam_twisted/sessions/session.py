"""
A session keeps one way alive: it makes an attempt, watches what came of it,
and begins again, for ever (design, section 8).  What follows what is in
L{ockam_twisted.sessions.life}, whether the far end lives is for
L{ockam_twisted.sessions.watch}, when what is in use is to be replaced for
L{ockam_twisted.sessions.renewal}; here is what is done then.

Nothing else in this package retries.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.errors import NotAccepted, OckamError
from ockam_twisted.interfaces import IAttempt, IRotation, IWay
from ockam_twisted.routing.addresses import Route, printable
from ockam_twisted.sessions.backoff import delayAfter
from ockam_twisted.sessions.failures import NETWORK_ERRORS, REFUSALS, reasonOf
from ockam_twisted.sessions.life import Established, Life, State, makeLife
from ockam_twisted.sessions.renewal import RENEW_AFTER, RENEW_BYTES, Renewal
from ockam_twisted.sessions.report import Report
from ockam_twisted.sessions.static import StaticWay
from ockam_twisted.sessions.watch import Watch

__all__ = ["NETWORK_ERRORS", "REFUSALS", "Established", "Session", "State", "StaticWay"]

#: Seconds between two attempts that were asked for.
ASKED_DELAY = 1.0

#: Seconds one attempt may take.
ATTEMPT_TIMEOUT = 30.0
#: A way that was up for so many seconds begins again without delay; of one whose
#: far end has answered, so many failures are remembered, at most.
STABLE, WORKED = 10.0, 2


@implementer(IWay)
class Session(Service):
    """
    See L{IWay} and the module.

    @ivar label: What it keeps alive, for people; begins its log lines.
    @ivar state: Where it is.
    @ivar since: When it came there, on its clock.
    @ivar report: What it says of itself.
    @ivar established: What the last successful attempt made, while it is up.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        attempt: IAttempt,
        label: str,
        uniform: Callable[[float, float], float] = random.uniform,
        renewAfter: float = RENEW_AFTER,
        renewBytes: int = RENEW_BYTES,
    ) -> None:
        """
        @param uniform: Picks a number between two others, for jitter.
        @param renewAfter: Seconds after which what is in use is replaced;
            somewhat less, so that not all are at once.
        @param renewBytes: How many bytes it may have carried before that.
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
        self.report = Report(clock, label)
        self._tick = LoopingCall(self._look)
        self._tick.clock = clock
        self._life: Life = makeLife(self)
        self._watch: Watch | None = None
        self._renewal = Renewal(clock, uniform, renewAfter, renewBytes)

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
        elif self._refused and 0 <= self._clock.seconds() - self.since < ASKED_DELAY:
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

    @property
    def isSuspect(self) -> bool:
        """
        See L{IWay.isSuspect}.
        """
        return self._watch is not None and self._watch.isSuspect

    @property
    def nextTry(self) -> float | None:
        """
        When it tries again, on its clock; L{None} if it does not wait for
        that.
        """
        return None if self._retry is None else self._retry.getTime()

    def suspect(self, reason: str, route: Route | None = None) -> None:
        """
        See L{IWay.suspect}.
        """
        if self._watch is not None and route in (None, self.route):
            self._watch.suspect(reason)

    def leave(self, reason: str) -> None:
        """
        What is in use will end soon: make another one before that, over
        another way if there is one, and move on to it.

        @param reason: Why, for people.
        """
        if self._watch is not None and self._renewal.leave(reason):
            if IRotation.providedBy(self._attempt):
                self._attempt.moveOn()
            self._renewIfDue()

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
        elif self._watch is not None and self._watch.answers:
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
        self.report.stopped(self.state.value, self.since)
        self._enter(State.IDLE)
        self._refused = False
        self.why = "it is shutting down"
        self._renewal.close()
        self._tickOrNot()

    def attempt(self) -> None:
        """
        See L{Core.attempt <ockam_twisted.sessions.life.Core.attempt>}.
        """
        self._retry = None
        self._refused = False
        self._enter(State.TRYING)
        self._try()

    def _try(self) -> None:
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
        reason = reasonOf(failure, ATTEMPT_TIMEOUT)
        if not failure.check(OckamError, CancelledError, DeferredTimeout, *NETWORK_ERRORS):
            self._log.failure("{label}: an attempt failed", failure, label=self.label, event="attempt-failed")
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
        # What an attempt has taken counts: it may have waited at a relay.
        tried = self._clock.seconds() - self.since if self.state is State.TRYING else 0.0
        self._enter(State.WAITING)
        self.why = reason
        delay = delayAfter(self._failures, tried, self._uniform)
        self._failures += 1
        self.report.waiting(reason, delay)
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
        self.report.up(established.description)
        self._use(established)

    def _use(self, established: Established) -> None:
        self.established = established
        self.why = ""
        self._watch = Watch(self._clock, established, self.label, self._uniform)
        self._renewal.used(established)
        established.word.gone = partial(self._hinted, established)
        established.word.leaving = partial(self._warned, established)
        self._tickOrNot()
        for listener in list(self._listeners.values()):
            listener(established.route)
        while self._waiting:
            # One of them may cancel another one.
            self._waiting.pop(0).callback(established.route)
        established.lost.addCallback(self._ended, established)

    def _hinted(self, established: Established, reason: str) -> None:
        if self._watch is not None and self._watch.established is established:
            self._watch.hint(reason)

    def _warned(self, established: Established, reason: str) -> None:
        if established is self.established:
            self.leave(reason)

    def _tickOrNot(self) -> None:
        isNeeded = self._watch is not None or bool(self._renewal.retired)
        if isNeeded and not self._tick.running:
            self._tick.start(1.0, now=False)
        elif self._tick.running and not isNeeded:
            self._tick.stop()

    def _look(self) -> None:
        """
        Once a second.
        """
        self._renewal.look()
        if self._watch is not None:
            reason = self._watch.look()
            if reason:
                self._life.lost(reason)
            else:
                self._renewIfDue()
        self._tickOrNot()

    def _ended(self, reason: str, established: Established) -> None:
        if established is self.established:
            self._life.lost(printable(reason))
        else:
            self._renewal.ended(established)

    def goDown(self) -> float:
        """
        See L{Core.goDown <ockam_twisted.sessions.life.Core.goDown>}.
        """
        established, watch, self.established, self._watch = self.established, self._watch, None, None
        assert established is not None and watch is not None
        lasted = self._clock.seconds() - self.since
        self.report.down()
        self._failures = 0 if lasted >= STABLE else min(self._failures, WORKED if watch.answers else self._failures)
        self._tickOrNot()
        for listener in list(self._listeners.values()):
            listener(None)
        established.close()
        return lasted

    # ------------------------------------------------------------- renewal

    def _renewIfDue(self) -> None:
        established = self.established
        if self.state is not State.UP or established is None:
            return
        if self._renewal.isDue(established):
            self._life.renew(self._renewal.reason)

    def renew(self, reason: str) -> None:
        """
        See L{Core.renew <ockam_twisted.sessions.life.Core.renew>}.
        """
        # It is up, and has been since the same time.
        self.state = State.RENEWING
        self._renewal.begun()
        if not self._renewal.failures:
            self.report.renewing(reason)
        self._try()

    def replace(self, established: Established) -> None:
        """
        See L{Core.replace <ockam_twisted.sessions.life.Core.replace>}.
        """
        self.state = State.UP
        assert self._watch is not None
        self._renewal.retire(self._watch)
        self.report.moved(established.description)
        self._use(established)

    def keep(self, reason: str) -> None:
        """
        See L{Core.keep <ockam_twisted.sessions.life.Core.keep>}.
        """
        self.state = State.UP
        delay = delayAfter(self._renewal.failures, 0.0, self._uniform)
        self._renewal.failed(delay)
        self.report.kept(reason, delay)

    def goOn(self, reason: str) -> None:
        """
        See L{Core.goOn <ockam_twisted.sessions.life.Core.goOn>}.
        """
        self._enter(State.TRYING)
        self.why = reason
        self.report.tryingOn(reason)

    def discard(self, established: Established) -> None:
        """
        See L{Core.discard <ockam_twisted.sessions.life.Core.discard>}.
        """
        established.close()
