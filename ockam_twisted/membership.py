"""
The node as an authority for others: its members, and the four services by
which they come, prove themselves, and are managed (spec identity, section
7.2; design, section 4).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ockam_twisted.authority.admission import MembersOnly
from ockam_twisted.authority.answers import (
    CREDENTIAL_ISSUER,
    DIRECT_AUTHENTICATOR,
    TOKEN_ACCEPTOR,
    TOKEN_ISSUER,
    AuthorityAnswers,
)
from ockam_twisted.authority.authority import Authority
from ockam_twisted.channels.listener import SecureChannelListener
from ockam_twisted.channels.party import Party
from ockam_twisted.identity.creation import credentialKey, issueCredential
from ockam_twisted.identity.credentials import Attributes
from ockam_twisted.identity.history import ChangeHistory
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import TrustIf
from ockam_twisted.interfaces import IAccessControl, IRouter, ITrustPolicy
from ockam_twisted.routing.addresses import Address
from ockam_twisted.services.requests import Answer, RequestWorker

#: The addresses of the services.
ADDRESSES = (CREDENTIAL_ISSUER, TOKEN_ISSUER, TOKEN_ACCEPTOR, DIRECT_AUTHENTICATOR)

#: Seconds that a credential is good for: so long a removed member is still
#: accepted where the member list is not at hand.
CREDENTIAL_LIFETIME = 600


def enrolmentPolicy(authority: Authority, isOpen: Callable[[], bool] = lambda: True) -> ITrustPolicy:
    """
    Who may have a channel to present a code: anybody, while there is one that
    could be right.

    @param isOpen: Are codes accepted now?
    """
    return TrustIf(lambda identifier: isOpen() and authority.hasOpenToken())


def memberPolicy(authority: Authority) -> ITrustPolicy:
    """
    Accept members.
    """
    return TrustIf(lambda identifier: authority.member(identifier) is not None)


class Membership(MultiService):
    """
    See the module.

    @ivar credentialLifetime: Seconds that a credential is good for.
    """

    _log = Logger()

    def __init__(
        self,
        router: IRouter,
        party: Party,
        authority: Authority,
        listener: SecureChannelListener,
        changed: Callable[[Identifier], object] = lambda identifier: None,
        credentialLifetime: int = CREDENTIAL_LIFETIME,
        isOpen: bool = False,
    ) -> None:
        """
        @param listener: Through whose channels the services are reached.
        @param changed: Told whose membership has changed, too.
        @param isOpen: Does everybody who proves an identity reach the
            services, as those of an C{ockam-authority}?  Otherwise only
            members do, and those who may enrol the acceptor.
        """
        super().__init__()
        self._router = router
        self._party = party
        self._authority = authority
        self._listener = listener
        self._changed = changed
        self.credentialLifetime = credentialLifetime
        answers = AuthorityAnswers(authority, party.identity.identifier, self._issue, self._enough)
        members = None if isOpen else MembersOnly(authority)
        flow, enrolment = listener.flowId, listener.enrolmentFlowId
        self._serve(TOKEN_ACCEPTOR, answers.acceptToken, (flow, enrolment), None)
        self._serve(CREDENTIAL_ISSUER, answers.issueCredential, (flow, enrolment), members)
        self._serve(TOKEN_ISSUER, answers.issueToken, (flow,), members)
        self._serve(DIRECT_AUTHENTICATOR, answers.authenticate, (flow,), members)

    def _serve(self, name: str, answer: Answer, flows: tuple[str, ...], incoming: IAccessControl | None) -> None:
        RequestWorker(self._router, Address.local(name), answer, flows, incoming).setServiceParent(self)

    def startService(self) -> None:
        """
        Answer from now on.
        """
        super().startService()
        self._authority.watchers.append(self._memberChanged)

    def stopService(self) -> Deferred[Any]:
        """
        Answer no more.
        """
        if self._memberChanged in self._authority.watchers:
            self._authority.watchers.remove(self._memberChanged)
        return super().stopService()  # type: ignore[no-any-return]

    def _memberChanged(self, identifier: Identifier) -> None:
        # Access decisions are remembered.
        for name in ADDRESSES:
            self._router.invalidate(Address.local(name))
        self._changed(identifier)
        self._listener.recheck(identifier)

    def _enough(self, encryptor: Address) -> None:
        """
        Somebody has guessed often enough.
        """
        peer = self._router.peers.find(encryptor)
        if peer is not None and self._authority.member(peer.identifier) is None:
            self._listener.end(encryptor, "it presents wrong codes")

    async def _issue(self, identifier: Identifier, attributes: Attributes) -> bytes:
        party = self._party
        now = party.now()
        key = await credentialKey(party.vault, party.store, party.identity, now)
        known = party.store.changeHistory(identifier)
        latest = None if known is None else ChangeHistory.fromBytes(known).latest.hash
        both = await issueCredential(
            party.vault, key, identifier, dict(attributes), now, self.credentialLifetime, latest
        )
        return both.encode()
