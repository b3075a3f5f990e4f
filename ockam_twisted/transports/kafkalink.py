"""
One connection through a stream of Apache Kafka, whatever brings its records: a
carrier (L{ockam_twisted.transports.message}) of numbered messages
(L{ockam_twisted.wire.kafka}).

What comes again, as after a broker has moved its readers, is dropped here; what
is missing ends it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.transports.filling import Filling
from ockam_twisted.wire.kafka import MAX_MESSAGE, Kind, Record

#: Bytes, and messages, that the broker may not have acknowledged before whoever
#: writes is told to stop; he goes on at half of that.
HIGH, MANY = 1024 * 1024, 512

#: Bytes that are kept for a hop that wants nothing now, before no more is fetched.
KEPT = 256 * 1024

#: Seconds in which the broker has to have all once the end is wanted.
LAST = 10.0


@implementer(IAddress)
@frozen
class KafkaAddress:
    """
    Which stream it is, for people: C{kafka:HOST:PORT:STREAM}.
    """

    name: str

    def __str__(self) -> str:
        return self.name


class Writer(Protocol):
    """
    Whatever a link is on.
    """

    def send(self, record: Record, done: Callable[[str], object]) -> None:
        """
        Write a record.

        @param done: Called with an empty text once the broker has it, or with
            why it never will.
        """

    def hold(self, link: KafkaLink) -> None:
        """
        Fetch no more for now.
        """

    def release(self, link: KafkaLink) -> None:
        """
        Fetch again.
        """

    def over(self, link: KafkaLink) -> None:
        """
        The link is over.
        """


class KafkaLink(Filling):
    """
    See the module.  All of it happens in the reactor's thread.

    @ivar connection: Its name.
    @ivar behind: The hop, from L{begin} until the end.
    @ivar heardAt: When something came last, or it began, on the clock.
    @ivar expected: The number of the next message that comes.
    @ivar peerIncarnation: That of the peer, once it has said something.
    """

    maxMessage = MAX_MESSAGE
    behind: Any = None

    def __init__(
        self, clock: IReactorTime, address: KafkaAddress, connection: bytes, incarnation: bytes, writer: Writer
    ) -> None:
        """
        @param incarnation: Ours.
        """
        self.connection = connection
        self.heardAt = clock.seconds()
        self.expected = 0
        self.peerIncarnation = b""
        self._clock = clock
        self._address = address
        self._incarnation = incarnation
        self._writer = writer
        self._number = 0
        self._unacknowledged = 0
        self._many = 0
        self._kept: deque[bytes] = deque()
        self._keptSize = 0
        self._isPaused = False
        self._isHolding = False
        self._isEnding = False
        self._isOver = False
        self._hasPeerEnded = False
        self._deadline: IDelayedCall | None = None

    def begin(self, behind: Any) -> None:
        """
        There is a hop.
        """
        self.behind = behind
        behind.makeConnection(self)

    # ------------------------------------------------------------- inbound

    def recordReceived(self, record: Record) -> None:
        """
        A record of this connection has come.
        """
        if self._isOver or self._hasPeerEnded:
            return
        self.heardAt = self._clock.seconds()
        if record.kind is Kind.END:
            # It was said last, and what was said before has to be heard.
            self._hasPeerEnded = True
            self._handOver()
            return
        if self.peerIncarnation not in (b"", record.incarnation):
            # It goes by another's numbers.
            self.abortConnection()
            return
        self.peerIncarnation = record.incarnation
        if record.number < self.expected:
            return
        if record.number > self.expected:
            self.fail("messages are missing")
            return
        self.expected += 1
        self._kept.append(record.message)
        self._keptSize += len(record.message)
        self._handOver()

    def _handOver(self) -> None:
        while self._kept and not self._isPaused and not self._isEnding:
            message = self._kept.popleft()
            self._keptSize -= len(message)
            self.behind.dataReceived(message)
        if self._isOver:
            return
        if self._keptSize > KEPT and not self._isHolding:
            self._isHolding = True
            self._writer.hold(self)
        elif self._isHolding and self._keptSize <= KEPT // 2:
            self._isHolding = False
            self._writer.release(self)
        if self._hasPeerEnded and not self._kept:
            self.lost()

    # ------------------------------------------------------------ outbound

    def write(self, data: bytes) -> None:
        """
        Send one message.
        """
        if self._isEnding:
            return
        size = len(data)
        self._unacknowledged += size
        self._many += 1
        if self._unacknowledged > HIGH or self._many > MANY:
            self.filled(True)
        number, self._number = self._number, self._number + 1
        self._writer.send(
            Record(Kind.MESSAGE, self.connection, self._incarnation, number, data),
            lambda why: self._acknowledged(size, why),
        )

    def _acknowledged(self, size: int, why: str) -> None:
        self._unacknowledged -= size
        self._many -= 1
        if self._isOver:
            return
        if why:
            self.fail(why)
        elif self._unacknowledged <= HIGH // 2 and self._many <= MANY // 2:
            self.filled(False)

    # ------------------------------------------------- of the hop's carrier

    def getPeer(self) -> KafkaAddress:
        """
        See C{ITransport}.
        """
        return self._address

    getHost = getPeer

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
        if not self._isOver:
            self._handOver()

    def loseConnection(self) -> None:
        """
        See C{ITransport}.
        """
        if self._isEnding:
            return
        self._isEnding = True
        self._deadline = self._clock.callLater(LAST, self._tooLate)
        # All that was written is before it.
        self._sayEnd(lambda why: self.lost())

    def _sayEnd(self, done: Callable[[str], object]) -> None:
        self._writer.send(Record(Kind.END, self.connection, self._incarnation), done)

    def _tooLate(self) -> None:
        self._deadline = None
        self.lost(ConnectionLost())

    def abortConnection(self) -> None:
        """
        See C{ITCPTransport}.
        """
        if self._isOver:
            return
        if not self._isEnding:
            self._isEnding = True
            self._sayEnd(lambda why: None)
        self.lost(ConnectionLost())

    def fail(self, why: str) -> None:
        """
        It cannot go on.

        @param why: For people.
        """
        if self._isOver:
            return
        if self.behind is None:
            self.abortConnection()
        else:
            self.behind.abortConnection(why)

    def lost(self, why: Exception | None = None) -> None:
        """
        It is over.

        @param why: L{None}: one of the two has ended it.
        """
        if self._isOver:
            return
        self._isOver = self._isEnding = True
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._isHolding:
            self._isHolding = False
            self._writer.release(self)
        self._kept.clear()
        behind, self.behind = self.behind, None
        self._writer.over(self)
        if behind is not None:
            behind.connectionLost(Failure(why or ConnectionDone()))
