"""
Which settings the commands have as options, and what they are called there.
"""

from __future__ import annotations

from attrs import frozen

from ockam_twisted.configuration.declared import Declared, find
from ockam_twisted.configuration.forms import Flag
from ockam_twisted.configuration.settings import NodeSettings


@frozen
class Offer:
    """
    An option of a command.

    @ivar option: Its name.
    @ivar path: Of the setting: groups and keys, joined by dots.
    @ivar short: A letter for it.
    @ivar help: What it is for, if that is not what the setting says.
    @ivar isMany: May it be given several times?  L{None}: as the setting is.
    @ivar default: What the help says of its default.
    """

    option: str
    path: str
    short: str | None = None
    help: str = ""
    isMany: bool | None = None
    default: str | None = None

    @property
    def declared(self) -> Declared:
        """
        The setting.
        """
        return find(NodeSettings, self.path)

    @property
    def isFlag(self) -> bool:
        """
        Does it take no value?
        """
        return isinstance(self.declared.setting.form, Flag)

    @property
    def isRepeatable(self) -> bool:
        """
        May it be given several times?
        """
        return self.declared.setting.isMany if self.isMany is None else self.isMany

    @property
    def text(self) -> str:
        """
        What the help says of it.
        """
        text = self.help or self.declared.setting.help
        if not self.isRepeatable:
            return text
        head, bracket, tail = text.partition(" [default")
        return f"{head}; repeatable{bracket}{tail}"


#: What all commands have.
COMMON = (
    Offer("state-dir", "state.folder"),
    Offer("instance", "state.instance"),
    Offer(
        "passphrase",
        "state.passphrase",
        help="Encrypt the secrets in it: FILE with the passphrase, credential:NAME (systemd) or env:NAME",
    ),
    Offer("vault", "state.vault"),
    Offer("ephemeral", "state.ephemeral"),
    Offer("max-frame", "max-frame"),
    Offer("http", "http"),
    Offer("log-level", "log.level"),
    Offer("log-format", "log.format"),
    Offer("audit-log", "log.audit"),
)

_AUTHORITY = "IDENTIFIER@MULTIADDR of an ockam-authority"
_TICKETS = "How many {} the ticket {} that is printed at the start"

RELAY = (
    Offer(
        "listen",
        "listen",
        help="Where to listen: PORT (all interfaces), HOST:PORT or an endpoint string [default: tcp:4000]",
    ),
    Offer("authorized", "relay.authorized"),
    Offer(
        "allow",
        "relay.allow",
        help="Which members may register: a policy over attributes; needs --tickets or --authority",
    ),
    Offer("allow-echo", "allow-echo"),
    Offer("processes", "relay.processes"),
    Offer("authority", "authorities.address", help=f"{_AUTHORITY} that grants names (ockam-relay)", isMany=False),
    Offer(
        "drain-timeout", "drain-timeout", help="Seconds that outlets and inlets have to move on when this is stopped"
    ),
    Offer("tickets", "relay.tickets"),
    Offer("ticket-uses", "tickets.uses", help=_TICKETS.format("outlets", "admits")),
    Offer("ticket-expires", "tickets.expires", default="10m"),
    Offer("reached-at", "reached-at"),
    Offer("uppercase", "uppercase"),
    Offer("hop", "hop"),
)

OUTLET = (
    Offer("target", "outlets.target", "t"),
    Offer("udp-target", "outlets.udp-target"),
    Offer("udp-idle", "outlets.udp-idle"),
    Offer("relay", "registrations.relay", isMany=True),
    Offer(
        "listen",
        "listen",
        help="Listen for inlets directly: PORT (loopback), HOST:PORT or an endpoint string",
    ),
    Offer("name", "registrations.name", help="Relay name to register [default: this outlet's identifier]"),
    Offer("address", "outlets.address"),
    Offer("proxy-protocol", "outlets.proxy-protocol"),
    Offer("http-header", "outlets.http-header"),
    Offer("authorized", "authorized", help="Identifier of an inlet that may connect"),
    Offer("allow", "allow", help="Who may connect: a policy over attributes, such as 'dba or admin'"),
    Offer(
        "trust-everyone",
        "trust-everyone",
        help="Accept anybody who knows the way; excludes --authorized and --allow",
    ),
    Offer("allow-echo", "allow-echo"),
    Offer("authority", "authorities.address", help=f"{_AUTHORITY} whose members may connect", isMany=False),
    Offer("ticket", "authority-ticket", help="Become a member of an authority: TICKET, @FILE, or - for standard input"),
    Offer(
        "relay-ticket",
        "registrations.ticket",
        help="Register at a private relay: TICKET, @FILE, or - (in place of --relay)",
    ),
    Offer("no-ticket", "tickets.at-start", help="Print no ticket at the start"),
    Offer("ticket-uses", "tickets.uses", help=_TICKETS.format("inlets", "pairs")),
    Offer("ticket-expires", "tickets.expires", default="10m"),
    Offer(
        "reached-at",
        "reached-at",
        help="HOST:PORT by which others reach --listen, for tickets [default: this host's name]",
    ),
    Offer("rendezvous", "rendezvous"),
    Offer("resume-timeout", "resume-timeout"),
    Offer("drain-timeout", "drain-timeout"),
    Offer(
        "credential-lifetime",
        "credential-lifetime",
        help="How long a credential is good for that this outlet issues to members",
        default="10m",
    ),
)

INLET = (
    Offer("listen", "inlets.listen", "l"),
    Offer("udp-listen", "inlets.udp-listen"),
    Offer("udp-idle", "inlets.udp-idle"),
    Offer("ticket", "inlets.ticket", help="The ticket of an outlet: TICKET, @FILE, or - for standard input"),
    Offer("to", "inlets.to"),
    Offer("authorized", "inlets.authorized"),
    Offer(
        "allow",
        "inlets.allow",
        help="What the outlet must be by the word of --authority: a policy over attributes",
    ),
    Offer(
        "trust-everyone",
        "inlets.trust-everyone",
        help="Accept any outlet at the end of the way; excludes --authorized",
    ),
    Offer("authority", "authorities.address", help=f"{_AUTHORITY} that attests who the outlet is", isMany=False),
    Offer("connect-timeout", "inlets.connect-timeout"),
    Offer("tell-client", "inlets.tell-client"),
    Offer("once", "inlets.once"),
    Offer("rendezvous", "rendezvous"),
    Offer("resume-timeout", "resume-timeout"),
    Offer("drain-timeout", "drain-timeout"),
)

AUTHORITY = (
    Offer(
        "listen",
        "listen",
        help="Where to listen: PORT (all interfaces), HOST:PORT or an endpoint string [default: tcp:4100]",
    ),
    Offer("enroller", "authority-service.enrollers"),
    Offer("members", "authority-service.members"),
    Offer(
        "credential-lifetime",
        "credential-lifetime",
        help="How long a credential is good for, and a removed member with it",
        default="10m",
    ),
    Offer("reached-at", "reached-at"),
)

#: All commands that take their settings from options.
COMMANDS = {
    "ockam-relay": (*RELAY, *COMMON),
    "ockam-outlet": (*OUTLET, *COMMON),
    "ockam-inlet": (*INLET, *COMMON),
    "ockam-authority": (*AUTHORITY, *COMMON),
}
