"""
A slow road, of which one client takes all there is: what others have to wait for.
"""

from __future__ import annotations

import statistics
import time

from tests.scenarios.faults import FaultTestCase

#: Bytes a second, and seconds there: 1 Mbit/s, in a home.
RATE, DELAY = 125_000, 0.025

#: Seconds that an answer may take.  It crosses the road four times, and waits for what is under
#: way twice; with a whole first window under way that would be more than three.
SOON = 2.0


class SlowRoadTests(FaultTestCase):
    """
    An inlet that is connected by 1 Mbit/s.  These use real time.
    """

    def _answered(self) -> float:
        """
        @return: The seconds until a new client has its answer.
        """
        began = time.monotonic()
        one = self.add(0, 1)
        self.until(lambda: one.down.received > 0, "an answer")
        return time.monotonic() - began

    def _beside(self, up: float, down: float) -> None:
        self.begin(0)
        self.roads["inlet"].change(rate=RATE, delay=DELAY, queue=64_000)
        bulk = self.add(up, down)
        # Until it is known to be slow.
        began = time.monotonic()
        self.until(lambda: bulk.moved >= 8 * RATE and time.monotonic() - began >= 8, "what was under way has gone")
        before, began = bulk.moved, time.monotonic()
        waited = [self._answered() for _ in range(7)]
        rate = (bulk.moved - before) / (time.monotonic() - began)
        typical = statistics.median(waited)
        print(
            f"\n      an answer takes {typical:.1f} s, {max(waited):.1f} s at most, beside {rate / 1e3:.0f} kB/s",
            end="",
        )
        self.assertLess(typical, SOON)
        # The others have taken their part.
        self.assertGreater(rate, RATE / 3)
        self.roads["inlet"].change(rate=0, delay=0.0)
        self.finish()

    def test_download(self) -> None:
        """
        Who connects beside a download has an answer soon.
        """
        self._beside(0, 1e9)

    def test_upload(self) -> None:
        """
        Beside an upload, too.
        """
        self._beside(1e9, 0)
