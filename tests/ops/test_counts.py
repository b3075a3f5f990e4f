"""
Tests of L{ockam_twisted.ops.counts}.
"""

from __future__ import annotations

from twisted.logger import ILogObserver, Logger, LogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ockam_twisted.ops.counts import MAX_NAMES, EventCounts


class EventCountsTests(SynchronousTestCase):
    """
    Tests of L{EventCounts}.
    """

    def test_counts(self) -> None:
        """
        Events are counted by name, whatever their level; what has none is not.
        """
        counts = EventCounts()
        self.assertTrue(verifyObject(ILogObserver, counts))
        log = Logger(observer=LogPublisher(counts))
        for _ in range(3):
            log.debug("a stream", event="stream-allowed")
        log.warn("no", event="stream-denied")
        log.info("of somebody else")
        self.assertEqual(counts.counts, {"stream-allowed": 3, "stream-denied": 1})

    def test_bounded(self) -> None:
        """
        However many names there are, a bounded number is kept.
        """
        counts = EventCounts()
        for n in range(2 * MAX_NAMES):
            counts({"event": f"event-{n}"})
        counts({"event": "event-1"})
        counts({"event": ["no name"]})
        self.assertEqual((len(counts.counts), counts.counts["event-1"]), (MAX_NAMES, 2))
