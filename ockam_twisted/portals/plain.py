"""
What every portal knows: the states of a stream, the counters of its Payloads,
and how an inlet is refused (spec portals, sections 1 to 4).
"""

from __future__ import annotations

from enum import Enum

from ockam_twisted.errors import PortalRefused
from ockam_twisted.interfaces import Buffer
from ockam_twisted.wire.portal import DISCONNECT, PONG, portalPayloadHead

#: What is said to an inlet that waits for Pong and gets no stream.  Ours end
#: with the first; inlets of the Rust implementation ignore a Disconnect then
#: and would keep their client waiting for ever, but they open at a Pong and
#: close at the Disconnect that follows.
REFUSAL = (DISCONNECT, PONG, DISCONNECT)


class State(Enum):
    """
    Where a stream is in its life.
    """

    NEW = "new"
    PINGED = "waiting for Pong"
    DIALING = "dialing the target"
    OPEN = "open"
    ROUTELESS = "waiting for another way"
    RESUMING = "asking to go on over another way"
    ENDED = "ended"


class PayloadCounter:
    """
    The counters of Payloads, both ways.

    @ivar isCounting: Do we number what we send?
    @ivar expected: The number of the next one that comes; L{None}: the peer
        does not count.
    """

    __slots__ = ("_next", "expected", "isCounting")

    def __init__(self) -> None:
        self.isCounting = True
        self.expected: int | None = 0
        self._next = 0

    def disable(self) -> None:
        """
        Neither count nor check from now on.
        """
        self.isCounting = False
        self.expected = None

    def payload(self, data: Buffer) -> tuple[tuple[Buffer, ...], int]:
        """
        The next Payload: its pieces, and how many bytes they have.
        """
        size = len(data)
        head = portalPayloadHead(size)
        if not self.isCounting:
            return (head, data), len(head) + size
        count = self._next
        self._next = (count + 1) & 0xFFFF
        return (head, data, b"\x01" + count.to_bytes(2, "little")), len(head) + size + 3

    def check(self, counter: int) -> None:
        """
        Check the counter of a Payload.

        @raise PortalRefused: One is missing or repeated.
        """
        if self.expected is None:
            return
        if counter != self.expected:
            if counter == 0 and self.expected == 1:
                # This peer puts 0 on each Payload: it does not count at all.
                self.expected = None
                return
            raise PortalRefused(f"a Payload is missing or repeated: number {counter}, expected {self.expected}")
        self.expected = (counter + 1) & 0xFFFF
