"""
Messages that are longer than their carrier takes, in parts.

A part is a transport message of its own, to a worker that no other
implementation has: C{isLast (1 byte) | bytes}.  So two nodes of ours can send
each other what is longer, and everything else is as the specification has it.
The parts of a message leave one after the other, over a carrier that keeps
order.
"""

from __future__ import annotations

from collections.abc import Iterator

from ockam_twisted.errors import DecodeError
from ockam_twisted.wire.codecs import Codec

#: Where parts go to: the onward route.
PARTS = ((0, b"otw1.part"),)

_MORE, _LAST = b"\x00", b"\x01"


def split(codec: Codec, message: bytes, size: int) -> Iterator[bytes]:
    """
    @param message: An encoded transport message.
    @param size: What the carrier takes at once, bytes; at least 64.
    @return: Encoded messages of that size at most.
    """
    prefix = codec.prefix(PARTS, ())
    room = size - len(prefix) - len(codec.head(size)) - len(codec.tail) - 1
    for start in range(0, len(message), room):
        part = message[start : start + room]
        kind = _LAST if start + room >= len(message) else _MORE
        yield prefix + codec.head(len(part) + 1) + kind + part + codec.tail


class Assembly:
    """
    Puts parts together again.
    """

    def __init__(self, maximum: int) -> None:
        """
        @param maximum: How long a message may be, bytes.
        """
        self._maximum = maximum
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, payload: bytes) -> bytes | None:
        """
        One more part has come.

        @return: The message, if it was the last one.
        @raise DecodeError: It is no part, or one too many.
        """
        kind = bytes(payload[:1])
        self._parts.append(bytes(payload[1:]))
        self._size += len(payload)
        if kind not in (_MORE, _LAST) or len(payload) < 2 or self._size > self._maximum:
            self._forget()
            raise DecodeError("a part of a message is out of bounds")
        if kind == _MORE:
            return None
        message = b"".join(self._parts)
        self._forget()
        return message

    def _forget(self) -> None:
        self._parts = []
        self._size = 0
