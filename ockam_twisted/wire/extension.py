"""
The portal extension: what two nodes of ours say to each other beyond Ockam's
portal messages (C{docs/portal-extension.rst} has the bytes; design, section
7).  Nodes that do not know it never see any of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from attrs import frozen

from ockam_twisted.errors import DecodeError, EncodeError
from ockam_twisted.wire import cbor

#: The first bytes of its messages.
CREDIT_KIND, FINISHED_KIND, RESET_KIND, RESUME_KIND, RESUMED_KIND, DATAGRAM_KIND = range(0x0A, 0x10)

#: Offsets and limits are below this.
MAX_OFFSET = 2**63 - 1

#: Bytes of ids, of the text of a reset, of a datagram.
ID_SIZE = 16
MAX_TEXT = 200
MAX_DATAGRAM = 65_507

#: No Credit, and no Finished, is longer, bytes.
_SHORT = 2 + 2 * 9

#: What takes 1, 2, 4 and 8 bytes after the first one, at least.
_LEAST = (24, 0x100, 0x10000, 0x100000000)

#: Why a stream ends.
REFUSED, UNREACHABLE, TIMED_OUT, RESET_BY_PEER, POLICY, SHUTTING_DOWN, PROTOCOL_ERROR, ROUTE_LOST, UNKNOWN = range(
    1, 10
)

#: The same in words.
REASONS = {
    REFUSED: "refused",
    UNREACHABLE: "unreachable",
    TIMED_OUT: "timed out",
    RESET_BY_PEER: "reset by peer",
    POLICY: "not permitted",
    SHUTTING_DOWN: "shutting down",
    PROTOCOL_ERROR: "protocol error",
    ROUTE_LOST: "no way to the other end for too long",
    UNKNOWN: "unknown stream",
}


@frozen
class Credit:
    """
    @ivar received: Bytes received in order: they may be forgotten.
    @ivar limit: The highest offset that may be sent.
    """

    received: int
    limit: int


@frozen
class Finished:
    """
    @ivar final: No bytes come after this offset.
    """

    final: int


@frozen
class Reset:
    """
    @ivar code: One of L{REASONS}; others there may be later.
    @ivar final: Bytes before this offset still count.
    @ivar text: In words of the peer: not fit for a log as it is.
    """

    code: int
    final: int
    text: str = ""


@frozen
class Resume:
    """
    @ivar stream: As the outlet has named it.
    @ivar attempt: Grows with each; a lower one is late.
    @ivar next: The first offset that is still to be sent.
    @ivar final: Where what the inlet sends ends, if it has ended.
    """

    stream: bytes
    attempt: int
    next: int
    final: int | None = None


@frozen
class Resumed:
    """
    @ivar next: The first offset that is still to be sent.
    @ivar final: Where what the outlet sends ends, if it has ended.
    @ivar result: How the stream has ended meanwhile; L{None}: it goes on.
    """

    next: int
    final: int | None = None
    result: tuple[int, str] | None = None


@frozen
class Datagram:
    """
    @ivar data: One UDP datagram.
    """

    data: bytes


#: Any message of the extension.
ExtensionMessage = Credit | Finished | Reset | Resume | Resumed | Datagram


def uintAt(data: bytes | memoryview, position: int, kind: int = 0) -> tuple[int, int]:
    """
    Read an unsigned integer without a reader, where that takes too long.

    @param kind: The three high bits of its first byte: 0x40 for the size of a
        byte string.
    @return: It, and where it ends; -1 for anything else, of which a reader
        says what it is.
    """
    if position < len(data):
        first = data[position] ^ kind
        position += 1
        if first < 24:
            return first, position
        if first < 28:
            stop = position + (1 << first - 24)
            n = int.from_bytes(data[position:stop], "big")
            if stop <= len(data) and n >= _LEAST[first - 24]:
                return n, stop
    return -1, position


def readOffset(reader: cbor.Reader) -> int:
    """
    @raise DecodeError: It is none, or has more than 63 bits.
    """
    return reader.readUint(MAX_OFFSET)


def readId(reader: cbor.Reader) -> bytes:
    """
    @raise DecodeError: It is none.
    """
    data = reader.readBytes(ID_SIZE)
    if len(data) != ID_SIZE:
        raise DecodeError(f"an id has {ID_SIZE} bytes")
    return data


def _readFinal(reader: cbor.Reader) -> int | None:
    return None if reader.readNull() else readOffset(reader)


def encodeExtension(message: ExtensionMessage) -> bytes:
    """
    Encode a message.

    @raise EncodeError: A number is out of bounds, or a text or datagram too
        long.
    """
    # The first two come with every stream.
    if isinstance(message, Credit):
        return _encodeCredit(message.received, message.limit)
    if isinstance(message, Finished):
        return b"\x0b\x81" + _offset(message.final)
    for number in (getattr(message, name, None) for name in ("final", "next", "attempt")):
        if number is not None:
            _offset(number)
    if isinstance(message, Reset):
        return _encode(RESET_KIND, (message.code, message.final, _cut(message.text)))
    if isinstance(message, Resume):
        return _encode(RESUME_KIND, (message.stream, message.attempt, message.next, message.final))
    if isinstance(message, Resumed):
        result = None if message.result is None else (message.result[0], _cut(message.result[1]))
        return _encode(RESUMED_KIND, (message.next, message.final, result))
    if len(message.data) > MAX_DATAGRAM:
        raise EncodeError(f"a datagram has at most {MAX_DATAGRAM} bytes")
    return _encode(DATAGRAM_KIND, (message.data,))


@lru_cache(64)
def _encodeCredit(received: int, limit: int) -> bytes:
    """
    The first ones of streams are the same, and so are those of short ones.
    """
    return b"\x0a\x82" + _offset(received) + _offset(limit)


@lru_cache(64)
def _offset(number: int) -> bytes:
    if not 0 <= number <= MAX_OFFSET:
        raise EncodeError("an offset has at most 63 bits")
    return cbor.head(cbor.UINT, number)


def _encode(kind: int, fields: tuple[object, ...]) -> bytes:
    return bytes((kind,)) + cbor.encode(fields)


def _cut(text: str) -> str:
    return text.encode("utf-8", "replace")[:MAX_TEXT].decode("utf-8", "ignore")


def decodeExtension(message: bytes | memoryview) -> ExtensionMessage:
    """
    Decode a message.

    @raise DecodeError: It is none, or out of bounds.
    """
    quick = _readQuickly(bytes(message)) if len(message) <= _SHORT else None
    if quick is not None:
        return quick
    if not len(message) or not CREDIT_KIND <= message[0] <= DATAGRAM_KIND:
        raise DecodeError("not a message of the portal extension")
    kind, reader = message[0], cbor.Reader(message, 1)
    if reader.readArrayHead(4) != _FIELDS[kind]:
        raise DecodeError("a message of the portal extension has other fields")
    decoded = _DECODERS[kind](reader)
    reader.expectEnd()
    return decoded


@lru_cache(256)
def _readQuickly(message: bytes) -> Credit | Finished | None:
    """
    Read what comes with every stream, and in short ones is the same.

    @return: L{None}: it is anything else, or not right, and is left to the
        long way, which says what it is.
    """
    if message[:2] == b"\x0a\x82":
        received, position = uintAt(message, 2)
        limit, position = uintAt(message, position)
        if position == len(message) and 0 <= received <= MAX_OFFSET and 0 <= limit <= MAX_OFFSET:
            return Credit(received, limit)
    elif message[:2] == b"\x0b\x81":
        final, position = uintAt(message, 2)
        if position == len(message) and 0 <= final <= MAX_OFFSET:
            return Finished(final)
    return None


def _readReset(reader: cbor.Reader) -> Reset:
    return Reset(reader.readUint(255), readOffset(reader), reader.readText(MAX_TEXT))


def _readResume(reader: cbor.Reader) -> Resume:
    return Resume(readId(reader), readOffset(reader), readOffset(reader), _readFinal(reader))


def _readResumed(reader: cbor.Reader) -> Resumed:
    following, final = readOffset(reader), _readFinal(reader)
    if reader.readNull():
        return Resumed(following, final)
    if reader.readArrayHead(2) != 2:
        raise DecodeError("the result of a stream is of two items")
    return Resumed(following, final, (reader.readUint(255), reader.readText(MAX_TEXT)))


_FIELDS = {CREDIT_KIND: 2, FINISHED_KIND: 1, RESET_KIND: 3, RESUME_KIND: 4, RESUMED_KIND: 3, DATAGRAM_KIND: 1}
_DECODERS: dict[int, Callable[[cbor.Reader], ExtensionMessage]] = {
    CREDIT_KIND: lambda reader: Credit(readOffset(reader), readOffset(reader)),
    FINISHED_KIND: lambda reader: Finished(readOffset(reader)),
    RESET_KIND: _readReset,
    RESUME_KIND: _readResume,
    RESUMED_KIND: _readResumed,
    DATAGRAM_KIND: lambda reader: Datagram(reader.readBytes(MAX_DATAGRAM)),
}
