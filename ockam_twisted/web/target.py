"""
A target that speaks HTTP, and is told with each request who is at the other
end.

It does not take the fast path: each byte goes through
L{Exchange<ockam_twisted.web.exchange.Exchange>}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.interfaces import ILocalSide, IRouter, ITarget
from ockam_twisted.portals.announced import headerFor
from ockam_twisted.portals.output import ignored
from ockam_twisted.portals.protocol import PortalTransport
from ockam_twisted.portals.refusals import Refusals
from ockam_twisted.web.exchange import BadRequest, BadResponse, Exchange

_HOLDING, _FULL = "a request waits", "the target takes no more"

_BAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@implementer(IPushProducer)
class _Gate:
    """
    Pauses a client for as long as somebody wants it paused.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._reasons: set[str] = set()

    def want(self, reason: str, isPaused: bool) -> None:
        before = bool(self._reasons)
        (self._reasons.add if isPaused else self._reasons.discard)(reason)
        if before != bool(self._reasons):
            (self._transport.pauseProducing if self._reasons else self._transport.resumeProducing)()

    def pauseProducing(self) -> None:
        self.want(_FULL, True)

    def resumeProducing(self) -> None:
        self.want(_FULL, False)

    def stopProducing(self) -> None:
        self._transport.loseConnection()


class _Target(Protocol):
    """
    The connection to the target; it waits until there is somebody for whom.
    """

    client: _Client | None = None
    lost: Failure | None = None
    early = b""

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.pauseProducing()

    def dataReceived(self, data: bytes) -> None:
        if self.client is None:
            self.early += data
        else:
            self.client.answered(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason
        if self.client is not None:
            self.client.targetLost(reason)


@implementer(IHalfCloseableProtocol)
class _Client(Protocol):
    """
    What comes out of a stream, and goes into it.
    """

    _gate: _Gate | None = None
    _isFinished = False

    def __init__(self, target: HTTPTarget, connection: _Target, exchange: Exchange) -> None:
        self._target = target
        self._connection = connection
        self._exchange = exchange

    @property
    def _out(self) -> Any:
        return self._connection.transport

    def connectionMade(self) -> None:
        transport: Any = self.transport
        connection = self._connection
        if connection.lost is not None:
            transport.abortConnection()
            return
        connection.client = self
        self._gate = _Gate(transport)
        if self._target.announces:
            self._out.write(headerFor(transport.stream, self._out))
        self._out.registerProducer(self._gate, True)
        transport.registerProducer(self._out, True)
        early, connection.early = connection.early, b""
        if early:
            self.answered(early)
        self._out.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        try:
            self._send(self._exchange.fromClient(data))
        except BadRequest as error:
            self._refuse(str(error))

    def _send(self, data: bytes) -> None:
        if data and self._connection.lost is None:
            self._out.write(data)
        if self._gate is not None:
            self._gate.want(_HOLDING, self._exchange.isHeld)
        if self._isFinished and not self._exchange.isWaiting:
            self._finish()

    def answered(self, data: bytes) -> None:
        transport: Any = self.transport
        exchange = self._exchange
        # It has begun before this is known to be all of it.
        isBegun = exchange.isBegun
        try:
            following = exchange.fromTarget(data)
            transport.write(data)
            self._send(following)
        except BadRequest as error:
            transport.write(data)
            self._refuse(str(error), exchange.isBegun)
        except BadResponse as error:
            self._target.ended(f"its target does not speak HTTP/1.1: {error}")
            if not isBegun:
                transport.write(data)
            self._end()

    def _refuse(self, why: str, isBegun: bool | None = None) -> None:
        """
        The client is told, if it can be.
        """
        transport: Any = self.transport
        self._target.ended(f"it is no request that can be passed on: {why}")
        if self._exchange.isBegun if isBegun is None else isBegun:
            self._end()
            return
        self._exchange.isOver = True
        transport.unregisterProducer()
        transport.write(_BAD)
        transport.loseConnection()
        self._connection.client = None
        self._out.abortConnection()

    def _end(self) -> None:
        transport: Any = self.transport
        self._out.abortConnection()
        transport.abortConnection()

    def readConnectionLost(self) -> None:
        # Who waits for an answer may do so for ever: the target has to hear it.
        self._isFinished = True
        if not self._exchange.isWaiting:
            self._finish()

    def _finish(self) -> None:
        """
        Nothing more comes from the client.
        """
        self._isFinished = False
        if hasattr(type(self._out), "loseWriteConnection") and self._connection.lost is None:
            self._out.unregisterProducer()
            self._out.loseWriteConnection()

    def writeConnectionLost(self) -> None:
        pass

    def targetLost(self, reason: Failure) -> None:
        transport: Any = self.transport
        transport.unregisterProducer()
        if reason.check(*_CLEAN):
            transport.loseConnection()
        else:
            transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._connection.client = None
        if self._connection.lost is None:
            self._out.unregisterProducer()
            if reason.check(*_CLEAN):
                self._out.loseConnection()
            else:
                self._out.abortConnection()


_CLEAN = (type(connectionDone.value),)


class _Near(PortalTransport):
    """
    The near end of a stream, which may end before its protocol is connected.
    """

    connection: _Target | None = None

    def _neverMade(self, reason: Failure) -> None:
        if self.connection is not None and self.connection.lost is None:
            transport: Any = self.connection.transport
            transport.abortConnection()


class _Dialed(Factory):
    noisy = False

    def buildProtocol(self, addr: object) -> _Target:
        return _Target()


@implementer(ITarget)
class HTTPTarget:
    """
    See the module.

    @ivar label: What it is, for people.
    @ivar announces: Is it told whose connection it is, first of all?
    """

    _log = Logger()

    def __init__(
        self,
        router: IRouter,
        clock: Any,
        endpoint: IStreamClientEndpoint,
        label: str,
        header: str,
        announces: bool = False,
        heldBack: Callable[[Any], object] = ignored,
    ) -> None:
        """
        @param header: The name of the header.
        @param heldBack: See L{PortalTransport}.
        """
        self.label = label
        self.announces = announces
        self._refusals = Refusals(clock)
        self._router = router
        self._clock = clock
        self._endpoint = endpoint
        self._header = header
        self._heldBack = heldBack

    def ended(self, reason: str) -> None:
        """
        Log why a stream was ended, one line for each reason in a while.
        """
        if self._refusals.isNews(reason):
            self._log.warn("An HTTP stream was ended: {reason}", reason=reason, event="http-stream-ended")

    def local(self) -> PortalTransport:
        """
        See L{ITarget.local}.
        """
        return _Near(self._router, self._clock, f"the target {self.label}", self._heldBack)

    def connect(self, local: ILocalSide) -> Deferred[Any]:
        """
        See L{ITarget.connect}.
        """
        assert isinstance(local, _Near)

        def connected(connection: Any) -> None:
            peer = local.stream.peer
            exchange = Exchange(self._header, "" if peer is None else peer.identifier)
            local.connection = connection
            local.protocol = _Client(self, connection, exchange)

        return self._endpoint.connect(_Dialed()).addCallback(connected)
