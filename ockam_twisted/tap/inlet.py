"""
C{twist ockam-inlet}: makes a private TCP service available here.
"""

from __future__ import annotations

from twisted.python import usage

from ockam_twisted.configuration.parts import InletSettings
from ockam_twisted.configuration.secrets import given
from ockam_twisted.configuration.settings import NodeSettings
from ockam_twisted.tap.options import NodeOptions, makeNodeService


class Options(NodeOptions):
    """
    See the module.
    """

    command = "ockam-inlet"
    elsewhere = {"relay": "the ticket says which relay"}
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
    twist ockam-inlet --listen 5432 \\
      --to I3f...@/dnsaddr/relay.example.com/tcp/4000/service/forward_to_I3f.../secure/api/service/outlet \\
      --to I77...@/dnsaddr/relay.example.com/tcp/4000/service/forward_to_I77.../secure/api/service/outlet
"""

    def settings(self) -> NodeSettings:
        """
        See L{NodeOptions.settings}.
        """
        if not self["listen"] and not self["udp-listen"]:
            raise usage.UsageError("--listen says where clients connect, for example --listen 5432; or --udp-listen")
        its = self.some(
            "listen",
            "udp-listen",
            "udp-idle",
            "to",
            "authorized",
            "allow",
            "trust-everyone",
            "connect-timeout",
            "tell-client",
            "once",
        )
        return NodeSettings(
            state=self.state(),
            log=self.log(),
            inlets=(InletSettings(ticket=given(self.ticket("ticket")), **its),),
            authorities=self.authorities(),
            **self.some("rendezvous", "resume-timeout", "drain-timeout", "max-frame", "http"),
        )


makeService = makeNodeService
