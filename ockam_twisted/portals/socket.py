"""
The near end of a stream as a local socket: a client of an inlet, or the
target of an outlet.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.interfaces import ILocalSide, IOutput, IRouter, ISockets, ISource
from ockam_twisted.portals.plain import State
from ockam_twisted.portals.stream import PortalStream
from ockam_twisted.wire.extension import RESET_BY_PEER
from ockam_twisted.wire.portal import MAX_PAYLOAD

#: Pauses a socket that has nothing more to be read: whether it is reset is
#: then looked at as with every paused one.
_FINISHED = "nothing more comes from it"


@implementer(ILocalSide, IHalfCloseableProtocol)
class PortalSocket(Protocol):
    """
    Moves bytes between a socket and a L{PortalStream}.

    Nothing is read before the stream is open.

    @ivar stream: Set by who makes this protocol, before it is connected.
    """

    stream: PortalStream
    output: IOutput
    source: ISource

    def __init__(self, router: IRouter, sockets: ISockets, label: str) -> None:
        self._turn = router.turn
        self._sockets = sockets
        self._label = label
        self._ended: tuple[str, bool] | None = None
        self._isRead = False
        self._isFinished = False
        self._hasHeard = False

    def connectionMade(self) -> None:
        """
        The socket is there.
        """
        transport: Any = self.transport
        self.output, self.source = self._sockets.attach(transport, transport.abortConnection, self._label)
        self.source.pauseFor(self)
        if self._ended is not None:
            self.streamEnded(*self._ended)

    def hear(self, data: bytes) -> None:
        """
        See L{ILocalSide.hear}: it is not even kept for the end of the turn.
        """
        self._hasHeard = True
        self.output.write((data,), len(data))
        self.output.flush()

    def streamOpened(self) -> None:
        """
        See L{ILocalSide.streamOpened}.
        """
        self.source.resumeFor(self)
        if self._hasHeard:
            # Its answer leaves with Pong if it is that quick.
            self.readAhead()

    def readAhead(self) -> None:
        """
        What the local program has sent already need not wait until the
        reactor comes around.
        """
        if not self.source.isPaused and self.stream.state is not State.ENDED:
            self._sockets.readAhead(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes from the local program: one Payload, or a few.
        """
        turn = self._turn
        turn.enter(self.source)
        try:
            if len(data) <= MAX_PAYLOAD:
                self.stream.send(data)
            else:
                view = memoryview(data)
                for start in range(0, len(data), MAX_PAYLOAD):
                    self.stream.send(view[start : start + MAX_PAYLOAD])
        finally:
            turn.leave()

    def readConnectionLost(self) -> None:
        """
        The local program has sent its last byte, and may still read.
        """
        # A reset that has just come may look like an end: our own transports
        # look (C{transports/lean.py}), others do not.
        if not self.source.checkLiveness():
            return
        self._isRead = True
        self.source.pauseFor(_FINISHED)
        with self._turn:
            self.stream.finish("the local end has closed it")
            if self._isFinished or self.stream.state is State.ENDED:
                self.output.loseConnection()

    def writeConnectionLost(self) -> None:
        """
        The local program was told that nothing more comes.
        """

    def streamFinished(self) -> None:
        """
        See L{ILocalSide.streamFinished}.
        """
        self._isFinished = True
        if self._isRead:
            self.output.loseConnection()
        else:
            self.output.finish()

    def streamEnded(self, reason: str, clean: bool) -> None:
        """
        See L{ILocalSide.streamEnded}.
        """
        self._ended = (reason, clean)
        if not hasattr(self, "output"):
            return
        if clean:
            self.output.loseConnection()
        else:
            self.output.abortConnection()

    def streamReset(self, reason: str) -> None:
        """
        See L{ILocalSide.streamReset}.
        """
        if not hasattr(self, "output"):
            self._ended = (reason, False)
        else:
            self.output.resetConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The local program has gone.
        """
        with self._turn:
            self.output.connectionLost()
            if isinstance(reason.value, ConnectionDone):
                self.stream.disconnect("the local end has closed it")
            else:
                self.stream.abandon("the local end was lost", RESET_BY_PEER)
