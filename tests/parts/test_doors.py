"""
Tests of L{ockam_twisted.parts.doors}, on a reactor in memory.
"""

from __future__ import annotations

from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import StateUnusable
from ockam_twisted.parts.doors import Door
from tests.memory_reactor import MemoryReactor


class DoorTests(SynchronousTestCase):
    """
    One door, and who takes its connections.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.door = Door(self.reactor, "tcp:4000")

    def open(self) -> None:
        """
        Open it.
        """
        self.successResultOf(self.door.open())

    def taker(self) -> list[Protocol]:
        """
        Somebody takes the connections.

        @return: They.
        """
        taken: list[Protocol] = []

        class Taking(Factory):
            def buildProtocol(self, addr: object) -> Protocol:
                taken.append(Protocol())
                return taken[-1]

        self.port = self.successResultOf(self.door.listen(Taking()))
        return taken

    def test_nobody(self) -> None:
        """
        It is bound, and accepts nobody before somebody listens.
        """
        self.open()
        self.assertTrue(self.door.isOpen)
        self.assertIn("127.0.0.1:4000", self.reactor.network.ports)
        self.assertIsNone(self.door.buildProtocol(None))

    def test_handedOver(self) -> None:
        """
        Whoever listened last has the connections, and only they can close it.
        """
        self.open()
        first = self.taker()
        old = self.port
        second = self.taker()
        self.door.buildProtocol(None)
        self.assertEqual((len(first), len(second)), (0, 1))
        self.successResultOf(old.stopListening())
        self.assertTrue(self.door.isOpen)
        self.assertEqual(self.port.getHost().port, 4000)
        self.successResultOf(self.port.stopListening())
        self.assertEqual(self.reactor.network.ports, {})
        self.assertFalse(self.door.isOpen)

    def test_again(self) -> None:
        """
        A port that was given up for a moment has the same taker again.
        """
        self.open()
        taken = self.taker()
        self.successResultOf(self.door.unbind())
        self.assertEqual(self.reactor.network.ports, {})
        self.open()
        self.door.buildProtocol(None)
        self.assertEqual(len(taken), 1)

    def test_taken(self) -> None:
        """
        A port that somebody else has is named.
        """
        self.reactor.taken.add(4000)
        error = self.failureResultOf(self.door.open(), StateUnusable).value
        self.assertEqual(str(error), "cannot listen on tcp:4000: Address already in use")
        self.successResultOf(self.door.close())
