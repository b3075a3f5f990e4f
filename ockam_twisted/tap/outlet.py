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
    duration,
    listenEndpoint,
)
from ockam_twisted.tap.options import NodeOptions, makeNodeService


class Options(NodeOptions):
    """
    See the module.
    """

    command = "ockam-outlet"
    synopsis = "--target HOST:PORT --relay HOST:PORT [options]"
    longdesc = (
        "Runs beside a private TCP service and lets others reach it, end-to-end encrypted, without an open port: it "
        "connects out to a relay. It prints a ticket, which an inlet is paired by, once; nobody else gets in."
    )
    examples = """\
  Beside the service; it prints a ticket:
    twist ockam-outlet --target 127.0.0.1:5432 --relay relay.example.com:4000
  Beside the client, with that ticket:
    twist ockam-inlet --listen 5432 --ticket ockamticket1...
  A ticket for somebody else, while it runs:
    ockam-twisted ticket create
  Without tickets, for whom `ockam-twisted identity show` names beside the client:
    twist ockam-outlet --target 127.0.0.1:5432 --relay relay.example.com:4000 \\
      --authorized I3f...
  For whom an ockam-authority attests that they have the attribute `dba`:
    twist ockam-outlet --target 127.0.0.1:5432 --relay relay.example.com:4000 \\
      --authority I77...@/dnsaddr/authority.example.com/tcp/4100/secure/api --allow dba
"""
    optParameters = [
        ["target", "t", None, "The service: PORT (on this machine), HOST:PORT or an endpoint string"],
        ["name", None, None, "Relay name to register [default: this outlet's identifier]"],
        ["address", None, "outlet", "Worker address of the outlet"],
        ["allow", None, None, "Who may connect: a policy over attributes, such as 'dba or admin'"],
        ["allow-echo", None, None, "Who may use the echo worker through a channel: a policy"],
        ["authority", None, None, "IDENTIFIER@MULTIADDR of an ockam-authority whose members may connect"],
        ["ticket", None, None, "Become a member of an authority: TICKET, @FILE, or - for standard input"],
        ["relay-ticket", None, None, "Register at a private relay: TICKET, @FILE, or - (in place of --relay)"],
        ["ticket-uses", None, "1", "How many inlets the ticket pairs that is printed at the start"],
        ["ticket-expires", None, "10m", "How long it is good for: seconds, or 10m, 12h, 7d"],
        [
            "resume-timeout",
            None,
            "60",
            "Seconds that open streams wait for a new way when theirs is lost; 0: reset at once",
        ],
        ["drain-timeout", None, "5", "Seconds that open streams have to end when this is stopped; then they are reset"],
        ["credential-lifetime", None, "10m", "How long a credential is good for that this outlet issues to members"],
    ]
    optFlags = [
        ["trust-everyone", None, "Accept anybody who knows the way; excludes --authorized and --allow"],
        ["no-ticket", None, "Print no ticket at the start"],
    ]

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
        relayTicket = self.ticket("relay-ticket")
        if not self["relay"] and not self["listen"] and not relayTicket:
            raise usage.UsageError(
                "nobody can reach this outlet: give --relay HOST:PORT (no open port), or --listen ENDPOINT"
            )
        if self["name"] and not self["relay"] and not relayTicket:
            raise usage.UsageError("--name is a name at a relay: give --relay HOST:PORT, too")
        trust = outletTrustConfig(self)
        authorities = self.authorities()
        ticket = self.ticket("ticket")
        atStart = not (self["no-ticket"] or trust.everyone or trust.authorized or trust.allow or authorities or ticket)
        name = self["name"] or ""
        registrations = [
            RegistrationConfig(text if text.startswith("/") else dialEndpoint(text, "--relay"), text, name)
            for text in self["relay"]
        ]
        if relayTicket:
            registrations.append(ticketRegistration(relayTicket, name))
        return NodeConfig(
            self.command,
            self.state(),
            listeners=tuple(listenEndpoint(text, "--listen") for text in self["listen"]),
            trust=trust,
            registrations=tuple(registrations),
            outlets=(OutletConfig(dialEndpoint(self["target"], "--target"), self["target"], self["address"]),),
            maxFrame=self.maxFrame(),
            authorities=authorities,
            authorityTicket=ticket,
            tickets=self.tickets(atStart),
            allowEcho=self["allow-echo"] or "",
            resumeTimeout=self.number("resume-timeout", 0, 86400),
            drainTimeout=self.number("drain-timeout", 0, 86400),
            credentialLifetime=duration(self["credential-lifetime"], "--credential-lifetime"),
        )


def ticketRegistration(text: str, name: str) -> RegistrationConfig:
    """
    A registration at the relay that a ticket is of.

    @raise InvalidTicket: It is none.
    """
    from ockam_twisted.authority.ticket import Ticket

    ways = Ticket.fromText(text).ways
    place = str(ways[0]).removesuffix("/secure/api") if ways else ""
    return RegistrationConfig(place, place, name, text)


def outletTrustConfig(options: NodeOptions) -> TrustConfig:
    """
    What C{--authorized}, C{--allow} and C{--trust-everyone} say together.
    """
    if options["trust-everyone"] and (options["authorized"] or options["allow"]):
        raise usage.UsageError("--trust-everyone accepts anybody: it excludes --authorized and --allow")
    return TrustConfig(options["authorized"], bool(options["trust-everyone"]), options["allow"] or "")


makeService = makeNodeService
