"""
C{twist ockam-inlet}: makes a private TCP service available here.
"""

from __future__ import annotations

from twisted.python import usage

from ockam_twisted.config import InletConfig, NodeConfig, listenEndpoint
from ockam_twisted.tap.options import NodeOptions, makeNodeService
from ockam_twisted.tap.outlet import outletTrustConfig


class Options(NodeOptions):
    """
    See the module.
    """

    command = "ockam-inlet"
    synopsis = "--listen PORT --ticket TICKET [options]"
    longdesc = (
        "Listens for local clients and connects each of them, end-to-end encrypted, to a private TCP service beside "
        "an outlet. It is paired once, by a ticket that the outlet prints; later starts need none."
    )
    examples = """\
  The first time, with what the outlet has printed, or somebody was sent:
    twist ockam-inlet --listen 5432 --ticket ockamticket1...
    twist ockam-inlet --listen 5432 --ticket @ticket.txt
  From then on:
    twist ockam-inlet --listen 5432
  Without a ticket; both I3f... are the outlet's identifier:
    twist ockam-inlet --listen 5432 --authorized I3f... --to \\
      /dnsaddr/relay.example.com/tcp/4000/service/forward_to_I3f.../secure/api/service/outlet
  Two outlets of one service: clients go to one that is up:
    twist ockam-inlet --listen 5432 \
      --to I3f...@/dnsaddr/relay.example.com/tcp/4000/service/forward_to_I3f.../secure/api/service/outlet \
      --to I77...@/dnsaddr/relay.example.com/tcp/4000/service/forward_to_I77.../secure/api/service/outlet
"""
    optParameters = [
        ["listen", "l", None, "Where clients connect: PORT (loopback), HOST:PORT or an endpoint string"],
        ["ticket", None, None, "The ticket of an outlet: TICKET, @FILE, or - for standard input"],
        ["allow", None, None, "What the outlet must be by the word of --authority: a policy over attributes"],
        ["authority", None, None, "IDENTIFIER@MULTIADDR of an ockam-authority that attests who the outlet is"],
        [
            "resume-timeout",
            None,
            "60",
            "Seconds that open streams wait for a new way when theirs is lost; 0: reset at once",
        ],
        ["drain-timeout", None, "5", "Seconds that open streams have to end when this is stopped; then they are reset"],
        ["connect-timeout", None, "10", "Seconds a client is held until its stream is open"],
    ]
    optFlags = [["trust-everyone", None, "Accept any outlet at the end of the way; excludes --authorized"]]

    def opt_to(self, way: str) -> None:
        """
        Way to the outlet [default: as the ticket says], or to several: MULTIADDR or IDENTIFIER@MULTIADDR; repeatable
        """
        self._add("to", way)

    def opt_authorized(self, identifier: str) -> None:
        """
        Identifier that the outlet must have; repeatable
        """
        self._add("authorized", identifier)

    def config(self) -> NodeConfig:
        """
        See L{NodeOptions.config}.
        """
        if not self["listen"]:
            raise usage.UsageError("--listen says where clients connect, for example --listen 5432")
        trust = outletTrustConfig(self)
        return NodeConfig(
            self.command,
            self.state(),
            inlets=(
                InletConfig(
                    listenEndpoint(self["listen"], "--listen"),
                    self["to"],
                    trust,
                    self.number("connect-timeout", 0.1, 3600),
                    self.ticket("ticket"),
                ),
            ),
            maxFrame=self.maxFrame(),
            authorities=self.authorities(),
            resumeTimeout=self.number("resume-timeout", 0, 86400),
            drainTimeout=self.number("drain-timeout", 0, 86400),
        )


makeService = makeNodeService
