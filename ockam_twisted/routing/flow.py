"""
Flows, flow-control ids and pauses (design, section 6; spec messaging,
section 12.2).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

from zope.interface import implementer

from ockam_twisted.interfaces import Buffer, IFlow, PayloadReceiver
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalInfo, LocalMessage

if TYPE_CHECKING:
    from ockam_twisted.routing.router import Router


def newFlowId() -> str:
    """
    A fresh flow-control id: 16 random bytes in hexadecimal.
    """
    return os.urandom(16).hex()


def _discard(pieces: Sequence[Buffer], size: int) -> None:
    """
    What a closed flow does with its messages.
    """


@implementer(IFlow)
class Flow:
    """
    See L{IFlow}.  Made by L{Router.open} only.
    """

    __slots__ = ("__weakref__", "_router", "isDirect", "local_info", "onward_route", "return_route", "send", "source")

    send: PayloadReceiver

    def __init__(
        self,
        router: Router,
        onward_route: Route,
        return_route: Route,
        source: Address,
        local_info: tuple[LocalInfo, ...],
    ) -> None:
        self._router = router
        self.onward_route = onward_route
        self.return_route = return_route
        self.source = source
        self.local_info = local_info
        self.isDirect = False
        self.send = self._resolve

    def message(self, payload: bytes = b"") -> LocalMessage:
        """
        A message of this flow.
        """
        return LocalMessage(self.onward_route, self.return_route, payload, self.local_info, self.source)

    def _resolve(self, pieces: Sequence[Buffer], size: int) -> None:
        """
        Find the receiver, then send to it directly from now on.
        """
        resolving = self.send = self._resolve
        receiver = self._router.resolve(self)
        if receiver is not None:
            # Unless resolving it has made it stale again, or closed it.
            if self.send is resolving:
                self.send = receiver
            receiver(pieces, size)

    def becomeStale(self) -> None:
        """
        Resolve again before the next message.
        """
        if self.send is not _discard:
            self.isDirect = False
            self.send = self._resolve

    def close(self) -> None:
        """
        See L{IFlow.close}.
        """
        self.send = _discard


class FlowControls:
    """
    Which workers may receive what came in from where: producers emit what
    came from elsewhere, consumers may receive from a producer (or from all
    that a spawner made), and nothing else may.
    """

    def __init__(self, changed: Callable[[Address], None]) -> None:
        """
        @param changed: Told the address about which a decision may differ
            from now on.
        """
        self._changed = changed
        self._producers: dict[Address, tuple[str, str | None, tuple[Address, ...]]] = {}
        self._aliases: dict[Address, Address] = {}
        self._spawners: dict[Address, str] = {}
        self._consumers: dict[Address, set[str]] = {}
        self._consumersOf: dict[str, set[Address]] = {}
        # How many producers and spawners each id has; it ends with the last.
        self._users: dict[str, int] = {}

    def addProducer(
        self, address: Address, flowId: str, spawnerId: str | None = None, additional: tuple[Address, ...] = ()
    ) -> None:
        """
        What C{address} sends came from elsewhere.  The last call for an
        address counts.

        @param additional: Other addresses it may be looked up by: the sending
            side of a connection or channel.
        """
        self._use(flowId)
        self._removeProducer(address)
        self._producers[address] = (flowId, spawnerId, additional)
        for other in additional:
            self._aliases[other] = address
        self._changed(address)

    def addSpawner(self, address: Address, flowId: str) -> None:
        """
        C{address} makes producers that name C{flowId} as their spawner's.
        """
        self._use(flowId)
        self._removeSpawner(address)
        self._spawners[address] = flowId

    def addConsumer(self, address: Address, flowId: str) -> None:
        """
        C{address} may receive from producers of that id, and from producers
        spawned under it.
        """
        self._consumers.setdefault(address, set()).add(flowId)
        self._consumersOf.setdefault(flowId, set()).add(address)

    def remove(self, address: Address) -> None:
        """
        Nothing is at C{address} any more.
        """
        for flowId in self._consumers.pop(address, ()):
            of = self._consumersOf[flowId]
            of.discard(address)
            if not of:
                del self._consumersOf[flowId]
        if address in self._spawners:
            self._removeSpawner(address)
        if address in self._producers:
            self._removeProducer(address)

    def _removeSpawner(self, address: Address) -> None:
        flowId = self._spawners.pop(address, None)
        if flowId is not None:
            self._release(flowId)

    def _removeProducer(self, address: Address) -> None:
        produced = self._producers.pop(address, None)
        if produced is not None:
            for other in produced[2]:
                self._aliases.pop(other, None)
            self._release(produced[0])

    def _use(self, flowId: str) -> None:
        self._users[flowId] = self._users.get(flowId, 0) + 1

    def _release(self, flowId: str) -> None:
        users = self._users[flowId] - 1
        if users:
            self._users[flowId] = users
            return
        del self._users[flowId]
        for consumer in self._consumersOf.pop(flowId, ()):
            consumed = self._consumers[consumer]
            consumed.discard(flowId)
            if not consumed:
                del self._consumers[consumer]
            self._changed(consumer)

    def producerId(self, address: Address) -> str | None:
        """
        @return: The flow-control id of what arrives from where C{address}
            sends to, or L{None} if nothing does.
        """
        producer = self._producers.get(self._aliases.get(address, address))
        return None if producer is None else producer[0]

    def spawnerId(self, address: Address) -> str | None:
        """
        @return: The id under which the listener C{address} makes producers.
        """
        return self._spawners.get(address)

    def isConsumer(self, address: Address, flowId: str) -> bool:
        """
        May C{address} receive from producers of that id?
        """
        return flowId in self._consumers.get(address, ())

    def consumed(self, address: Address) -> frozenset[str]:
        """
        @return: The ids that C{address} is a consumer of.
        """
        return frozenset(self._consumers.get(address, ()))

    def permits(self, source: Address, destination: Address) -> bool:
        """
        May what C{source} sends reach C{destination}?  Workers that are no
        producers may send anywhere.
        """
        producer = self._producers.get(source)
        if producer is None:
            return True
        consumed = self._consumers.get(destination)
        return consumed is not None and (producer[0] in consumed or producer[1] in consumed)


class PauseSet:
    """
    Who asked for a pause.  Neither the pause nor the resume is ever repeated.
    """

    __slots__ = ("_askers", "_pause", "_resume")

    def __init__(self, pause: Callable[[], object], resume: Callable[[], object]) -> None:
        self._askers: set[Hashable] = set()
        self._pause = pause
        self._resume = resume

    def __bool__(self) -> bool:
        return bool(self._askers)

    def __contains__(self, asker: Hashable) -> bool:
        return asker in self._askers

    def add(self, asker: Hashable) -> None:
        """
        C{asker} wants a pause.
        """
        paused = bool(self._askers)
        self._askers.add(asker)
        if not paused:
            self._pause()

    def discard(self, asker: Hashable) -> None:
        """
        C{asker} does not mind any more.
        """
        if asker in self._askers:
            self._askers.discard(asker)
            if not self._askers:
                self._resume()
