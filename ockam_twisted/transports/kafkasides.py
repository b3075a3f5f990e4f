"""
Both sides of a stream through Apache Kafka: who dials has one connection, who
listens has all that others have made.
"""

from __future__ import annotations

from os import urandom
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from ockam_twisted.errors import DecodeError
from ockam_twisted.transports.kafkaclient import KafkaClient
from ockam_twisted.transports.kafkalink import KafkaAddress, KafkaLink
from ockam_twisted.wire.kafka import CONNECTION, INCARNATION, NONE, Kind, Record, decode, encode

#: What is behind the name of a stream in those of its topics: the one that who
#: dials writes, and the one that who listens writes.
THERE, BACK = ".there", ".back"

#: Connections of one stream; of more, the one that has been silent for longest ends.
MAX_LINKS = 128

#: Seconds between two looks at who is away for too long.
LOOK = 60.0

#: Connections that have ended and are remembered, as their records may come again.
MAX_ENDED = 4096


class OneSide:
    """
    What both sides do.
    """

    client: KafkaClient

    def __init__(self, reactor: Any, broker: str, stream: str) -> None:
        """
        @param broker: Its host and port.
        """
        self.incarnation = urandom(INCARNATION)
        self.reactor = reactor
        self.address = KafkaAddress(f"kafka:{broker}:{stream}")
        self._holding: set[KafkaLink] = set()

    def link(self, connection: bytes) -> KafkaLink:
        """
        Make one.
        """
        return KafkaLink(self.reactor, self.address, connection, self.incarnation, self)

    def send(self, record: Record, done: Any) -> None:
        """
        See L{Writer.send<ockam_twisted.transports.kafkalink.Writer.send>}.
        """
        self.client.send(encode(record), done)

    def hold(self, link: KafkaLink) -> None:
        """
        See L{Writer.hold<ockam_twisted.transports.kafkalink.Writer.hold>}.
        """
        self._holding.add(link)
        self.client.pause()

    def release(self, link: KafkaLink) -> None:
        """
        See L{Writer.release<ockam_twisted.transports.kafkalink.Writer.release>}.
        """
        self._holding.discard(link)
        if not self._holding:
            self.client.resume()

    def received(self, values: list[bytes]) -> None:
        """
        See L{Side.received<ockam_twisted.transports.kafkaclient.Side.received>}.
        """
        for value in values:
            try:
                record = decode(value)
            except DecodeError:
                # Anybody who may write to the topic can have written it.
                continue
            self.recordReceived(record)

    def recordReceived(self, record: Record) -> None:
        """
        A record has come.
        """
        raise NotImplementedError

    def over(self, link: KafkaLink) -> None:
        """
        See L{Writer.over<ockam_twisted.transports.kafkalink.Writer.over>}.
        """
        raise NotImplementedError


class Dialer(OneSide):
    """
    One connection that we make.
    """

    def __init__(self, reactor: Any, broker: str, stream: str, factory: Any) -> None:
        """
        @param factory: Makes the hop.
        """
        super().__init__(reactor, broker, stream)
        self._factory = factory
        self._link: KafkaLink | None = None
        self.done: Deferred[Any] | None = Deferred(lambda _: self._giveUp())
        self.client = KafkaClient(reactor, broker, stream + THERE, stream + BACK, "", self)

    def _giveUp(self) -> None:
        self.done = None
        self.client.close()

    def opened(self) -> None:
        """
        See L{Side.opened<ockam_twisted.transports.kafkaclient.Side.opened>}.
        """
        done, self.done = self.done, None
        if done is None:
            return
        hop = self._factory.buildProtocol(self.address)
        if hop is None:
            self.client.close()
            done.errback(ConnectError(string="there are too many connections"))
            return
        self._link = self.link(urandom(CONNECTION))
        self._link.begin(hop)
        done.callback(hop)

    def assigned(self, isOurs: bool) -> None:
        """
        See L{Side.assigned<ockam_twisted.transports.kafkaclient.Side.assigned>}.
        """

    def lost(self, why: str) -> None:
        """
        See L{Side.lost<ockam_twisted.transports.kafkaclient.Side.lost>}.
        """
        done, self.done = self.done, None
        if done is not None:
            done.errback(ConnectError(string=f"{self.client.broker}: {why}"))
        if self._link is not None:
            self._link.fail(why)

    def over(self, link: KafkaLink) -> None:
        """
        See L{Writer.over<ockam_twisted.transports.kafkalink.Writer.over>}.
        """
        self._link = None
        self.client.close()

    def recordReceived(self, record: Record) -> None:
        """
        A record has come: ours, or another one's.
        """
        link = self._link
        if link is None:
            return
        if record.connection == link.connection:
            link.recordReceived(record)
        elif record.kind is Kind.HELLO and link.peerIncarnation not in (b"", record.incarnation):
            link.fail("another one listens now")


@implementer(IListeningPort)
class Listener(OneSide):
    """
    All connections of a stream that we listen to.
    """

    _log = Logger()

    def __init__(self, reactor: Any, broker: str, stream: str, factory: Any, away: int) -> None:
        """
        @param factory: Makes hops.
        @param away: Seconds that who has dialed may be away.
        """
        super().__init__(reactor, broker, stream)
        self._factory = factory
        # The one that has been silent for longest first.
        self._links: dict[bytes, KafkaLink] = {}
        self._ended: dict[bytes, None] = {}
        self._isListening = True
        self._away = away
        self._tick = LoopingCall(self._look)
        self._tick.clock = reactor
        self._tick.start(LOOK, now=False)
        self.client = KafkaClient(reactor, broker, stream + BACK, stream + THERE, stream, self)

    # ------------------------------------------------------------- its side

    def opened(self) -> None:
        """
        See L{Side.opened<ockam_twisted.transports.kafkaclient.Side.opened>}.
        """

    def assigned(self, isOurs: bool) -> None:
        """
        See L{Side.assigned<ockam_twisted.transports.kafkaclient.Side.assigned>}.
        """
        if isOurs:
            self._log.info("Reading {stream}", stream=self.address.name, event="kafka-read")
            # Whoever has dialed another one learns that it is gone.
            self.send(Record(Kind.HELLO, NONE, self.incarnation), lambda why: None)
        else:
            self._log.info("Another one reads {stream}", stream=self.address.name, event="kafka-elsewhere")
            self._endAll("another one reads the stream")

    def lost(self, why: str) -> None:
        """
        See L{Side.lost<ockam_twisted.transports.kafkaclient.Side.lost>}.
        """
        self._log.warn(
            "Cannot read {stream}, and go on trying: {reason}",
            stream=self.address.name,
            reason=why,
            event="kafka-unreadable",
        )
        self._endAll(why)
        # Those who have dialed will hear of another one.
        self.incarnation = urandom(INCARNATION)

    def _endAll(self, why: str) -> None:
        for link in list(self._links.values()):
            link.fail(why)

    def _look(self) -> None:
        until = self.reactor.seconds() - self._away
        for link in list(self._links.values()):
            if link.heardAt >= until:
                break
            link.fail(f"nothing has come for {self._away} s")

    def over(self, link: KafkaLink) -> None:
        """
        See L{Writer.over<ockam_twisted.transports.kafkalink.Writer.over>}.
        """
        self._links.pop(link.connection, None)
        self._forget(link.connection)
        self._closeIfDone()

    def _forget(self, connection: bytes) -> None:
        self._ended[connection] = None
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    def recordReceived(self, record: Record) -> None:
        """
        A record has come, of a connection that there is, that begins, or that
        is not known here any more.
        """
        connection = record.connection
        link = self._links.pop(connection, None)
        if link is None:
            if record.kind is not Kind.MESSAGE or connection in self._ended:
                return
            link = self._accept(connection) if record.number == 0 and self._isListening else None
            if link is None:
                # Once is enough, of however many records.
                self._forget(connection)
                self.send(Record(Kind.END, connection, self.incarnation), lambda why: None)
                return
        self._links[connection] = link
        link.recordReceived(record)

    def _accept(self, connection: bytes) -> KafkaLink | None:
        if len(self._links) >= MAX_LINKS:
            next(iter(self._links.values())).fail("there are newer connections")
        hop = self._factory.buildProtocol(self.address)
        if hop is None:
            return None
        link = self._links[connection] = self.link(connection)
        link.begin(hop)
        return link

    # --------------------------------------------------------- its port

    def startListening(self) -> None:
        """
        It does already.
        """

    def stopListening(self) -> Deferred[None]:
        """
        See C{IListeningPort}.  Connections that are there go on, so that what they
        go through ends with the last of them.
        """
        self._isListening = False
        return self._closeIfDone() or succeed(None)

    def _closeIfDone(self) -> Deferred[None] | None:
        if self._isListening or self._links:
            return None
        if self._tick.running:
            self._tick.stop()
        return self.client.close()

    def getHost(self) -> KafkaAddress:
        """
        See C{IListeningPort}.
        """
        return self.address
