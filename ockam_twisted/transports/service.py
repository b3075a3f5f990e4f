"""
The transport of a node: hops over Twisted endpoints, whatever is below them
(spec messaging, sections 6 to 11).

Any stream endpoint will do; TCP and Unix sockets get the fast path.  An
endpoint whose connections keep messages says so by its C{codec}: see
L{ockam_twisted.transports.message}.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from zope.interface import implementer

from ockam_twisted.interfaces import IHop, ITransport
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.flow import newFlowId
from ockam_twisted.transports.factory import HopCensus, MessageFactory, MessageStreamFactory
from ockam_twisted.transports.hop import HopProtocol
from ockam_twisted.transports.hops import HopSettings
from ockam_twisted.transports.sockets import keepFreedMemory
from ockam_twisted.transports.vanished import VanishedWatch
from ockam_twisted.wire.codecs import Codec

#: Seconds that open connections have to drain when the service stops.
DRAIN = 2.0


@implementer(ITransport)
class TransportService(Service):
    """
    See L{ITransport}.

    @ivar settings: Of its hops.
    @ivar servers: Makes hops of accepted connections.
    @ivar accepting: Takes accepted connections: L{servers}, or what stands in
        front of it.
    @ivar listenerId: The flow-control id that accepted connections are
        spawned under: make a worker its consumer, and peers can reach it
        without a secure channel.
    """

    def __init__(self, settings: HopSettings) -> None:
        self.settings = settings
        self.listenerId = newFlowId()
        settings.router.flowControls.addSpawner(Address.random(), self.listenerId)
        self._clients = MessageStreamFactory(settings)
        self.servers = MessageStreamFactory(settings, self.listenerId)
        self.accepting: Factory = self.servers
        self._ports: list[IListeningPort] = []
        self._vanished = VanishedWatch(settings.clock, lambda: self.hops)

    @property
    def hops(self) -> set[HopProtocol]:
        """
        All connections there are.
        """
        return self._clients.hops | self.servers.hops

    def _factory(self, endpoint: Any, streams: Factory, spawnerId: str | None, census: HopCensus) -> Factory:
        """
        What makes the hops of an endpoint.

        @param streams: It, if their carriers are streams.
        """
        codec: Codec | None = getattr(endpoint, "codec", None)
        return streams if codec is None else MessageFactory(self.settings, codec, spawnerId, census)

    def connect(self, endpoint: IStreamClientEndpoint) -> Deferred[IHop]:
        """
        Make one attempt: connect and, over a stream, exchange the version byte.

        @return: Fires with the hop.  Cancel it to give up.
        """
        made: list[HopProtocol] = []

        def canceled(_: Deferred[IHop]) -> None:
            connecting.cancel()
            for hop in made:
                hop.abortConnection("the attempt was given up")

        result: Deferred[IHop] = Deferred(canceled)

        def connected(protocol: object) -> Deferred[HopProtocol]:
            hop = cast(HopProtocol, protocol)
            made.append(hop)
            return hop.ready

        connecting = endpoint.connect(self._factory(endpoint, self._clients, None, self._clients.census))
        connecting.addCallback(connected)
        connecting.addCallbacks(result.callback, result.errback)
        return result

    def listen(self, endpoint: IStreamServerEndpoint) -> Deferred[IListeningPort]:
        """
        See L{ITransport.listen}.
        """

        def listening(port: IListeningPort) -> IListeningPort:
            self._ports.append(port)
            return port

        factory = self._factory(endpoint, self.accepting, self.listenerId, self.servers.census)
        return endpoint.listen(factory).addCallback(listening)

    def stopListening(self) -> Deferred[Any]:
        """
        Accept no more connections; those that are there go on.

        @return: Fires when nothing listens any more.
        """
        ports, self._ports = self._ports, []
        return gatherResults([maybeDeferred(cast(Any, port).stopListening) for port in ports])

    def stopListeningOn(self, port: IListeningPort) -> Deferred[Any]:
        """
        Accept no more connections at one of several places.
        """
        self._ports.remove(port)
        return maybeDeferred(cast(Any, port).stopListening)

    def startService(self) -> None:
        """
        Tune the process for hops.
        """
        super().startService()
        keepFreedMemory()
        self._vanished.start()

    def stopService(self) -> Deferred[None]:
        """
        Stop listening; connections drain, and are aborted if they do not.
        """
        super().stopService()
        self._vanished.stop()
        waiting: list[Deferred[Any]] = [self.stopListening()]
        for hop in self.hops:
            waiting.append(hop.whenLost())
            hop.loseConnection()

        def abort() -> None:
            for hop in self.hops:
                hop.expire("it did not drain in time")

        deadline = self.settings.clock.callLater(DRAIN, abort)

        def stopped(_: object) -> None:
            if deadline.active():
                deadline.cancel()

        return gatherResults(waiting).addBoth(stopped)
