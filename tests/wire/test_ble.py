"""
Tests for L{ockam_twisted.wire.ble}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError, EncodeError
from ockam_twisted.wire.ble import FRAGMENT, MAX_FRAGMENT, MAX_MESSAGE, SAY_EACH, WINDOW, Joining, Window, fragments

_looksLikeHeader = st.integers(0, MAX_MESSAGE).map(lambda number: number.to_bytes(8, "big"))
_messages = st.lists(st.binary(max_size=40) | _looksLikeHeader, max_size=20).map(b"".join).filter(bool)


class FragmentTests(SynchronousTestCase):
    """
    Tests for L{fragments} and L{Joining}.
    """

    def test_bytes(self) -> None:
        """
        The length, then eighteen bytes each.
        """
        message = bytes(range(1, 41))
        self.assertEqual(
            list(fragments(message)),
            [bytes.fromhex("0000000000000028"), message[:18], message[18:36], message[36:]],
        )

    def test_ambiguous(self) -> None:
        """
        A last fragment that would be taken for a length is sent in two.
        """
        last = (700).to_bytes(8, "big")
        self.assertEqual(list(fragments(b"x" * 18 + last))[1:], [b"x" * 18, last[:4], last[4:]])
        self.assertEqual(list(fragments(b"x" * 18 + b"01234567"))[1:], [b"x" * 18, b"01234567"])

    @given(_messages, st.integers(8, MAX_FRAGMENT))
    def test_round(self, message: bytes, size: int) -> None:
        """
        Whatever is in a message, it arrives as it is, once, in fragments that are not too long;
        also when another one was left unfinished.
        """
        joining = Joining()
        first, second, *_ = fragments(b"unfinished" * 10)
        joining.add(first)
        joining.add(second)
        sent = list(fragments(message, size))
        self.assertLessEqual(max(map(len, sent)), size)
        self.assertEqual([joining.add(each) for each in sent], [None] * (len(sent) - 1) + [message])

    def test_bounds(self) -> None:
        """
        A message has 1 to 1024 bytes.
        """
        self.assertRaises(EncodeError, list, fragments(b""))
        self.assertRaises(EncodeError, list, fragments(bytes(MAX_MESSAGE + 1)))
        joining = Joining()
        self.assertEqual([joining.add(each) for each in fragments(bytes(MAX_MESSAGE))][-1], bytes(MAX_MESSAGE))

    @given(st.lists(st.binary(max_size=30) | _looksLikeHeader, max_size=30))
    def test_garbage(self, data: list[bytes]) -> None:
        """
        What cannot be read is an error of ours, holds no more than a message,
        and does not keep the next one from being read.
        """
        joining = Joining()
        for fragment in data:
            try:
                self.assertLessEqual(len(joining.add(fragment) or b""), MAX_MESSAGE)
            except DecodeError:
                pass
            self.assertLessEqual(sum(map(len, joining._pieces)), MAX_MESSAGE)
        self.assertEqual([joining.add(each) for each in fragments(b"hello")], [None, b"hello"])

    def test_stray(self) -> None:
        """
        A fragment of no message, an empty one, and one that is too long are refused.
        """
        for stray in (b"stray", b"", b"toolong"):
            joining = Joining()
            if stray != b"stray":
                joining.add((6).to_bytes(8, "big"))
            self.assertRaises(DecodeError, joining.add, stray)


class WindowTests(SynchronousTestCase):
    """
    Tests for L{Window}.
    """

    def test_others(self) -> None:
        """
        With a peer that does not know of it everything is as specified.
        """
        window = Window()
        for _ in range(3 * WINDOW):
            self.assertTrue(window.isOpen)
            window.sent()
            self.assertIsNone(window.taken())
        self.assertEqual(window.fragment, FRAGMENT)

    def test_fragment(self) -> None:
        """
        Fragments are as long as both take, the connection carries and an attribute holds.
        """
        for said, mtu, fragment in (
            (512, 517, 512),
            (100, 517, 100),
            (512, 103, 100),
            (65535, 999, 512),
            (512, 23, 20),
        ):
            window = Window()
            window.heard(said.to_bytes(2, "big"), mtu)
            self.assertEqual(window.fragment, fragment)
        self.assertEqual(Window.hello(23), b"\x00\x14")
        self.assertEqual(Window.hello(517), b"\x02\x00")

    def test_window(self) -> None:
        """
        So many messages may be on the way; the peer says when it has taken some.
        """
        ours, theirs = Window(), Window()
        ours.heard(Window.hello(517), 517)
        theirs.heard(Window.hello(517), 517)
        sent = 0
        while ours.isOpen:
            ours.sent()
            sent += 1
        self.assertEqual(sent, WINDOW)
        said = [theirs.taken() for _ in range(SAY_EACH)]
        self.assertEqual(said[:-1], [None] * (SAY_EACH - 1))
        ours.heard(said[-1] or b"", 517)
        for _ in range(SAY_EACH):
            self.assertTrue(ours.isOpen)
            ours.sent()
        self.assertFalse(ours.isOpen)

    def test_lies(self) -> None:
        """
        Who says what cannot be is not believed.
        """
        for said in (b"", b"\x00", b"\x00\x07", b"\x00\x00\x00\x01", b"\x00" * 5):
            self.assertRaises(DecodeError, Window().heard, said, 517)
        window = Window()
        window.heard(Window.hello(517), 517)
        window.sent()
        for said in (b"\x00\x00\x00\x02", b"\xff\xff\xff\xff", b"\x02\x00"):
            self.assertRaises(DecodeError, window.heard, said, 517)
        window.heard(b"\x00\x00\x00\x01", 517)
        self.assertRaises(DecodeError, window.heard, b"\x00\x00\x00\x00", 517)
