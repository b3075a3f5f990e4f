"""
Where one end of a stream is reached, and where it sends: an address of its
own and a flow, over one way at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ockam_twisted.interfaces import Buffer, IAccessControl, IFlow, IRouter, IWorker
from ockam_twisted.routing.addresses import Address, Route


def _nothing() -> None:
    """
    Unwatches what is not watched.
    """


class Attachment:
    """
    See the module.

    @ivar address: The only address of this end that the peer sees.
    @ivar flow: To the far end, once it is known where that is.
    @ivar flowId: The flow-control id of what comes over the way.
    """

    def __init__(
        self, router: IRouter, worker: IWorker, incoming: IAccessControl | None, gone: Callable[[], None]
    ) -> None:
        """
        @param worker: What is reached.
        @param incoming: Which messages may reach it; L{None}: all that come
            the way it is attached to.
        @param gone: Called when the way is lost.
        """
        self.address = Address.random()
        self.flow: IFlow | None = None
        self.flowId: str | None = None
        self._router = router
        self._worker = worker
        self._incoming = incoming
        self._gone = gone
        self._watched: Address | None = None
        self._unwatch: Callable[[], None] = _nothing

    @property
    def first(self) -> Address | None:
        """
        What the way begins with that it is attached to.
        """
        return self._watched

    def attach(self, first: Address, flowId: str | None) -> None:
        """
        Be reached over a way.

        @param first: What the way begins with; its end is the end of the way.
        @param flowId: The flow-control id of what comes over it.
        """
        self.flowId = flowId
        self._router.register(self.address, self._worker, self._incoming)
        if flowId is not None:
            self._router.flowControls.addConsumer(self.address, flowId)
        self._watch(first)

    def _watch(self, first: Address) -> None:
        self._watched = first
        self._unwatch()
        self._unwatch = self._router.watch(first, self._gone)

    def open(self, route: Route) -> None:
        """
        Send to the end of a route from now on.
        """
        if self.flow is not None:
            self.flow.close()
        self.flow = self._router.open(route, Route((self.address,)), self.address)

    def follow(self, route: Route) -> None:
        """
        The same, and watch that way.
        """
        self.open(route)
        if route[0] != self._watched:
            self._watch(route[0])

    def move(self, first: Address, flowId: str | None) -> None:
        """
        Take a fresh address, over another way: nothing that is still on the
        old one counts.
        """
        self.close()
        self.flow = None
        self.address = Address.random()
        self.attach(first, flowId)

    def emit(self, pieces: Sequence[Buffer], size: int) -> None:
        """
        Send a message to the far end.
        """
        if self.flow is not None:
            self.flow.send(pieces, size)

    def close(self) -> None:
        """
        Be reached no more.
        """
        self._unwatch()
        self._router.unregister(self.address)
        if self.flow is not None:
            self.flow.close()
