"""
Streams through Apache Kafka: two topics, one for each direction, and a broker
that may be away, or restart, while the connections through it go on.

Who listens reads as a consumer group, named as the stream, whose saved offset says
how far it has come: of several that listen to one stream one does, and another
takes its place.  Who dials reads from now on, what is for it alone.
"""

from __future__ import annotations

import re
from os import urandom
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IListeningPort, IStreamClientEndpoint, IStreamServerEndpoint
from twisted.logger import Logger
from zope.interface import implementer

from ockam_twisted.errors import DecodeError
from ockam_twisted.routing.multiaddr import Component
from ockam_twisted.transports.kafkaclient import KafkaClient
from ockam_twisted.transports.kafkalink import KafkaAddress, KafkaLink
from ockam_twisted.transports.kafkasettings import settings
from ockam_twisted.transports.roads import hostComponents
from ockam_twisted.transports.strings import arguments, port, unbracketed
from ockam_twisted.wire.codecs import PATIENT
from ockam_twisted.wire.kafka import CONNECTION, INCARNATION, NONE, Kind, Record, decode, encode

#: What is behind the name of a stream in those of its topics: the one that who
#: dials writes, and the one that who listens writes.
THERE, BACK = ".there", ".back"

#: Characters of a stream's name.
MAX_NAME = 200

#: Connections of one stream; of more, the one that has been silent for longest ends.
MAX_LINKS = 128

#: Connections that have ended and are remembered, as their records may come again.
MAX_ENDED = 4096


def _checked(stream: str) -> str:
    if not re.fullmatch(f"[A-Za-z0-9._-]{{1,{MAX_NAME}}}", stream):
        raise ValueError(f"a stream's name has 1 to {MAX_NAME} letters, digits, dots, dashes and underscores")
    return stream


class _Base:
    """
    What both sides do.
    """

    client: KafkaClient

    def __init__(self, reactor: Any, endpoint: _Endpoint) -> None:
        self.incarnation = urandom(INCARNATION)
        self.reactor = reactor
        self.address = KafkaAddress(f"kafka:{endpoint.broker}:{endpoint.stream}")
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


class _Dialer(_Base):
    """
    One connection that we make.
    """

    def __init__(self, reactor: Any, endpoint: _Endpoint, factory: Any) -> None:
        super().__init__(reactor, endpoint)
        self._factory = factory
        self._link: KafkaLink | None = None
        self.done: Deferred[Any] | None = Deferred(lambda _: self._giveUp())
        there, back = endpoint.stream + THERE, endpoint.stream + BACK
        self.client = KafkaClient(reactor, endpoint.broker, there, back, "", self)

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
class _Listener(_Base):
    """
    All connections of a stream that we listen to.
    """

    _log = Logger()

    def __init__(self, reactor: Any, endpoint: _Endpoint, factory: Any) -> None:
        super().__init__(reactor, endpoint)
        self._factory = factory
        # The one that has been silent for longest first.
        self._links: dict[bytes, KafkaLink] = {}
        self._ended: dict[bytes, None] = {}
        self._isListening = True
        self._isKnown = False
        there, back = endpoint.stream + THERE, endpoint.stream + BACK
        self.client = KafkaClient(reactor, endpoint.broker, back, there, endpoint.stream, self)

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

    def over(self, link: KafkaLink) -> None:
        """
        See L{Writer.over<ockam_twisted.transports.kafkalink.Writer.over>}.
        """
        self._links.pop(link.connection, None)
        self._ended[link.connection] = None
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]
        self._closeIfDone()

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
        return None if self._isListening or self._links else self.client.close()

    def getHost(self) -> KafkaAddress:
        """
        See C{IListeningPort}.
        """
        return self.address


class _Endpoint:
    """
    What both kinds have in common.
    """

    codec = PATIENT

    def __init__(self, reactor: Any, host: str, number: int, stream: str) -> None:
        """
        @param host: Of a broker, a name or an address.
        @param number: Its port.
        @param stream: The name of the stream.
        @raise ValueError: It has no possible name, or the settings cannot be used.
        """
        self._reactor = reactor
        self.broker = f"[{host}]:{number}" if ":" in host else f"{host}:{number}"
        self.stream = _checked(stream)
        settings()


@implementer(IStreamClientEndpoint)
class KafkaEndpoint(_Endpoint):
    """
    Connects to who listens to a stream.
    """

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """
        See C{IStreamClientEndpoint}.

        @return: Fires with the hop once the broker is reached: whether somebody
            listens shows when he answers.
        """
        dialer = _Dialer(self._reactor, self, protocolFactory)
        done = dialer.done
        assert done is not None
        dialer.client.open()
        return done


@implementer(IStreamServerEndpoint)
class KafkaServerEndpoint(_Endpoint):
    """
    Listens to a stream.
    """

    def listen(self, protocolFactory: Any) -> Deferred[IListeningPort]:
        """
        See C{IStreamServerEndpoint}.  A broker that is away is waited for.
        """
        listener = _Listener(self._reactor, self, protocolFactory)
        listener.client.open()
        return succeed(listener)


# ----------------------------------------------------------------- the road


def clientEndpoint(reactor: Any, components: tuple[Component, ...]) -> KafkaEndpoint:
    """
    See L{ockam_twisted.transports.roads}: C{/tcp/PORT/kafka/STREAM}.
    """
    (_, host), (_, number), (_, stream) = components
    return KafkaEndpoint(reactor, str(host), int(number), str(stream))


def _parts(rest: str) -> tuple[str, int, str]:
    (host, number, stream), _ = arguments(rest, 3)
    return unbracketed(host), port(number, 1), _checked(stream)


def components(prefix: str, rest: str) -> tuple[Component, ...]:
    """
    See L{ockam_twisted.transports.roads}: C{kafka:HOST:PORT:STREAM}.
    """
    host, number, stream = _parts(rest)
    return (*hostComponents(host, number), ("kafka", stream))


def serverEndpoint(reactor: Any, prefix: str, rest: str) -> KafkaServerEndpoint:
    """
    See L{ockam_twisted.transports.roads}: C{kafka:HOST:PORT:STREAM}.
    """
    return KafkaServerEndpoint(reactor, *_parts(rest))
