"""
The windows of one stream: how much may be sent, what must be kept until the
other end has it, and how much the other end may send (design, section 7).

Offsets count the bytes of one direction from 0.
"""

from __future__ import annotations

from collections import deque

from ockam_twisted.errors import PortalRefused
from ockam_twisted.interfaces import Buffer

#: What is taken at once, at most, bytes.
MAX_PIECE = 64 * 1024

#: What a direction of a stream begins with, bytes.
FIRST_WINDOW = 256 * 1024

#: What it grows to, bytes.
LARGEST_WINDOW = 16 * 1024 * 1024

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

    def take(self, size: int) -> bool:
        """
        @return: Are there so many bytes?  If not, nothing was taken.
        """
        if self.used + size > self._limit or (self._parent is not None and not self._parent.take(size)):
            return False
        self.used += size
        return True

    def give(self, size: int) -> None:
        """
        Give back what was taken.
        """
        self.used -= size
        if self._parent is not None:
            self._parent.give(size)


class SendWindow:
    """
    One direction, where it is sent.

    @ivar written: Bytes that the near end has given, in all.
    @ivar sent: The offset of what is sent next; it goes back when the far end
        lacks something.
    @ivar reached: The highest offset that C{sent} ever had.
    @ivar acknowledged: Bytes the far end has.
    @ivar limit: The highest offset that the far end permits.
    """

    __slots__ = (
        "_bound",
        "_budget",
        "_kept",
        "_largest",
        "_pending",
        "_size",
        "acknowledged",
        "limit",
        "reached",
        "sent",
        "written",
    )

    def __init__(self, limit: int, budget: WindowBudget, size: int, largest: int = LARGEST_WINDOW) -> None:
        """
        @param limit: What the far end permits at first.
        @param size: How many bytes are kept at first; taken from C{budget} by
            who makes this.
        """
        self.written = self.sent = self.reached = self.acknowledged = 0
        self.limit = limit
        self._budget = budget
        self._size = size
        self._largest = largest
        self._kept: deque[Buffer] = deque()
        self._pending: deque[Buffer] = deque()
        self._bound = min(limit, size)

    @property
    def isIdle(self) -> bool:
        """
        Was all that was written sent?
        """
        return not self._pending

    @property
    def size(self) -> int:
        """
        How many bytes may be kept.
        """
        return self._size

    def write(self, data: bytes) -> bool:
        """
        The near end gives bytes.

        @return: They are to be sent as they are, now; otherwise they wait
            for L{take}.
        """
        size = len(data)
        self._kept.append(data)
        self.written += size
        after = self.sent + size
        if self._pending or after > self._bound:
            self._pending.append(data)
            return False
        self.sent = self.reached = after
        return True

    def take(self) -> Buffer | None:
        """
        @return: What is to be sent next, if anything may be.
        """
        room = min(self._bound - self.sent, MAX_PIECE)
        if room <= 0 or not self._pending:
            return None
        piece = self._pending.popleft()
        if len(piece) > room:
            view = memoryview(piece)
            piece = view[:room]
            self._pending.appendleft(view[room:])
        self.sent += len(piece)
        self.reached = max(self.reached, self.sent)
        return piece

    def credit(self, received: int, limit: int) -> None:
        """
        The far end has so many bytes, and permits so many.

        @raise PortalRefused: That cannot be.
        """
        if not self.acknowledged <= received <= self.reached:
            raise PortalRefused(f"it has received {received} bytes, of {self.acknowledged} to {self.reached}")
        if limit < self.limit:
            raise PortalRefused("its limit falls")
        self.limit = limit
        self._forget(received)
        wanted = limit - received
        if wanted > self._size < self._largest:
            more = min(wanted, self._largest) - self._size
            if self._budget.take(more):
                self._size += more
        self._bound = min(limit, received + self._size)

    def _forget(self, received: int) -> None:
        surplus = received - self.acknowledged
        self.acknowledged = received
        kept = self._kept
        while surplus:
            size = len(kept[0])
            if size > surplus:
                kept[0] = memoryview(kept[0])[surplus:]
                return
            kept.popleft()
            surplus -= size

    def rest(self) -> list[Buffer]:
        """
        @return: What was written and not sent.
        """
        return list(self._pending)

    def suspend(self) -> None:
        """
        Send nothing until L{rewind}.
        """
        self._bound = -1

    def rewind(self, following: int) -> None:
        """
        The far end has lost what was on its way: it lacks what begins at
        C{following}.

        @raise PortalRefused: It had that, or it was never sent.
        """
        if not self.acknowledged <= following <= self.reached:
            raise PortalRefused(f"it goes on at {following}, not from {self.acknowledged} to {self.reached}")
        self._forget(following)
        self._pending = deque(self._kept)
        self.sent = following
        self._bound = min(self.limit, following + self._size)

    def close(self) -> None:
        """
        Keep nothing.
        """
        self._kept.clear()
        self._pending.clear()
        self._budget.give(self._size)
        self._size = 0
        self._bound = -1


class ReceiveWindow:
    """
    One direction, where it is received.

    @ivar received: Bytes that came in order.
    @ivar granted: The highest offset that the far end may send.
    @ivar size: How much may be on its way or wait here, bytes; grows with
        what the near end takes in one round trip.
    @ivar mark: Once the near end has taken so many bytes, the far end should
        hear of it.
    """

    __slots__ = ("_budget", "_delivered", "_largest", "_probe", "_rtt", "_since", "granted", "mark", "received", "size")

    def __init__(self, size: int, budget: WindowBudget, rtt: float, largest: int = LARGEST_WINDOW) -> None:
        """
        @param size: What the far end may send at first; taken from C{budget}
            by who makes this.
        @param rtt: A round trip, seconds, as well as it is known.
        """
        self.received = 0
        self.granted = self.size = size
        self._budget = budget
        self._rtt = rtt
        self._largest = largest
        # When the data after this offset comes, a round trip is over.
        self._probe = -1
        self._since = 0.0
        self._delivered = 0
        self._setMark()

    def _setMark(self) -> None:
        self.mark = self.granted - self.size // 2

    def accept(self, size: int) -> None:
        """
        So many bytes have come.

        @raise PortalRefused: They were not permitted.
        """
        self.received = after = self.received + size
        if after > self.granted:
            raise PortalRefused(f"it has sent {after} bytes, but {self.granted} were permitted")

    def grant(self, delivered: int, now: float) -> int:
        """
        The near end has taken so many bytes, in all.

        @return: The highest offset that the far end may send from now on.
        """
        probe = self._probe
        if probe < 0:
            self._begin(delivered, now)
        elif self.received > probe:
            elapsed = max(now - self._since, 1e-6)
            self._rtt = min(self._rtt, elapsed)
            product = int((delivered - self._delivered) * self._rtt / elapsed)
            self._grow(2 * product)
            self._begin(delivered, now)
        self.granted = max(self.granted, delivered + self.size)
        self._setMark()
        return self.granted

    def _begin(self, delivered: int, now: float) -> None:
        self._probe = self.granted
        self._since = now
        self._delivered = delivered

    def _grow(self, wanted: int) -> None:
        more = min(wanted, self._largest) - self.size
        if more > 0 and self._budget.take(more):
            self.size += more

    def close(self) -> None:
        """
        Nothing comes any more.
        """
        self._budget.give(self.size)
        self.size = 0
