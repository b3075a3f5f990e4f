"""
Several ways to one outlet: what a session tries when there is more than one
relay.  It stays with the way that it has, and goes on to the next one when
that has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.errors import NoRoute, OckamError
from ockam_twisted.interfaces import IRotation
from ockam_twisted.routing.addresses import printable
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.life import Established
from ockam_twisted.sessions.session import NETWORK_ERRORS, REFUSALS

#: Seconds that a way has before the next one is tried beside it: a relay that
#: does not answer at all must not hold up those that do.
PATIENCE = 3.0

#: Characters of a log line for the reasons of all ways.
_REASONS = 180


def placeOf(way: MultiAddr) -> str:
    """
    Where a way begins, in short: C{HOST:PORT} of a relay, or of the outlet
    itself.
    """
    parts = [str(value) for name, value in way if name in ("dnsaddr", "ip4", "ip6", "tcp")][:2]
    host = f"[{parts[0]}]" if parts and ":" in parts[0] else parts[0] if parts else ""
    return printable(f"{host}:{parts[1]}" if len(parts) > 1 else str(way))


@implementer(IRotation)
class Rotation:
    """
    See the module.

    @ivar ways: The ways, in the order of preference.
    """

    def __init__(
        self, clock: IReactorTime, ways: Sequence[MultiAddr], begin: Callable[[MultiAddr], Deferred[Established]]
    ) -> None:
        """
        @param ways: At least one.
        @param begin: Makes one attempt over one way.
        """
        self.ways = tuple(ways)
        self._clock = clock
        self._begin = begin
        self._first = 0
        self._newest: object = None

    def start(self) -> Deferred[Established]:
        """
        See L{IAttempt.start}: over the way that was used last, unless that
        has ended; over the next ones if it cannot be had.
        """
        order = [(self._first + number) % len(self.ways) for number in range(len(self.ways))]
        return _Round(self._clock, self.ways, order, self._begin, self._made).result

    def moveOn(self) -> None:
        """
        See L{IRotation.moveOn}.
        """
        if self._newest is not None:
            self._newest = None
            self._first = (self._first + 1) % len(self.ways)

    def _made(self, number: int, made: Established, failures: str) -> Established:
        self._first = number
        newest = self._newest = object()

        def ended(reason: str) -> str:
            # What was replaced on purpose says nothing about its way.
            if self._newest is newest:
                self.moveOn()
            return reason

        def close() -> None:
            ended("")
            made.close()

        made.lost.addCallback(ended)
        return evolve(made, close=close, description=made.description + (f"; {failures}" if failures else ""))


class _Round:
    """
    One attempt: each way in turn, the next one beside the last one when that
    takes long, until one succeeds.

    @ivar result: Fires with what that has made.
    """

    def __init__(
        self,
        clock: IReactorTime,
        ways: Sequence[MultiAddr],
        order: list[int],
        begin: Callable[[MultiAddr], Deferred[Established]],
        made: Callable[[int, Established, str], Established],
    ) -> None:
        self.result: Deferred[Established] = Deferred(lambda _: self._end())
        self._clock = clock
        self._ways = ways
        self._order = order
        self._begin = begin
        self._made = made
        self._isOver = False
        self._trying: dict[int, Deferred[Established]] = {}
        self._failures: dict[int, Failure] = {}
        self._next: IDelayedCall | None = None
        self._goOn()

    def _goOn(self) -> None:
        self._stopWaiting()
        number = self._order.pop(0)
        trying = self._trying[number] = self._begin(self._ways[number])
        if self._order:
            self._next = self._clock.callLater(PATIENCE, self._late)
        trying.addCallbacks(self._succeeded, self._failed, callbackArgs=(number,), errbackArgs=(number,))

    def _late(self) -> None:
        self._next = None
        self._goOn()

    def _stopWaiting(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _end(self) -> None:
        self._isOver = True
        self._stopWaiting()
        for trying in list(self._trying.values()):
            trying.cancel()

    def _succeeded(self, established: Established, number: int) -> None:
        del self._trying[number]
        if self._isOver:
            # Two at the same moment.
            established.close()
            return
        self._end()
        self.result.callback(self._made(number, established, self._reasons()))

    def _failed(self, failure: Failure, number: int) -> None:
        del self._trying[number]
        if self._isOver:
            return
        if failure.check(OckamError, *NETWORK_ERRORS):
            # A traceback would keep what the attempt had made.
            failure.cleanFailure()
        self._failures[number] = failure
        if self._order:
            self._goOn()
        elif not self._trying:
            self._isOver = True
            self.result.errback(self._summary())

    def _reasons(self) -> str:
        """
        Why ways have failed, each reason once.
        """
        places: dict[str, list[str]] = {}
        for number, failure in self._failures.items():
            reason = failure.getErrorMessage() or type(failure.value).__name__
            places.setdefault(reason, []).append(placeOf(self._ways[number]))
        share = _REASONS // max(1, len(places))
        return "; ".join(printable(f"{', '.join(where)}: {reason}", share) for reason, where in places.items())

    def _summary(self) -> Failure:
        """
        What all failures come to: one that somebody has to do something
        about, only if that holds for each of them.
        """
        failures = list(self._failures.values())
        for failure in failures:
            # A mistake of ours is to be seen as such.
            if not failure.check(OckamError, *NETWORK_ERRORS):
                return failure
        if all(failure.check(*REFUSALS) for failure in failures):
            if len(failures) == 1:
                # It says who it is about.
                return failures[0]
            kind = next((each for each in REFUSALS if failures[0].check(each)), NoRoute)
            return Failure(kind(self._reasons()))
        return Failure(NoRoute(self._reasons()))
