"""
How two ends agree on the portal extension, in Ping and Pong (design, section
7; C{docs/portal-extension.rst}).
"""

from __future__ import annotations

import os
from functools import lru_cache

from attrs import frozen

from ockam_twisted.errors import DecodeError, LimitReached, PortalRefused
from ockam_twisted.interfaces import IRouter
from ockam_twisted.portals.exchange import NEEDED, Exchange
from ockam_twisted.portals.settings import StreamSettings
from ockam_twisted.portals.windows import ReceiveWindow
from ockam_twisted.routing.addresses import Route
from ockam_twisted.routing.local_message import LocalMessage, PeerIdentity
from ockam_twisted.wire.extension import ID_SIZE, RESET_KIND, Reset, decodeExtension
from ockam_twisted.wire.portal import PING, PONG, readPortal
from ockam_twisted.wire.terms import EARLY, Early, Terms, decodeTerms, encodeTerms

_PONG, _DISCONNECT = 1, 2


@frozen
class Pong:
    """
    An outlet has opened a stream.

    @ivar exchange: What was agreed; L{None}: the outlet does not know the
        extension.
    @ivar instance: Of its process.
    """

    exchange: Exchange | None = None
    instance: bytes = b""


@frozen
class Offer:
    """
    What was offered in a Ping.

    @ivar terms: Of the inlet.
    @ivar settings: Ours.
    @ivar receiving: What the far end may send; at the inlet only.
    @ivar ping: The Ping that says so; at the inlet only.
    """

    terms: Terms
    settings: StreamSettings
    receiving: ReceiveWindow | None = None
    ping: bytes = b""

    @property
    def early(self) -> bytes:
        """
        What the client has said already, if both ends know of such a thing.
        """
        terms = self.terms
        if terms.early is None or not terms.features & self.settings.features & EARLY:
            return b""
        return terms.early.data

    def accept(self, peer: PeerIdentity) -> tuple[Terms, Exchange]:
        """
        Accept it, at the outlet.

        @param peer: The inlet.
        @return: Our terms, and what comes of it.
        @raise LimitReached: Too much is under way.
        """
        settings = self.settings
        receiving = settings.receiving(peer)
        ours = settings.terms(receiving, os.urandom(ID_SIZE))
        try:
            return ours, settings.agree(ours, self.terms, receiving, peer)
        except LimitReached:
            receiving.close()
            raise

    def acceptAgain(self, exchange: Exchange) -> bytes:
        """
        The inlet has asked once more for what was accepted already.

        @return: The Pong that says so.
        """
        return encodeTerms(PONG, self.settings.terms(exchange.receiving, exchange.stream))

    def accepted(self, pong: bytes, peer: PeerIdentity) -> Pong:
        """
        It was answered, at the inlet.

        @param peer: The outlet.
        @raise DecodeError: The answer is damaged.
        @raise PortalRefused: It is no answer to what was offered.
        @raise LimitReached: Too much is under way.
        """
        theirs = decodeTerms(pong)
        if theirs is None:
            return Pong()
        if theirs.stream is None or theirs.features & NEEDED != NEEDED:
            raise PortalRefused("the outlet accepts what was not offered")
        assert self.receiving is not None
        self.receiving.answered(self.settings.clock.seconds())
        return Pong(self.settings.agree(self.terms, theirs, self.receiving, peer), theirs.instance)

    def withdraw(self) -> None:
        """
        Nothing came of it.
        """
        if self.receiving is not None:
            self.receiving.close()


def makeOffer(
    settings: StreamSettings | None,
    router: IRouter,
    route: Route,
    client: bytes | None = None,
    early: Early | None = None,
) -> Offer | None:
    """
    What an inlet offers at the end of a route: nothing but inside a secure
    channel, where nobody on the way can strip it.

    @param client: Whose connection it is, if that is told.
    @param early: What it has said already, if that is sent at once.
    @raise LimitReached: Too much is under way.
    """
    peer = router.peers.find(route[0])
    if settings is None or not settings.features or peer is None:
        return None
    receiving = settings.receiving(peer)
    terms, ping = (_offer if client is None and early is None else _offerFor)(
        settings.features, receiving.granted, settings.instance, client, early
    )
    return Offer(terms, settings, receiving, ping)


def _offerFor(
    features: int, limit: int, instance: bytes, client: bytes | None, early: Early | None
) -> tuple[Terms, bytes]:
    terms = Terms(features, limit, instance, client=client, early=early)
    return terms, encodeTerms(PING, terms)


#: The same for most streams, if it tells no client, and nothing of what it says.
_offer = lru_cache(64)(_offerFor)


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
    return Offer(terms, settings)


def readAnswer(offer: Offer | None, message: LocalMessage) -> Pong | Reset | None:
    """
    What has come while Pong is awaited.

    @param offer: What was offered, if the answer may be about it.
    @return: L{None}: the outlet could not connect to its target.
    @raise DecodeError: Nothing that is an answer.
    @raise PortalRefused: It is no answer to what was offered.
    @raise LimitReached: Too much is under way.
    """
    kind, _, _, _ = readPortal(message.payload)
    if kind == _PONG and message.return_route:
        peer = message.peerIdentity
        return Pong() if offer is None or peer is None else offer.accepted(message.payload, peer)
    if kind == _DISCONNECT:
        return None
    if kind == RESET_KIND and offer is not None:
        reset = decodeExtension(message.payload)
        assert isinstance(reset, Reset)
        return reset
    raise DecodeError("a Pong is awaited")


def isAcceptance(pong: bytes) -> bool:
    """
    Has the outlet accepted an offer?
    """
    try:
        return decodeTerms(pong) is not None
    except DecodeError:
        return False
