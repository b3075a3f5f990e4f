"""
Tests for L{ockam_twisted.wire.relay}.
"""

from __future__ import annotations

import bare as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError, EncodeError
from ockam_twisted.wire.relay import (
    COME,
    GONE,
    LEAVING,
    SENDING,
    Notice,
    decodeNotice,
    decodeRegistration,
    encodeNotice,
    encodeRegistration,
)

fuzz = settings(deadline=None, max_examples=200, derandomize=True, database=None)


class RegistrationTests(SynchronousTestCase):
    """
    Registrations and their replies.
    """

    def test_specification(self) -> None:
        """
        The examples of the specification.
        """
        for name, encoded in (
            ("alice", "05616c696365"),
            ("register", "087265676973746572"),
            ("forward_to_alice", "10666f72776172645f746f5f616c696365"),
        ):
            self.assertEqual(encodeRegistration(name), bytes.fromhex(encoded))
            self.assertEqual(decodeRegistration(bytes.fromhex(encoded)), (name, b""))

    def test_bounds(self) -> None:
        """
        A name has at most 1024 bytes, in both directions.
        """
        self.assertEqual(decodeRegistration(encodeRegistration("n" * 1024, b"x")), ("n" * 1024, b"x"))
        self.assertRaises(EncodeError, encodeRegistration, "n" * 1025)
        self.assertRaises(DecodeError, decodeRegistration, bytes(oracle.Str("n" * 1025).pack()))

    def test_refused(self) -> None:
        """
        No name, half a name, and bytes that are no text are refused.
        """
        for body in (b"", b"\x02a", b"\x80", b"\x02\xc3\x28", b"\xff" * 9 + b"\x01"):
            self.assertRaises(DecodeError, decodeRegistration, body)

    @fuzz
    @given(st.text(max_size=100), st.binary(max_size=50))
    def test_roundTrip(self, name: str, extension: bytes) -> None:
        """
        Name and extension come back, and the name agrees with pybare.
        """
        body = encodeRegistration(name, extension)
        self.assertEqual(body, bytes(oracle.Str(name).pack()) + extension)
        self.assertEqual(decodeRegistration(memoryview(body)), (name, extension))

    @fuzz
    @given(st.binary(max_size=40))
    def test_arbitrary(self, body: bytes) -> None:
        """
        Any bytes are a registration or our error.
        """
        try:
            name, extension = decodeRegistration(body)
        except DecodeError:
            return
        self.assertTrue(body.endswith(name.encode("utf-8") + extension))


class NoticeTests(SynchronousTestCase):
    """
    What a relay tells its neighbours.
    """

    def test_bytes(self) -> None:
        """
        As C{docs/relay-extension.rst} has them.
        """
        for notice, encoded in (
            (Notice(SENDING, b"forward_to_x"), "6f74773101" + "0c666f72776172645f746f5f78"),
            (Notice(LEAVING), "6f74773102" + "00"),
            (Notice(GONE, b"\x01\x02"), "6f74773103" + "020102"),
            (Notice(COME, b"x"), "6f74773104" + "0178"),
        ):
            self.assertEqual(encodeNotice(notice).hex(), encoded)
            self.assertEqual(decodeNotice(bytes.fromhex(encoded)), notice)
            self.assertEqual(decodeNotice(bytes.fromhex(encoded) + b"more"), notice)

    def test_none(self) -> None:
        """
        What is no notice, or of a later kind, is none; a damaged one is said
        to be.
        """
        for body in (b"", b"otw", b"otw1", b"otw1\x00\x00", b"otw1\x05\x00", b"otw2\x02\x00", b"\x05alice"):
            self.assertIsNone(decodeNotice(body))
        for body in (b"otw1\x02", b"otw1\x03\x05abc", b"otw1\x03\x80\x02" + bytes(256)):
            self.assertRaises(DecodeError, decodeNotice, body)

    @fuzz
    @given(st.binary(max_size=300))
    def test_fuzz(self, rest: bytes) -> None:
        """
        Whatever comes is a notice, none, or damaged.
        """
        for body in (rest, b"otw1" + rest):
            try:
                notice = decodeNotice(body)
            except DecodeError:
                continue
            if notice is not None:
                self.assertEqual(decodeNotice(encodeNotice(notice)), notice)
