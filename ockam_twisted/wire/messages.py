"""
Routes, and transport messages in both forms (spec messaging, sections 2, 5).

At this layer a route is a sequence of transport type and value, each a plain
tuple; L{ockam_twisted.routing.addresses.Address} is one.

A flow encodes its routes once and remembers what the routes of its peer look
like encoded, so that per message only L{payloadHead} and L{payloadBounds} are
called.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ockam_twisted.errors import DecodeError, EncodeError
from ockam_twisted.wire import bare, cbor

#: What a decoded route is, and what any encoded one looks like.
WireRoute = tuple[tuple[int, bytes], ...]
AnyRoute = Iterable[tuple[int, bytes]]

#: Bounds of our own; the wire has none.
MAX_HOPS = 32
MAX_ADDRESS = 255
MAX_TRACING = 4096

#: How a transport message begins, with and without tracing context.  Only
#: messages that begin so can be read piece by piece.
TAILED = 0x84
TAILLESS = 0x83

#: The empty tracing context that follows the payload in what we send.
TRANSPORT_TAIL = b"\x62{}"

_ADDRESS_HEADS = tuple(b"\x82" + cbor.uint(transport_type) for transport_type in range(24))
_ROUTE_HEADS = tuple(map(cbor.arrayHead, range(MAX_HOPS + 1)))
_PAYLOAD_HEADS = tuple(cbor.head(cbor.BYTES, size) for size in range(256))


class TransportMessage(NamedTuple):
    """
    A message between two nodes.

    @ivar onward_route: Where it still has to go.
    @ivar return_route: Where replies go.
    @ivar payload: What the addressed worker defines.
    """

    onward_route: WireRoute
    return_route: WireRoute
    payload: bytes


def _hops(route: AnyRoute) -> Sequence[tuple[int, bytes]]:
    hops = tuple(route)
    if len(hops) > MAX_HOPS:
        raise EncodeError(f"a route has at most {MAX_HOPS} addresses, not {len(hops)}")
    for transport_type, value in hops:
        if not 0 <= transport_type <= 255 or len(value) > MAX_ADDRESS:
            raise EncodeError(f"an address has a type up to 255 and a value of up to {MAX_ADDRESS} bytes")
    return hops


def routeBytes(route: AnyRoute) -> bytes:
    """
    Encode a route (spec messaging, section 2.3).

    @raise EncodeError: It is out of bounds.
    """
    hops = _hops(route)
    encoded = _ROUTE_HEADS[len(hops)]
    for transport_type, value in hops:
        if transport_type < 24:
            encoded += _ADDRESS_HEADS[transport_type] + _PAYLOAD_HEADS[len(value)] + value
        else:
            encoded += b"\x82" + cbor.uint(transport_type) + _PAYLOAD_HEADS[len(value)] + value
    return encoded


def readRoute(buffer: bytes | memoryview, position: int, end: int) -> tuple[WireRoute, int]:
    """
    Decode the route at C{position}.

    @return: The route, and the offset of what follows it.
    @raise DecodeError: There is none before C{end}, or it is out of bounds.
    """
    count = buffer[position] - 0x80 if position < end else -1
    if 0 <= count <= 23:
        position += 1
    else:
        reader = cbor.Reader(buffer, position, end)
        count = reader.readArrayHead(MAX_HOPS)
        position = reader.position
    odd: cbor.Reader | None = None
    hops = []
    for _ in range(count):
        # What nearly every address looks like; the rest takes the long way.
        if position + 3 <= end and buffer[position] == 0x82 and (transport_type := buffer[position + 1]) < 24:
            size = buffer[position + 2] - 0x40
            start = position + 3
            if size == 24 and start < end and buffer[start] >= 24:
                size = buffer[start]
                start += 1
            elif not 0 <= size < 24:
                size = -1
            if 0 <= size <= end - start:
                position = start + size
                hops.append((transport_type, bytes(buffer[start:position])))
                continue
        # One reader for all of a route, so that what may be skipped is bounded.
        if odd is None:
            odd = cbor.Reader(buffer, position, end)
        odd.position = position
        hops.append(_readAddress(odd))
        position = odd.position
    return tuple(hops), position


def _readAddress(reader: cbor.Reader) -> tuple[int, bytes]:
    count = structHead(reader, 2)
    hop = (reader.readUint(255), reader.readBytes(MAX_ADDRESS))
    skipItems(reader, count - 2)
    return hop


def structHead(reader: cbor.Reader, fields: int) -> int:
    """
    Read the head of an array that is a struct of at least C{fields} fields;
    newer versions may add more.

    @return: How many elements the array has.
    @raise DecodeError: It is none, or has less.
    """
    count = reader.readArrayHead(cbor.MAX_UINT)
    if count < fields:
        raise DecodeError("a struct has too few fields")
    return count


def skipItems(reader: cbor.Reader, count: int) -> None:
    """
    Skip C{count} items.

    @raise DecodeError: There are less, one is nested too deeply, or there are
        more in them than a reader skips.
    """
    for _ in range(count):
        reader.skip()


def transportPrefix(onward: AnyRoute, return_: AnyRoute) -> bytes:
    """
    What precedes L{payloadHead} in a transport message with these routes.
    L{TRANSPORT_TAIL} follows the payload.

    @raise EncodeError: A route is out of bounds.
    """
    return b"\x84" + routeBytes(onward) + routeBytes(return_)


def payloadHead(size: int) -> bytes:
    """
    What precedes a payload of C{size} bytes, below 4 GiB.
    """
    if size < 256:
        return _PAYLOAD_HEADS[size]
    if size < 65536:
        return b"\x59" + size.to_bytes(2, "big")
    return b"\x5a" + size.to_bytes(4, "big")


def encodeTransport(onward: AnyRoute, return_: AnyRoute, payload: bytes) -> bytes:
    """
    Encode a transport message (spec messaging, section 5.1) with an empty
    tracing context.

    @raise EncodeError: A route is out of bounds.
    """
    return b"".join((transportPrefix(onward, return_), payloadHead(len(payload)), payload, TRANSPORT_TAIL))


def decodeTransport(buffer: bytes | memoryview, start: int = 0, end: int | None = None) -> TransportMessage:
    """
    Decode the transport message that C{buffer[start:end]} is (spec messaging,
    section 5.1), also one with fields we do not know.

    @raise DecodeError: It is none, or it is out of bounds.
    """
    if end is None:
        end = len(buffer)
    reader = cbor.Reader(buffer, start, end)
    count = structHead(reader, 3)
    onward, position = readRoute(buffer, reader.position, end)
    return_, reader.position = readRoute(buffer, position, end)
    payload = reader.readBytes(end - start)
    if count > 3:
        if not reader.readNull():
            reader.readText(MAX_TRACING)
        skipItems(reader, count - 4)
    reader.expectEnd()
    return TransportMessage(onward, return_, payload)


def readTransportRoutes(buffer: bytes | memoryview, start: int, end: int) -> tuple[WireRoute, WireRoute, int]:
    """
    Decode the routes of a transport message that begins with L{TAILED} or
    L{TAILLESS}; any other is for L{decodeTransport}.

    @return: Onward route, return route, and where the payload's head begins.
    @raise DecodeError: It begins otherwise, or there are no two routes.
    """
    if start >= end or buffer[start] not in (TAILED, TAILLESS):
        raise DecodeError("not a transport message of three or four fields")
    onward, position = readRoute(buffer, start + 1, end)
    return_, position = readRoute(buffer, position, end)
    return onward, return_, position


def payloadBounds(buffer: bytes | memoryview, position: int, end: int, tailed: bool) -> tuple[int, int]:
    """
    Find the payload of a transport message and check what follows it.

    @param position: Where its head begins.
    @param end: Where the message ends, not beyond the end of C{buffer}.
    @param tailed: Does a tracing context follow (the message begins with
        L{TAILED})?
    @return: Where the payload begins and ends.
    @raise DecodeError: There is no byte string, or it and the tracing context
        do not end where the message ends.
    """
    # The common cases, without a call; whatever is not right in them is left
    # to the long way, which says what it is.
    if position + 3 <= end:
        kind = buffer[position]
        if 0x40 <= kind <= 0x57:
            start = position + 1
            stop = position + kind - 0x3F
        elif kind == 0x59 and buffer[position + 1]:
            start = position + 3
            stop = start + (buffer[position + 1] << 8 | buffer[position + 2])
        elif kind == 0x58 and buffer[position + 1] > 23:
            start = position + 2
            stop = start + buffer[position + 1]
        elif kind == 0x5A and (size := int.from_bytes(buffer[position + 1 : position + 5], "big")) > 0xFFFF:
            start = position + 5
            stop = start + size
        else:
            start = stop = -1
        if tailed:
            if buffer[stop:end] == TRANSPORT_TAIL:
                return start, stop
        elif stop == end:
            return start, stop
    start, stop = byteStringBounds(buffer, position, end)
    if tailed:
        reader = cbor.Reader(buffer, stop, end)
        if not reader.readNull():
            reader.readText(MAX_TRACING)
        reader.expectEnd()
    elif stop != end:
        raise DecodeError("bytes follow the end of a message")
    return start, stop


def byteStringBounds(buffer: bytes | memoryview, position: int, end: int) -> tuple[int, int]:
    """
    Find the byte string whose head is at C{position}.

    @return: Where its content begins and ends.
    @raise DecodeError: There is none before C{end}.
    """
    try:
        kind = buffer[position]
        if 0x40 <= kind <= 0x57:
            start = position + 1
            stop = start + kind - 0x40
        elif kind == 0x59:
            start = position + 3
            size = buffer[position + 1] << 8 | buffer[position + 2]
            stop = start + size if size > 0xFF else -1
        elif kind == 0x5A:
            start = position + 5
            # Cut short it gives a small number, but then start is beyond end.
            size = int.from_bytes(buffer[position + 1 : start], "big")
            stop = start + size if size > 0xFFFF else -1
        elif kind == 0x58:
            start = position + 2
            size = buffer[position + 1]
            stop = start + size if size > 23 else -1
        else:
            start = stop = -1
    except IndexError:
        start = stop = -1
    if stop < start or stop > end or position >= end or start < 0:
        raise DecodeError("not a byte string that ends within its message")
    return start, stop


def encodeBareTransport(onward: AnyRoute, return_: AnyRoute, payload: bytes, version: int = 1) -> bytes:
    """
    Encode a transport message for WebSocket, Unix sockets and BLE (spec
    messaging, section 5.2), without tracing context.

    @param version: 1, or 2 (which has a place for the context).
    @raise EncodeError: A route is out of bounds, or the version unknown.
    """
    if version not in (1, 2):
        raise EncodeError(f"there is no transport message of version {version}")
    pieces = [bytes((version,))]
    for route in map(_hops, (onward, return_)):
        pieces.append(bare.varint(len(route)))
        for transport_type, value in route:
            pieces += (bytes((transport_type,)), bare.data(value))
    pieces += (bare.varint(len(payload)), payload)
    if version == 2:
        pieces.append(b"\x00")
    return b"".join(pieces)


def decodeBareTransport(buffer: bytes | memoryview) -> TransportMessage:
    """
    Decode what L{encodeBareTransport} encodes, and the same with a tracing
    context, which senders of version 1 append too.

    @raise DecodeError: It is none, or it is out of bounds.
    """
    reader = bare.Reader(buffer)
    version = reader.readU8()
    if version not in (1, 2):
        raise DecodeError("a transport message is of an unknown version")
    onward = _readBareRoute(reader)
    return_ = _readBareRoute(reader)
    payload = reader.readData(len(buffer))
    if (version == 2 or not reader.atEnd) and reader.readOptional():
        reader.readString(MAX_TRACING)
    reader.expectEnd()
    return TransportMessage(onward, return_, payload)


def _readBareRoute(reader: bare.Reader) -> WireRoute:
    return tuple((reader.readU8(), reader.readData(MAX_ADDRESS)) for _ in range(reader.readVarint(MAX_HOPS)))
