"""
Who attests what we are, and what others are: the authorities of a node as its
configuration says, and our own credentials of each.
"""

from __future__ import annotations

from functools import partial

from attrs import evolve, frozen
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
    authority = outletAuthority(config, inlet)
    if authority is not None:
        policies.append(TrustCredential(authority, outletDemand(Policy.fromText(trust.allow), "outlet")))
    return policies[0] if len(policies) == 1 else AnyTrust(*policies)


def outletAuthority(config: NodeConfig, inlet: InletConfig) -> Identifier | None:
    """
    Whose word about the outlet of an inlet counts; L{None} if nobody's does.
    """
    if inlet.saysWho or inlet.trust.everyone or not inlet.trust.allow:
        return None
    authority = Ticket.fromText(inlet.ticket).authority if inlet.ticket and not inlet.authority else None
    if config.authorities or authority is None:
        authority = authorityOf(config, inlet.authority)
    return authority


@frozen
class _Source:
    """
    How our credential of an authority is had.

    @ivar isMain: Is it the one that the node itself presents?
    @ivar ways: To the authority.
    @ivar ticket: To be redeemed first.
    """

    isMain: bool
    ways: tuple[MultiAddr, ...]
    ticket: Ticket | None


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
        self._sources: dict[Identifier, _Source] = {}

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
        self._become(None)

    def change(self, config: NodeConfig) -> None:
        """
        The configuration is another one: what attests us as before goes on.
        """
        before, self._config = self._config, config
        isSame = (before.authorities, before.authorityTicket) == (config.authorities, config.authorityTicket)
        # Whose credential the node presents does not depend on which inlet comes first.
        self._become(self.authorities[0] if isSame and self.authorities else None)

    def _become(self, main: Identifier | None) -> None:
        """
        Make, end or replace what is not as the configuration says.

        @param main: Whose credential the node is to present, if that is one
            of them; else that of the first one.
        """
        found = self._ways()
        if main not in found:
            main = next(iter(found), None)
        # The first one stays in front.
        order = sorted(found, key=lambda each: each != main)
        sources = {each: _Source(each == main, *found[each]) for each in order}
        ended = {}
        for authority, source in self._sources.items():
            if evolve(source, ticket=self._unredeemed(source.ticket)) != sources.get(authority):
                ended[authority] = self._end(authority, sources.get(authority))
        made = {each: self.retrievers.get(each) or self._make(each, source) for each, source in sources.items()}
        self.authorities, self.retrievers, self._sources = tuple(sources), made, sources
        for authority, retriever in ended.items():
            if authority in made:
                made[authority].whenTried().addCallback(lambda _, old: old.tell(), retriever)
            else:
                retriever.tell()

    def _make(self, authority: Identifier, source: _Source) -> CredentialRetriever:
        node, party, setting = self._node, self._node.requireParty(), SETTING
        if not source.isMain:
            setting = f"{SETTING}:{authority}"
            if authority not in self._parties:
                self._parties[authority] = evolve(party, credential=b"", channels=type(party.channels)())
            party = self._parties[authority]
        ticket = source.ticket
        code, redeemed = (None, None) if ticket is None else (ticket.code, partial(self._redeemed, ticket))
        made = CredentialRetriever(node.walk, party, node.store, authority, source.ways, code, redeemed, setting)
        made.setServiceParent(node)
        return made

    def _end(self, authority: Identifier, successor: _Source | None) -> CredentialRetriever:
        retriever, main = self.retrievers.pop(authority), self._node.requireParty()
        self._node.removeService(retriever)
        self._parties.get(authority, main).credential = b""
        # All parties have the same.
        main.authorities.pop(authority, None)
        if successor is None or successor.isMain:
            self._parties.pop(authority, None)
        return retriever

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
        member there: a ticket that was not redeemed yet.
        """
        config, store = self._config, self._node.store
        found: dict[Identifier, tuple[tuple[MultiAddr, ...], Ticket | None]] = {}
        for each in config.authorities:
            found[Identifier.parse(each.identifier)] = ((checkListener(each.address),), None)
        for text in (config.authorityTicket, *(inlet.ticket for inlet in config.inlets)):
            ticket = Ticket.fromText(text) if text else None
            if ticket is None or ticket.authority is None:
                continue
            unredeemed = self._unredeemed(ticket)
            if ticket.authority in found:
                ways, other = found[ticket.authority]
                found[ticket.authority] = (ways, unredeemed or other)
            elif config.authorities:
                self._log.warn(
                    "The ticket is of another authority than --authority, and is not used",
                    event="ticket-of-another-authority",
                )
            else:
                found[ticket.authority] = (ticket.authorityWays, unredeemed)
        if found and (config.authorities or config.authorityTicket):
            return found
        for inlet in config.inlets:
            pinned = storedPairing(store.setting(pairingSetting(inlet.name)))
            if pinned is not None and pinned.authority is not None:
                found.setdefault(pinned.authority, (pinned.authorityWays, None))
        stored = decodePin(store.setting(AUTHORITY))
        saysWho = config.trust.authorized or config.trust.everyone
        if not found and stored is not None and not saysWho and all(each.isPaired for each in config.inlets):
            found[stored[0]] = (stored[1], None)
        return found

    def _unredeemed(self, ticket: Ticket | None) -> Ticket | None:
        if ticket is None or self._node.store.setting(redeemedSetting(ticket.digest)) is not None:
            return None
        return ticket

    def _redeemed(self, ticket: Ticket) -> Deferred[None]:
        """
        The authority has accepted a ticket of its own: from now on its word
        counts without the ticket.
        """
        assert ticket.authority is not None
        store = self._node.store
        pinned: Deferred[None] = store.storeSetting(AUTHORITY, encodePin(ticket.authority, ticket.authorityWays))
        return pinned.addCallback(lambda _: store.storeSetting(redeemedSetting(ticket.digest), b""))
