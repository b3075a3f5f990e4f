"""
Tests for L{ockam_twisted.channels.pace}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.channels.pace import Pace


class PaceTests(SynchronousTestCase):
    """
    Tests for L{Pace}.
    """

    def count(self, pace: Pace, place: str, now: float) -> int:
        """
        How many of a hundred are permitted.
        """
        return sum(pace.permits(place, now) for _ in range(100))

    def test_burst(self) -> None:
        """
        So many at once, and then as many as time allows.
        """
        pace = Pace(10, 2.0)
        self.assertEqual(self.count(pace, "a", 5.0), 10)
        self.assertEqual(self.count(pace, "a", 5.4), 0)
        self.assertEqual(self.count(pace, "a", 6.0), 2)
        self.assertEqual(self.count(pace, "a", 1000.0), 10)

    def test_places(self) -> None:
        """
        Each place has its own.
        """
        pace = Pace(10, 2.0)
        self.count(pace, "a", 0.0)
        self.assertEqual(self.count(pace, "b", 0.0), 10)

    def test_clockSetBack(self) -> None:
        """
        A clock that goes backwards takes nothing away.
        """
        pace = Pace(10, 2.0)
        self.assertTrue(pace.permits("a", 100.0))
        self.assertEqual(self.count(pace, "a", 0.0), 9)

    def test_bounded(self) -> None:
        """
        Places that were heard long ago are forgotten, not those that are
        heard again and again.
        """
        pace = Pace(1, 0.0)
        self.assertTrue(pace.permits("busy", 0.0))
        for number in range(10_000):
            self.assertTrue(pace.permits(number, 0.0))
            self.assertFalse(pace.permits("busy", 0.0))
        self.assertLessEqual(len(pace._left), 1024)

    def test_forgotten(self) -> None:
        """
        Nothing is kept of places from where as many may come as at first.
        """
        pace = Pace(10, 2.0)
        for number in range(100):
            pace.permits(number, 0.0)
        self.assertEqual(len(pace._left), 100)
        for number in range(100):
            self.assertTrue(pace.permits("a", 6.0 + number))
        self.assertEqual(list(pace._left), ["a"])
