"""
C{twist ockam-relay}: a node that others are reached through.
"""

from __future__ import annotations

from twisted.python import usage

from ockam_twisted.config import NodeConfig, RelayServiceConfig, listenEndpoint
from ockam_twisted.processes.packets import isSupported
from ockam_twisted.tap.options import NodeOptions, makeNodeService

#: Every two of them have a link.
MAX_PROCESSES = 64


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
    optParameters = [
        ["allow", None, None, "Which members may register: a policy over attributes; needs --tickets or --authority"],
        ["allow-echo", None, None, "Who may use the echo worker through a channel: a policy"],
        ["processes", None, "1", "How many processes share the work: as many as there are cores for it"],
        ["authority", None, None, "IDENTIFIER@MULTIADDR of an ockam-authority that grants names (ockam-relay)"],
        ["drain-timeout", None, "5", "Seconds that outlets and inlets have to move on when this is stopped"],
        ["ticket-uses", None, "1", "How many outlets the ticket admits that is printed at the start"],
        ["ticket-expires", None, "10m", "How long it is good for: seconds, or 10m, 12h, 7d"],
    ]
    optFlags = [
        ["tickets", None, "A private relay: only who has redeemed a ticket may register"],
        ["uppercase", None, "Offer the `uppercase` worker, for trying out"],
        ["hop", None, "Offer the `hop` worker: anybody may route through this node"],
    ]

    def opt_listen(self, endpoint: str) -> None:
        """
        Where to listen: PORT (all interfaces), HOST:PORT or an endpoint string; repeatable [default: tcp:4000]
        """
        self._add("listen", endpoint)

    def opt_authorized(self, identifier: str) -> None:
        """
        Identifier of an outlet that may register; repeatable [default: anybody may]
        """
        self._add("authorized", identifier)

    def config(self) -> NodeConfig:
        """
        See L{NodeOptions.config}.
        """
        authorities = self.authorities()
        private = bool(self["tickets"] or authorities)
        if self["allow"] and not private:
            raise usage.UsageError("--allow is about members: give --tickets or --authority, too")
        listeners = self["listen"] or ("tcp:4000",)
        return NodeConfig(
            self.command,
            self.state(),
            listeners=tuple(listenEndpoint(text, "--listen", everywhere=True) for text in listeners),
            allowEcho=self["allow-echo"] or "",
            relayService=RelayServiceConfig(self["authorized"], private, self._processes(), self["allow"] or ""),
            authorities=authorities,
            tickets=self.tickets(bool(self["tickets"])) if private else None,
            maxFrame=self.maxFrame(),
            uppercase=bool(self["uppercase"]),
            hop=bool(self["hop"]),
            drainTimeout=self.number("drain-timeout", 0, 86400),
        )

    def _processes(self) -> int:
        count = int(self.number("processes", 1, MAX_PROCESSES))
        if count > 1 and not isSupported():
            raise usage.UsageError("--processes: this system does not have what several processes need; leave it out")
        if count > 1 and self.parent and self.parent.get("chroot"):
            raise usage.UsageError("--processes: there is no Python in --chroot; leave out one of them")
        return count


makeService = makeNodeService
