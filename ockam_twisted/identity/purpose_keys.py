"""
Purpose keys: an identity attests, with its primary key, the keys it uses for
secure channels and for signing credentials (spec identity, section 4).
"""

from __future__ import annotations

from attrs import frozen

from ockam_twisted.errors import DecodeError, IdentityRefused
from ockam_twisted.identity.history import ChangeHistory
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.signed import (
    ATTESTATION,
    checkTimes,
    openVersionedData,
    readHash,
    readIdentifier,
    versionedData,
    writeKey,
)
from ockam_twisted.vault.primitives import Signature, VerifyingKey, expectArray, readExactly, verify
from ockam_twisted.wire import cbor

#: Seconds that a purpose key lives (spec identity, section 4.1).
LIFETIME = 5 * 365 * 86400

#: Bytes of the data of an attestation; the largest there is has 165.
MAX_ATTESTATION_DATA = 224

#: The key of a purpose: 32 bytes of X25519 for secure channels, or a
#: verifying key for signing credentials.
PurposePublicKey = bytes | VerifyingKey

_SECURE_CHANNEL, _CREDENTIALS = 0, 1


def attestationData(history: ChangeHistory, publicKey: PurposePublicKey, createdAt: int, expiresAt: int) -> bytes:
    """
    The data of an attestation, to be signed by the latest key of C{history}.

    @param history: Of whose key it is.
    @param publicKey: The key to attest.
    @param createdAt: Epoch seconds.
    @param expiresAt: Epoch seconds.
    """
    key = (
        (_CREDENTIALS, [writeKey(publicKey)]) if isinstance(publicKey, VerifyingKey) else (_SECURE_CHANNEL, [publicKey])
    )
    inner = cbor.encode((history.identifier.digest, history.latest.hash, key, createdAt, expiresAt))
    return versionedData(ATTESTATION, inner)


def _readPurposePublicKey(reader: cbor.Reader) -> PurposePublicKey:
    expectArray(reader, 2)
    kind = reader.readUint(_CREDENTIALS)
    expectArray(reader, 1)
    return VerifyingKey.read(reader) if kind == _CREDENTIALS else readExactly(reader, 32)


@frozen
class Attestation:
    """
    An identity's word for a purpose key.

    @ivar data: The encoded C{VersionedData}, as received.
    @ivar signature: Of C{data}, by the identity's primary key.
    @ivar subject: Whose key it is.
    @ivar subjectLatestChangeHash: Which primary key signed.
    @ivar publicKey: The key that is attested.
    @ivar createdAt: Epoch seconds.
    @ivar expiresAt: Epoch seconds.
    """

    data: bytes
    signature: Signature
    subject: Identifier
    subjectLatestChangeHash: bytes
    publicKey: PurposePublicKey
    createdAt: int
    expiresAt: int

    @classmethod
    def build(cls, data: bytes, signature: Signature) -> Attestation:
        """
        Make one of its parts.

        @raise DecodeError: C{data} does not decode.
        @raise IdentityRefused: C{data} is of another version or kind.
        """
        if len(data) > MAX_ATTESTATION_DATA:
            raise DecodeError("an attestation is too long")
        reader = openVersionedData(data, ATTESTATION)
        expectArray(reader, 5)
        attestation = cls(
            data=data,
            signature=signature,
            subject=readIdentifier(reader),
            subjectLatestChangeHash=readHash(reader),
            publicKey=_readPurposePublicKey(reader),
            createdAt=reader.readUint(),
            expiresAt=reader.readUint(),
        )
        reader.expectEnd()
        return attestation

    @classmethod
    def read(cls, reader: cbor.Reader) -> Attestation:
        """
        Read one; see L{build} for what is raised.
        """
        expectArray(reader, 2)
        data = reader.readBytes(MAX_ATTESTATION_DATA)
        return cls.build(data, Signature.read(reader))

    @classmethod
    def decode(cls, data: bytes) -> Attestation:
        """
        Decode one; see L{build} for what is raised.
        """
        reader = cbor.Reader(data)
        attestation = cls.read(reader)
        reader.expectEnd()
        return attestation

    def encode(self) -> bytes:
        """
        Its CBOR.
        """
        return cbor.arrayHead(2) + cbor.byteString(self.data) + self.signature.encode()

    def verify(self, history: ChangeHistory, now: int) -> None:
        """
        Verify it (spec identity, section 4.3).

        @param history: The latest known of whom the key has to belong to.
        @param now: Epoch seconds.
        @raise IdentityRefused: It does not verify.
        """
        latest = history.latest
        if self.subject != history.identifier:
            raise IdentityRefused(f"an attestation is of {self.subject}, not of {history.identifier}")
        if self.subjectLatestChangeHash != latest.hash:
            raise IdentityRefused("an attestation is not by the latest key of its identity")
        if self.createdAt < latest.validFrom or self.expiresAt > latest.validUntil:
            raise IdentityRefused("an attestation exceeds the time that its identity's key is valid")
        checkTimes(self.createdAt, self.expiresAt, now, "an attestation")
        if not verify(latest.key, self.signature, self.data):
            raise IdentityRefused("the signature of an attestation is wrong")
