"""
Numbers for the flows that go through a link, on both sides.  Pure.

They are counted for each connection that flows begin at, so that who makes up
many of them wears out only what is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.inbound import MAX_WEIGHT

#: How many flows of one origin have a number at the same time; what their routes
#: weigh is bounded as well (L{ockam_twisted.routing.inbound.weigh}).
MAX_FLOWS = 2048

#: Is it asked of the other side whether its messages may pass; onward route;
#: return route.
FlowKey = tuple[bool, Route, Route]

_Known = TypeVar("_Known")


class FlowNumbers:
    """
    What one origin has, at the side that sends.  When there are too many all
    of them are taken back.

    @ivar epoch: How often that was so: a number is good for one epoch.
    """

    __slots__ = ("_maximum", "_next", "_numbers", "_weight", "epoch")

    def __init__(self, next: Callable[[], int], maximum: int = MAX_FLOWS) -> None:
        """
        @param next: Gives a number that no flow of the link has.
        """
        self.epoch = 0
        self._next = next
        self._maximum = maximum
        self._numbers: dict[FlowKey, int] = {}
        self._weight = 0

    def __len__(self) -> int:
        return len(self._numbers)

    def find(self, key: FlowKey) -> int | None:
        """
        @return: The number of a flow that has one.
        """
        return self._numbers.get(key)

    def makeRoom(self, weight: int) -> bool:
        """
        See that there is room for one more.

        @param weight: What its routes weigh, bytes.
        @return: All were taken back: the other side has to be told.
        """
        self._weight += weight
        if len(self._numbers) < self._maximum and self._weight <= MAX_WEIGHT:
            return False
        self._numbers.clear()
        self._weight = weight
        self.epoch += 1
        return True

    def add(self, key: FlowKey) -> int:
        """
        Give a flow a number, of which the other side has to be told.
        """
        number = self._numbers[key] = self._next()
        return number


class NumberedFlows(Generic[_Known]):
    """
    What all origins have, at the side that receives.

    @ivar known: What is known about each flow, by its number.
    """

    def __init__(self, maximum: int = MAX_FLOWS) -> None:
        self.known: dict[int, _Known] = {}
        self._maximum = maximum
        self._ofOrigin: dict[Address, dict[int, None]] = {}

    def add(self, origin: Address, number: int, known: _Known) -> None:
        """
        A flow has a number.
        """
        its = self._ofOrigin.setdefault(origin, {})
        if len(its) >= self._maximum:
            # The other side has forgotten these, and will say so.
            self.forget(origin)
            its = self._ofOrigin[origin] = {}
        its[number] = None
        self.known[number] = known

    def forget(self, origin: Address) -> None:
        """
        The numbers of an origin were taken back.
        """
        for number in self._ofOrigin.pop(origin, ()):
            self.known.pop(number, None)
