"""
The windows of one stream: how much may be sent, what must be kept until the
other end has it, and how much the other end may send (design, section 7).

Offsets count the bytes of one direction from 0.
"""

from __future__ import annotations

from collections import deque

from ockam_twisted.errors import PortalRefused
from ockam_twisted.interfaces import Buffer
from ockam_twisted.portals.budgets import WindowBudget
from ockam_twisted.portals.shares import FIRST_WINDOW, FLOOR, SMALLEST_WINDOW, ChannelShare
from ockam_twisted.wire.portal import MAX_PAYLOAD

#: What is kept of small pieces in one, bytes: each has a cost of its own.
_JOINED = 4096

#: What a direction of a stream grows to, bytes.
LARGEST_WINDOW = 16 * 1024 * 1024

#: What is slow has on its way what it takes in so many seconds, or in two round
#: trips: on a slow road everybody else waits behind it.
UNHURRIED = 0.4


class SendWindow:
    """
    One direction, where it is sent.

    @ivar written: Bytes that the near end has given, in all.
    @ivar sent: The offset of what is sent next; it goes back when the far end
        lacks something.
    @ivar reached: The highest offset that C{sent} ever had.
    @ivar acknowledged: Bytes the far end has.
    @ivar limit: The highest offset that the far end permits.
    @ivar size: How many bytes may be kept; grows while more are needed, and
        is given back when the far end has all.
    """

    __slots__ = (
        "_bound",
        "_budget",
        "_isSuspended",
        "_kept",
        "_largest",
        "_pending",
        "acknowledged",
        "limit",
        "reached",
        "sent",
        "size",
        "written",
    )

    def __init__(self, limit: int, budget: WindowBudget, largest: int = LARGEST_WINDOW) -> None:
        """
        @param limit: What the far end permits at first.
        @param budget: Has L{SMALLEST_WINDOW} bytes for it, taken by who makes
            this.
        @param largest: How many bytes are kept at most.
        """
        self.written = self.sent = self.reached = self.acknowledged = 0
        self.limit = limit
        self.size = SMALLEST_WINDOW
        self._budget = budget
        self._largest = largest
        self._kept: deque[Buffer | bytearray] = deque()
        self._pending: deque[Buffer] = deque()
        self._isSuspended = False
        self._bound = 0
        self._permit(0)

    @property
    def isIdle(self) -> bool:
        """
        Was all that was written sent?
        """
        return not self._pending

    @property
    def hasRoom(self) -> bool:
        """
        May anything more be sent now?
        """
        return self._bound > self.sent

    def write(self, data: Buffer) -> bool:
        """
        The near end gives bytes.

        @return: They are to be sent as they are, now; otherwise they wait
            for L{take}.
        """
        size = len(data)
        kept = self._kept
        if size < _JOINED and kept and type(tail := kept[-1]) is bytearray and len(tail) + size <= _JOINED:
            tail += data
        else:
            kept.append(data if size >= _JOINED else bytearray(data))
        self.written += size
        if not self._pending:
            after = self.sent + size
            if after > self._bound:
                self._permit(after)
            if after <= self._bound:
                self.sent = self.reached = after
                return True
        self._pending.append(data)
        return False

    def said(self, data: Buffer) -> None:
        """
        The far end has these bytes already, the first ones: they came before
        there was a window.

        @raise PortalRefused: It permits fewer.
        """
        if len(data) > self.limit or not self.write(data):
            raise PortalRefused(f"it permits {self.limit} bytes, and has taken {len(data)}")

    def _permit(self, wanted: int) -> None:
        """
        Find out anew up to which offset may be sent.

        @param wanted: Up to which there is something to send.
        """
        if self._isSuspended:
            return
        size, needed = self.size, min(wanted, self.limit) - self.acknowledged
        if needed > size < self._largest:
            more = min(max(needed, 2 * size), self._largest) - size
            if self._budget.grow(more):
                self.size = size + more
        self._bound = min(self.limit, self.acknowledged + self.size)

    def take(self) -> Buffer | None:
        """
        @return: What is to be sent next, if anything may be.
        """
        room = min(self._bound - self.sent, MAX_PAYLOAD)
        if room <= 0 or not self._pending:
            return None
        piece: Buffer = self._pending.popleft()
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
        if not self._kept and self.size > SMALLEST_WINDOW:
            self._budget.give(self.size - SMALLEST_WINDOW)
            self.size = SMALLEST_WINDOW
        self._permit(self.written)

    def _forget(self, received: int) -> None:
        surplus = received - self.acknowledged
        self.acknowledged = received
        kept = self._kept
        while surplus:
            size = len(kept[0])
            if size > surplus:
                # Nothing is added to this one any more.
                kept[0] = memoryview(bytes(kept[0]) if isinstance(kept[0], bytearray) else kept[0])[surplus:]
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
        self._isSuspended = True
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
        # From now on nothing is added to these any more.
        self._pending = deque(bytes(each) if isinstance(each, bytearray) else each for each in self._kept)
        self._kept = deque(self._pending)
        self.sent = following
        self._isSuspended = False
        self._permit(self.written)

    def close(self) -> None:
        """
        Keep nothing.
        """
        self._kept.clear()
        self._pending.clear()
        self._budget.give(self.size)
        self.size = 0
        self.suspend()


class ReceiveWindow:
    """
    One direction, where it is received.

    @ivar received: Bytes that came in order.
    @ivar isQuiet: See L{ChannelShare}; the share says so.
    @ivar least: What it has where there is room for it, bytes; less than
        L{FIRST_WINDOW} once two round trips in a row were slow.
    @ivar granted: The highest offset that the far end may send.
    @ivar size: How much may be on its way or wait here, bytes; grows with
        what the near end takes in one round trip, or in a while
        (L{ChannelShare.lump}), and gives way to others of the same channel.
    @ivar mark: Once the near end has taken so many bytes, the far end should
        hear of it.
    """

    __slots__ = (
        "_budget",
        "_delivered",
        "_fastest",
        "_largest",
        "_needed",
        "_probe",
        "_rate",
        "_share",
        "_since",
        "_taken",
        "granted",
        "isQuiet",
        "least",
        "mark",
        "received",
        "size",
    )

    def __init__(
        self, size: int, budget: WindowBudget, share: ChannelShare, now: float, largest: int = LARGEST_WINDOW
    ) -> None:
        """
        @param size: What the far end may send at first; taken from C{budget}
            by who makes this.
        @param share: Of the channel.
        @param now: What the clock says.
        """
        self.received = 0
        self.isQuiet = False
        self.granted = self.size = size
        # What its round trip takes, and the bytes a second that it once had.
        self._needed, self._fastest = size, 0.0
        self.least, self._rate = FIRST_WINDOW, float("inf")
        self._budget = budget
        self._share = share
        self._largest = max(size, largest)
        # When the data after this offset comes, a round trip is over.
        self._probe = -1
        self._since = now
        self._delivered = self._taken = 0
        self._setMark()
        share.join(self, now)

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
        if self.isQuiet:
            self.isQuiet = False
            self._share.stirred(size)

    def grant(self, delivered: int, now: float) -> int:
        """
        The near end has taken so many bytes, in all.

        @return: The highest offset that the far end may send from now on.
        """
        share, wanted = self._share, self.size
        if self._probe < 0:
            self._begin(delivered, now)
            if delivered == self._taken:
                return self.granted
        elif self.received > self._probe:
            self._learn((delivered - self._delivered) / self.answered(now))
            wanted = max(self._needed, min(int(self._fastest * share.lump(now)), FLOOR))
            self._begin(delivered, now)
        elif self.least < FIRST_WINDOW:
            wanted = min(wanted, self._needed)
        wanted = share.fit(self, wanted, delivered - self._taken, now)
        self._needed = min(self._needed, wanted)
        self._taken = delivered
        self._resize(min(wanted, self._largest), delivered)
        self.granted = max(self.granted, delivered + self.size)
        self._setMark()
        return self.granted

    def answered(self, now: float) -> float:
        """
        An answer has come to what was said last, or when this was made.

        @return: The seconds that it has taken; a round trip is no longer.
        """
        seconds = max(now - self._since, 1e-6)
        self._share.rtt = min(self._share.rtt, seconds)
        return seconds

    def _learn(self, rate: float) -> None:
        """
        The near end has taken so many bytes a second, for a round trip.
        """
        self._fastest = max(self._fastest, rate)
        # Once may be a pause.
        recent, self._rate = max(rate, self._rate), rate
        self.least = int(min(FIRST_WINDOW, max(SMALLEST_WINDOW, recent * UNHURRIED)))
        needed = self._needed if self.least == FIRST_WINDOW else min(self._needed, self.least)
        self._needed = max(needed, int(2 * rate * self._share.rtt))

    def _begin(self, delivered: int, now: float) -> None:
        self._probe = self.granted
        self._since = now
        self._delivered = delivered

    def _resize(self, wanted: int, delivered: int) -> None:
        """
        @param delivered: What was promised beyond that stays promised.
        """
        by = max(wanted, self.granted - delivered) - self.size
        if by > 0 and not self._budget.grow(by):
            return
        if by < 0:
            self._budget.give(-by)
        self.size += by
        self._share.resized(by)

    def moved(self, share: ChannelShare, now: float) -> None:
        """
        From now on it comes over another channel.
        """
        self._share.leave(self)
        self._share = share
        self._probe = -1
        share.join(self, now)

    def close(self) -> None:
        """
        Nothing comes any more.
        """
        self._share.leave(self)
        self._budget.give(self.size)
        self.size = 0
