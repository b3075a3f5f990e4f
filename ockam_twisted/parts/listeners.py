"""
A place where other nodes connect to this one.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from zope.interface import implementer

from ockam_twisted.interfaces import IHop
from ockam_twisted.node import Node
from ockam_twisted.parts.difference import Key
from ockam_twisted.parts.doors import Door
from ockam_twisted.parts.part import Part


class _Remembering(Factory):
    """
    Remembers the hops that somebody else makes.
    """

    noisy = False

    def __init__(self, factory: IProtocolFactory, hops: WeakSet[Any]) -> None:
        self._factory = factory
        self._hops = hops

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """
        Somebody connects.
        """
        protocol = self._factory.buildProtocol(addr)  # type: ignore[arg-type]
        if IHop.providedBy(protocol):
            self._hops.add(protocol)
        return protocol


@implementer(IStreamServerEndpoint)
class ListenerPart(Part):
    """
    See the module.

    @ivar hops: The connections that were accepted here.
    """

    config: str

    def __init__(self, key: Key, config: str, node: Node) -> None:
        super().__init__(key, config)
        self.hops: WeakSet[Any] = WeakSet()
        self.door: Door | None = None
        self._node = node
        self._port: IListeningPort | None = None

    @property
    def codec(self) -> Any:
        """
        See L{ockam_twisted.transports.service}.
        """
        return None if self.door is None else self.door.codec

    def enter(self, door: Door) -> None:
        """
        Accept connections.
        """
        self.door = door

        def listening(port: IListeningPort) -> None:
            self._port = port

        self._node.transport.listen(self).addCallback(listening)
        self._node.listening.append(self.config)

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See C{IStreamServerEndpoint}.
        """
        assert self.door is not None
        return self.door.listen(_Remembering(protocolFactory, self.hops))

    @property
    def inUse(self) -> int:
        """
        See L{Part.inUse}: connections that somebody depends on.
        """
        return sum(self._node.router.dependents(hop.address) > 0 for hop in self.hops)

    def change(self, config: str) -> None:
        """
        There is nothing that could.
        """

    def retire(self) -> None:
        """
        See L{Part.retire}.
        """
        self._node.listening.remove(self.config)
        self.door = None
        if self._port is not None:
            self._node.transport.stopListeningOn(self._port)
            self._port = None

    def revive(self) -> None:
        """
        See L{Part.revive}: it gets a door as any other.
        """

    def end(self) -> None:
        """
        See L{Part.end}.
        """
        for hop in list(self.hops):
            hop.loseConnection()
