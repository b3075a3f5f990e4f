"""
Who is let in, and to what: the secure-channel listener of a node as its
configuration says, and what is behind it.
"""

from __future__ import annotations

from twisted.logger import Logger

from ockam_twisted.attestation import Attestation, authorityOf
from ockam_twisted.authority.admission import Admission, OutletAdmission, RelayAdmission
from ockam_twisted.authority.authority import Authority
from ockam_twisted.channels.listener import SecureChannelListener
from ockam_twisted.config import NodeConfig, OutletConfig, RelayServiceConfig
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
from ockam_twisted.policies.policy import Policy
from ockam_twisted.relays.claims import Admits
from ockam_twisted.relays.service import RelayService
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.local_message import PeerIdentity
from ockam_twisted.sessions.negotiation import NegotiationService

#: Stands for an address that does not matter.
NOWHERE = Address.local("-")


def isNeeded(config: NodeConfig) -> bool:
    """
    Does anybody have to be let in?  An inlet has nobody to answer.
    """
    return bool(config.outlets) or config.relayService is not None or config.authorityService is not None


class Reception:
    """
    See the module.

    @ivar listener: The secure-channel listener, while there is one.
    """

    _log = Logger()

    def __init__(self, config: NodeConfig, node: Node, attestation: Attestation) -> None:
        """
        @param node: Has its identity.
        """
        self.listener: SecureChannelListener | None = None
        self._config = config
        self._node = node
        self._attestation = attestation
        self._relay: RelayService | None = None
        self._membership: Membership | None = None
        self._negotiation: NegotiationService | None = None

    # ---------------------------------------------------------------- trust

    def _trust(self) -> ITrustPolicy:
        """
        Whom the secure-channel listener accepts: everybody who may do
        anything behind it.
        """
        config, node = self._config, self._node
        relay, trust = config.relayService, config.trust
        own = [(each, each.trust) for each in config.outlets if each.trust is not None]
        # Anybody may prove to a relay, or an authority, who they are; what they
        # may do then is decided by its service.
        isOpen = trust.everyone or (relay is not None and not relay.tickets) or config.authorityService is not None
        if isOpen or any(its.everyone for _, its in own):
            return TrustEveryone()
        authorized = [*trust.authorized, *(relay.authorized if relay is not None else ())]
        authorized += [each for _, its in own for each in its.authorized]
        policies: list[ITrustPolicy] = [TrustIdentifiers([Identifier.parse(each) for each in authorized])]
        if config.tickets is not None:
            policies.append(memberPolicy(node.authority))
            count = len(node.authority.members())
            if count and config.outlets and (trust.authorized or self._attestation.authorities):
                self._log.info(
                    "{count} members of this node may connect, too: `ockam-twisted member list` shows them",
                    count=count,
                    event="members-may-connect",
                )
        for authority in self._attestation.authorities:
            policies.append(TrustCredential(authority))
            if any(each.trust is None for each in config.outlets) and not trust.allow:
                self._log.info(
                    "Every member of {authority} may connect; --allow says what they need",
                    authority=str(authority),
                    event="attested-may-connect",
                )
        admissions = [self.admissionOf(each) for each, its in own if its.allow and not its.authorized]
        if trust.allow and not trust.authorized and relay is None:
            admissions.append(self.admission(trust.allow, "outlet"))
        for admission in admissions:
            # Who may be told by the identifier alone.
            policies.append(self._byIdentifier(admission))
        return AnyTrust(*policies)

    def _byIdentifier(self, admission: Admission) -> ITrustPolicy:
        if admission.isOfConnections:
            # Who does not come over the right one has a channel, and nothing to use it for.
            return TrustEveryone()
        return TrustIf(lambda identifier: not admission.refusal(PeerIdentity(str(identifier), NOWHERE, NOWHERE)))

    def admission(self, allow: str, resource: str) -> Admission:
        """
        Who may use something.

        @param allow: A policy.
        """
        return Admission(Policy.fromText(allow), resource, self._members(), self._attested())

    def admissionOf(self, outlet: OutletConfig) -> Admission:
        """
        Who may use an outlet.
        """
        config = self._config
        isOwn = outlet.trust is not None
        trust = config.trust if outlet.trust is None else outlet.trust
        return OutletAdmission(
            Policy.fromText(trust.allow) if trust.allow else None,
            outlet.address,
            self._members(),
            (str(authorityOf(config, outlet.authority)),) if outlet.authority else self._attested(),
            everyone=trust.everyone,
            authorized=[str(Identifier.parse(each)) for each in trust.authorized],
            isExact=isOwn,
        )

    def _attested(self) -> tuple[str, ...]:
        return tuple(map(str, self._attestation.authorities))

    def _members(self) -> Authority | None:
        return None if self._config.tickets is None else self._node.authority

    # ----------------------------------------------------------------- open

    def open(self) -> None:
        """
        Let others in: listener, members, relay.
        """
        node = self._node
        enrolment = enrolmentPolicy(node.authority, lambda: self._config.tickets is not None)
        self.listener = node.createSecureChannelListener(self._trust(), enrolment=enrolment)
        self._begin(self.listener)
        self._negotiation = node.startNegotiation((self.listener.flowId,))

    def change(self, config: NodeConfig) -> None:
        """
        The configuration is another one: what it says of who is let in holds
        at once, also for those who are in.
        """
        self._config = config
        listener = self.listener
        if listener is None:
            if isNeeded(config):
                self.open()
            return
        self._begin(listener)
        listener.trustNow(self._trust())

    def close(self) -> None:
        """
        Nobody is let in any more.
        """
        # It may be needed again by now.
        if self.listener is not None and self._node.running and not isNeeded(self._config):
            if self._membership is not None:
                self._node.removeService(self._membership)
            for each in (self._negotiation, self.listener):
                if each is not None:
                    self._node.removeService(each)
            self.listener = self._membership = self._negotiation = None

    def _begin(self, listener: SecureChannelListener) -> None:
        """
        Offer what the configuration says, as it says it.
        """
        config, node = self._config, self._node
        node.restrictEcho(self.admission(config.allowEcho, "echo") if config.allowEcho else None)
        if config.relayService is not None:
            authorized, admits = self._registrants(config.relayService)
            if self._relay is None:
                node.startRendezvous((node.transport.listenerId,))
                self._relay = node.createRelayService(authorized, listener=listener, admits=admits)
            else:
                self._relay.change(authorized, admits)
        if config.tickets is None:
            if self._membership is not None:
                node.removeService(self._membership)
                self._membership = None
        elif self._membership is None:
            isOpen, lifetime = config.authorityService is not None, config.credentialLifetime
            party, authority = node.requireParty(), node.authority
            self._membership = Membership(node.router, party, authority, listener, self._changed, lifetime, isOpen)
            self._membership.setServiceParent(node)
        else:
            self._membership.credentialLifetime = config.credentialLifetime

    def _changed(self, identifier: Identifier) -> None:
        if self._relay is not None:
            self._relay.recheck(str(identifier))

    def _registrants(self, service: RelayServiceConfig) -> tuple[list[str] | None, Admits | None]:
        """
        Who may register.
        """
        authorized = [str(Identifier.parse(each)) for each in service.authorized]
        if not service.tickets:
            return authorized or None, None
        policy = Policy.fromText(service.allow) if service.allow else None
        admission = RelayAdmission(policy, "relay", self._members(), self._attested())

        def admits(peer: PeerIdentity, name: str) -> str:
            if peer.identifier in authorized:
                return ""
            isMember = self._node.authority.member(Identifier(peer.identifier)) is not None
            return admission.refusalOfName(peer, name, isMember)

        return None, admits
