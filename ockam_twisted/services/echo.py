"""
The worker that says what it is told: how others find out that we live (spec
portals, sections 10.2 and 11).
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from ockam_twisted.interfaces import IAccessControl, IRouter
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.services.worker import WorkerService

ECHO = Address.local("echo")

#: What a source without a proven identity gets: so many answers a second, of
#: at most so many bytes each.
RATE = 10.0
MAX_UNPROVEN = 1024

#: How many such sources are told apart.
_MAX_SOURCES = 4096


class EchoService(WorkerService):
    """
    Returns exactly the bytes it received.  What has no proven identity is
    answered seldom and briefly, since its return route may lead to somebody
    who never asked.

    @ivar admission: Which messages that came through a secure channel are
        answered; L{None}: all.
    """

    def __init__(
        self,
        router: IRouter,
        clock: IReactorTime,
        address: Address = ECHO,
        consumerIds: tuple[str, ...] = (),
        incoming: IAccessControl | None = None,
    ) -> None:
        """
        See L{WorkerService}.
        """
        super().__init__(router, address, consumerIds, incoming)
        self._clock = clock
        self.admission: IAccessControl | None = None
        # By source: how many answers are left, and when that was so.
        self._left: dict[Address | None, tuple[float, float]] = {}

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        back = message.return_route
        if not back:
            return
        if message.peerIdentity is not None and self.admission is not None and not self.admission.permits(message):
            return
        output = getattr(self._router.worker(back[0]), "output", None)
        if output is not None and output.full:
            return
        if message.peerIdentity is None and (len(message.payload) > MAX_UNPROVEN or not self._take(message.source)):
            return
        self.answer(message, message.payload)

    def _take(self, source: Address | None) -> bool:
        """
        May C{source} have one more answer now?
        """
        now = self._clock.seconds()
        left, since = self._left.pop(source, (RATE, now))
        left = min(RATE, left + max(0.0, now - since) * RATE)
        # Who has been silent for longest comes first; after a second it may
        # have all answers again, and need not be remembered.
        while self._left:
            first = next(iter(self._left))
            if len(self._left) < _MAX_SOURCES and 0 <= now - self._left[first][1] < 1.0:
                break
            del self._left[first]
        self._left[source] = (left - 1 if left >= 1 else left, now)
        return left >= 1
