"""
Tests for L{ockam_twisted.sessions.backoff}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.sessions.backoff import delayAfter


class DelayTests(SynchronousTestCase):
    """
    L{delayAfter}.
    """

    def test_grows(self) -> None:
        """
        It doubles, up to half a minute, and varies by half.
        """
        most = [delayAfter(failures, 0.0, max) for failures in (0, 1, 2, 8, 9, 1000, 10**6)]
        self.assertEqual(most, [0.1, 0.2, 0.4, 25.6, 30.0, 30.0, 30.0])
        least = [delayAfter(failures, 0.0, min) for failures in (0, 1, 9)]
        self.assertEqual(least, [0.05, 0.1, 15.0])

    def test_tried(self) -> None:
        """
        What an attempt has taken counts, but there is always some time
        between two of them.
        """
        self.assertEqual(delayAfter(9, 25.0, max), 5.0)
        self.assertEqual(delayAfter(9, 29.99, max), 0.05)
        self.assertEqual(delayAfter(9, 1000.0, max), 0.05)
        # A clock that was set back.
        self.assertEqual(delayAfter(0, -5.0, max), 0.1)
