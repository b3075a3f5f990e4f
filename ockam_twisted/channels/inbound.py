"""
What is known of the messages that come through a channel: those that begin
with the same bytes go the same way.
"""

from __future__ import annotations

from typing import NamedTuple

from ockam_twisted.interfaces import IFlow

_MAX_FLOWS = 4096
_MAX_LENGTHS = 8


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

    def __init__(self) -> None:
        self._flows: dict[bytes, Inbound] = {}
        self._lengths: list[int] = []

    def find(self, plaintext: bytes, start: int) -> Inbound | None:
        """
        @param start: Where a message begins.
        @return: What is known of it.
        """
        flows = self._flows
        for length in self._lengths:
            found = flows.get(plaintext[start : start + length])
            if found is not None:
                return found
        return None

    def add(self, prefix: bytes, flow: IFlow) -> Inbound:
        """
        Messages that begin with C{prefix} go there.
        """
        found = Inbound(prefix, len(prefix), flow)
        if len(self._flows) >= _MAX_FLOWS:
            self._flows.clear()
        if found.size not in self._lengths:
            if len(self._lengths) >= _MAX_LENGTHS:
                self._lengths.pop()
            self._lengths.insert(0, found.size)
        self._flows[prefix] = found
        return found

    def clear(self) -> None:
        """
        What was decided about them may not hold any more.
        """
        self._flows.clear()
