"""
Streams that were given up too early (spec portals, section 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import implementer

from ockam_twisted.interfaces import IWorker
from ockam_twisted.portals.negotiation import isAcceptance
from ockam_twisted.portals.refusals import refusal
from ockam_twisted.routing.addresses import Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.wire.extension import RESET_BY_PEER, RESUMED_KIND
from ockam_twisted.wire.portal import DISCONNECT, PONG

if TYPE_CHECKING:
    from ockam_twisted.portals.inlet import Inlet
    from ockam_twisted.portals.inletstream import InletStream

_RESUMED = bytes((RESUMED_KIND,))

#: Seconds in which a Pong or Resumed for a client that has gone is still
#: answered.
LATE = 30.0


@implementer(IWorker)
class Late:
    """
    Stands in for a stream that was given up before its Pong or Resumed:
    answers that with Reset or Disconnect, or the outlet would hold a
    connection that nobody uses.
    """

    def __init__(self, inlet: Inlet, stream: InletStream) -> None:
        self._router = inlet.router
        self._address = address = stream.address
        self._inlet = inlet
        self._isExtended = stream.offer is not None or stream.extension is not None
        self._router.register(address, self)
        if stream.flowId is not None:
            self._router.flowControls.addConsumer(address, stream.flowId)
        self._deadline = inlet.clock.callLater(LATE, self.stop)
        inlet.late.add(self)

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        payload, back = message.payload, message.return_route
        isExtended = self._isExtended and message.peerIdentity is not None
        isResumed = isExtended and payload[:1] == _RESUMED
        if back and (isResumed or payload[:1] == PONG):
            end = DISCONNECT
            if isResumed or (isExtended and isAcceptance(payload)):
                end = refusal(RESET_BY_PEER, "nobody is there any more")
            self._router.route(LocalMessage(back, Route((self._address,)), end), self._address)
            self.stop()

    def stop(self) -> None:
        """
        Wait no more.
        """
        self._inlet.late.discard(self)
        self._router.unregister(self._address)
        if self._deadline.active():
            self._deadline.cancel()
