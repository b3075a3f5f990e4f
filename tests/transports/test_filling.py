"""
Tests for L{ockam_twisted.transports.filling}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.transports.filling import Filling


class Producer:
    """
    Notes what it is told.
    """

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")


class FillingTests(SynchronousTestCase):
    """
    Tests for L{Filling}.
    """

    def test_changes(self) -> None:
        """
        A producer is told of changes, once each.
        """
        filling, producer = Filling(), Producer()
        filling.registerProducer(producer, True)
        for isFull in (False, True, True, False, False, True):
            filling.filled(isFull)
        self.assertEqual(producer.told, ["pause", "resume", "pause"])

    def test_late(self) -> None:
        """
        One that comes while there is too much is told at once.
        """
        filling, producer = Filling(), Producer()
        filling.filled(True)
        filling.registerProducer(producer, True)
        self.assertEqual(producer.told, ["pause"])

    def test_gone(self) -> None:
        """
        One that is gone is told nothing.
        """
        filling, producer = Filling(), Producer()
        filling.registerProducer(producer, True)
        filling.unregisterProducer()
        filling.filled(True)
        self.assertEqual(producer.told, [])
