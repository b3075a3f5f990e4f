"""
Tests of L{ockam_twisted.parts.difference}.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve, fields
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.config import (
    AuthorityServiceConfig,
    InletConfig,
    NodeConfig,
    OutletConfig,
    RegistrationConfig,
    RelayServiceConfig,
    StateConfig,
    TrustConfig,
)
from ockam_twisted.errors import ConfigurationError
from ockam_twisted.parts.difference import CHANGEABLE, FIXED, difference, keyed

A = InletConfig("tcp:1", "x", TrustConfig(), name="a")
OUTLET = OutletConfig("tcp:host=x:port=1", "x:1")
RELAY = RegistrationConfig("tcp:host=r:port=1", "r:1", "blue")
CONFIG = NodeConfig("ockam-node", listeners=("tcp:4000",), inlets=(A,), outlets=(OUTLET,), registrations=(RELAY,))


class DifferenceTests(SynchronousTestCase):
    """
    What becomes of parts.
    """

    def test_nothing(self) -> None:
        """
        Equal configurations do not differ.
        """
        found = difference(CONFIG, evolve(CONFIG))
        self.assertTrue(found.isNothing)
        self.assertEqual(
            found.asJSON(),
            {
                "added": [],
                "removed": [],
                "changed": [],
                "kept": ["listener tcp:4000", "inlet a", "outlet outlet", "relay r:1 as blue"],
            },
        )

    def test_parts(self) -> None:
        """
        Parts are told apart by name, address, or place.
        """
        new = evolve(
            CONFIG,
            listeners=("tcp:4001",),
            inlets=(evolve(A, listen="tcp:2"), evolve(A, name="", listen="tcp:3")),
            outlets=(evolve(OUTLET, address="other"),),
            registrations=(evolve(RELAY, name=""),),
            drainTimeout=3.0,
        )
        self.assertEqual(
            difference(CONFIG, new).asJSON(),
            {
                "added": ["listener tcp:4001", "inlet tcp:3", "outlet other", "relay r:1"],
                "removed": ["listener tcp:4000", "outlet outlet", "relay r:1 as blue"],
                "changed": ["inlet a", "drain timeout"],
                "kept": [],
            },
        )

    def test_sameName(self) -> None:
        """
        Two places that are written the same, as port 0, are two.
        """
        config = evolve(CONFIG, listeners=("tcp:0", "tcp:0", "tcp:0"))
        self.assertEqual(
            [name for kind, name in keyed(config) if kind == "listener"], ["tcp:0", "tcp:0 (2)", "tcp:0 (3)"]
        )

    def test_restart(self) -> None:
        """
        What needs a restart is refused in one line that names all of it.
        """
        cases: list[tuple[dict[str, Any], str]] = [
            ({"command": "ockam-relay"}, "command"),
            ({"state": StateConfig("elsewhere")}, "state"),
            ({"hop": True, "uppercase": True}, "uppercase, hop"),
            ({"http": "tcp:1"}, "http"),
            ({"relayService": RelayServiceConfig()}, "whether it is a relay"),
            ({"authorityService": AuthorityServiceConfig()}, "whether it is an authority"),
        ]
        for changes, expected in cases:
            error = self.assertRaises(ConfigurationError, difference, CONFIG, evolve(CONFIG, **changes))
            self.assertIn(f"restart of the node: another value for {expected}", str(error))
            self.assertNotIn("\n", str(error))
        relay = evolve(CONFIG, relayService=RelayServiceConfig())
        several = evolve(relay, relayService=RelayServiceConfig(processes=2))
        self.assertIn("processes", str(self.assertRaises(ConfigurationError, difference, relay, several)))

    def test_everything(self) -> None:
        """
        Each field of a node is part of something, or in one of both tables:
        a new one that nobody has thought of does not go unnoticed.
        """
        parts = {"listeners", "inlets", "outlets", "registrations"}
        self.assertEqual({each.name for each in fields(NodeConfig)}, parts | set(CHANGEABLE) | set(FIXED))
