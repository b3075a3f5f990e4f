"""
Tests of L{ockam_twisted.offers}.
"""

from __future__ import annotations

import sys
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.config import (
    InletConfig,
    NodeConfig,
    OutletConfig,
    RegistrationConfig,
    RelayServiceConfig,
    StateConfig,
    TrustConfig,
)
from ockam_twisted.offers import announce

WHO = "I" + "0" * 64
EVERYONE = TrustConfig(everyone=True)
MEMORY = StateConfig(ephemeral=True)
TO = "/ip4/127.0.0.1/tcp/4000/secure/api/service/outlet"

RELAY = NodeConfig("ockam-relay", MEMORY, ("tcp:4000",), EVERYONE, RelayServiceConfig())
OUTLET = NodeConfig(
    "ockam-outlet",
    MEMORY,
    trust=EVERYONE,
    registrations=(RegistrationConfig("tcp:host=127.0.0.1:port=4000", "127.0.0.1:4000"),),
    outlets=(OutletConfig("tcp:host=127.0.0.1:port=5000", "127.0.0.1:5000"),),
)
INLET = NodeConfig("ockam-inlet", MEMORY, inlets=(InletConfig("tcp:4001", TO, EVERYONE),))


class AnnounceTests(SynchronousTestCase):
    """
    What people copy.
    """

    def test_line(self) -> None:
        """
        It stands on a line of its own on the true standard output, although
        the log has taken the other one.
        """
        true, other = StringIO(), StringIO()
        self.patch(sys, "__stdout__", true)
        self.patch(sys, "stdout", other)
        announce("Identifier", WHO)
        self.assertEqual((true.getvalue(), other.getvalue()), (f"Identifier: {WHO}\n", ""))

    def test_nobodyListens(self) -> None:
        """
        Without a terminal, or with a closed one, nothing happens.
        """

        class Broken(StringIO):
            def flush(self) -> None:
                raise BrokenPipeError

        closed = StringIO()
        closed.close()
        for out in (None, closed, Broken()):
            self.patch(sys, "__stdout__", out)
            announce("Identifier", WHO)
