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
ENDPOINT_PREFIXES = ("tcp", "tcp4", "tcp6", "ssl", "tls", "unix", "systemd", "haproxy", "fd", "ockam", "onion")

_EXAMPLES = "PORT, HOST:PORT ([::1]:4000 for IPv6) or an endpoint string such as tcp:4000:interface=127.0.0.1"


def _port(text: str, what: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 <= int(text) <= 65535:
        raise ConfigurationError(f"{what}: {text[:60]!r} is no port from 0 to 65535; give {_EXAMPLES}")
    return int(text)


def _isEndpointString(text: str) -> bool:
    prefix, colon, _ = text.partition(":")
    return bool(colon) and prefix in ENDPOINT_PREFIXES


def _hostPort(text: str, what: str) -> tuple[str, int]:
    """
    Split C{HOST:PORT}.
    """
    match = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\]:([0-9]+)", text) or re.fullmatch(r"([A-Za-z0-9._-]+):([0-9]+)", text)
    if match is None:
        raise ConfigurationError(f"{what}: cannot read {text[:100]!r}; give {_EXAMPLES}")
    return match[1], _port(match[2], what)


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
    host, port = _hostPort(text, what)
    return f"{'tcp6' if ':' in host else 'tcp'}:{port}:interface={_quote(host)}"


def dialEndpoint(text: str, what: str) -> str:
    """
    Write the shorthands of a place to connect to as an endpoint string.

    @raise ConfigurationError: It is neither.
    """
    if _isEndpointString(text):
        return text
    host, port = ("127.0.0.1", _port(text, what)) if text.isdigit() else _hostPort(text, what)
    if port == 0:
        raise ConfigurationError(f"{what}: nothing listens on port 0")
    return f"tcp:host={_quote(host)}:port={port}"


@frozen
class TrustConfig:
    """
    Whom a node accepts.

    @ivar authorized: Identifiers, in text.
    @ivar everyone: Anybody who proves any identity.
    """

    authorized: tuple[str, ...] = ()
    everyone: bool = False


@frozen
class StateConfig:
    """
    Where a node keeps what it must not forget.

    @ivar folder: The folder; empty for the default one.
    @ivar instance: Tells several nodes of one kind apart.
    @ivar ephemeral: Keep nothing.
    """

    folder: str = ""
    instance: str = "default"
    ephemeral: bool = False


@frozen
class RelayServiceConfig:
    """
    That a node relays for others.

    @ivar authorized: Who may register, identifiers in text; empty: anybody.
    """

    authorized: tuple[str, ...] = ()


@frozen
class RegistrationConfig:
    """
    A relay that a node is to be reached through.

    @ivar relay: A MultiAddr, or an endpoint string.
    @ivar label: As the operator wrote it.
    @ivar name: The relay name; empty for the node's own identifier.
    """

    relay: str
    label: str
    name: str = ""


@frozen
class OutletConfig:
    """
    A target that others may be connected to.

    @ivar target: An endpoint string.
    @ivar label: As the operator wrote it.
    @ivar address: The worker address.
    """

    target: str
    label: str
    address: str = "outlet"


@frozen
class InletConfig:
    """
    A place where clients are accepted.

    @ivar listen: An endpoint string.
    @ivar to: The MultiAddr of the outlet.
    @ivar trust: Who the outlet must be.
    @ivar connectTimeout: Seconds a client is held until its stream is open.
    """

    listen: str
    to: str
    trust: TrustConfig
    connectTimeout: float = 10.0


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
