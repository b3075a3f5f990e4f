"""
Tests of L{ockam_twisted.sessions.session}.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ockam_twisted.errors import NotAccepted, PeerNotTrusted, TimedOut
from ockam_twisted.interfaces import IAttempt, IWay
from ockam_twisted.routing.addresses import Route
from ockam_twisted.sessions.session import DOWN_AFTER, LONGEST_DELAY, Established, Session, State, StaticWay


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

    def start(self) -> Deferred[Established]:
        def cancel(_: object) -> None:
            self.canceled += 1

        self.tries.append(Deferred(cancel))
        return self.tries[-1]

    def succeed(self) -> None:
        self.lost = Deferred()
        self.tries[-1].callback(
            Established(Route.of("far"), self.lost, lambda: self.number, self._ping, self._close, "it")
        )

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
        self.assertEqual(self.routes, [Route.of("far"), None, Route.of("far")])

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


class StaticWayTests(SynchronousTestCase):
    """
    A way that is always up.
    """

    def test_way(self) -> None:
        """
        The route is there at once.
        """
        way = StaticWay(Route.of("outlet"))
        self.assertTrue(verifyObject(IWay, way))
        self.assertEqual(self.successResultOf(way.whenUp()), Route.of("outlet"))
        way.suspect("anything")
        way.changed(lambda route: None)()
        self.assertEqual(way.route, Route.of("outlet"))
