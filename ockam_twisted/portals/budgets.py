"""
What all windows of one peer, and of a node, may hold together (design,
section 9).
"""

from __future__ import annotations

from ockam_twisted.portals.shares import SMALLEST_WINDOW

#: What the windows of one peer, and of all peers of a node, may hold, bytes.
PEER_BUDGET = 128 * 1024 * 1024
NODE_BUDGET = 512 * 1024 * 1024


class WindowBudget:
    """
    What many windows share.  Windows that cannot have more do not grow; a
    stream that cannot have its first ones is refused.

    @ivar used: Bytes that are given out.
    """

    __slots__ = ("_limit", "_parent", "used")

    def __init__(self, limit: int = NODE_BUDGET, parent: WindowBudget | None = None) -> None:
        self.used = 0
        self._limit = limit
        self._parent = parent

    @property
    def limit(self) -> int:
        """
        How much may be given out, bytes.
        """
        return self._limit

    @property
    def share(self) -> float:
        """
        How much is given out, of 1.
        """
        own = self.used / self._limit
        return own if self._parent is None else max(own, self._parent.share)

    def takeFirst(self, size: int) -> int:
        """
        Take what a new stream is promised: C{size} bytes if less than half is
        given out, and less and less then, so that there is something for many
        streams.

        @return: How much was taken; 0: there is not even the least.
        """
        share = self.share
        if share >= 0.5:
            size = min(size, SMALLEST_WINDOW if share >= 0.75 else 4 * SMALLEST_WINDOW)
        return size if self.take(size) else 0

    def take(self, size: int) -> bool:
        """
        @return: Are there so many bytes?  If not, nothing was taken.
        """
        if self.used + size > self._limit or (self._parent is not None and not self._parent.take(size)):
            return False
        self.used += size
        return True

    def grow(self, size: int) -> bool:
        """
        The same for a window that has its first bytes: a quarter of all is
        left for those of new streams.
        """
        budget: WindowBudget | None = self
        while budget is not None:
            if budget.used + size > budget._limit * 3 // 4:
                return False
            budget = budget._parent
        return self.take(size)

    def give(self, size: int) -> None:
        """
        Give back what was taken.
        """
        self.used -= size
        if self._parent is not None:
            self._parent.give(size)


class PeerBudget(WindowBudget):
    """
    Of one peer; forgotten with its last stream.
    """

    __slots__ = ("__weakref__",)
