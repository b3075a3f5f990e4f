"""
The worker that answers in upper case: a service to try routes with (spec
portals, section 10.2).
"""

from __future__ import annotations

from ockam_twisted.errors import RemoteProtocolError
from ockam_twisted.interfaces import IAccessControl, IRouter
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.services.worker import WorkerService
from ockam_twisted.wire import bare

UPPERCASE = Address.local("uppercase")


class UppercaseService(WorkerService):
    """
    A BARE string in, the same in Unicode upper case out; anything else gets
    no answer.
    """

    def __init__(
        self,
        router: IRouter,
        address: Address = UPPERCASE,
        consumerIds: tuple[str, ...] = (),
        incoming: IAccessControl | None = None,
    ) -> None:
        """
        See L{WorkerService}.
        """
        super().__init__(router, address, consumerIds, incoming)

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        reader = bare.Reader(message.payload)
        try:
            text = reader.readString(len(message.payload))
            reader.expectEnd()
        except RemoteProtocolError:
            return
        self.answer(message, bare.string(text.upper()))
