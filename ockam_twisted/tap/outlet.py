"""
C{twist ockam-outlet}: lets others reach a private TCP service.
"""

from __future__ import annotations

from twisted.python import usage

from ockam_twisted.config import (
    NodeConfig,
    OutletConfig,
    RegistrationConfig,
    TrustConfig,
    dialEndpoint,
    listenEndpoint,
)
from ockam_twisted.tap.options import NodeOptions, makeNodeService


class Options(NodeOptions):
    """
    See the module.
    """

    command = "ockam-outlet"
    synopsis = "--target HOST:PORT --relay HOST:PORT --authorized IDENTIFIER [options]"
    longdesc = (
        "Runs beside a private TCP service and lets authorized inlets reach it, end-to-end encrypted, without an "
        "open port: it connects out to a relay. It prints its identifier and its forwarding address, which the "
        "inlet needs."
    )
    examples = """\
  Beside the client, once: who will the inlet be?
    ockam-twisted identity show --command ockam-inlet
  Beside the service, with what that has printed:
    twist ockam-outlet --target 127.0.0.1:5432 --relay relay.example.com:4000 \\
      --authorized I3f...
"""
    optParameters = [
        ["target", "t", None, "The service: PORT (on this machine), HOST:PORT or an endpoint string"],
        ["name", None, None, "Relay name to register [default: this outlet's identifier]"],
        ["address", None, "outlet", "Worker address of the outlet"],
    ]
    optFlags = [["trust-everyone", None, "Accept anybody who knows the way; excludes --authorized"]]

    def opt_relay(self, relay: str) -> None:
        """
        A relay to register at: HOST:PORT, an endpoint string or a MultiAddr; repeatable
        """
        self._add("relay", relay)

    def opt_listen(self, endpoint: str) -> None:
        """
        Listen for inlets directly: PORT (loopback), HOST:PORT or an endpoint string; repeatable
        """
        self._add("listen", endpoint)

    def opt_authorized(self, identifier: str) -> None:
        """
        Identifier of an inlet that may connect; repeatable
        """
        self._add("authorized", identifier)

    def config(self) -> NodeConfig:
        """
        See L{NodeOptions.config}.
        """
        if not self["target"]:
            raise usage.UsageError("--target says which service to offer, for example --target 127.0.0.1:5432")
        if not self["relay"] and not self["listen"]:
            raise usage.UsageError(
                "nobody can reach this outlet: give --relay HOST:PORT (no open port), or --listen ENDPOINT"
            )
        if self["name"] and not self["relay"]:
            raise usage.UsageError("--name is a name at a relay: give --relay HOST:PORT, too")
        trust = trustConfig(self, "an inlet that may connect: `ockam-twisted identity show` beside it prints it")
        return NodeConfig(
            self.command,
            self.state(),
            listeners=tuple(listenEndpoint(text, "--listen") for text in self["listen"]),
            trust=trust,
            registrations=tuple(
                RegistrationConfig(
                    text if text.startswith("/") else dialEndpoint(text, "--relay"), text, self["name"] or ""
                )
                for text in self["relay"]
            ),
            outlets=(OutletConfig(dialEndpoint(self["target"], "--target"), self["target"], self["address"]),),
            maxFrame=self.maxFrame(),
        )


def trustConfig(options: NodeOptions, whom: str) -> TrustConfig:
    """
    What C{--authorized} and C{--trust-everyone} say together.

    @param whom: Of whom the identifier is.
    """
    if options["trust-everyone"] and options["authorized"]:
        raise usage.UsageError("--trust-everyone accepts anybody: it excludes --authorized")
    if not options["trust-everyone"] and not options["authorized"]:
        raise usage.UsageError(
            f"nobody is trusted by default: give --authorized IDENTIFIER ({whom}; repeatable), "
            "or --trust-everyone to accept anybody who knows the way"
        )
    return TrustConfig(options["authorized"], bool(options["trust-everyone"]))


makeService = makeNodeService
