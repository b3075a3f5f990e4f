"""
What of this process the other side of a link knows, and is told of the end of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ockam_twisted.interfaces import IHop, IRouter
from ockam_twisted.processes.far import FarConnection
from ockam_twisted.processes.words import Told
from ockam_twisted.routing.addresses import Address, Route


class Exposed:
    """
    See the module.
    """

    def __init__(self, router: IRouter, say: Callable[..., None], hidden: Callable[[Address], object]) -> None:
        """
        @param say: Tells the other side something: see L{Told}.
        @param hidden: Called with what is gone, before that is said.
        """
        self._router = router
        self._say = say
        self._hidden = hidden
        self._watches: dict[Address, Callable[[], None]] = {}

    def __contains__(self, address: Address) -> bool:
        return address in self._watches

    def __len__(self) -> int:
        return len(self._watches)

    def introduce(self, back: Route) -> None:
        """
        Replies come back by a route: if it begins with a connection of ours,
        the other side has to know it.
        """
        for address in back[:1]:
            worker: Any = self._router.worker(address)
            if address not in self and IHop.providedBy(worker) and not isinstance(worker, FarConnection):
                self._say(Told.MINE, address, worker.peer)
                self.watch(address)

    def watch(self, address: Address) -> None:
        """
        Say when something is gone; at once if it is.
        """
        if address in self:
            return
        self._watches[address] = lambda: None
        unwatch = self._router.watch(address, lambda: self._gone(address))
        if address in self:
            self._watches[address] = unwatch

    def _gone(self, address: Address) -> None:
        self._watches.pop(address, None)
        self._hidden(address)
        self._say(Told.GONE, address)

    def clear(self) -> None:
        """
        The other side is gone.
        """
        while self._watches:
            self._watches.popitem()[1]()
