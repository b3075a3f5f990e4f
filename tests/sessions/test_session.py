"""
Tests of L{ockam_twisted.sessions.session}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, implementer
from zope.interface.verify import verifyObject

from ockam_twisted.errors import NotAccepted, PeerNotTrusted, TimedOut
from ockam_twisted.interfaces import IAttempt, IRotation, IWay
from ockam_twisted.routing.addresses import Route
from ockam_twisted.sessions.backoff import FIRST_DELAY, LONGEST_DELAY
from ockam_twisted.sessions.renewal import RENEW_BYTES
from ockam_twisted.sessions.session import Established, Session, State
from ockam_twisted.sessions.watch import DOWN_AFTER, LONGEST_ARRIVAL


@implementer(IAttempt)
class _Attempt:
    """
    Attempts that end as the test says.
    """

    def __init__(self) -> None:
        self.tries: list[Deferred[Established]] = []
        self.lost: Deferred[str] = Deferred()
        self.number = 0
        self.pings: list[Deferred[bytes]] = []
        self.closed = 0
        self.canceled = 0
        self.carried = 0
        self.isUsed = self.isBlocked = False
        self.arriving = (0, 0)
        self.made: list[Established] = []

    def start(self) -> Deferred[Established]:
        def cancel(_: object) -> None:
            self.canceled += 1

        self.tries.append(Deferred(cancel))
        return self.tries[-1]

    def succeed(self) -> None:
        self.lost = Deferred()
        self.made.append(
            Established(
                Route.of(f"far{len(self.made) or ''}"),
                self.lost,
                lambda: self.number,
                self._ping,
                self._close,
                "it",
                carried=lambda: self.carried,
                isUsed=lambda: self.isUsed,
                isBlocked=lambda: self.isBlocked,
                arriving=lambda: self.arriving,
            )
        )
        self.tries[-1].callback(self.made[-1])

    def _ping(self, timeout: float) -> Deferred[bytes]:
        self.pings.append(Deferred())
        return self.pings[-1]

    def _close(self) -> None:
        self.closed += 1


def _longest(low: float, high: float) -> float:
    return high


class SessionTests(SynchronousTestCase):
    """
    A session tries, watches, and begins again.
    """

    def setUp(self) -> None:
        """
        A session that has begun.
        """
        self.clock = Clock()
        self.attempt = _Attempt()
        self.session = Session(self.clock, self.attempt, "the way", _longest)
        self.routes: list[Route | None] = []
        self.stopListening: Callable[[], None] = self.session.changed(self.routes.append)
        self.session.startService()
        self.addCleanup(self.session.stopService)

    def test_interface(self) -> None:
        """
        It is a way.
        """
        self.assertTrue(verifyObject(IWay, self.session))

    def test_up(self) -> None:
        """
        Who waits for the way gets the route once an attempt succeeds.
        """
        waiting = self.session.whenUp()
        self.assertNoResult(waiting)
        self.attempt.succeed()
        self.assertEqual(self.successResultOf(waiting), Route.of("far"))
        self.assertEqual(self.session.route, Route.of("far"))
        self.assertIs(self.session.state, State.UP)
        self.assertEqual(self.routes, [Route.of("far")])

    def test_backoff(self) -> None:
        """
        Delays double from 0.1 s to 30 s, for ever.
        """
        delays = []
        for _ in range(12):
            self.attempt.tries[-1].errback(TimedOut("nobody there"))
            self.assertIs(self.session.state, State.WAITING)
            self.assertEqual(self.session.why, "nobody there")
            call = self.clock.getDelayedCalls()[0]
            delays.append(call.getTime() - self.clock.seconds())
            self.clock.advance(delays[-1])
        self.assertEqual([round(each, 1) for each in delays[:4]], [0.1, 0.2, 0.4, 0.8])
        self.assertEqual(max(delays), LONGEST_DELAY)
        self.assertEqual(len(self.attempt.tries), 13)

    def test_lost(self) -> None:
        """
        A lost connection is noticed at once and made anew.
        """
        self.attempt.succeed()
        self.attempt.lost.callback("reset by peer")
        self.assertIsNone(self.session.route)
        self.assertIn("reset by peer", self.session.why)
        self.assertEqual(self.attempt.closed, 1)
        self.clock.advance(0.1)
        self.attempt.succeed()
        self.assertEqual(self.routes, [Route.of("far"), None, Route.of("far1")])

    def test_silence(self) -> None:
        """
        A far end that has answered, and then says nothing, is given up.
        """
        self.attempt.succeed()
        self.attempt.number += 1
        self.attempt.pings[0].callback(b"pong")
        self.clock.pump([1.0] * 10)
        self.assertEqual(len(self.attempt.pings), 2)
        self.assertIs(self.session.state, State.UP)
        self.clock.pump([1.0] * int(DOWN_AFTER))
        self.assertGreater(len(self.attempt.tries), 1)
        self.assertEqual(self.attempt.closed, 1)

    def test_slept(self) -> None:
        """
        After a suspend, or a stop of this process, the far end is asked, and
        has five seconds: it is neither taken for dead at once, nor trusted
        for long.
        """
        self.attempt.succeed()
        self.attempt.pings[-1].callback(b"")
        self.clock.pump([1.0] * 3)
        asked = len(self.attempt.pings)
        self.clock.advance(600)
        self.assertIs(self.session.state, State.UP)
        self.assertEqual(len(self.attempt.pings), asked + 1)
        self.attempt.number += 1
        self.clock.pump([1.0] * 6)
        self.assertIs(self.session.state, State.UP)
        self.clock.advance(600)
        self.clock.pump([1.0] * 5)
        self.assertIs(self.session.state, State.WAITING)

    def test_networkChanged(self) -> None:
        """
        A network that is back is used at once; a way over one that has
        changed has to show that it lives.
        """
        for _ in range(8):
            self.attempt.tries[-1].errback(TimedOut("nobody there"))
            self.clock.advance(30)
        self.attempt.tries[-1].errback(TimedOut("nobody there"))
        tries = len(self.attempt.tries)
        self.session.networkChanged()
        self.assertEqual(len(self.attempt.tries), tries + 1)
        self.session.networkChanged()
        self.assertEqual(len(self.attempt.tries), tries + 1)
        self.attempt.succeed()
        self.attempt.pings[-1].callback(b"")
        self.session.networkChanged()
        self.assertEqual(len(self.attempt.pings), 2)
        self.clock.pump([1.0] * 5)
        self.assertIs(self.session.state, State.WAITING)

    def test_refused(self) -> None:
        """
        Where one end refuses the other nobody is kept waiting: they hear it
        at once, and the next who asks has it tried again.
        """
        waiting = self.session.whenUp()
        self.attempt.tries[-1].errback(PeerNotTrusted("it is somebody else"))
        self.assertEqual(self.failureResultOf(waiting, NotAccepted).getErrorMessage(), "it is somebody else")
        for _ in range(9):
            self.clock.advance(30)
            self.attempt.tries[-1].errback(PeerNotTrusted("it is somebody else"))
        tries = len(self.attempt.tries)
        self.failureResultOf(self.session.whenUp(), NotAccepted)
        self.assertEqual(len(self.attempt.tries), tries)
        self.clock.advance(2)
        waiting = self.session.whenUp()
        self.assertEqual(len(self.attempt.tries), tries + 1)
        also = self.session.whenUp()
        self.attempt.succeed()
        self.assertEqual(self.successResultOf(waiting), Route.of("far"))
        self.successResultOf(also)

    def test_refusedAndStopped(self) -> None:
        """
        Who asks after the stop is kept, though the last attempt was refused.
        """
        self.attempt.tries[-1].errback(PeerNotTrusted("it is somebody else"))
        self.session.stopService()
        self.clock.advance(2)
        waiting = self.session.whenUp()
        self.assertNoResult(waiting)
        self.session.startService()
        self.attempt.succeed()
        self.successResultOf(waiting)

    def test_doubtAgain(self) -> None:
        """
        What was heard before a suspicion, or before this node slept, does not
        dispel it, though it does an earlier one; and a suspicion from before
        gets no less time.
        """

        def again() -> None:
            self.session.suspect("no answer")
            self.attempt.number += 1
            self.session.suspect("no answer")

        for doubt in (
            lambda: self.session.suspect("no answer"),
            again,
            self.session.networkChanged,
            lambda: self.clock.advance(600),
            lambda: (self.session.suspect("no answer"), self.clock.advance(600)),
        ):
            self.attempt.succeed()
            self.attempt.pings[-1].callback(b"")
            self.clock.pump([1.0] * 3)
            self.attempt.number += 1
            doubt()
            self.clock.pump([1.0] * 4)
            self.assertIs(self.session.state, State.UP)
            self.clock.advance(1.0)
            self.assertIs(self.session.state, State.WAITING)
            self.clock.advance(LONGEST_DELAY)

    def test_heard(self) -> None:
        """
        Any sign of life counts: no ping, no end.
        """
        self.attempt.succeed()
        self.attempt.pings[0].callback(b"pong")
        for _ in range(60):
            self.attempt.number += 1
            self.clock.advance(1.0)
        self.assertEqual(len(self.attempt.pings), 1)
        self.assertIs(self.session.state, State.UP)

    def test_neverAnswers(self) -> None:
        """
        A far end without an echo worker is not given up for its silence.
        """
        self.attempt.succeed()
        self.clock.pump([1.0] * 120)
        self.assertIs(self.session.state, State.UP)

    def test_suspect(self) -> None:
        """
        A suspected way that answers nothing within 5 s is down.
        """
        self.attempt.succeed()
        self.attempt.pings[0].callback(b"pong")
        self.session.suspect("a client waited")
        self.session.suspect("another one")
        self.assertEqual(len(self.attempt.pings), 2)
        self.clock.pump([1.0] * 7)
        self.assertEqual(self.attempt.closed, 1)

    def test_worked(self) -> None:
        """
        A far end that has answered is tried again soon, although there were
        many failures before, and although it is lost again and again.
        """
        for _ in range(8):
            self.attempt.tries[-1].errback(TimedOut("nobody there"))
            self.clock.advance(LONGEST_DELAY)
        for _ in range(20):
            self.attempt.succeed()
            self.attempt.pings[-1].callback(b"pong")
            self.clock.advance(0.5)
            self.attempt.lost.callback("the relay was started again")
            self.clock.advance(4 * FIRST_DELAY)
        self.assertEqual(len(self.attempt.tries), 29)

    def test_blocked(self) -> None:
        """
        While somebody does not read, silence means nothing, and a suspicion
        waits until something can be heard.
        """
        self.attempt.succeed()
        self.attempt.pings[0].callback(b"pong")
        self.attempt.isBlocked = True
        self.clock.pump([1.0] * 60)
        self.session.suspect("the network has changed")
        self.clock.pump([1.0] * 20)
        self.assertIs(self.session.state, State.UP)
        self.attempt.isBlocked = False
        self.clock.pump([1.0] * 4)
        self.assertIs(self.session.state, State.UP)
        self.clock.pump([1.0] * 2)
        self.assertIn("the network has changed", self.session.why)

    def test_arriving(self) -> None:
        """
        While a long message comes, piece by piece, nothing else can be heard, and a suspicion
        waits until it is there; but not for whole messages of others, and not for one of which
        no more comes.
        """
        self.attempt.succeed()
        self.attempt.pings[0].callback(b"pong")
        for piece in range(60):
            self.attempt.arriving = (1, piece)
            self.clock.advance(1)
            if piece == 40:
                self.session.suspect("a new stream gets no answer")
        self.assertIs(self.session.state, State.UP)
        self.attempt.number += 1
        self.clock.advance(1)
        for message in range(24):
            self.attempt.arriving = (2 + message, 1000 * message)
            self.clock.advance(1)
        self.assertIs(self.session.state, State.UP)
        self.clock.advance(1)
        self.assertIn("nothing heard for 25 s", self.session.why)

    def test_trickle(self) -> None:
        """
        Who is on the way cannot keep it up for ever with a byte now and then.
        """
        self.attempt.succeed()
        self.attempt.pings[0].callback(b"pong")
        for piece in range(int(LONGEST_ARRIVAL)):
            self.attempt.arriving = (1, piece)
            self.clock.advance(1)
        self.assertIs(self.session.state, State.UP)
        for piece in range(25):
            self.attempt.arriving = (1, 1000 + piece)
            self.clock.advance(1)
        self.assertIn("nothing heard for 25 s", self.session.why)

    def test_stuck(self) -> None:
        """
        A message of which no more comes is silence.
        """
        self.attempt.succeed()
        self.attempt.pings[0].callback(b"pong")
        for piece in range(10):
            self.attempt.arriving = (1, piece)
            self.clock.advance(1)
        self.clock.pump([1.0] * 24)
        self.assertIs(self.session.state, State.UP)
        self.clock.advance(1)
        self.assertIn("nothing heard for 25 s", self.session.why)

    def test_attemptTimesOut(self) -> None:
        """
        An attempt that does not end is given up.
        """
        self.clock.advance(31)
        self.assertEqual(self.attempt.canceled, 1)
        self.assertIn("no success within", self.session.why)

    def test_stop(self) -> None:
        """
        Stopping ends what there is, and nothing is tried again.
        """
        self.attempt.succeed()
        self.session.stopService()
        self.assertEqual(self.attempt.closed, 1)
        self.assertIsNone(self.session.route)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.session.startService()

    def test_stopListening(self) -> None:
        """
        Who does not listen any more is told nothing.
        """
        self.stopListening()
        self.attempt.succeed()
        self.assertEqual(self.routes, [])

    def test_cancelWaiting(self) -> None:
        """
        Who has stopped waiting is forgotten.
        """
        waiting = self.session.whenUp()
        waiting.cancel()
        self.failureResultOf(waiting)
        self.attempt.succeed()
        self.assertIs(self.session.state, State.UP)

    def live(self, seconds: int) -> None:
        """
        Let time pass in which the far end is heard.
        """
        for _ in range(seconds):
            self.attempt.number += 1
            self.clock.advance(1.0)

    def test_renewed(self) -> None:
        """
        After an hour another way is made while the old one is in use; who
        listens is told of it, and the old one ends when nobody uses it.
        """
        self.attempt.succeed()
        self.live(3599)
        self.assertEqual(len(self.attempt.tries), 1)
        self.live(2)
        self.assertIs(self.session.state, State.RENEWING)
        self.assertEqual(self.session.route, Route.of("far"))
        since = self.session.since
        self.attempt.succeed()
        self.assertIs(self.session.state, State.UP)
        self.assertEqual(self.session.since, since)
        self.assertEqual(self.routes, [Route.of("far"), Route.of("far1")])
        self.assertEqual(self.attempt.closed, 0)
        self.attempt.isUsed = True
        self.live(100)
        self.assertEqual(self.attempt.closed, 0)
        self.attempt.isUsed = False
        self.live(1)
        self.assertEqual(self.attempt.closed, 1)
        self.assertEqual(self.session.route, Route.of("far1"))
        self.live(3600)
        self.assertIs(self.session.state, State.RENEWING)

    def test_renewedByBytes(self) -> None:
        """
        The same once it has carried 64 GiB.
        """
        self.attempt.succeed()
        self.attempt.carried = RENEW_BYTES - 1
        self.live(5)
        self.assertEqual(len(self.attempt.tries), 1)
        self.attempt.carried += 1
        self.live(1)
        self.assertEqual(len(self.attempt.tries), 2)

    def test_notRenewed(self) -> None:
        """
        If there is no other way the old one stays, and it is tried again, not
        too often.
        """
        self.attempt.succeed()
        self.live(3601)
        longest = 0.0
        for _ in range(12):
            self.attempt.tries[-1].errback(TimedOut("nobody there"))
            self.assertIs(self.session.state, State.UP)
            began = self.clock.seconds()
            while self.session.state is State.UP:
                self.live(1)
            longest = max(longest, self.clock.seconds() - began)
        self.assertEqual(longest, 30.0)
        self.assertEqual(self.routes, [Route.of("far")])
        self.attempt.succeed()
        self.assertEqual(self.session.route, Route.of("far1"))

    def test_lostWhileRenewing(self) -> None:
        """
        The old way is lost before there is another one: the attempt under way
        goes on, as one of many.
        """
        self.attempt.succeed()
        self.live(3601)
        self.attempt.lost.callback("reset by peer")
        self.assertIs(self.session.state, State.TRYING)
        self.assertIn("reset by peer", self.session.why)
        self.assertIsNone(self.session.route)
        self.assertEqual(len(self.attempt.tries), 2)
        self.attempt.succeed()
        self.assertEqual(self.routes, [Route.of("far"), None, Route.of("far1")])
        self.assertEqual(self.attempt.closed, 1)

    def test_stopWhileRenewing(self) -> None:
        """
        Stopping ends what is in use, what was replaced, and the attempt.
        """
        self.attempt.succeed()
        self.live(3601)
        self.attempt.isUsed = True
        self.attempt.succeed()
        self.live(3601)
        self.session.stopService()
        self.assertEqual(self.attempt.canceled, 1)
        self.assertEqual(self.attempt.closed, 2)
        self.assertEqual([each for each in self.clock.getDelayedCalls() if each.active()], [])
        self.session.startService()

    def test_replacedIsLost(self) -> None:
        """
        What was replaced ends by itself, or is silent: that is no matter for
        what is in use.
        """
        self.attempt.succeed()
        self.attempt.isUsed = True
        for pings in self.attempt.pings:
            pings.callback(b"pong")
        first = self.attempt.lost
        self.live(3601)
        self.attempt.succeed()
        first.callback("the peer has closed it")
        self.assertEqual(self.attempt.closed, 1)
        self.assertEqual(self.session.route, Route.of("far1"))

    def test_leave(self) -> None:
        """
        A part of the way will end soon, it is said: there is another one
        before that, and a liar does not get more than one in 10 s.
        """
        self.attempt.succeed()
        self.attempt.made[0].word.leaving("the relay is about to stop")
        self.assertIs(self.session.state, State.RENEWING)
        self.attempt.succeed()
        self.assertEqual(self.session.route, Route.of("far1"))
        for _ in range(5):
            self.attempt.made[1].word.leaving("the relay is about to stop")
            # What was replaced has no say any more.
            self.attempt.made[0].word.leaving("the relay is about to stop")
            self.live(1)
        self.assertEqual(len(self.attempt.tries), 2)
        self.live(6)
        self.assertEqual(len(self.attempt.tries), 3)

    def test_moveOn(self) -> None:
        """
        Where there is more than one way to choose from, it is another one
        that is tried; and once, however often it is said.
        """
        moved: list[int] = []
        attempt: Any = self.attempt
        attempt.moveOn = lambda: moved.append(len(attempt.tries))
        directlyProvides(attempt, IRotation)
        self.session.leave("it is not even up")
        self.attempt.succeed()
        for _ in range(3):
            self.session.leave("the relay is about to stop")
        self.assertEqual(moved, [1])
        self.assertEqual(len(self.attempt.tries), 2)

    def test_suspectRoute(self) -> None:
        """
        A route that is not in use any more is above suspicion.
        """
        self.attempt.succeed()
        self.session.suspect("late", Route.of("other"))
        self.assertFalse(self.session.isSuspect)
        self.session.suspect("no answer", Route.of("far"))
        self.assertTrue(self.session.isSuspect)

    def test_gone(self) -> None:
        """
        The rest of the way is gone, it is said: the far end has two seconds
        to show that it is not, and is asked once, however often it is said.
        """
        self.attempt.succeed()
        self.attempt.pings[0].callback(b"pong")
        self.live(1)
        for _ in range(50):
            self.attempt.made[0].word.gone("the relay says so")
        self.assertEqual(len(self.attempt.pings), 2)
        self.live(3)
        self.assertIs(self.session.state, State.UP)
        for _ in range(50):
            self.attempt.made[0].word.gone("the relay says so")
        self.clock.pump([1.0, 1.0])
        self.assertIn("the relay says so", self.session.why)

    def test_goneAndAnswered(self) -> None:
        """
        A liar who says it again and again, although the far end answers each
        time, has it asked once a second; and what is said last counts.
        """
        self.attempt.succeed()
        self.attempt.pings[0].callback(b"pong")
        self.live(1)
        for _ in range(100):
            self.attempt.made[0].word.gone("the relay says so")
            self.attempt.number += 1
            self.clock.advance(0.1)
        self.assertLessEqual(len(self.attempt.pings), 1 + 11)
        self.attempt.made[0].word.gone("the relay says so")
        self.clock.pump([1.0] * 4)
        self.assertEqual(self.attempt.closed, 1)

    def test_heardBefore(self) -> None:
        """
        What was heard before the suspicion does not count against it.
        """
        self.attempt.succeed()
        self.attempt.pings[0].callback(b"pong")
        self.live(1)
        self.attempt.number += 1
        self.session.suspect("a client waited")
        self.clock.pump([1.0] * 5)
        self.assertIs(self.session.state, State.WAITING)

    def test_clockSetBack(self) -> None:
        """
        The clock goes back: silence counts from now on.
        """
        clock = self.clock
        self.attempt.succeed()
        self.attempt.pings[0].callback(b"pong")
        clock.pump([1.0] * 20)
        for call in clock.getDelayedCalls():
            call.delay(-10.0)
        clock.rightNow -= 10.0
        clock.pump([1.0] * 20)
        self.assertIs(self.session.state, State.UP)
        clock.pump([1.0] * 10)
        self.assertEqual(self.attempt.closed, 1)

    def test_lines(self) -> None:
        """
        Each change is one line: since when, why, and what comes next.
        """
        lines: list[str] = []

        def observe(event: LogEvent) -> None:
            lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.attempt.tries[-1].errback(TimedOut("nobody there"))
        self.clock.advance(2)
        self.attempt.succeed()
        self.live(60)
        self.session.leave("the relay is about to stop")
        self.attempt.tries[-1].errback(TimedOut("nobody there"))
        self.live(2)
        self.attempt.succeed()
        self.live(60)
        self.session.leave("the relay is about to stop")
        self.attempt.lost.callback("reset by peer")
        self.attempt.succeed()
        self.session.stopService()
        self.assertEqual(
            lines,
            [
                "the way: nobody there; no way for 0 s, next try in 0.1 s",
                "the way: up, after 2 s without a way: it",
                "the way: making another way, the relay is about to stop",
                "the way: still up, but there is no other way: nobody there; next try in 0.1 s",
                "the way: moved to it",
                "the way: making another way, the relay is about to stop",
                "the way: down after 122 s: reset by peer; the next try is under way",
                "the way: up, after 0 s without a way: it",
                "the way: stopped, up for 0 s",
            ],
        )
        self.session.startService()
