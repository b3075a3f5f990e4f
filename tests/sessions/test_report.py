"""
Tests of L{ockam_twisted.sessions.report}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.sessions.report import REPEAT, Report


class ReportTests(SynchronousTestCase):
    """
    One line for each change.
    """

    def test_repeated(self) -> None:
        """
        The same failure is said once in five minutes, another one at once,
        and all of them anew after the way was up.
        """
        lines: list[str] = []

        def observe(event: LogEvent) -> None:
            lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        clock = Clock()
        report = Report(clock, "it")
        for _ in range(30):
            report.waiting("nobody there", 1.0)
            clock.advance(REPEAT / 20)
        self.assertEqual(len(lines), 2)
        report.waiting("no route to host", 1.0)
        self.assertEqual(lines[-1], "it: no route to host; no way for 450 s, next try in 1.0 s")
        report.up("that")
        report.down()
        report.waiting("no route to host", 1.0)
        self.assertEqual(lines[-1], "it: no route to host; no way for 0 s, next try in 1.0 s")
        self.assertEqual(len(lines), 5)
        clock.advance(-100)
        report.waiting("no route to host", 1.0)
        self.assertEqual(lines[-1], "it: no route to host; no way for 0 s, next try in 1.0 s")
