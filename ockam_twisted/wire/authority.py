"""
What the services of an authority exchange (spec identity, sections 7.2 and
8.1): the bodies of requests and responses, encoded and decoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from ockam_twisted.errors import DecodeError
from ockam_twisted.wire import cbor
from ockam_twisted.wire.api import readFields

#: Bytes of a one-time code and of an identifier.
CODE_SIZE = 32
IDENTIFIER_SIZE = 32

#: Bounds of our own: attributes of a member, bytes of each key and value, and
#: members in one response.
MAX_ATTRIBUTES = 64
MAX_KEY = 255
MAX_VALUE = 1024
MAX_MEMBERS = 100_000

#: Keys and values in ascending order of the keys.
Attributes = tuple[tuple[bytes, bytes], ...]


@frozen
class TokenRequest:
    """
    Asks for an enrollment token.

    @ivar attributes: What whoever redeems it will have.
    @ivar ttl: Seconds it is good for; L{None}: as the authority likes.
    @ivar uses: How many may redeem it; L{None}: one.
    """

    attributes: Attributes
    ttl: int | None = None
    uses: int | None = None


@frozen
class AttributesEntry:
    """
    What an authority knows of a member.

    @ivar attributes: What it has.
    @ivar added: Epoch seconds.
    @ivar expires: Epoch seconds; L{None}: never.
    @ivar attestedBy: The digest of who says so.
    """

    attributes: Attributes
    added: int
    expires: int | None = None
    attestedBy: bytes | None = None


def _textMap(attributes: Attributes) -> bytes:
    pairs = [cbor.textString(key.decode()) + cbor.textString(value.decode()) for key, value in attributes]
    return cbor.mapHead(len(pairs)) + b"".join(pairs)


def _readTextMap(reader: cbor.Reader) -> Attributes:
    pairs: dict[bytes, bytes] = {}
    for _ in range(reader.readMapHead(MAX_ATTRIBUTES)):
        key = reader.readText(MAX_KEY).encode()
        if key in pairs:
            raise DecodeError("an attribute is there twice")
        pairs[key] = reader.readText(MAX_VALUE).encode()
    return tuple(sorted(pairs.items()))


def _readExactly(reader: cbor.Reader, size: int) -> bytes:
    data = reader.readBytes(size)
    if len(data) != size:
        raise DecodeError(f"not {size} bytes")
    return data


def encodeTokenRequest(request: TokenRequest) -> bytes:
    """
    The body that asks for an enrollment token.
    """
    fields = [cbor.uint(1) + _textMap(request.attributes)]
    for key, value in ((2, request.ttl), (3, request.uses)):
        if value is not None:
            fields.append(cbor.uint(key) + cbor.uint(value))
    return cbor.mapHead(len(fields)) + b"".join(fields)


def decodeTokenRequest(body: bytes) -> TokenRequest:
    """
    @raise DecodeError: The body is none, or out of bounds.
    """
    reader = cbor.Reader(body)
    fields = readFields(reader, {1: _readTextMap, 2: cbor.Reader.readUint, 3: cbor.Reader.readUint})
    reader.expectEnd()
    if 1 not in fields:
        raise DecodeError("a request for a token names no attributes")
    return TokenRequest(fields[1], fields.get(2), fields.get(3))


def encodeCode(code: bytes) -> bytes:
    """
    The body that is a one-time code.
    """
    return cbor.mapHead(1) + cbor.uint(1) + cbor.byteString(code)


def decodeCode(body: bytes) -> bytes:
    """
    @raise DecodeError: The body is none.
    """
    reader = cbor.Reader(body)
    fields = readFields(reader, {1: lambda reader: _readExactly(reader, CODE_SIZE)})
    reader.expectEnd()
    if 1 not in fields:
        raise DecodeError("a one-time code is missing")
    code: bytes = fields[1]
    return code


def encodeMember(identifier: bytes, attributes: Attributes) -> bytes:
    """
    The body that adds a member.

    @param identifier: Its digest.
    """
    first = cbor.uint(1) + cbor.byteString(identifier)
    return cbor.mapHead(2) + first + cbor.uint(2) + _textMap(attributes)


def decodeMember(body: bytes) -> tuple[bytes, Attributes]:
    """
    @raise DecodeError: The body adds no member, or is out of bounds.
    """
    reader = cbor.Reader(body)
    fields = readFields(reader, {1: lambda reader: _readExactly(reader, IDENTIFIER_SIZE), 2: _readTextMap})
    reader.expectEnd()
    if 1 not in fields:
        raise DecodeError("a request to add a member names none")
    return fields[1], fields.get(2, ())


def _numbers(data: bytes) -> bytes:
    """
    Bytes as an array of numbers, which is how this one type has them.
    """
    return cbor.arrayHead(len(data)) + b"".join(map(cbor.uint, data))


def _readNumbers(reader: cbor.Reader, maximum: int) -> bytes:
    if reader.major == cbor.BYTES:
        return reader.readBytes(maximum)
    return bytes(reader.readUint(255) for _ in range(reader.readArrayHead(maximum)))


def _readNumbersMap(reader: cbor.Reader) -> Attributes:
    pairs: dict[bytes, bytes] = {}
    for _ in range(reader.readMapHead(MAX_ATTRIBUTES)):
        key = _readNumbers(reader, MAX_KEY)
        if key in pairs:
            raise DecodeError("an attribute is there twice")
        pairs[key] = _readNumbers(reader, MAX_VALUE)
    return tuple(sorted(pairs.items()))


def encodeAttributesEntry(entry: AttributesEntry) -> bytes:
    """
    The body that tells of a member.
    """
    pairs = b"".join(_numbers(key) + _numbers(value) for key, value in entry.attributes)
    fields = [cbor.uint(1) + cbor.mapHead(len(entry.attributes)) + pairs, cbor.uint(2) + cbor.uint(entry.added)]
    if entry.expires is not None:
        fields.append(cbor.uint(3) + cbor.uint(entry.expires))
    if entry.attestedBy is not None:
        fields.append(cbor.uint(4) + cbor.byteString(entry.attestedBy))
    return cbor.mapHead(len(fields)) + b"".join(fields)


def readAttributesEntry(reader: cbor.Reader) -> AttributesEntry:
    """
    @raise DecodeError: What comes next is none, or out of bounds.
    """
    fields = readFields(
        reader,
        {
            1: _readNumbersMap,
            2: cbor.Reader.readUint,
            3: cbor.Reader.readUint,
            4: lambda reader: _readExactly(reader, IDENTIFIER_SIZE),
        },
    )
    if not {1, 2} <= fields.keys():
        raise DecodeError("an entry of attributes has too few fields")
    return AttributesEntry(fields[1], fields[2], fields.get(3), fields.get(4))


def encodeMembers(members: Mapping[bytes, AttributesEntry]) -> bytes:
    """
    The body that tells of all members.

    @param members: By the digest of their identifiers.
    """
    pairs = [cbor.byteString(digest) + encodeAttributesEntry(entry) for digest, entry in sorted(members.items())]
    return cbor.mapHead(len(pairs)) + b"".join(pairs)


def decodeMembers(body: bytes) -> dict[bytes, AttributesEntry]:
    """
    @raise DecodeError: The body does not tell of members, or is out of
        bounds.
    """
    reader = cbor.Reader(body)
    members: dict[bytes, AttributesEntry] = {}
    for _ in range(reader.readMapHead(MAX_MEMBERS)):
        digest = _readExactly(reader, IDENTIFIER_SIZE)
        if digest in members:
            raise DecodeError("a member is there twice")
        members[digest] = readAttributesEntry(reader)
    reader.expectEnd()
    return members


def encodeMemberIds(digests: Iterable[bytes]) -> bytes:
    """
    The body that names all members.
    """
    each = [cbor.byteString(digest) for digest in sorted(digests)]
    return cbor.arrayHead(len(each)) + b"".join(each)


def decodeMemberIds(body: bytes) -> list[bytes]:
    """
    @raise DecodeError: The body names no members, or is out of bounds.
    """
    reader = cbor.Reader(body)
    digests = [_readExactly(reader, IDENTIFIER_SIZE) for _ in range(reader.readArrayHead(MAX_MEMBERS))]
    reader.expectEnd()
    return digests
