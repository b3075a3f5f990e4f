"""
Tests for L{ockam_twisted.wire.authority}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cbor2
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError
from ockam_twisted.wire.authority import (
    MAX_ATTRIBUTES,
    AttributesEntry,
    TokenRequest,
    decodeCode,
    decodeMember,
    decodeMemberIds,
    decodeMembers,
    decodeTokenRequest,
    encodeCode,
    encodeMember,
    encodeMemberIds,
    encodeMembers,
    encodeTokenRequest,
)

A, B = bytes(32), b"\x01" * 32
ATTRIBUTES = ((b"app", b"web"), (b"role", "größer".encode()))

DECODERS: list[Callable[[bytes], Any]] = [decodeCode, decodeMember, decodeMemberIds, decodeMembers, decodeTokenRequest]


class BodyTests(SynchronousTestCase):
    """
    The bodies.
    """

    def test_tokenRequest(self) -> None:
        """
        It is what another CBOR implementation makes of the specification.
        """
        for request, value in {
            TokenRequest(ATTRIBUTES, 600, 2): {1: {"app": "web", "role": "größer"}, 2: 600, 3: 2},
            TokenRequest(()): {1: {}},
        }.items():
            self.assertEqual(encodeTokenRequest(request), cbor2.dumps(value))
            self.assertEqual(decodeTokenRequest(cbor2.dumps(value)), request)

    def test_code(self) -> None:
        """
        A code has 32 bytes, not one more or less.
        """
        self.assertEqual(encodeCode(B), cbor2.dumps({1: B}))
        self.assertEqual(decodeCode(encodeCode(B)), B)
        for bad in ({}, {1: B[:-1]}, {1: B + b"x"}, {1: "x" * 32}, {1: None}, []):
            self.assertRaises(DecodeError, decodeCode, cbor2.dumps(bad))

    def test_member(self) -> None:
        """
        Attributes may be missing, the identifier may not.
        """
        self.assertEqual(encodeMember(A, ATTRIBUTES), cbor2.dumps({1: A, 2: {"app": "web", "role": "größer"}}))
        self.assertEqual(decodeMember(encodeMember(A, ATTRIBUTES)), (A, ATTRIBUTES))
        self.assertEqual(decodeMember(cbor2.dumps({1: A})), (A, ()))
        self.assertRaises(DecodeError, decodeMember, cbor2.dumps({2: {}}))

    def test_entries(self) -> None:
        """
        Keys and values of entries are arrays of numbers; byte strings are
        taken, too.
        """
        entry = AttributesEntry(((b"a", b"bc"),), 7, 9, B)
        wire = bytes.fromhex("a15820") + A + bytes.fromhex("a401a1811861821862186302070309045820") + B
        self.assertEqual(encodeMembers({A: entry}), wire)
        self.assertEqual(decodeMembers(wire), {A: entry})
        plain = cbor2.dumps({A: {1: {b"a": b"bc"}, 2: 7}})
        self.assertEqual(decodeMembers(plain), {A: AttributesEntry(((b"a", b"bc"),), 7)})

    def test_memberIds(self) -> None:
        """
        A list of identifiers, in order.
        """
        self.assertEqual(encodeMemberIds([B, A]), cbor2.dumps([A, B]))
        self.assertEqual(decodeMemberIds(cbor2.dumps([A, B])), [A, B])

    def test_bounds(self) -> None:
        """
        Too many attributes, long keys, one twice, and bytes that follow are
        refused.
        """
        many = {f"{number}": "" for number in range(MAX_ATTRIBUTES + 1)}
        for body in (
            cbor2.dumps({1: many}),
            cbor2.dumps({1: {"k" * 256: ""}}),
            cbor2.dumps({1: {"k": "v" * 1025}}),
            bytes.fromhex("a101a2616160616160"),
            cbor2.dumps({1: {}}) + b"\x00",
        ):
            self.assertRaises(DecodeError, decodeTokenRequest, body)
        self.assertRaises(DecodeError, decodeMembers, b"\xa2" + 2 * (encodeMembers({A: AttributesEntry((), 1)})[1:]))
        self.assertRaises(DecodeError, decodeMemberIds, bytes.fromhex("9a7fffffff"))

    @given(st.binary(max_size=80))
    def test_garbage(self, data: bytes) -> None:
        """
        What is none of them raises our own error only.
        """
        for decode in DECODERS:
            try:
                decode(data)
            except DecodeError:
                pass
