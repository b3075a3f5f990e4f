"""
Tests for L{ockam_twisted.routing.inbound}.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.interfaces import IFlow
from ockam_twisted.routing.inbound import MAX_FLOWS, MAX_LENGTHS, MAX_PREFIXES, InboundFlows


class InboundFlowsTests(SynchronousTestCase):
    """
    Tests for L{InboundFlows}.
    """

    def setUp(self) -> None:
        """
        An empty table.
        """
        self.table = InboundFlows()

    def add(self, prefix: bytes) -> Any:
        """
        @return: What messages that begin so are sent to.
        """
        flow: Any = object()
        self.table.add(prefix, cast(IFlow, flow))
        return flow

    def test_find(self) -> None:
        """
        A message is known by how it begins, wherever it is; of others nothing is known.
        """
        self.assertIsNone(self.table.find(b"one", 0))
        one, longer = self.add(b"one"), self.add(b"another")
        for buffer, start, expected in (
            (b"one", 0, (b"one", 3, one)),
            (b"xyonexy", 2, (b"one", 3, one)),
            (b"xanother.", 1, (b"another", 7, longer)),
        ):
            self.assertEqual(self.table.find(buffer, start), expected)
        for buffer, start in ((b"xone", 0), (b"on", 0), (b"", 0), (b"anothe", 0)):
            self.assertIsNone(self.table.find(buffer, start))

    def test_again(self) -> None:
        """
        The last word about a beginning counts.
        """
        self.add(b"one")
        other = self.add(b"one")
        found = self.table.find(b"one", 0)
        assert found is not None
        self.assertIs(found.flow, other)
        self.assertEqual(len(self.table), 1)

    def test_clear(self) -> None:
        """
        Everything can be forgotten.
        """
        self.add(b"one")
        self.table.clear()
        self.assertIsNone(self.table.find(b"one", 0))
        self.assertEqual(len(self.table), 0)

    def test_bounds(self) -> None:
        """
        It holds so many, and so many bytes of them, and what is added last is always found.
        """
        for number in range(2 * MAX_FLOWS):
            self.add(prefix := b"%06d" % number)
            self.assertIsNotNone(self.table.find(prefix, 0))
            self.assertLessEqual(len(self.table), MAX_FLOWS)
        for number in range(300):
            self.add(b"%06d" % number + bytes(8000))
            self.assertLessEqual(len(self.table) * 8000, MAX_PREFIXES + MAX_FLOWS * 6)
        self.assertLess(len(self.table), 66)

    def test_lengths(self) -> None:
        """
        So many lengths are looked for; the others are forgotten, whichever they are.
        """
        for size in range(1, 60):
            self.add(b"x" * size + b".")
        known = [size for size in range(1, 60) if self.table.find(b"x" * size + bytes(100), 0)]
        self.assertEqual(known, [])
        known = [size for size in range(1, 60) if self.table.find(b"x" * size + b"." + bytes(100), 0)]
        self.assertLessEqual(len(known), MAX_LENGTHS)
        self.assertIn(59, known)
