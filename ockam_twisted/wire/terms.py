"""
What a Ping offers of the portal extension, and a Pong accepts
(C{docs/portal-extension.rst} has the bytes; design, section 7).
"""

from __future__ import annotations

from functools import lru_cache

from attrs import frozen

from ockam_twisted.errors import DecodeError
from ockam_twisted.wire import cbor
from ockam_twisted.wire.api import readFields
from ockam_twisted.wire.extension import ID_SIZE, MAX_OFFSET, readId, readOffset, uintAt
from ockam_twisted.wire.proxy import SIZES

#: What follows the first byte of a Ping or Pong that offers or accepts it.
MARK = b"otw1"

#: Features, bits of a set; in force are those that both sides have sent.
CREDIT = 1
HALF_CLOSE = 2
RESET_REASONS = 4
RESUME = 8
DATAGRAMS = 16
EARLY = 32

#: How much a Ping may bring of what the client says, bytes.
MAX_EARLY = 4096

#: No offer that tells no client, and brings nothing, is longer, and each
#: acceptance is, bytes.
_SAME = 40


@frozen
class Early:
    """
    What the client has said by the time of a Ping.

    @ivar number: Of the stream; the process of the inlet gives each only once.
    @ivar data: At most L{MAX_EARLY} bytes: the first ones of the stream.
    @ivar attempt: 1, and one more each time that the inlet asks again for the
        same stream.
    @ivar outlet: The instance of the process that the inlet means; not at the
        first attempt.
    """

    number: int
    data: bytes
    attempt: int = 1
    outlet: bytes | None = None


@frozen
class Terms:
    """
    An offer, in a Ping, or its acceptance, in a Pong.

    @ivar features: A set of bits; unknown ones mean nothing.
    @ivar limit: How many bytes the other side may send at first.
    @ivar instance: Of the process that speaks, new with each start.
    @ivar stream: The outlet's name for the stream; only in an acceptance.
    @ivar client: Whose connection it is, as
        L{Endpoints<ockam_twisted.wire.proxy.Endpoints>} encodes it; only in an
        offer, and only if the inlet tells.
    @ivar early: What the client has said already; only in an offer.
    """

    features: int
    limit: int
    instance: bytes
    stream: bytes | None = None
    client: bytes | None = None
    early: Early | None = None


def encodeTerms(first: bytes, terms: Terms) -> bytes:
    """
    A Ping that offers, or a Pong that accepts.

    @param first: C{PING} or C{PONG} of L{ockam_twisted.wire.portal}.
    @raise EncodeError: A number has more than 64 bits.
    """
    stream, client, early = terms.stream, terms.client, terms.early
    count = 3 + (stream is not None) + (client is not None) + (early is not None)
    return b"".join(
        (
            first + MARK + cbor.mapHead(count),
            _limits(terms.features, terms.limit),
            b"" if stream is None else b"\x02" + cbor.byteString(stream),
            b"\x03" + cbor.byteString(terms.instance),
            b"" if client is None else b"\x04" + cbor.byteString(client),
            b"" if early is None else _encodeEarly(early),
        )
    )


@lru_cache(64)
def _limits(features: int, limit: int) -> bytes:
    """
    The fields that most streams have in common.
    """
    return b"\x00" + cbor.uint(features) + b"\x01" + cbor.uint(limit)


def _encodeEarly(early: Early) -> bytes:
    outlet = b"\xf6" if early.outlet is None else cbor.byteString(early.outlet)
    return b"".join(
        (b"\x05\x84", cbor.uint(early.number), cbor.uint(early.attempt), outlet, cbor.byteString(early.data))
    )


def decodeTerms(message: bytes) -> Terms | None:
    """
    What a Ping or Pong says beyond its first byte.

    @return: L{None} if that is nothing, or something else than this
        extension.
    @raise DecodeError: It is this extension, and damaged.
    """
    if message[1 : 1 + len(MARK)] != MARK:
        return None
    quick = _readSame(message) if len(message) <= _SAME else _readTerms(message)
    if quick is not None:
        return quick
    reader = cbor.Reader(message, 1 + len(MARK))
    fields = readFields(
        reader, {0: cbor.Reader.readUint, 1: readOffset, 2: readId, 3: readId, 4: _readClient, 5: _readEarly}
    )
    reader.expectEnd()
    if not {0, 1, 3} <= fields.keys():
        raise DecodeError("an offer of the portal extension has too few fields")
    return Terms(fields[0], fields[1], fields[3], fields.get(2), fields.get(4), fields.get(5))


def _readTerms(message: bytes) -> Terms | None:
    """
    Read what we send ourselves, since each stream begins with it.

    @return: L{None}: it is anything else.
    """
    position = 2 + len(MARK)
    if message[position : position + 1] != b"\x00":
        return None
    features, position = uintAt(message, position + 1)
    if message[position : position + 1] != b"\x01":
        return None
    limit, position = uintAt(message, position + 1)
    stream = None
    count = 3
    if message[position : position + 2] == b"\x02\x50":
        stream = message[position + 2 : position + 2 + ID_SIZE]
        position += 2 + ID_SIZE
        count = 4
    instance = message[position + 2 : position + 2 + ID_SIZE]
    if message[position : position + 2] != b"\x03\x50" or features < 0 or not 0 <= limit <= MAX_OFFSET:
        return None
    position += 2 + ID_SIZE
    early = None
    if len(message) > position:
        early = _earlyAt(message, position)
        if early is None:
            return None
        count += 1
    if message[1 + len(MARK)] != 0xA0 + count or len(instance) != ID_SIZE:
        return None
    return Terms(features, limit, instance, stream, None, early)


#: Offers that tell no client are the same for all streams of a process.
_readSame = lru_cache(64)(_readTerms)


def _earlyAt(message: bytes, position: int) -> Early | None:
    """
    The same of what a first attempt brings, up to the end of the Ping.
    """
    if message[position : position + 2] != b"\x05\x84":
        return None
    number, position = uintAt(message, position + 2)
    if message[position : position + 2] != b"\x01\xf6" or number < 0:
        return None
    size, position = uintAt(message, position + 2, 0x40)
    if not 0 < size <= MAX_EARLY or position + size != len(message):
        return None
    return Early(number, message[position:])


def _readEarly(reader: cbor.Reader) -> Early:
    if reader.readArrayHead(4) != 4:
        raise DecodeError("what a Ping brings has four fields")
    number, attempt = reader.readUint(), reader.readUint()
    outlet = None if reader.readNull() else readId(reader)
    data = reader.readBytes(MAX_EARLY)
    if not attempt or not data or (attempt > 1) != (outlet is not None):
        raise DecodeError("what a Ping brings cannot be right")
    return Early(number, data, attempt, outlet)


def _readClient(reader: cbor.Reader) -> bytes:
    data = reader.readBytes(max(SIZES))
    if len(data) not in SIZES:
        raise DecodeError("addresses of a client have another size")
    return data
