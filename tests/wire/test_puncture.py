"""
Tests for L{ockam_twisted.wire.puncture}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError, EncodeError
from ockam_twisted.wire.puncture import (
    DECODERS,
    MAX_PLACES,
    MAX_WORKER,
    QUIC,
    Introduction,
    Question,
    decodeAnswer,
    decodeIntroduction,
    decodeQuestion,
    encodeAnswer,
    encodeIntroduction,
    encodeQuestion,
    placeText,
    readPlace,
)

#: Spec messaging, section 8: what a Rust node has sent.
_INITIATE = bytes.fromhex("826c312e322e332e343a353637388418611862 18311832".replace(" ", ""))


class PlaceTests(SynchronousTestCase):
    """
    Tests for L{placeText} and L{readPlace}.
    """

    def test_both(self) -> None:
        """
        What is written can be read, of both families.
        """
        for place in (("192.0.2.1", 1), ("2001:db8::1", 65535)):
            self.assertEqual(readPlace(placeText(place)), place)

    def test_others(self) -> None:
        """
        Names, and ports that there are not, are refused.
        """
        self.assertEqual(readPlace("[::ffff:192.0.2.1]:7"), ("192.0.2.1", 7))
        self.assertEqual(readPlace("[2001:DB8:0::1]:7"), ("2001:db8::1", 7))
        nobody = (
            "169.254.169.254:80",
            "[fe80::1]:5",
            "0.0.0.0:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "[::]:1",
            "[ff02::1]:1",
            "999.1.1.1:1",
            "[1::2::3]:1",
        )
        for text in (
            *nobody,
            "",
            "localhost:1",
            "192.0.2.1",
            "192.0.2.1:0",
            "192.0.2.1:65536",
            "2001:db8::1:4",
            "192.0.2.1:4 ",
        ):
            self.assertRaises(DecodeError, readPlace, text)


class RendezvousTests(SynchronousTestCase):
    """
    Tests for the questions, and the answers.
    """

    def test_bytes(self) -> None:
        """
        They look as the specification says.
        """
        self.assertEqual(encodeQuestion(Question.PING).hex(), "820080")
        self.assertEqual(encodeQuestion(Question.GET_MY_ADDRESS).hex(), "820180")
        self.assertEqual(encodeAnswer(None).hex(), "820080")
        self.assertEqual(encodeAnswer(("1.2.3.4", 5678)).hex(), "8201816c312e322e332e343a35363738")

    def test_both(self) -> None:
        """
        What is encoded can be decoded.
        """
        for question in Question:
            self.assertIs(decodeQuestion(encodeQuestion(question)), question)
        for place in (None, ("192.0.2.1", 4000), ("2001:db8::1", 4000)):
            self.assertEqual(decodeAnswer(encodeAnswer(place)), place)

    def test_others(self) -> None:
        """
        Others are refused.
        """
        for text in ("820280", "82008101", "8200", "82008000", "80"):
            self.assertRaises(DecodeError, decodeQuestion, bytes.fromhex(text))
        for text in ("820180", "8201816161", "82018101", "820280"):
            self.assertRaises(DecodeError, decodeAnswer, bytes.fromhex(text))


class IntroductionTests(SynchronousTestCase):
    """
    Tests for L{Introduction}.
    """

    def test_bytes(self) -> None:
        """
        It looks as the specification says.
        """
        introduction = Introduction(("1.2.3.4", 5678), b"ab12")
        self.assertEqual(encodeIntroduction(introduction), _INITIATE)
        self.assertEqual(decodeIntroduction(_INITIATE), introduction)

    def test_carries(self) -> None:
        """
        What it offers beyond that follows, and so may what later versions say.
        """
        introduction = Introduction(("192.0.2.1", 1), b"w", QUIC, (("10.0.0.1", 2), ("2001:db8::1", 3)))
        encoded = encodeIntroduction(introduction)
        self.assertEqual(decodeIntroduction(encoded), introduction)
        brief = encodeIntroduction(Introduction(("192.0.2.1", 1), b"w", QUIC))
        self.assertEqual(decodeIntroduction(bytes((brief[0] - 1,)) + brief[1:-1]).carries, QUIC)
        later = bytes((encoded[0] + 1,)) + encoded[1:] + b"\x81\x01"
        self.assertEqual(decodeIntroduction(later), decodeIntroduction(encoded))

    def test_tooLong(self) -> None:
        """
        A worker's address has its bounds, both ways.
        """
        long = Introduction(("192.0.2.1", 1), bytes(MAX_WORKER + 1))
        self.assertRaises(EncodeError, encodeIntroduction, long)
        self.assertRaises(DecodeError, decodeIntroduction, _INITIATE[:14] + b"\x98\x41" + b"\x18\x61" * 65)
        many = encodeIntroduction(Introduction(("192.0.2.1", 1), b"w", QUIC, (("10.0.0.1", 2),) * (MAX_PLACES + 1)))
        self.assertEqual(len(decodeIntroduction(many).others), MAX_PLACES)
        self.assertRaises(
            DecodeError, decodeIntroduction, _INITIATE.replace(b"\x82", b"\x84", 1) + b"\x01\x85" + bytes(5)
        )

    def test_others(self) -> None:
        """
        Others are refused.
        """
        line = encodeIntroduction(Introduction(("192.0.2.1", 1), b"hits:1|c"))
        for data in (
            line,
            _INITIATE + b"\0",
            b"\x81" + _INITIATE[1:14],
            _INITIATE[:-2] + b"\x19\x01\x00",
            b"\x82\x01\x80",
        ):
            self.assertRaises(DecodeError, decodeIntroduction, data)


class HostileTests(SynchronousTestCase):
    """
    Tests for all decoders.
    """

    @given(st.binary(max_size=80))
    def test_garbage(self, data: bytes) -> None:
        """
        Whatever comes, nothing is raised but errors of ours.
        """
        for decode in DECODERS:
            try:
                decode(data)
            except DecodeError:
                pass
