"""
What is known of the messages that come from one peer: those that begin with the
same bytes have the same routes, and go the same way.
"""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakSet

from ockam_twisted.interfaces import IFlow
from ockam_twisted.routing.addresses import Route

#: How many pairs of routes one peer may have in its table, and how many
#: different lengths these may have.
MAX_FLOWS = 4096
MAX_LENGTHS = 8

#: What all pairs of routes in the table may weigh, and an address without its
#: value, bytes: an address of three bytes on the wire is a tuple in memory.
MAX_WEIGHT = 2 * 1024 * 1024
ADDRESS_WEIGHT = 80

#: What all tables of a node may weigh together, bytes, and what each flow in
#: them weighs beside its routes.
MAX_TOTAL = 128 * 1024 * 1024
FLOW_WEIGHT = 1024


def weigh(prefix: bytes, onward: Route, back: Route) -> int:
    """
    About how much memory a pair of routes takes, bytes.

    @param prefix: What they are on the wire.
    """
    return len(prefix) + ADDRESS_WEIGHT * (len(onward) + len(back))


class Inbound(NamedTuple):
    """
    What is known about messages that begin with the same bytes.
    """

    prefix: bytes
    size: int
    flow: IFlow


class InboundBudget:
    """
    What the tables of one node share.  When they weigh too much the heaviest
    are emptied: who sends as others do keeps what is known of it.
    """

    def __init__(self, limit: int = MAX_TOTAL) -> None:
        """
        @param limit: What they may weigh together, bytes.
        """
        self._limit = limit
        self._tables: WeakSet[InboundFlows] = WeakSet()
        # Never too little: what is forgotten is noticed when there is no room.
        self._used = 0

    def enter(self, table: InboundFlows) -> None:
        """
        There is one more table, for as long as it lives.
        """
        self._tables.add(table)

    def take(self, weight: int) -> None:
        """
        One of them weighs so much more.
        """
        self._used += weight
        if self._used <= self._limit:
            return
        tables = sorted(self._tables, key=lambda table: table.weight, reverse=True)
        self._used = sum(table.weight for table in tables)
        for table in tables:
            # Not just below the limit, or each flow would have all looked at.
            if self._used <= self._limit * 3 // 4:
                break
            self._used -= table.weight
            table.clear()


class InboundFlows:
    """
    A table of them.
    """

    __slots__ = ("__weakref__", "_budget", "_flows", "_lengths", "_weight")

    def __init__(self, budget: InboundBudget) -> None:
        """
        @param budget: Of the node.
        """
        self._budget = budget
        budget.enter(self)
        self._flows: dict[bytes, Inbound] = {}
        self._lengths: list[int] = []
        self._weight = 0

    def __len__(self) -> int:
        return len(self._flows)

    @property
    def weight(self) -> int:
        """
        About how much memory it takes, bytes.
        """
        return self._weight + FLOW_WEIGHT * len(self._flows)

    def find(self, buffer: bytes, start: int) -> Inbound | None:
        """
        @param start: Where a message begins.
        @return: What is known of it.
        """
        flows = self._flows
        for length in self._lengths:
            found = flows.get(buffer[start : start + length])
            if found is not None:
                return found
        return None

    def add(self, prefix: bytes, flow: IFlow) -> Inbound:
        """
        Messages that begin with C{prefix} go there.
        """
        found = Inbound(prefix, len(prefix), flow)
        weight = weigh(prefix, flow.onward_route, flow.return_route)
        self._weight += weight
        if len(self._flows) >= MAX_FLOWS or self._weight > MAX_WEIGHT:
            # Closed they go at once; else they are left to the garbage
            # collector, which looks seldom.
            for each in self._flows.values():
                each.flow.close()
            self._flows.clear()
            self._weight = weight
        if found.size not in self._lengths:
            if len(self._lengths) >= MAX_LENGTHS:
                self._lengths.pop()
            self._lengths.insert(0, found.size)
        self._flows[prefix] = found
        self._budget.take(weight + FLOW_WEIGHT)
        return found

    def clear(self) -> None:
        """
        What was decided about them may not hold any more.
        """
        self._flows.clear()
        self._weight = 0
