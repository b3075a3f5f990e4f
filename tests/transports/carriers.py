"""
Carriers that keep messages, in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

PEER = IPv4Address("UDP", "192.0.2.1", 4000)


class MessageTransport:
    """
    One end of a carrier that keeps messages: keeps those that were written,
    too.

    @ivar written: The messages that were written.
    @ivar isPaused: Does the hop want no more for now?
    @ivar ending: How it has ended, if it has.
    """

    def __init__(self, protocol: Any, peer: Any = PEER) -> None:
        self.written: list[bytes] = []
        self.isPaused = False
        self.ending = ""
        self._producer: Any = None
        self._peer = peer
        self._protocol = protocol
        protocol.makeConnection(self)

    def write(self, data: bytes) -> None:
        """
        Send one message.
        """
        self.written.append(data)

    def getPeer(self) -> Any:
        """
        See C{ITransport}.
        """
        return self._peer

    getHost = getPeer

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

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See C{IConsumer}.
        """
        assert streaming
        self._producer = producer

    def unregisterProducer(self) -> None:
        """
        See C{IConsumer}.
        """
        self._producer = None

    def fill(self) -> None:
        """
        It holds more than it likes to.
        """
        self._producer.pauseProducing()

    def drain(self) -> None:
        """
        It has room.
        """
        self._producer.resumeProducing()

    def loseConnection(self) -> None:
        """
        See C{ITransport}.
        """
        self._end("lost", ConnectionDone())

    def abortConnection(self) -> None:
        """
        See C{ITCPTransport}.
        """
        self._end("aborted", ConnectionLost())

    def _end(self, how: str, why: Exception) -> None:
        if not self.ending:
            self.ending = how
            self._protocol.connectionLost(Failure(why))
