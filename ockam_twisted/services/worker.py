"""
What the small services have in common: one address for as long as they run.
"""

from __future__ import annotations

from twisted.application.service import Service
from zope.interface import implementer

from ockam_twisted.interfaces import IAccessControl, IRouter, IWorker
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage


@implementer(IWorker)
class WorkerService(Service):
    """
    A worker that is there while the service runs.

    @ivar address: Where it is.
    """

    def __init__(
        self,
        router: IRouter,
        address: Address,
        consumerIds: tuple[str, ...] = (),
        incoming: IAccessControl | None = None,
    ) -> None:
        """
        @param consumerIds: The flow-control ids (of listeners, as a rule)
            from which messages may reach it.
        @param incoming: Which messages may; L{None}: all.
        """
        self.address = address
        self._router = router
        self._consumerIds = consumerIds
        self._incoming = incoming

    def startService(self) -> None:
        """
        Answer from now on.

        @raise AddressTaken: There is a worker at the address.
        """
        self._router.register(self.address, self, self._incoming)
        for flowId in self._consumerIds:
            self._router.flowControls.addConsumer(self.address, flowId)
        super().startService()

    def stopService(self) -> None:
        """
        Answer no more.
        """
        super().stopService()
        self._router.unregister(self.address)

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        raise NotImplementedError

    def answer(self, message: LocalMessage, payload: bytes) -> None:
        """
        Answer a message.  Whoever sent none to answer to, or the same service
        of another node (the two would never end), gets nothing.
        """
        back = message.return_route
        if back and back[-1] != self.address:
            self._router.route(LocalMessage(back, Route((self.address,)), payload), self.address)


class Registered(Service):
    """
    Registers somebody else's worker while it runs.
    """

    def __init__(self, router: IRouter, address: Address, worker: IWorker) -> None:
        self._router, self._address, self._worker = router, address, worker

    def startService(self) -> None:
        """
        @raise AddressTaken: There is a worker at the address.
        """
        super().startService()
        self._router.register(self._address, self._worker)

    def stopService(self) -> None:
        """
        Nobody is there any more.
        """
        super().stopService()
        self._router.unregister(self._address)
