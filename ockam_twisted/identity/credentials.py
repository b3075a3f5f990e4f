"""
Credentials: an authority says which attributes somebody has (spec identity,
section 5).
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from ockam_twisted.errors import DecodeError, IdentityRefused
from ockam_twisted.identity.history import ChangeHistory
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.purpose_keys import Attestation
from ockam_twisted.identity.signed import (
    CREDENTIAL,
    checkTimes,
    openVersionedData,
    readHash,
    readIdentifier,
    versionedData,
)
from ockam_twisted.vault.primitives import Signature, VerifyingKey, expectArray, verify
from ockam_twisted.wire import cbor

#: Bytes of the data of a credential, and how many attributes it may have.
MAX_CREDENTIAL_DATA = 16384
MAX_ATTRIBUTES = 128

#: The schema of a member's credential (spec identity, section 5.1).
MEMBER_SCHEMA = 1

#: Keys and values in ascending order of the keys; by convention UTF-8.
Attributes = tuple[tuple[bytes, bytes], ...]


def credentialData(
    subject: Identifier,
    subjectLatestChangeHash: bytes | None,
    attributes: Mapping[bytes, bytes],
    createdAt: int,
    expiresAt: int,
    schema: int = MEMBER_SCHEMA,
) -> bytes:
    """
    The data of a credential, to be signed by a purpose key for credentials.

    @param subject: Who has the attributes.
    @param subjectLatestChangeHash: Of the subject's history; nobody checks.
    @param createdAt: Epoch seconds.
    @param expiresAt: Epoch seconds.
    @param schema: A number that nobody checks.
    """
    pairs = dict(sorted(attributes.items()))
    inner = cbor.encode((subject.digest, subjectLatestChangeHash, (schema, pairs), createdAt, expiresAt))
    return versionedData(CREDENTIAL, inner)


def _readAttributes(reader: cbor.Reader) -> Attributes:
    pairs: dict[bytes, bytes] = {}
    for _ in range(reader.readMapHead(MAX_ATTRIBUTES)):
        key = reader.readBytes(MAX_CREDENTIAL_DATA)
        if key in pairs:
            raise DecodeError("a credential has an attribute twice")
        pairs[key] = reader.readBytes(MAX_CREDENTIAL_DATA)
    return tuple(sorted(pairs.items()))


@frozen
class Credential:
    """
    A credential that decodes; nothing of it has been verified.

    @ivar data: The encoded C{VersionedData}, as received.
    @ivar signature: Of C{data}, by the issuer's purpose key for credentials.
    @ivar subject: Who has the attributes.
    @ivar subjectLatestChangeHash: As the issuer knew it; not checked.
    @ivar schema: A number; not checked.
    @ivar attributes: What the subject has.
    @ivar createdAt: Epoch seconds.
    @ivar expiresAt: Epoch seconds.
    """

    data: bytes
    signature: Signature
    subject: Identifier | None
    subjectLatestChangeHash: bytes | None
    schema: int
    attributes: Attributes
    createdAt: int
    expiresAt: int

    @classmethod
    def build(cls, data: bytes, signature: Signature) -> Credential:
        """
        Make one of its parts.

        @raise DecodeError: C{data} does not decode, or is too long.
        @raise IdentityRefused: C{data} is of another version or kind.
        """
        if len(data) > MAX_CREDENTIAL_DATA:
            raise DecodeError("a credential is too long")
        reader = openVersionedData(data, CREDENTIAL)
        expectArray(reader, 5)
        subject = None if reader.readNull() else readIdentifier(reader)
        subjectLatestChangeHash = None if reader.readNull() else readHash(reader)
        expectArray(reader, 2)
        credential = cls(
            data=data,
            signature=signature,
            subject=subject,
            subjectLatestChangeHash=subjectLatestChangeHash,
            schema=reader.readUint(),
            attributes=_readAttributes(reader),
            createdAt=reader.readUint(),
            expiresAt=reader.readUint(),
        )
        reader.expectEnd()
        return credential

    @classmethod
    def read(cls, reader: cbor.Reader) -> Credential:
        """
        Read one; see L{build} for what is raised.
        """
        expectArray(reader, 2)
        data = reader.readBytes(MAX_CREDENTIAL_DATA)
        return cls.build(data, Signature.read(reader))

    def encode(self) -> bytes:
        """
        Its CBOR.
        """
        return cbor.arrayHead(2) + cbor.byteString(self.data) + self.signature.encode()


@frozen
class VerifiedCredential:
    """
    What an authority we accept says of somebody.

    @ivar subject: Of whom.
    @ivar authority: Who says so.
    @ivar attributes: What the subject has.
    @ivar createdAt: Epoch seconds.
    @ivar expiresAt: Until when it counts, epoch seconds.
    """

    subject: Identifier
    authority: Identifier
    attributes: Attributes
    createdAt: int
    expiresAt: int


@frozen
class CredentialAndPurposeKey:
    """
    A credential and the attestation of the key that signed it, as they
    travel.
    """

    credential: Credential
    attestation: Attestation

    @classmethod
    def read(cls, reader: cbor.Reader) -> CredentialAndPurposeKey:
        """
        Read one.

        @raise DecodeError: It does not decode, or is too long.
        @raise IdentityRefused: It is of another version.
        """
        expectArray(reader, 2)
        return cls(Credential.read(reader), Attestation.read(reader))

    @classmethod
    def decode(cls, data: bytes) -> CredentialAndPurposeKey:
        """
        Decode one; see L{read} for what is raised.
        """
        reader = cbor.Reader(data)
        both = cls.read(reader)
        reader.expectEnd()
        return both

    def encode(self) -> bytes:
        """
        Its CBOR.
        """
        return cbor.arrayHead(2) + self.credential.encode() + self.attestation.encode()

    def verify(
        self, authorities: Mapping[Identifier, ChangeHistory], now: int, subject: Identifier | None = None
    ) -> VerifiedCredential:
        """
        Verify both (spec identity, section 5.3).

        @param authorities: The latest known histories of whom we accept
            credentials from.
        @param now: Epoch seconds.
        @param subject: Whose it has to be; L{None}: anybody's.
        @raise IdentityRefused: It does not verify.
        """
        credential, attestation = self.credential, self.attestation
        authority = authorities.get(attestation.subject)
        if authority is None:
            raise IdentityRefused(f"a credential is by {attestation.subject}, who is no authority here")
        attestation.verify(authority, now)
        key = attestation.publicKey
        if not isinstance(key, VerifyingKey):
            raise IdentityRefused("a credential is signed by a key that is not for credentials")
        if not verify(key, credential.signature, credential.data):
            raise IdentityRefused("the signature of a credential is wrong")
        if credential.subject is None:
            raise IdentityRefused("a credential is nobody's")
        if subject is not None and credential.subject != subject:
            raise IdentityRefused(f"a credential is of {credential.subject}, not of {subject}")
        if credential.createdAt < attestation.createdAt or credential.expiresAt > attestation.expiresAt:
            raise IdentityRefused("a credential exceeds the time that the key it is signed with is valid")
        checkTimes(credential.createdAt, credential.expiresAt, now, "a credential")
        return VerifiedCredential(
            credential.subject,
            authority.identifier,
            credential.attributes,
            credential.createdAt,
            credential.expiresAt,
        )
