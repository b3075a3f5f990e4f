"""
A way that nobody has to keep alive.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from zope.interface import implementer

from ockam_twisted.interfaces import IWay
from ockam_twisted.routing.addresses import Route


@implementer(IWay)
class StaticWay:
    """
    A way that somebody else has made and keeps: always up.
    """

    why = ""
    isSuspect = False

    def __init__(self, route: Route) -> None:
        self.route: Route | None = route
        self._route = route

    def whenUp(self) -> Deferred[Route]:
        """
        See L{IWay.whenUp}.
        """
        up: Deferred[Route] = Deferred()
        up.callback(self._route)
        return up

    def suspect(self, reason: str, route: Route | None = None) -> None:
        """
        See L{IWay.suspect}.
        """

    def changed(self, listener: Callable[[Route | None], None]) -> Callable[[], None]:
        """
        See L{IWay.changed}.
        """
        return lambda: None
