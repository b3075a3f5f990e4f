"""
Tests for L{ockam_twisted.portals.budgets}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.portals.budgets import WindowBudget
from ockam_twisted.portals.shares import SMALLEST_WINDOW


class BudgetTests(SynchronousTestCase):
    """
    L{WindowBudget}.
    """

    def test_shared(self) -> None:
        """
        What one takes the others cannot have, and a refusal takes nothing.
        """
        node = WindowBudget(100)
        one, two = WindowBudget(80, node), WindowBudget(80, node)
        self.assertTrue(one.take(60))
        self.assertFalse(one.take(21))
        self.assertFalse(two.take(41))
        self.assertTrue(two.take(40))
        self.assertEqual((node.used, one.used, two.used), (100, 60, 40))
        one.give(60)
        self.assertEqual((node.used, one.used), (40, 0))

    def test_grow(self) -> None:
        """
        Windows that grow leave a quarter, of the peer's and of the node's, to
        those of new streams.
        """
        node = WindowBudget(1000)
        one, other = WindowBudget(800, node), WindowBudget(800, node)
        self.assertFalse(one.grow(601))
        self.assertTrue(one.grow(600))
        self.assertTrue(other.grow(150))
        self.assertFalse(other.grow(1))
        self.assertTrue(other.take(250))
        self.assertEqual((one.used, other.used, node.used), (600, 400, 1000))

    def test_first(self) -> None:
        """
        The more is given out, the less a new stream gets, and in the end
        nothing.
        """
        budget = WindowBudget(32 * SMALLEST_WINDOW, WindowBudget())
        sizes = []
        while size := budget.takeFirst(8 * SMALLEST_WINDOW):
            sizes.append(size // SMALLEST_WINDOW)
        self.assertEqual(sizes, [8, 8, 4, 4, 1, 1, 1, 1, 1, 1, 1, 1])
        self.assertEqual(budget.share, 1)
