"""
Tests of L{ockam_twisted.sessions.report}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.ops.repeats import Repeats
from ockam_twisted.sessions.report import REPEAT, Report


class ReportTests(SynchronousTestCase):
    """
    One line for each change.
    """

    def test_repeated(self) -> None:
        """
        The same failure is said less and less often, with how often it was;
        another one at once; what was not said yet before the way is up; and
        all of them anew after that.  It is remembered once in five minutes.
        """
        lines: list[str] = []
        clock = Clock()
        repeats = Repeats(lambda event: lines.append(formatEvent(event)), clock)

        def observe(event: LogEvent) -> None:
            if event.get("event", "").startswith("session-"):
                repeats(event)

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        report = Report(clock, "it")
        for _ in range(30):
            report.waiting("nobody there", 1.0)
            clock.pump([1] * int(REPEAT / 20))
        self.assertEqual(
            lines,
            [
                "it: nobody there; no way for 0 s, next try in 1.0 s",
                "it: nobody there; no way for 15 s, next try in 1.0 s (1 more times in 15 s)",
                "it: nobody there; no way for 30 s, next try in 1.0 s (1 more times in 20 s)",
                "it: nobody there; no way for 60 s, next try in 1.0 s (2 more times in 40 s)",
                "it: nobody there; no way for 150 s, next try in 1.0 s (6 more times in 80 s)",
                "it: nobody there; no way for 300 s, next try in 1.0 s (10 more times in 160 s)",
            ],
        )
        self.assertEqual(len(report.history), 2)
        del lines[:]
        report.waiting("no route to host", 1.0)
        report.up("that")
        report.down()
        report.waiting("no route to host", 1.0)
        self.assertEqual(
            lines,
            [
                "it: nobody there; no way for 435 s, next try in 1.0 s (9 more times in 135 s)",
                "it: no route to host; no way for 450 s, next try in 1.0 s",
                "it: up, after 450 s without a way: that",
                "it: no route to host; no way for 0 s, next try in 1.0 s",
            ],
        )
        clock.advance(-100)
        report.waiting("no route to host", 1.0)
        self.assertEqual(report.history[-1][1:], ("waiting", "no route to host"))
