"""
Tests for L{ockam_twisted.transports.vanished}.  That the kernel says what is
made of it here is shown by L{tests.scenarios.test_vanished}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.transports import vanished
from ockam_twisted.transports.vanished import INTERVAL, PATIENCE, VanishedWatch


class Hop:
    """
    A connection whose peer has owed an answer for so many seconds.
    """

    def __init__(self) -> None:
        self.transport = self
        self.seconds = 0.0
        self.reasons: list[str] = []

    def abortConnection(self, reason: str) -> None:
        self.reasons.append(reason)


class VanishedWatchTests(SynchronousTestCase):
    """
    Who owes an answer for too long is lost; nobody else.
    """

    def test_looks(self) -> None:
        """
        It looks every two seconds, from the start to the stop.
        """
        unanswered: Any = lambda transport: transport.seconds  # noqa: E731
        self.patch(vanished, "unanswered", unanswered)
        clock, hops = Clock(), [Hop(), Hop()]
        watch = VanishedWatch(clock, lambda: hops)  # type: ignore[arg-type,return-value]
        watch.start()
        hops[0].seconds = PATIENCE - 1
        clock.advance(INTERVAL)
        self.assertEqual([each.reasons for each in hops], [[], []])
        hops[0].seconds = PATIENCE
        clock.advance(INTERVAL)
        self.assertEqual(len(hops[0].reasons), 1)
        self.assertIn("23 s", hops[0].reasons[0])
        self.assertEqual(hops[1].reasons, [])
        watch.stop()
        watch.stop()
        clock.advance(60)
        self.assertEqual(len(hops[0].reasons), 1)
