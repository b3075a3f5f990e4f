"""
Tests of L{ockam_twisted.portals.totals}.
"""

from __future__ import annotations

from attrs import define
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.portals.totals import Totals


@define
class Stream:
    """
    What is counted of a stream.
    """

    sent: int
    received: int
    result: object = None


class TotalsTests(SynchronousTestCase):
    """
    Tests of L{Totals}.
    """

    def test_sums(self) -> None:
        """
        What ended streams have moved counts, and what open ones have so far.
        """
        totals = Totals()
        totals.ended(Stream(1, 10))
        totals.ended(Stream(2, 20, "reset"))
        streams = [Stream(4, 40), Stream(8, 80)]
        self.assertEqual((totals.sent(streams), totals.received(streams)), (15, 150))
        self.assertEqual((totals.sent([]), totals.received([]), totals.reset), (3, 30, 1))
