"""
Tests for L{ockam_twisted.wire.bare}.
"""

from __future__ import annotations

import bare as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError, EncodeError
from ockam_twisted.wire import bare

fuzz = settings(deadline=None, max_examples=200, derandomize=True, database=None)


class BareTests(SynchronousTestCase):
    """
    Single values.
    """

    def test_specification(self) -> None:
        """
        The examples of the specification.
        """
        self.assertEqual(bare.string("hello"), bytes.fromhex("0568656c6c6f"))
        self.assertEqual(bare.data(b"\x01\x02\x03"), bytes.fromhex("03010203"))
        self.assertEqual(bare.data(bytes(200))[:2], bytes.fromhex("c801"))
        self.assertEqual(bare.string("Hello Ockam!"), bytes.fromhex("0c48656c6c6f204f636b616d21"))

    def test_longestVarint(self) -> None:
        """
        The tenth byte of a number is 01 or an error.
        """
        self.assertEqual(bare.Reader(b"\xff" * 9 + b"\x01").readVarint(), 2**64 - 1)
        self.assertEqual(bare.varint(2**64 - 1), b"\xff" * 9 + b"\x01")
        for last in (b"\x00", b"\x02", b"\x03", b"\xff", b"\x81\x00", b""):
            self.assertRaises(DecodeError, bare.Reader(b"\xff" * 9 + last).readVarint)

    def test_overLong(self) -> None:
        """
        A number longer than it has to be is accepted.
        """
        reader = bare.Reader(b"\x85\x80\x00\x07")
        self.assertEqual((reader.readVarint(), reader.position), (5, 3))

    def test_reader(self) -> None:
        """
        Values are read one after the other, from bytes and from views alike.
        """
        data = bytes.fromhex("ff 03 616263 02 c3a9 2a 0700 00 02 01 00 e807 7a7a ff".replace(" ", ""))
        for buffer in (data, memoryview(data)):
            reader = bare.Reader(buffer, 1, len(data) - 1)
            octets = reader.readData(3)
            self.assertEqual((type(octets), octets), (bytes, b"abc"))
            self.assertEqual(reader.readString(2), "\xe9")
            self.assertEqual(reader.readU8(), 42)
            self.assertEqual(reader.readU16(), 7)
            self.assertEqual((reader.readBool(), reader.readBool()), (False, True))
            self.assertEqual((reader.readOptional(), reader.readOptional()), (True, False))
            self.assertEqual(reader.readVarint(1000), 1000)
            self.assertFalse(reader.atEnd)
            self.assertRaises(DecodeError, reader.expectEnd)
            self.assertEqual(reader.rest(), b"zz")
            self.assertTrue(reader.atEnd)
            reader.expectEnd()
            self.assertRaises(DecodeError, reader.readU8)

    def test_refused(self) -> None:
        """
        Values that are cut short, too large or malformed are refused.
        """
        self.assertRaises(DecodeError, bare.Reader(b"\x80").readVarint)
        self.assertRaises(DecodeError, bare.Reader(b"\x05").readVarint, 4)
        self.assertRaises(DecodeError, bare.Reader(b"\x02a").readData, 9)
        self.assertRaises(DecodeError, bare.Reader(b"\x02ab", 0, 2).readData, 9)
        self.assertRaises(DecodeError, bare.Reader(b"\x02ab").readData, 1)
        self.assertRaises(DecodeError, bare.Reader(b"\xff" * 9 + b"\x01").readData, 2**70)
        self.assertRaises(DecodeError, bare.Reader(b"\x02\xc3\x28").readString, 9)
        self.assertRaises(DecodeError, bare.Reader(b"\x00").readU16)
        self.assertRaises(DecodeError, bare.Reader(b"\x02").readOptional)

    def test_unencodable(self) -> None:
        """
        What has no encoding is refused.
        """
        self.assertRaises(EncodeError, bare.varint, -1)
        self.assertRaises(EncodeError, bare.varint, 2**64)
        self.assertRaises(EncodeError, bare.string, "\ud800")

    @fuzz
    @given(st.integers(0, 2**64 - 1), st.binary(max_size=300), st.text(max_size=300))
    def test_oracle(self, number: int, octets: bytes, text: str) -> None:
        """
        Encoding and decoding agree with pybare.
        """
        self.assertEqual(bare.varint(number), oracle.UInt(number).pack())
        self.assertEqual(bare.data(octets), oracle.Data(octets).pack())
        self.assertEqual(bare.string(text), oracle.Str(text).pack())
        reader = bare.Reader(bare.varint(number) + bare.data(octets) + bare.string(text))
        self.assertEqual((reader.readVarint(), reader.readData(300), reader.readString(1200)), (number, octets, text))
        reader.expectEnd()

    @fuzz
    @given(st.binary(max_size=40))
    def test_arbitrary(self, data: bytes) -> None:
        """
        Any bytes are a value or our error.
        """
        for read in (
            lambda reader: reader.readVarint(),
            lambda reader: reader.readData(100),
            lambda reader: reader.readString(100),
            lambda reader: reader.readU16(),
        ):
            reader = bare.Reader(data)
            try:
                read(reader)
            except DecodeError:
                continue
            self.assertTrue(0 < reader.position <= len(data))
