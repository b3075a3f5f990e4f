"""
Two processes that take one name from each other (design, section 5): whoever
comes too often waits.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ockam_twisted.relays.claims import Claim
from ockam_twisted.relays.relay import Relay
from ockam_twisted.routing.addresses import Address

#: A name that changed hands so often within so many seconds is fought over:
#: the next one waits, at most so long that its registration still succeeds.
_FOUGHT, _FOUGHT_WITHIN, _FOUGHT_WAIT = 3, 60.0, 8.0


class Fights:
    """
    See the module.

    @ivar waiting: Names for which somebody waits.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, waited: Callable[[Claim], object]) -> None:
        """
        @param waited: Called with a claim that has waited.
        """
        self.waiting: dict[Address, IDelayedCall] = {}
        self._clock = clock
        self._waited = waited

    def waits(self, claim: Claim, old: Relay) -> bool:
        """
        Does C{claim} have to wait?
        """
        if old.claim.forward_route == claim.forward_route:
            return False
        now = self._clock.seconds()
        recent = sum(now - each < _FOUGHT_WITHIN for each in old.takeovers)
        if recent < _FOUGHT:
            return False
        wait = min(_FOUGHT_WAIT, 2.0 ** (recent - _FOUGHT))
        self._log.warn(
            "Two processes take the relay name {name} from each other: {one}, and {other}, which waits {wait:.0f} s",
            name=claim.name,
            one=old.claim.peer,
            other=claim.peer,
            wait=wait,
            event="name-fought",
        )
        # The latest registration is the one that waits.
        earlier = self.waiting.pop(claim.address, None)
        if earlier is not None:
            earlier.cancel()
        self.waiting[claim.address] = self._clock.callLater(wait, self._over, claim)
        return True

    def _over(self, claim: Claim) -> None:
        del self.waiting[claim.address]
        self._waited(claim)

    def takeovers(self, claim: Claim, old: Relay) -> tuple[float, ...]:
        """
        When a name changed hands lately, now that C{claim} gets it.
        """
        if old.claim.forward_route == claim.forward_route:
            return ()
        now = self._clock.seconds()
        return (*(each for each in old.takeovers if now - each < _FOUGHT_WITHIN), now)

    def stop(self) -> None:
        """
        Nobody waits any more.
        """
        while self.waiting:
            self.waiting.popitem()[1].cancel()
