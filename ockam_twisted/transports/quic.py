"""
The QUIC transport: the frames of TCP over one stream of a QUIC connection, for roads
that lose datagrams, and for networks where only UDP gets through.

The TLS that is a part of QUIC protects nothing that the secure channel above it does not, so a
listener makes a certificate of its own at each start, and whoever dials does not look at it:
as over TCP, who is at the far end is proven by the channel.
"""

from __future__ import annotations

from collections.abc import Callable
from os import urandom
from typing import Any

from aioquic import buffer
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import (
    QuicPacketType,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.quic.retry import QuicRetryTokenHandler
from twisted.internet.abstract import isIPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectError, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IStreamClientEndpoint, IStreamServerEndpoint
from zope.interface import implementer

from ockam_twisted.routing.multiaddr import Component
from ockam_twisted.transports.datagrams import DatagramSocket, resolved
from ockam_twisted.transports.guests import Guests
from ockam_twisted.transports.quicconnection import Address, QUICTransport
from ockam_twisted.transports.quicsettings import ID, configuration
from ockam_twisted.transports.roads import hostComponents
from ockam_twisted.transports.strings import arguments, port, unbracketed
from ockam_twisted.transports.udp import UDPPort

#: It is not exported for type checkers.
_Buffer: Any = vars(buffer)["Buffer"]

#: Seconds that connecting may take, and how many may be connecting at once, from one
#: address and in all.
PATIENCE, GUESTS, ALL_GUESTS = 10.0, 32, 256

#: Gives a protocol for datagrams a socket; returns a port.
Bind = Callable[[DatagramSocket], Any]

#: The shortest datagram that may begin a connection, bytes.
_FIRST = 1200


class _Connection(QuicConnection):
    """
    One that begins anew when it is told to come again with a token: what it had
    sent before is not under way any more, which the library forgets.
    """

    def _initialize(self, peer_cid: bytes) -> None:
        for space in self._loss.spaces:
            self._loss.discard_space(space)
        super()._initialize(peer_cid)


class _Client(DatagramSocket):
    """
    Connects, once.
    """

    def __init__(self, clock: Any, factory: Any, address: Address, done: Deferred[Any]) -> None:
        super().__init__(clock)
        self._factory = factory
        self._done: Deferred[Any] | None = done
        self._deadline: IDelayedCall | None = None
        quic = _Connection(configuration=configuration(True))
        quic.connect(address, clock.seconds())
        self.connection = QUICTransport(quic, clock, self.sendDatagram, self.getHost, address, True)
        self.connection.opened = self._opened
        self.connection.ended = self._ended

    def begin(self) -> None:
        """
        Say hello.
        """
        self._deadline = self.clock.callLater(PATIENCE, self._tooLate)
        self.connection.flush()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """
        See C{DatagramProtocol}.
        """
        self.connection.datagramReceived(datagram, addr[:2])

    def _opened(self) -> None:
        self._forget()
        done, self._done = self._done, None
        hop = self._factory.buildProtocol(self.connection.getPeer())
        self.connection.begin(hop)
        if done is not None:
            done.callback(hop)

    def _ended(self, error: Exception) -> None:
        self._forget()
        done, self._done = self._done, None
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.stopListening()
        if done is not None:
            done.errback(ConnectError(string=str(error)))

    def _tooLate(self) -> None:
        self._deadline = None
        done, self._done = self._done, None
        self.connection.abortConnection()
        if done is not None:
            done.errback(TimeoutError(string=f"QUIC: no answer within {PATIENCE:.0f} s"))

    def giveUp(self) -> None:
        """
        Nobody waits any more.
        """
        self._done = None
        self.connection.abortConnection()

    def stopProtocol(self) -> None:
        """
        Its socket is closed.
        """
        self.connection.abortConnection()

    def _forget(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()


class _Server(DatagramSocket):
    """
    Has many connections.  Nothing is kept of anybody who has not shown that he gets
    what is sent to his address (RFC 9000, section 8.1.2).
    """

    def __init__(self, clock: Any, factory: Any) -> None:
        super().__init__(clock)
        self.connections: dict[bytes, QUICTransport] = {}
        self._factory = factory
        self._configuration = configuration(False)
        self._retry = QuicRetryTokenHandler()
        self._guests = Guests()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """
        See C{DatagramProtocol}.
        """
        address = addr[:2]
        try:
            header = pull_quic_header(_Buffer(data=datagram), host_cid_length=ID)
        except ValueError:
            return
        known = self.connections.get(header.destination_cid)
        if known is not None:
            known.datagramReceived(datagram, address)
            self._learn(known)
        elif len(datagram) >= _FIRST and header.version is not None:
            self._stranger(header, datagram, address)

    def _stranger(self, header: Any, datagram: bytes, address: Address) -> None:
        if header.packet_type == QuicPacketType.VERSION_NEGOTIATION:
            return
        versions = self._configuration.supported_versions
        if header.version not in versions:
            self.sendDatagram(
                encode_quic_version_negotiation(
                    source_cid=header.destination_cid, destination_cid=header.source_cid, supported_versions=versions
                ),
                address,
            )
        elif header.packet_type == QuicPacketType.INITIAL:
            self._hello(header, datagram, address)

    def _hello(self, header: Any, datagram: bytes, address: Address) -> None:
        now = self.clock.seconds()
        if not header.token:
            source = urandom(ID)
            token = self._retry.create_token(
                address=address,
                original_destination_connection_id=header.destination_cid,
                retry_source_connection_id=source,
                now=now,
            )
            retry = encode_quic_retry(
                version=header.version,
                source_cid=source,
                destination_cid=header.source_cid,
                original_destination_cid=header.destination_cid,
                retry_token=token,
            )
            self.sendDatagram(retry, address)
            return
        try:
            original = self._retry.validate_token(
                address=address, destination_cid=header.destination_cid, token=header.token, now=now
            )
        except ValueError:
            return
        if self._guests.near(address[0]) >= GUESTS or self._guests.total() >= ALL_GUESTS:
            return
        self._accept(original, header.destination_cid, datagram, address)

    def _accept(self, original: bytes, retried: bytes, datagram: bytes, address: Address) -> None:
        quic = QuicConnection(
            configuration=self._configuration,
            original_destination_connection_id=original,
            retry_source_connection_id=retried,
        )
        connection = QUICTransport(quic, self.clock, self.sendDatagram, self.getHost, address, False)
        connection.ids.add(retried)
        leave = self._guests.enter(address[0])
        deadline = self.clock.callLater(PATIENCE, connection.abortConnection)

        def settled() -> None:
            leave()
            if deadline.active():
                deadline.cancel()

        def opened() -> None:
            settled()
            hop = self._factory.buildProtocol(connection.getPeer())
            if hop is None:
                connection.abortConnection()
            else:
                connection.begin(hop)

        def ended(error: Exception) -> None:
            settled()
            for each in [key for key, its in self.connections.items() if its is connection]:
                del self.connections[each]

        connection.opened, connection.ended = opened, ended
        connection.retired = lambda each: self.connections.pop(each, None)
        self._learn(connection)
        connection.datagramReceived(datagram, address)
        self._learn(connection)

    def _learn(self, connection: QUICTransport) -> None:
        """
        It may have other ids than before.
        """
        if connection.isOver:
            return
        for each in connection.ids:
            self.connections.setdefault(each, connection)

    def stopProtocol(self) -> None:
        """
        It is closed.
        """
        for connection in set(self.connections.values()):
            connection.abortConnection()


@implementer(IStreamClientEndpoint)
class QUICEndpoint:
    """
    Connects to a UDP port.
    """

    def __init__(self, reactor: Any, host: str, port: int, bind: Bind | None = None) -> None:
        """
        @param host: A name, or an address.
        @param bind: Gives it a socket that there is already.
        """
        self._reactor = reactor
        self._host = host
        self._port = port
        self._bind = bind

    def _listen(self, client: _Client, host: str) -> None:
        if self._bind is not None:
            self._bind(client)
        else:
            self._reactor.listenUDP(0, client, "::" if isIPv6Address(host) else "")

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """
        See C{IStreamClientEndpoint}.

        @return: Fires with the hop once the handshake is done.
        """
        made: list[_Client] = []

        def canceled(_: Deferred[Any]) -> None:
            resolving.cancel()
            for each in made:
                each.giveUp()

        def found(host: str) -> None:
            client = _Client(self._reactor, protocolFactory, (host, self._port), done)
            made.append(client)
            try:
                self._listen(client, host)
            except Exception as error:
                done.errback(ConnectError(string=str(error)))
                return
            client.begin()

        done: Deferred[Any] = Deferred(canceled)
        resolving = resolved(self._reactor, self._host)
        resolving.addCallback(found)
        resolving.addErrback(lambda failure: None if done.called else done.errback(failure))
        return done


@implementer(IStreamServerEndpoint)
class QUICServerEndpoint:
    """
    Hears who connects to a UDP port.
    """

    def __init__(self, reactor: Any, port: int, interface: str = "", bind: Bind | None = None) -> None:
        """
        @param bind: Gives it a socket that there is already.
        """
        self._reactor = reactor
        self._bind: Bind = bind or (lambda server: reactor.listenUDP(port, server, interface))

    def listen(self, protocolFactory: Any) -> Deferred[IListeningPort]:
        """
        See C{IStreamServerEndpoint}.
        """
        server = _Server(self._reactor, protocolFactory)
        return maybeDeferred(lambda: UDPPort(self._bind(server)))


# ----------------------------------------------------------------- the road


def clientEndpoint(reactor: Any, components: tuple[Component, ...]) -> QUICEndpoint:
    """
    See L{ockam_twisted.transports.roads}: C{/udp/PORT/quic}.
    """
    (_, host), (_, number), _ = components
    return QUICEndpoint(reactor, str(host), int(number))


def components(prefix: str, rest: str) -> tuple[Component, ...]:
    """
    See L{ockam_twisted.transports.roads}: C{quic:HOST:PORT}.
    """
    (host, number), _ = arguments(rest, 2)
    return (*hostComponents(unbracketed(host), port(number, 1), "udp"), ("quic", ""))


def serverEndpoint(reactor: Any, prefix: str, rest: str) -> QUICServerEndpoint:
    """
    See L{ockam_twisted.transports.roads}: C{quic:PORT:interface=ADDRESS}.
    """
    [number], named = arguments(rest, 1, ("interface",))
    return QUICServerEndpoint(reactor, port(number), named.get("interface", ""))
