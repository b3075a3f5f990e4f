"""
What an outlet remembers of streams that have ended (design, section 7).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from attrs import frozen

from ockam_twisted.wire.extension import Resumed

#: How many ended streams are remembered, of one peer and of all.
PEER_TOMBSTONES = 1024
MAX_TOMBSTONES = 16 * 1024

Name = TypeVar("Name", bound=Hashable)


@frozen
class Tombstone:
    """
    What is left of a stream.

    @ivar identifier: Whose it was, in text.
    @ivar answer: What a Resume of it gets; encoded when one comes, which is
        seldom.
    @ivar until: When it is forgotten, on the clock.
    """

    identifier: str
    answer: Resumed
    until: float


class Tombstones(Generic[Name]):
    """
    Those of one kind; where there are too many, of their peer or of all, the
    oldest is forgotten.

    @ivar stones: By name, the oldest first.
    """

    def __init__(self, forgotten: Callable[[Name], object] = lambda name: None) -> None:
        """
        @param forgotten: Called with the name of each that is forgotten.
        """
        self.stones: dict[Name, Tombstone] = {}
        self._forgotten = forgotten
        # The names of those, by peer; the oldest first.
        self._names: dict[str, dict[Name, None]] = {}

    def add(self, name: Name, tombstone: Tombstone, now: float) -> None:
        """
        Remember one.

        @param now: What the clock says.
        """
        stones = self.stones
        while stones and next(iter(stones.values())).until <= now:
            self._forget(next(iter(stones)))
        if name in stones:
            self._remove(name)
        names = self._names.get(tombstone.identifier, ())
        if len(names) >= PEER_TOMBSTONES:
            self._forget(next(iter(names)))
        elif len(stones) >= MAX_TOMBSTONES:
            self._forget(next(iter(stones)))
        stones[name] = tombstone
        self._names.setdefault(tombstone.identifier, {})[name] = None

    def find(self, name: Name, identifier: str) -> Resumed | None:
        """
        @param identifier: Who asks: of the streams of others there are none.
        @return: What is left of a stream, if that is known.
        """
        stone = self.stones.get(name)
        return stone.answer if stone is not None and stone.identifier == identifier else None

    def _forget(self, name: Name) -> None:
        self._remove(name)
        self._forgotten(name)

    def _remove(self, name: Name) -> None:
        identifier = self.stones.pop(name).identifier
        names = self._names[identifier]
        del names[name]
        if not names:
            del self._names[identifier]
