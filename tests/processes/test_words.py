"""
Tests of L{ockam_twisted.processes.words}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError
from ockam_twisted.processes.words import TOLD, Told, Word, packet, route, told, unpack
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.wire import cbor


class WordsTests(SynchronousTestCase):
    """
    Both ways.
    """

    def test_packet(self) -> None:
        """
        What is packed is what is unpacked; a route is a route again.
        """
        way = Route.of("one", "1#two")
        word, number, text, values = unpack(packet(Word.NAME, 7, "who", way))
        self.assertEqual((Word(word), number, text, route(values)), (Word.NAME, 7, "who", way))

    def test_nonsense(self) -> None:
        """
        What is no packet is refused.
        """
        self.assertRaises(DecodeError, unpack, b"\xff")

    def test_told(self) -> None:
        """
        A frame about an address says so with its first byte.
        """
        frame = told(Told.PROGRESS, Address.local("it"), 5)
        self.assertEqual(frame[0], TOLD)
        self.assertEqual(cbor.decode(frame[1:]), [int(Told.PROGRESS), [0, b"it"], 5])
