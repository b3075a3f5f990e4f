"""
Tests for L{ockam_twisted.transports.allowance}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.routing.source import Source
from ockam_twisted.transports.allowance import BURST, LONGEST, SHARE, Allowance


class AllowanceTests(SynchronousTestCase):
    """
    Tests for L{Allowance}.
    """

    def setUp(self) -> None:
        """
        A source that is read.
        """
        self.clock = Clock()
        self.events: list[str] = []
        self.source = Source(
            lambda: self.events.append("pause"), lambda: self.events.append("resume"), None, lambda: False, lambda: None
        )
        self.allowance = Allowance(self.clock, self.source)

    def test_little(self) -> None:
        """
        Who takes little, and much only once in a while, is not paused.
        """
        for _ in range(10):
            self.allowance.take(BURST)
            self.clock.advance(BURST / SHARE)
        for _ in range(1000):
            self.allowance.take(0.9 * SHARE)
            self.clock.advance(1)
        self.assertEqual(self.events, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_much(self) -> None:
        """
        Who takes more is paused until that is a small part of the time.
        """
        self.allowance.take(BURST + 0.05)
        self.assertEqual(self.events, ["pause"])
        self.clock.advance(0.05 / SHARE - 0.01)
        self.assertEqual(self.events, ["pause"])
        self.clock.advance(0.02)
        self.assertEqual(self.events, ["pause", "resume"])

    def test_share(self) -> None:
        """
        In the long run it gets its share of the time.
        """
        worked = 0.0
        for _ in range(100_000):
            if not self.source.pauses:
                worked += 0.01
                self.allowance.take(0.01)
            self.clock.advance(0.01)
        self.assertLess(worked, 1000 * SHARE + BURST + 0.1)
        self.assertGreater(worked, 900 * SHARE)

    def test_longest(self) -> None:
        """
        Nobody is paused for long at a time, or it would be taken for dead.
        """
        self.allowance.take(100)
        self.clock.advance(LONGEST)
        self.assertEqual(self.events, ["pause", "resume"])

    def test_clockSetBack(self) -> None:
        """
        A clock that goes backwards is no reason to pause.
        """
        self.clock.rightNow = 1000.0
        self.allowance.take(0.0)
        self.clock.rightNow = 0.0
        self.allowance.take(-1000.0)
        self.assertEqual(self.events, [])

    def test_close(self) -> None:
        """
        When the connection ends, no timer remains.
        """
        self.allowance.take(10)
        self.allowance.close()
        self.allowance.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
