"""
What is known of the messages that come from one peer: those that begin with the
same bytes have the same routes, and go the same way.
"""

from __future__ import annotations

from typing import NamedTuple

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


class InboundFlows:
    """
    A table of them.
    """

    __slots__ = ("_flows", "_lengths", "_weight")

    def __init__(self) -> None:
        self._flows: dict[bytes, Inbound] = {}
        self._lengths: list[int] = []
        self._weight = 0

    def __len__(self) -> int:
        return len(self._flows)

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
        return found

    def clear(self) -> None:
        """
        What was decided about them may not hold any more.
        """
        self._flows.clear()
        self._weight = 0
