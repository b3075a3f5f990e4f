"""
Tests for L{ockam_twisted.transports.budget}.
"""

from __future__ import annotations

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.routing.source import Source
from ockam_twisted.routing.turn import Turn
from ockam_twisted.transports.budget import QueueBudget
from ockam_twisted.transports.queue import WriteQueue


class QueueBudgetTests(SynchronousTestCase):
    """
    Tests for L{QueueBudget}, alone and under two queues.
    """

    def setUp(self) -> None:
        """
        Two queues whose transports are full, and what feeds each.
        """
        self.turn = Turn()
        self.budget = QueueBudget(1000)
        self.queues, self.sources = [], []
        self.paused: set[int] = set()
        for number in range(2):
            queue = WriteQueue(StringTransport(), self.turn, 800, lambda queue: None, self.budget)
            queue.pauseProducing()
            self.queues.append(queue)
            self.sources.append(
                Source(
                    lambda number=number: self.paused.add(number),
                    lambda number=number: self.paused.discard(number),
                    None,
                    lambda: False,
                    lambda: None,
                )
            )

    def send(self, number: int, size: int) -> None:
        """
        A source feeds the queue of the same number.
        """
        self.turn.enter(self.sources[number])
        self.queues[number].write((bytes(size),), size)
        self.turn.leave()

    def test_highWater(self) -> None:
        """
        A queue may have what it could have alone, as long as so much is left.
        """
        self.assertEqual(self.budget.highWater(800), 800)
        self.budget.used = 300
        self.assertEqual(self.budget.highWater(800), 700)
        self.budget.used = 2000
        self.assertEqual(self.budget.highWater(800), 0)

    def test_shared(self) -> None:
        """
        What one queue holds is not left for the other, which pauses earlier,
        and resumes once there is room again.
        """
        self.send(0, 700)
        self.assertEqual(self.paused, {0})
        self.send(1, 100)
        self.assertEqual((self.paused, self.budget.used), ({0}, 800))
        self.send(1, 100)
        self.assertEqual((self.paused, self.budget.used), ({0, 1}, 900))
        self.queues[0].resumeProducing()
        self.assertEqual((self.paused, self.budget.used), ({1}, 200))
        self.queues[1].resumeProducing()
        self.assertEqual((self.paused, self.budget.used), (set(), 0))

    def test_nothingQueued(self) -> None:
        """
        When all is used up, a queue that drains still lets its source go.
        """
        self.budget.used = 5000
        self.send(1, 10)
        self.assertEqual(self.paused, {1})
        self.queues[1].resumeProducing()
        self.assertEqual((self.paused, self.budget.used), (set(), 5000))

    def test_lost(self) -> None:
        """
        A lost connection gives back what waited for it, once.
        """
        self.send(0, 900)
        self.queues[0].connectionLost()
        self.queues[0].connectionLost()
        self.assertEqual((self.paused, self.budget.used), (set(), 0))

    def test_losing(self) -> None:
        """
        Who feeds a queue that only drains is never held back by it.
        """
        self.send(0, 900)
        self.queues[0].loseConnection()
        self.send(0, 900)
        self.assertEqual((self.paused, self.budget.used), (set(), 900))
        self.queues[0].resumeProducing()
        self.assertEqual(self.budget.used, 0)
