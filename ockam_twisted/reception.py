"""
Who is let in, and to what: the secure-channel listener of a node as its
configuration says, and what is behind it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ockam_twisted.authority.admission import Admission, RelayAdmission, outletDemand
from ockam_twisted.authority.authority import Authority
from ockam_twisted.authority.ticket import Ticket
from ockam_twisted.channels.listener import SecureChannelListener
from ockam_twisted.checks import checkListener
from ockam_twisted.config import NodeConfig, RelayServiceConfig, TrustConfig
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import (
    AnyTrust,
    TrustCredential,
    TrustEveryone,
    TrustIdentifiers,
    TrustIf,
)
from ockam_twisted.interfaces import ITrustPolicy
from ockam_twisted.membership import Membership, enrolmentPolicy, memberPolicy
from ockam_twisted.node import Node
from ockam_twisted.places import clientEndpoint
from ockam_twisted.policies.policy import Policy
from ockam_twisted.portals.outlet import SocketTarget
from ockam_twisted.relays.service import RelayService
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.local_message import PeerIdentity
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.pairing import PAIRING, storedPairing
from ockam_twisted.sessions.retriever import AUTHORITY, CredentialRetriever, decodePin, encodePin, redeemedSetting

#: Stands for an address that does not matter.
NOWHERE = Address.local("-")


def inletTrust(config: NodeConfig, trust: TrustConfig) -> ITrustPolicy:
    """
    Who the outlet must be, as a configuration says.
    """
    if trust.everyone:
        return TrustEveryone()
    policies: list[ITrustPolicy] = []
    if trust.authorized:
        policies.append(TrustIdentifiers([Identifier.parse(each) for each in trust.authorized]))
    if trust.allow:
        authority = (
            Identifier.parse(config.authorities[0].identifier)
            if config.authorities
            else Ticket.fromText(next(inlet.ticket for inlet in config.inlets if inlet.ticket)).authority
        )
        assert authority is not None
        policies.append(TrustCredential(authority, outletDemand(Policy.fromText(trust.allow), "outlet")))
    return AnyTrust(*policies)


class Reception:
    """
    See the module.
    """

    _log = Logger()

    def __init__(self, config: NodeConfig, node: Node, reactor: Any) -> None:
        """
        @param node: Has its identity.
        """
        self._config = config
        self._node = node
        self._reactor = reactor
        self._authority = ""

    def retrieve(self) -> CredentialRetriever | None:
        """
        Have our own credential fetched, where there is an authority.
        """
        config, node, store = self._config, self._node, self._node.store
        text = config.authorityTicket or next((each.ticket for each in config.inlets if each.ticket), "")
        ticket = Ticket.fromText(text) if text else None
        pinned = storedPairing(store.setting(PAIRING)) if config.inlets else None
        if ticket is None or ticket.authority is None:
            ticket = None
        ways: tuple[MultiAddr, ...]
        if config.authorities:
            authority = Identifier.parse(config.authorities[0].identifier)
            ways = (checkListener(config.authorities[0].address),)
            if ticket is not None and ticket.authority != authority:
                self._log.warn(
                    "The ticket is of another authority than --authority, and is not used",
                    event="ticket-of-another-authority",
                )
                ticket = None
        elif ticket is not None and ticket.authority is not None:
            authority, ways = ticket.authority, ticket.authorityWays
        elif pinned is not None and pinned.authority is not None:
            authority, ways = pinned.authority, pinned.authorityWays
        else:
            stored = decodePin(store.setting(AUTHORITY))
            saysWho = config.trust.authorized or config.trust.everyone
            if stored is None or saysWho or any(not each.isPaired for each in config.inlets):
                return None
            authority, ways = stored
        code, redeemed = None, None
        if ticket is not None and store.setting(redeemedSetting(ticket.digest)) is None:
            code, redeemed = ticket.code, partial(self._redeemed, ticket)
        self._authority = str(authority)
        retriever = CredentialRetriever(node.walk, node.requireParty(), store, authority, ways, code, redeemed)
        retriever.setServiceParent(node)
        return retriever

    def _redeemed(self, ticket: Ticket) -> Deferred[None]:
        """
        The authority has accepted a ticket of its own: from now on its word
        counts without the ticket.
        """
        assert ticket.authority is not None
        store = self._node.store
        pinned: Deferred[None] = store.storeSetting(AUTHORITY, encodePin(ticket.authority, ticket.authorityWays))
        return pinned.addCallback(lambda _: store.storeSetting(redeemedSetting(ticket.digest), b""))

    def _trust(self) -> ITrustPolicy:
        """
        Whom the secure-channel listener accepts.
        """
        config, node = self._config, self._node
        relay = config.relayService
        # Anybody may prove to a relay who they are; what they may do then is
        # decided by its service.
        if config.trust.everyone or (relay is not None and not relay.tickets):
            return TrustEveryone()
        authorized = (*config.trust.authorized, *(relay.authorized if relay is not None else ()))
        policies: list[ITrustPolicy] = [TrustIdentifiers([Identifier.parse(each) for each in authorized])]
        if config.tickets is not None:
            policies.append(memberPolicy(node.authority))
            count = len(node.authority.members())
            if count and config.outlets and (config.trust.authorized or self._authority):
                self._log.info(
                    "{count} members of this node may connect, too: `ockam-twisted member list` shows them",
                    count=count,
                    event="members-may-connect",
                )
        if self._authority:
            policies.append(TrustCredential(Identifier(self._authority)))
            if config.outlets and not config.trust.allow:
                self._log.info(
                    "Every member of {authority} may connect; --allow says what they need",
                    authority=self._authority,
                    event="attested-may-connect",
                )
        if config.trust.allow and not authorized and relay is None:
            # Who may be told by the identifier alone.
            admission = self.admission(config.trust.allow, "outlet")
            policies.append(
                TrustIf(lambda identifier: not admission.refusal(PeerIdentity(str(identifier), NOWHERE, NOWHERE)))
            )
        return AnyTrust(*policies)

    def admission(self, allow: str, resource: str) -> Admission:
        """
        Who may use something.

        @param allow: A policy.
        """
        return Admission(Policy.fromText(allow), resource, self._members(), self._authority)

    def _members(self) -> Authority | None:
        return None if self._config.tickets is None else self._node.authority

    def open(self) -> str:
        """
        Let others in: listener, members, relay, outlets.

        @return: The flow-control id of those who are let in.
        """
        config, node = self._config, self._node
        enrolment = None if config.tickets is None else enrolmentPolicy(node.authority)
        listener = node.createSecureChannelListener(self._trust(), enrolment=enrolment)
        relay: RelayService | None = None
        if config.relayService is not None:
            relay = self._answerRegistrations(config.relayService, listener)

        def changed(identifier: Identifier) -> None:
            if relay is not None:
                relay.recheck(str(identifier))

        if config.tickets is not None:
            isOpen = config.authorityService is not None
            Membership(
                node.router, node.requireParty(), node.authority, listener, changed, config.credentialLifetime, isOpen
            ).setServiceParent(node)
        for outlet in config.outlets:
            endpoint = clientEndpoint(self._node.pool, outlet.target)
            target = SocketTarget(node.router, node.sockets, endpoint, outlet.label)
            admission = self.admission(config.trust.allow, outlet.address) if config.trust.allow else None
            node.createOutlet(outlet.address, target, (listener.flowId,), admission=admission)
        return listener.flowId

    def _answerRegistrations(self, service: RelayServiceConfig, listener: SecureChannelListener) -> RelayService:
        authorized = [str(Identifier.parse(each)) for each in service.authorized]
        if not service.tickets:
            return self._node.createRelayService(authorized or None, listener=listener)
        allow = service.allow
        admission = RelayAdmission(Policy.fromText(allow) if allow else None, "relay", self._members(), self._authority)

        def admits(peer: PeerIdentity, name: str) -> str:
            if peer.identifier in authorized:
                return ""
            isMember = self._node.authority.member(Identifier(peer.identifier)) is not None
            return admission.refusalOfName(peer, name, isMember)

        return self._node.createRelayService(listener=listener, admits=admits)
