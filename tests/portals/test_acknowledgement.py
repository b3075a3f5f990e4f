"""
Tests for L{ockam_twisted.portals.acknowledgement}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.portals.acknowledgement import Acknowledgement
from ockam_twisted.portals.shares import SMALLEST_WINDOW


class AcknowledgementTests(SynchronousTestCase):
    """
    What is said after a moment.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.told = 0
        self.received = 0
        self.acknowledgement = Acknowledgement(self.clock, self.say)

    def say(self) -> None:
        """
        The far end hears of it.
        """
        self.told += 1
        self.acknowledgement.said(self.received)

    def receive(self, size: int) -> None:
        """
        Bytes come.
        """
        self.received += size
        self.acknowledgement.bytesReceived(self.received)

    def test_bytes(self) -> None:
        """
        As many as a small sender keeps are acknowledged once, after a moment;
        fewer are not.
        """
        self.receive(SMALLEST_WINDOW - 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.receive(1)
        self.receive(SMALLEST_WINDOW)
        self.assertEqual(self.told, 0)
        self.clock.advance(0.05)
        self.assertEqual((self.told, self.clock.getDelayedCalls()), (1, []))

    def test_saidMeanwhile(self) -> None:
        """
        What was said with something else is not said again; what has come
        since is.
        """
        self.receive(SMALLEST_WINDOW)
        self.acknowledgement.said(self.received)
        self.clock.advance(0.05)
        self.assertEqual(self.told, 0)
        self.receive(SMALLEST_WINDOW)
        self.acknowledgement.said(self.received)
        self.receive(SMALLEST_WINDOW)
        self.clock.advance(0.05)
        self.assertEqual(self.told, 1)

    def test_end(self) -> None:
        """
        An end is acknowledged, too, whether bytes were or not.
        """
        self.acknowledgement.endReceived()
        self.assertTrue(self.acknowledgement.isEndDue)
        self.clock.advance(0.05)
        self.assertEqual((self.told, self.acknowledgement.isEndDue), (1, False))
        self.receive(SMALLEST_WINDOW)
        self.acknowledgement.endReceived()
        self.clock.advance(0.05)
        self.assertEqual((self.told, self.clock.getDelayedCalls()), (2, []))

    def test_close(self) -> None:
        """
        Of what is over nothing is said.
        """
        self.acknowledgement.endReceived()
        self.acknowledgement.close()
        self.acknowledgement.close()
        self.clock.advance(1)
        self.assertEqual(self.told, 0)
