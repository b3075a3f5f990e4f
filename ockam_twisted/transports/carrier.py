"""
Carriers of messages over a stream: what is below them they hand through.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from ockam_twisted.transports.sockets import HOP_READ, endSending, prepareSocket


class CarrierProtocol(Protocol):
    """
    Towards what is below it, a protocol; towards the hop behind it, a transport
    that keeps messages (L{ockam_twisted.transports.message}).

    @ivar behind: The hop, once it is there.
    """

    behind: Any = None
    _isEnding = False

    def connectionMade(self) -> None:
        """
        What is below is there.
        """
        prepareSocket(self.transport, HOP_READ)

    def write(self, data: bytes) -> None:
        """
        Send one message.
        """
        raise NotImplementedError

    @property
    def _transport(self) -> Any:
        return self.transport

    def getPeer(self) -> Any:
        """
        See C{ITransport}.
        """
        return self._transport.getPeer()

    def getHost(self) -> Any:
        """
        See C{ITransport}.
        """
        return self._transport.getHost()

    def pauseProducing(self) -> None:
        """
        See C{IPushProducer}.
        """
        self._transport.pauseProducing()

    def resumeProducing(self) -> None:
        """
        See C{IPushProducer}.
        """
        self._transport.resumeProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See C{IConsumer}.
        """
        self._transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """
        See C{IConsumer}.
        """
        self._transport.unregisterProducer()

    def loseConnection(self) -> None:
        """
        See C{ITransport}.
        """
        self._isEnding = True
        endSending(self._transport)

    def abortConnection(self) -> None:
        """
        See C{ITCPTransport}.
        """
        self._isEnding = True
        self._transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        It is over.
        """
        self._isEnding = True
        behind, self.behind = self.behind, None
        if behind is not None:
            behind.connectionLost(reason)
