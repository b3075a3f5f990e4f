"""
How two ends agree on the portal extension, in Ping and Pong (design, section
7; C{docs/portal-extension.rst}).
"""

from __future__ import annotations

import os

from attrs import frozen

from ockam_twisted.errors import DecodeError, LimitReached, PortalRefused
from ockam_twisted.interfaces import IRouter
from ockam_twisted.portals.exchange import NEEDED, Exchange
from ockam_twisted.portals.settings import StreamSettings
from ockam_twisted.routing.addresses import Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.wire.extension import ID_SIZE, Terms, decodeTerms, encodeTerms
from ockam_twisted.wire.portal import PING, PONG

#: What an outlet takes for a round trip until it knows better, seconds.
FIRST_ROUND_TRIP = 1.0


@frozen
class Offer:
    """
    What was offered in a Ping.

    @ivar terms: Of the inlet.
    @ivar settings: Ours.
    @ivar at: When it was sent or came, on the clock.
    """

    terms: Terms
    settings: StreamSettings
    at: float

    @property
    def ping(self) -> bytes:
        """
        The Ping that says so.
        """
        return encodeTerms(PING, self.terms)

    def accept(self, identifier: str) -> tuple[bytes, Exchange]:
        """
        Accept it, at the outlet.

        @param identifier: Of the inlet.
        @return: The Pong that says so, and what comes of it.
        @raise LimitReached: Too much is under way.
        """
        ours = self.settings.terms(os.urandom(ID_SIZE))
        return encodeTerms(PONG, ours), _agree(self.settings, ours, self.terms, identifier, FIRST_ROUND_TRIP)

    def accepted(self, pong: bytes, identifier: str) -> tuple[Terms, Exchange] | None:
        """
        It was answered, at the inlet.

        @param identifier: Of the outlet.
        @return: L{None} if the outlet does not know the extension.
        @raise DecodeError: The answer is damaged.
        @raise PortalRefused: It is no answer to what was offered.
        @raise LimitReached: Too much is under way.
        """
        theirs = decodeTerms(pong)
        if theirs is None:
            return None
        if theirs.stream is None or theirs.features & NEEDED != NEEDED:
            raise PortalRefused("the outlet accepts what was not offered")
        rtt = max(self.settings.clock.seconds() - self.at, 1e-5)
        return theirs, _agree(self.settings, self.terms, theirs, identifier, rtt)


def _agree(settings: StreamSettings, ours: Terms, theirs: Terms, identifier: str, rtt: float) -> Exchange:
    budget = settings.budgetOf(identifier)
    if not budget.take(2 * ours.limit):
        raise LimitReached("too much is under way already")
    return Exchange.agreed(ours, theirs, budget, rtt, settings.largestWindow)


def makeOffer(settings: StreamSettings | None, router: IRouter, route: Route) -> Offer | None:
    """
    What an inlet offers at the end of a route: nothing but inside a secure
    channel, where nobody on the way can strip it.
    """
    if settings is None or not settings.features or router.peers.find(route[0]) is None:
        return None
    return Offer(settings.terms(), settings, settings.clock.seconds())


def readOffer(settings: StreamSettings | None, ping: LocalMessage) -> Offer | None:
    """
    What an inlet has offered that this outlet accepts.
    """
    if settings is None or settings.features & NEEDED != NEEDED or ping.peerIdentity is None:
        return None
    try:
        terms = decodeTerms(ping.payload)
    except DecodeError:
        return None
    if terms is None or terms.features & NEEDED != NEEDED:
        return None
    return Offer(terms, settings, settings.clock.seconds())
