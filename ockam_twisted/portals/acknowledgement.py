"""
What a stream owes the far end a word about that does not have to be said at
once: most of it is said with something else (C{docs/portal-extension.rst}).
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ockam_twisted.portals.shares import SMALLEST_WINDOW

#: Seconds after which it is said by itself.
_AFTER = 0.05


class Acknowledgement:
    """
    Of bytes that the far end may have to keep, and of its end.

    @ivar isEndDue: Has the far end ended, and not heard that we know?
    """

    __slots__ = ("_clock", "_deadline", "_received", "_said", "_say", "isEndDue")

    def __init__(self, clock: IReactorTime, say: Callable[[], object]) -> None:
        """
        @param say: Says it, and calls L{said}.
        """
        self.isEndDue = False
        self._clock = clock
        self._say = say
        self._received = self._said = 0
        self._deadline: IDelayedCall | None = None

    def bytesReceived(self, received: int) -> None:
        """
        So many have come, in all.
        """
        self._received = received
        # Who can keep so little waits long before half a window is taken.
        if received - self._said >= SMALLEST_WINDOW:
            self._saySoon()

    def endReceived(self) -> None:
        """
        The far end has said its last.
        """
        self.isEndDue = True
        self._saySoon()

    def said(self, received: int) -> None:
        """
        It was told that so many have come, and whether it has ended.
        """
        self.isEndDue = False
        self._said = received

    def _saySoon(self) -> None:
        if self._deadline is None:
            self._deadline = self._clock.callLater(_AFTER, self._expired)

    def _expired(self) -> None:
        self._deadline = None
        if self.isEndDue or self._received - self._said >= SMALLEST_WINDOW:
            self._say()

    def close(self) -> None:
        """
        Nothing is said any more.
        """
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
