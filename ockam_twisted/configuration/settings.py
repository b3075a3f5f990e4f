"""
The settings of a node: what a file may have, and what the options of the
commands are taken from.
"""

from __future__ import annotations

import os

from attrs import frozen

from ockam_twisted.config import (
    NodeConfig,
    TicketsConfig,
    TrustConfig,
    listenEndpoint,
)
from ockam_twisted.configuration.declared import group, groups, many, one, secret
from ockam_twisted.configuration.forms import (
    DURATION,
    FLAG,
    HOST_PORT,
    IDENTIFIER,
    LISTEN,
    POLICY,
    Number,
)
from ockam_twisted.configuration.parts import (
    AuthorityServiceSettings,
    AuthoritySettings,
    InletSettings,
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

_MIN_FRAME, _MAX_FRAME = 64 * 1024, 16 * 1024 * 1024
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
    resumeTimeout: float = one(
        _SECONDS, "Seconds that open streams wait for a new way when theirs is lost; 0: reset at once", 60.0
    )
    drainTimeout: float = one(
        _SECONDS, "Seconds that open streams have to end when this is stopped; then they are reset", 5.0
    )
    maxFrame: int = one(
        Number("bytes", "1048576", _MIN_FRAME, _MAX_FRAME, True), "Largest message accepted, in bytes", 1024 * 1024
    )

    def config(self, command: str, names: Names) -> NodeConfig:
        """
        What a node is made from.

        @param command: The command it is started by.
        @param names: What settings are called where they were written.
        @raise OckamError: They do not go together, or something they name
            cannot be read.
        """
        relay = self.relay
        authorities = tuple(each.config() for each in self.authorities)
        trust = trustOf(self, names)
        hasAuthority, called = bool(authorities), names("authorities")
        ticket = resolve(self.authorityTicket, names("authority-ticket"), os.environ)
        return NodeConfig(
            command,
            self.state.config(below(names, "state")),
            listeners=tuple(listenEndpoint(text, names("listen")) for text in self.listen),
            trust=trust,
            relayService=None if relay is None else relay.config(below(names, "relay"), hasAuthority, called),
            registrations=tuple(
                each.config(below(names, f"registrations[{n}]")) for n, each in enumerate(self.registrations)
            ),
            outlets=tuple(each.config(below(names, f"outlets[{n}]")) for n, each in enumerate(self.outlets)),
            inlets=tuple(each.config(below(names, f"inlets[{n}]")) for n, each in enumerate(self.inlets)),
            maxFrame=self.maxFrame,
            uppercase=self.uppercase,
            hop=self.hop,
            authorities=authorities,
            authorityTicket=ticket,
            authorityService=None
            if self.authorityService is None
            else self.authorityService.config(below(names, "authority-service")),
            tickets=self._tickets(trust, hasAuthority or bool(ticket)),
            allowEcho=self.allowEcho,
            credentialLifetime=self.credentialLifetime,
            drainTimeout=self.drainTimeout,
            resumeTimeout=self.resumeTimeout,
        )

    def _tickets(self, trust: TrustConfig, hasAuthority: bool) -> TicketsConfig | None:
        relay = self.relay
        if self.outlets:
            letsIn = trust != TrustConfig() or hasAuthority
            letsIn = letsIn or all(each.config(str).trust is not None for each in self.outlets)
            return self.tickets.config(not letsIn, self.reachedAt)
        if relay is not None and (relay.tickets or hasAuthority):
            return self.tickets.config(relay.tickets, self.reachedAt)
        if self.authorityService is not None:
            return self.tickets.config(False, self.reachedAt)
        return None
