"""
The messages of a portal (spec portals, section 1): the payload of a routed
message is one byte, and what that byte says follows.
"""

from __future__ import annotations

from ockam_twisted.errors import DecodeError, EncodeError
from ockam_twisted.wire import bare

PING = b"\x00"
PONG = b"\x01"
DISCONNECT = b"\x02"

#: The first byte of a Payload; what else there is up to L{MAX_KIND} is room
#: for extensions.
PAYLOAD_KIND = 3
MAX_KIND = 0x0F

#: What a Payload carries at most when we send it, bytes: as much as those of
#: newer Rust nodes.
MAX_PAYLOAD = 128 * 1024

_SMALL_HEADS = tuple(b"\x03" + bare.varint(size) for size in range(128))


def portalPayloadHead(size: int) -> bytes:
    """
    What precedes C{size} bytes of data in a Payload.
    """
    if size < 128:
        return _SMALL_HEADS[size]
    if size < 1 << 14:
        return bytes((3, size & 0x7F | 0x80, size >> 7))
    if size < 1 << 21:
        return bytes((3, size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14))
    return b"\x03" + bare.varint(size)


def encodePortalPayload(data: bytes, counter: int | None = None) -> bytes:
    """
    Encode a Payload.

    @param counter: The packet counter, if one is to be sent.
    @raise EncodeError: The counter is no unsigned 16-bit number.
    """
    if counter is None:
        return portalPayloadHead(len(data)) + data
    if not 0 <= counter <= 0xFFFF:
        raise EncodeError("a packet counter has 16 bits")
    return b"".join((portalPayloadHead(len(data)), data, b"\x01", counter.to_bytes(2, "little")))


def readPortal(message: bytes | memoryview) -> tuple[int, int, int, int | None]:
    """
    Find out what a portal message is.

    @return: Its first byte; where the data of a Payload begins and ends (of
        any other message: all that follows the first byte); the packet
        counter of a Payload that has one.
    @raise DecodeError: The message is empty or of no kind there could be, or
        its data is cut short.
    """
    size = len(message)
    if not size:
        raise DecodeError("a portal message is empty")
    kind = message[0]
    if kind != PAYLOAD_KIND:
        if kind > MAX_KIND:
            raise DecodeError("a portal message is of an unknown kind")
        return kind, 1, size, None
    if size > 1 and (first := message[1]) < 0x80:
        start = 2
        stop = 2 + first
    elif size > 2 and (second := message[2]) < 0x80:
        start = 3
        stop = 3 + (first & 0x7F | second << 7)
    elif size > 3 and (third := message[3]) < 0x80:
        start = 4
        stop = 4 + (first & 0x7F | (second & 0x7F) << 7 | third << 14)
    else:
        reader = bare.Reader(message, 1)
        stop = reader.readVarint()
        start = reader.position
        stop += start
    if stop == size:
        return 3, start, stop, None
    if stop > size:
        raise DecodeError("the data of a portal message is cut short")
    if size - stop >= 3 and message[stop] == 1:
        return 3, start, stop, message[stop + 1] | message[stop + 2] << 8
    return 3, start, stop, None
