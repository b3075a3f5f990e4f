"""
Tests of L{ockam_twisted.ops.lag}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.ops.lag import REMEMBERED, LoopLag


class LoopLagTests(SynchronousTestCase):
    """
    Tests of L{LoopLag}.
    """

    def test_late(self) -> None:
        """
        What comes late is late by so much; the most of a minute is
        remembered, and then forgotten.
        """
        clock = Clock()
        lag = LoopLag(clock)
        lag.startService()
        clock.advance(1)
        self.assertEqual((lag.last, lag.most, lag.looks), (0, 0, 1))
        clock.advance(1.75)
        self.assertEqual((lag.last, lag.most), (0.75, 0.75))
        clock.advance(1)
        self.assertEqual((lag.last, lag.most), (0, 0.75))
        for _ in range(REMEMBERED):
            clock.advance(1)
        self.assertEqual(lag.most, 0)

    def test_stops(self) -> None:
        """
        Stopped, it leaves nothing behind; it can be stopped before it began.
        """
        clock = Clock()
        lag = LoopLag(clock)
        lag.stopService()
        lag.startService()
        lag.stopService()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_setBack(self) -> None:
        """
        A clock that was set back says nothing.
        """
        clock = Clock()
        lag = LoopLag(clock)
        lag.startService()
        clock.rightNow -= 100
        clock.calls[0].time -= 100.5
        clock.advance(0.5)
        self.assertEqual((lag.looks, lag.last), (1, 0))
