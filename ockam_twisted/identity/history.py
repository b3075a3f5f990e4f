"""
Change histories: how an identity proves itself, and replaces its key (spec
identity, section 3).

A L{ReceivedHistory} has been decoded and claims an identifier; its
L{verify<ReceivedHistory.verify>} makes the L{ChangeHistory}, which is proven.
"""

from __future__ import annotations

from enum import Enum
from itertools import pairwise

from attrs import frozen

from ockam_twisted.errors import DecodeError, IdentityRefused
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.signed import CHANGE, openVersionedData, readHash, versionedData, writeKey
from ockam_twisted.vault.primitives import Signature, VerifyingKey, expectArray, sha256, verify
from ockam_twisted.wire import cbor

#: How many changes a history may have (design, section 9).
MAX_CHANGES = 32

#: Bytes of the data of one change; the largest there is has 129.
MAX_CHANGE_DATA = 160

#: Seconds that a key may attest purpose keys (spec identity, section 3.2).
LIFETIME = 10 * 365 * 86400


class Comparison(Enum):
    """
    How one history relates to another (spec identity, section 3.5).
    """

    EQUAL = "equal"
    NEWER = "newer"
    OLDER = "older"
    CONFLICT = "conflict"


@frozen
class Change:
    """
    One change: the key it introduces, and what vouches for it.

    @ivar data: The encoded C{VersionedData}, as received.
    @ivar signature: Of C{data}, by the key it introduces.
    @ivar previousSignature: Of C{data}, by the key before; L{None} in the
        first change.
    @ivar previousHash: The hash of the change before.
    @ivar key: The key it introduces.
    @ivar revoke: Whether it declares all earlier purpose keys void.  Carried,
        not evaluated.
    @ivar validFrom: The earliest creation of a purpose key, epoch seconds.
    @ivar validUntil: The latest expiry of a purpose key, epoch seconds.
    """

    data: bytes
    signature: Signature
    previousSignature: Signature | None
    previousHash: bytes | None
    key: VerifyingKey
    revoke: bool
    validFrom: int
    validUntil: int

    @classmethod
    def build(cls, data: bytes, signature: Signature, previousSignature: Signature | None = None) -> Change:
        """
        Make one of its parts.

        @raise DecodeError: C{data} does not decode.
        @raise IdentityRefused: C{data} is of another version or kind.
        """
        reader = openVersionedData(data, CHANGE)
        expectArray(reader, 5)
        previousHash = None if reader.readNull() else readHash(reader)
        key = VerifyingKey.read(reader)
        change = cls(
            data=data,
            signature=signature,
            previousSignature=previousSignature,
            previousHash=previousHash,
            key=key,
            revoke=reader.readBool(),
            validFrom=reader.readUint(),
            validUntil=reader.readUint(),
        )
        reader.expectEnd()
        return change

    @classmethod
    def read(cls, reader: cbor.Reader) -> Change:
        """
        Read one; see L{build} for what is raised.
        """
        count = reader.readArrayHead(3)
        if count < 2:
            raise DecodeError("a change has no signature")
        data = reader.readBytes(MAX_CHANGE_DATA)
        signature = Signature.read(reader)
        return cls.build(data, signature, Signature.read(reader) if count == 3 else None)

    @property
    def hash(self) -> bytes:
        """
        What names this change: the SHA-256 of C{data}.
        """
        return sha256(self.data)

    def encode(self) -> bytes:
        """
        Its CBOR.
        """
        signatures = [self.signature] if self.previousSignature is None else [self.signature, self.previousSignature]
        encoded = b"".join(signature.encode() for signature in signatures)
        return cbor.arrayHead(1 + len(signatures)) + cbor.byteString(self.data) + encoded


@frozen
class ReceivedHistory:
    """
    A history that decodes, and whose changes follow each other; none of its
    signatures has been verified.

    @ivar changes: At least one, oldest first.
    """

    changes: tuple[Change, ...]

    @classmethod
    def read(cls, reader: cbor.Reader) -> ReceivedHistory:
        """
        Read one.

        @raise DecodeError: It does not decode, or has too many changes.
        @raise IdentityRefused: A change does not follow the one before, or is
            of another version.
        """
        count = reader.readArrayHead(MAX_CHANGES)
        if count == 0:
            raise DecodeError("a change history is empty")
        changes = tuple(Change.read(reader) for _ in range(count))
        _checkOrder(changes)
        return cls(changes)

    @classmethod
    def decode(cls, data: bytes) -> ReceivedHistory:
        """
        Decode one; see L{read} for what is raised.
        """
        reader = cbor.Reader(data)
        history = cls.read(reader)
        reader.expectEnd()
        return history

    def encode(self) -> bytes:
        """
        Its CBOR: exactly what was received, since nothing but the shortest
        form is accepted.
        """
        return cbor.arrayHead(len(self.changes)) + b"".join(change.encode() for change in self.changes)

    @property
    def identifier(self) -> Identifier:
        """
        Whose history it claims to be: the hash of its first change.
        """
        return Identifier.fromDigest(self.changes[0].hash)

    @property
    def latest(self) -> Change:
        """
        The change that introduced the present key.
        """
        return self.changes[-1]

    def compare(self, known: ReceivedHistory) -> Comparison:
        """
        How does this history relate to a C{known} one?

        @return: L{Comparison.NEWER} if this one goes on where C{known} ends.
        """
        if any(ours.data != theirs.data for ours, theirs in zip(self.changes, known.changes, strict=False)):
            return Comparison.CONFLICT
        if len(self.changes) == len(known.changes):
            return Comparison.EQUAL
        return Comparison.NEWER if len(self.changes) > len(known.changes) else Comparison.OLDER

    def verify(self, expected: Identifier | None = None) -> ChangeHistory:
        """
        Verify its signatures (spec identity, section 3.4).

        @param expected: Whose it has to be; L{None}: anybody's.
        @raise IdentityRefused: It does not verify.
        """
        if expected is not None and self.identifier != expected:
            raise IdentityRefused(f"a change history is of {self.identifier}, not of {expected}")
        previous: Change | None = None
        for change in self.changes:
            if previous is not None:
                if change.previousSignature is None:
                    raise IdentityRefused("a change is not signed by the key before it")
                if not verify(previous.key, change.previousSignature, change.data):
                    raise IdentityRefused("a signature of the key before a change is wrong")
            if not verify(change.key, change.signature, change.data):
                raise IdentityRefused("the signature of a change is wrong")
            previous = change
        return ChangeHistory(self.changes)


@frozen
class ChangeHistory(ReceivedHistory):
    """
    A history whose signatures are right: whoever holds the secret key of its
    latest change is who its identifier names.  Made by
    L{ReceivedHistory.verify} only.
    """

    @classmethod
    def fromBytes(cls, data: bytes, expected: Identifier | None = None) -> ChangeHistory:
        """
        Decode and verify.

        @raise DecodeError: It does not decode.
        @raise IdentityRefused: It does not verify.
        """
        return ReceivedHistory.decode(data).verify(expected)

    def isNewerThan(self, stored: bytes) -> bool:
        """
        Does it go on where a known one ends?

        @param stored: The known one, encoded; it was verified when it was
            stored.
        @raise IdentityRefused: It may not replace that one: it is older, or
            in conflict with it.
        """
        comparison = self.compare(ReceivedHistory.decode(stored))
        if comparison is Comparison.OLDER:
            raise IdentityRefused(f"{self.identifier} presents an older change history than before")
        if comparison is Comparison.CONFLICT:
            raise IdentityRefused(f"{self.identifier} presents a change history in conflict with the one known")
        return comparison is Comparison.NEWER


def _checkOrder(changes: tuple[Change, ...]) -> None:
    """
    Does each change follow the one before?  (Spec identity, section 3.4,
    points 3 and 4.)
    """
    if changes[0].previousHash is not None:
        raise IdentityRefused("a change history does not begin at its beginning")
    for previous, change in pairwise(changes):
        if change.previousHash != previous.hash:
            raise IdentityRefused("a change does not follow the one before it")
        if change.validFrom < previous.validFrom:
            raise IdentityRefused("a change is valid from earlier than the one before it")


def changeData(
    previousHash: bytes | None, key: VerifyingKey, validFrom: int, validUntil: int, revoke: bool = False
) -> bytes:
    """
    The data of a change, to be signed by C{key}, and by the key before if
    there is one (spec identity, section 3.2).

    @param previousHash: The hash of the change before; L{None} in the first.
    @param key: The key to introduce.
    @param validFrom: Epoch seconds.
    @param validUntil: Epoch seconds.
    """
    return versionedData(CHANGE, cbor.encode((previousHash, writeKey(key), revoke, validFrom, validUntil)))


def appendChange(
    history: ChangeHistory | None, data: bytes, signature: Signature, previousSignature: Signature | None = None
) -> ChangeHistory:
    """
    Put a signed change at the end.

    @param history: What it follows; L{None}: it begins a history.
    @param data: What L{changeData} made.
    @raise IdentityRefused: The signatures do not fit, or the change does not
        follow, or there are too many.
    """
    before = () if history is None else history.changes
    if len(before) >= MAX_CHANGES:
        raise IdentityRefused(f"a change history has at most {MAX_CHANGES} changes")
    changes = (*before, Change.build(data, signature, previousSignature))
    _checkOrder(changes)
    return ReceivedHistory(changes).verify()
