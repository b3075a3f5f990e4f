"""
Tests of L{ockam_twisted.tap.service}, in memory, with a folder that cannot be
had.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.logger import globalLogPublisher

from ockam_twisted.config import StateConfig
from ockam_twisted.errors import StateUnusable
from ockam_twisted.ops.records import layerOf
from ockam_twisted.tap.service import CommandService
from tests.configs import RELAY
from tests.test_assembly import ServiceTestCase


class CommandServiceTests(ServiceTestCase):
    """
    What is in the way of a start.
    """

    def setUp(self) -> None:
        super().setUp()
        place = Path(self.mktemp())
        place.touch()
        self.config = evolve(RELAY, state=StateConfig(str(place / "state")))

    def test_refused(self) -> None:
        """
        It is one line in the log, status 1, and the end of the reactor.
        """
        stops: list[float] = []
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.patch(self.reactor, "stop", lambda: stops.append(self.reactor.seconds()))
        service = CommandService(self.config, self.reactor, None, {"nodaemon": True})
        service.startService()
        [event] = [each for each in events if each.get("event") == "start-failed"]
        self.assertIn("state folder", event["reason"])
        # As that of a node that somebody else runs.
        self.assertEqual(layerOf(event), "assembly")
        # It does not run yet.
        self.assertEqual((service.exitStatus, stops), (1, []))
        self.reactor.advance(0)
        self.assertEqual(len(stops), 1)
        self.assertIn("state folder", self.successResultOf(service.ready))
        self.end(service)

    def test_background(self) -> None:
        """
        Whoever waits for C{twistd} to go into the background is told.
        """
        service = CommandService(self.config, self.reactor, None, {"statusPipe": 7})
        self.assertRaises(StateUnusable, service.startService)
        self.end(service)

    def test_good(self) -> None:
        """
        Otherwise it is a node as any other.
        """
        service = CommandService(RELAY, self.reactor)
        service.startService()
        self.assertEqual(self.reactor.wait(service.ready), "")
        self.assertEqual(service.exitStatus, 0)
        self.end(service)
