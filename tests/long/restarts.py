"""
A relay that is started again and again, and what is left of that.
"""

from __future__ import annotations

import time

from tests.scenarios.objects import CountedTestCase

RESTARTS, TRANSFERS = 100, 8


class RestartTests(CountedTestCase):
    """
    The relay is killed again and again.
    """

    options = ("--resume-timeout", "120")

    def test_restarts(self) -> None:
        """
        A hundred times, with eight transfers in both directions: no byte is
        lost or wrong, and in the end nothing is left of any of it.
        """
        self.begin(TRANSFERS, 200_000)
        self.kill("relay")
        self.launch("relay")
        self.goOn()
        self.finish()
        self.transfers.all.clear()
        time.sleep(1)
        before = self.holding("inlet", "outlet")
        for _ in range(TRANSFERS):
            self.add(200_000)
        self.goOn()
        pauses = []
        for _ in range(RESTARTS):
            self.kill("relay")
            self.launch("relay")
            pauses.append(self.goOn())
        self.finish()
        pauses.sort()
        self.report(
            f"{RESTARTS} restarts; all went on {pauses[RESTARTS // 2]:.1f} s after each (median), "
            f"{pauses[-1]:.1f} s (most)"
        )
        self.transfers.all.clear()
        self.settle(before)
