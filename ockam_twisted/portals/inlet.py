"""
The inlet: accepts clients and opens a stream to the outlet for each (spec
portals, sections 2 and 5.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from ockam_twisted.interfaces import IRouter, ISockets, IWay
from ockam_twisted.portals.announced import clientOf
from ockam_twisted.portals.inletstream import InletStream
from ockam_twisted.portals.late import Late
from ockam_twisted.portals.opening import Opening
from ockam_twisted.portals.refusals import Refusals
from ockam_twisted.portals.settings import StreamSettings
from ockam_twisted.portals.socket import PortalSocket
from ockam_twisted.portals.totals import Totals
from ockam_twisted.routing.addresses import Route
from ockam_twisted.wire.extension import POLICY, SHUTTING_DOWN, Reset
from ockam_twisted.wire.terms import EARLY

_log = Logger()

_STOPPING = "the inlet is shutting down"

#: Seconds a client is held until its stream is open.
CONNECT_TIMEOUT = 10.0


class InletSocket(PortalSocket):
    """
    A client of an inlet.
    """

    opening: Opening
    addresses: tuple[Any, Any] | None = None
    tells = _hasSaid = False

    def proxied(self, client: object, at: object) -> None:
        """
        A proxy has connected for somebody else.
        """
        self.addresses = (client, at)

    def connectionMade(self) -> None:
        """
        A client has connected.
        """
        super().connectionMade()
        transport: Any = self.transport
        told = None
        if self.tells:
            told = clientOf(*(self.addresses or (transport.getPeer(), transport.getHost())))
        self.opening.start(told)

    def take(self) -> bytes:
        """
        What the client has said by now.
        """
        said = self._sockets.take(self.transport)
        self._hasSaid = bool(said)
        return said

    def streamOpened(self) -> None:
        """
        See L{ILocalSide.streamOpened}.
        """
        self.opening.opened()
        super().streamOpened()
        # Who has said something by then says mostly nothing more so soon.
        if not self._hasSaid:
            self.readAhead()


class _InletFactory(Factory):
    noisy = False

    def __init__(self, inlet: Inlet) -> None:
        self._inlet = inlet

    def buildProtocol(self, addr: IAddress | None) -> InletSocket | None:
        inlet = self._inlet
        if len(inlet.streams) >= inlet.maxStreams:
            inlet.refused(f"there are {len(inlet.streams)} clients already")
            return None
        client = InletSocket(inlet.router, inlet.sockets, "a client of the inlet")
        client.opening = Opening(inlet, client)
        client.opening.take = client.take
        client.tells = inlet.tellsClient
        return client


class Inlet(Service):
    """
    See the module.

    @ivar router: Where the streams live.
    @ivar way: Leads to the outlet's worker.
    @ivar streams: The streams there are.
    @ivar totals: What all of them have done.
    @ivar late: Stand-ins of streams that were given up too early.
    @ivar port: Where it listens, once it does.
    @ivar accepting: Makes clients of connections, if that is to be done in a
        special way.
    @ivar settings: Of the portal extension.
    @ivar tellsClient: Is the outlet told the addresses of clients?
    @ivar isOutlived: Does the node go on when this is stopped?  Then
        stand-ins of streams stay, until their answer has come.
    """

    tellsClient = isOutlived = False
    port: IListeningPort | None = None
    accepting: Factory | None = None

    def __init__(
        self,
        router: IRouter,
        clock: IReactorTime,
        sockets: ISockets,
        way: IWay,
        connectTimeout: float = CONNECT_TIMEOUT,
        maxStreams: int = 4096,
        settings: StreamSettings | None = None,
    ) -> None:
        """
        @param settings: Of the portal extension.
        """
        self.router = router
        self.clock = clock
        self.sockets = sockets
        self.way = way
        self.connectTimeout = connectTimeout
        self.maxStreams = maxStreams
        self.settings = StreamSettings(clock) if settings is None else settings
        self._unwatch: Callable[[], None] | None = None
        self._outlet: tuple[Route, bytes] | None = None
        self.streams: set[InletStream] = set()
        self.totals = Totals()
        self.late: set[Late] = set()
        self._refusals = Refusals(clock)

    def startService(self) -> None:
        """
        Follow the way.
        """
        super().startService()
        self._unwatch = self.way.changed(self._wayChanged)

    def _wayChanged(self, route: Route | None) -> None:
        """
        There is another way: the streams that can go on over it.
        """
        if route is not None:
            with self.router.turn:
                for stream in list(self.streams):
                    stream.resume(route)

    def outletOf(self, route: Route) -> bytes | None:
        """
        The instance of the process at the end of a way, if it takes what a
        client says with the Ping: not while it may be no more, since its
        successor cannot know what it has told.
        """
        if self._outlet is None or self._outlet[0] is not route or self.way.isSuspect:
            return None
        return self._outlet[1]

    def learn(self, route: Route | None, stream: InletStream) -> None:
        """
        A stream is open: now it is known what is at the end of its way.

        @param route: L{None}: what was known has turned out not to be so.
        """
        extension = stream.extension
        if route is None:
            self._outlet = None
        elif extension is not None and extension.exchange.features & EARLY:
            self._outlet = route, extension.instance

    def listen(self, endpoint: IStreamServerEndpoint) -> Deferred[IListeningPort]:
        """
        Accept clients.

        @return: Fires with the port; it is also closed by L{stopService}.
        """

        def listening(port: IListeningPort) -> IListeningPort:
            self.port = port
            return port

        return endpoint.listen(self.accepting or _InletFactory(self)).addCallback(listening)

    def refused(self, reason: str) -> None:
        """
        Log that a client was refused, one line for each reason in a while.
        """
        if self._refusals.isNews(reason):
            _log.warn("A client was refused: {reason}", reason=reason, event="client-refused")

    def recheck(self, accepts: Callable[[str], bool]) -> None:
        """
        End the streams to those who are not accepted any more.

        @param accepts: Is an outlet, named by its identifier, still?
        """
        with self.router.turn:
            for stream in list(self.streams):
                if stream.peer is not None and not accepts(stream.peer.identifier):
                    stream.abandon("the outlet is not accepted any more", POLICY)

    def forget(self) -> None:
        """
        Wait for no answer that is not needed any more.
        """
        for late in list(self.late):
            late.stop()

    def drain(self) -> Deferred[None]:
        """
        Accept no more clients; those that are there go on.

        @return: Fires once it listens no more.
        """
        port, self.port = self.port, None
        if port is None:
            return succeed(None)
        stop: Any = port.stopListening
        return maybeDeferred(stop)

    def stopService(self) -> Deferred[None] | None:
        """
        Accept no more clients, and end the streams.
        """
        super().stopService()
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        with self.router.turn:
            for stream in list(self.streams):
                stream.abandon(_STOPPING)
                stream.ended(Reset(SHUTTING_DOWN, 0), _STOPPING)
        if not self.isOutlived:
            self.forget()
        port, self.port = self.port, None
        return port.stopListening() if port is not None else None
