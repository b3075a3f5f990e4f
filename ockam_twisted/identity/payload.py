"""
What both sides say of themselves inside a handshake: history, attestation,
credential (spec identity, sections 1.2 and 6.4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen

from ockam_twisted.errors import DecodeError, IdentityRefused, PeerNotTrusted
from ockam_twisted.identity.credentials import CredentialAndPurposeKey, VerifiedCredential
from ockam_twisted.identity.history import ChangeHistory, ReceivedHistory
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.purpose_keys import Attestation
from ockam_twisted.identity.trust import AnyTrust
from ockam_twisted.interfaces import ITrustPolicy
from ockam_twisted.wire import cbor
from ockam_twisted.wire.messages import skipItems, structHead

#: Bytes of a handshake message (spec identity, section 6.14).
MAX_PAYLOAD = 65535

#: How many credentials a peer may present (design, section 9), and how many
#: the reader counts before it says so.
MAX_CREDENTIALS = 1
_COUNTED = 1000


def readCredentials(reader: cbor.Reader) -> tuple[CredentialAndPurposeKey, ...]:
    """
    Read the list of what a peer presents.

    @raise DecodeError: It does not decode.
    @raise IdentityRefused: There are several, or one is of another version.
    """
    count = reader.readArrayHead(_COUNTED)
    if count > MAX_CREDENTIALS:
        raise IdentityRefused(f"a peer presents {count} credentials, more than {MAX_CREDENTIALS}")
    return tuple(CredentialAndPurposeKey.read(reader) for _ in range(count))


#: How many changes the history of somebody may have who comes to enrol and of
#: whom nothing is known: anybody can make one of any length.
MAX_ENROLLING_CHANGES = 8


@frozen
class IdentityPayload:
    """
    A payload that decodes; nothing of it has been verified.

    @ivar history: Who the peer claims to be.
    @ivar attestation: Of its key for secure channels.
    @ivar credentials: None or one.
    """

    history: ReceivedHistory
    attestation: Attestation
    credentials: tuple[CredentialAndPurposeKey, ...] = ()

    @classmethod
    def decode(cls, data: bytes) -> IdentityPayload:
        """
        Decode one.

        @raise DecodeError: It does not decode.
        @raise IdentityRefused: There are several credentials, or something is
            of another version.
        """
        if len(data) > MAX_PAYLOAD:
            raise DecodeError("a handshake payload is too long")
        reader = cbor.Reader(data)
        # Newer versions may add fields.
        fields = structHead(reader, 3)
        history = ReceivedHistory.read(reader)
        attestation = Attestation.read(reader)
        credentials = readCredentials(reader)
        skipItems(reader, fields - 3)
        reader.expectEnd()
        return cls(history, attestation, credentials)

    def encode(self) -> bytes:
        """
        Its CBOR.
        """
        credentials = b"".join(credential.encode() for credential in self.credentials)
        return (
            cbor.arrayHead(3)
            + self.history.encode()
            + self.attestation.encode()
            + cbor.arrayHead(len(self.credentials))
            + credentials
        )


@frozen
class VerifiedPeer:
    """
    Who is at the other end, proven.

    @ivar identifier: Who.
    @ivar history: The change history, as received.
    @ivar historyIsNewer: It is not the one known so far, if any was, and has
        to be stored.
    @ivar latestChangeHash: Of the history; what a credential issued to this
        peer names.
    @ivar expiresAt: When the attestation of its channel key ends, epoch
        seconds.
    @ivar credential: What an authority says of it.
    @ivar credentialRefused: Why a credential it presented does not count;
        L{None} if it presented none, one that does, or no authority was
        given.
    """

    identifier: Identifier
    history: bytes
    historyIsNewer: bool
    latestChangeHash: bytes
    expiresAt: int
    credential: VerifiedCredential | None = None
    credentialRefused: str | None = None


def verifyPayload(
    payload: bytes,
    now: int,
    known: Callable[[Identifier], bytes | None],
    trust: ITrustPolicy,
    noiseStatic: bytes,
    authorities: Mapping[Identifier, ChangeHistory] | None = None,
    enrolment: ITrustPolicy | None = None,
) -> VerifiedPeer:
    """
    Carry out what the receiver of a payload has to check (spec identity,
    section 6.4).  Trust is looked up before any signature is verified, so
    that a stranger costs one hash (design, section 9); where a credential
    decides, that is verified first: two signatures, and not those of a history.

    @param now: Epoch seconds.
    @param known: What is stored of somebody: L{IIdentityStore.changeHistory}.
    @param noiseStatic: The static key that the handshake proved, 32 bytes.
    @param authorities: The histories of whom we accept credentials from; if
        there are none, credentials are ignored.
    @param enrolment: Who is accepted, too, if its history is short.
    @raise DecodeError: It does not decode.
    @raise PeerNotTrusted: Neither C{trust} nor C{enrolment} accepts the peer.
    @raise IdentityRefused: It does not verify, or it is older than, or in
        conflict with, the known history.
    """
    received = IdentityPayload.decode(payload)
    identifier = received.history.identifier
    everybody = trust if enrolment is None else AnyTrust(trust, enrolment)
    if not everybody.accepts(identifier):
        raise PeerNotTrusted(f"the peer {identifier} is not trusted here", str(identifier))
    credential: VerifiedCredential | None = None
    refused: str | None = None
    if authorities:
        for presented in received.credentials:
            try:
                credential = presented.verify(authorities, now, identifier)
            except IdentityRefused as error:
                # The channel is established without it (spec, point 6).
                refused = str(error)

    def confirm() -> None:
        if not everybody.confirms(identifier, credential):
            why = "" if refused is None else f" ({refused})"
            raise PeerNotTrusted(
                f"the peer {identifier} is not trusted here: it has no credential that says so{why}", str(identifier)
            )

    # The peer has only said so far who it is; unless that is somebody we let
    # in, there is no need to find out.
    confirm()
    if received.attestation.publicKey != noiseStatic:
        raise IdentityRefused(f"{identifier} attests another key than the one of its handshake")
    stored = known(identifier)
    isLong = len(received.history.changes) > MAX_ENROLLING_CHANGES
    if isLong and stored is None and not (trust.accepts(identifier) and trust.confirms(identifier, credential)):
        raise IdentityRefused(
            f"{identifier} has changed its key too often to enrol here, more than {MAX_ENROLLING_CHANGES - 1} times"
        )
    history = received.history.verify()
    newer = _isNewer(history, stored)
    received.attestation.verify(history, now)
    confirm()
    return VerifiedPeer(
        identifier=identifier,
        history=history.encode(),
        historyIsNewer=newer,
        latestChangeHash=history.latest.hash,
        expiresAt=received.attestation.expiresAt,
        credential=credential,
        credentialRefused=refused,
    )


@frozen
class VerifiedRefresh:
    """
    What a peer has presented anew.

    @ivar history: Its change history, as received.
    @ivar historyIsNewer: See L{VerifiedPeer}.
    @ivar credential: What an authority says of it; L{None} if no authority
        was given, or nothing presented.
    """

    history: bytes
    historyIsNewer: bool
    credential: VerifiedCredential | None


def verifyRefresh(
    change_history: bytes,
    credentials: bytes,
    identifier: Identifier,
    now: int,
    known: Callable[[Identifier], bytes | None],
    authorities: Mapping[Identifier, ChangeHistory],
) -> VerifiedRefresh:
    """
    Carry out what the receiver of RefreshCredentials has to check (spec
    identity, section 6.11).

    @param change_history: As received.
    @param credentials: The list of them, as received.
    @param identifier: Of the channel's peer.
    @param now: Epoch seconds.
    @param known: What is stored of somebody: L{IIdentityStore.changeHistory}.
    @param authorities: See L{verifyPayload}.
    @raise DecodeError: It does not decode.
    @raise IdentityRefused: It is of somebody else, or does not verify.
    """
    if len(change_history) + len(credentials) > MAX_PAYLOAD:
        raise DecodeError("a refresh of credentials is too long")
    received = ReceivedHistory.decode(change_history)
    if received.identifier != identifier:
        raise IdentityRefused(f"{identifier} presents the change history of {received.identifier}")
    reader = cbor.Reader(credentials)
    presented = readCredentials(reader)
    reader.expectEnd()
    history = received.verify()
    newer = _isNewer(history, known(identifier))
    credential: VerifiedCredential | None = None
    if authorities:
        for each in presented:
            credential = each.verify(authorities, now, identifier)
    return VerifiedRefresh(history.encode(), newer, credential)


def _isNewer(history: ChangeHistory, stored: bytes | None) -> bool:
    """
    Does C{history} have to be stored?

    @param stored: The one that is known; it was verified when it was stored.
    @raise IdentityRefused: It may not replace the one that is known.
    """
    return stored is None or history.isNewerThan(stored)
