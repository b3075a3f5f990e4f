"""
What every node has: a router, and workers in it.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.application.service import MultiService, Service
from twisted.internet.interfaces import IReactorTime

from ockam_twisted.interfaces import IAccessControl, IWorker
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.router import Router
from ockam_twisted.services.echo import EchoService
from ockam_twisted.services.hop import HopService
from ockam_twisted.services.rendezvous import RendezvousService
from ockam_twisted.services.uppercase import UppercaseService
from ockam_twisted.services.worker import Registered


class WorkerHost(MultiService):
    """
    See the module.

    @ivar router: Where the workers live.
    """

    def __init__(self) -> None:
        super().__init__()
        self.router = Router()
        self.router.setServiceParent(self)

    def startEcho(self, clock: IReactorTime) -> None:
        """
        Offer the C{echo} worker, which peers ping to learn that we live.
        """
        self._echo = EchoService(self.router, clock)
        self.addWorker("echo", self._echo)

    def _add(self, service: Service) -> None:
        try:
            service.setServiceParent(self)
        except BaseException:
            # Its address is somebody else's: it must not be stopped.
            self.services.remove(service)
            service.parent = None
            raise

    def addWorker(self, name: str, worker: IWorker, consumerOf: Iterable[str] = ()) -> None:
        """
        Register a worker.

        @param consumerOf: Flow-control ids of the listeners and connections
            that it may be reached from: L{ockam_twisted.transports.service.TransportService.listenerId},
            L{ockam_twisted.channels.listener.SecureChannelListener.flowId}.  Others cannot reach it.
        """
        self._add(worker if isinstance(worker, Service) else Registered(self.router, Address.local(name), worker))
        self.makeReachable(name, consumerOf)

    def makeReachable(self, name: str, consumerOf: Iterable[str]) -> None:
        """
        Let messages from more listeners and connections reach a worker.
        """
        for flowId in consumerOf:
            self.router.flowControls.addConsumer(Address.local(name), flowId)

    def restrictEcho(self, admission: IAccessControl | None) -> None:
        """
        Let only some use the C{echo} worker through a secure channel; without
        one it answers slowly, to everybody.

        @param admission: L{None}: all may.
        """
        self._echo.admission = admission

    def startRendezvous(self, consumerOf: Iterable[str] = ()) -> None:
        """
        Offer the C{rendezvous} worker: those who come over UDP learn where
        they are seen.
        """
        self._add(RendezvousService(self.router, tuple(consumerOf)))

    def startHop(self, consumerOf: Iterable[str] = ()) -> None:
        """
        Offer the C{hop} worker.
        """
        self.addWorker("hop", HopService(self.router), consumerOf)

    def startUppercase(self, consumerOf: Iterable[str] = ()) -> None:
        """
        Offer the C{uppercase} worker.
        """
        self.addWorker("uppercase", UppercaseService(self.router), consumerOf)
