"""
What is inside a secure-channel record (spec identity, section 6.6): a message
and padding, C{[message, padding]}, where C{message} is

  - C{[0, [[onward_route, return_route, payload]]]}, a user message;
  - C{[1, [[change_history, [credential_and_purpose_key, ...]]]]}, a refresh
    of the sender's credentials;
  - C{[2, []]}, the end of the channel;
  - C{[3, [plaintext, ...]]}, several user messages, each as the plaintext of a
    record of its own, to who has said that it reads them (C{docs/bundles.rst}).
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from ockam_twisted.errors import DecodeError
from ockam_twisted.wire import cbor
from ockam_twisted.wire.messages import (
    AnyRoute,
    WireRoute,
    byteStringBounds,
    payloadHead,
    readRoute,
    routeBytes,
    skipItems,
    structHead,
)

#: How a user message begins.  Only plaintexts that begin so can be read piece
#: by piece.
PLAINTEXT_HEAD = b"\x82\x82\x00\x81\x83"

#: The empty padding that follows the payload in what we send.
PLAINTEXT_TAIL = b"\x40"

#: The whole plaintext that ends a channel.
CLOSE = b"\x82\x82\x02\x80\x40"

#: The same to somebody who is not accepted.  Padding means nothing to anybody
#: else.
REFUSED = CLOSE[:-1] + b"\x47refused"

#: How several user messages begin.
BUNDLE_HEAD = b"\x82\x82\x03"

#: How many there are in one at most, and how many bytes each has at least.
MAX_BUNDLED = 4096
_LEAST = len(PLAINTEXT_HEAD) + 4

#: The padding of the first record of who reads these.
READS_BUNDLES = b"\x44otwb"


@frozen
class ChannelPayload:
    """
    A user message.

    @ivar onward_route: Where it goes at the receiver's node.
    @ivar return_route: Where replies go at the sender's node.
    @ivar payload: What the addressed worker defines.
    """

    onward_route: WireRoute
    return_route: WireRoute
    payload: bytes


@frozen
class ChannelRefresh:
    """
    New credentials of the sender, not verified.

    @ivar change_history: One CBOR item, as it came.
    @ivar credentials: One CBOR array, as it came.
    """

    change_history: bytes
    credentials: bytes


@frozen
class ChannelClose:
    """
    The sender has stopped the channel.
    """


def plaintextPrefix(onward: AnyRoute, return_: AnyRoute) -> bytes:
    """
    What precedes L{ockam_twisted.wire.messages.payloadHead} in a user message
    with these routes.  L{PLAINTEXT_TAIL} follows the payload.

    @raise EncodeError: A route is out of bounds.
    """
    return PLAINTEXT_HEAD + routeBytes(onward) + routeBytes(return_)


def readPlaintextRoutes(buffer: bytes | memoryview, start: int, end: int) -> tuple[WireRoute, WireRoute, int]:
    """
    Decode the routes of a plaintext that begins with L{PLAINTEXT_HEAD}; any
    other is for L{decodeChannelMessage}.

    @return: Onward route, return route, and where the payload's head begins.
    @raise DecodeError: It begins otherwise, or there are no two routes.
    """
    position = start + len(PLAINTEXT_HEAD)
    if position > end or buffer[start:position] != PLAINTEXT_HEAD:
        raise DecodeError("not a user message of three fields")
    onward, position = readRoute(buffer, position, end)
    return_, position = readRoute(buffer, position, end)
    return onward, return_, position


def plaintextBounds(buffer: bytes | memoryview, position: int, end: int) -> tuple[int, int]:
    """
    Find the payload of a user message and check that nothing but padding
    follows it.

    @param position: Where its head begins.
    @param end: Where the plaintext ends, not beyond the end of C{buffer}.
    @return: Where the payload begins and ends.
    @raise DecodeError: There is no byte string, or it and the padding do not
        end where the plaintext ends.
    """
    start, stop = byteStringBounds(buffer, position, end)
    if (end - stop != 1 or buffer[stop] != 0x40) and byteStringBounds(buffer, stop, end)[1] != end:
        raise DecodeError("bytes follow the end of a message")
    return start, stop


def encodeBundle(plaintexts: Sequence[bytes]) -> bytes:
    """
    Make one plaintext of several, each of which is a user message.
    """
    pieces = [BUNDLE_HEAD, cbor.arrayHead(len(plaintexts))]
    for plaintext in plaintexts:
        pieces += (payloadHead(len(plaintext)), plaintext)
    pieces.append(PLAINTEXT_TAIL)
    return b"".join(pieces)


def bundleBounds(plaintext: bytes) -> list[tuple[int, int]]:
    """
    Find the user messages of a plaintext that begins with L{BUNDLE_HEAD}.

    @return: Where each begins and ends.
    @raise DecodeError: They do not end where the plaintext ends, are too many, or
        so short that they cannot be any.
    """
    end = len(plaintext)
    reader = cbor.Reader(plaintext, len(BUNDLE_HEAD))
    count = reader.readArrayHead(MAX_BUNDLED)
    position = reader.position
    bounds = []
    for _ in range(count):
        start, position = byteStringBounds(plaintext, position, end)
        if position - start < _LEAST:
            raise DecodeError("what is so short is no message")
        bounds.append((start, position))
    if byteStringBounds(plaintext, position, end)[1] != end:
        raise DecodeError("bytes follow the end of a bundle")
    return bounds


def decodeChannelMessage(plaintext: bytes | memoryview) -> ChannelPayload | ChannelRefresh | ChannelClose:
    """
    Decode a record's plaintext, also one with padding or with fields we do
    not know.

    @raise DecodeError: It is none, it is out of bounds, or is of a variant we
        do not know.
    """
    end = len(plaintext)
    reader = cbor.Reader(plaintext)
    outer = structHead(reader, 2)
    variant = _variantHead(reader)
    message: ChannelPayload | ChannelRefresh | ChannelClose
    if variant == 2:
        skipItems(reader, structHead(reader, 0))
        message = ChannelClose()
    elif variant in (0, 1):
        fields = structHead(reader, 1)
        if variant == 0:
            count = structHead(reader, 3)
            onward, position = readRoute(plaintext, reader.position, end)
            return_, reader.position = readRoute(plaintext, position, end)
            message = ChannelPayload(onward, return_, reader.readBytes(end))
            skipItems(reader, count - 3)
        else:
            count = structHead(reader, 2)
            message = ChannelRefresh(_slice(plaintext, reader), _slice(plaintext, reader))
            skipItems(reader, count - 2)
        skipItems(reader, fields - 1)
    else:
        raise DecodeError("a channel message is of an unknown variant")
    reader.position = byteStringBounds(plaintext, reader.position, end)[1]
    skipItems(reader, outer - 2)
    reader.expectEnd()
    return message


def _variantHead(reader: cbor.Reader) -> int:
    # An enum is not a struct: it has exactly two elements, for good.
    if reader.readArrayHead(2) != 2:
        raise DecodeError("a variant has not two elements")
    return reader.readUint()


def _slice(plaintext: bytes | memoryview, reader: cbor.Reader) -> bytes:
    """
    @return: The array that comes next, as it came.
    """
    start = reader.position
    reader.readArrayHead(cbor.MAX_UINT)
    reader.position = start
    reader.skip()
    return bytes(plaintext[start : reader.position])


def encodeRefresh(change_history: bytes, credentials: Sequence[bytes]) -> bytes:
    """
    Encode a refresh of our credentials.

    @param change_history: Our change history, encoded.
    @param credentials: Each credential with its purpose key, encoded.
    """
    head = cbor.arrayHead(len(credentials))
    return b"".join((b"\x82\x82\x01\x81\x82", change_history, head, *credentials, PLAINTEXT_TAIL))
