"""
What can be found out before a node starts: everything that is a name, the
state, the ports.  Nothing is left open.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ockam_twisted.authority.ticket import Ticket
from ockam_twisted.config import InletConfig, NodeConfig
from ockam_twisted.errors import ConfigurationError, InvalidTicket, OckamError, StateUnusable
from ockam_twisted.identity.creation import IDENTITY, storedIdentifier
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import TrustEveryone, TrustIdentifiers
from ockam_twisted.interfaces import ITrustPolicy
from ockam_twisted.membership import ADDRESSES
from ockam_twisted.node import LISTENER_ADDRESSES
from ockam_twisted.places import (
    checkFree,
    checkOrdered,
    checkRoad,
    checkWay,
    clientEndpoint,
    now,
    serverEndpoint,
    trustPolicy,
)
from ockam_twisted.policies.policy import Policy
from ockam_twisted.relays.names import checkRelayName
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.destination import destinations, readPinnedWay
from ockam_twisted.sessions.pairing import checkLeadsToOutlet, checkTicket, pairingSetting, storedPairing, trustOf
from ockam_twisted.sessions.retriever import redeemedSetting
from ockam_twisted.storage.folder import StateFolder, defaultStateFolder
from ockam_twisted.storage.sqlite import readSetting
from ockam_twisted.transports.roads import dialRoad, hostComponents
from ockam_twisted.vault.opening import checkPassphrase, readPassphrase
from ockam_twisted.vault.pkcs11 import TokenURI
from ockam_twisted.vault.sealed import SETTING
from ockam_twisted.wire.puncture import NEGOTIATION, RENDEZVOUS

#: For ways that must lead through a secure channel, whoever is there.
NOBODY = TrustIdentifiers(())

#: Addresses of the node itself, which no outlet can have.
OWN_ADDRESSES = (*LISTENER_ADDRESSES, *ADDRESSES, "echo", "uppercase", "hop", RENDEZVOUS.decode(), NEGOTIATION.decode())


def stateFolder(config: NodeConfig) -> StateFolder:
    """
    The state folder of a node that keeps its state.

    @raise OckamError: The instance has no name that a folder can have.
    """
    state = config.state
    path = Path(state.folder) if state.folder else defaultStateFolder(config.command, state.instance, os.environ)
    # C{twistd} goes to another folder before it starts.
    return StateFolder(path.absolute())


def check(config: NodeConfig, reactor: Any) -> None:
    """
    Find out what would keep a node from starting.

    @raise OckamError: Something would; the text is one plain line.
    """
    checkNames(config, reactor)
    checkState(config)
    checkPorts(config, reactor)


def checkNames(config: NodeConfig, reactor: Any) -> None:
    """
    Check everything that is a name.  No socket is touched, and of files only
    those that endpoint strings name.

    @raise OckamError: One of them is none.
    """
    if config.relayService is not None:
        for identifier in config.relayService.authorized:
            Identifier.parse(identifier)
        if config.relayService.allow:
            Policy.fromText(config.relayService.allow)
    for trust in (config.trust, *(each.trust for each in config.outlets if each.trust)):
        for identifier in trust.authorized:
            Identifier.parse(identifier)
    for policy in (config.trust.allow, config.allowEcho, *(each.trust.allow for each in config.outlets if each.trust)):
        if policy:
            Policy.fromText(policy)
    _checkAuthority(config)
    _checkTogether(config)
    for inlet in config.inlets:
        _checkInlet(config, inlet, reactor)
    for registration in config.registrations:
        if registration.name:
            checkRelayName(registration.name)
        if registration.ticket:
            _checkRelayTicket(registration.ticket)
        elif registration.relay.startswith("/"):
            relay = MultiAddr.fromText(registration.relay)
            checkRoad(relay, "--relay")
            if any(outlet.target for outlet in config.outlets):
                checkOrdered(relay, "--relay")
            # Some can be gone under one reactor only.
            dialRoad(reactor, relay.road)
        else:
            clientEndpoint(reactor, registration.relay)
    taken = set(OWN_ADDRESSES)
    for outlet in config.outlets:
        if not outlet.address or Address.local(outlet.address).value.decode() in taken:
            raise ConfigurationError(f"--address: {outlet.address!a} is taken by another service of the node")
        taken.add(outlet.address)
        if outlet.target:
            clientEndpoint(reactor, outlet.target)
    if config.rendezvous is not None:
        # Is there what it takes?
        dialRoad(reactor, (*hostComponents(*config.rendezvous, "udp"), ("quic", "")))
    for listener in (*config.listeners, *filter(None, (config.http,))):
        serverEndpoint(reactor, listener)
    if not config.state.ephemeral:
        stateFolder(config)
    if config.state.vault:
        TokenURI.fromText(config.state.vault)


def _checkTogether(config: NodeConfig) -> None:
    """
    Check that parts can be told apart, and may be in one node.
    """
    names = [each.name for each in config.inlets if each.name or (each.isPaired and len(config.inlets) > 1)]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"several inlets have the name {name!a}: each needs one of its own")
    called = [each.name for each in config.authorities]
    for each in called:
        if called.count(each) > 1:
            raise ConfigurationError(f"several authorities have the name {each!a}: each needs one of its own")
    for wanted in (*(each.authority for each in config.outlets), *(each.authority for each in config.inlets)):
        if wanted and wanted not in called:
            raise ConfigurationError(f"there is no authority that is called {wanted[:40]!a}")
    if (config.hop or config.uppercase) and (config.outlets or config.inlets):
        raise ConfigurationError("hop and uppercase are not for a node that has inlets or outlets")


def _checkAuthority(config: NodeConfig) -> None:
    for authority in config.authorities:
        Identifier.parse(authority.identifier)
        checkListener(authority.address)
    if config.authorityTicket and Ticket.fromText(config.authorityTicket).authority is None:
        raise InvalidTicket("--ticket: this ticket is for an inlet, and was not made by an ockam-authority")
    if config.authorityService is not None:
        for identifier, _ in config.authorityService.members:
            Identifier.parse(identifier)


def _checkInlet(config: NodeConfig, inlet: InletConfig, reactor: Any) -> None:
    if inlet.listen:
        serverEndpoint(reactor, inlet.listen)
    trust: ITrustPolicy = NOBODY
    if inlet.ticket:
        ticket = Ticket.fromText(inlet.ticket)
        checkLeadsToOutlet(ticket)
        if inlet.isPaired and not ticket.outlets:
            raise InvalidTicket(
                "this ticket makes a member of an authority, but does not say who the outlet is: give "
                "--authorized IDENTIFIER or --allow EXPRESSION, and --to, too (or --to IDENTIFIER@MULTIADDR alone)"
            )
        if inlet.isPaired:
            trust = trustOf(ticket)
    elif inlet.isPaired and config.state.ephemeral:
        raise ConfigurationError("with --ephemeral no pairing is kept: give --ticket at each start")
    if not inlet.isPaired:
        if inlet.ticket and Ticket.fromText(inlet.ticket).authority is None:
            raise ConfigurationError(
                "--ticket: this ticket of an outlet says who the outlet is: leave out --authorized, --allow, "
                "--trust-everyone, and the IDENTIFIER@ of --to"
            )
        if not inlet.to:
            raise ConfigurationError("--to says where the outlet is: a MultiAddr")
        if inlet.trust.allow:
            Policy.fromText(inlet.trust.allow)
            if not config.authorities and not inlet.ticket:
                raise ConfigurationError("--allow is about what an authority attests: give --authority, too")
        elif not inlet.saysWho:
            trust = trustPolicy(inlet.trust.authorized, TrustEveryone() if inlet.trust.everyone else None)
    ways = [readPinnedWay(each) for each in inlet.to]
    for who, way in ways:
        checkWay(way, trust if who is None else NOBODY, "--to", bool(inlet.listen))
        dialRoad(reactor, way.road)
    destinations(ways, trust)


def _checkRelayTicket(text: str) -> None:
    ticket = Ticket.fromText(text)
    if not ticket.isOfRelay:
        raise InvalidTicket("--relay-ticket: this ticket was not made by an ockam-relay")


def checkListener(address: str) -> MultiAddr:
    """
    Check that a MultiAddr leads to the listener of an authority.

    @raise InvalidMultiAddr: It does not.
    """
    way = MultiAddr.fromText(address)
    checkRoad(way, "--authority")
    if [*way][-1][0] != "secure":
        raise ConfigurationError(f"--authority: {address[:200]!a} does not end with its listener, as in /secure/api")
    return way


def checkState(config: NodeConfig) -> None:
    """
    Can this user, now, use the state folder and what is in it?

    @raise StateUnusable: No.
    @raise InvalidTicket: A ticket does not go with what is in it.
    """
    database: Path | None = None
    if not config.state.ephemeral:
        folder = stateFolder(config)
        folder.check()
        database = folder.database
        stored = readSetting(database, IDENTITY)
        if stored is not None:
            storedIdentifier(stored)
        checkPassphrase(readSetting(database, SETTING), readPassphrase(config.state.passphrase, os.environ))
    checkTickets(config, lambda name: None if database is None else readSetting(database, name))


def checkTickets(config: NodeConfig, setting: Callable[[str], bytes | None]) -> None:
    """
    Do the tickets go with what is kept?

    @param setting: Reads that, by name.
    @raise InvalidTicket: One does not.
    """
    for inlet in config.inlets:
        paired = storedPairing(setting(pairingSetting(inlet.name)))
        if inlet.ticket:
            ticket = Ticket.fromText(inlet.ticket)
            redeemed = setting(redeemedSetting(ticket.digest)) is not None
            checkTicket(ticket, paired if inlet.isPaired else None, redeemed, now())
        elif inlet.isPaired and paired is None:
            raise InvalidTicket(
                "this inlet was never paired: give --ticket with what the outlet prints at its start (or "
                "`ockam-twisted ticket create` beside it), or --to with --authorized IDENTIFIER"
            )
    for text in (config.authorityTicket, *(each.ticket for each in config.registrations)):
        if text:
            ticket = Ticket.fromText(text)
            if setting(redeemedSetting(ticket.digest)) is None:
                ticket.checkTime(now())


def checkPorts(config: NodeConfig, reactor: Any) -> None:
    """
    Can this user, now, have all ports?

    @raise ConfigurationError: No.
    """
    for text in filter(None, (*config.listeners, *(inlet.listen for inlet in config.inlets), config.http)):
        checkFree(reactor, text)


__all__ = [
    "OWN_ADDRESSES",
    "OckamError",
    "StateUnusable",
    "check",
    "checkListener",
    "checkNames",
    "checkPorts",
    "checkState",
    "checkTickets",
    "stateFolder",
]
