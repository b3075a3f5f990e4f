"""
Tests for L{ockam_twisted.wire.kafka}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError, EncodeError
from ockam_twisted.wire.kafka import CONNECTION, INCARNATION, MAX_MESSAGE, NONE, Kind, Record, decode, encode

ONE, RUN = b"c" * CONNECTION, b"i" * INCARNATION


class RecordTests(SynchronousTestCase):
    """
    Tests for records.
    """

    def test_bytes(self) -> None:
        """
        What stands where.
        """
        data = encode(Record(Kind.MESSAGE, ONE, RUN, 258, b"hello"))
        self.assertEqual(data, b"\x01" + ONE + RUN + b"\0\0\0\0\0\0\x01\x02hello")
        self.assertEqual(encode(Record(Kind.HELLO, NONE, RUN)), b"\x03" + bytes(16) + RUN + bytes(8))

    @given(
        st.binary(min_size=CONNECTION, max_size=CONNECTION),
        st.binary(min_size=INCARNATION, max_size=INCARNATION),
        st.integers(0, 2**64 - 1),
        st.binary(min_size=1, max_size=100),
    )
    def test_roundTrip(self, connection: bytes, incarnation: bytes, number: int, message: bytes) -> None:
        """
        What is written is what is read.
        """
        for kind in Kind:
            record = Record(kind, connection, incarnation, number, message if kind is Kind.MESSAGE else b"")
            self.assertEqual(decode(encode(record)), record)

    @given(st.binary(max_size=60))
    def test_anything(self, data: bytes) -> None:
        """
        Whatever comes is a record, or is refused.
        """
        try:
            self.assertEqual(encode(decode(data)), data)
        except DecodeError:
            pass

    def test_bounds(self) -> None:
        """
        A message has bounds, in both directions, and only a message has one.
        """
        whole = Record(Kind.MESSAGE, ONE, RUN, 0, bytes(MAX_MESSAGE))
        self.assertEqual(decode(encode(whole)), whole)
        self.assertRaises(EncodeError, encode, Record(Kind.MESSAGE, ONE, RUN, 0, bytes(MAX_MESSAGE + 1)))
        self.assertRaises(DecodeError, decode, encode(whole) + b"x")
        self.assertRaises(DecodeError, decode, encode(Record(Kind.MESSAGE, ONE, RUN)))
        self.assertRaises(DecodeError, decode, encode(Record(Kind.END, ONE, RUN)) + b"x")
        self.assertRaises(DecodeError, decode, b"\x04" + bytes(32))
        self.assertRaises(DecodeError, decode, b"\x02" + bytes(31))
