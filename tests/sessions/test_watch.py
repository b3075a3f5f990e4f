"""
Tests of L{ockam_twisted.sessions.watch} where the road is patient; the others are
watched in C{test_session.py}.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.routing.addresses import Route
from ockam_twisted.sessions.life import Established
from ockam_twisted.sessions.renewal import RENEW_AFTER, Renewal
from ockam_twisted.sessions.session import Session
from ockam_twisted.sessions.watch import HINT_TIMEOUT, Watch
from tests.sessions.common import Attempts

HOUR = 3600


class PatientTests(SynchronousTestCase):
    """
    A way over a road that keeps what is sent for who is away.
    """

    def setUp(self) -> None:
        """
        It is watched.
        """
        self.clock = Clock()
        self.pings = self.heard = self.carried = 0
        self.lost: Deferred[str] = Deferred()
        self.established = Established(
            Route.of("far"),
            self.lost,
            lambda: self.heard,
            self.ping,
            lambda: None,
            "it",
            carried=lambda: self.carried,
            isPatient=True,
        )
        self.watch = Watch(self.clock, self.established, "way", max)

    def ping(self, timeout: float) -> Deferred[bytes]:
        """
        Somebody asks.
        """
        self.pings += 1
        return Deferred()

    def look(self, seconds: int) -> str:
        """
        Look once a second, for so long.
        """
        for _ in range(seconds):
            self.clock.advance(1)
            if why := self.watch.look():
                return why
        return ""

    def test_hour(self) -> None:
        """
        An hour of silence is none, and nobody asks; nor is one in which nobody could look, or
        of which somebody says that something is slow.
        """
        self.assertEqual(self.look(HOUR), "")
        self.clock.advance(HOUR)
        self.assertEqual(self.look(HOUR // 60), "")
        self.watch.suspect("a new stream gets no answer")
        self.assertEqual(self.look(HOUR), "")
        self.assertFalse(self.watch.isSuspect)
        self.assertEqual(self.pings, 0)

    def test_word(self) -> None:
        """
        A word from the way is a reason to ask, and whoever is heard then is there.
        """
        self.watch.hint("the relay says that it is gone")
        self.assertEqual(self.pings, 1)
        self.heard += 1
        self.assertEqual(self.look(60), "")
        self.watch.hint("the relay says that it is gone")
        self.assertIn("the relay says", self.look(int(HINT_TIMEOUT) + 2))
        self.assertEqual(self.pings, 2)

    def test_renewal(self) -> None:
        """
        Bytes wear it out, and time does not.
        """
        renewal = Renewal(self.clock, max, RENEW_AFTER, 1000)
        renewal.used(self.established)
        self.clock.advance(24 * RENEW_AFTER)
        self.assertFalse(renewal.isDue(self.established))
        self.carried = 1000
        self.assertTrue(renewal.isDue(self.established))

    def test_session(self) -> None:
        """
        A session over it stays up, and the same, for a day.
        """
        attempts = Attempts()
        session = Session(self.clock, attempts, "way", max)
        session.startService()
        attempts.tries[-1].callback(self.established)
        for _ in range(24 * 60):
            self.clock.pump([1.0] * 2)
            self.clock.advance(58)
        session.networkChanged()
        self.clock.pump([1.0] * 60)
        self.assertIs(session.established, self.established)
        self.assertEqual((len(attempts.tries), self.pings), (1, 0))
        session.stopService()
