"""
Tests for L{ockam_twisted.portals.shares}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.portals.budgets import WindowBudget
from ockam_twisted.portals.shares import FIRST_WINDOW, FLOOR, SMALLEST_WINDOW, ChannelShare
from ockam_twisted.portals.windows import ReceiveWindow


class ShareTests(SynchronousTestCase):
    """
    L{ChannelShare}.
    """

    def test_shared(self) -> None:
        """
        Streams of one channel that carries little are not promised more than
        a relay can hold, and all the same; what was promised is kept.
        """
        share = ChannelShare(0.0)
        windows = [ReceiveWindow(share.first(0.0), WindowBudget(), share, 0.0) for _ in range(40)]
        self.assertEqual(windows[0].size, FIRST_WINDOW)
        self.assertEqual(windows[-1].size, SMALLEST_WINDOW)
        windows[0].roundTrip(0.1)
        # Whatever is permitted is on its way; 100 kB arrive in a second.
        for step in range(8000):
            window = windows[step % len(windows)]
            granted = window.granted
            window.accept(min(10_000, granted - window.received))
            if window.received >= window.mark:
                self.assertGreaterEqual(window.grant(window.received, step * 0.1), granted)
                self.assertLessEqual(window.granted, window.received + window.size)
        sizes = [window.size for window in windows]
        self.assertLess(max(sizes) - min(sizes), SMALLEST_WINDOW)
        self.assertLess(sum(sizes), 1.2 * FLOOR)

    def test_idle(self) -> None:
        """
        One that is idle leaves its part to the others, the sooner the more
        the channel carries.
        """
        share = ChannelShare(0.0)
        one, two = (ReceiveWindow(FLOOR // 2, WindowBudget(), share, 0.0) for _ in range(2))
        self.assertEqual(share.fit(one, 2 * FLOOR, 1, 60.0), FLOOR // 2)
        self.assertEqual(share.fit(one, 2 * FLOOR, 0, 121.0), FLOOR // 2)
        self.assertEqual(share.fit(one, 2 * FLOOR, 1, 121.0), FLOOR)
        share.fit(two, 0, 0, 121.0)
        one.roundTrip(0.01)
        share.fit(one, 0, 1000 * FLOOR, 123.0)
        self.assertEqual(share.fit(one, 10_000 * FLOOR, 1000 * FLOOR, 125.0), share.limit)
        one.close()
        self.assertEqual(share.used, 0)

    def test_manyOpened(self) -> None:
        """
        Many that open at once are together promised little more than one
        channel may have.
        """
        share = ChannelShare(0.0)
        windows = []
        for _ in range(32):
            window = ReceiveWindow(share.first(0.0), WindowBudget(), share, 0.0)
            window.grant(0, 0.0)
            windows.append(window)
        self.assertLessEqual(sum(window.granted for window in windows), FLOOR + 32 * SMALLEST_WINDOW)
