"""
Past the relay: once a way is up, a direct one is looked for, and what goes over the first
moves to it; when that breaks, back (spec messaging, section 8, and design, section 8).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.errors import OckamError
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import AllTrust, TrustIdentifier
from ockam_twisted.interfaces import IRotation, ITrustPolicy
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.sessions.attempt import PATIENCE, Parts, Walk, begin, establish
from ockam_twisted.sessions.failures import NETWORK_ERRORS
from ockam_twisted.sessions.life import Established
from ockam_twisted.sessions.negotiation import Punctures, openDirectly
from ockam_twisted.wire.puncture import placeText

#: Seconds until a direct way is looked for, and, if there is none or it does not last, until
#: it is again: twice as long each time.
FIRST, AGAIN, MOST = 0.5, 15.0, 600.0

#: So many seconds a direct way lasts that is worth having.
WORTH = 60.0

#: Seconds that one search may take.
TIMEOUT = 25.0

_REASON = "a direct one was found"

#: The address of the listener at the other end.
_LISTENER = Address.local("api")


@implementer(IRotation)
class DirectAttempt:
    """
    What a session tries that would rather go directly: at first what it would try
    anyway; then, over what has come of that, a direct way.
    """

    _log = Logger()

    def __init__(
        self,
        walk: Walk,
        punctures: Punctures,
        attempt: IRotation,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """
        @param attempt: What makes the first way.
        @param uniform: Picks a number between two others, for jitter.
        """
        self._walk = walk
        self._punctures = punctures
        self._attempt = attempt
        self._uniform = uniform
        self._session: Any = None
        self._ready: Established | None = None
        self._direct: Established | None = None
        self._searching: Deferred[Established] | None = None
        self._renewing: Deferred[Established] | None = None
        self._search: IDelayedCall | None = None
        self._failures = 0
        self._since = 0.0

    def follow(self, session: Any) -> None:
        """
        Look for a direct way whenever this session is up by another one.

        @param session: The L{ockam_twisted.sessions.session.Session} that tries this.
        """
        self._session = session
        session.changed(self._changed)
        self._punctures.tell(self)

    # ------------------------------------------------------------- attempt

    def start(self) -> Deferred[Established]:
        """
        See L{IAttempt.start}: what was found, if it still is there; else the
        same as what is in use.
        """
        ready, self._ready = self._ready, None
        if ready is not None and not ready.lost.called:
            self._direct, self._since = ready, self._walk.clock.seconds()
            return succeed(ready)
        established: Established | None = self._session.established
        if established is None or established is not self._direct:
            return self._attempt.start()
        return self._renewed(established)

    def _renewed(self, established: Established) -> Deferred[Established]:
        def made(another: Established) -> Established:
            self._renewing = None
            self._direct, self._since = another, self._walk.clock.seconds()
            return another

        def failed(failure: Failure) -> Any:
            isForgotten = self._renewing is not finding
            if not isForgotten:
                self._renewing = None
                failure.trap(OckamError, CannotListenError, *NETWORK_ERRORS)
            return self._attempt.start()

        finding = self._renewing = self._find(established)
        return finding.addCallbacks(made, failed)

    def forget(self) -> None:
        """
        What is in use leads to where it must not any more: no more direct
        ways like it.
        """
        self._end()
        self._failures = 0

    def moveOn(self) -> None:
        """
        See L{IRotation.moveOn}: a direct way is none of those to choose from.
        """
        if self._ready is None and self._session.established is not self._direct:
            self._attempt.moveOn()

    # -------------------------------------------------------------- search

    def _changed(self, route: Route | None) -> None:
        established = self._session.established
        if established is None:
            self._stop()
        elif self._ready is not None:
            # Something else has come in between.
            self._walk.clock.callLater(0, self._prefer)
        else:
            self.look()

    def _prefer(self) -> None:
        if self._ready is not None:
            self._session.leave(_REASON)

    def again(self) -> None:
        """
        Somebody else is to be asked: what has come of the last one says nothing.
        """
        self._failures = 0
        self._cancelSearch()
        self.look()

    def _cancelSearch(self) -> None:
        if self._search is not None:
            self._search.cancel()
            self._search = None

    def look(self) -> None:
        """
        Look for a direct way soon, if one is wanted and there is none.
        """
        established = self._session.established
        isWanted = established is not None and established is not self._direct and established.peer
        isUnderWay = self._search is not None or self._searching is not None or self._ready is not None
        if isWanted and not isUnderWay and self._punctures.rendezvous is not None:
            delay = self._delay(self._failures - 1) if self._failures else FIRST
            self._search = self._walk.clock.callLater(delay, self._look)

    def _stop(self) -> None:
        """
        What is in use is lost: nothing can be asked over it.
        """
        isBrief = self._direct is not None and self._walk.clock.seconds() - self._since < WORTH
        self._failures = self._failures + 1 if isBrief else 0
        self._end()

    def _end(self) -> None:
        self._cancelSearch()
        ready, self._ready, self._direct = self._ready, None, None
        searching, self._searching = self._searching, None
        renewing, self._renewing = self._renewing, None
        for each in (searching, renewing):
            if each is not None:
                each.cancel()
        if ready is not None:
            ready.close()

    def _look(self) -> None:
        self._search = None
        searching = self._searching = self._find(self._session.established)
        searching.addTimeout(TIMEOUT, self._walk.clock)
        searching.addCallbacks(self._found, self._notFound, callbackArgs=(searching,), errbackArgs=(searching,))

    def _found(self, direct: Established, searching: Deferred[Established]) -> None:
        if searching is not self._searching:
            direct.close()
            return
        self._searching = None
        self._ready = direct
        direct.lost.addCallback(self._lostEarly, direct)
        self._prefer()

    def _lostEarly(self, reason: str, direct: Established) -> str:
        if direct is self._ready:
            self._ready = None
            direct.close()
            self._later()
        return reason

    def _notFound(self, failure: Failure, searching: Deferred[Established]) -> None:
        if searching is not self._searching:
            # It was given up.
            return
        self._searching = None
        if not failure.check(OckamError, CannotListenError, DeferredTimeout, *NETWORK_ERRORS):
            self._log.failure(
                "{label}: looking for a direct way has failed",
                failure,
                label=self._session.label,
                event="direct-search-failed",
            )
        delay = self._later()
        self._log.info(
            "{label}: there is no direct way: {reason}; looking again in {delay:.0f} s",
            label=self._session.label,
            reason=failure.getErrorMessage(),
            delay=delay,
            event="no-direct-way",
        )

    def _later(self) -> float:
        delay = self._delay(self._failures)
        self._failures += 1
        if self._punctures.rendezvous is None:
            return delay
        self._search = self._walk.clock.callLater(delay, self._look)
        return delay

    def _delay(self, failures: int) -> float:
        return self._uniform(0.75, 1.0) * min(AGAIN * 2.0 ** min(failures, 10), MOST)

    def _find(self, established: Established) -> Deferred[Established]:
        """
        Make a direct way to who is at the end of another one.
        """

        async def make(parts: Parts) -> Established:
            walk, tail = self._walk, established.route[1:]
            place = await openDirectly(self._punctures, walk, Route(established.route[:1]), parts)
            trust: ITrustPolicy = TrustIdentifier(Identifier(established.peer))
            destination = getattr(self._session, "destination", None)
            if destination is not None:
                trust = AllTrust(trust, destination.trust)
            channel = await walk.secure(Route((parts.hops[0].address, _LISTENER)), trust, parts, PATIENCE)
            return await establish(walk, Route((channel.encryptor, *tail)), parts, f"directly, udp {placeText(place)}")

        return begin(make)
