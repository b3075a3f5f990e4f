"""
What changes, attestations and credentials have in common: a signature over
the encoded C{VersionedData} (spec identity, section 1.2).

The bytes that were received are kept; nothing is encoded anew before it is
hashed.
"""

from __future__ import annotations

from ockam_twisted.errors import IdentityRefused
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.vault.primitives import HASH_SIZE, VerifyingKey, expectArray, readExactly
from ockam_twisted.wire import cbor

#: The version we speak, and the kinds of data.
VERSION = 1
CHANGE, ATTESTATION, CREDENTIAL = 1, 2, 3

#: Seconds by which the clock of whoever signed may be ahead of ours.
CLOCK_SKEW = 60

_NAMES = {CHANGE: "a change", ATTESTATION: "an attestation", CREDENTIAL: "a credential"}


def versionedData(dataType: int, inner: bytes) -> bytes:
    """
    The bytes that are hashed and signed.
    """
    return cbor.encode((VERSION, dataType, inner))


def openVersionedData(data: bytes, dataType: int) -> cbor.Reader:
    """
    @return: A reader of what is inside.
    @raise DecodeError: It does not decode.
    @raise IdentityRefused: It is of another version or kind.
    """
    reader = cbor.Reader(data)
    expectArray(reader, 3)
    version = reader.readUint(255)
    kind = reader.readUint(255)
    inner = reader.readBytes(len(data))
    reader.expectEnd()
    if version != VERSION:
        raise IdentityRefused(f"{_NAMES[dataType]} is of version {version}, not {VERSION}")
    if kind != dataType:
        raise IdentityRefused(f"{_NAMES[dataType]} was expected, not data of kind {kind}")
    return cbor.Reader(inner)


def readIdentifier(reader: cbor.Reader) -> Identifier:
    """
    Read the 32 bytes of an identifier.

    @raise DecodeError: It is something else.
    """
    return Identifier.fromDigest(readExactly(reader, HASH_SIZE))


def readHash(reader: cbor.Reader) -> bytes:
    """
    Read the 32 bytes of a hash.

    @raise DecodeError: It is something else.
    """
    return readExactly(reader, HASH_SIZE)


def writeKey(key: VerifyingKey) -> tuple[int, list[bytes]]:
    """
    A verifying key as a value for L{cbor.encode}.
    """
    return (key.kind, [key.data])


def checkTimes(createdAt: int, expiresAt: int, now: int, what: str) -> None:
    """
    Is it valid now?

    @param what: What it is, for the text of the error.
    @raise IdentityRefused: It is not, or not yet.
    """
    if createdAt > now + CLOCK_SKEW:
        raise IdentityRefused(f"{what} was created {createdAt - now} s in the future; is a clock wrong?")
    if expiresAt < now:
        raise IdentityRefused(f"{what} expired {now - expiresAt} s ago")
