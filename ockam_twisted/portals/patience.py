"""
How long a stream waits: for another way, and for the far end once nobody is
left at the near end (design, section 7).
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ockam_twisted.portals.exchange import Exchange
from ockam_twisted.wire.extension import RESET_BY_PEER, ROUTE_LOST

#: Seconds that the far end has to take something or to end, once nobody is left
#: at the near end.
LINGER = 60.0


class Patience:
    """
    See the module: of one stream.
    """

    __slots__ = ("_clock", "_deadline", "_end", "_exchange")

    def __init__(self, clock: IReactorTime, exchange: Exchange, end: Callable[[int, str], object]) -> None:
        """
        @param exchange: Of the stream.
        @param end: Ends it: with a code, and why.
        """
        self._clock = clock
        self._exchange = exchange
        self._end = end
        self._deadline: IDelayedCall | None = None

    def expect(self, seconds: float) -> None:
        """
        There has to be a way within a while.

        @param seconds: Within which.
        """
        self.close()
        self._deadline = self._clock.callLater(seconds, self._expired, seconds)

    def _expired(self, seconds: float) -> None:
        self._deadline = None
        self._end(ROUTE_LOST, f"there was no way to the other end for {seconds:.0f} s")

    def linger(self) -> None:
        """
        Nobody is left at the near end; whoever waits for a way waits for no
        more than that.
        """
        if self._deadline is None:
            acknowledged = self._exchange.sending.acknowledged
            self._deadline = self._clock.callLater(LINGER, self._lingered, acknowledged)

    def _lingered(self, acknowledged: int) -> None:
        """
        @param acknowledged: What the far end had when that began.
        """
        self._deadline = None
        if self._exchange.theirFinal is not None:
            # It has ended, and takes its time over what we have said.
            return
        if self._exchange.sending.acknowledged > acknowledged:
            self.linger()
        else:
            self._end(RESET_BY_PEER, "nobody is there any more")

    def close(self) -> None:
        """
        Wait for nothing.
        """
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
