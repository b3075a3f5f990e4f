"""
C{twist ockam-inlet}: makes a private TCP service available here.
"""

from __future__ import annotations

from twisted.python import usage

from ockam_twisted.config import InletConfig, NodeConfig, listenEndpoint
from ockam_twisted.tap.options import NodeOptions, makeNodeService
from ockam_twisted.tap.outlet import trustConfig


class Options(NodeOptions):
    """
    See the module.
    """

    command = "ockam-inlet"
    synopsis = "--listen PORT --to MULTIADDR --authorized IDENTIFIER [options]"
    longdesc = (
        "Listens for local clients and connects each of them, end-to-end encrypted, to a private TCP service beside "
        "an outlet. The outlet prints its identifier and its forwarding address at its start."
    )
    examples = """\
  Through a relay; both I3f... are the outlet's identifier:
    twist ockam-inlet --listen 5432 --authorized I3f... --to \\
      /dnsaddr/relay.example.com/tcp/4000/service/forward_to_I3f.../secure/api/service/outlet
  To an outlet that listens itself:
    twist ockam-inlet --listen 5432 --authorized I3f... --to \\
      /ip4/192.0.2.1/tcp/4000/secure/api/service/outlet
"""
    optParameters = [
        ["listen", "l", None, "Where clients connect: PORT (loopback), HOST:PORT or an endpoint string"],
        ["to", None, None, "Where the outlet is: a MultiAddr, see the examples"],
        ["connect-timeout", None, "10", "Seconds a client is held until its stream is open"],
    ]
    optFlags = [["trust-everyone", None, "Accept any outlet at the end of the way; excludes --authorized"]]

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
        if not self["to"]:
            raise usage.UsageError(
                "--to says where the outlet is, for example "
                "--to /dnsaddr/relay.example.com/tcp/4000/service/forward_to_NAME/secure/api/service/outlet"
            )
        return NodeConfig(
            self.command,
            self.state(),
            inlets=(
                InletConfig(
                    listenEndpoint(self["listen"], "--listen"),
                    self["to"],
                    trustConfig(self, "the outlet prints it at its start"),
                    self.number("connect-timeout", 0.1, 3600),
                ),
            ),
            maxFrame=self.maxFrame(),
        )


makeService = makeNodeService
