"""
What the three plugins run, in memory, for whoever comes.
"""

from __future__ import annotations

from ockam_twisted.config import (
    InletConfig,
    NodeConfig,
    OutletConfig,
    RegistrationConfig,
    RelayServiceConfig,
    StateConfig,
    TrustConfig,
)

EVERYONE = TrustConfig(everyone=True)
MEMORY = StateConfig(ephemeral=True)

#: Where the inlet's outlet is.
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
