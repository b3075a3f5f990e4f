"""
The groups of settings, in the order in which people look for them.

Each class has the keys of one group, and C{config}, which makes the runtime
shape of it (L{ockam_twisted.config}) and finds out whether its settings go
together.  Names are passed along: what an error calls a setting is what it is
called where it was written, C{--target} or C{outlets[0].target}.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from attrs import frozen

from ockam_twisted.config import (
    AuthorityConfig,
    AuthorityServiceConfig,
    InletConfig,
    LogConfig,
    OutletConfig,
    RegistrationConfig,
    RelayServiceConfig,
    StateConfig,
    TicketsConfig,
    TrustConfig,
    dialEndpoint,
    listenEndpoint,
    udpPlace,
)
from ockam_twisted.configuration.declared import many, one, secret
from ockam_twisted.configuration.forms import (
    DIAL,
    DURATION,
    FLAG,
    HEADER,
    IDENTIFIER,
    LISTEN,
    LISTENER,
    LOG_FORMAT,
    LOG_LEVELS,
    NAME,
    POLICY,
    RELAY,
    RELAY_NAME,
    TEXT,
    UDP_IDLE,
    UDP_PLACE,
    VAULT,
    WAY,
    Form,
    Number,
)
from ockam_twisted.configuration.secrets import SECRET, resolve
from ockam_twisted.errors import ConfigurationError, InvalidTicket

#: What a setting is called where it was written, by its path.
Names = Callable[[str], str]

#: Every two processes have a link.
MAX_PROCESSES = 64

_MAX_FILE = 16 * 1024 * 1024


def below(names: Names, path: str) -> Names:
    """
    Names of what is in a group.
    """
    return lambda key: names(f"{path}.{key}")


def trustOf(settings: Any, names: Names) -> TrustConfig:
    """
    What C{authorized}, C{allow} and C{trust-everyone} say together.
    """
    if settings.trustEveryone and (settings.authorized or settings.allow):
        raise ConfigurationError(
            f"{names('trust-everyone')} accepts anybody: it excludes {names('authorized')} and {names('allow')}"
        )
    return TrustConfig(settings.authorized, settings.trustEveryone, settings.allow)


@frozen(kw_only=True)
class StateSettings:
    """
    Where a node keeps what it must not forget.
    """

    folder: str = one(
        TEXT,
        "Folder for identity and names [default: $STATE_DIRECTORY, else below ~/.local/state/ockam-twisted]",
        "",
    )
    instance: str = one(TEXT, "Name of this instance, to run several on one machine", "default")
    passphrase: str = one(SECRET, "Encrypt the secrets in it with this passphrase", "")
    vault: str = one(VAULT, "Make signing keys in a token: pkcs11:token=LABEL?module-path=FILE&pin-source=FILE", "")
    ephemeral: bool = one(FLAG, "Keep nothing: a new identity at each start", False)

    def config(self, names: Names) -> StateConfig:
        """
        @raise ConfigurationError: They do not go together.
        """
        if self.ephemeral and self.folder:
            raise ConfigurationError(f"{names('ephemeral')} keeps nothing: it excludes {names('folder')}")
        if self.ephemeral and (self.passphrase or self.vault):
            raise ConfigurationError(
                f"{names('ephemeral')} keeps nothing: it excludes {names('passphrase')} and {names('vault')}"
            )
        passphrase = self.passphrase.removeprefix("file:")
        return StateConfig(self.folder, self.instance, self.ephemeral, passphrase, self.vault)


@frozen(kw_only=True)
class LogSettings:
    """
    What is logged, and how.
    """

    level: str = one(
        LOG_LEVELS,
        "Log from this level on (debug, info, warn, error, critical); or for a layer: warn,portals=debug "
        "[default: info]",
        "",
    )
    format: str = one(LOG_FORMAT, "How lines look: text, json, or auto: text on a terminal and json elsewhere", "auto")
    audit: str = one(TEXT, "Add each decision about trust to FILE, as a line of JSON", "")

    def config(self) -> LogConfig:
        """
        See the module.
        """
        return LogConfig(self.level, self.format, self.audit)


@frozen(kw_only=True)
class AuthoritySettings:
    """
    An authority elsewhere.
    """

    name: str = one(NAME, "What it is called in this file", "")
    identifier: str = one(IDENTIFIER, "Who it is")
    address: str = one(LISTENER, "The MultiAddr of its listener")

    def config(self) -> AuthorityConfig:
        """
        See the module.
        """
        return AuthorityConfig(self.identifier, self.address, self.name)


@frozen(kw_only=True)
class TicketsSettings:
    """
    Tickets that a node hands out.
    """

    atStart: bool | None = one(FLAG, "Print one at the start [default: while nobody else is let in]", None)
    uses: int = one(Number("uses", "1", 1, 10_000, True), "How many may redeem the one printed at the start", 1)
    expires: int = one(DURATION, "How long it is good for: seconds, or 10m, 12h, 7d", 600)

    def config(self, atStart: bool, reachedAt: tuple[tuple[str, int], ...]) -> TicketsConfig:
        """
        @param atStart: Print one, if nothing is said of it?
        """
        return TicketsConfig(atStart if self.atStart is None else self.atStart, self.uses, self.expires, reachedAt)


@frozen(kw_only=True)
class RelaySettings:
    """
    That a node is a relay for others.
    """

    authorized: tuple[str, ...] = many(IDENTIFIER, "Identifier of an outlet that may register [default: anybody may]")
    tickets: bool = one(FLAG, "A private relay: only who has redeemed a ticket may register", False)
    allow: str = one(POLICY, "Which members may register: a policy over attributes", "")
    processes: int = one(
        Number("processes", "2", 1, MAX_PROCESSES, True),
        "How many processes share the work: as many as there are cores for it",
        1,
    )

    def config(self, names: Names, hasAuthority: bool, authorities: str) -> RelayServiceConfig:
        """
        @param hasAuthority: Does this node go by the word of an authority?
        @param authorities: What the setting of those is called.
        @raise ConfigurationError: They do not go together.
        """
        private = self.tickets or hasAuthority
        if self.allow and not private:
            raise ConfigurationError(
                f"{names('allow')} is about members: give {names('tickets')} or {authorities}, too"
            )
        return RelayServiceConfig(self.authorized, private, self.processes, self.allow)


@frozen(kw_only=True)
class AuthorityServiceSettings:
    """
    That a node is an authority for others.
    """

    enrollers: tuple[str, ...] = many(IDENTIFIER, "Identifier of somebody who may manage members from elsewhere")
    members: str = one(TEXT, 'JSON file of members: {"I3f...": {"name": "value"}}', "")

    def config(self, names: Names) -> AuthorityServiceConfig:
        """
        @raise ConfigurationError: The file of members cannot be read.
        """
        enrollers = [(each, (("ockam-role", "enroller"),)) for each in self.enrollers]
        return AuthorityServiceConfig((*enrollers, *self._members(names("members"))))

    def _members(self, what: str) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
        if not self.members:
            return []
        try:
            with open(self.members, encoding="utf-8") as file:
                members = json.loads(file.read(_MAX_FILE))
            return [
                (identifier, tuple((str(name), str(value)) for name, value in attributes.items()))
                for identifier, attributes in members.items()
            ]
        except OSError as error:
            raise ConfigurationError(f"{what}: cannot read {self.members}: {error.strerror}") from None
        except (ValueError, AttributeError, RecursionError) as error:
            raise ConfigurationError(f"{what}: {self.members} is no JSON object of members: {error}") from None


@frozen(kw_only=True)
class RegistrationSettings:
    """
    A relay that a node is to be reached through.
    """

    relay: str = one(RELAY, "A relay to register at: HOST:PORT, an endpoint string or a MultiAddr", "")
    name: str = one(RELAY_NAME, "Relay name to register [default: this node's identifier]", "")
    ticket: str = secret(SECRET, "Register at a private relay: its ticket (in place of the relay)")

    def config(self, names: Names) -> RegistrationConfig:
        """
        @raise ConfigurationError: They do not go together.
        @raise InvalidTicket: The ticket is none.
        """
        ticket = resolve(self.ticket, names("ticket"), os.environ)
        if not ticket:
            if not self.relay:
                raise ConfigurationError(f"{names('relay')} says where to register: HOST:PORT, or a MultiAddr")
            place = self.relay
            where = place if place.startswith("/") else dialEndpoint(place, names("relay"))
            return RegistrationConfig(where, place, self.name)
        if self.relay:
            raise ConfigurationError(f"{names('ticket')} says which relay it is of: leave out {names('relay')}")
        from ockam_twisted.authority.ticket import Ticket

        try:
            ways = Ticket.fromText(ticket).ways
        except InvalidTicket as error:
            raise InvalidTicket(f"{names('ticket')}: {error}") from None
        place = str(ways[0]).removesuffix("/secure/api") if ways else ""
        return RegistrationConfig(place, place, self.name, ticket)


@frozen(kw_only=True)
class OutletSettings:
    """
    A service that others may be connected to.
    """

    target: str = one(DIAL, "The service: PORT (on this machine), HOST:PORT or an endpoint string", "")
    udpTarget: str = one(UDP_PLACE, "Where datagrams go: PORT (on this machine) or HOST:PORT", "")
    udpIdle: float = one(UDP_IDLE, "Seconds without a datagram after which a flow of them ends", 60.0)
    address: str = one(Form("a worker address", "outlet"), "Worker address of the outlet", "outlet")
    authorized: tuple[str, ...] = many(IDENTIFIER, "Identifier of an inlet that may connect")
    allow: str = one(POLICY, "Who may connect: a policy over attributes, such as 'dba or admin'", "")
    trustEveryone: bool = one(FLAG, "Accept anybody who knows the way; excludes the two above", False)
    authority: str = one(NAME, "Name of the authority whose word counts [default: any of them]", "")
    proxyProtocol: bool = one(FLAG, "Tell the service first whose connection it is: PROXY protocol, version 2", False)
    httpHeader: str = one(HEADER, "Tell it who the inlet is with each HTTP request, in the header of this name", "")

    def config(self, names: Names) -> OutletConfig:
        """
        @raise ConfigurationError: They do not go together.
        """
        trust = trustOf(self, names)
        if not self.target and not self.udpTarget:
            raise ConfigurationError(
                f"{names('target')} says which service to offer, for example 127.0.0.1:5432; or {names('udp-target')}"
            )
        return OutletConfig(
            dialEndpoint(self.target, names("target")) if self.target else "",
            self.target,
            self.address,
            None if trust == TrustConfig() else trust,
            self.authority,
            self.proxyProtocol,
            self.httpHeader,
            udpPlace(self.udpTarget, names("udp-target")) if self.udpTarget else None,
            self.udpIdle,
        )


@frozen(kw_only=True)
class InletSettings:
    """
    A place where clients are accepted.
    """

    name: str = one(NAME, "What it is called; its pairing is kept under that name", "")
    listen: str = one(LISTEN, "Where clients connect: PORT (loopback), HOST:PORT or an endpoint string", "")
    udpListen: str = one(UDP_PLACE, "Where clients send datagrams: PORT (loopback) or HOST:PORT", "")
    udpIdle: float = one(UDP_IDLE, "Seconds without a datagram after which a flow of them ends", 60.0)
    ticket: str = secret(SECRET, "The ticket of an outlet")
    to: tuple[str, ...] = many(
        WAY,
        "Way to the outlet [default: as the ticket says], or to several: MULTIADDR or IDENTIFIER@MULTIADDR",
    )
    authorized: tuple[str, ...] = many(IDENTIFIER, "Identifier that the outlet must have")
    allow: str = one(POLICY, "What the outlet must be by the word of an authority: a policy over attributes", "")
    trustEveryone: bool = one(FLAG, "Accept any outlet at the end of the way; excludes the two above", False)
    authority: str = one(NAME, "Name of the authority whose word counts [default: the first]", "")
    connectTimeout: float = one(
        Number("seconds", "10", 0.1, 3600), "Seconds a client is held until its stream is open", 10.0
    )
    tellClient: bool = one(FLAG, "Tell the outlet the address of each client, for its --proxy-protocol", False)
    once: bool = one(FLAG, "Accept one client, and end when it has: the exit status of twist says how that went", False)

    def config(self, names: Names) -> InletConfig:
        """
        @raise ConfigurationError: They do not go together.
        """
        if not self.listen and not self.udpListen:
            raise ConfigurationError(
                f"{names('listen')} says where clients connect, for example 5432; or {names('udp-listen')}"
            )
        if self.once and not self.listen:
            raise ConfigurationError(f"{names('once')} is about clients of {names('listen')}")
        return InletConfig(
            listenEndpoint(self.listen, names("listen")) if self.listen else "",
            self.to,
            trustOf(self, names),
            self.connectTimeout,
            resolve(self.ticket, names("ticket"), os.environ),
            self.name,
            self.authority,
            self.tellClient,
            self.once,
            udpPlace(self.udpListen, names("udp-listen")) if self.udpListen else None,
            self.udpIdle,
        )
