"""
Whole nodes in memory, for tests of programs that use this package and for its
own: no socket, no clock, no reactor.

A L{MemoryNetwork} is the world: a clock that a test turns, endpoints, and
links whose two pipes it can hold, read, change and cut, as whoever carries
the bytes could.  A L{MemoryNode} is one node in it, made of the real parts::

    network = MemoryNetwork()
    alice, bob = MemoryNode(network, "alice"), MemoryNode(network, "bob")
    bob.listen(TrustIdentifier(alice.identifier))
    link = alice.connect(bob)
    channel = network.result(alice.createChannel(link.route("api"), TrustIdentifier(bob.identifier)))

Nothing moves before L{MemoryNetwork.pump}.  This module is for tests: nothing
else in the package imports it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar, cast

from attrs import frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.calendar import Calendar
from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.channels.listener import SecureChannelListener, createSecureChannel
from ockam_twisted.channels.party import Party
from ockam_twisted.identity.creation import loadOrCreate
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.interfaces import ITrustPolicy, IVault, IWorker
from ockam_twisted.memory import MemoryAddress, MemoryLink, MemoryPipe, MemoryTransport, MemoryWay
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.router import Router
from ockam_twisted.storage.memory import MemoryStore
from ockam_twisted.transports.hops import HopSettings
from ockam_twisted.transports.local import LocalSockets
from ockam_twisted.transports.service import TransportService
from ockam_twisted.transports.stalls import StallWatch
from ockam_twisted.transports.stream import MessageStreamProtocol
from ockam_twisted.vault.software import SoftwareVault

__all__ = [
    "EPOCH",
    "Inbox",
    "MemoryEndpoint",
    "MemoryLink",
    "MemoryNetwork",
    "MemoryNode",
    "MemoryPipe",
    "MemoryTransport",
    "MemoryWay",
    "loadVectors",
]

T = TypeVar("T")

#: After so many rounds a L{MemoryNetwork.pump} does not believe in an end.
_MAX_ROUNDS = 100_000

#: What nodes begin their clock with, seconds since the Unix epoch.
EPOCH = 1_800_000_000


def loadVectors(path: str | Path) -> dict[str, Any]:
    """
    Read a file of test vectors.
    """
    return cast("dict[str, Any]", json.loads(Path(path).read_text("utf-8")))


@implementer(IListeningPort)
class MemoryPort:
    """
    What listens at a name.
    """

    def __init__(self, network: MemoryNetwork, name: str, factory: IProtocolFactory) -> None:
        self.factory = factory
        self._network = network
        self._name = name

    def startListening(self) -> None:
        """
        See C{IListeningPort}.
        """
        self._network.ports[self._name] = self
        self.factory.doStart()

    def stopListening(self) -> Deferred[None]:
        """
        See C{IListeningPort}.
        """
        if self._network.ports.pop(self._name, None) is not None:
            self.factory.doStop()
        return succeed(None)

    def getHost(self) -> MemoryAddress:
        """
        See C{IListeningPort}.
        """
        return MemoryAddress(self._name, 0)


@implementer(IStreamServerEndpoint, IStreamClientEndpoint)
@frozen
class MemoryEndpoint:
    """
    A name in a network: listen at it, or connect to it.
    """

    network: MemoryNetwork
    name: str

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See C{IStreamServerEndpoint}.
        """
        port = MemoryPort(self.network, self.name, protocolFactory)
        port.startListening()
        return succeed(port)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See C{IStreamClientEndpoint}.
        """
        port = self.network.ports.get(self.name)
        if port is None:
            return fail(ConnectionRefusedError())
        here = MemoryAddress("memory", len(self.network.links))
        server = port.factory.buildProtocol(here)
        client = protocolFactory.buildProtocol(MemoryAddress(self.name, 0))
        if client is None:
            return fail(ConnectionRefusedError())
        link = self.network.join(client, server or Protocol(), self.name)
        if server is None:
            link.server.loseConnection()
        return succeed(client)


class MemoryNetwork:
    """
    Names and connections in memory.

    @ivar clock: The clock of every node; L{advance} turns it.
    @ivar links: Every connection there was, in the order they were made.
    @ivar ports: What listens, by name.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.links: list[MemoryLink] = []
        self.ports: dict[str, MemoryPort] = {}

    def endpoint(self, name: str) -> MemoryEndpoint:
        """
        The endpoint of a name.
        """
        return MemoryEndpoint(self, name)

    def join(self, client: Any, server: Any, name: str = "memory") -> MemoryLink:
        """
        Connect two protocols.
        """
        framed = isinstance(client, MessageStreamProtocol) and isinstance(server, MessageStreamProtocol)
        link = MemoryLink(client, server, framed, len(self.links), name)
        self.links.append(link)
        server.makeConnection(link.server)
        client.makeConnection(link.client)
        return link

    def pump(self) -> None:
        """
        Move bytes until nothing moves any more.
        """
        for _ in range(_MAX_ROUNDS):
            now = any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls())
            if now:
                self.clock.advance(0)
            if not any([now, *[link.step() for link in self.links if link.isAlive]]):
                return
        raise RuntimeError("the network does not come to rest")

    def advance(self, seconds: float) -> None:
        """
        Let time pass, in steps of an eighth of a second.
        """
        self.pump()
        while seconds > 0:
            self.clock.advance(min(seconds, 0.125))
            seconds -= 0.125
            self.pump()

    def result(self, waiting: Deferred[T]) -> T:
        """
        Move bytes until nothing moves, and return what C{waiting} fired with.

        @raise Exception: What it failed with.
        @raise RuntimeError: It has not fired.
        """
        outcome: list[Any] = []
        waiting.addBoth(outcome.append)
        self.pump()
        if not outcome:
            raise RuntimeError("nothing came of it")
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()
        return cast(T, outcome[0])


@implementer(IWorker)
class Inbox:
    """
    A worker that keeps what it gets, and may send it back.

    @ivar messages: All it got.
    """

    def __init__(self, router: Router, address: Address, echo: bool = False) -> None:
        self.address = address
        self.messages: list[LocalMessage] = []
        self._router = router
        self._echo = echo
        router.register(address, self)

    @property
    def payloads(self) -> list[bytes]:
        """
        The payloads of all it got.
        """
        return [message.payload for message in self.messages]

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        self.messages.append(message)
        if self._echo:
            back = LocalMessage(message.return_route, Route((self.address,)), message.payload)
            self._router.route(back, self.address)


class MemoryNode:
    """
    A node: router, transport, identity, and what a test adds to them.

    It accepts connections at the endpoint of its name.

    @ivar calendar: Its calendar, which has to be started to look at the
        clock.
    @ivar party: Its part in handshakes.
    @ivar sockets: For its inlets and outlets.
    @ivar transport: Makes and accepts its hops.
    """

    def __init__(self, network: MemoryNetwork, name: str, vault: IVault | None = None) -> None:
        self.network = network
        self.name = name
        self.router = Router()
        self.stalls = StallWatch(network.clock)
        self.sockets = LocalSockets(self.router.turn, self.stalls)
        self.transport = TransportService(HopSettings(self.router, network.clock, self.stalls))
        self.store = MemoryStore()
        self.vault = SoftwareVault(self.store) if vault is None else vault
        made = network.result(Deferred.fromCoroutine(loadOrCreate(self.vault, self.store, self.now())))
        self.calendar = Calendar(network.clock, lambda: EPOCH + network.clock.seconds(), network.clock.seconds)
        self.party = Party(self.vault, self.store, *made, self.now, until=self.calendar.at)
        self.transport.listen(network.endpoint(name))

    def now(self) -> int:
        """
        The time, in whole seconds since the Unix epoch.
        """
        return EPOCH + int(self.network.clock.seconds())

    @property
    def identifier(self) -> Identifier:
        """
        Who this node is.
        """
        return self.party.identity.identifier

    def connect(self, server: MemoryNode) -> MemoryLink:
        """
        Make a hop to another node, up to the exchange of versions.
        """
        network = self.network
        # What moves meanwhile may make others.
        number = len(network.links)
        network.result(self.transport.connect(network.endpoint(server.name)))
        return network.links[number]

    def inbox(self, name: str, *consumerIds: str, echo: bool = False) -> Inbox:
        """
        Add an inbox.

        @param consumerIds: The flow-control ids from which it may be reached;
            C{node.transport.listenerId} is that of plain connections.
        """
        inbox = Inbox(self.router, Address.local(name), echo)
        for flowId in consumerIds:
            self.router.flowControls.addConsumer(inbox.address, flowId)
        return inbox

    def send(self, route: Route, payload: bytes, source: Inbox) -> bool:
        """
        Send a message from an inbox, which may then be answered.

        @return: Whether somebody took it.
        """
        flowId = self.router.flowControls.producerId(route[0])
        if flowId is not None:
            self.router.flowControls.addConsumer(source.address, flowId)
        with self.router.turn:
            return self.router.route(LocalMessage(route, Route((source.address,)), payload), source.address)

    def listen(
        self, trust: ITrustPolicy, *consumerIds: str, name: str = "api", **options: Any
    ) -> SecureChannelListener:
        """
        Start a secure-channel listener.

        @param consumerIds: The flow-control ids from which it may be reached;
            none means that of plain connections.
        @param options: As of L{SecureChannelListener}.
        """
        address = Address.local(name)
        listener = SecureChannelListener(
            self.router, self.network.clock, self.party, trust, addresses=(address,), **options
        )
        listener.startService()
        for flowId in consumerIds or (self.transport.listenerId,):
            self.router.flowControls.addConsumer(address, flowId)
        return listener

    def createChannel(self, route: Route, trust: ITrustPolicy, **options: Any) -> Deferred[SecureChannel]:
        """
        Make a secure channel.

        @param options: As of L{createSecureChannel}.
        """
        return createSecureChannel(self.router, self.network.clock, self.party, route, trust, **options)
