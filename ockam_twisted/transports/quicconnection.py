"""
One QUIC connection (RFC 9000) as a stream of bytes: what a lossy road loses comes
all the same, and in order.

The protocol is C{aioquic}'s, which knows no sockets and no time.  It keeps whatever it
is given to send, and makes room for whatever comes; so that neither grows without bounds a
second stream carries credit: each end says there, as a number of 8 bytes, how many bytes of the
first one the other may have sent, which grows only while somebody reads.  What the other end
says there is not all: the library is given no more than a window beyond what was acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any

from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import (
    ConnectionIdIssued,
    ConnectionIdRetired,
    ConnectionTerminated,
    HandshakeCompleted,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from ockam_twisted.transports.datagrams import addressOf
from ockam_twisted.transports.filling import Filling
from ockam_twisted.transports.quicsettings import WINDOW

#: Above so many bytes that wait for credit whoever writes is asked to pause.
_ENOUGH = 256 * 1024

#: The two streams, both opened by who connects.
_DATA, _CREDIT = 0, 4

#: Seconds that a timer takes at least: that much the library means by now, and what is
#: sent at once is more.
GRANULARITY = 0.001

#: Seconds of silence after which a question is asked.
PING = 15.0

#: The longest time in which what was written last must be acknowledged once it is
#: to be over, seconds.
LINGER = 10.0

_limit = Struct(">Q")

Address = tuple[str, int]


class QUICTransport(Filling):
    """
    A connection, as a transport of Twisted.

    @ivar ids: The connection ids that datagrams for it may have.
    @ivar opened: Called once bytes can be sent.
    @ivar ended: Called when it is over, with the reason.
    @ivar retired: Called with an id that datagrams for it may not have any more.
    """

    def __init__(
        self,
        quic: QuicConnection,
        clock: Any,
        send: Callable[[bytes, Address], object],
        host: Callable[[], Any],
        peer: Address,
        isClient: bool,
    ) -> None:
        """
        @param send: Sends a datagram.
        @param host: Says where our socket is.
        """
        self.ids: set[bytes] = {quic.host_cid}
        self.opened: Callable[[], object] = lambda: None
        self.ended: Callable[[Exception], object] = lambda error: None
        self.retired: Callable[[bytes], object] = lambda each: None
        self._quic = quic
        self._clock = clock
        self._sendDatagram = send
        self._host = host
        self._peer = peer
        self._isClient = isClient
        self._protocol: Any = None
        self._timer: IDelayedCall | None = None
        self._pinging: IDelayedCall | None = None
        self._linger: IDelayedCall | None = None
        self._waiting = bytearray()
        self._sent = 0
        self._maySend = WINDOW
        self._credit = b""
        self._isPaused = False
        self._held: list[bytes] = []
        self._received = 0
        self._isLast = False
        self._isCredited = False
        self._granted = WINDOW
        self._isOver = False
        self._isLosing = False
        self._why: Exception | None = None

    @property
    def isOver(self) -> bool:
        """
        Has it ended?
        """
        return self._isOver

    # --------------------------------------------------------------- QUIC

    def begin(self, protocol: Any) -> None:
        """
        There is who uses it.
        """
        self._protocol = protocol
        if self._isClient:
            # Streams are opened in their order, and the other end is to know both.
            self._quic.send_stream_data(_DATA, b"")
            self._quic.send_stream_data(_CREDIT, _limit.pack(self._granted))
        self._pinging = self._clock.callLater(PING, self._ping)
        protocol.makeConnection(self)
        self.flush()

    def datagramReceived(self, data: bytes, addr: Address) -> None:
        """
        Something has come from the peer.
        """
        if self._isOver:
            return
        try:
            self._quic.receive_datagram(data, addr, self._clock.seconds())
        except Exception as error:
            self._fail(error)
            return
        self.flush()

    def flush(self) -> None:
        """
        Deal with what has happened, and send what is to be sent.
        """
        try:
            self._flush()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """
        Whatever the library is not prepared for ends this connection alone.
        """
        if not self._isOver:
            self._why = ConnectionLost(f"QUIC: {type(error).__name__}")
            self._terminated(ConnectionTerminated(2, None, ""))

    def _flush(self) -> None:
        while (event := self._quic.next_event()) is not None:
            self._happened(event)
        if self._waiting:
            # What was acknowledged has made room.
            self._feed()
        if self._isOver:
            return
        for data, addr in self._quic.datagrams_to_send(self._clock.seconds()):
            self._peer = addr[:2]
            self._sendDatagram(data, self._peer)
        self._setTimer()

    def _setTimer(self) -> None:
        at = self._quic.get_timer()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if at is not None:
            self._timer = self._clock.callLater(max(GRANULARITY, at - self._clock.seconds()), self._due)

    def _due(self) -> None:
        self._timer = None
        try:
            self._quic.handle_timer(self._clock.seconds())
        except Exception as error:
            self._fail(error)
            return
        self.flush()

    def _ping(self) -> None:
        self._pinging = self._clock.callLater(PING, self._ping)
        self._quic.send_ping(0)
        self.flush()

    def _happened(self, event: Any) -> None:
        if isinstance(event, StreamDataReceived):
            if event.stream_id == _DATA:
                self._dataCame(event.data, event.end_stream)
            elif event.stream_id == _CREDIT:
                self._creditCame(event.data)
            else:
                # Two of ours have two streams.
                self._why = ConnectionLost("the peer opens other streams")
                self._quic.close(1)
        elif isinstance(event, HandshakeCompleted):
            if self._isClient:
                self._isCredited = True
                self.opened()
        elif isinstance(event, ConnectionIdIssued):
            self.ids.add(event.connection_id)
        elif isinstance(event, ConnectionIdRetired):
            self.ids.discard(event.connection_id)
            self.retired(event.connection_id)
        elif isinstance(event, StreamReset):
            self._why = ConnectionLost("the peer has reset the stream")
            self._quic.close()
        elif isinstance(event, StopSendingReceived):
            # Whatever is written to such a stream, the library raises.
            self._why = ConnectionLost("the peer has stopped the stream")
            self.abortConnection()
        elif isinstance(event, ConnectionTerminated):
            self._terminated(event)

    def _terminated(self, event: ConnectionTerminated) -> None:
        if self._isOver:
            return
        self._isOver = True
        for call in (self._timer, self._pinging, self._linger):
            if call is not None and call.active():
                call.cancel()
        reason = event.reason_phrase[:100] or "it was closed"
        clean = event.error_code == 0 and not self._why
        error: Exception = self._why or (ConnectionDone() if clean else ConnectionLost(f"QUIC: {reason}"))
        self._waiting.clear()
        self._held.clear()
        self.ended(error)
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connectionLost(Failure(error))

    # ------------------------------------------------------------- inbound

    def _dataCame(self, data: bytes, isLast: bool) -> None:
        if self._protocol is None and not self._isLosing:
            # Nothing can be sent over a stream that the other end has not opened.
            self.opened()
        self._received += len(data)
        if self._received > self._granted:
            self._why = ConnectionLost("the peer sends more than it may")
            self._quic.close(1)
            return
        if data:
            self._held.append(data)
        self._isLast = self._isLast or isLast
        self._handOver()

    def _handOver(self) -> None:
        while self._held and not self._isPaused and self._protocol is not None:
            self._protocol.dataReceived(self._held.pop(0))
        if self._isLast and not self._held:
            # All has come: who has sent it waits for that.
            self._quic.close()
        elif not self._held and not self._isPaused and self._isCredited:
            if self._granted - self._received < WINDOW // 2:
                self._granted = self._received + WINDOW
                self._quic.send_stream_data(_CREDIT, _limit.pack(self._granted))

    def _creditCame(self, data: bytes) -> None:
        if not self._isCredited:
            self._isCredited = True
            self._handOver()
        self._credit += data
        while len(self._credit) >= _limit.size:
            (limit,) = _limit.unpack(self._credit[: _limit.size])
            self._credit = self._credit[_limit.size :]
            self._maySend = max(self._maySend, limit)
        self._feed()

    # ------------------------------------------------------ of a transport

    def write(self, data: bytes) -> None:
        """
        See C{ITransport}.
        """
        if self._isOver or self._isLosing:
            return
        self._waiting += data
        self._feed()
        self.flush()

    def _room(self) -> int:
        """
        So much may be given to be sent, bytes.  It is kept until it is acknowledged,
        and may not leave: what the peer grants here says nothing of what QUIC may send.
        """
        stream = self._quic._streams.get(_DATA)
        kept = 0 if stream is None else len(stream.sender._buffer)
        return min(self._maySend - self._sent, WINDOW - kept)

    def _feed(self) -> None:
        room = self._room()
        if self._waiting and room > 0:
            part = bytes(self._waiting[:room])
            del self._waiting[:room]
            self._sent += len(part)
            self._quic.send_stream_data(_DATA, part)
        self.filled(len(self._waiting) > _ENOUGH)
        if self._isLosing and not self._waiting and self._linger is None:
            self._finish()

    def _finish(self) -> None:
        """
        All was given to be sent: when it has arrived the peer ends it.
        """
        self._linger = self._clock.callLater(LINGER, self._close)
        self._quic.send_stream_data(_DATA, b"", end_stream=True)

    def _close(self) -> None:
        self._linger = None
        self._quic.close()
        self.flush()

    def getPeer(self) -> IPv4Address | IPv6Address:
        """
        See C{ITransport}.
        """
        return addressOf(self._peer)

    def getHost(self) -> Any:
        """
        See C{ITransport}.
        """
        return self._host()

    def pauseProducing(self) -> None:
        """
        See C{IPushProducer}.
        """
        self._isPaused = True

    def resumeProducing(self) -> None:
        """
        See C{IPushProducer}.
        """
        self._isPaused = False
        self._handOver()
        self.flush()

    def loseConnection(self) -> None:
        """
        See C{ITransport}.
        """
        if self._isOver or self._isLosing:
            return
        self._isLosing = True
        self._feed()
        self.flush()

    def abortConnection(self) -> None:
        """
        See C{ITCPTransport}.
        """
        if not self._isOver:
            self._isLosing = True
            self._waiting.clear()
            if self._why is None:
                self._why = ConnectionLost()
            self._quic.close(2)
            self.flush()
            # It would wait for what is still under way; nobody else does.
            self._terminated(ConnectionTerminated(2, None, ""))
