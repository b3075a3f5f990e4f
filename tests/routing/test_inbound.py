"""
Tests for L{ockam_twisted.routing.inbound}.
"""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any, cast
from weakref import ref

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.interfaces import IFlow
from ockam_twisted.routing.addresses import EMPTY, Address, Route
from ockam_twisted.routing.inbound import (
    FLOW_WEIGHT,
    MAX_FLOWS,
    MAX_LENGTHS,
    MAX_WEIGHT,
    InboundBudget,
    InboundFlows,
    weigh,
)
from ockam_twisted.routing.router import Router
from ockam_twisted.testing import Inbox
from ockam_twisted.wire.messages import transportPrefix

HERE = Address.local("here")


class _Flow:
    """
    A flow that can be closed.
    """

    isClosed = False

    def __init__(self, onward: Route, back: Route) -> None:
        self.onward_route = onward
        self.return_route = back

    def close(self) -> None:
        """
        See C{IFlow.close}.
        """
        self.isClosed = True


class InboundFlowsTests(SynchronousTestCase):
    """
    Tests for L{InboundFlows}.
    """

    def setUp(self) -> None:
        """
        An empty table.
        """
        self.table = InboundFlows(InboundBudget())

    def add(self, prefix: bytes, onward: Route = EMPTY, back: Route = EMPTY) -> Any:
        """
        @return: What messages that begin so are sent to.
        """
        flow: Any = _Flow(onward, back)
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
            self.assertLessEqual(len(self.table) * 8000, MAX_WEIGHT)
        self.assertGreater(len(self.table), 30)

    def test_memory(self) -> None:
        """
        What it holds is bounded, not only what its routes are on the wire: who sends
        many addresses of a byte or none gets no more than who sends long ones.
        """
        router = Router()
        for size, most in ((0, 3), (4, 4), (255, 5)):
            table = InboundFlows(InboundBudget())
            gc.collect()
            tracemalloc.start()
            self.addCleanup(tracemalloc.stop)
            before = tracemalloc.get_traced_memory()[0]
            largest = 0
            for number in range(1200):
                back = [(0, b"own"), (0, number.to_bytes(2, "big")), *((0, bytes((hop,)) * size) for hop in range(30))]
                onward = back[2:]
                prefix = transportPrefix(onward, back[1:])
                flow = router.open(Route.fromWire(onward), Route.fromWire(back), HERE)
                table.add(prefix, flow)
                del flow, prefix, onward, back
                if number % 20 == 0:
                    largest = max(largest, tracemalloc.get_traced_memory()[0] - before)
            tracemalloc.stop()
            self.assertLess(largest, most * 1024 * 1024, size)

    def test_honest(self) -> None:
        """
        As many flows as there may be fit, with the routes that they have over a relay.
        """
        names = [Address.local("forward_to_" + "n" * 20), Address.random(), Address.random(), Address.random()]
        for number in range(MAX_FLOWS):
            onward = Route(names[: number % 3 + 1])
            back = Route((Address.local("own"), Address.local(f"{number:032}")))
            self.add(transportPrefix(onward, back[1:]), onward, back)
        self.assertEqual(len(self.table), MAX_FLOWS)

    def test_weigh(self) -> None:
        """
        Each address of both routes weighs, whatever its size is.
        """
        one, two = Route.of("a"), Route.of("a", "b")
        self.assertEqual(weigh(b"", EMPTY, EMPTY), 0)
        self.assertEqual(weigh(b"xyz", EMPTY, EMPTY), 3)
        self.assertEqual(weigh(b"", one, EMPTY), weigh(b"", EMPTY, one))
        self.assertEqual(weigh(b"", one, two), 3 * weigh(b"", one, EMPTY))
        self.assertGreater(weigh(b"", one, EMPTY), 50)

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

    def test_closed(self) -> None:
        """
        What there is no room for any more is closed; what is added is not.
        """
        first = [self.add(b"%06d" % number) for number in range(MAX_FLOWS)]
        self.assertFalse(any(flow.isClosed for flow in first))
        last = self.add(b"one more")
        self.assertTrue(all(flow.isClosed for flow in first))
        self.assertFalse(last.isClosed)

    def test_freed(self) -> None:
        """
        So it is not left to the garbage collector: who comes with another
        address each time would have it pile up until that looks.
        """
        router = Router()
        inbox = Inbox(router, Address.local("inbox"))
        route = Route((inbox.address,))
        flow = router.open(route, route, inbox.address)
        flow.send((b"x",), 1)
        self.assertEqual(inbox.payloads, [b"x"])
        self.table.add(b"first", flow)
        there = ref(flow)
        del flow
        gc.disable()
        self.addCleanup(gc.enable)
        for number in range(MAX_FLOWS):
            self.assertIsNotNone(there())
            self.add(b"%06d" % number)
        self.assertIsNone(there())


class InboundBudgetTests(SynchronousTestCase):
    """
    Tests for L{InboundBudget}.
    """

    LIMIT = 100 * (FLOW_WEIGHT + 10)

    def setUp(self) -> None:
        """
        A node with two tables that hold little.
        """
        self.budget = InboundBudget(self.LIMIT)
        self.small, self.other = [InboundFlows(self.budget) for _ in range(2)]
        self.fill(self.small, 5)
        self.fill(self.other, 7)

    def fill(self, table: InboundFlows, count: int, start: int = 0) -> None:
        """
        Add flows of ten bytes each.
        """
        for number in range(start, start + count):
            flow: Any = _Flow(EMPTY, EMPTY)
            table.add(b"%010d" % number, cast(IFlow, flow))

    def test_heaviest(self) -> None:
        """
        Whoever has most loses it, though it asks for nothing any more; others keep theirs.
        """
        heavy, heavier = [InboundFlows(self.budget) for _ in range(2)]
        self.fill(heavy, 40)
        self.fill(heavier, 48)
        self.assertEqual(sum(map(len, (heavy, heavier, self.small, self.other))), 100)
        self.fill(self.small, 1, 5)
        self.assertEqual([len(each) for each in (heavier, heavy, self.other, self.small)], [0, 40, 7, 6])
        known = self.small.find(b"%010d" % 5, 0)
        self.assertIsNotNone(known)

    def test_many(self) -> None:
        """
        However many tables there are, together they hold no more than may be.
        """
        tables = [InboundFlows(self.budget) for _ in range(50)]
        for number in range(1000):
            self.fill(tables[number % 50], 1, number)
            together = sum(table.weight for table in (*tables, self.small, self.other))
            self.assertLessEqual(together, self.LIMIT)
        self.assertGreater(together, self.LIMIT // 2)

    def test_forgotten(self) -> None:
        """
        Nothing is counted of what is forgotten or gone, so that nobody loses anything for it.
        """
        for _ in range(20):
            table = InboundFlows(self.budget)
            self.fill(table, 30)
            table.clear()
            gone = InboundFlows(self.budget)
            self.fill(gone, 30)
            del gone
        self.assertEqual((len(self.small), len(self.other)), (5, 7))

    def test_itself(self) -> None:
        """
        Who is the heaviest itself when it adds one is told of that one all the same.
        """
        table = InboundFlows(self.budget)
        self.fill(table, 88)
        flow: Any = _Flow(EMPTY, EMPTY)
        found = table.add(b"last", cast(IFlow, flow))
        self.assertIs(found.flow, flow)
        self.assertFalse(flow.isClosed)
        self.assertEqual((len(table), len(self.small), len(self.other)), (0, 5, 7))
