"""
Two nodes that already talk, through others, agree on a direct way through the
NATs between them (spec messaging, section 8.2).

What one of them says first leads to sockets and datagrams of the other, so it counts only in
a secure channel, and from each peer only a few times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakSet

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import Logger

from ockam_twisted.channels.pace import Pace
from ockam_twisted.errors import DecodeError, NoRoute, OckamError
from ockam_twisted.interfaces import IRouter
from ockam_twisted.portals.refusals import Refusals
from ockam_twisted.routing.addresses import Address, Route, printable
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.services.requests import requestRaw
from ockam_twisted.services.worker import WorkerService
from ockam_twisted.sessions.attempt import Parts, Walk
from ockam_twisted.transports.datagrams import resolved
from ockam_twisted.transports.puncture import Puncture
from ockam_twisted.transports.service import TransportService
from ockam_twisted.wire.puncture import (
    NEGOTIATION,
    QUIC,
    Introduction,
    Place,
    decodeIntroduction,
    encodeIntroduction,
)

ADDRESS = Address.local(NEGOTIATION.decode())

#: Seconds until the other end has to have answered.
TIMEOUT = 10.0

#: How many ways one peer, and all of them, may have asked for that are still open: each of
#: its inlets has one, and another one while that is replaced.  And how often one may ask, at
#: once, and in a second.
PEER_WAYS, ALL_WAYS, AT_ONCE, A_SECOND = 32, 256, 8, 1.0


class Punctures:
    """
    Makes sockets for direct ways, if there is a rendezvous to ask.

    @ivar rendezvous: Host (a name, or an address) and UDP port; L{None}: there are
        no direct ways.
    """

    def __init__(self, reactor: Any, rendezvous: Place | None = None) -> None:
        self.reactor = reactor
        self.rendezvous = rendezvous
        self._waiting: WeakSet[Any] = WeakSet()

    def tell(self, attempt: Any) -> None:
        """
        Call the C{again} of this L{ockam_twisted.sessions.direct.DirectAttempt}
        when there is another rendezvous.
        """
        self._waiting.add(attempt)

    def become(self, rendezvous: Place | None) -> None:
        """
        Ask somebody else from now on.
        """
        before, self.rendezvous = self.rendezvous, rendezvous
        if rendezvous != before:
            for attempt in list(self._waiting):
                attempt.again()

    async def puncture(self) -> tuple[Puncture, Place]:
        """
        A socket, and where it is seen.

        @raise OckamError: There is no rendezvous, or it does not answer.
        @raise CannotListenError: There is no socket to be had.
        """
        if self.rendezvous is None:
            raise NoRoute("no rendezvous is known")
        host, port = self.rendezvous
        try:
            address = await resolved(self.reactor, host)
        except CancelledError:
            raise
        except Exception as error:
            raise NoRoute(f"the rendezvous {host} has no address: {error}") from None
        puncture = Puncture(self.reactor)
        puncture.listen((address, port))
        try:
            return puncture, await puncture.ask()
        except BaseException:
            puncture.close("nobody waits for it any more")
            raise


async def openDirectly(punctures: Punctures, walk: Walk, route: Route, parts: Parts) -> Place:
    """
    Find a direct way, and connect over it.

    @param route: A way that there is already, to where the L{NegotiationService}
        of the other node is.
    @param parts: Gets the hop.
    @return: Where the other node is.
    @raise OckamError: There is none; the text says why.
    """
    from ockam_twisted.transports.quic import QUICEndpoint

    puncture, place = await punctures.puncture()
    try:
        initiate = encodeIntroduction(Introduction(place, puncture.worker, QUIC, puncture.local()))
        answer = await requestRaw(walk.router, walk.clock, route.append(ADDRESS), initiate, TIMEOUT)
        try:
            other = decodeIntroduction(answer)
        except DecodeError as error:
            raise NoRoute(f"the other end does not know of direct ways: {error}") from None
        if not other.carries & QUIC:
            raise NoRoute("the other end does not speak QUIC")
        await puncture.open((other.place, *other.others), other.worker)
        assert puncture.peer is not None
        endpoint = QUICEndpoint(punctures.reactor, *puncture.peer, bind=puncture.bind)
        hop: Any = await walk.connectOver(endpoint, parts)
    except BaseException:
        puncture.close("it is not needed any more")
        raise
    puncture.broken = hop.abortConnection
    return puncture.peer


class NegotiationService(WorkerService):
    """
    Answers those who ask for a direct way to this node.
    """

    _log = Logger()

    def __init__(
        self,
        punctures: Punctures,
        router: IRouter,
        transport: TransportService,
        consumerIds: tuple[str, ...] = (),
    ) -> None:
        """
        @param transport: Takes the connections that come over them.
        @param consumerIds: See L{WorkerService}: of secure-channel listeners.
        """
        super().__init__(router, ADDRESS, consumerIds)
        self._punctures = punctures
        self._transport = transport
        self._asked: Counter[str] = Counter()
        self._open: set[Puncture] = set()
        self._running: set[Deferred[None]] = set()
        self._pace = Pace(AT_ONCE, A_SECOND)
        self._refusals = Refusals(punctures.reactor)

    @property
    def count(self) -> int:
        """
        How many direct ways there are, or are being made, that others have
        asked for.
        """
        return self._asked.total()

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        peer = message.peerIdentity
        if peer is None or len(message.onward_route) != 1 or not message.return_route:
            return
        if self._punctures.rendezvous is None:
            return
        try:
            introduction = decodeIntroduction(message.payload)
        except DecodeError:
            return
        # Streams go over nothing that loses parts of them: who cannot do better
        # gets no answer, and stays where he is.
        if not introduction.carries & QUIC:
            return
        who = peer.identifier
        isFull = self._asked[who] >= PEER_WAYS or self._asked.total() >= ALL_WAYS
        if isFull or not self._pace.permits(who, self._punctures.reactor.seconds()):
            if self._refusals.isNews(who):
                self._log.warn(
                    "{peer} asks for too many direct ways", peer=printable(who), event="direct-ways-too-many"
                )
            return
        self._asked[who] += 1
        answering = Deferred.fromCoroutine(self._answer(message, introduction, partial(self._ended, who)))
        self._running.add(answering)
        answering.addErrback(self._failed, who)
        answering.addBoth(lambda _: self._running.discard(answering))

    def _ended(self, who: str) -> None:
        self._asked[who] -= 1
        if not self._asked[who]:
            del self._asked[who]

    def _failed(self, failure: Any, who: str) -> None:
        if failure.check(CancelledError):
            return
        if not failure.check(OckamError, CannotListenError):
            self._log.failure(
                "A direct way for {peer} has failed", failure, peer=printable(who), event="direct-way-failed"
            )
            return
        self._log.info(
            "There is no direct way for {peer}: {reason}",
            peer=printable(who),
            reason=failure.getErrorMessage(),
            event="direct-way-none",
        )

    async def _answer(self, message: LocalMessage, theirs: Introduction, ended: Callable[[], None]) -> None:
        from ockam_twisted.transports.quic import QUICServerEndpoint

        try:
            puncture, place = await self._punctures.puncture()
        except BaseException:
            ended()
            raise
        self._open.add(puncture)

        def closed(why: str) -> None:
            self._open.discard(puncture)
            ended()

        puncture.closed = closed
        endpoint: IStreamServerEndpoint = QUICServerEndpoint(self._punctures.reactor, 0, bind=puncture.bind)
        try:
            await endpoint.listen(self._transport.servers)
            opening = puncture.open((theirs.place, *theirs.others), theirs.worker)
            if opening.called:
                # There is nothing to send to: nobody has to wait for that.
                await opening
            with self._router.turn:
                self.answer(message, encodeIntroduction(Introduction(place, puncture.worker, QUIC, puncture.local())))
            await opening
        except BaseException:
            puncture.close("it was given up")
            raise

    def stopService(self) -> None:
        """
        Answer no more, and close all direct ways.
        """
        super().stopService()
        for answering in list(self._running):
            answering.cancel()
        for puncture in list(self._open):
            puncture.close("this node is about to stop")
