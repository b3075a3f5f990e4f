"""
The UDP transport: transport messages in CBOR, in datagrams (spec messaging,
section 7).

Nothing makes good what a road loses: a channel over it takes records as they come, and
carries no portals (C{docs/transports.rst}).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import isIPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IStreamClientEndpoint, IStreamServerEndpoint
from zope.interface import implementer

from ockam_twisted.errors import DecodeError
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.multiaddr import Component
from ockam_twisted.transports.datagrams import UDPPeer, UDPSocket, resolved
from ockam_twisted.transports.roads import hostComponents
from ockam_twisted.transports.strings import arguments, port, unbracketed
from ockam_twisted.wire.codecs import CBOR, DATAGRAMS

#: Seconds of silence after which who has come is forgotten.
IDLE = 60.0

#: What a message may have from somebody who has not sent a whole one yet, bytes,
#: and how many such there may be.
FIRST, STRANGERS = 16 * 1024, 256

#: How many there may be who have, but have not proven that they hear us: anybody can write
#: any address on a datagram.  The oldest one has to go.
UNPROVEN = 512

#: For each second spent on those, so many seconds none of theirs are heard; once that has
#: come to more than so many.
REST, SLACK = 9.0, 1.0


class _Client(UDPSocket):
    """
    The socket of one connection of ours.
    """

    def connectionRefused(self) -> None:
        """
        Nobody listens there.
        """
        for peer in list(self.peers.values()):
            peer.end(ConnectionRefusedError())

    def stopProtocol(self) -> None:
        """
        It is closed; by us, or by a reactor that was told of an error.
        """
        self.connectionRefused()

    def ended(self, address: tuple[str, int]) -> None:
        """
        See L{UDPSocket.ended}.
        """
        super().ended(address)
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.stopListening()

    def send(self, message: bytes, address: tuple[str, int]) -> None:
        """
        See L{UDPSocket.send}: it is connected.
        """
        super().send(message, None)  # type: ignore[arg-type]


class _Server(UDPSocket):
    """
    The socket of those who come.
    """

    def __init__(self, reactor: Any, factory: Any, maximum: int) -> None:
        super().__init__(reactor)
        self._factory = factory
        self._maximum = maximum
        self._strangers: OrderedDict[tuple[str, int], UDPPeer] = OrderedDict()
        self._unproven: OrderedDict[tuple[str, int], UDPPeer] = OrderedDict()
        self._looking: IDelayedCall | None = None
        self._closedUntil = 0.0

    def worked(self, seconds: float) -> None:
        """
        See L{UDPSocket.worked}.
        """
        self._closedUntil = max(self._closedUntil, self.clock.seconds()) + REST * seconds

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """
        See C{DatagramProtocol}: of who is not known the first message counts.
        """
        address = addr[:2]
        peer = self.peers.get(address)
        if (peer is None or not peer.isProven) and self._closedUntil - self.clock.seconds() > SLACK:
            return
        if peer is not None:
            peer.datagramReceived(datagram)
            return
        stranger = self._strangers.pop(address, None) or UDPPeer(self, address, FIRST)
        message = stranger.datagramReceived(datagram)
        if message is None:
            self._strangers[address] = stranger
            if len(self._strangers) > STRANGERS:
                self._strangers.popitem(last=False)
            return
        try:
            onward = CBOR.decode(message).onward_route
        except DecodeError:
            return
        if onward:
            # What is for nobody opens the way through a NAT (spec messaging, section 8.3).
            self._come(address, message)

    def _come(self, address: tuple[str, int], message: bytes) -> None:
        """
        Somebody is new here.
        """
        began = self.clock.seconds()
        peer: Any = UDPPeer(self, address, self._maximum, Address.random())
        hop = self._factory.buildProtocol(peer.getPeer())
        if hop is None:
            return
        self.peers[address] = self._unproven[address] = peer
        if len(self._unproven) > UNPROVEN:
            next(iter(self._unproven.values())).loseConnection()
        if self._looking is None:
            self._looking = self.clock.callLater(IDLE / 2, self._look)
        peer.begin(hop)
        self.worked(self.clock.seconds() - began)
        hop.dataReceived(message)

    def proven(self, address: tuple[str, int]) -> None:
        """
        See L{UDPSocket.proven}.
        """
        self._unproven.pop(address, None)

    def ended(self, address: tuple[str, int]) -> None:
        """
        See L{UDPSocket.ended}.
        """
        super().ended(address)
        self._unproven.pop(address, None)

    def _look(self) -> None:
        """
        Who has been silent?
        """
        self._looking = None
        now = self.clock.seconds()
        for peer in list(self.peers.values()):
            if now - peer.heardAt > IDLE:
                peer.loseConnection()
        if self.peers:
            self._looking = self.clock.callLater(IDLE / 2, self._look)

    def stopProtocol(self) -> None:
        """
        It is closed.
        """
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        self._strangers.clear()
        for peer in list(self.peers.values()):
            peer.loseConnection()


@implementer(IStreamClientEndpoint)
class UDPEndpoint:
    """
    Sends to one address.  Nobody has to be there: that shows later.
    """

    codec = DATAGRAMS

    def __init__(self, reactor: Any, host: str, port: int, maximum: int = 1024 * 1024) -> None:
        """
        @param host: A name, or an address.
        @param maximum: Bytes of a message.
        """
        self._reactor = reactor
        self._host = host
        self._port = port
        self._maximum = maximum

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """
        See C{IStreamClientEndpoint}.

        @return: Fires with the hop.
        """

        def found(host: str) -> Any:
            client = _Client(self._reactor)
            self._reactor.listenUDP(0, client, "::" if isIPv6Address(host) else "")
            transport: Any = client.transport
            transport.connect(host, self._port)
            address = (host, self._port)
            peer = client.peers[address] = UDPPeer(client, address, self._maximum)
            hop = protocolFactory.buildProtocol(peer.getPeer())
            peer.begin(hop)
            return hop

        return resolved(self._reactor, self._host).addCallback(found)


@implementer(IListeningPort)
class UDPPort:
    """
    A UDP port that is listened at, as stream endpoints have it.
    """

    def __init__(self, listening: Any) -> None:
        self._listening = listening

    def startListening(self) -> None:
        """
        It does already.
        """

    def stopListening(self) -> Deferred[None]:
        """
        See C{IListeningPort}.
        """
        return maybeDeferred(self._listening.stopListening)

    def getHost(self) -> Any:
        """
        See C{IListeningPort}.
        """
        return self._listening.getHost()


@implementer(IStreamServerEndpoint)
class UDPServerEndpoint:
    """
    Hears who sends to a port.
    """

    codec = DATAGRAMS

    def __init__(self, reactor: Any, port: int, interface: str = "", maximum: int = 1024 * 1024) -> None:
        """
        @param maximum: Bytes of a message.
        """
        self._reactor = reactor
        self._listen: Callable[[Any], Any] = lambda protocol: reactor.listenUDP(port, protocol, interface)
        self._maximum = maximum

    def listen(self, protocolFactory: Any) -> Deferred[IListeningPort]:
        """
        See C{IStreamServerEndpoint}.
        """
        return maybeDeferred(lambda: UDPPort(self._listen(_Server(self._reactor, protocolFactory, self._maximum))))


# ----------------------------------------------------------------- the road


def clientEndpoint(reactor: Any, components: tuple[Component, ...]) -> UDPEndpoint:
    """
    See L{ockam_twisted.transports.roads}: C{/udp/PORT}.
    """
    (_, host), (_, number) = components
    return UDPEndpoint(reactor, str(host), int(number))


def components(prefix: str, rest: str) -> tuple[Component, ...]:
    """
    See L{ockam_twisted.transports.roads}: C{udp:HOST:PORT}.
    """
    (host, number), _ = arguments(rest, 2)
    return hostComponents(unbracketed(host), port(number, 1), "udp")


def serverEndpoint(reactor: Any, prefix: str, rest: str) -> UDPServerEndpoint:
    """
    See L{ockam_twisted.transports.roads}: C{udp:PORT:interface=ADDRESS}.
    """
    [number], named = arguments(rest, 1, ("interface",))
    return UDPServerEndpoint(reactor, port(number), named.get("interface", ""))
