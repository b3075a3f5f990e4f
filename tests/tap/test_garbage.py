"""
Tests for L{ockam_twisted.tap.garbage}.
"""

from __future__ import annotations

import gc

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.tap.garbage import YOUNG, collectSeldom


class GarbageTests(SynchronousTestCase):
    """
    Tests for L{collectSeldom}.
    """

    def setUp(self) -> None:
        """
        Leave the collector as it was.
        """
        self.addCleanup(gc.unfreeze)
        self.addCleanup(gc.set_threshold, *gc.get_threshold())

    def test_seldom(self) -> None:
        """
        What is there is frozen, and cycles made later are still collected.
        """
        collectSeldom()
        self.assertGreater(gc.get_freeze_count(), 1000)
        self.assertEqual(gc.get_threshold()[0], YOUNG)
        cycle: list[object] = []
        cycle.append(cycle)
        del cycle
        self.assertGreaterEqual(gc.collect(), 1)
