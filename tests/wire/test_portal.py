"""
Tests for L{ockam_twisted.wire.portal}.
"""

from __future__ import annotations

import bare as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError, EncodeError
from ockam_twisted.wire.portal import DISCONNECT, PING, PONG, encodePortalPayload, portalPayloadHead, readPortal

fuzz = settings(deadline=None, max_examples=200, derandomize=True, database=None)


class PortalMessageTests(SynchronousTestCase):
    """
    Portal messages.
    """

    def test_specification(self) -> None:
        """
        The examples of the specification.
        """
        self.assertEqual((PING, PONG, DISCONNECT), (b"\x00", b"\x01", b"\x02"))
        self.assertEqual(encodePortalPayload(b"hello"), bytes.fromhex("030568656c6c6f"))
        self.assertEqual(encodePortalPayload(b"\x05\x05", 0xAABB), bytes.fromhex("0302050501bbaa"))
        self.assertEqual(portalPayloadHead(200), bytes.fromhex("03c801"))
        self.assertEqual(portalPayloadHead(49152), bytes.fromhex("03808003"))
        self.assertEqual(readPortal(bytes.fromhex("03020505")), (3, 2, 4, None))
        self.assertEqual(readPortal(bytes.fromhex("0302050500")), (3, 2, 4, None))
        self.assertEqual(readPortal(bytes.fromhex("0302050501bbaa")), (3, 2, 4, 0xAABB))
        self.assertEqual(readPortal(bytes.fromhex("0300")), (3, 2, 2, None))

    def test_otherKinds(self) -> None:
        """
        Whatever follows the first byte of other messages, extensions among
        them, is theirs.
        """
        for kind in (0, 1, 2, 4, 10, 15):
            self.assertEqual(readPortal(bytes((kind,))), (kind, 1, 1, None))
            self.assertEqual(readPortal(memoryview(bytes((kind,)) + b"more")), (kind, 1, 5, None))

    def test_refused(self) -> None:
        """
        Empty, unknown and truncated messages are refused.
        """
        for encoded in (
            "",
            "10",
            "ff",
            "03",
            "0301",
            "0380",
            "038001",
            "03808001",
            "03" + "ff" * 9 + "02",
            "03" + "ff" * 9 + "01",
        ):
            self.assertRaises(DecodeError, readPortal, bytes.fromhex(encoded))

    def test_otherTails(self) -> None:
        """
        What follows the data and is no counter is ignored.
        """
        for tail in ("01", "01ff", "020000", "00ffff", "ff" * 20):
            self.assertEqual(readPortal(bytes.fromhex("030161" + tail)), (3, 2, 3, None))

    def test_overLongLength(self) -> None:
        """
        A length longer than it has to be is accepted.
        """
        for length, start in (("8200", 3), ("828000", 4), ("82808000", 5)):
            self.assertEqual(readPortal(bytes.fromhex("03" + length + "6162")), (3, start, start + 2, None))

    def test_counterBounds(self) -> None:
        """
        A counter has 16 bits.
        """
        self.assertEqual(readPortal(encodePortalPayload(b"", 0xFFFF))[3], 0xFFFF)
        self.assertRaises(EncodeError, encodePortalPayload, b"", 0x10000)
        self.assertRaises(EncodeError, encodePortalPayload, b"", -1)

    def test_sizes(self) -> None:
        """
        Data of every size class comes back, and agrees with pybare.
        """
        for size in (0, 1, 127, 128, 16383, 16384, 131072, 2**21 - 1, 2**21, 2**24):
            head = portalPayloadHead(size)
            self.assertEqual(head, b"\x03" + oracle.UInt(size).pack())
            message = head + bytes(size)
            self.assertEqual(readPortal(message), (3, len(head), len(message), None))
            if size:
                self.assertRaises(DecodeError, readPortal, message[:-1])

    @fuzz
    @given(st.binary(max_size=300), st.one_of(st.none(), st.integers(0, 0xFFFF)))
    def test_roundTrip(self, data: bytes, counter: int | None) -> None:
        """
        Data and counter come back.
        """
        message = encodePortalPayload(data, counter)
        kind, start, stop, found = readPortal(message)
        self.assertEqual((kind, message[start:stop], found), (3, data, counter))

    @fuzz
    @given(st.binary(max_size=40))
    def test_arbitrary(self, data: bytes) -> None:
        """
        Any bytes are a message within its bounds, or our error.
        """
        for message in (data, b"\x03" + data):
            try:
                _, start, stop, _ = readPortal(message)
            except DecodeError:
                continue
            self.assertTrue(1 <= start <= stop <= len(message))
