"""
The relay names in use: the first process tells the others of each one before
anybody else hears of it (C{docs/architecture.rst}, "Several processes").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from zope.interface import implementer

from ockam_twisted.errors import AddressTaken
from ockam_twisted.interfaces import IRelayDirectory, IRouter
from ockam_twisted.processes.far import FarConnection
from ockam_twisted.processes.link import Link
from ockam_twisted.processes.words import Word, packet
from ockam_twisted.relays.claims import Claim
from ockam_twisted.relays.relay import Relay
from ockam_twisted.routing.addresses import EMPTY, Address, Route


@define
class _Name:
    """
    A name in use.

    @ivar relay: What is behind it.
    @ivar senders: The connections that send there, and whose they are.
    """

    relay: Relay
    senders: dict[Address, int] = field(factory=dict)


@implementer(IRelayDirectory)
class Directory:
    """
    The first process's side.
    """

    def __init__(self, owner: Callable[[Address], int]) -> None:
        """
        @param owner: Which process has a connection or channel: its number.
        """
        self._owner = owner
        self._names: dict[Address, _Name] = {}
        self._listeners: dict[int, Callable[[bytes], object]] = {}
        self._serial = 0
        # By serial number: who has not said yet that it knows.
        self._waiting: dict[int, tuple[set[int], Deferred[None]]] = {}

    def added(self, relay: Relay) -> Deferred[None]:
        """
        See L{IRelayDirectory.added}.
        """
        self._names[relay.claim.address] = _Name(relay)
        if not self._listeners:
            return succeed(None)
        self._serial += 1
        told: Deferred[None] = Deferred()
        self._waiting[self._serial] = (set(self._listeners), told)
        text = self._packet(self._serial, relay)
        for send in self._listeners.values():
            send(text)
        return told

    def removed(self, address: Address) -> None:
        """
        See L{IRelayDirectory.removed}.
        """
        if self._names.pop(address, None) is not None:
            for send in self._listeners.values():
                send(packet(Word.NO_NAME, address))

    def _packet(self, serial: int, relay: Relay) -> bytes:
        claim = relay.claim
        owner = self._owner(claim.forward_route[0])
        return packet(Word.NAME, serial, claim.address, claim.forward_route, owner, claim.peer)

    def listen(self, number: int, send: Callable[[bytes], object]) -> None:
        """
        A process wants to know all names, and what changes.

        @param send: Sends it a packet.
        """
        self._listeners[number] = send
        for name in self._names.values():
            send(self._packet(0, name.relay))

    def leave(self, number: int) -> None:
        """
        A process is gone: nobody waits for it.
        """
        self._listeners.pop(number, None)
        for serial in list(self._waiting):
            self.known(number, serial)
        for address, name in list(self._names.items()):
            for connection in [each for each, whose in name.senders.items() if whose == number]:
                self.sends(number, address, connection, True)

    def sends(self, number: int, address: Address, connection: Address, isOver: bool) -> None:
        """
        A process has a connection that sends to a name, or had.
        """
        name = self._names.get(address)
        if name is None:
            return
        if not isOver:
            name.senders[connection] = number
            name.relay.sentFrom(connection)
        elif name.senders.pop(connection, None) is not None:
            name.relay.lostSender(connection)

    def known(self, number: int, serial: int) -> None:
        """
        A process knows a name.
        """
        waiting, told = self._waiting.get(serial, (set(), None))
        waiting.discard(number)
        if told is not None and not waiting:
            del self._waiting[serial]
            told.callback(None)

    def processOf(self, address: Address) -> int | None:
        """
        Which process has the registrant of a name.
        """
        name = self._names.get(address)
        return None if name is None else self._owner(name.relay.claim.forward_route[0])


class NameTable:
    """
    The other processes' side.
    """

    _log = Logger()

    def __init__(
        self,
        router: IRouter,
        number: int,
        links: dict[int, Link],
        consumerIds: tuple[str, ...],
        sends: Callable[[Address, Address, bool], object],
    ) -> None:
        """
        @param number: Of this process.
        @param links: To the others, by number.
        @param consumerIds: The flow-control ids from which messages for names
            may arrive.
        @param sends: Called with a name and a connection of this process that
            sends there, and whether that is over.
        """
        self._sends = sends
        self._router = router
        self._number = number
        self._links = links
        self._consumerIds = consumerIds
        self.relays: dict[Address, Relay] = {}

    def set(self, address: Address, forward_route: Route, owner: int, peer: str) -> None:
        """
        A name leads somewhere from now on.

        @param owner: The number of the process that has the registrant.
        """
        self.remove(address)
        first = forward_route[0]
        if owner != self._number:
            link = self._links.get(owner)
            if link is None or link.name(first, peer) is None:
                # It is going; so is the name.
                return
        name = address.value.decode("ascii", "replace")
        claim = Claim(address, name, EMPTY, forward_route, None, first, "", False, peer, False)
        relay = Relay(self._router, claim)
        try:
            relay.start(self._consumerIds, self._drop, self._lostSender, self._newSender)
        except AddressTaken:
            self._log.error("There is a worker at {address} already", address=str(address), event="name-occupied")
            return
        if self._router.worker(address) is relay:
            self.relays[address] = relay

    def _newSender(self, relay: Relay, connection: Address) -> None:
        self._sends(relay.claim.address, connection, False)

    def _lostSender(self, relay: Relay, connection: Address) -> None:
        self._sends(relay.claim.address, connection, True)

    def _drop(self, relay: Relay) -> None:
        relay.stop()
        if self.relays.get(relay.claim.address) is relay:
            del self.relays[relay.claim.address]

    def remove(self, address: Address) -> None:
        """
        A name leads nowhere.
        """
        relay = self.relays.pop(address, None)
        if relay is not None:
            relay.stop()


def ownerOf(router: IRouter, links: Iterable[Link], address: Address) -> int:
    """
    Which process has a connection or channel, as seen from the first one.

    @return: Its number.
    """
    worker: Any = router.worker(address)
    if isinstance(worker, FarConnection):
        for link in links:
            if link.far.get(address) is worker:
                return link.number
    return 0
