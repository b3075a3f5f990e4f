"""
Who may use one service: a policy, asked about whoever is at the other end of
a channel (spec identity, section 8.5).
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from zope.interface import implementer

from ockam_twisted.authority.authority import Authority
from ockam_twisted.identity.credentials import Attributes
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.members import OUTLET, RELAY
from ockam_twisted.interfaces import IAccessControl, IAdmission
from ockam_twisted.policies.policy import Policy, environment
from ockam_twisted.routing.local_message import LocalMessage, PeerIdentity


@implementer(IAdmission, IAccessControl)
class Admission:
    """
    See the module.
    """

    def __init__(
        self, policy: Policy | None, resource: str, members: Authority | None = None, authorities: Collection[str] = ()
    ) -> None:
        """
        @param policy: L{None}: any identity may.
        @param resource: What it is about.
        @param members: This node's own members: what they have is looked up
            now, and no credential says otherwise.
        @param authorities: Whose credentials count besides, identifiers.
        """
        self._policy = policy
        self._resource = resource
        self._members = members
        self._authorities = authorities

    def attributes(self, peer: PeerIdentity) -> Attributes | None:
        """
        What a peer has here, now.
        """
        member = None if self._members is None else self._members.member(peer.identifier)
        if member is not None:
            return member.attributes
        return peer.attributes if peer.authority in self._authorities else None

    def refusal(self, peer: PeerIdentity | None) -> str:
        """
        See L{IAdmission.refusal}.
        """
        if peer is None:
            return "it did not come through a secure channel"
        if self._policy is None:
            return ""
        hasAuthority = bool(self._authorities) or self._members is not None
        return self._policy.refusal(
            environment(peer.identifier, self.attributes(peer), hasAuthority, self._resource, peer.connection)
        )

    @property
    def isOfConnections(self) -> bool:
        """
        Does it depend on the connection that somebody comes over?  Then it
        cannot be told in a handshake.
        """
        return self._policy is not None and self._policy.isOfConnections

    def permits(self, message: LocalMessage) -> bool:
        """
        See L{IAccessControl.permits}.
        """
        return not self.refusal(message.peerIdentity)


class OutletAdmission(Admission):
    """
    Who may have streams of an outlet, where others may have channels, too.
    """

    def __init__(
        self,
        policy: Policy | None,
        resource: str,
        members: Authority | None,
        authorities: Collection[str],
        *,
        everyone: bool,
        authorized: Collection[str],
        isExact: bool,
    ) -> None:
        """
        @param everyone: May everybody who proves an identity?
        @param authorized: Who is meant, by identifier.
        @param isExact: If somebody is, is nobody else, whoever attests what?
        """
        super().__init__(policy, resource, members, authorities)
        self._everyone = everyone
        self._authorized = frozenset(authorized)
        self._isExact = isExact and bool(authorized)

    def refusal(self, peer: PeerIdentity | None) -> str:
        """
        See L{IAdmission.refusal}.
        """
        if peer is None:
            return super().refusal(peer)
        if not self._everyone and peer.identifier not in self._authorized:
            if self._isExact:
                return "it is not authorized"
            if self.attributes(peer) is None and (self._policy is None or self._authorized):
                return "it is neither authorized nor a member"
        return super().refusal(peer)


class RelayAdmission(Admission):
    """
    Who may register which name at a relay.
    """

    def refusalOfName(self, peer: PeerIdentity, name: str, isMember: bool) -> str:
        """
        Why a peer may not have a name; empty if it may.

        @param isMember: It may register, by this relay's own word.
        """
        refusal = self.refusal(peer)
        if refusal:
            return refusal
        granted = dict(self.attributes(peer) or ()).get(RELAY)
        if granted is None:
            return "" if isMember else "it has no attribute ockam-relay"
        if granted in (b"*", name.encode()) or name == peer.identifier:
            return ""
        return "its attribute ockam-relay is for another name"


@implementer(IAccessControl)
class MembersOnly:
    """
    Messages of members pass.
    """

    def __init__(self, members: Authority) -> None:
        self._members = members

    def permits(self, message: LocalMessage) -> bool:
        """
        See L{IAccessControl.permits}.
        """
        peer = message.peerIdentity
        return peer is not None and self._members.member(peer.identifier) is not None


def outletDemand(policy: Policy, resource: str) -> Callable[[Identifier, Attributes], str]:
    """
    What a credential must say of an outlet: being a member of an authority is
    never enough, so that the attribute C{ockam-outlet}, which is granted on
    purpose only, has to be there as well.

    @return: For L{ockam_twisted.identity.trust.TrustCredential}.
    """

    def demand(identifier: Identifier, attributes: Attributes) -> str:
        if not dict(attributes).get(OUTLET):
            return "it has no attribute ockam-outlet"
        return policy.refusal(environment(str(identifier), attributes, True, resource))

    return demand
