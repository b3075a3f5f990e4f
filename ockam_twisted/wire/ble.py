"""
Transport messages in what Bluetooth Low Energy takes at once (spec messaging,
section 11): a fragment of 8 bytes with the length of the message, u64, then the
message in fragments of at most 18.

Whoever reads takes any fragment of 8 bytes that is a number up to 1024 for the
beginning of a message.  A fragment of a message that looks so is sent in two,
which every reader puts together, so no message is ambiguous.

Longer messages go in parts (L{ockam_twisted.transports.parts}), each of which
is a message for itself.  Two of ours agree on more, by a characteristic that no other
implementation has or looks for: on longer fragments, as their ATT MTU allows,
and on how many messages may be on the way (L{Window}), since notifications have
nothing that holds them back.  What they write to it is
C{u16 longest fragment} first, then C{u32 messages taken so far}.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from ockam_twisted.errors import DecodeError, EncodeError

#: The GATT service, the characteristic that the peripheral notifies on, and the
#: one that the central writes to.
SERVICE = "424c001f-48f6-5fff-bc3e-84e00c335dbb"
NOTIFIED = "18c90ff2-8d94-5f20-8084-c16ae3f6a9a2"
WRITTEN = "bc911b36-320c-5d3f-90ed-842a6e57cefb"

#: Ours: see the module.
AGREED = "6f747731-626c-4565-8000-6f636b616d21"

#: Bytes of a message.
MAX_MESSAGE = 1024

#: Bytes of a fragment that everybody takes, and of the longest that an attribute holds.
FRAGMENT, MAX_FRAGMENT = 18, 512

#: Messages that may be on the way between two of ours, and how many are taken
#: before that is said.
WINDOW, SAY_EACH = 64, 16

_length = Struct(">Q")
_u16 = Struct(">H")
_u32 = Struct(">I")


def _isHeader(fragment: bytes) -> bool:
    return len(fragment) == 8 and _length.unpack(fragment)[0] <= MAX_MESSAGE


def fragments(message: bytes, size: int = FRAGMENT) -> Iterator[bytes]:
    """
    @param size: Of a fragment, bytes; at least 8.
    @return: What is written, one after the other.
    @raise EncodeError: The message is empty or too long.
    """
    if not 0 < len(message) <= MAX_MESSAGE:
        raise EncodeError(f"a message over Bluetooth has 1 to {MAX_MESSAGE} bytes, not {len(message)}")
    yield _length.pack(len(message))
    for start in range(0, len(message), size):
        fragment = message[start : start + size]
        if _isHeader(fragment):
            yield fragment[:4]
            yield fragment[4:]
        else:
            yield fragment


class Joining:
    """
    Puts fragments together again.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._missing = 0

    def add(self, fragment: bytes) -> bytes | None:
        """
        One more has come.

        @return: The message, if it was the last one of it.
        @raise DecodeError: It belongs to nothing, or it is more than there
            is to come.  What follows is read again from the next beginning.
        """
        if _isHeader(fragment):
            self._pieces = []
            self._missing = _length.unpack(fragment)[0]
            return None
        if not 0 < len(fragment) <= self._missing:
            self._pieces = []
            self._missing = 0
            raise DecodeError("a fragment does not belong to a message")
        self._pieces.append(bytes(fragment))
        self._missing -= len(fragment)
        if self._missing:
            return None
        message = b"".join(self._pieces)
        self._pieces = []
        return message


class Window:
    """
    What two of ours have agreed on, seen from one of them.

    @ivar fragment: Bytes of the fragments that we may send.
    @ivar isAgreed: Has the peer said that it is one of ours?
    """

    def __init__(self) -> None:
        self.fragment = FRAGMENT
        self.isAgreed = False
        self._sent = 0
        self._taken = 0
        self._said = 0
        self._known = 0

    @staticmethod
    def hello(mtu: int) -> bytes:
        """
        @param mtu: The ATT MTU, bytes.
        @return: What is to be said first.
        """
        return _u16.pack(min(max(mtu - 3, FRAGMENT), MAX_FRAGMENT))

    def heard(self, data: bytes, mtu: int) -> None:
        """
        The peer has written to our characteristic.

        @param mtu: The ATT MTU, bytes.
        @raise DecodeError: It cannot be.
        """
        if len(data) == 2 and not self.isAgreed:
            [size] = _u16.unpack(data)
            if size < FRAGMENT:
                raise DecodeError("a longest fragment is too short")
            self.isAgreed = True
            self.fragment = min(size, max(mtu - 3, FRAGMENT), MAX_FRAGMENT)
        elif len(data) == 4 and self.isAgreed:
            more = (_u32.unpack(data)[0] - self._known) & 0xFFFFFFFF
            if more > self._sent - self._known:
                raise DecodeError("more messages were taken than were sent")
            self._known += more
        else:
            raise DecodeError("what was to be agreed on cannot be read")

    @property
    def isOpen(self) -> bool:
        """
        May one more message be sent?
        """
        return not self.isAgreed or self._sent - self._known < WINDOW

    def sent(self) -> None:
        """
        One more message was sent.
        """
        if self.isAgreed:
            self._sent += 1

    def taken(self) -> bytes | None:
        """
        One more message was taken by who it is for.

        @return: What is to be said now.
        """
        self._taken += 1
        if not self.isAgreed or self._taken - self._said < SAY_EACH:
            return None
        self._said = self._taken
        return _u32.pack(self._taken & 0xFFFFFFFF)
