"""
Tests for L{ockam_twisted.portals.tombstones}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.portals.tombstones import MAX_TOMBSTONES, PEER_TOMBSTONES, Tombstone, Tombstones
from ockam_twisted.wire.extension import Resumed


class TombstonesTests(SynchronousTestCase):
    """
    How streams have ended.
    """

    def setUp(self) -> None:
        self.forgotten: list[int] = []
        self.stones: Tombstones[int] = Tombstones(self.forgotten.append)

    def add(self, name: int, identifier: str = "Ione", now: float = 0.0) -> None:
        """
        A stream of somebody has ended.
        """
        self.stones.add(name, Tombstone(identifier, Resumed(name), now + 60), now)

    def test_find(self) -> None:
        """
        Whose it was is told, and nobody else.
        """
        self.add(1)
        self.assertEqual(self.stones.find(1, "Ione"), Resumed(1))
        self.assertIsNone(self.stones.find(1, "Itwo"))
        self.assertIsNone(self.stones.find(2, "Ione"))

    def test_again(self) -> None:
        """
        The last word on a stream counts.
        """
        self.add(1)
        self.stones.add(1, Tombstone("Ione", Resumed(7), 60), 0)
        self.assertEqual(self.stones.find(1, "Ione"), Resumed(7))
        self.assertEqual((len(self.stones.stones), self.forgotten), (1, []))

    def test_peer(self) -> None:
        """
        Who ends any number of streams does not make anybody forget how those
        of others have ended.
        """
        self.add(-1, "Itwo")
        for name in range(2 * PEER_TOMBSTONES):
            self.add(name)
        self.assertEqual(self.stones.find(-1, "Itwo"), Resumed(-1))
        self.assertEqual(len(self.stones.stones), 1 + PEER_TOMBSTONES)
        self.assertEqual(self.forgotten, list(range(PEER_TOMBSTONES)))

    def test_all(self) -> None:
        """
        Nor is there room for any number of peers.
        """
        for name in range(MAX_TOMBSTONES + 10):
            self.add(name, f"I{name}")
        self.assertEqual(len(self.stones.stones), MAX_TOMBSTONES)
        self.assertEqual(self.forgotten, list(range(10)))

    def test_time(self) -> None:
        """
        What is old is forgotten when something is added, and nothing is left
        of it.
        """
        self.add(1)
        self.add(2, "Itwo", 30)
        self.add(3, "Ithree", 60)
        self.assertEqual((list(self.stones.stones), self.forgotten), ([2, 3], [1]))
        self.assertEqual(list(self.stones._names), ["Itwo", "Ithree"])
