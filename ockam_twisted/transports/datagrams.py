"""
UDP sockets, and who is behind them: to a hop each address that datagrams come
from is a carrier (L{ockam_twisted.transports.message}).
"""

from __future__ import annotations

import socket
from os import urandom
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import DatagramProtocol
from twisted.python.failure import Failure

from ockam_twisted.errors import DecodeError
from ockam_twisted.routing.addresses import Address
from ockam_twisted.wire.datagrams import Reassembly, split

#: What the kernel is asked to hold of datagrams, each way, bytes.  The first pair of
#: options is for who may have more than others.
_BUFFER = 4 * 1024 * 1024
_OPTIONS = ((getattr(socket, "SO_RCVBUFFORCE", 33), socket.SO_RCVBUF), (32, socket.SO_SNDBUF))


def enlarge(handle: Any) -> None:
    """
    Ask the kernel for room, which bursts of datagrams need.

    @param handle: The socket.
    """
    for options in _OPTIONS:
        for option in options:
            try:
                handle.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
                break
            except OSError:
                continue


def addressOf(address: tuple[str, int]) -> IPv4Address | IPv6Address:
    """
    An address and a port, as Twisted has them.
    """
    host, port = address
    return (IPv6Address if isIPv6Address(host) else IPv4Address)("UDP", host, port)


def resolved(reactor: Any, host: str) -> Deferred[Any]:
    """
    @param host: A name, or an address.
    @return: Fires with an address.
    """
    isAddress = isIPAddress(host) or isIPv6Address(host)
    resolving: Deferred[Any] = succeed(host) if isAddress else reactor.resolve(host)
    return resolving


class UDPPeer:
    """
    One address that datagrams come from, and go to: a carrier.

    @ivar heardAt: When something came, last.
    @ivar proof: What only who hears us can say: see L{ockam_twisted.transports.message};
        L{None}: the kernel hears nobody else.
    @ivar isProven: Has it said that?
    """

    def __init__(self, socket: UDPSocket, address: tuple[str, int], maximum: int, proof: Address | None = None) -> None:
        self.heardAt = socket.clock.seconds()
        self.proof = proof
        self.isProven = False
        self._socket = socket
        self._address = address
        self._reassembly = Reassembly(maximum)
        self._behind: Any = None
        self._isOver = False
        self._isPaused = False

    def begin(self, behind: Any) -> None:
        """
        There is a hop.
        """
        self._behind = behind
        behind.makeConnection(self)

    def datagramReceived(self, data: bytes) -> bytes | None:
        """
        @return: A message, if that makes it whole and there is no hop yet.
        """
        now = self.heardAt = self._socket.clock.seconds()
        try:
            message = self._reassembly.add(data, now)
        except DecodeError:
            return None
        if message is None or self._behind is None:
            return message
        if not self._isPaused:
            self._behind.dataReceived(message)
        # What comes while nobody reads is lost as on the road; TCP would wait.
        return None

    def worked(self, isDirect: bool, seconds: float) -> None:
        """
        See L{ockam_twisted.transports.message}: what goes straight to where it
        belongs takes little; a handshake is for anybody.
        """
        if not isDirect:
            self._socket.worked(seconds)

    def proven(self) -> None:
        """
        See L{ockam_twisted.transports.message}.
        """
        self.isProven = True
        self._socket.proven(self._address)

    def write(self, data: bytes) -> None:
        """
        Send one message.
        """
        if not self._isOver:
            self._socket.send(data, self._address)

    def getPeer(self) -> IPv4Address | IPv6Address:
        """
        See C{ITransport}.
        """
        return addressOf(self._address)

    def getHost(self) -> Any:
        """
        See C{ITransport}.
        """
        return self._socket.getHost()

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

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See C{IConsumer}: it never holds anything.
        """

    def unregisterProducer(self) -> None:
        """
        See C{IConsumer}.
        """

    def loseConnection(self) -> None:
        """
        See C{ITransport}.
        """
        self.end(ConnectionDone())

    def abortConnection(self) -> None:
        """
        See C{ITCPTransport}.
        """
        self.end(ConnectionLost())

    def end(self, why: Exception) -> None:
        """
        Its connection is over.
        """
        if self._isOver:
            return
        self._isOver = True
        self._socket.ended(self._address)
        if self._behind is not None:
            self._behind.connectionLost(Failure(why))


class DatagramSocket(DatagramProtocol):
    """
    A UDP socket with room for bursts.

    @ivar clock: Says how late it is.
    """

    noisy = False

    def __init__(self, clock: Any) -> None:
        self.clock = clock

    def startProtocol(self) -> None:
        """
        Ask the kernel for room.
        """
        handle = getattr(self.transport, "socket", None)
        if handle is not None:
            enlarge(handle)

    def getHost(self) -> Any:
        """
        Where it is.
        """
        transport: Any = self.transport
        return transport.getHost()

    def sendDatagram(self, data: bytes, address: Any) -> bool:
        """
        Send a datagram.

        @return: Did the kernel take it?  What it does not take is lost, as if
            the road had lost it: there is no room, or no way.
        """
        transport: Any = self.transport
        if transport is None:
            return False
        try:
            transport.write(data, address)
        except OSError:
            return False
        return True


class UDPSocket(DatagramSocket):
    """
    One socket, and those who are behind it.
    """

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.peers: dict[tuple[str, int], UDPPeer] = {}
        self._number = int.from_bytes(urandom(2), "big")

    def worked(self, seconds: float) -> None:
        """
        So long it took to deal with a message of somebody.
        """

    def proven(self, address: tuple[str, int]) -> None:
        """
        Somebody has said what only who hears us can say.
        """

    def send(self, message: bytes, address: tuple[str, int]) -> None:
        """
        Send a message in datagrams.
        """
        self._number = (self._number + 1) & 0xFFFF
        for datagram in split(self._number, message):
            if not self.sendDatagram(datagram, address):
                return

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """
        See C{DatagramProtocol}.
        """
        peer = self.peers.get(addr[:2])
        if peer is not None:
            peer.datagramReceived(datagram)

    def ended(self, address: tuple[str, int]) -> None:
        """
        Somebody is gone.
        """
        self.peers.pop(address, None)
