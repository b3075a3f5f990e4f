"""
Who attests what we are, and what others are: the authorities of a node as its
configuration says, and our own credentials of each.
"""

from __future__ import annotations

from functools import partial

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ockam_twisted.authority.admission import outletDemand
from ockam_twisted.authority.ticket import Ticket
from ockam_twisted.channels.party import Party
from ockam_twisted.checks import checkListener
from ockam_twisted.config import InletConfig, NodeConfig
from ockam_twisted.errors import ConfigurationError
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import AnyTrust, TrustCredential, TrustEveryone, TrustIdentifiers
from ockam_twisted.interfaces import ITrustPolicy
from ockam_twisted.node import Node
from ockam_twisted.policies.policy import Policy
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.attempt import Walk
from ockam_twisted.sessions.pairing import pairingSetting, storedPairing
from ockam_twisted.sessions.retriever import (
    AUTHORITY,
    SETTING,
    CredentialRetriever,
    decodePin,
    encodePin,
    redeemedSetting,
)


def authorityOf(config: NodeConfig, name: str) -> Identifier:
    """
    The authority of a name; the first one for none.

    @raise ConfigurationError: There is none.
    """
    for each in config.authorities:
        if name in ("", each.name):
            return Identifier.parse(each.identifier)
    raise ConfigurationError(f"there is no authority that is called {name[:40]!a}")


def inletTrust(config: NodeConfig, inlet: InletConfig) -> ITrustPolicy:
    """
    Who the outlet must be, as a configuration says.
    """
    trust = inlet.trust
    if trust.everyone:
        return TrustEveryone()
    policies: list[ITrustPolicy] = []
    if trust.authorized:
        policies.append(TrustIdentifiers([Identifier.parse(each) for each in trust.authorized]))
    if trust.allow:
        authority = Ticket.fromText(inlet.ticket).authority if inlet.ticket and not inlet.authority else None
        if config.authorities or authority is None:
            authority = authorityOf(config, inlet.authority)
        policies.append(TrustCredential(authority, outletDemand(Policy.fromText(trust.allow), "outlet")))
    return policies[0] if len(policies) == 1 else AnyTrust(*policies)


class Attestation:
    """
    See the module.

    @ivar authorities: Whose word counts, the first one first.
    @ivar retrievers: Get our credentials, by authority.
    """

    _log = Logger()

    def __init__(self, config: NodeConfig, node: Node) -> None:
        self.authorities: tuple[Identifier, ...] = ()
        self.retrievers: dict[Identifier, CredentialRetriever] = {}
        self._config = config
        self._node = node
        self._parties: dict[Identifier, Party] = {}

    @property
    def retriever(self) -> CredentialRetriever | None:
        """
        That of the first authority.
        """
        return next(iter(self.retrievers.values()), None)

    def begin(self) -> None:
        """
        Have our credentials fetched.  The node has its identity.
        """
        node, store = self._node, self._node.store
        found = self._ways()
        self.authorities = tuple(found)
        for number, (authority, (ways, ticket)) in enumerate(found.items()):
            party = node.requireParty()
            if number:
                party = self._parties[authority] = evolve(party, credential=b"", channels=type(party.channels)())
            code, redeemed = None, None
            if ticket is not None and store.setting(redeemedSetting(ticket.digest)) is None:
                code, redeemed = ticket.code, partial(self._redeemed, ticket)
            setting = f"{SETTING}:{authority}" if number else SETTING
            made = CredentialRetriever(node.walk, party, store, authority, ways, code, redeemed, setting)
            self.retrievers[authority] = made
            made.setServiceParent(node)

    def change(self, config: NodeConfig) -> None:
        """
        The configuration is another one.
        """
        before, self._config = self._config, config
        if (before.authorities, before.authorityTicket) == (config.authorities, config.authorityTicket):
            return
        for retriever in self.retrievers.values():
            self._node.removeService(retriever)
        self.retrievers.clear()
        self._parties.clear()
        party = self._node.requireParty()
        party.credential = b""
        party.authorities.clear()
        self.begin()

    def expire(self) -> None:
        """
        The clock cannot be trusted.
        """
        for retriever in self.retrievers.values():
            retriever.expire()

    async def rotate(self) -> None:
        """
        Replace the key of our identity, and tell those who have a channel.
        """
        party = self._node.requireParty()
        await party.rotate()
        for other in self._parties.values():
            other.identity, other.purposeKey = party.identity, party.purposeKey
            other.present(other.credential)

    # --------------------------------------------------------------- inlets

    def authorityFor(self, inlet: InletConfig) -> Identifier | None:
        """
        Whose credential an inlet presents.
        """
        if inlet.authority:
            return authorityOf(self._config, inlet.authority)
        ticket = Ticket.fromText(inlet.ticket) if inlet.ticket else None
        for its in (ticket, storedPairing(self._node.store.setting(pairingSetting(inlet.name)))):
            if its is not None and its.authority in self.retrievers:
                return its.authority
        return self.authorities[0] if self.authorities else None

    def retrieverFor(self, inlet: InletConfig) -> CredentialRetriever | None:
        """
        What gets the credential that an inlet presents.
        """
        authority = self.authorityFor(inlet)
        return None if authority is None else self.retrievers.get(authority)

    def walkFor(self, inlet: InletConfig) -> Walk:
        """
        How an inlet gets about: as the one that its authority attests.
        """

        def party() -> Party:
            authority = self.authorityFor(inlet) if self._parties else None
            main = self._node.requireParty()
            return main if authority is None else self._parties.get(authority, main)

        return self._node.walk.by(party)

    # ----------------------------------------------------------- authorities

    def _ways(self) -> dict[Identifier, tuple[tuple[MultiAddr, ...], Ticket | None]]:
        """
        Who the authorities are, how each is reached, and what makes us a
        member there.
        """
        config, store = self._config, self._node.store
        found: dict[Identifier, tuple[tuple[MultiAddr, ...], Ticket | None]] = {}
        for each in config.authorities:
            found[Identifier.parse(each.identifier)] = ((checkListener(each.address),), None)
        for text in (config.authorityTicket, *(inlet.ticket for inlet in config.inlets)):
            ticket = Ticket.fromText(text) if text else None
            if ticket is None or ticket.authority is None:
                continue
            if ticket.authority in found:
                found[ticket.authority] = (found[ticket.authority][0], ticket)
            elif config.authorities:
                self._log.warn(
                    "The ticket is of another authority than --authority, and is not used",
                    event="ticket-of-another-authority",
                )
            else:
                found[ticket.authority] = (ticket.authorityWays, ticket)
        if found:
            return found
        for inlet in config.inlets:
            pinned = storedPairing(store.setting(pairingSetting(inlet.name)))
            if pinned is not None and pinned.authority is not None:
                found[pinned.authority] = (pinned.authorityWays, None)
        stored = decodePin(store.setting(AUTHORITY))
        saysWho = config.trust.authorized or config.trust.everyone
        if not found and stored is not None and not saysWho and all(each.isPaired for each in config.inlets):
            found[stored[0]] = (stored[1], None)
        return found

    def _redeemed(self, ticket: Ticket) -> Deferred[None]:
        """
        The authority has accepted a ticket of its own: from now on its word
        counts without the ticket.
        """
        assert ticket.authority is not None
        store = self._node.store
        pinned: Deferred[None] = store.storeSetting(AUTHORITY, encodePin(ticket.authority, ticket.authorityWays))
        return pinned.addCallback(lambda _: store.storeSetting(redeemedSetting(ticket.digest), b""))
