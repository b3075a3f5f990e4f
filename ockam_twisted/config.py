"""
The structure of a node: what the plugins fill from their options.

Everything here is text and numbers, checked for form only; what it names is
looked up by L{ockam_twisted.assembly}.
"""

from __future__ import annotations

import re

from attrs import field, frozen

from ockam_twisted.errors import ConfigurationError

#: What an endpoint string may begin with.
ENDPOINT_PREFIXES = (
    *("tcp", "tcp4", "tcp6", "ssl", "tls", "unix", "systemd", "haproxy", "fd", "ockam", "onion"),
    # Of transports of ours: see L{ockam_twisted.transports.roads}.
    *("ws", "wss", "uds", "udp", "quic", "ble", "kafka"),
)

_EXAMPLES = "PORT, HOST:PORT ([::1]:4000 for IPv6) or an endpoint string such as tcp:4000:interface=127.0.0.1"
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _port(text: str, what: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 <= int(text) <= 65535:
        raise ConfigurationError(f"{what}: {text[:60]!r} is no port from 0 to 65535; give {_EXAMPLES}")
    return int(text)


def _isEndpointString(text: str) -> bool:
    prefix, colon, _ = text.partition(":")
    return bool(colon) and prefix in ENDPOINT_PREFIXES


def duration(text: str, what: str) -> int:
    """
    Read a number of seconds, or of minutes, hours or days: C{600}, C{10m},
    C{12h}, C{7d}.

    @raise ConfigurationError: It is none.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    if match is None or not 1 <= (number := int(match[1]) * _UNITS[match[2]]) <= 365 * 86400:
        raise ConfigurationError(f"{what}: {text[:40]!r} is no time up to a year, such as 600, 10m, 12h or 7d")
    return number


def hostPort(text: str, what: str) -> tuple[str, int]:
    """
    Split C{HOST:PORT}.
    """
    match = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\]:([0-9]+)", text) or re.fullmatch(r"([A-Za-z0-9._-]+):([0-9]+)", text)
    if match is None:
        raise ConfigurationError(f"{what}: cannot read {text[:100]!r}; give {_EXAMPLES}")
    return match[1], _port(match[2], what)


def udpPlace(text: str, what: str) -> tuple[str, int]:
    """
    Split what says where datagrams go to or are heard: C{PORT} (on this
    machine) or C{HOST:PORT}.

    @raise ConfigurationError: It is neither.
    """
    return ("127.0.0.1", _port(text, what)) if text.isdigit() else hostPort(text, what)


def _quote(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:").replace("=", "\\=")


def listenEndpoint(text: str, what: str, everywhere: bool = False) -> str:
    """
    Write the shorthands of a place to listen as an endpoint string.

    @param what: The option, for the error.
    @param everywhere: Does a bare port mean all interfaces?  Otherwise it
        means loopback.
    @raise ConfigurationError: It is neither.
    """
    if _isEndpointString(text):
        return text
    if text.isdigit():
        port = _port(text, what)
        return f"tcp:{port}" if everywhere else f"tcp:{port}:interface=127.0.0.1"
    host, port = hostPort(text, what)
    return f"{'tcp6' if ':' in host else 'tcp'}:{port}:interface={_quote(host)}"


def httpEndpoint(text: str, what: str) -> str:
    """
    The same, of a place that shows a node: nobody else can reach it, unless
    that is what was written.

    @raise ConfigurationError: It is no place, or open to everybody.
    """
    place = listenEndpoint(text, what)
    kind = place.partition(":")[0]
    if kind == "unix" and ":mode=" not in place:
        return f"{place}:mode=600"
    if kind in ("tcp", "tcp4", "tcp6", "ssl", "tls") and ":interface=" not in place:
        raise ConfigurationError(
            f"{what}: {place[:100]!a} is open to everybody: give a port alone (loopback), or say so with "
            ":interface=0.0.0.0"
        )
    return place


def isOpen(place: str) -> bool:
    """
    Can others than this machine reach a place to listen?

    @param place: As L{httpEndpoint} gives it.
    """
    interface = place.partition(":interface=")[2].replace("\\:", "\0").partition(":")[0].replace("\0", ":")
    return bool(interface) and interface not in ("localhost", "::1") and not interface.startswith("127.")


def dialEndpoint(text: str, what: str) -> str:
    """
    Write the shorthands of a place to connect to as an endpoint string.

    @raise ConfigurationError: It is neither.
    """
    if _isEndpointString(text):
        return text
    host, port = ("127.0.0.1", _port(text, what)) if text.isdigit() else hostPort(text, what)
    if port == 0:
        raise ConfigurationError(f"{what}: nothing listens on port 0")
    return f"tcp:host={_quote(host)}:port={port}"


@frozen
class TrustConfig:
    """
    Whom a node accepts.

    @ivar authorized: Identifiers, in text.
    @ivar everyone: Anybody who proves any identity.
    @ivar allow: A policy; empty for none.
    """

    authorized: tuple[str, ...] = ()
    everyone: bool = False
    allow: str = ""


@frozen
class AuthorityConfig:
    """
    An authority elsewhere, whose word counts here.

    @ivar identifier: Who it is, in text.
    @ivar address: The MultiAddr of its listener.
    @ivar name: What it is called in this configuration.
    """

    identifier: str
    address: str
    name: str = ""


@frozen
class TicketsConfig:
    """
    The tickets that a node hands out.

    @ivar atStart: Print one at the start, while there is no member?
    @ivar uses: How many may redeem it.
    @ivar expires: Seconds that it is good for.
    @ivar reachedAt: Where the listeners are reached from elsewhere, as
        C{(host, port)}.
    """

    atStart: bool = False
    uses: int = 1
    expires: int = 600
    reachedAt: tuple[tuple[str, int], ...] = ()


@frozen
class AuthorityServiceConfig:
    """
    That a node is an authority for many others.

    @ivar members: Who is a member from the start: identifiers, each with
        names and values.
    """

    members: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()


@frozen
class StateConfig:
    """
    Where a node keeps what it must not forget.

    @ivar folder: The folder; empty for the default one.
    @ivar instance: Tells several nodes of one kind apart.
    @ivar ephemeral: Keep nothing.
    @ivar passphrase: The path of a file with what the secrets are encrypted
        with, or C{credential:NAME}; empty for nothing.
    @ivar vault: Where signing keys are: a URI as in RFC 7512; empty for the
        folder.
    """

    folder: str = ""
    instance: str = "default"
    ephemeral: bool = False
    passphrase: str = ""
    vault: str = ""


@frozen
class RelayServiceConfig:
    """
    That a node relays for others.

    @ivar authorized: Who may register, identifiers in text; empty: anybody.
    @ivar tickets: Only members, authorized ones, and who has a credential
        that says so may register.
    @ivar processes: How many processes share the work.
    @ivar allow: Which of them, a policy; empty for no matter which.
    """

    authorized: tuple[str, ...] = ()
    tickets: bool = False
    processes: int = 1
    allow: str = ""


@frozen
class RegistrationConfig:
    """
    A relay that a node is to be reached through.

    @ivar relay: A MultiAddr, or an endpoint string.
    @ivar label: As the operator wrote it.
    @ivar name: The relay name; empty for the node's own identifier.
    @ivar ticket: Of a private relay: a ticket; empty for none.
    """

    relay: str
    label: str
    name: str = ""
    ticket: str = field(default="", repr=False)


@frozen
class OutletConfig:
    """
    A target that others may be connected to.

    @ivar target: An endpoint string; empty if it is for datagrams only.
    @ivar label: As the operator wrote it.
    @ivar address: The worker address; no two outlets have the same one.
    @ivar trust: Who may be connected: all that it states must be so; L{None}:
        whom the node accepts.
    @ivar authority: The name of the authority whose word counts; empty: that
        of each.
    @ivar proxyProtocol: Is the target told first whose connection it is?
    @ivar httpHeader: The name of a header in which it is told with each
        request of HTTP who the inlet is; empty: it is not.
    @ivar udpTarget: Where datagrams go; L{None}: nowhere.
    @ivar udpIdle: Seconds without one after which a flow ends.
    """

    target: str
    label: str
    address: str = "outlet"
    trust: TrustConfig | None = None
    authority: str = ""
    proxyProtocol: bool = False
    httpHeader: str = ""
    udpTarget: tuple[str, int] | None = None
    udpIdle: float = 60.0


def _several(texts: str | tuple[str, ...]) -> tuple[str, ...]:
    return ((texts,) if texts else ()) if isinstance(texts, str) else texts


@frozen
class InletConfig:
    """
    A place where clients are accepted.

    @ivar listen: An endpoint string; empty if it is for datagrams only.
    @ivar to: Ways to outlets, each C{MULTIADDR} or C{IDENTIFIER@MULTIADDR};
        none if the ticket says it.
    @ivar trust: Who the outlet must be.
    @ivar connectTimeout: Seconds a client is held until its stream is open.
    @ivar ticket: What it is paired by; empty if it was paired before, or
        C{trust} says who the outlet must be.
    @ivar name: What it is called, and what it is paired with is kept under;
        no two inlets have the same one.
    @ivar authority: The name of the authority whose word counts; empty: the
        first one.
    @ivar tellsClient: Is the outlet told the addresses of clients?
    @ivar once: Accept one client, and end when that has ended.
    @ivar udpListen: Where datagrams are heard; L{None}: nowhere.
    @ivar udpIdle: Seconds without one after which a flow ends.
    """

    listen: str
    to: tuple[str, ...] = field(converter=_several)
    trust: TrustConfig
    connectTimeout: float = 10.0
    ticket: str = field(default="", repr=False)
    name: str = ""
    authority: str = ""
    tellsClient: bool = False
    once: bool = False
    udpListen: tuple[str, int] | None = None
    udpIdle: float = 60.0

    @property
    def isPaired(self) -> bool:
        """
        Does a ticket, now or at an earlier start, say who the outlet must be?
        """
        return self.trust == TrustConfig() and not self.saysWho

    @property
    def saysWho(self) -> bool:
        """
        Do the ways themselves say who must be at their ends?
        """
        return bool(self.to) and all("@" in each.partition("/")[0] for each in self.to)


@frozen
class LogConfig:
    """
    What a node says.

    @ivar level: From which level on, for all layers or for each; empty: as
        C{twist} says.
    @ivar format: C{auto}, C{text} or C{json}.
    @ivar audit: The file of the audit log; empty: there is none.
    """

    level: str = ""
    format: str = "auto"
    audit: str = ""


@frozen
class NodeConfig:
    """
    One node.

    @ivar command: The command it was started by; names the state folder.
    @ivar listeners: Endpoint strings that other nodes connect to.
    @ivar trust: Whom its secure-channel listener accepts.
    @ivar maxFrame: The largest frame, bytes.
    @ivar uppercase: Offer the C{uppercase} worker?
    @ivar hop: Offer the C{hop} worker?
    @ivar authorities: Whose credentials count, and attest who we are.
    @ivar authorityTicket: Makes us a member of one.
    @ivar tickets: The tickets that this node hands out; L{None}: it hands out
        none, and has no members.
    @ivar allowEcho: Who may use the C{echo} worker through a channel: a
        policy; empty: everybody.
    @ivar credentialLifetime: Seconds that a credential is good for that this
        node issues.
    @ivar http: Where it shows itself: an endpoint string; empty: nowhere.
    @ivar resumeTimeout: Seconds that open streams wait for another way when
        theirs is lost; 0: they end with it.
    @ivar rendezvous: Whom it asks for direct ways: host and UDP port.
    @ivar log: What it says.
    @ivar drainTimeout: Seconds that streams have to end when it is stopped.
    """

    command: str
    state: StateConfig = field(factory=StateConfig)
    listeners: tuple[str, ...] = ()
    trust: TrustConfig = field(factory=TrustConfig)
    relayService: RelayServiceConfig | None = None
    registrations: tuple[RegistrationConfig, ...] = ()
    outlets: tuple[OutletConfig, ...] = ()
    inlets: tuple[InletConfig, ...] = ()
    maxFrame: int = 1024 * 1024
    uppercase: bool = False
    hop: bool = False
    authorities: tuple[AuthorityConfig, ...] = ()
    authorityTicket: str = field(default="", repr=False)
    authorityService: AuthorityServiceConfig | None = None
    tickets: TicketsConfig | None = None
    allowEcho: str = ""
    credentialLifetime: int = 600
    drainTimeout: float = 0.0
    resumeTimeout: float = 60.0
    http: str = ""
    rendezvous: tuple[str, int] | None = None
    log: LogConfig = field(factory=LogConfig)
