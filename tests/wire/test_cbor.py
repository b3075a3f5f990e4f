"""
Tests for L{ockam_twisted.wire.cbor}.
"""

from __future__ import annotations

import math
from typing import Any

import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError, EncodeError
from ockam_twisted.wire import cbor

fuzz = settings(deadline=None, max_examples=200, derandomize=True, database=None)

integers = st.integers(-(2**64), 2**64 - 1)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    integers,
    st.floats(allow_nan=False, allow_infinity=False),
    st.binary(max_size=300),
    st.text(max_size=300),
)
keys = st.one_of(integers, st.binary(max_size=8), st.text(max_size=8))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=30), st.dictionaries(keys, inner, max_size=30)),
    max_leaves=30,
)


class EncodeTests(SynchronousTestCase):
    """
    What we emit.
    """

    def test_heads(self) -> None:
        """
        A head is of the shortest form at each of its boundaries.
        """
        for n, encoded in (
            (0, "00"),
            (23, "17"),
            (24, "1818"),
            (255, "18ff"),
            (256, "190100"),
            (65535, "19ffff"),
            (65536, "1a00010000"),
            (2**32 - 1, "1affffffff"),
            (2**32, "1b0000000100000000"),
            (2**64 - 1, "1bffffffffffffffff"),
        ):
            self.assertEqual(cbor.uint(n).hex(), encoded)
            self.assertEqual(cbor.Reader(cbor.uint(n)).readUint(), n)

    def test_pieces(self) -> None:
        """
        The pieces join to what a general encoder gives.
        """
        whole = cbor.arrayHead(5) + cbor.byteString(b"ab") + cbor.textString("\xe9")
        whole += cbor.mapHead(1) + cbor.uint(1) + cbor.NULL + cbor.TRUE + cbor.FALSE
        self.assertEqual(cbor2.loads(whole), [b"ab", "\xe9", {1: None}, True, False])

    def test_outOfBounds(self) -> None:
        """
        What has no encoding is refused with an error of ours.
        """
        deep: Any = []
        for _ in range(16):
            deep = [deep]
        for value in (2**64, -(2**64) - 1, object(), "\ud800", {1}, deep):
            self.assertRaises(EncodeError, cbor.encode, value)
        self.assertRaises(EncodeError, cbor.uint, -1)
        self.assertRaises(EncodeError, cbor.textString, "\ud800")

    @fuzz
    @given(values)
    def test_oracle(self, value: Any) -> None:
        """
        Encoding and decoding agree with cbor2.
        """
        encoded = cbor.encode(value)
        self.assertEqual(encoded, cbor2.dumps(value))
        self.assertEqual(repr(cbor.decode(encoded)), repr(cbor2.loads(encoded)))


class DecodeTests(SynchronousTestCase):
    """
    What the general decoder accepts.
    """

    def test_refused(self) -> None:
        """
        Anything but the one form we emit is refused.
        """
        for encoded in (
            "",
            "1817",  # heads longer than they have to be
            "1900ff",
            "1a0000ffff",
            "1b00000000ffffffff",
            "5817" + "00" * 23,
            "9801f6",
            "9fff",  # indefinite lengths
            "bfff",
            "5f4101ff",
            "7f6161ff",
            "ff",
            "1c",  # reserved
            "c000",  # a tag
            "f7",  # undefined
            "e0",
            "f8ff",
            "0000",  # bytes that follow
            "820100" + "00",
            "a201000100",  # a key twice
            "a1f400",  # keys of other kinds
            "a18000",
            "a1f93c0000",
            "62c328",  # not UTF-8
            "42ff",  # cut short
            "82f6",
            "a101",
            "19ff",
            "9bffffffffffffffff",  # counts above what there is
            "bbffffffffffffffff",
            "5bffffffffffffffff",
            "7bffffffffffffffff",
            "9affffffff" + "f6" * 10,
        ):
            self.assertRaises(DecodeError, cbor.decode, bytes.fromhex(encoded))

    def test_floats(self) -> None:
        """
        Floats of all three sizes are understood.
        """
        for encoded, value in (("f93c00", 1.0), ("fa3fc00000", 1.5), ("fb3ff8000000000000", 1.5), ("f97c00", math.inf)):
            self.assertEqual(cbor.decode(bytes.fromhex(encoded)), value)

    def test_bounds(self) -> None:
        """
        Items and levels are counted, and the limits themselves are allowed.
        """
        self.assertEqual(cbor.decode(b"\x82\x00\x00", maximum_items=3), [0, 0])
        self.assertRaises(DecodeError, cbor.decode, b"\x82\x00\x00", maximum_items=2)
        self.assertRaises(DecodeError, cbor.decode, b"\xa1\x00\x00", maximum_items=2)
        cbor.decode(b"\x81" * 16 + b"\x00")
        self.assertRaises(DecodeError, cbor.decode, b"\x81" * 17 + b"\x00")
        self.assertRaises(DecodeError, cbor.decode, b"\xa1\x00" * 17 + b"\x00")
        self.assertRaises(DecodeError, cbor.decode, b"\x81" * 100000 + b"\x00")

    @fuzz
    @given(st.binary(max_size=100))
    def test_arbitrary(self, data: bytes) -> None:
        """
        On any bytes decoding gives a value that encodes, or our error; and
        skipping ends where decoding does.
        """
        try:
            value = cbor.decode(data)
        except DecodeError:
            return
        self.assertEqual(repr(value), repr(cbor2.loads(data)))
        reader = cbor.Reader(data)
        reader.skip()
        reader.expectEnd()
        cbor.encode(value)

    @fuzz
    @given(values, st.data())
    def test_mutated(self, value: Any, data: st.DataObject) -> None:
        """
        A valid encoding with a byte changed or an end missing raises nothing
        but our error.
        """
        encoded = bytearray(cbor.encode(value))
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
        cut = bytes(encoded[: data.draw(st.integers(0, len(encoded)))])
        for attempt in (cbor.decode, lambda data: cbor.Reader(data).skip()):
            try:
                attempt(cut)
            except DecodeError:
                continue


class ReaderTests(SynchronousTestCase):
    """
    Reading item by item.
    """

    def test_sequence(self) -> None:
        """
        Items are read one after the other, from bytes and from views alike.
        """
        data = bytes.fromhex("ff 84 18ff 43616263 62c3a9 a1 f5 f6 00 ff".replace(" ", ""))
        for buffer in (data, memoryview(data)):
            reader = cbor.Reader(buffer, 1, len(data) - 1)
            self.assertEqual(reader.readArrayHead(4), 4)
            self.assertEqual(reader.readUint(255), 255)
            octets = reader.readBytes(3)
            self.assertEqual((type(octets), octets), (bytes, b"abc"))
            self.assertEqual(reader.readText(2), "\xe9")
            self.assertEqual(reader.major, cbor.MAP)
            self.assertEqual(reader.readMapHead(1), 1)
            self.assertFalse(reader.readNull())
            self.assertTrue(reader.readBool())
            self.assertTrue(reader.readNull())
            self.assertFalse(reader.atEnd)
            self.assertRaises(DecodeError, reader.expectEnd)
            reader.skip()
            self.assertTrue(reader.atEnd)
            reader.expectEnd()
            self.assertEqual(reader.position, len(data) - 1)
            self.assertRaises(DecodeError, reader.readNull)

    def test_maxima(self) -> None:
        """
        One more than the maximum is refused, by each method that has one.
        """
        self.assertRaises(DecodeError, cbor.Reader(b"\x05").readUint, 4)
        self.assertRaises(DecodeError, cbor.Reader(b"\x42ab").readBytes, 1)
        self.assertRaises(DecodeError, cbor.Reader(b"\x62ab").readText, 1)
        self.assertRaises(DecodeError, cbor.Reader(b"\x82\x00\x00").readArrayHead, 1)
        self.assertRaises(DecodeError, cbor.Reader(b"\xa1\x00").readMapHead, 1)
        self.assertRaises(DecodeError, cbor.Reader(b"\xa2\x00\x00\x01\x00").readMapHead, 1)

    def test_otherKinds(self) -> None:
        """
        An item of another kind is refused.
        """
        for read in (
            lambda reader: reader.readUint(),
            lambda reader: reader.readText(9),
            lambda reader: reader.readArrayHead(9),
            lambda reader: reader.readMapHead(9),
            lambda reader: reader.readBool(),
        ):
            self.assertRaises(DecodeError, read, cbor.Reader(b"\x41a"))
        self.assertRaises(DecodeError, cbor.Reader(b"\x61a").readBytes, 9)

    def test_stopsAtEnd(self) -> None:
        """
        Nothing behind the end is read, though it is in the buffer.
        """
        self.assertRaises(DecodeError, cbor.Reader(b"\x42ab", 0, 2).readBytes, 9)
        self.assertRaises(DecodeError, cbor.Reader(b"\x42ab", 0, 2).skip)
        self.assertRaises(DecodeError, cbor.Reader(b"\x19\x01\x00", 0, 2).readUint)
        self.assertRaises(DecodeError, cbor.Reader(b"\x00", 0, 0).skip)

    def test_skip(self) -> None:
        """
        Skipping reads one item of any kind, tags and simple values too, but
        neither bad heads nor levels without end.
        """
        for encoded in ("00", "39ffff", "4161", "6161", "80", "a0", "c1820001", "f7", "f8ff", "f93c00", "a1018102"):
            reader = cbor.Reader(bytes.fromhex(encoded + "00"))
            reader.skip()
            self.assertEqual(reader.position, len(encoded) // 2)
        cbor.Reader(b"\x81" * 16 + b"\x00").skip()
        cbor.Reader(b"\x81\x81\x00").skip(depth=2)
        for encoded in (
            "9fff",
            "81",
            "f810",
            "1800",
            "c0" * 17 + "00",
            "81" * 17 + "00",
            "a1" + "00",
            "9bffffffffffffffff00",
        ):
            self.assertRaises(DecodeError, cbor.Reader(bytes.fromhex(encoded)).skip)
        self.assertRaises(DecodeError, cbor.Reader(b"\x81\x81\x81\x00").skip, 2)

    def test_skippable(self) -> None:
        """
        So many items may be skipped by one reader, however they are nested and in however many calls.
        """
        most = cbor.MAX_ITEMS
        for one, items in ((b"\x00", 1), (b"\x81\x00", 2), (b"\x81" * 15 + b"\x00", 16), (b"\xa1\x00\xc1\x00", 4)):
            reader = cbor.Reader(one * (most // items + 1))
            for _ in range(most // items):
                reader.skip()
            self.assertRaises(DecodeError, reader.skip)
        within = cbor.arrayHead(most - 1) + b"\x00" * (most - 1)
        cbor.Reader(within).skip()
        beyond = cbor.arrayHead(most) + b"\x00" * most
        self.assertRaises(DecodeError, cbor.Reader(beyond).skip)
        cbor.Reader(beyond, skippable=most + 1).skip()

    def test_readValue(self) -> None:
        """
        A value can be read among others, with the same bounds as if it were alone.
        """
        reader = cbor.Reader(b"\x82\x01\x61a\x02")
        self.assertEqual(reader.readValue(3, 1), [1, "a"])
        self.assertEqual(reader.readValue(1, 0), 2)
        self.assertRaises(DecodeError, reader.readValue)
        self.assertRaises(DecodeError, cbor.Reader(b"\x82\x01\x02").readValue, 2)
        self.assertRaises(DecodeError, cbor.Reader(b"\x80").readValue, 1, 0)
