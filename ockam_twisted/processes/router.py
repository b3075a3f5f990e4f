"""
The router of a process that is not the first one: what it does not know is
asked of the first.
"""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from ockam_twisted.interfaces import IAccessControl, IFlowReceiver, IWorker, PayloadReceiver
from ockam_twisted.relays.names import RELAY_PREFIX
from ockam_twisted.routing.addresses import MAX_HOPS, Address
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.router import Router

#: How many addresses are remembered that were here and are gone: what is
#: still sent there is nobody's business.
REMEMBERED = 8192

_PREFIX = RELAY_PREFIX.encode("ascii")

#: Makes a flow to the first process, if a message may be asked of it.
Asks = Callable[[LocalMessage], PayloadReceiver | None]


@implementer(IFlowReceiver)
class _Uplink:
    """
    Where messages go that are asked of the first process.
    """

    def __init__(self, asks: Asks) -> None:
        self._asks = asks

    def flowOpened(self, message: LocalMessage) -> PayloadReceiver:
        """
        See L{IFlowReceiver.flowOpened}.
        """
        return self._asks(message) or (lambda pieces, size: None)

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        self.flowOpened(message)((message.payload,), len(message.payload))


class AskingRouter(Router):
    """
    See the module.  Relay names are never asked for: this process knows all
    of them.
    """

    def __init__(self, asks: Asks) -> None:
        super().__init__()
        self._gone: dict[Address, None] = {}
        self._uplink = Address.random()
        super().register(self._uplink, _Uplink(asks))

    def register(
        self,
        address: Address,
        worker: IWorker,
        incoming: IAccessControl | None = None,
        outgoing: IAccessControl | None = None,
    ) -> None:
        """
        See L{IRouter.register}.
        """
        super().register(address, worker, incoming, outgoing)
        self._gone.pop(address, None)
        # It may have been asked for until now.
        self.invalidate(self._uplink)

    def unregister(self, address: Address) -> None:
        """
        See L{IRouter.unregister}.
        """
        if address in self:
            self._gone[address] = None
            if len(self._gone) > REMEMBERED:
                del self._gone[next(iter(self._gone))]
        super().unregister(address)

    def _admit(self, message: LocalMessage):  # type: ignore[no-untyped-def]
        route = message.onward_route
        if (
            not route
            or route[0] in self
            or route[0] in self._gone
            or route[0].value.startswith(_PREFIX)
            or message.source is None
            or message.source not in self
            or len(route) > MAX_HOPS
            or len(message.return_route) > MAX_HOPS
        ):
            return super()._admit(message)
        return self._mailboxes[self._uplink]
