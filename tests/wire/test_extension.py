"""
Tests for L{ockam_twisted.wire.extension}.
"""

from __future__ import annotations

import cbor2
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError, EncodeError
from ockam_twisted.wire.extension import (
    MAX_DATAGRAM,
    MAX_OFFSET,
    MAX_TEXT,
    Credit,
    Datagram,
    ExtensionMessage,
    Finished,
    Reset,
    Resume,
    Resumed,
    decodeExtension,
    encodeExtension,
)

ID = bytes(range(16))

OFFSETS = st.integers(0, MAX_OFFSET)
FINALS = st.none() | OFFSETS
TEXTS = st.text(max_size=40)
MESSAGES = st.one_of(
    st.builds(Credit, OFFSETS, OFFSETS),
    st.builds(Finished, OFFSETS),
    st.builds(Reset, st.integers(0, 255), OFFSETS, TEXTS),
    st.builds(Resume, st.binary(min_size=16, max_size=16), OFFSETS, OFFSETS, FINALS),
    st.builds(Resumed, OFFSETS, FINALS, st.none() | st.tuples(st.integers(0, 255), TEXTS)),
    st.builds(Datagram, st.binary(max_size=100)),
)


class MessageTests(SynchronousTestCase):
    """
    The messages.
    """

    def test_bytes(self) -> None:
        """
        They are what the page says.
        """
        for message, kind, fields in (
            (Credit(5, 262149), 0x0A, [5, 262149]),
            (Finished(7), 0x0B, [7]),
            (Reset(4, 9, "reset by peer"), 0x0C, [4, 9, "reset by peer"]),
            (Resume(ID, 3, 100, None), 0x0D, [ID, 3, 100, None]),
            (Resumed(100, 200), 0x0E, [100, 200, None]),
            (Resumed(100, None, (2, "gone")), 0x0E, [100, None, [2, "gone"]]),
            (Datagram(b"x"), 0x0F, [b"x"]),
        ):
            self.assertEqual(encodeExtension(message), bytes([kind]) + cbor2.dumps(fields))

    @given(MESSAGES)
    def test_roundTrip(self, message: ExtensionMessage) -> None:
        """
        Decoding gives back what was encoded.
        """
        self.assertEqual(decodeExtension(encodeExtension(message)), message)

    def test_text(self) -> None:
        """
        A long text is cut, between characters.
        """
        decoded = decodeExtension(encodeExtension(Reset(1, 0, "ä" * 200)))
        self.assertEqual(decoded, Reset(1, 0, "ä" * (MAX_TEXT // 2)))

    def test_bounds(self) -> None:
        """
        Offsets have 63 bits, ids 16 bytes, datagrams what UDP carries.
        """
        self.assertRaises(EncodeError, encodeExtension, Credit(0, MAX_OFFSET + 1))
        self.assertRaises(EncodeError, encodeExtension, Finished(-1))
        self.assertRaises(EncodeError, encodeExtension, Datagram(bytes(MAX_DATAGRAM + 1)))
        for kind, fields in (
            (0x0A, [1, 2**63]),
            (0x0A, [1]),
            (0x0B, [None]),
            (0x0C, [256, 0, ""]),
            (0x0C, [1, 0, "x" * 201]),
            (0x0D, [ID + b"x", 1, 1, None]),
            (0x0E, [1, None, [1]]),
            (0x0F, [bytes(MAX_DATAGRAM + 1)]),
            (0x09, [1]),
            (0x10, [1]),
        ):
            self.assertRaises(DecodeError, decodeExtension, bytes([kind]) + cbor2.dumps(fields))
        self.assertRaises(DecodeError, decodeExtension, b"")
        self.assertRaises(DecodeError, decodeExtension, encodeExtension(Finished(1)) + b"\x00")

    @given(st.sampled_from((0x0A, 0x0B)), st.integers(0, 2**64 - 1), st.integers(0, 4), st.binary(max_size=3))
    def test_numbers(self, kind: int, number: int, longer: int, rest: bytes) -> None:
        """
        Numbers that are longer than they have to be, too large, cut short, or
        followed by something are no offsets.
        """
        size = min((0, 1, 2, 4, 8)[longer], 8)
        least = next(each for each in (0, 1, 2, 4, 8) if number < (24 if not each else 1 << 8 * each))
        if size and number >> 8 * size == 0:
            item = bytes((24 + (1, 2, 4, 8).index(size),)) + number.to_bytes(size, "big")
        else:
            size, item = least, cbor2.dumps(number)
        count = 2 if kind == 0x0A else 1
        body = bytes((kind, 0x80 + count)) + item * count
        if size == least and number <= MAX_OFFSET:
            expected = Credit(number, number) if count == 2 else Finished(number)
            self.assertEqual(decodeExtension(body), expected)
        else:
            self.assertRaises(DecodeError, decodeExtension, body)
        if rest:
            self.assertRaises(DecodeError, decodeExtension, body + rest)
        self.assertRaises(DecodeError, decodeExtension, body[:-1])

    @given(st.binary(max_size=60))
    def test_garbage(self, data: bytes) -> None:
        """
        What is none raises our own error only.
        """
        for kind in range(0x0A, 0x10):
            try:
                decodeExtension(bytes([kind]) + data)
            except DecodeError:
                pass
