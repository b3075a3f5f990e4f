"""
What the tests of sessions share: attempts that end as the test says.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import implementer

from ockam_twisted.interfaces import IAttempt
from ockam_twisted.routing.addresses import Route
from ockam_twisted.sessions.life import Established


class Made:
    """
    What one attempt has made.

    @ivar pings: How often its far end was asked.
    @ivar heard: Changes when the far end is heard.
    @ivar isClosed: Was it ended?
    """

    def __init__(self, name: str, peer: str = "") -> None:
        self.lost: Deferred[str] = Deferred()
        self.pings = 0
        self.heard = 0
        self.isClosed = False
        self.established = Established(
            Route.of(name), self.lost, lambda: self.heard, self._ping, self._close, f"{name} ({peer})", peer
        )

    def _ping(self, timeout: float) -> Deferred[bytes]:
        self.pings += 1
        return Deferred()

    def _close(self) -> None:
        self.isClosed = True
        if not self.lost.called:
            self.lost.callback("it was closed")


@implementer(IAttempt)
class Attempts:
    """
    Attempts that end as the test says.

    @ivar tries: Those that were begun.
    @ivar canceled: How many were given up.
    """

    def __init__(self, peer: str = "") -> None:
        self.tries: list[Deferred[Established]] = []
        self.canceled = 0
        self.peer = peer

    def start(self) -> Deferred[Established]:
        """
        See L{IAttempt.start}.
        """

        def cancel(_: object) -> None:
            self.canceled += 1

        self.tries.append(Deferred(cancel))
        return self.tries[-1]

    def succeed(self, name: str) -> Made:
        """
        The last one has made something.
        """
        made = Made(name, self.peer)
        self.tries[-1].callback(made.established)
        return made

    def fail(self, error: Exception) -> None:
        """
        The last one has failed.
        """
        self.tries[-1].errback(error)

    @property
    def isTrying(self) -> bool:
        """
        Is one under way?
        """
        return bool(self.tries) and not self.tries[-1].called
