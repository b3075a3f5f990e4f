"""
Whole nodes in memory, for tests of programs that use this package and for its
own: no socket, no clock, no reactor.

A L{MemoryNetwork} is the world: a clock that a test turns, endpoints, and
links whose two pipes it can hold, read, change and cut, as whoever carries
the bytes could.  A L{MemoryNode} is one node in it, made of the real parts::

    network = MemoryNetwork()
    alice, bob = MemoryNode(network, "alice"), MemoryNode(network, "bob")
    bob.listen(TrustIdentifier(alice.identifier))
    link = network.connect(alice, bob)
    channel = network.result(alice.createChannel(link.route("api"), TrustIdentifier(bob.identifier)))

Nothing moves before L{MemoryNetwork.pump}.  This module is for tests: nothing
else in the package imports it.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

from attrs import frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
    ITransport,
)
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.channels.handshake import Party
from ockam_twisted.channels.listener import SecureChannelListener, createSecureChannel
from ockam_twisted.identity.creation import loadOrCreate
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.interfaces import ITrustPolicy, IVault, IWorker
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.router import Router
from ockam_twisted.storage.memory import MemoryStore
from ockam_twisted.transports.local import LocalSockets
from ockam_twisted.transports.stalls import StallWatch
from ockam_twisted.transports.stream import HopSettings, MessageStreamProtocol
from ockam_twisted.transports.tcp import TCPTransport
from ockam_twisted.vault.software import SoftwareVault
from ockam_twisted.wire.frames import VERSION, FrameDecoder, encodeFrame

T = TypeVar("T")

#: What nodes begin their clock with, seconds since the Unix epoch.
EPOCH = 1_800_000_000

#: After so many rounds a L{MemoryNetwork.pump} does not believe in an end.
_MAX_ROUNDS = 100_000


def loadVectors(path: str | Path) -> dict[str, Any]:
    """
    Read a file of test vectors.
    """
    return cast("dict[str, Any]", json.loads(Path(path).read_text("utf-8")))


@implementer(IAddress)
@frozen
class MemoryAddress:
    """
    One end of a link.
    """

    host: str
    port: int


class MemoryPipe:
    """
    One direction of a link, in the hands of a test.

    @ivar waiting: What is under way, oldest first; change it at will while
        C{held}.  Between nodes each item is one transport message without its
        length, else what one write gave.
    @ivar held: Deliver nothing for now.
    @ivar intercept: Called with each item as it is sent; what it returns is
        put on the way instead.
    @ivar record: Append each item to C{recorded} as it is sent.
    @ivar delivered: Bytes that have arrived.
    """

    def __init__(self, target: MemoryTransport, framed: bool) -> None:
        self.waiting: deque[bytes] = deque()
        self.held = False
        self.intercept: Callable[[bytes], Iterable[bytes]] | None = None
        self.record = False
        self.recorded: list[bytes] = []
        self.delivered = 0
        self.size = 0
        self._target = target
        self._frames = FrameDecoder() if framed else None
        self._greeting = VERSION if framed else b""
        self._end: Failure | None = None

    def inject(self, item: bytes) -> None:
        """
        Put something on the way that nobody sent.
        """
        self.waiting.append(item)

    def write(self, data: bytes) -> None:
        """
        The sending end has written.
        """
        items = (
            [data] if self._frames is None else [buffer[start:end] for buffer, start, end in self._frames.feed(data)]
        )
        for item in items:
            if self.record:
                self.recorded.append(item)
            self.waiting.extend((item,) if self.intercept is None else self.intercept(item))

    def end(self, reason: Failure, atOnce: bool) -> None:
        """
        The sending end has ended.

        @param atOnce: What is still under way is lost.
        """
        if self._end is None:
            self._end = reason
            if atOnce:
                self.waiting.clear()

    @property
    def pending(self) -> int:
        """
        Bytes under way.
        """
        return sum(map(len, self.waiting))

    def deliver(self) -> bool:
        """
        Deliver what is next.

        @return: Whether there was something that could be delivered.
        """
        target = self._target
        if self.held or target.isPaused or not target.connected:
            return False
        if self._greeting:
            data, self._greeting = self._greeting, b""
        elif self.waiting:
            item = self.waiting.popleft()
            self.delivered += len(item)
            data = item if self._frames is None else encodeFrame(item)
        elif self._end is not None:
            target.lost(self._end)
            return True
        else:
            return False
        target.protocol.dataReceived(data)
        return True


@implementer(ITransport, IConsumer, IPushProducer)
class MemoryTransport:
    """
    What a protocol at one end of a link writes to.  Like a socket it is deaf
    while it is paused.

    @ivar protocol: Who reads here.
    @ivar connected: Has the protocol not yet been told that this has ended?
    @ivar isPaused: Does the protocol not want to read?
    @ivar outgoing: The pipe to the other end.
    """

    #: Bytes under way above which a registered producer is paused.
    bufferSize = 64 * 1024

    outgoing: MemoryPipe
    peer: MemoryTransport

    def __init__(self, protocol: Any, host: MemoryAddress, remote: MemoryAddress) -> None:
        self.protocol = protocol
        self.connected = True
        self.isPaused = False
        self._host = host
        self._remote = remote
        self._producer: Any = None
        self._streaming = True
        self._full = False
        self._closing: Failure | None = None
        self._closed = False

    def write(self, data: bytes) -> None:
        """
        See C{ITransport}.
        """
        if self.connected and self._closing is None and data:
            self.outgoing.write(bytes(data))
            if self._producer is not None and self._streaming and not self._full:
                self._full = self.outgoing.pending > self.bufferSize
                if self._full:
                    self._producer.pauseProducing()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """
        See C{ITransport}.
        """
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """
        See C{ITransport}.
        """
        if self._closing is None:
            self._closing = Failure(ConnectionDone())

    def abortConnection(self) -> None:
        """
        See C{ITCPTransport}.
        """
        if self.connected and not self._closed:
            self._closing = Failure(ConnectionAborted())
            self.outgoing.end(Failure(ConnectionLost()), atOnce=True)

    def getPeer(self) -> MemoryAddress:
        """
        See C{ITransport}.
        """
        return self._remote

    def getHost(self) -> MemoryAddress:
        """
        See C{ITransport}.
        """
        return self._host

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See C{IConsumer}.
        """
        if self._producer is not None:
            raise RuntimeError("there is a producer already")
        if not self.connected:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """
        See C{IConsumer}.
        """
        self._producer = None
        self._full = False

    def pauseProducing(self) -> None:
        """
        See C{IPushProducer}.
        """
        self.isPaused = True

    def resumeProducing(self) -> None:
        """
        See C{IPushProducer}.
        """
        self.isPaused = False

    def stopProducing(self) -> None:
        """
        See C{IProducer}.
        """
        self.loseConnection()

    def step(self) -> bool:
        """
        Carry out what the protocol asked for since the last time.

        @return: Whether there was something.
        """
        if self._closing is not None and (self._producer is None or self._closing.check(ConnectionAborted)):
            closing = self._closing
            if self.connected:
                self.outgoing.end(Failure(ConnectionDone()), atOnce=False)
                self.lost(closing)
                return True
        if self._producer is not None and (self._full or not self._streaming):
            if self.outgoing.pending <= (self.bufferSize // 2 if self._streaming else 0):
                self._full = False
                self._producer.resumeProducing()
                return self._streaming or self.outgoing.pending > 0
        return False

    def lost(self, reason: Failure) -> None:
        """
        Tell the protocol that this has ended.
        """
        if self.connected:
            self.connected = False
            self._closed = True
            producer, self._producer = self._producer, None
            if producer is not None:
                producer.stopProducing()
            self.outgoing.end(Failure(ConnectionDone()), atOnce=False)
            self.protocol.connectionLost(reason)


class MemoryLink:
    """
    A connection between two protocols.

    @ivar client: The transport of the end that connected.
    @ivar server: The transport of the end that was connected to.
    @ivar toServer: The pipe from client to server.
    @ivar toClient: The pipe from server to client.
    """

    def __init__(self, client: Any, server: Any, framed: bool, number: int, name: str) -> None:
        here, there = MemoryAddress("memory", number), MemoryAddress(name, 0)
        self.client = MemoryTransport(client, here, there)
        self.server = MemoryTransport(server, there, here)
        self.toServer = self.client.outgoing = MemoryPipe(self.server, framed)
        self.toClient = self.server.outgoing = MemoryPipe(self.client, framed)
        self.client.peer, self.server.peer = self.server, self.client

    def route(self, *hops: Address | str) -> Route:
        """
        Between nodes: the route from the one that connected over this link.
        """
        return Route.of(cast(MessageStreamProtocol, self.client.protocol).address, *hops)

    def cut(self) -> None:
        """
        Break the connection; both ends hear of it, but no more of each other.
        """
        for transport in (self.client, self.server):
            transport.outgoing.end(Failure(ConnectionLost()), atOnce=True)

    def step(self) -> bool:
        """
        Move what can be moved by one step.
        """
        return any([self.client.step(), self.server.step(), self.toServer.deliver(), self.toClient.deliver()])


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
    See the module.

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

    def connect(self, client: MemoryNode, server: MemoryNode) -> MemoryLink:
        """
        Make a hop from one node to another, up to the exchange of versions.
        """
        self.result(client.transport.connect(self.endpoint(server.name)))
        return self.links[-1]

    def pump(self) -> None:
        """
        Move bytes until nothing moves any more.
        """
        for _ in range(_MAX_ROUNDS):
            now = any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls())
            if now:
                self.clock.advance(0)
            if not any([now, *[link.step() for link in list(self.links)]]):
                return
        raise RuntimeError("the network does not come to rest")

    def advance(self, seconds: float) -> None:
        """
        Let time pass, in steps of at most half a second.
        """
        self.pump()
        while seconds > 0:
            self.clock.advance(min(seconds, 0.5))
            seconds -= 0.5
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
        self.transport = TCPTransport(HopSettings(self.router, network.clock, self.stalls))
        self.store = MemoryStore()
        self.vault = SoftwareVault(self.store) if vault is None else vault
        made = network.result(Deferred.fromCoroutine(loadOrCreate(self.vault, self.store, self.now())))
        self.party = Party(self.vault, self.store, *made, self.now)
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
