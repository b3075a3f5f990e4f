"""
Tests of L{ockam_twisted.ops.levels}.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import ConfigurationError
from ockam_twisted.ops.levels import LAYERS, Levels
from ockam_twisted.ops.records import OTHERS
from tests.log_calls import logCalls


class LevelsTests(SynchronousTestCase):
    """
    What is logged.
    """

    def test_layers(self) -> None:
        """
        Every layer that logs can be named, and no other: LAYERS in
        ockam_twisted/ops/levels.py has all of them.
        """
        self.assertEqual(sorted(LAYERS), sorted({call.layer for call in logCalls()} | {OTHERS}))

    def test_parse(self) -> None:
        """
        One for all, some for layers, or both.
        """
        self.assertEqual(Levels.parse("warn"), Levels("warn"))
        both = Levels.parse("portals=debug, error,sessions=info")
        self.assertEqual(both, Levels("error", (("portals", "debug"), ("sessions", "info"))))
        self.assertEqual([both.of("portals"), both.of("relays"), both.least], ["debug", "error", "debug"])
        self.assertEqual(Levels.parse("portals=debug", default="warn").of("relays"), "warn")

    def test_wrong(self) -> None:
        """
        What is misspelt is named, with the nearest right spelling.
        """
        for text, line in (
            ("wran", "--log-level: 'wran' is no level: did you mean 'warn'?"),
            ("portal=debug", "--log-level: 'portal' is no layer: did you mean 'portals'?"),
            ("portals=loud", "--log-level: 'loud' is no level: debug, info, warn, error, critical"),
            ("", "--log-level: '' is no level: debug, info, warn, error, critical"),
            ("info,", "--log-level: '' is no level: debug, info, warn, error, critical"),
        ):
            error = self.assertRaises(ConfigurationError, Levels.parse, text)
            self.assertEqual(str(error), line)

    def test_filtered(self) -> None:
        """
        Each layer has its level, and others have the one for all.
        """
        passed: list[Any] = []
        observer = Levels.parse("warn,portals=debug,sessions=error").filtered(passed.append)
        for layer in ("portals", "sessions", "relays"):
            log = Logger(namespace=f"ockam_twisted.{layer}.somewhere", observer=observer)
            log.debug("{layer} debug", layer=layer)
            log.info("{layer} info", layer=layer)
            log.warn("{layer} warn", layer=layer)
            log.error("{layer} error", layer=layer)
        Logger(namespace="twisted.internet", observer=observer).info("{layer} info", layer="twisted")
        self.assertEqual(
            [f"{each['layer']} {each['log_level'].name}" for each in passed],
            ["portals debug", "portals info", "portals warn", "portals error"]
            + ["sessions error", "relays warn", "relays error"],
        )
        self.assertEqual(len(passed), 7)

    def test_legacy(self) -> None:
        """
        What has no level is C{info}, or C{critical}.
        """
        passed: list[Any] = []
        observer = Levels("warn").filtered(passed.append)
        observer({"message": ("x",)})
        observer({"message": ("x",), "isError": 1})
        self.assertEqual(len(passed), 1)
