"""
Tests of L{ockam_twisted.processes.numbers}.
"""

from __future__ import annotations

from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.processes.numbers import FlowNumbers, NumberedFlows
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.inbound import MAX_WEIGHT

HERE, THERE = Address.local("here"), Address.local("there")


class FlowNumbersTests(SynchronousTestCase):
    """
    The side that sends.
    """

    def test_numbers(self) -> None:
        """
        A flow keeps its number; which flow it is, its routes say and whether
        it is asked.
        """
        numbers = FlowNumbers(count(1).__next__)
        key = (False, Route((THERE,)), Route((HERE,)))
        self.assertIsNone(numbers.find(key))
        self.assertEqual(numbers.add(key), 1)
        self.assertEqual(numbers.find(key), 1)
        self.assertIsNone(numbers.find((True, *key[1:])))
        self.assertEqual(numbers.add((True, *key[1:])), 2)

    def test_full(self) -> None:
        """
        When there are too many all of them are taken back.
        """
        numbers = FlowNumbers(count(1).__next__, 3)
        keys = [(False, Route((Address.local(str(number)),)), Route((HERE,))) for number in range(4)]
        for key in keys[:3]:
            self.assertFalse(numbers.makeRoom(1))
            numbers.add(key)
        self.assertEqual((numbers.epoch, len(numbers)), (0, 3))
        self.assertTrue(numbers.makeRoom(1))
        self.assertEqual((numbers.epoch, len(numbers)), (1, 0))
        self.assertEqual(numbers.add(keys[0]), 4)

    def test_heavy(self) -> None:
        """
        So they are when their routes weigh too much, however few they are.
        """
        numbers = FlowNumbers(count(1).__next__)
        for turn in range(3):
            for number in range(4):
                self.assertEqual(numbers.makeRoom(MAX_WEIGHT // 4), number == 0 and turn > 0)
                numbers.add((False, Route((Address.local(str(number)),)), Route((HERE,))))
            self.assertEqual((numbers.epoch, len(numbers)), (turn, 4))


class NumberedFlowsTests(SynchronousTestCase):
    """
    The side that receives.
    """

    def test_forget(self) -> None:
        """
        What one origin had is forgotten, and nothing else.
        """
        flows: NumberedFlows[str] = NumberedFlows()
        flows.add(HERE, 1, "one")
        flows.add(THERE, 2, "two")
        flows.add(HERE, 3, "three")
        flows.forget(HERE)
        flows.forget(HERE)
        self.assertEqual(flows.known, {2: "two"})

    def test_bounded(self) -> None:
        """
        An origin has no more than the other side can know of.
        """
        flows: NumberedFlows[int] = NumberedFlows(3)
        for number in range(10):
            flows.add(HERE, number, number)
            self.assertLessEqual(len(flows.known), 3)
        self.assertIn(9, flows.known)
