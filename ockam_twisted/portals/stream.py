"""
One stream of bytes across a route, in portal messages (spec portals,
sections 1 to 4; design, section 7).

What both ends do is here; who speaks first is in L{inletstream
<ockam_twisted.portals.inletstream>} and L{outletstream
<ockam_twisted.portals.outletstream>}.  See C{docs/architecture.rst} for the
drawing of its states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from zope.interface import implementer

from ockam_twisted.errors import DecodeError, PortalRefused
from ockam_twisted.interfaces import Buffer, IAccessControl, IFlowReceiver, ILocalSide, IRouter, PayloadReceiver
from ockam_twisted.portals.attachment import Attachment
from ockam_twisted.portals.extension import Extension
from ockam_twisted.portals.negotiation import Offer
from ockam_twisted.portals.plain import REFUSAL, PayloadCounter, State
from ockam_twisted.portals.refusals import reasonOf, refusal
from ockam_twisted.portals.settings import StreamSettings
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.local_message import LocalMessage, PeerIdentity
from ockam_twisted.wire.extension import CREDIT_KIND, SHUTTING_DOWN, Reset
from ockam_twisted.wire.portal import DISCONNECT, portalPayloadHead, readPortal

_DISCONNECT, _PAYLOAD = 2, 3


@implementer(IFlowReceiver)
class PortalStream:
    """
    One end of one stream.

    @ivar state: Where it is in its life.
    @ivar sent: Bytes of the near end sent to the far end.
    @ivar received: Bytes of the far end given to the near end.
    @ivar peer: Who is at the far end, once it has been heard of; L{None} too
        if there is no secure channel to it.
    @ivar isAnswerDue: It was ended on this side while a Pong, or a Resumed,
        was on its way.
    @ivar isInlet: Is it the end where clients are accepted?
    @ivar offer: What the inlet has offered of the extension.
    @ivar local: The near end.
    @ivar router: Where it lives.
    @ivar extension: What it has besides if both ends know the portal
        extension, else L{None}.
    @ivar result: How it was reset; L{None} before its end, and if it came to
        it by itself.
    """

    peer: PeerIdentity | None = None
    extension: Extension | None = None
    result: Reset | None = None
    isAnswerDue = False
    isInlet = False

    def __init__(
        self,
        router: IRouter,
        local: ILocalSide,
        ended: Callable[[Any], object],
        incoming: IAccessControl | None = None,
        settings: StreamSettings | None = None,
    ) -> None:
        """
        @param ended: Called once when it has ended, however that came.
        @param incoming: Which messages may reach this end; L{None}: all that
            come the way that the stream was opened over.
        @param settings: Of the portal extension; L{None}: there is none.
        """
        self.state = State.NEW
        self.sent = 0
        self.received = 0
        self.router = router
        self.local = local
        self._settings = settings
        self.offer: Offer | None = None
        self._ended = ended
        self._attachment = Attachment(router, self, incoming, self._routeGone)
        self._counter = PayloadCounter()

    @property
    def address(self) -> Address:
        """
        The only address of this end that the peer sees.
        """
        return self._attachment.address

    @property
    def flowId(self) -> str | None:
        """
        The flow-control id of what comes from the peer.
        """
        return self._attachment.flowId

    # ------------------------------------------------------------- opening

    def _routeGone(self) -> None:
        extension = self.extension
        if extension is not None and extension.isResumable:
            self.state = State.ROUTELESS
            extension.detach()
        else:
            self._end("the way to the other end is gone", clean=False)

    def _open(self, first: Callable[[], object]) -> None:
        """
        It is open.

        @param first: Says so to the far end, before anything else is said.
        """
        self.state = State.OPEN
        first()
        if self.state is not State.ENDED:
            self.local.streamOpened()

    # ------------------------------------------------------------- sending

    def emit(self, pieces: Sequence[Buffer], size: int) -> None:
        """
        Send a message to the far end.  For the extension.
        """
        self._attachment.emit(pieces, size)

    def send(self, data: Buffer) -> None:
        """
        Send bytes of the near end: one Payload.

        @param data: No more than
            L{MAX_PAYLOAD <ockam_twisted.wire.portal.MAX_PAYLOAD>} bytes.
        """
        extension = self.extension
        if extension is not None:
            if self.state is not State.ENDED:
                size = len(data)
                self.sent += size
                if extension.write(data):
                    head = portalPayloadHead(size)
                    self._attachment.flow.send((head, data), len(head) + size)  # type: ignore[union-attr]
        elif self.state is State.OPEN:
            self.sent += len(data)
            self._attachment.flow.send(*self._counter.payload(data))  # type: ignore[union-attr]

    def finish(self, reason: str) -> None:
        """
        The near end has sent its last byte, and still listens.  Without the
        extension there is no such thing: the stream has ended then.
        """
        if self.extension is not None and self.state is not State.ENDED:
            self.extension.finish()
        else:
            self.disconnect(reason)

    def disconnect(self, reason: str) -> None:
        """
        The near end has ended: tell the far end.
        """
        if self.extension is not None and self.state is not State.ENDED:
            self.extension.gone()
        elif self.state is not State.ENDED:
            self.isAnswerDue = self.state is State.PINGED
            self.emit((DISCONNECT,), 1)
            self._end(reason, clean=True, told=False)

    # ----------------------------------------------------------- receiving

    def flowOpened(self, message: LocalMessage) -> PayloadReceiver | None:
        """
        See L{IFlowReceiver.flowOpened}.
        """
        # Until it is open each message is looked at with its routes.
        if self.state is not State.OPEN or len(message.onward_route) != 1:
            return None
        return self._receive

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        if len(message.onward_route) == 1:
            self._receive((message.payload,), len(message.payload))

    def _receive(self, pieces: Sequence[Buffer], size: int) -> None:
        """
        A portal message of a stream that knows its peer.
        """
        message = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        try:
            kind, start, stop, counter = readPortal(message)
            if kind == _PAYLOAD:
                if self.state is State.OPEN:
                    extension = self.extension
                    if extension is None:
                        if counter is not None:
                            self._counter.check(counter)
                    elif extension.isConfirmed:
                        extension.payloadReceived(stop - start)
                    else:
                        self._becomePlain(extension)
                    # An empty one is permitted, and nothing to be kept.
                    if stop > start:
                        self.received += stop - start
                        self.local.output.write((message[start:stop],), stop - start)
            elif kind == _DISCONNECT:
                self._end("the other end has closed it", clean=self.state is State.OPEN and not self._isExtended)
            elif kind >= CREDIT_KIND and self.extension is not None and self.state is State.OPEN:
                self.extension.messageReceived(message)
        except (DecodeError, PortalRefused) as error:
            if self.extension is not None:
                self.extension.refuse(error)
            else:
                self._giveUp(error)

    def _giveUp(self, error: Exception) -> None:
        self.emit((DISCONNECT,), 1)
        self._end(str(error), clean=False)

    def _becomePlain(self, extension: Extension) -> None:
        """
        The inlet does not begin as one that has read our acceptance: somebody
        on the way has made the Pong anew.
        """
        self.extension = None
        self._counter.disable()
        for piece in extension.surrender():
            self.emit(*self._counter.payload(piece))
        if extension.exchange.final is not None:
            # Once the near end has what has just come.
            self.router.turn.afterwards(self._endPlain)

    def _endPlain(self) -> None:
        if self.state is not State.ENDED:
            with self.router.turn:
                self.emit((DISCONNECT,), 1)
                self._end("the local end has closed it", clean=True)

    @property
    def _isExtended(self) -> bool:
        return self.extension is not None and self.extension.isConfirmed

    # -------------------------------------------------------------- ending

    def abandon(self, reason: str, code: int = SHUTTING_DOWN) -> None:
        """
        End the stream without waiting for anything: the far end is told, the
        near end is reset.

        @param code: Why, of L{REASONS <ockam_twisted.wire.extension.REASONS>}.
        """
        if self.extension is not None and self.state is not State.ENDED:
            self.extension.reset(code, reason)
        elif self.state is not State.ENDED:
            self.isAnswerDue = self.state is State.PINGED
            if self.state is State.DIALING and self.offer is not None:
                self.emit((message := refusal(code, reason),), len(message))
            for message in REFUSAL if self.state is State.DIALING else (DISCONNECT,):
                self.emit((message,), 1)
            self._end(reason, clean=False)

    def ended(self, result: Reset | None, reason: str = "") -> None:
        """
        It is over, whether the far end can be told or not.  For the
        extension, and for who knows that there will be no other way.

        @param result: How it was reset; L{None}: both ends have all.
        @param reason: Why we have reset it; empty: the far end has.
        """
        self.result = result
        self.isAnswerDue = self.state is State.RESUMING and bool(reason)
        if result is None:
            self._end("both ends have finished", clean=True, told=False)
        else:
            self._end(reason or f"the other end has reset it: {reasonOf(result)}", clean=False, isReset=not reason)

    def _end(self, reason: str, clean: bool, told: bool = True, isReset: bool = False) -> None:
        if self.state is State.ENDED:
            return
        self.state = State.ENDED
        self._attachment.close()
        if self.extension is not None:
            self.extension.close()
        elif self.offer is not None:
            self.offer.withdraw()
        self._ended(self)
        if isReset:
            self.local.streamReset(reason)
        elif told:
            self.local.streamEnded(reason, clean)
