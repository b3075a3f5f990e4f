"""
The worker that says from where one is seen: what a NAT has made of one's
address (spec messaging, section 8.1).
"""

from __future__ import annotations

from typing import Any

from ockam_twisted.errors import DecodeError
from ockam_twisted.interfaces import IRouter
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.services.worker import WorkerService
from ockam_twisted.wire.puncture import RENDEZVOUS, Place, Question, decodeQuestion, encodeAnswer

ADDRESS = Address.local(RENDEZVOUS.decode())


class RendezvousService(WorkerService):
    """
    Tells those who come over UDP their address; the others get no answer.  An
    answer is hardly longer than a question, so that nobody gains who asks in the
    name of somebody else.
    """

    def __init__(self, router: IRouter, consumerIds: tuple[str, ...] = ()) -> None:
        """
        See L{WorkerService}.
        """
        super().__init__(router, ADDRESS, consumerIds)

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        back = message.return_route
        place = self._placeOf(back[0]) if back else None
        if place is None:
            return
        try:
            question = decodeQuestion(message.payload)
        except DecodeError:
            return
        self.answer(message, encodeAnswer(place if question is Question.GET_MY_ADDRESS else None))

    def _placeOf(self, address: Address) -> Place | None:
        """
        Where the datagrams of a hop come from; L{None}: it is of another kind.
        """
        transport = getattr(self._router.worker(address), "transport", None)
        peer: Any = None if transport is None else transport.getPeer()
        return (peer.host, peer.port) if getattr(peer, "type", None) == "UDP" else None
