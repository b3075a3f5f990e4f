"""
The settings of a node: what a file may have, and what the options of the
commands are taken from.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from attrs import evolve, frozen

from ockam_twisted.config import (
    NodeConfig,
    TicketsConfig,
    TrustConfig,
    listenEndpoint,
)
from ockam_twisted.configuration.agreement import Disagreement, disagreements, unreached
from ockam_twisted.configuration.declared import group, groups, many, one, secret
from ockam_twisted.configuration.forms import (
    DURATION,
    FLAG,
    HOST_PORT,
    HTTP,
    IDENTIFIER,
    LISTEN,
    POLICY,
    Number,
)
from ockam_twisted.configuration.parts import (
    AuthorityServiceSettings,
    AuthoritySettings,
    InletSettings,
    LogSettings,
    Names,
    OutletSettings,
    RegistrationSettings,
    RelaySettings,
    StateSettings,
    TicketsSettings,
    below,
    trustOf,
)
from ockam_twisted.configuration.secrets import SECRET, resolve
from ockam_twisted.errors import OckamError

#: The largest Payload, the records and routes around it, and some room: what is
#: larger than a frame may be would be sent again and again.
_MIN_FRAME = 192 * 1024
_MAX_FRAME = 16 * 1024 * 1024
_SECONDS = Number("seconds", "60", 0, 86400)


@frozen(kw_only=True)
class NodeSettings:
    """
    Everything: what a file has at its top.
    """

    state: StateSettings = group(StateSettings, "Where this node keeps what it must not forget")
    listen: tuple[str, ...] = many(
        LISTEN, "Where other nodes connect to this one: PORT (loopback), HOST:PORT or an endpoint string"
    )
    reachedAt: tuple[tuple[str, int], ...] = many(
        HOST_PORT, "HOST:PORT by which others reach that, for tickets [default: this host's name]"
    )
    outlets: tuple[OutletSettings, ...] = groups(OutletSettings, "Services beside this node that others may reach")
    registrations: tuple[RegistrationSettings, ...] = groups(
        RegistrationSettings, "Relays that this node is reached through"
    )
    inlets: tuple[InletSettings, ...] = groups(InletSettings, "Ports here that lead to services elsewhere")
    relay: RelaySettings | None = group(RelaySettings, "Be a relay for others", isOptional=True)
    authorityService: AuthorityServiceSettings | None = group(
        AuthorityServiceSettings, "Be an authority for others", isOptional=True
    )
    authorized: tuple[str, ...] = many(IDENTIFIER, "Identifier of an inlet that may connect, to any outlet")
    allow: str = one(POLICY, "Who may connect, to any outlet: a policy over attributes, such as 'dba or admin'", "")
    trustEveryone: bool = one(FLAG, "Accept anybody who knows the way; excludes the two above", False)
    authorities: tuple[AuthoritySettings, ...] = groups(
        AuthoritySettings, "Authorities whose word counts here, and that attest who this node is"
    )
    authorityTicket: str = secret(SECRET, "Become a member of an authority: its ticket")
    tickets: TicketsSettings = group(TicketsSettings, "Tickets that this node hands out")
    credentialLifetime: int = one(DURATION, "How long a credential is good for that this node issues to members", 600)
    allowEcho: str = one(POLICY, "Who may use the echo worker through a channel: a policy", "")
    uppercase: bool = one(FLAG, "Offer the `uppercase` worker, for trying out", False)
    hop: bool = one(FLAG, "Offer the `hop` worker: anybody may route through this node", False)
    http: str = one(
        HTTP,
        "Show how this node is, over HTTP: PORT (loopback), HOST:PORT, or an endpoint string such as unix:/run/x.sock",
        "",
    )
    resumeTimeout: float = one(
        _SECONDS, "Seconds that open streams wait for a new way when theirs is lost; 0: reset at once", 60.0
    )
    drainTimeout: float = one(
        _SECONDS, "Seconds that open streams have to end when this is stopped; then they are reset", 5.0
    )
    rendezvous: tuple[str, int] | None = one(
        HOST_PORT,
        "Find direct ways past the relay: ask at HOST:PORT, a relay that listens on UDP (udp:PORT), how we are seen",
        None,
    )
    log: LogSettings = group(LogSettings, "What is logged, and how")
    maxFrame: int = one(
        Number("bytes", "1048576", _MIN_FRAME, _MAX_FRAME, True), "Largest message accepted, in bytes", 1024 * 1024
    )

    def config(self, command: str, names: Names) -> NodeConfig:
        """
        What a node is made from.

        @param command: The command it is started by.
        @param names: What settings are called where they were written.
        @raise Disagreement: They do not go together, or something they name
            cannot be read.
        """
        wrong: list[tuple[str, str]] = []

        def part(path: str, make: Callable[[], Any]) -> Any:
            try:
                return make()
            except OckamError as error:
                wrong.append((path, str(error)))
                return None

        def parts(key: str, each: Iterable[Any]) -> tuple[Any, ...]:
            made = ((f"{key}[{n}]", one) for n, one in enumerate(each))
            return tuple(part(path, partial(one.config, below(names, path))) for path, one in made)

        def optional(key: str, one: Any, *more: Any) -> Any:
            return None if one is None else part(key, partial(one.config, below(names, key), *more))

        hasAuthority, called = bool(self.authorities), names("authorities")
        trust = part("", lambda: trustOf(self, names))
        ticket = part("authority-ticket", lambda: resolve(self.authorityTicket, names("authority-ticket"), os.environ))
        outlets = parts("outlets", self.outlets)
        config = NodeConfig(
            command,
            part("state", lambda: self.state.config(below(names, "state"))),
            listeners=tuple(listenEndpoint(text, names("listen")) for text in self.listen),
            trust=trust,
            relayService=optional("relay", self.relay, hasAuthority, called),
            registrations=parts("registrations", self.registrations),
            outlets=outlets,
            inlets=parts("inlets", self.inlets),
            maxFrame=self.maxFrame,
            uppercase=self.uppercase,
            hop=self.hop,
            authorities=tuple(each.config() for each in self.authorities),
            authorityTicket=ticket,
            authorityService=optional("authority-service", self.authorityService),
            allowEcho=self.allowEcho,
            credentialLifetime=self.credentialLifetime,
            drainTimeout=self.drainTimeout,
            resumeTimeout=self.resumeTimeout,
            rendezvous=self.rendezvous,
            http=self.http,
            log=self.log.config(),
        )
        wrong += disagreements(self, names)
        wrong = wrong or list(unreached(self, names))
        if wrong:
            raise Disagreement(wrong)
        return evolve(config, tickets=self._tickets(config))

    def _tickets(self, config: NodeConfig) -> TicketsConfig | None:
        relay = config.relayService
        isPrivate = relay is not None and relay.tickets
        if not config.outlets and not isPrivate and config.authorityService is None:
            return None
        letsIn = config.trust != TrustConfig() or bool(config.authorities) or bool(config.authorityTicket)
        isOpen = letsIn or all(each.trust is not None for each in config.outlets)
        atStart = not isOpen or (self.relay is not None and self.relay.tickets)
        return self.tickets.config(atStart, self.reachedAt)
