"""
A session explored by a machine: whatever becomes of its attempts, and of what
they make, it is where it should be, and nothing of it is left when it stops.
"""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from ockam_twisted.errors import PeerNotTrusted, TimedOut
from ockam_twisted.interfaces import IAttempt
from ockam_twisted.routing.addresses import Route
from ockam_twisted.sessions.backoff import FIRST_DELAY, LONGEST_DELAY
from ockam_twisted.sessions.renewal import MAX_RETIRED, RETIRE_DELAY
from ockam_twisted.sessions.session import ASKED_DELAY, ATTEMPT_TIMEOUT, STABLE, Established, Session, State
from ockam_twisted.sessions.watch import DOWN_AFTER, HINT_TIMEOUT, SLEPT_AFTER, SUSPECT_TIMEOUT
from tests.exploring import explore

#: When what is in use is replaced, seconds and bytes.
RENEW_AFTER, RENEW_BYTES = 100.0, 1000


class _Made:
    """
    What an attempt has made.

    @ivar closed: How often it was closed.
    @ivar number: Changes when the far end is heard.
    @ivar pings: That were not answered yet.
    @ivar hasAnswered: Was one ever?
    @ivar carried: How many bytes.
    @ivar isUsed: Would anybody notice its end?
    """

    def __init__(self, name: int, isHushed: bool) -> None:
        self.closed = self.number = self.carried = 0
        self.isUsed = False
        self.pings: list[Deferred[bytes]] = []
        self.hasAnswered = False
        self.lost: Deferred[str] = Deferred()
        self.route = Route.of(f"far {name}")
        # Says, when it is closed, that it is lost; or does not.
        self._isHushed = isHushed
        self.established = Established(
            self.route,
            self.lost,
            lambda: self.number,
            self._ping,
            self._close,
            "it",
            carried=lambda: self.carried,
            isUsed=lambda: self.isUsed,
        )

    def _ping(self, timeout: float) -> Deferred[bytes]:
        assert timeout > 0
        self.pings.append(Deferred())
        return self.pings[-1]

    def _close(self) -> None:
        self.closed += 1
        if not self._isHushed and not self.lost.called:
            self.lost.callback("closed")


@implementer(IAttempt)
class _Script:
    """
    Attempts that end as a rule says.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.trying: Deferred[Established] | None = None
        self.made: list[_Made] = []
        self.starts = 0
        self.startedAt = 0.0
        # Or has what it made gone down?
        self.hasFailed = False
        # Comes what was asked for although it was canceled?
        self.succeedsAnyway = False

    def start(self) -> Deferred[Established]:
        assert self.trying is None, "two attempts at once"
        self.starts += 1
        self.startedAt, self.hasFailed = self.clock.seconds(), True

        def cancel(trying: Deferred[Established]) -> None:
            self.trying = None
            if self.succeedsAnyway:
                trying.callback(self.make().established)

        self.trying = Deferred(cancel)
        return self.trying

    def make(self) -> _Made:
        self.hasFailed = False
        self.made.append(_Made(len(self.made), len(self.made) % 2 == 0))
        return self.made[-1]

    def end(self, result: Any) -> None:
        trying, self.trying = self.trying, None
        assert trying is not None
        trying.callback(result)


class SessionMachine(RuleBasedStateMachine):
    """
    See the module.
    """

    @initialize(seed=st.integers(0, 100))
    def begin(self, seed: int) -> None:
        self.clock = Clock()
        self.script = _Script(self.clock)
        self.session = Session(
            self.clock, self.script, "the way", random.Random(seed).uniform, RENEW_AFTER, RENEW_BYTES
        )
        self.told: list[Route | None] = []
        self.session.changed(self.told.append)
        self.waiters: list[tuple[Deferred[Route], list[Any]]] = []
        self.failures = 0
        self.upAt = self.heardAt = self.suspectedAt = 0.0
        self.isSuspected = False
        self.patience = SUSPECT_TIMEOUT
        self.usedAt = 0.0
        self.retiredAt: dict[_Made, float] = {}
        self.logged: list[Any] = []
        globalLogPublisher.addObserver(self.logged.append)

    # -------------------------------------------------------------- helpers

    @property
    def now(self) -> float:
        return self.clock.seconds()

    @property
    def inUse(self) -> _Made | None:
        """
        What is in use.
        """
        return next((each for each in self.script.made if each.established is self.session.established), None)

    def came(self) -> None:
        """
        Something new is in use.
        """
        self.heardAt = self.now
        self.isSuspected = False

    def went(self) -> None:
        """
        It has gone down by itself.
        """
        if self.now - self.upAt >= STABLE:
            self.failures = 0
        if self.session.state is State.WAITING:
            self.checkDelay()
        else:
            # An attempt was under way already.
            assert self.session.state is State.TRYING

    def checkDelay(self) -> None:
        """
        It has begun to wait.
        """
        assert self.session.state is State.WAITING
        longest = min(FIRST_DELAY * 2**self.failures, LONGEST_DELAY)
        self.failures += 1
        retry = self.session._retry
        assert retry is not None
        delay = retry.getTime() - self.now
        # What the attempt has taken counts.
        tried = self.now - self.script.startedAt if self.script.hasFailed else 0.0
        least = max(longest / 2 - tried, min(longest / 2, FIRST_DELAY / 2))
        assert least - 1e-6 <= delay <= longest + 1e-6, (delay, longest)

    # --------------------------------------------------------------- rules

    @precondition(lambda self: not self.session.running)
    @rule()
    def start(self) -> None:
        self.session.startService()
        assert self.session.state is State.TRYING

    @precondition(lambda self: self.session.running)
    @rule(anyway=st.booleans())
    def stop(self, anyway: bool) -> None:
        if self.inUse is not None and self.now - self.upAt >= STABLE:
            self.failures = 0
        self.script.succeedsAnyway = anyway
        self.session.stopService()
        self.script.succeedsAnyway = False
        assert self.session.state is State.IDLE
        assert self.script.trying is None

    @precondition(lambda self: self.script.trying is not None)
    @rule()
    def succeed(self) -> None:
        made = self.script.make()
        if self.inUse is None:
            self.upAt = self.now
        else:
            self.retiredAt[self.inUse] = self.now
        self.script.end(made.established)
        assert self.inUse is made
        self.came()
        for _, results in self.waiters:
            assert results, "somebody still waits"

    @precondition(lambda self: self.script.trying is not None)
    @rule(refused=st.booleans())
    def fail(self, refused: bool) -> None:
        waiting = [results for _, results in self.waiters if not results]
        self.script.trying, trying = None, self.script.trying
        assert trying is not None
        made = self.inUse
        trying.errback(PeerNotTrusted("no") if refused else TimedOut("nobody there"))
        assert self.inUse is made
        if made is not None:
            # What is in use stays.
            assert self.session.state is State.UP
            return
        self.checkDelay()
        assert all(results == ["NotAccepted"] if refused else not results for results in waiting)

    @precondition(lambda self: self.inUse is not None)
    @rule()
    def lose(self) -> None:
        made = self.inUse
        assert made is not None
        made.lost.callback("it broke")
        self.went()

    @rule(which=st.integers(0, 5))
    def loseOld(self, which: int) -> None:
        """
        One that is not in use any more ends, late.
        """
        old = [each for each in self.script.made if each is not self.inUse and not each.lost.called]
        if old:
            before = self.session.state
            old[which % len(old)].lost.callback("late")
            assert self.session.state is before
            assert old[which % len(old)].closed == 1

    @precondition(lambda self: self.inUse is not None)
    @rule(answers=st.booleans())
    def hear(self, answers: bool) -> None:
        made = self.inUse
        assert made is not None
        made.number += 1
        self.heardAt = self.now
        self.isSuspected = False
        if answers and made.pings:
            made.pings.pop(0).callback(b"")
            made.hasAnswered = True

    @rule(which=st.integers(0, 5))
    def pingFails(self, which: int) -> None:
        made = [each for each in self.script.made if each.pings]
        if made:
            made[which % len(made)].pings.pop(0).errback(TimedOut("no answer"))

    @rule()
    def askWhenUp(self) -> None:
        results: list[Any] = []
        waiting = self.session.whenUp()
        waiting.addCallbacks(results.append, lambda failure: results.append(failure.type.__name__))
        self.waiters.append((waiting, results))
        if self.inUse is not None:
            assert results == [self.inUse.route]

    @rule(which=st.integers(0, 5))
    def cancelWaiter(self, which: int) -> None:
        waiting = [each for each in self.waiters if not each[1]]
        if waiting:
            each, results = waiting[which % len(waiting)]
            each.cancel()
            assert results == ["CancelledError"]

    @rule()
    def suspect(self) -> None:
        self.session.suspect("somebody waits")
        if self.inUse is not None:
            self.doubt()

    @precondition(lambda self: self.inUse is not None)
    @rule()
    def hint(self) -> None:
        """
        Somebody on the way says that the rest of it is gone.
        """
        made = self.inUse
        assert made is not None
        made.established.word.gone("they say so")
        self.doubt(HINT_TIMEOUT)

    @precondition(lambda self: self.inUse is not None)
    @rule(carried=st.booleans())
    def renew(self, carried: bool) -> None:
        """
        What is in use is to be replaced.
        """
        made = self.inUse
        assert made is not None
        if carried:
            made.carried += RENEW_BYTES
        else:
            made.established.word.leaving("it will go")

    @rule(which=st.integers(0, 5), isUsed=st.booleans())
    def use(self, which: int, isUsed: bool) -> None:
        self.usedAt = self.now
        if self.script.made:
            self.script.made[-1 - which % len(self.script.made)].isUsed = isUsed

    def doubt(self, patience: float = SUSPECT_TIMEOUT) -> None:
        """
        Is the far end there?
        """
        if not self.isSuspected or self.suspectedAt + self.patience > self.now + patience:
            self.isSuspected, self.suspectedAt, self.patience = True, self.now, patience

    @rule()
    def networkChanged(self) -> None:
        state = self.session.state
        made = self.inUse
        self.session.networkChanged()
        if state is State.WAITING:
            assert self.session.state is State.TRYING
            self.failures = 0
        elif made is not None and made.hasAnswered:
            self.doubt()

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.5, 1.0, 3.0, 9.0, 26.0, 40.0]))
    def wait(self, seconds: float) -> None:
        after = self.now + seconds
        while self.now < after:
            self.step(min(0.25, after - self.now))

    @rule(seconds=st.sampled_from([SLEPT_AFTER, 10.0, 3600.0]))
    def sleep(self, seconds: float) -> None:
        """
        This node sleeps: nothing runs.
        """
        made = self.inUse
        self.step(seconds, slept=True)
        if made is not None and made is self.inUse:
            self.heardAt = self.now
            if made.hasAnswered:
                # It is asked again, and has as long as ever.
                self.isSuspected = False
                self.doubt()

    def step(self, seconds: float, slept: bool = False) -> None:
        made, state = self.inUse, self.session.state
        starts = self.script.starts
        self.clock.advance(seconds)
        if made is not None and self.inUse is not made:
            # By itself only for silence, if it could have been heard at all.
            silent, suspected = self.now - self.heardAt, self.now - self.suspectedAt
            assert made.hasAnswered
            assert slept or silent >= DOWN_AFTER or (self.isSuspected and suspected >= self.patience)
            if not slept:
                self.went()
        elif state is State.TRYING and self.session.state is State.WAITING and not slept:
            # No attempt takes for ever.
            self.checkDelay()
        if slept:
            # It may have begun again in the same long step.
            self.failures = self.session._failures
        assert self.script.starts <= starts + (2 if slept else 1)

    # ---------------------------------------------------------- what is true

    @invariant()
    def isRight(self) -> None:
        session, made = self.session, self.inUse
        if session.state in (State.TRYING, State.RENEWING):
            assert self.script.trying is not None
        else:
            assert self.script.trying is None
        if session.state is State.TRYING:
            assert self.now - session.since <= ATTEMPT_TIMEOUT
        isUp = session.state in (State.UP, State.RENEWING)
        assert isUp == (made is not None) == (session.route is not None)
        assert session.running == (session.state is not State.IDLE)
        assert (session._retry is not None) == (session.state is State.WAITING)
        if session.state is State.IDLE:
            assert self.clock.getDelayedCalls() == [], self.clock.getDelayedCalls()
        if made is not None and made.hasAnswered:
            assert self.now - self.heardAt <= DOWN_AFTER + 2
            if self.isSuspected:
                assert self.now - self.suspectedAt <= self.patience + 2

    @invariant()
    def isClosed(self) -> None:
        """
        All that was made is in use, or was replaced and somebody uses it, or
        was closed once.
        """
        retired = [watch.established for watch in self.session._renewal.retired]
        assert len(retired) <= MAX_RETIRED
        for each in self.script.made:
            isOpen = each is self.inUse or each.established in retired
            assert each.closed == (not isOpen), f"closed {each.closed} times"
            if each.established in retired and not each.isUsed:
                assert self.now - max(self.retiredAt[each], self.usedAt) <= RETIRE_DELAY + 2

    @invariant()
    def isTold(self) -> None:
        # Once for each change, and in turn.
        for before, after in pairwise(self.told):
            assert before != after, self.told
        assert (self.told[-1] if self.told else None) == self.session.route

    @invariant()
    def isQuiet(self) -> None:
        for event in self.logged:
            assert event.get("log_level", LogLevel.info) < LogLevel.error, event
        self.logged.clear()

    def teardown(self) -> None:
        globalLogPublisher.removeObserver(self.logged.append)
        if not self.session.running:
            self.start()
        if self.session.state is State.WAITING:
            self.clock.advance(LONGEST_DELAY + ASKED_DELAY)
        if self.inUse is None:
            self.succeed()
        assert all(results for _, results in self.waiters)
        self.stop(False)
        self.isRight()
        self.isClosed()
        self.isTold()


class SessionMachineTests(SynchronousTestCase):
    """
    The machine.
    """

    def test_machine(self) -> None:
        """
        See L{SessionMachine}.
        """
        explore(SessionMachine, 200, 60)
