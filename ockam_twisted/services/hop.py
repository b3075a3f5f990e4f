"""
The worker that only passes on: a step to make routes longer with (spec
portals, section 10.2).
"""

from __future__ import annotations

from ockam_twisted.interfaces import IAccessControl, IRouter
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.services.worker import WorkerService

HOP = Address.local("hop")


class HopService(WorkerService):
    """
    Takes itself off the onward route, puts itself on the return route, and
    sends on the rest.  Where a message came from, and what is known about it,
    stays: being sent through here opens no door.
    """

    def __init__(
        self,
        router: IRouter,
        address: Address = HOP,
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
        source = message.source
        assert source is not None
        self._router.route(
            LocalMessage(
                message.onward_route.step(),
                message.return_route.prepend(self.address),
                message.payload,
                message.local_info,
            ),
            source,
        )
