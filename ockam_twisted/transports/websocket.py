"""
The WebSocket transport: one binary message of RFC 6455 is one transport
message in BARE (spec messaging, section 9).

The framing and the handshake are C{wsproto}'s; here are their bounds, who may
come, and the carrier that hops look at (L{ockam_twisted.transports.message}).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ConnectionLost, TimeoutError
from twisted.internet.interfaces import IAddress, IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError
from zope.interface import implementer

from ockam_twisted.routing.addresses import printable
from ockam_twisted.transports.carrier import CarrierProtocol

#: Seconds that the handshake may take.
PATIENCE = 10.0

#: Seconds of silence after which we ask whether somebody is there: some
#: proxies end what is silent for a minute.  Two such questions without an
#: answer are the end.
PING = 25.0

#: How many frames one message may be in: empty ones add nothing to its size.
FRAMES = 4096


@implementer(IPushProducer)
class _Room:
    """
    Hears from the transport what the queue of the hop hears: whether it has
    room.

    @ivar isFull: It has none.
    """

    isFull = False

    def __init__(self, queue: Any, freed: Callable[[], object]) -> None:
        """
        @param freed: Called when there is room again, before the queue hears
            so: that may fill it at once.
        """
        self._queue = queue
        self._freed = freed

    def pauseProducing(self) -> None:
        """
        See C{IPushProducer}.
        """
        self.isFull = True
        self._queue.pauseProducing()

    def resumeProducing(self) -> None:
        """
        See C{IPushProducer}.
        """
        self.isFull = False
        self._freed()
        if not self.isFull:
            self._queue.resumeProducing()

    def stopProducing(self) -> None:
        """
        See C{IPushProducer}.
        """
        self._queue.stopProducing()


class WebSocketProtocol(CarrierProtocol):
    """
    One end of a WebSocket.
    """

    _deadline: IDelayedCall | None = None
    _pinging: IDelayedCall | None = None
    _silent = 0
    _room: _Room | None = None
    _pong: Pong | None = None

    def __init__(self, kind: ConnectionType, clock: IReactorTime, factory: Any, address: IAddress | None) -> None:
        """
        @param factory: Makes the hop.
        """
        self._ws = WSConnection(kind)
        self._factory = factory
        self._address = address
        self._clock = clock
        self._maximum = 0
        self._message = bytearray()
        self._frames = 0

    def connectionMade(self) -> None:
        """
        The handshake begins.
        """
        super().connectionMade()
        self._deadline = self._clock.callLater(PATIENCE, self._tooLate)

    def _tooLate(self) -> None:
        self._deadline = None
        self._fail(TimeoutError(string=f"WebSocket: no answer within {PATIENCE:.0f} s"))

    def _fail(self, error: Exception) -> None:
        """
        There will be no hop.
        """
        self.abortConnection()

    def _open(self) -> bool:
        """
        Make the hop, if there may be one more.
        """
        behind = self._factory.buildProtocol(self._address)
        if behind is None:
            return False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self.behind = behind
        self._maximum = behind.maxFrame
        return True

    def _begin(self) -> None:
        self._pinging = self._clock.callLater(PING, self._ping)
        self.behind.makeConnection(self)

    # ------------------------------------------------------------- inbound

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes from the peer.
        """
        if self._isEnding:
            return
        self._silent = 0
        try:
            self._ws.receive_data(data)
            for event in self._ws.events():
                self._happened(event)
                if self._isEnding:
                    return
        except (ProtocolError, ValueError) as error:
            self._isWrong(error)

    def _isWrong(self, error: Exception) -> None:
        """
        The peer does not keep to the protocol.
        """
        self._fail(ConnectError(string=f"WebSocket: {printable(str(error))}"))

    def _happened(self, event: Event) -> None:
        if isinstance(event, BytesMessage | TextMessage):
            data: Any = event.data
            self._frames += event.frame_finished
            self._piece(data.encode() if isinstance(data, str) else data, event.message_finished)
        elif isinstance(event, Ping):
            # Of several without an answer the last one needs it (RFC 6455, section 5.5.3).
            self._pong = event.response()
            self._answer()
        elif isinstance(event, CloseConnection):
            self._reply(event.response())
            self._isEnding = True
            self._transport.loseConnection()
        elif not isinstance(event, Pong):
            self._shake(event)

    def _shake(self, event: Event) -> None:
        """
        A step of the handshake.
        """
        raise NotImplementedError

    def _piece(self, data: bytes | bytearray, isLast: bool) -> None:
        """
        A message, or a piece of one.
        """
        if len(self._message) + len(data) > self._maximum or self._frames > FRAMES:
            self._reply(CloseConnection(code=1009))
            self.behind.abortConnection("a WebSocket message that is too long, or in too many frames")
            return
        if not isLast:
            self._message += data
            return
        message = b"".join((self._message, data)) if self._message else bytes(data)
        self._message = bytearray()
        self._frames = 0
        self.behind.dataReceived(message)

    def _answer(self) -> None:
        """
        Answer the last Ping as soon as there is room.  Whoever pings and reads
        nothing could fill our memory otherwise.
        """
        if self._pong is not None and not (self._room is not None and self._room.isFull):
            pong, self._pong = self._pong, None
            self._reply(pong)

    def _reply(self, event: Event) -> None:
        try:
            self._transport.write(self._ws.send(event))
        except ProtocolError:
            # It has closed, and so have we.
            pass

    def _ping(self) -> None:
        """
        Nothing was heard for a while, or something.
        """
        self._pinging = self._clock.callLater(PING, self._ping)
        self._silent += 1
        if self._silent > 2:
            self.abortConnection()
        elif self._silent > 1:
            self._reply(Ping())

    # ------------------------------------------------- of the hop's carrier

    def write(self, data: bytes) -> None:
        """
        Send one message.
        """
        if not self._isEnding:
            self._transport.write(self._ws.send(BytesMessage(data=data)))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See C{IConsumer}.
        """
        self._room = _Room(producer, self._answer)
        super().registerProducer(self._room, streaming)

    def loseConnection(self) -> None:
        """
        See C{ITransport}.
        """
        if not self._isEnding:
            self._reply(CloseConnection(code=1000))
        super().loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        It is over.
        """
        for call in (self._deadline, self._pinging):
            if call is not None and call.active():
                call.cancel()
        super().connectionLost(reason)


class WebSocketClientProtocol(WebSocketProtocol):
    """
    The end that has connected.
    """

    def __init__(
        self,
        clock: IReactorTime,
        factory: Any,
        address: IAddress | None,
        host: str,
        path: str,
        done: Deferred[Any],
    ) -> None:
        """
        @param factory: Makes the hop.
        @param host: Of the C{Host} header.
        @param path: What is asked for.
        @param done: Fires with the hop.
        """
        super().__init__(ConnectionType.CLIENT, clock, factory, address)
        self._request = Request(host=host, target=path)
        self._done: Deferred[Any] | None = done

    def connectionMade(self) -> None:
        """
        Ask for a WebSocket.
        """
        super().connectionMade()
        self._reply(self._request)

    def _shake(self, event: Event) -> None:
        if isinstance(event, AcceptConnection):
            done, self._done = self._done, None
            if done is None or not self._open():
                self.abortConnection()
                return
            self._begin()
            done.callback(self.behind)
        elif isinstance(event, RejectConnection):
            self._fail(ConnectError(string=f"WebSocket: the server answers {event.status_code}, it does not switch"))
        elif not isinstance(event, RejectData):
            self._fail(ConnectError(string="WebSocket: the server does not keep to the protocol"))

    def _fail(self, error: Exception) -> None:
        done, self._done = self._done, None
        super()._fail(error)
        if done is not None:
            done.errback(error)

    def giveUp(self) -> None:
        """
        Nobody waits any more.
        """
        self._done = None
        self.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        It is over.
        """
        super().connectionLost(reason)
        done, self._done = self._done, None
        if done is not None:
            done.errback(ConnectionLost("WebSocket: the connection was closed during the handshake"))


class WebSocketServerProtocol(WebSocketProtocol):
    """
    The end that was connected.
    """

    def __init__(
        self, clock: IReactorTime, factory: Any, address: IAddress | None, path: str, ended: Callable[[], object]
    ) -> None:
        """
        @param factory: Makes the hop.
        @param path: What has to be asked for; empty for no matter what.
        @param ended: Called once it is no guest any more: it has a hop, or
            has ended.
        """
        super().__init__(ConnectionType.SERVER, clock, factory, address)
        self._path = path
        self._ended: Any = ended

    def _shake(self, event: Event) -> None:
        if not isinstance(event, Request):
            self._fail(ConnectError())
        elif any(name.lower() == b"origin" for name, _ in event.extra_headers):
            # A page that a browser shows, from wherever, is no node.
            self._reject(403)
        elif self._path and event.target.partition("?")[0] != self._path:
            self._reject(404)
        elif not self._open():
            self._reject(503)
        else:
            self._forget()
            self._reply(AcceptConnection())
            self._begin()

    def _isWrong(self, error: Exception) -> None:
        hint = getattr(error, "event_hint", None)
        if self.behind is None and isinstance(hint, RejectConnection):
            self._reject(hint.status_code)
        else:
            super()._isWrong(error)

    def _reject(self, status: int) -> None:
        self._reply(
            RejectConnection(status_code=status, headers=[(b"content-length", b"0"), (b"connection", b"close")])
        )
        self._isEnding = True
        self._transport.loseConnection()

    def _forget(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        It is over.
        """
        self._forget()
        super().connectionLost(reason)
