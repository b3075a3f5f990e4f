"""
What is known of the messages that come from one peer: those that begin with the
same bytes have the same routes, and go the same way.
"""

from __future__ import annotations

from typing import NamedTuple

from ockam_twisted.interfaces import IFlow

#: How many pairs of routes one peer may have in its table, and how many
#: different lengths these may have.
MAX_FLOWS = 4096
MAX_LENGTHS = 8

#: How long all encoded pairs of routes in the table may be, bytes.  Decoded
#: they take many times as much.
MAX_PREFIXES = 512 * 1024


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

    __slots__ = ("_flows", "_lengths", "_prefixes")

    def __init__(self) -> None:
        self._flows: dict[bytes, Inbound] = {}
        self._lengths: list[int] = []
        self._prefixes = 0

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
        self._prefixes += found.size
        if len(self._flows) >= MAX_FLOWS or self._prefixes > MAX_PREFIXES:
            # Closed they go at once; else they are left to the garbage
            # collector, which looks seldom.
            for each in self._flows.values():
                each.flow.close()
            self._flows.clear()
            self._prefixes = found.size
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
        self._prefixes = 0
