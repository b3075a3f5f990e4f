"""
Tests for L{ockam_twisted.transports.parts}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError
from ockam_twisted.transports.parts import PARTS, Assembly, split
from ockam_twisted.wire.codecs import BARE, CBOR


class PartsTests(SynchronousTestCase):
    """
    Tests for L{split} and L{Assembly}.
    """

    @given(st.lists(st.binary(min_size=1, max_size=3000), max_size=4), st.integers(64, 1024), st.booleans())
    def test_whole(self, messages: list[bytes], size: int, isBare: bool) -> None:
        """
        What was split is put together, and no part is longer than it may be.
        """
        codec = BARE if isBare else CBOR
        assembly = Assembly(4096)
        found = []
        for message in messages:
            for part in split(codec, message, size):
                self.assertLessEqual(len(part), size)
                onward, back, payload = codec.decode(part)
                self.assertEqual((onward, back), (PARTS, ()))
                whole = assembly.add(bytes(payload))
                if whole is not None:
                    found.append(whole)
        self.assertEqual(found, messages)

    def test_bounds(self) -> None:
        """
        What grows too long is forgotten, and so is what is no part; then it
        goes on.
        """
        assembly = Assembly(100)
        self.assertIsNone(assembly.add(b"\x00" + b"x" * 90))
        self.assertRaises(DecodeError, assembly.add, b"\x00" + b"x" * 90)
        for payload in (b"", b"\x00", b"\x01", b"\x02xx"):
            self.assertRaises(DecodeError, assembly.add, payload)
        self.assertEqual(assembly.add(b"\x01whole"), b"whole")
