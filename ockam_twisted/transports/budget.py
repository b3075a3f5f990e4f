"""
How many bytes may wait in all output queues of a node together.

Each queue has a limit of its own, and a node has thousands of queues.  What
one queue may hold before its feeders pause is therefore also bounded by what
the others leave free: the fuller the node, the sooner everybody pauses, and
whoever has nothing queued can always send.
"""

from __future__ import annotations

from attrs import define

#: Bytes that may wait in all queues of a node.
MAX_QUEUED = 256 * 1024 * 1024


@define
class QueueBudget:
    """
    What the queues of one node share.

    @ivar limit: Bytes that may wait in all of them; what has been read
        already when it is reached comes on top.
    @ivar used: Bytes that wait in all of them.
    """

    limit: int = MAX_QUEUED
    used: int = 0

    def highWater(self, own: int) -> int:
        """
        @param own: What a queue may hold if it is the only one, bytes.
        @return: What it may hold now, bytes.
        """
        return max(0, min(own, self.limit - self.used))
