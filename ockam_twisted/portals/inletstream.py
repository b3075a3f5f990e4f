"""
The end of a stream where clients are accepted: asks for it, and asks to go on
over another way (spec portals, section 2; design, section 7).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import evolve

from ockam_twisted.errors import DecodeError, LimitReached, PortalRefused
from ockam_twisted.interfaces import Buffer, PayloadReceiver
from ockam_twisted.portals.extension import Extension
from ockam_twisted.portals.negotiation import makeOffer, readAnswer
from ockam_twisted.portals.plain import State
from ockam_twisted.portals.refusals import reasonOf, refusal
from ockam_twisted.portals.stream import PortalStream
from ockam_twisted.routing.addresses import Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.wire.extension import PROTOCOL_ERROR, REFUSED, SHUTTING_DOWN, Reset, Resumed, decodeExtension
from ockam_twisted.wire.portal import PING
from ockam_twisted.wire.terms import EARLY, Early


class InletStream(PortalStream):
    """
    See the module.

    @ivar anew: What to do when the way is lost before Pong has come: the near
        end has another stream then, and is not told.
    @ivar elsewhere: The outlet is about to stop: may another one be asked?
    @ivar client: Whose connection it is; told to the outlet.
    @ivar early: What it has said before the stream is open; the near end gives
        that no more.
    """

    isInlet = True
    anew: Callable[[], object] | None = None
    elsewhere: Callable[[], bool] | None = None
    client: bytes | None = None
    early = b""
    _brought: Early | None = None
    _meant: bytes | None = None

    # ------------------------------------------------------------- opening

    def ping(self, route: Route, outlet: bytes | None = None) -> None:
        """
        Ask the outlet at the end of C{route} for a stream: once more for the
        same one after L{retract}.

        @param outlet: The instance of its process, if it is told at once what
            the client has said.
        """
        self.state = State.PINGED
        first, flowId = route[0], self.router.flowControls.producerId(route[0])
        if self._brought is None:
            self._attachment.attach(first, flowId)
        else:
            # Nothing that answers the last one counts.
            self._attachment.move(first, flowId)
        if self.state is not State.PINGED:
            return
        brings = self._bring(outlet)
        try:
            offer = self.offer = makeOffer(self._settings, self.router, route, self.client, brings)
        except LimitReached as error:
            self._end(str(error), clean=False)
            return
        if offer is None and brings is not None:
            self._end("the outlet may have been told what the client says, and cannot be asked", clean=False)
            return
        ping = PING if offer is None else offer.ping
        self.router.route(LocalMessage(route, Route((self.address,)), ping), self.address)

    def _bring(self, outlet: bytes | None) -> Early | None:
        """
        What the next Ping says of the client's.
        """
        brought = self._brought
        if brought is not None:
            brought = evolve(brought, attempt=brought.attempt + 1, outlet=self._meant)
        elif outlet is not None and self.early and self._settings is not None:
            self._meant = outlet
            brought = Early(next(self._settings.numbers), self.early)
        self._brought = brought
        return brought

    def retract(self) -> bool:
        """
        Wait no more for the answer to a Ping that has brought what the client
        said: there will be another L{ping}.

        @return: Whether it has brought anything.
        """
        if not self.isHasty:
            return False
        if self.offer is not None:
            self.offer.withdraw()
            self.offer = None
        self._attachment.close()
        self.state = State.NEW
        return True

    @property
    def isHasty(self) -> bool:
        """
        Was an outlet told what the client said that has not taken it yet?
        """
        return self._brought is not None

    def withdraw(self) -> None:
        """
        Wait for Pong no more: the near end has another stream then, and is
        not told.
        """
        self.isAnswerDue = True
        self._end("", clean=False, told=False)

    def _routeGone(self) -> None:
        if self.state is State.PINGED and self.anew is not None:
            if self.retract():
                self.anew()
            else:
                self._startOver(self.anew)
        else:
            super()._routeGone()

    def _startOver(self, anew: Callable[[], object]) -> None:
        """
        End without a word to the near end, which has another stream then.
        """
        self._end("", clean=False, told=False)
        anew()

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        if len(message.onward_route) != 1:
            return
        payload = message.payload
        if self.state is State.RESUMING:
            self._resumed(message)
        elif self.state is State.PINGED:
            self._answered(message)
        else:
            self._receive((payload,), len(payload))

    def flowOpened(self, message: LocalMessage) -> PayloadReceiver | None:
        """
        See L{IFlowReceiver.flowOpened}.
        """
        if self.state is not State.PINGED or len(message.onward_route) != 1:
            return super().flowOpened(message)

        # Pong comes in this flow, and then all the rest.  Most streams are so
        # short that finding their receiver a second time is not worth it.
        def receive(pieces: Sequence[Buffer], size: int) -> None:
            if self.state is State.OPEN:
                self._receive(pieces, size)
            else:
                self.messageReceived(
                    LocalMessage(
                        message.onward_route,
                        message.return_route,
                        b"".join(pieces),
                        message.local_info,
                        message.source,
                    )
                )

        return receive

    def _answered(self, message: LocalMessage) -> None:
        """
        Something has come while Pong is awaited.
        """
        offer = None if message.peerIdentity is None else self.offer
        try:
            answer = readAnswer(offer, message)
        except DecodeError:
            return  # Whatever it is, a Pong may still come.
        except (PortalRefused, LimitReached) as error:
            # The outlet has accepted: a Disconnect would be a clean end.
            code = REFUSED if isinstance(error, LimitReached) else PROTOCOL_ERROR
            self._attachment.open(message.return_route)
            self.emit((refused := refusal(code, str(error)),), len(refused))
            self._end(str(error), clean=False)
            return
        if answer is None:
            self._end("the outlet could not connect to its target", clean=False)
        elif isinstance(answer, Reset):
            if answer.code == SHUTTING_DOWN and self.anew is not None and self.elsewhere is not None:
                if self.elsewhere():
                    self._startOver(self.anew)
                    return
            self.result = answer
            self._end(f"the outlet has refused it: {reasonOf(answer)}", clean=False)
        else:
            self._follow(message)
            if answer.exchange is not None and offer is not None:
                self.extension = Extension(self, offer.settings, answer.exchange, answer.instance, True)
            elif offer is not None:
                offer.withdraw()
            self._open(self._begin)

    def _begin(self) -> None:
        """
        The first that is said once it is open.
        """
        # What was said, and Ping, need not be kept.
        extension, (early, self.early), self.offer = self.extension, (self.early, b""), None
        if self._brought is None:
            if extension is not None:
                extension.sayCredit()
            if early:
                self.send(early)
        elif extension is None or not extension.exchange.features & EARLY:
            self.abandon("the outlet does not say whether it has told what the client says", PROTOCOL_ERROR)
        else:
            try:
                self._brought = None
                extension.exchange.sending.said(early)
                self.sent += len(early)
            except PortalRefused as error:
                extension.refuse(error)

    def _follow(self, message: LocalMessage) -> None:
        """
        Send where C{message}, which was accepted, comes from.
        """
        self.peer = message.peerIdentity
        self._attachment.follow(message.return_route)
        if self.state is State.RESUMING:
            self.state = State.OPEN
            self.router.invalidate(self.address)

    # ------------------------------------------------------------ resuming

    def resume(self, route: Route) -> None:
        """
        Go on over another way.  Nothing happens to a stream that cannot, or
        has that way already, or if somebody else is at its end.
        """
        extension, peer = self.extension, self.router.peers.find(route[0])
        if extension is None or not extension.isResumable or self.state is State.ENDED:
            return
        if self._attachment.first == route[0] and self.state is not State.ROUTELESS:
            return
        if peer is None or self.peer is None or peer.identifier != self.peer.identifier:
            return
        self.state = State.RESUMING
        self._attachment.move(route[0], self.router.flowControls.producerId(route[0]))
        if self.state is State.RESUMING:
            message = LocalMessage(route, Route((self.address,)), extension.askToResume())
            self.router.route(message, self.address)

    def _resumed(self, message: LocalMessage) -> None:
        """
        What comes at an address that has sent a Resume.
        """
        extension = self.extension
        assert extension is not None
        try:
            answer = decodeExtension(message.payload)
            if isinstance(answer, Reset):
                self.ended(answer)
            elif isinstance(answer, Resumed) and answer.result is not None:
                self.ended(Reset(answer.result[0], answer.next, answer.result[1]))
            elif isinstance(answer, Resumed) and message.return_route:
                extension.exchange.resumed(answer.next)
                self._follow(message)
                extension.wentOn()
        except (DecodeError, PortalRefused) as error:
            self.ended(Reset(PROTOCOL_ERROR, 0, str(error)))
