"""
Who takes part in handshakes on this side, and what it knows of others.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakSet

from attrs import define, field
from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from ockam_twisted.errors import LocalProtocolError
from ockam_twisted.identity.creation import Identity, PurposeKey, rotateStored, secureChannelKey
from ockam_twisted.identity.credentials import VerifiedCredential
from ockam_twisted.identity.history import ChangeHistory
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.payload import VerifiedPeer, verifyPayload, verifyRefresh
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.interfaces import IIdentityStore, IPresenter, ITrustPolicy, IVault, Until
from ockam_twisted.wire import cbor
from ockam_twisted.wire.channel import ChannelRefresh

_log = Logger()


def _never(when: int, call: Callable[[], object]) -> Callable[[], None]:
    """
    The calendar of who has none.
    """
    return lambda: None


@define(eq=False)
class Party:
    """
    See the module.

    @ivar now: The time, in whole seconds since the Unix epoch.
    @ivar authorities: The change histories of whom we accept credentials
        from; without any, credentials are ignored.
    @ivar credential: What we present: a credential and the attestation of the
        key that signed it, encoded; empty for none.
    @ivar until: Calls something when a calendar time has come.
    @ivar remembers: Whose newest change history is worth keeping, whoever
        else may connect: who has something here that an old key must not get.
    @ivar channels: The channels there are.
    """

    vault: IVault
    store: IIdentityStore
    identity: Identity
    purposeKey: PurposeKey
    now: Callable[[], int]
    authorities: dict[Identifier, ChangeHistory] = field(factory=dict)
    credential: bytes = b""
    until: Until = _never
    remembers: Callable[[Identifier], bool] = lambda identifier: False
    channels: WeakSet[IPresenter] = field(factory=WeakSet)
    _rotating: DeferredLock = field(factory=DeferredLock, init=False)

    def payload(self) -> bytes:
        """
        What proves our identity to the peer.
        """
        return b"".join(
            (
                cbor.arrayHead(3),
                self.identity.history.encode(),
                self.purposeKey.attestation,
                cbor.arrayHead(1 if self.credential else 0),
                self.credential,
            )
        )

    def staticKey(self) -> tuple[bytes, bytes]:
        """
        @return: The vault's handle of our key for secure channels, and its
            public half.
        """
        public = self.purposeKey.publicKey
        if not isinstance(public, bytes):
            raise LocalProtocolError("a purpose key for credentials is none for secure channels")
        return self.purposeKey.key, public

    def present(self, credential: bytes) -> None:
        """
        Present a credential from now on, also over the channels there are.

        @param credential: See L{credential}.
        """
        self.credential = credential
        for channel in list(self.channels):
            channel.presentCredential(self.identity.history.encode(), credential)

    async def rotate(self, kind: int | None = None) -> None:
        """
        Replace the key of our identity, and tell those who have a channel.

        @param kind: 0 Ed25519, 1 P-256; L{None}: as the vault likes.
        """
        await self._rotating.acquire()
        try:
            self.identity = await rotateStored(self.vault, self.store, self.identity, self.now(), kind)
            self.purposeKey = await secureChannelKey(self.vault, self.store, self.identity, self.now())
            self.present(self.credential)
        finally:
            self._rotating.release()

    async def verify(
        self, payload: bytes, noiseStatic: bytes, trust: ITrustPolicy, enrolment: ITrustPolicy | None = None
    ) -> VerifiedPeer:
        """
        Find out who the peer is.

        @param enrolment: Whom we accept, too, but keep nothing of.
        @raise PeerNotTrusted: Not somebody we accept.
        @raise IdentityRefused: It proves nothing.
        """
        peer = verifyPayload(
            payload,
            now=self.now(),
            known=self.store.changeHistory,
            trust=trust,
            noiseStatic=noiseStatic,
            authorities=self.authorities,
            enrolment=enrolment,
        )
        if peer.credentialRefused is not None:
            _log.warn(
                "A credential of {peer} does not count: {reason}",
                peer=peer.identifier,
                reason=peer.credentialRefused,
                event="credential-refused",
                audit="refused",
            )
        # Anybody can make identities without end: those of strangers are
        # not worth a place on the disk.
        isAccepted = not isinstance(trust, TrustEveryone) and self.accepts(trust, peer)
        if peer.historyIsNewer and (isAccepted or self._isKnown(peer.identifier)):
            await self.store.storeChangeHistory(peer.identifier, peer.history)
        else:
            # An earlier handshake may have failed to.
            await self.store.whenStored(peer.identifier)
        return peer

    def _isKnown(self, identifier: Identifier) -> bool:
        return self.remembers(identifier) or self.store.changeHistory(identifier) is not None

    def accepts(self, trust: ITrustPolicy, peer: VerifiedPeer) -> bool:
        """
        Does a policy accept a peer, all things considered?
        """
        return trust.accepts(peer.identifier) and trust.confirms(peer.identifier, peer.credential)

    def refreshed(self, identifier: Identifier, message: ChannelRefresh) -> VerifiedCredential | None:
        """
        The peer of a channel presents credentials anew.

        @return: What an authority of ours says of it.
        @raise OckamError: It proves nothing; what it had presented before
            still counts.
        """
        refresh = verifyRefresh(
            message.change_history,
            message.credentials,
            identifier,
            now=self.now(),
            known=self.store.changeHistory,
            authorities=self.authorities,
        )
        # Of strangers nothing is stored, as in a handshake.
        if refresh.historyIsNewer and self._isKnown(identifier):
            storing = self.store.storeChangeHistory(identifier, refresh.history)
            storing.addErrback(
                lambda failure: _log.failure("A change history was not stored", failure, event="history-not-stored")
            )
        return refresh.credential
