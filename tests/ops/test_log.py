"""
Tests of L{ockam_twisted.ops.log}.
"""

from __future__ import annotations

import io
import json

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, Logger
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.ops.levels import Levels
from ockam_twisted.ops.log import formatFor, nodeLog


class Terminal(io.StringIO):
    """
    Somebody looks.
    """

    def isatty(self) -> bool:
        """
        Yes.
        """
        return True


class LogTests(SynchronousTestCase):
    """
    From a logger to a file.
    """

    def test_format(self) -> None:
        """
        Text on a terminal, JSON elsewhere, unless one of them is asked for.
        """
        self.assertEqual(
            [formatFor(file, format) for file in (Terminal(), io.StringIO()) for format in ("auto", "text", "json")],
            ["text", "text", "json", "json", "text", "json"],
        )

    def test_lines(self) -> None:
        """
        Lines of the levels that are asked for, repetitions once.
        """
        file, clock = io.StringIO(), Clock()
        observer = nodeLog(file, "auto", Levels("warn"), clock)
        self.assertTrue(ILogObserver.providedBy(observer))
        log = Logger(namespace="ockam_twisted.relays.x", observer=observer)
        for _ in range(10):
            log.warn("No", event="name-refused")
            log.info("Yes", event="name-given")
        clock.advance(10)
        lines = [json.loads(line) for line in file.getvalue().splitlines()]
        self.assertEqual([each["message"] for each in lines], ["No", "No (9 more times in 10 s)"])

    def test_text(self) -> None:
        """
        Text for people.
        """
        file = Terminal()
        log = Logger(namespace="ockam_twisted.relays.x", observer=nodeLog(file, "auto", Levels(), Clock()))
        log.info("Yes", event="name-given")
        self.assertRegex(file.getvalue(), r"^\S+ \[relays info name-given\] Yes\n$")
