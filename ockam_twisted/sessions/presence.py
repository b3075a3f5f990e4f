"""
Is anybody there at a relay?  Who goes to a name that nobody has yet waits at
the relay, which says so when somebody comes, rather than going away and
coming back ever more seldom.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred

from ockam_twisted.errors import ConnectionClosed

T = TypeVar("T")


class Presence:
    """
    What a relay says of who is behind the name that an attempt goes to.
    Nobody proves it: a relay that lies keeps an attempt waiting, which it can
    anyhow.

    @ivar isAbsent: Nobody is, it says.
    """

    def __init__(self) -> None:
        self.isAbsent = False
        self._asking: Deferred[object] | None = None
        self._isInterrupted = False
        self._waiting: Deferred[None] | None = None
        self._lost: str | None = None

    async def whilePresent(self, ask: Callable[[], Deferred[T]]) -> T:
        """
        Ask whoever is behind the name; once there is somebody.

        @param ask: Begins a handshake.  If nobody is there it is canceled,
            and begun anew when somebody has come.
        @raise ConnectionClosed: The way to the relay has ended.
        """
        while True:
            if self._lost is not None:
                raise ConnectionClosed(self._lost)
            if self.isAbsent:
                self._waiting = Deferred()
                await self._waiting
            asking = ask()
            self._asking = asking  # type: ignore[assignment]
            try:
                return await asking
            except CancelledError:
                if not self._isInterrupted:
                    raise
                self._isInterrupted = False
            finally:
                self._asking = None

    def gone(self) -> None:
        """
        Nobody is there.
        """
        self.isAbsent = True
        self._interrupt()

    def came(self) -> None:
        """
        Somebody has come.
        """
        self.isAbsent = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def lost(self, reason: str) -> None:
        """
        The way to the relay has ended: nobody will say who comes.
        """
        self._lost = reason
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(ConnectionClosed(reason))
        self._interrupt()

    def _interrupt(self) -> None:
        if self._asking is not None:
            self._isInterrupted = True
            self._asking.cancel()
