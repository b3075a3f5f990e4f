"""
The inlet: accepts clients and opens a stream to the outlet for each (spec
portals, sections 2 and 5.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IListeningPort,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from ockam_twisted.errors import NotAccepted
from ockam_twisted.interfaces import IRouter, ISockets, IWay
from ockam_twisted.portals.announced import clientOf
from ockam_twisted.portals.inletstream import InletStream
from ockam_twisted.portals.late import Late
from ockam_twisted.portals.plain import State
from ockam_twisted.portals.refusals import Refusals, reasonOf
from ockam_twisted.portals.settings import StreamSettings
from ockam_twisted.portals.socket import PortalSocket
from ockam_twisted.portals.totals import Totals
from ockam_twisted.routing.addresses import Route
from ockam_twisted.wire.extension import POLICY, SHUTTING_DOWN, Reset

_log = Logger()

_STOPPING = "the inlet is shutting down"

#: Seconds a client is held until its stream is open.
CONNECT_TIMEOUT = 10.0

#: Seconds after which the way is asked whether it lives, while Pong is awaited,
#: and after each of which another one is taken if there is a better one then.
ASK_AFTER = 2.0
LOOK_AFTER = 1.0

#: Seconds until a client whose way was lost before Pong is tried again.
_PAUSE = 0.05


class Opening:
    """
    A stream on its way to being open: waits for the way, then for Pong; begins
    anew if the way is lost meanwhile, or if Pong does not come, or the outlet
    is about to stop, and there is another way by then.

    @ivar stream: The one that is being opened.
    @ivar isGivenUp: Has it waited for long enough, or was it told that waiting
        is no use?
    @ivar isRefused: Was it told so because the outlet refuses us, or we it?
    """

    stream: InletStream
    isGivenUp = isRefused = False
    _told: bytes | None = None

    def __init__(self, inlet: Inlet, local: Any) -> None:
        """
        @param local: An L{ILocalSide} that takes the stream as its attribute.
        """
        self._inlet = inlet
        self._local = local
        self._waiting: Deferred[Route] | None = None
        self._deadline: IDelayedCall | None = None
        self._until = 0.0
        self._route: Route | None = None
        self._hasAsked = False
        self._make()

    def _make(self) -> None:
        inlet = self._inlet
        self.stream = self._local.stream = InletStream(inlet.router, self._local, self._ended, settings=inlet.settings)
        self.stream.client = self._told
        self.stream.anew = self._again
        self.stream.elsewhere = self._elsewhere
        inlet.streams.add(self.stream)
        inlet.totals.opened += 1

    def start(self, client: bytes | None = None) -> None:
        """
        Begin.  The near end must be able to be reset by now.

        @param client: What the outlet is told of it.
        """
        self._told = self.stream.client = client
        self._until = self._inlet.clock.seconds() + self._inlet.connectTimeout
        self._begin()

    def _again(self) -> None:
        """
        The way was lost.  Whose it is may not know it yet.
        """
        self._make()
        clock = self._inlet.clock
        isLate = clock.seconds() >= self._until
        self._deadline = clock.callLater(_PAUSE, self._timedOut if isLate else self._begin)

    def _elsewhere(self) -> bool:
        """
        The outlet is about to stop: is there another one?
        """
        way = self._inlet.way
        way.suspect("the outlet is about to stop", self._route)
        return way.route not in (None, self._route)

    def _begin(self) -> None:
        inlet = self._inlet
        self._hasAsked = False
        self._look(ASK_AFTER)
        route = inlet.way.route
        if route is not None:
            self._up(route)
        else:
            # It may fire at once.
            self._waiting = waiting = inlet.way.whenUp()
            waiting.addCallback(self._up)
            waiting.addErrback(self._failed)

    def _look(self, delay: float) -> None:
        clock = self._inlet.clock
        left = self._until - clock.seconds()
        if left > delay:
            self._deadline = clock.callLater(delay, self._unanswered)
        else:
            self._deadline = clock.callLater(max(0.0, left), self._timedOut)

    def _unanswered(self) -> None:
        """
        It takes long: does the way live, or is there a better one?
        """
        self._look(LOOK_AFTER)
        way = self._inlet.way
        if self.stream.state is not State.PINGED:
            return
        if not self._hasAsked:
            self._hasAsked = True
            way.suspect("a new stream gets no answer", self._route)
        elif way.route not in (None, self._route):
            with self._inlet.router.turn:
                self.stream.withdraw()
            self._make()
            self._begin()

    def opened(self) -> None:
        """
        Pong has arrived.
        """
        self._stopLooking()
        # The way may have been replaced meanwhile.
        route = self._inlet.way.route
        if route is not None and route is not self._route and self.stream.state is State.OPEN:
            self.stream.resume(route)

    def _stopLooking(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def _up(self, route: Route) -> None:
        self._waiting = None
        if self.stream.state is State.NEW:
            router = self._inlet.router
            self._route = route
            with router.turn:
                self.stream.ping(route)

    def _failed(self, failure: Failure) -> None:
        self._waiting = None
        if failure.trap(CancelledError, NotAccepted) is NotAccepted:
            self.isRefused = True
            self._giveUp(failure.getErrorMessage())

    def _timedOut(self) -> None:
        if self.stream.state is State.PINGED:
            reason = f"the outlet did not answer within {self._inlet.connectTimeout:.0f} s"
            self._inlet.way.suspect(reason, self._route)
        else:
            reason = self._inlet.way.why or "there is no way to the outlet"
        self._giveUp(reason)

    def _giveUp(self, reason: str) -> None:
        self.isGivenUp = True
        with self._inlet.router.turn:
            self.stream.abandon(reason)
        self._inlet.refused(reason)

    def _ended(self, stream: InletStream) -> None:
        self._inlet.streams.discard(stream)
        self._inlet.totals.ended(stream)
        if stream.result is not None and stream.extension is None:
            self._inlet.refused(f"the outlet says: {reasonOf(stream.result)}")
        self._stopLooking()
        if self._waiting is not None:
            self._waiting.cancel()
        if stream.isAnswerDue and len(self._inlet.late) < self._inlet.maxStreams:
            Late(self._inlet, stream)


class InletSocket(PortalSocket):
    """
    A client of an inlet.
    """

    opening: Opening
    addresses: tuple[Any, Any] | None = None
    tells = False

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

    def streamOpened(self) -> None:
        """
        See L{ILocalSide.streamOpened}.
        """
        self.opening.opened()
        super().streamOpened()
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
