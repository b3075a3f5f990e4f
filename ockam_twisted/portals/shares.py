"""
What the windows of one channel have in common: how much may be under way to
us in all of its streams together (design, section 9).

A channel leads through queues of others, at a relay above all, which hold
back everybody when they are full.  So the streams of one channel are together
promised little more than it carries in two round trips, and equal parts of it
when all of them want more.

What a stream says that says little (keys, a request, an answer) waits for what is
under way.  As long as there is one, those that never pause have less of it.
"""

from __future__ import annotations

from typing import Protocol

#: What may be promised to the streams of a channel of which nothing more is
#: known, bytes; less than a relay queues for one destination.
FLOOR = 3 * 1024 * 1024

#: What a channel carries in so many seconds may be promised whatever its round
#: trip is: the parts of many streams would be so small otherwise that each
#: takes more work than it is worth.
LUMP = 0.05

#: What a stream takes in so many seconds may be on its way, up to L{FLOOR},
#: however short its round trip is: each Credit, and each wait for one, is work.
LUMP_OF_ONE = 0.005

#: The same for all streams together, while there is one that says little.
LUMP_BESIDE = 0.0025

#: Bytes between two looks that are little, and seconds for which one that
#: said so little is waited for.
LITTLE = 16 * 1024
LATELY = 3.0

#: What a stream is promised at first, and what it is promised whoever else
#: there is, bytes.
FIRST_WINDOW = 256 * 1024
SMALLEST_WINDOW = 16 * 1024

#: What is taken for a round trip until it is known better, seconds.
FIRST_ROUND_TRIP = 1.0

#: Seconds between two looks at how much a channel carries, at least.
INTERVAL = 0.05

#: A stream of which nothing was taken for so many seconds leaves its part to
#: the others; sooner, where the channel carries all that is promised in less.
IDLE = 120.0

#: Over how many seconds it is looked at how much that is.
SMOOTH = 30.0


class Window(Protocol):
    """
    What shares.

    @ivar size: What is promised, bytes.
    @ivar received: What has come in all, bytes.
    @ivar isQuiet: Has nothing come since a look?
    @ivar least: What it has where there is room for it.
    """

    size: int
    received: int
    isQuiet: bool
    least: int


class ChannelShare:
    """
    See the module.

    @ivar rtt: The shortest round trip seen, seconds.
    @ivar limit: What may be promised to all streams that are active, bytes.
    @ivar used: What is promised to them, bytes.
    """

    __slots__ = (
        "__weakref__",
        "_active",
        "_heard",
        "_isDisturbed",
        "_little",
        "_rate",
        "_seen",
        "_since",
        "_taken",
        "limit",
        "rtt",
        "used",
    )

    def __init__(self, now: float) -> None:
        """
        @param now: What the clock says.
        """
        self.rtt = FIRST_ROUND_TRIP
        self.limit = FLOOR
        self.used = 0
        self._active: dict[Window, float] = {}
        # What had come of each at the last look, and those that said little last.
        self._seen: dict[Window, int] = {}
        self._little: set[Window] = set()
        self._heard = -LATELY
        self._isDisturbed = False
        self._taken = 0
        self._rate = 0.0
        self._since = now

    def first(self, now: float) -> int:
        """
        @return: What the next stream is promised at first, bytes.
        """
        self._look(now)
        return FIRST_WINDOW if self.used + FIRST_WINDOW <= self.limit else SMALLEST_WINDOW

    def join(self, window: Window, now: float) -> None:
        """
        There is one more stream.
        """
        if window not in self._active:
            self.used += window.size
            self._seen.setdefault(window, window.received)
        self._active[window] = now

    def leave(self, window: Window) -> None:
        """
        There is one stream less.
        """
        if self._active.pop(window, None) is not None:
            self.used -= window.size
        self._seen.pop(window, None)
        self._little.discard(window)
        if 0 < window.received < LITTLE:
            self._isDisturbed = True

    def fit(self, window: Window, wanted: int, taken: int, now: float) -> int:
        """
        The near end of a stream has taken bytes.

        @param wanted: What the stream makes use of.
        @param taken: How many it has taken, since the last time.
        @return: What it is promised from now on, bytes.  Whoever changes its
            C{size} then says so to L{resized}.
        """
        self.join(window, now)
        self._taken += taken
        self._look(now)
        size, free = window.size, self.limit - self.used
        if not taken:
            return size
        equal = max(SMALLEST_WINDOW, self.limit // len(self._active))
        if free <= 0:
            # Those that came first must not have most of a slow channel.
            return min(size, equal)
        return min(max(wanted, min(equal, window.least)), size + free)

    def resized(self, by: int) -> None:
        """
        An active window is larger by so many bytes than it was.
        """
        self.used += by

    def lump(self, now: float) -> float:
        """
        @return: What a stream takes in so many seconds may be on its way to us.
        """
        if self._isDisturbed:
            self._heard = now
            self._isDisturbed = False
        return LUMP_OF_ONE if now - self._heard >= LATELY else LUMP_BESIDE / max(len(self._active), 1)

    def stirred(self, size: int) -> None:
        """
        One that was quiet has said so many bytes.
        """
        if size < LITTLE:
            self._isDisturbed = True

    def _listen(self) -> None:
        """
        Who says nothing, and who says little, again and again?
        """
        seen, little = self._seen, self._little
        for window, before in seen.items():
            come = window.received - before
            if not come:
                window.isQuiet = True
                continue
            seen[window] = window.received
            if come >= LITTLE:
                little.discard(window)
            elif window in little:
                self._isDisturbed = True
            else:
                # So does one that begins, or ends.
                little.add(window)

    def _look(self, now: float) -> None:
        """
        Once in a while: how much does the channel carry, and who is idle?
        """
        elapsed = now - self._since
        if elapsed < max(self.rtt, INTERVAL):
            return
        rate = self._taken / elapsed
        self.limit = max(FLOOR, int(rate * max(2 * self.rtt, LUMP)))
        self._taken = 0
        self._since = now
        self._listen()
        # What a slow one takes comes in lumps.
        weight = min(1.0, elapsed / SMOOTH)
        self._rate += weight * (rate - self._rate)
        idle = IDLE if self._rate * IDLE < 2 * self.limit else max(1.0, 2 * self.limit / self._rate)
        self._active = {window: at for window, at in self._active.items() if now - at < idle}
        self.used = sum(window.size for window in self._active)
