"""
Tests for L{ockam_twisted.wire.terms}.
"""

from __future__ import annotations

import cbor2
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError
from ockam_twisted.wire.extension import MAX_OFFSET
from ockam_twisted.wire.portal import PING, PONG, readPortal
from ockam_twisted.wire.terms import MAX_EARLY, Early, Terms, decodeTerms, encodeTerms

ID = bytes(range(16))

OFFSETS = st.integers(0, MAX_OFFSET)
NUMBERS = st.integers(0, 2**64 - 1)
SAID = st.binary(min_size=1, max_size=300) | st.just(bytes(MAX_EARLY))
EARLY = st.one_of(
    st.builds(Early, NUMBERS, SAID),
    st.builds(Early, NUMBERS, SAID, st.integers(2, 2**64 - 1), st.just(ID[::-1])),
)


class TermsTests(SynchronousTestCase):
    """
    Offers and acceptances.
    """

    def test_bytes(self) -> None:
        """
        They are what the page says, in the eyes of another CBOR
        implementation, and still a Ping and a Pong to everybody else.
        """
        offer = encodeTerms(PING, Terms(31, 262144, ID))
        self.assertEqual(offer, b"\x00otw1" + cbor2.dumps({0: 31, 1: 262144, 3: ID}))
        accept = encodeTerms(PONG, Terms(15, 262144, ID, ID[::-1]))
        self.assertEqual(accept, b"\x01otw1" + cbor2.dumps({0: 15, 1: 262144, 2: ID[::-1], 3: ID}))
        self.assertEqual((readPortal(offer)[0], readPortal(accept)[0]), (0, 1))
        self.assertEqual(decodeTerms(offer), Terms(31, 262144, ID))
        self.assertEqual(decodeTerms(accept), Terms(15, 262144, ID, ID[::-1]))

    def test_nothing(self) -> None:
        """
        A plain Ping, and whatever somebody else puts there, offers nothing.
        """
        for message in (PING, PONG, PING + b"otw2\xa0", PING + b"x" * 50):
            self.assertIsNone(decodeTerms(message))

    def test_later(self) -> None:
        """
        Fields and features of later versions do no harm; what is missing or
        out of bounds does.
        """
        later = b"\x00otw1" + cbor2.dumps({0: 2**20, 1: 5, 3: ID, 9: ["new"]})
        self.assertEqual(decodeTerms(later), Terms(2**20, 5, ID))
        for fields in ({0: 1, 1: 5}, {0: 1, 1: 2**63, 3: ID}, {0: 1, 1: 5, 3: ID[:-1]}, {0: -1, 1: 5, 3: ID}):
            self.assertRaises(DecodeError, decodeTerms, b"\x00otw1" + cbor2.dumps(fields))
        self.assertRaises(DecodeError, decodeTerms, later + b"\x00")

    @given(st.integers(0, 2**64 - 1), OFFSETS, st.none() | st.just(ID[::-1]), st.permutations(range(4)))
    def test_order(self, features: int, limit: int, stream: bytes | None, order: list[int]) -> None:
        """
        What is in the order we send it in is read in another way than what is
        not, and says the same.
        """
        terms = Terms(features, limit, ID, stream)
        fields = {0: features, 1: limit, 2: stream, 3: ID}
        sent = encodeTerms(PONG, terms)
        other = b"\x01otw1" + cbor2.dumps({key: fields[key] for key in order if fields[key] is not None})
        self.assertEqual(decodeTerms(sent), terms)
        self.assertEqual(decodeTerms(other), terms)
        for at in range(6, len(sent)):
            self.assertRaises(DecodeError, decodeTerms, sent[:at])
        self.assertRaises(DecodeError, decodeTerms, sent + b"\x00")


class EarlyTests(SynchronousTestCase):
    """
    What the client has said already.
    """

    def test_bytes(self) -> None:
        """
        It is what the page says, and nothing to who does not know it.
        """
        first = encodeTerms(PING, Terms(47, 262144, ID, early=Early(7, b"GET")))
        self.assertEqual(first, b"\x00otw1" + cbor2.dumps({0: 47, 1: 262144, 3: ID, 5: [7, 1, None, b"GET"]}))
        again = encodeTerms(PING, Terms(47, 262144, ID, early=Early(7, b"GET", 2, ID[::-1])))
        self.assertEqual(again, b"\x00otw1" + cbor2.dumps({0: 47, 1: 262144, 3: ID, 5: [7, 2, ID[::-1], b"GET"]}))
        self.assertEqual(readPortal(first)[0], 0)

    @given(OFFSETS, st.none() | st.just(bytes(12)), EARLY, st.permutations((0, 1, 3, 4, 5)))
    def test_order(self, limit: int, client: bytes | None, early: Early, order: list[int]) -> None:
        """
        However it is read, and in whatever order its fields are, it says the
        same; cut anywhere it says nothing.
        """
        terms = Terms(47, limit, ID, None, client, early)
        fields = {
            0: 47,
            1: limit,
            3: ID,
            4: client,
            5: [early.number, early.attempt, early.outlet, early.data],
        }
        sent = encodeTerms(PING, terms)
        other = b"\x00otw1" + cbor2.dumps({key: fields[key] for key in order if fields[key] is not None})
        self.assertEqual(decodeTerms(sent), terms)
        self.assertEqual(decodeTerms(other), terms)
        for at in (*range(6, min(len(sent), 120)), len(sent) - 1):
            self.assertRaises(DecodeError, decodeTerms, sent[:at])
        self.assertRaises(DecodeError, decodeTerms, sent + b"\x00")

    def test_bounds(self) -> None:
        """
        Nothing, too much, an attempt 0, a later attempt that means nobody, and
        a first one that means somebody, are refused.
        """
        for early in (
            [1, 1, None, b""],
            [1, 1, None, bytes(MAX_EARLY + 1)],
            [1, 0, None, b"x"],
            [1, 2, None, b"x"],
            [1, 1, ID, b"x"],
            [1, 2, ID[:-1], b"x"],
            [-1, 1, None, b"x"],
            [2**64, 1, None, b"x"],
            [1, 1, None],
            [1, 1, None, "x"],
            [1, 1, None, b"x", 0],
        ):
            self.assertRaises(DecodeError, decodeTerms, b"\x00otw1" + cbor2.dumps({0: 47, 1: 5, 3: ID, 5: early}))

    def test_shortest(self) -> None:
        """
        Numbers and sizes in a longer form than needed are refused.
        """
        sent = encodeTerms(PING, Terms(47, 5, ID, early=Early(7, b"GET")))
        at = sent.index(b"\x05\x84")
        for longer in (b"\x05\x84\x18\x07\x01\xf6\x43GET", b"\x05\x84\x07\x01\xf6\x58\x03GET"):
            self.assertRaises(DecodeError, decodeTerms, sent[:at] + longer)

    @given(st.binary(max_size=60))
    def test_garbage(self, data: bytes) -> None:
        """
        What is none raises our own error only.
        """
        whole = encodeTerms(PING, Terms(47, 5, ID, early=Early(7, b"GET")))
        for message in (b"\x00otw1" + data, whole[: whole.index(b"\x05\x84")] + data):
            try:
                decodeTerms(message)
            except DecodeError:
                pass
