"""
Tests for L{ockam_twisted.portals.windows}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.portals.budgets import WindowBudget
from ockam_twisted.portals.shares import FLOOR, SMALLEST_WINDOW, ChannelShare
from ockam_twisted.portals.windows import ReceiveWindow, SendWindow
from ockam_twisted.wire.portal import MAX_PAYLOAD

KIB = 1024


class SendTests(SynchronousTestCase):
    """
    L{SendWindow}.
    """

    def test_pieces(self) -> None:
        """
        What is larger than there is room for leaves in parts.
        """
        window = SendWindow(10, WindowBudget())
        self.assertTrue(window.write(b"abcdef"))
        self.assertFalse(window.write(b"ghijkl"))
        self.assertEqual(bytes(window.take() or b""), b"ghij")
        self.assertIsNone(window.take())
        window.credit(6, 11)
        self.assertEqual(bytes(window.take() or b""), b"k")
        window.credit(6, 100)
        self.assertEqual(bytes(window.take() or b""), b"l")
        self.assertTrue(window.isIdle)

    def test_large(self) -> None:
        """
        No piece is larger than a Payload should be.
        """
        window = SendWindow(10 * MAX_PAYLOAD, WindowBudget())
        window.suspend()
        self.assertFalse(window.write(bytes(3 * MAX_PAYLOAD + 1)))
        window.rewind(0)
        sizes = []
        while (piece := window.take()) is not None:
            sizes.append(len(piece))
        self.assertEqual(sizes, [MAX_PAYLOAD, MAX_PAYLOAD, MAX_PAYLOAD, 1])

    def test_ownMaximum(self) -> None:
        """
        However much a peer permits: what it has not acknowledged is bounded
        by what the budget has, and given back when it has all.
        """
        budget = WindowBudget(4 * SMALLEST_WINDOW)
        budget.take(SMALLEST_WINDOW)
        window = SendWindow(10**12, budget)
        self.assertFalse(window.write(bytes(10 * SMALLEST_WINDOW)))
        self.assertEqual(len(window.take() or b""), SMALLEST_WINDOW)
        self.assertIsNone(window.take())
        window.credit(SMALLEST_WINDOW, 10**12)
        self.assertEqual(len(window.take() or b""), SMALLEST_WINDOW)
        window.close()
        budget.take(SMALLEST_WINDOW)
        window = SendWindow(10**12, budget, 3 * SMALLEST_WINDOW)
        self.assertTrue(window.write(bytes(2 * SMALLEST_WINDOW)))
        self.assertEqual((window.size, budget.used), (2 * SMALLEST_WINDOW, 2 * SMALLEST_WINDOW))
        self.assertTrue(window.write(bytes(SMALLEST_WINDOW)))
        self.assertFalse(window.write(b"x"))
        self.assertEqual((window.size, budget.used), (3 * SMALLEST_WINDOW, 3 * SMALLEST_WINDOW))
        window.credit(3 * SMALLEST_WINDOW, 10**12)
        self.assertEqual(window.take(), b"x")
        window.credit(3 * SMALLEST_WINDOW + 1, 10**12)
        self.assertEqual((window.size, budget.used), (SMALLEST_WINDOW, SMALLEST_WINDOW))
        window.close()
        self.assertEqual(budget.used, 0)

    def test_leavesRoom(self) -> None:
        """
        A window does not grow into what is left for new streams.
        """
        budget = WindowBudget(8 * SMALLEST_WINDOW)
        budget.take(6 * SMALLEST_WINDOW)
        window = SendWindow(10**12, budget)
        self.assertFalse(window.write(bytes(2 * SMALLEST_WINDOW)))
        self.assertEqual((window.size, budget.used), (SMALLEST_WINDOW, 6 * SMALLEST_WINDOW))

    def test_smallPieces(self) -> None:
        """
        Small pieces are kept together, and stay as they were whatever is
        written, acknowledged or sent again.
        """
        window = SendWindow(10**6, WindowBudget())
        data = bytes(range(256)) * 64
        for at in range(len(data)):
            self.assertTrue(window.write(data[at : at + 1]))
        self.assertLessEqual(len(window._kept), 5)
        window.credit(5000, 10**6)
        window.write(b"more")
        window.rewind(6000)
        window.write(b"and more")
        again = b""
        while (piece := window.take()) is not None:
            again += piece
        self.assertEqual(again, data[6000:] + b"more" + b"and more")

    def test_rewind(self) -> None:
        """
        What the far end lacks is sent again, what it has is not.
        """
        window = SendWindow(100, WindowBudget())
        for piece in (b"abc", b"def", b"ghi"):
            window.write(piece)
        window.credit(2, 100)
        window.rewind(4)
        self.assertEqual([bytes(window.take() or b"") for _ in range(3)], [b"efghi", b"", b""])


class ReceiveTests(SynchronousTestCase):
    """
    L{ReceiveWindow}.
    """

    def run_(
        self, rate: float, rtt: float, seconds: float, disturbed: float = 1e9, paused: float = 1e9
    ) -> ReceiveWindow:
        """
        A sender that fills the window, and a near end that takes so many
        bytes a second.

        @param disturbed: When there begins to be another stream that says little, seconds.
        @param paused: When the near end pauses for five seconds.
        """
        share = ChannelShare(0.0)
        window = ReceiveWindow(256 * KIB, WindowBudget(), share, 0.0)
        other = ReceiveWindow(16 * KIB, WindowBudget(), share, 0.0) if disturbed < seconds else None
        now, delivered, arriving = 0.0, 0, [(0.0, window.granted)]
        step = rtt / 10
        window.answered(rtt)
        while now < seconds:
            now += step
            if other is not None and now >= disturbed:
                other.received += 1
            permitted = max(limit for at, limit in arriving if at <= now)
            window.accept(permitted - window.received)
            if not paused <= now < paused + 5:
                delivered = min(window.received, delivered + int(rate * step))
            if delivered >= window.mark:
                arriving.append((now + rtt, window.grant(delivered, now)))
        return window

    def test_grows(self) -> None:
        """
        With a long way and a fast near end it grows to twice what is taken in
        a round trip.
        """
        window = self.run_(50e6, 0.1, 5)
        self.assertGreater(window.size, 5_000_000)
        self.assertLess(window.size, 16 * KIB * KIB + 1)

    def test_lumps(self) -> None:
        """
        With a short way it grows to what is taken in a while, so that there
        are fewer Credits; not beyond what a channel may have under way.
        """
        self.assertEqual(self.run_(200e6, 0.0005, 1).size // 100_000, 10)
        self.assertEqual(self.run_(1e9, 0.0005, 1).size, FLOOR)

    def test_beside(self) -> None:
        """
        It gives that up beside a stream that says little, but nothing that its round trip takes.
        """
        self.assertEqual(self.run_(200e6, 0.0005, 2, disturbed=1).size, 500_000)
        self.assertEqual(self.run_(50e6, 0.1, 5, disturbed=2).size, self.run_(50e6, 0.1, 5, disturbed=4.9).size)

    def test_stays(self) -> None:
        """
        With a near end that is not so fast it does not.
        """
        self.assertEqual(self.run_(0.8e6, 0.1, 60).size, 256 * KIB)

    def test_slow(self) -> None:
        """
        With a slow one it shrinks to what that takes in a while, or in two round trips if that is
        more, and soon; never below the smallest.
        """
        self.assertApproximates(self.run_(100e3, 0.1, 12).size, 40_000, 2000)
        self.assertApproximates(self.run_(100e3, 0.5, 30).size, 100_000, 10_000)
        self.assertEqual(self.run_(1e3, 0.1, 2000).size, SMALLEST_WINDOW)

    def test_slowNoMore(self) -> None:
        """
        It grows again as soon as there is a use for it.
        """
        share = ChannelShare(0.0)
        window = ReceiveWindow(256 * KIB, WindowBudget(), share, 0.0)
        window.answered(0.1)
        now = 0.0
        while window.size > SMALLEST_WINDOW:
            window.accept(window.granted - window.received)
            now += 10
            window.grant(window.received, now)
        trips = 0
        while window.size < 256 * KIB:
            trips += 1
            now += 0.1
            window.accept(window.granted - window.received)
            window.grant(window.received, now)
        self.assertLessEqual(trips, 4)

    def test_pause(self) -> None:
        """
        One pause of the near end does not make it slow.
        """
        for seconds in (8.1, 8.2, 8.3, 8.5):
            self.assertEqual(self.run_(0.8e6, 0.1, seconds, paused=3).size, 256 * KIB)

    def test_leavesRoom(self) -> None:
        """
        A window does not grow into what is left for new streams.
        """
        sizes = []
        for limit in (10_000, 600):
            budget = WindowBudget(limit * KIB)
            budget.take(256 * KIB)
            window = ReceiveWindow(256 * KIB, budget, ChannelShare(0.0), 0.0)
            for now in (0.01, 0.02, 0.03):
                window.accept(window.granted - window.received)
                window.grant(window.received, now)
            sizes.append(window.size > 256 * KIB)
        self.assertEqual(sizes, [True, False])

    def test_stopped(self) -> None:
        """
        Nor with one that has stopped: nothing more is granted.
        """
        window = ReceiveWindow(256 * KIB, WindowBudget(), ChannelShare(0.0), 0.0)
        window.accept(256 * KIB)
        self.assertEqual(window.grant(0, 5.0), 256 * KIB)
