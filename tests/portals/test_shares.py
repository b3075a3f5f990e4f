"""
Tests for L{ockam_twisted.portals.shares}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.portals.budgets import WindowBudget
from ockam_twisted.portals.shares import (
    FIRST_WINDOW,
    FLOOR,
    INTERVAL,
    LATELY,
    LITTLE,
    LUMP_BESIDE,
    LUMP_OF_ONE,
    SMALLEST_WINDOW,
    ChannelShare,
)
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
        windows[0].answered(0.1)
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
        one.answered(0.01)
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


class LumpTests(SynchronousTestCase):
    """
    What may be on its way to a stream at once.
    """

    def setUp(self) -> None:
        """
        A channel with a short round trip.
        """
        self.now = 0.0
        self.share = ChannelShare(0.0)
        self.share.rtt = 0.001

    def window(self) -> ReceiveWindow:
        """
        Of a new stream.
        """
        return ReceiveWindow(100 * FLOOR, WindowBudget(), self.share, self.now)

    def said(self, window: ReceiveWindow, size: int) -> float:
        """
        So many bytes come, and it is time to look.

        @return: The lump after that.
        """
        window.accept(size)
        self.now += INTERVAL
        self.share.first(self.now)
        return self.share.lump(self.now)

    def test_bulk(self) -> None:
        """
        Streams that only say much have large lumps, also when they begin and when they end.
        """
        one, two = self.window(), self.window()
        for size in (100, LITTLE, 100 * LITTLE, 100):
            one.accept(size)
            self.assertEqual(self.said(two, size), LUMP_OF_ONE)
        one.close()
        self.assertEqual(self.said(two, LITTLE), LUMP_OF_ONE)

    def test_little(self) -> None:
        """
        Beside one that says little, again and again, they have small ones, all together; that
        ends a while after it has said something last.
        """
        bulk, little = self.window(), self.window()
        bulk.accept(LITTLE)
        self.assertEqual(self.said(little, 64), LUMP_OF_ONE)
        bulk.accept(LITTLE)
        self.assertEqual(self.said(little, 64), LUMP_BESIDE / 2)
        self.assertEqual(self.said(bulk, LITTLE), LUMP_BESIDE / 2)
        self.now += LATELY
        self.assertEqual(self.said(bulk, LITTLE), LUMP_OF_ONE)

    def test_quiet(self) -> None:
        """
        One that was quiet, and says little, is heard at once; not if it says much.
        """
        bulk, quiet = self.window(), self.window()
        self.assertEqual(self.said(bulk, LITTLE), LUMP_OF_ONE)
        quiet.accept(LITTLE)
        self.assertEqual(self.share.lump(self.now), LUMP_OF_ONE)
        self.said(bulk, LITTLE)
        self.assertEqual(self.said(bulk, LITTLE), LUMP_OF_ONE)
        quiet.accept(64)
        self.assertEqual(self.share.lump(self.now), LUMP_BESIDE / 2)

    def test_short(self) -> None:
        """
        So they have beside short streams that come and go.
        """
        bulk, short = self.window(), self.window()
        self.said(bulk, LITTLE)
        short.accept(64)
        short.close()
        self.assertEqual(self.said(bulk, LITTLE), LUMP_BESIDE)

    def test_moved(self) -> None:
        """
        What came over another channel was not said here.
        """
        window, share = self.window(), ChannelShare(0.0)
        window.accept(64)
        window.moved(share, 0.0)
        self.assertEqual(self.share._seen, {})
        window.accept(64)
        share.first(1.0)
        self.assertEqual(share.lump(1.0), LUMP_OF_ONE)
        window.close()
        self.assertEqual((share._seen, share._little), ({}, set()))
