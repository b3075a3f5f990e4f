"""
C{twist ockam-relay}: a node that others are reached through.
"""

from __future__ import annotations

from ockam_twisted.config import listenEndpoint
from ockam_twisted.configuration.parts import RelaySettings
from ockam_twisted.configuration.settings import NodeSettings
from ockam_twisted.tap.options import NodeOptions, makeNodeService


class Options(NodeOptions):
    """
    See the module.
    """

    command = "ockam-relay"
    synopsis = "[options]"
    longdesc = (
        "Runs a relay: outlets without a reachable address connect to it and register a name; inlets reach them "
        "by that name. What passes through is encrypted between inlet and outlet: the relay cannot read or change it."
    )
    examples = """\
  On all interfaces, for everybody:
    twist ockam-relay --listen 4000
  In the background, bound to one address, as a user without privileges:
    twistd --uid ockam --pidfile relay.pid --logfile relay.log \\
      ockam-relay --listen 192.0.2.1:4000 --state-dir /var/lib/ockam-relay
  For those with a ticket only (it prints one):
    twist ockam-relay --tickets --reached-at relay.example.com:4000
  For one outlet only (it prints its identifier):
    twist ockam-relay --authorized I3f...
"""

    def settings(self) -> NodeSettings:
        """
        See L{NodeOptions.settings}.
        """
        listeners = self["listen"] or ("tcp:4000",)
        return NodeSettings(
            state=self.state(),
            log=self.log(),
            listen=tuple(listenEndpoint(text, "--listen", everywhere=True) for text in listeners),
            relay=RelaySettings(**self.some("authorized", "tickets", "allow", "processes")),
            authorities=self.authorities(),
            tickets=self.tickets(),
            **self.some("reached-at", "allow-echo", "uppercase", "hop", "drain-timeout", "max-frame", "http"),
        )


makeService = makeNodeService
