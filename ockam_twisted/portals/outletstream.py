"""
The end of a stream where the target is dialed: answers who asks for it, and
who asks to go on over another way (spec portals, section 2; design, section
7).
"""

from __future__ import annotations

from collections.abc import Callable

from ockam_twisted.errors import LimitReached
from ockam_twisted.portals.extension import Extension
from ockam_twisted.portals.negotiation import Offer
from ockam_twisted.portals.plain import State
from ockam_twisted.portals.stream import PortalStream
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.wire.extension import REFUSED, Resume
from ockam_twisted.wire.portal import PONG
from ockam_twisted.wire.terms import encodeTerms


class OutletStream(PortalStream):
    """
    See the module.

    @ivar waits: Told when it has lost its way, and waits for another one.
    @ivar wasTold: Was the target told what the client had said by its Ping?
    """

    wasTold = False
    waits: Callable[[OutletStream], object] | None = None

    def _routeGone(self) -> None:
        super()._routeGone()
        if self.state is State.ROUTELESS and self.waits is not None:
            self.waits(self)

    def pinged(self, message: LocalMessage, offer: Offer | None) -> None:
        """
        A Ping has arrived, and the target is being dialed.

        @param message: It, with a return route.  Nothing but its source may
            feed this stream.
        @param offer: What it offers that may be accepted.
        """
        source, route = message.source, message.return_route
        assert source is not None
        self.state = State.DIALING
        self.peer = message.peerIdentity
        self.offer = offer
        self._attachment.open(route)
        self._attachment.attach(route[0], self.router.flowControls.producerId(source))

    def pong(self) -> None:
        """
        The target is connected.
        """
        if self.state is State.DIALING:
            pong = PONG
            if self.offer is not None and self.peer is not None:
                early = self.offer.early
                try:
                    terms, exchange = self.offer.accept(self.peer)
                except LimitReached as error:
                    self.abandon(str(error), REFUSED)
                    return
                if early:
                    # While the target deals with it we do the rest.
                    self.wasTold = True
                    self.local.hear(early)
                    exchange.payloadReceived(len(early))
                    self.received += len(early)
                # Who sends something with Ping knows us.
                pong, instance = encodeTerms(PONG, terms), self.offer.terms.instance
                self.extension = Extension(self, self.offer.settings, exchange, instance, isConfirmed=bool(early))
            # From now on payloads are taken without their routes.  Only then may
            # something be sent: that flow begins here, and would be resolved
            # twice.
            self.router.invalidate(self.address)
            self._open(lambda: self.emit((pong,), len(pong)))
            # It has what the client had said.
            self.offer = None

    def pingedAgain(self, message: LocalMessage, offer: Offer) -> None:
        """
        The inlet has had no Pong, and asks again, over another way or the
        same one.

        @param message: In which it does, with a return route.
        @param offer: Of the same stream.
        @raise PortalRefused: It cannot be right.
        """
        extension = self.extension
        if self.state is State.DIALING:
            self.offer = offer
        else:
            self.state = State.OPEN
        if self._hasMoved(message) and extension is not None:
            self.emit((pong := offer.acceptAgain(extension.exchange),), len(pong))
            extension.askedAgain(offer.terms.limit)

    def resumeReceived(self, message: LocalMessage, resume: Resume) -> None:
        """
        The inlet asks to go on over another way.

        @param message: What it came in, from whom it may come.
        @raise PortalRefused: It cannot be right; nothing has changed.
        """
        extension = self.extension
        assert extension is not None
        extension.resumeReceived(resume)
        self.state = State.OPEN
        if self._hasMoved(message):
            extension.resumed()

    def _hasMoved(self, message: LocalMessage) -> bool:
        """
        @return: Is the stream on the way by which C{message} came?  Or else it
            has lost that too.
        """
        source, state = message.source, self.state
        assert source is not None
        self._attachment.move(message.return_route[0], self.router.flowControls.producerId(source))
        if self.state is not state:
            return False
        self.peer = message.peerIdentity
        self._attachment.open(message.return_route)
        return True
