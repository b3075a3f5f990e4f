"""
Tests for L{ockam_twisted.sessions.presence}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import ConnectionClosed, TimedOut
from ockam_twisted.sessions.presence import Presence


class PresenceTests(SynchronousTestCase):
    """
    L{Presence}.
    """

    def setUp(self) -> None:
        """
        A question that is asked when somebody is there.
        """
        self.presence = Presence()
        self.asked: list[Deferred[str]] = []

    def ask(self) -> Deferred[str]:
        """
        One more handshake.
        """
        self.asked.append(Deferred())
        return self.asked[-1]

    def begin(self) -> Any:
        """
        Ask.
        """
        return Deferred.fromCoroutine(self.presence.whilePresent(self.ask))

    def test_present(self) -> None:
        """
        Nothing is said, or that somebody has come: it is asked, once.
        """
        self.presence.came()
        result = self.begin()
        self.asked[0].callback("yes")
        self.assertEqual(self.successResultOf(result), "yes")
        self.presence.gone()
        self.presence.came()
        self.assertEqual(len(self.asked), 1)

    def test_absent(self) -> None:
        """
        Nobody is there: it is asked once somebody has come.
        """
        self.presence.gone()
        result = self.begin()
        self.assertEqual(self.asked, [])
        self.presence.came()
        self.asked[0].callback("yes")
        self.assertEqual(self.successResultOf(result), "yes")

    def test_goesAndComes(self) -> None:
        """
        Who goes while it is asked does not answer: it is asked anew, as often
        as somebody comes.
        """
        result = self.begin()
        for count in range(1, 4):
            self.presence.gone()
            self.presence.gone()
            self.assertEqual(len(self.asked), count)
            self.presence.came()
            self.presence.came()
            self.assertEqual(len(self.asked), count + 1)
        self.asked[-1].callback("yes")
        self.assertEqual(self.successResultOf(result), "yes")

    def test_fails(self) -> None:
        """
        What fails, fails.
        """
        result = self.begin()
        self.asked[0].errback(TimedOut("no"))
        self.failureResultOf(result, TimedOut)

    def test_canceled(self) -> None:
        """
        It can be given up, while it is asked and while nobody is there.
        """
        result = self.begin()
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.presence.gone()
        result = self.begin()
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.presence.came()
        self.assertEqual(len(self.asked), 1)

    def test_lost(self) -> None:
        """
        Whose way to the relay ends waits for nobody there, asks nobody there,
        and begins neither.
        """
        self.presence.gone()
        result = self.begin()
        self.presence.lost("cut")
        self.assertEqual(self.failureResultOf(result, ConnectionClosed).getErrorMessage(), "cut")
        self.presence.came()
        self.failureResultOf(self.begin(), ConnectionClosed)
        self.assertEqual(self.asked, [])
        self.presence = Presence()
        result = self.begin()
        self.presence.lost("cut")
        self.assertEqual(self.failureResultOf(result, ConnectionClosed).getErrorMessage(), "cut")
        self.assertEqual(len(self.asked), 1)
        self.assertTrue(self.asked[0].called)
