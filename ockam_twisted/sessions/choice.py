"""
Several outlets of one service: a session for each, all kept up, and one of
them that new streams go to (design, section 8).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from twisted.application.service import MultiService
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.errors import NotAccepted
from ockam_twisted.interfaces import IWay
from ockam_twisted.routing.addresses import Route
from ockam_twisted.sessions.destination import OutletSession
from ockam_twisted.sessions.session import Session

T = TypeVar("T")


@implementer(IWay)
class Choice(MultiService):
    """
    See the module.  It stays with the outlet that it has chosen for as long
    as that is up; then, and at first, it takes the first one in order that
    is.

    A stream stays with the outlet that has it: of a way to another one it
    hears, too, but does not take it.

    @ivar sessions: One for each outlet, in order of preference; none before
        the start.
    @ivar chosen: The one that new streams go to; L{None} if none is up.
    """

    _log = Logger()

    def __init__(self, make: Callable[[], Sequence[OutletSession]]) -> None:
        """
        @param make: Makes the sessions, at least one; called at the start,
            when everything that is kept can be read.
        """
        super().__init__()
        self.sessions: tuple[OutletSession, ...] = ()
        self.chosen: Session | None = None
        self._make = make
        self._routes: dict[Session, Route] = {}
        self._listeners: dict[object, Callable[[Route | None], None]] = {}
        # Who waits, with what it has asked: of the outlets that there are.
        self._waiting: dict[Deferred[Route], list[Deferred[Route]]] = {}

    def startService(self) -> None:
        """
        Begin with all of them.
        """
        if not self.sessions:
            self.sessions = tuple(self._make())
            for session in self.sessions:
                session.changed(partial(self._changed, session))
                session.setServiceParent(self)
        super().startService()
        self._askAll()

    def become(self, make: Callable[[], Sequence[OutletSession]], isTrustOther: bool) -> list[OutletSession]:
        """
        Lead to other outlets.  What leads to one that stays goes on; who
        waits, waits for those that there are then.

        @param make: As at first.
        @param isTrustOther: Does something else say who must be there?
        @return: The sessions of outlets that it does not lead to any more:
            no new streams go there.  They live until L{part}.
        """
        self._make = make
        if not self.sessions:
            return []
        known = {each.destination.key: each for each in self.sessions}
        sessions: list[OutletSession] = []
        for session in make():
            old = known.pop(session.destination.key, None)
            sessions.append(session if old is None else old)
            if old is not None:
                old.become(session, isTrustOther)
        before, self.sessions = self.sessions, tuple(sessions)
        for session in sessions:
            if session not in before:
                session.changed(partial(self._changed, session))
                session.setServiceParent(self)
        left = list(known.values())
        for session in left:
            if self._routes.pop(session, None) is not None:
                self._lost(session)
        self._askAll()
        return left

    def part(self, session: OutletSession) -> None:
        """
        End a session that was left.
        """
        if session in self.services:
            self.removeService(session)

    # ----------------------------------------------------------------- way

    @property
    def route(self) -> Route | None:
        """
        See L{IWay.route}: to the outlet that new streams go to.  One that is
        under suspicion is left for another one that is not.
        """
        if self.chosen is not None and self.chosen.isSuspect:
            at = self.sessions.index(self.chosen)
            others = [each for each in (*self.sessions[at:], *self.sessions[:at]) if not each.isSuspect]
            self._choose([*others, self.chosen], f"{self.chosen.label} does not answer")
        return None if self.chosen is None else self.chosen.route

    @property
    def isSuspect(self) -> bool:
        """
        See L{IWay.isSuspect}: of the outlet that new streams go to.
        """
        return self.chosen is not None and self.chosen.isSuspect

    @property
    def why(self) -> str:
        """
        See L{IWay.why}.
        """
        if self.chosen is not None:
            return ""
        if len(self.sessions) == 1:
            return self.sessions[0].why
        return "; ".join(f"{each.label}: {each.why}" for each in self.sessions) or "it has not begun yet"

    def whenUp(self) -> Deferred[Route]:
        """
        See L{IWay.whenUp}: fires with the first that is; fails if every
        outlet refuses us, or we them.
        """
        if self.route is not None:
            return succeed(self.route)
        waiting: Deferred[Route] = Deferred()
        self._waiting[waiting] = []
        waiting.addBoth(self._served, waiting)
        self._ask(waiting)
        return waiting

    def _served(self, result: T, waiting: Deferred[Route]) -> T:
        """
        Somebody has a route, is refused, or has given up.
        """
        self._unask(waiting)
        del self._waiting[waiting]
        return result

    def _unask(self, waiting: Deferred[Route]) -> None:
        asked, self._waiting[waiting] = self._waiting[waiting], []
        for each in asked:
            each.cancel()

    def _askAll(self) -> None:
        for waiting in list(self._waiting):
            # One of them may have canceled another one.
            if waiting in self._waiting:
                self._unask(waiting)
                self._ask(waiting)

    def _ask(self, waiting: Deferred[Route]) -> None:
        asked = self._waiting[waiting]
        reasons: list[str] = []

        def up(route: Route) -> None:
            if not waiting.called:
                waiting.callback(self.route or route)

        def failed(failure: Failure) -> None:
            if failure.trap(CancelledError, NotAccepted) is NotAccepted:
                reasons.append(failure.getErrorMessage())
                if len(reasons) == len(asked) and not waiting.called:
                    waiting.errback(NotAccepted("; ".join(dict.fromkeys(reasons))))

        for session in self.sessions:
            asked.append(session.whenUp())
        for each in asked:
            each.addCallbacks(up, failed)

    def suspect(self, reason: str, route: Route | None = None) -> None:
        """
        See L{IWay.suspect}: reaches the outlet that it is about.
        """
        for session in self.sessions:
            if session is self.chosen if route is None else session.route == route:
                session.suspect(reason, route)
                return

    def changed(self, listener: Callable[[Route | None], None]) -> Callable[[], None]:
        """
        See L{IWay.changed}: it hears of the routes to every outlet.  L{None}
        is for none of them being up.
        """
        key = object()
        self._listeners[key] = listener
        return lambda: self._listeners.pop(key, None) and None

    def _tell(self, route: Route | None) -> None:
        for listener in list(self._listeners.values()):
            listener(route)

    # ------------------------------------------------------------- changes

    def _changed(self, session: Session, route: Route | None) -> None:
        """
        A session has come up, has moved, or has gone down.
        """
        if session not in self.sessions:
            return
        before = self._routes.pop(session, None)
        if route is None:
            self._lost(session)
            return
        others = [each for each in self._routes if self._peer(each) and self._peer(each) == self._peer(session)]
        self._routes[session] = route
        if self.chosen is None:
            self._choose((session,), "")
        if before is not None or not others:
            self._tell(route)
        # Else the same outlet was up already: what it has goes on over that.

    def _lost(self, session: Session) -> None:
        if session is self.chosen:
            self._choose(self.sessions, f"{session.label} is down")
        if not self._routes:
            self._tell(None)
        for route in list(self._routes.values()):
            # Where two sessions lead to the same outlet the other one will do.
            self._tell(route)

    def _peer(self, session: Session) -> str:
        return "" if session.established is None else session.established.peer

    def _choose(self, order: Sequence[Session], reason: str) -> None:
        """
        Take the first that is up.
        """
        chosen = next((each for each in order if each in self._routes), None)
        if chosen is self.chosen:
            return
        self.chosen = chosen
        if chosen is not None and len(self.sessions) > 1:
            because = f": {reason}" if reason else ""
            self._log.info(
                "New streams go over the {label}{because}", label=chosen.label, because=because, event="outlet-chosen"
            )
