"""
The outlet: a worker that connects streams to a target (spec portals,
sections 2 and 5.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionRefusedError, TimeoutError
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.errors import DecodeError, PortalRefused, TimedOut
from ockam_twisted.interfaces import IAccessControl, IAdmission, IBounded, ILocalSide, IRouter, ISockets, ITarget
from ockam_twisted.portals.announced import AnnouncedSocket
from ockam_twisted.portals.decisions import Decisions
from ockam_twisted.portals.negotiation import Offer, readOffer
from ockam_twisted.portals.outletstream import OutletStream
from ockam_twisted.portals.plain import REFUSAL, State
from ockam_twisted.portals.refusals import refusal as refused
from ockam_twisted.portals.resumption import Resumptions
from ockam_twisted.portals.settings import StreamSettings
from ockam_twisted.portals.socket import PortalSocket
from ockam_twisted.portals.totals import Totals
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage, PeerIdentity
from ockam_twisted.wire.extension import (
    POLICY,
    PROTOCOL_ERROR,
    REFUSED,
    RESUME_KIND,
    SHUTTING_DOWN,
    TIMED_OUT,
    UNKNOWN,
    UNREACHABLE,
    Reset,
)
from ockam_twisted.wire.portal import DISCONNECT, readPortal

_PING, _PAYLOAD = 0, 3

#: What the inlet is told of a failure to connect.
_CODES = ((ConnectionRefusedError, REFUSED), (TimedOut, TIMED_OUT), (TimeoutError, TIMED_OUT))

#: Seconds the target has to accept a connection.
DIAL_TIMEOUT = 8.0


class _Dialed(Factory):
    """
    Hands out the near end that waits for its connection.
    """

    noisy = False

    def __init__(self, local: PortalSocket) -> None:
        self._local = local

    def buildProtocol(self, addr: object) -> PortalSocket:
        return self._local


@implementer(ITarget)
class SocketTarget:
    """
    A target reached over a client endpoint.
    """

    def __init__(
        self, router: IRouter, sockets: ISockets, endpoint: IStreamClientEndpoint, label: str, announces: bool = False
    ) -> None:
        """
        @param label: What it is, for people.
        @param announces: Is it told whose connection it is?
        """
        self.label = label
        self._kind = AnnouncedSocket if announces else PortalSocket
        self._router = router
        self._sockets = sockets
        self._endpoint = endpoint

    def local(self) -> PortalSocket:
        """
        See L{ITarget.local}.
        """
        return self._kind(self._router, self._sockets, f"the target {self.label}")

    def connect(self, local: ILocalSide) -> Deferred[Any]:
        """
        See L{ITarget.connect}.
        """
        assert isinstance(local, PortalSocket)
        return self._endpoint.connect(_Dialed(local))


@implementer(IBounded)
class Outlet(Service):
    """
    See the module.

    @ivar address: Where inlets send their Ping.
    @ivar streams: The streams there are.
    @ivar totals: What all of them have done.
    @ivar settings: Of the portal extension.
    @ivar resumptions: Which streams may go on over another way.
    @ivar target: What new streams are connected to.
    """

    _log = Logger()

    def __init__(
        self,
        router: IRouter,
        clock: IReactorTime,
        target: ITarget,
        address: Address,
        incoming: IAccessControl | None = None,
        maxStreams: int = 4096,
        maxDialing: int = 512,
        admission: IAdmission | None = None,
        settings: StreamSettings | None = None,
    ) -> None:
        """
        @param settings: Of the portal extension.
        @param incoming: Which messages may reach this outlet and its streams.
        @param admission: Who may have streams; asked again when something has
            changed about who has one.
        @param maxStreams: How many streams may be open at once, of all peers;
            one has three quarters of it at most.
        @param maxDialing: How many may wait for the target at once.
        """
        self.address = address
        self.streams: set[OutletStream] = set()
        self.totals = Totals()
        self._router = router
        self._clock = clock
        self.target = target
        self._incoming = incoming
        self._maxStreams = maxStreams
        self._maxDialing = maxDialing
        self._dialing: dict[OutletStream, Deferred[Any]] = {}
        self._failing = False
        self._draining = False
        self._unwatch: Callable[[], None] | None = None
        self.settings = StreamSettings(clock) if settings is None else settings
        self.resumptions = Resumptions(self.settings)
        self._decisions = Decisions(address, admission, self.settings)

    @property
    def label(self) -> str:
        """
        What streams are connected to, for people.
        """
        return str(self.target.label)

    def startService(self) -> None:
        """
        Answer Pings from now on.
        """
        super().startService()
        self._router.register(self.address, self, self._incoming)
        self._unwatch = self._router.peers.watch(self._peerChanged)

    def drain(self) -> Deferred[None]:
        """
        Refuse new streams; those that are there go on.
        """
        self._draining = True
        return succeed(None)

    def goOn(self) -> None:
        """
        Take new streams again.
        """
        self._draining = False

    def admit(self, admission: IAdmission | None) -> None:
        """
        From now on somebody else decides who may have streams; those of who
        may not have them any more end.
        """
        self._decisions.admission = admission
        if admission is None:
            return
        with self._router.turn:
            for stream in list(self.streams):
                its = stream.peer
                now = None if its is None else self._router.peers.find(its.encryptor) or its
                refusal = admission.refusal(now)
                if refusal:
                    self._decisions.made(its, refusal, "keep")
                    stream.abandon("it is not permitted any more", POLICY)

    def stopService(self) -> None:
        """
        End every stream.
        """
        super().stopService()
        self._router.unregister(self.address)
        if self._unwatch is not None:
            self._unwatch()
        with self._router.turn:
            for stream in list(self.streams):
                stream.abandon("the outlet is shutting down")

    def messageReceived(self, message: LocalMessage) -> None:
        """
        A Ping opens a stream.  See L{IWorker.messageReceived}.
        """
        try:
            kind, _, _, _ = readPortal(message.payload)
        except DecodeError:
            return
        back = message.return_route
        if not back or message.source is None:
            return
        if kind == _PAYLOAD:
            self._decisions.refused("its inlet does not wait for Pong (it uses skip_handshake)")
            self._answer(back, (DISCONNECT,))
        elif kind == RESUME_KIND:
            refusal = self._refusal(message.peerIdentity)
            self._decisions.made(message.peerIdentity, refusal, "go on")
            answer = self.resumptions.ask(message, refusal)
            if answer is not None:
                self._answer(back, (answer,))
        elif kind == _PING:
            self._answer(back, self._asked(message, readOffer(self.settings, message)))

    def _asked(self, ping: LocalMessage, offer: Offer | None) -> Iterable[bytes]:
        """
        Somebody wants a stream.

        @return: What is said to who gets none; what else is to be said, the
            stream says itself.
        """
        peer, settings = ping.peerIdentity, self.settings
        refusal = self._refusal(peer)
        self._decisions.made(peer, refusal, "open")
        known = settings.early.find(peer, offer)
        if known is not None:
            return self._askedAgain(ping, offer, known, refusal)
        if refusal:
            said = self._said(offer, POLICY, "")
        elif self._draining:
            self._decisions.refused("the outlet is shutting down")
            said = self._said(offer, SHUTTING_DOWN, "the outlet is shutting down")
        elif self._isFull(peer):
            self._decisions.refused(f"there are {len(self.streams)} already")
            said = REFUSAL
        else:
            self._dial(ping, offer)
            return ()
        if not refusal:
            settings.early.refused(peer, offer, self._clock.seconds(), settings.resumeTimeout)
        return said

    def _isFull(self, peer: PeerIdentity | None) -> bool:
        """
        Is there no room for one more stream of a peer?  One peer alone leaves
        a quarter to the others.
        """
        there, of = len(self.streams), self._maxStreams
        if there >= of or len(self._dialing) >= self._maxDialing:
            return True
        most = of - of // 4
        if peer is None or there < most:
            return False
        its = [each.peer for each in self.streams]
        return sum(each is not None and each.identifier == peer.identifier for each in its) >= most

    def _askedAgain(
        self, ping: LocalMessage, offer: Offer | None, known: OutletStream | Reset, refusal: str
    ) -> Iterable[bytes]:
        """
        An inlet has had no answer to its Ping.

        @param known: What is known of that stream.
        @return: As L{_asked}.
        """
        if isinstance(known, Reset):
            return self._said(offer, known.code, known.text)
        if known not in self.streams:
            return self._said(offer, UNKNOWN, "it is a stream of another outlet")
        if refusal:
            known.abandon("it is not permitted any more", POLICY)
            return self._said(offer, POLICY, "")
        assert offer is not None
        self.resumptions.found(known)
        self.settings.early.asked(known, ping.peerIdentity, offer)
        try:
            known.pingedAgain(ping, offer)
        except PortalRefused as error:
            known.abandon(str(error), PROTOCOL_ERROR)
        return ()

    def _said(self, offer: Offer | None, code: int, reason: str) -> Iterable[bytes]:
        """
        What is said to who gets no stream; why, if it understands that.
        """
        return REFUSAL if offer is None else (refused(code, reason), *REFUSAL)

    def _refusal(self, peer: PeerIdentity | None) -> str:
        if peer is not None and not peer.isOrdered:
            return "its channel goes over a road that loses messages: /udp/PORT/quic does not"
        return self._decisions.refusal(peer)

    def _peerChanged(self, encryptor: Address) -> None:
        """
        Decide anew about the streams of a channel.
        """
        peer = self._router.peers.find(encryptor)
        isRefused = peer is not None and self._router.peers.isRefused(encryptor)
        if isRefused:
            refusal = "it is not accepted any more"
        else:
            refusal = self._decisions.refusal(peer)
        if not refusal:
            return
        with self._router.turn:
            for stream in list(self.streams):
                its = stream.peer
                # Who is not accepted does not get back what waits for its way.
                if its is not None and (
                    its.encryptor == encryptor or (isRefused and peer is not None and its.identifier == peer.identifier)
                ):
                    self._decisions.made(its, refusal, "keep")
                    stream.abandon("it is not permitted any more", POLICY)

    def _answer(self, back: Route, messages: Iterable[bytes]) -> None:
        for message in messages:
            self._router.route(LocalMessage(back, Route((self.address,)), message), self.address)

    def _dial(self, ping: LocalMessage, offer: Offer | None) -> None:
        target = self.target
        local: Any = target.local()
        stream = local.stream = OutletStream(self._router, local, self._streamEnded, self._incoming, self.settings)
        self.streams.add(stream)
        self.totals.opened += 1
        stream.pinged(ping, offer)
        if stream.state is not State.DIALING:
            return
        self.settings.early.asked(stream, stream.peer, offer)
        if stream.offer is not None and stream.peer is not None:
            self.resumptions.restarted(stream.peer, stream.offer.terms.instance)
        connecting = target.connect(local)
        self._dialing[stream] = connecting
        if not connecting.called:
            # What an endpoint fails with when it is canceled is its own choice.
            connecting.addTimeout(
                DIAL_TIMEOUT,
                self._clock,
                lambda _, seconds: Failure(TimedOut(f"no answer within {seconds:.0f} s")),
            )
        connecting.addCallbacks(self._connected, self._failed, callbackArgs=(stream,), errbackArgs=(stream,))

    def _connected(self, _: object, stream: OutletStream) -> None:
        self._dialing.pop(stream, None)
        if self._failing:
            self._failing = False
            self._log.info("The target {target} answers again", target=self.target.label, event="target-back")
        with self._router.turn:
            stream.pong()
            self.resumptions.opened(stream)
            stream.waits = self.resumptions.waits

    def _failed(self, failure: Failure, stream: OutletStream) -> None:
        self._dialing.pop(stream, None)
        if stream.state is State.ENDED:
            return
        # One line for each time it stops answering, not for each client.
        if not self._failing:
            self._failing = True
            self._log.warn(
                "The target {target} does not answer: {reason}; clients are refused, and the next one tries again",
                target=self.target.label,
                reason=failure.getErrorMessage(),
                event="target-down",
            )
        with self._router.turn:
            code = next((code for kind, code in _CODES if failure.check(kind)), UNREACHABLE)
            stream.abandon(f"the target does not answer: {failure.getErrorMessage()}", code)

    def _streamEnded(self, stream: OutletStream) -> None:
        self.streams.discard(stream)
        self.totals.ended(stream)
        self.resumptions.ended(stream)
        self.settings.early.ended(stream, self._clock.seconds(), self.settings.resumeTimeout)
        connecting = self._dialing.pop(stream, None)
        if connecting is not None:
            connecting.cancel()
