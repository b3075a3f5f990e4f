"""
Tests for L{ockam_twisted.wire.datagrams}.
"""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError, EncodeError
from ockam_twisted.wire.datagrams import MAX_PARTS, MAX_UNFINISHED, PART, PATIENCE, Reassembly, readPart, split


class SplitTests(SynchronousTestCase):
    """
    Tests for L{split} and L{readPart}.
    """

    def test_seen(self) -> None:
        """
        Datagrams look as those that were seen of a Rust node.
        """
        [one] = split(0xB9CE, b"\x84" + b"x" * 27)
        self.assertEqual(one[:10].hex(), "850119b9ce0001581c84")
        first, second = split(0xB9CE, b"\x84" + b"x" * (PART + 0x1AC - 1))
        self.assertEqual(first[5:10].hex(), "00025901ed")
        self.assertEqual(second[5:10].hex(), "01025901ac")

    @given(st.integers(0, 100_000), st.binary(max_size=5000))
    def test_size(self, number: int, message: bytes) -> None:
        """
        No datagram is too long, and together they have all.
        """
        found = []
        for index, datagram in enumerate(split(number, message)):
            self.assertLessEqual(len(datagram), 508)
            at, its, total, part = readPart(datagram)
            self.assertEqual((at, its), (number & 0xFFFF, index))
            self.assertLess(index, total)
            found.append(part)
        self.assertEqual(b"".join(found), message)

    def test_tooLong(self) -> None:
        """
        A message of too many parts is refused.
        """
        self.assertRaises(EncodeError, next, split(1, bytes(PART * MAX_PARTS + 1)))

    @given(st.binary(max_size=60))
    def test_garbage(self, data: bytes) -> None:
        """
        What cannot be read is an error of ours.
        """
        try:
            readPart(data)
        except DecodeError:
            pass

    def test_impossible(self) -> None:
        """
        A part beyond the last one is none.
        """
        for text in ("850119b9ce0101", "850119b9ce0000"):
            self.assertRaises(DecodeError, readPart, bytes.fromhex(text) + b"\x41x")


class ReassemblyTests(SynchronousTestCase):
    """
    Tests for L{Reassembly}.
    """

    @given(st.lists(st.binary(max_size=2500), max_size=6), st.randoms(use_true_random=False))
    def test_anyOrder(self, messages: list[bytes], chance: random.Random) -> None:
        """
        In whatever order parts come, and however often, each message is
        there once.
        """
        reassembly = Reassembly(10_000)
        parts = [part for number, message in enumerate(messages) for part in split(number, message)]
        parts += chance.sample(parts, len(parts) // 2)
        chance.shuffle(parts)
        found = [message for part in parts if (message := reassembly.add(part, 0.0)) is not None]
        self.assertEqual(sorted(found), sorted(messages))
        self.assertEqual((reassembly._size, len(reassembly._unfinished)), (0, 0))

    @given(st.integers(0, 9))
    def test_lost(self, missing: int) -> None:
        """
        A message of which a part is missing does not come, and after a while
        is given up; the next one comes.
        """
        reassembly = Reassembly(10_000)
        for index, part in enumerate(split(1, bytes(PART * 10))):
            if index != missing:
                self.assertIsNone(reassembly.add(part, 0.0))
        for part in split(2, bytes(PART + 1)):
            found = reassembly.add(part, PATIENCE + 1)
        self.assertEqual(found, bytes(PART + 1))
        self.assertEqual((reassembly.lost, reassembly._size), (1, 0))

    def test_late(self) -> None:
        """
        A number that comes again after that is of another message.
        """
        reassembly = Reassembly(10_000)
        old, new = list(split(1, b"a" * 600)), list(split(1, b"b" * 600))
        self.assertIsNone(reassembly.add(old[0], 0.0))
        self.assertIsNone(reassembly.add(new[1], PATIENCE + 1))
        self.assertEqual(reassembly.add(new[0], PATIENCE + 1), b"b" * 600)

    def test_bounds(self) -> None:
        """
        What is kept is bounded, in messages and in bytes, whatever comes.
        """
        reassembly = Reassembly(4000)
        for number in range(1000):
            reassembly.add(next(split(number, bytes(4000))), 0.0)
            self.assertLessEqual(len(reassembly._unfinished), MAX_UNFINISHED)
            self.assertLessEqual(reassembly._size, 8000)
        self.assertRaises(DecodeError, reassembly.add, next(split(5000, bytes(6000))), 0.0)

    def test_otherTotal(self) -> None:
        """
        A part that says another number of parts is none.
        """
        reassembly = Reassembly(4000)
        first, second = split(1, bytes(600))
        reassembly.add(first, 0.0)
        other = list(split(1, bytes(1200)))
        self.assertIsNone(reassembly.add(other[1], 0.0))
        self.assertEqual(reassembly.add(second, 0.0), bytes(600))
