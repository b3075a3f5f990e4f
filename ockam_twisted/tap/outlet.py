"""
C{twist ockam-outlet}: lets others reach a private TCP service.
"""

from __future__ import annotations

from twisted.python import usage

from ockam_twisted.configuration.parts import OutletSettings, RegistrationSettings
from ockam_twisted.configuration.secrets import given
from ockam_twisted.configuration.settings import NodeSettings
from ockam_twisted.tap.options import NodeOptions, makeNodeService


class Options(NodeOptions):
    """
    See the module.
    """

    command = "ockam-outlet"
    stray = "target"
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

    def settings(self) -> NodeSettings:
        """
        See L{NodeOptions.settings}.
        """
        if not self["target"] and not self["udp-target"]:
            raise usage.UsageError(
                "--target says which service to offer, for example --target 127.0.0.1:5432; or --udp-target"
            )
        relayTicket = given(self.ticket("relay-ticket"))
        name, relays = self.read("name"), self.read("relay")
        registrations = [RegistrationSettings(relay=each, name=name) for each in relays]
        if relayTicket:
            registrations.append(RegistrationSettings(ticket=relayTicket, name=name))
        if name and not registrations:
            raise usage.UsageError("--name is a name at a relay: give --relay HOST:PORT, too")
        return NodeSettings(
            state=self.state(),
            log=self.log(),
            listen=self.read("listen"),
            outlets=(
                OutletSettings(
                    **self.some("target", "udp-target", "udp-idle", "address", "proxy-protocol", "http-header")
                ),
            ),
            registrations=tuple(registrations),
            authorities=self.authorities(),
            authorityTicket=given(self.ticket("ticket")),
            tickets=self.tickets(False if self["no-ticket"] else None),
            **self.some("reached-at", "authorized", "allow", "trust-everyone", "allow-echo", "credential-lifetime"),
            **self.some("rendezvous", "resume-timeout", "drain-timeout", "max-frame", "http"),
        )


makeService = makeNodeService
