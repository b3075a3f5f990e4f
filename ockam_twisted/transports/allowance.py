"""
How much of a node's time somebody who connects to it may take.

What is open goes from connection to connection with little work.  Everything
else, a handshake above all, takes a hundred times as long, and anybody can ask
for it.  So a connection that asks for much of it is read more slowly: others
hardly notice, and who asks for little is never affected.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ockam_twisted.interfaces import ISource

#: Which part of the time one connection may take in the long run.
SHARE = 0.05

#: Seconds of work that it may ask for at once.
BURST = 0.25

#: It is read again after so many seconds, at the latest.
LONGEST = 2.0


class Allowance:
    """
    Of one connection.
    """

    def __init__(self, clock: IReactorTime, source: ISource) -> None:
        """
        @param source: What is paused when too much was taken.
        """
        self._clock = clock
        self._source = source
        self._left = BURST
        self._at = clock.seconds()
        self._pause: IDelayedCall | None = None

    def take(self, seconds: float) -> None:
        """
        It took so long to do what was asked.
        """
        now = self._clock.seconds()
        # Clocks go backwards, too.
        self._left = min(BURST, self._left + max(0.0, now - self._at) * SHARE) - max(0.0, seconds)
        self._at = now
        if self._left < 0 and self._pause is None:
            self._source.pauseFor(self)
            self._pause = self._clock.callLater(min(-self._left / SHARE, LONGEST), self._goOn)

    def _goOn(self) -> None:
        self._pause = None
        self._source.resumeFor(self)

    def close(self) -> None:
        """
        The connection has ended.
        """
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
