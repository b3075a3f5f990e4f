"""
NATs in memory, and a rendezvous that sockets behind them can reach.
"""

from __future__ import annotations

from typing import Any

from ockam_twisted.wire.codecs import DATAGRAMS
from ockam_twisted.wire.datagrams import readPart, split
from ockam_twisted.wire.puncture import RENDEZVOUS, decodeQuestion, encodeAnswer
from tests.transports.test_quic import Network

#: Where the rendezvous is.
MEETING = ("198.51.100.9", 4000)


class Rendezvous:
    """
    A rendezvous of few lines.

    @ivar asked: How often it was.
    @ivar answers: Does it?
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.asked = 0
        self.answers = True
        network.ports[MEETING] = self  # type: ignore[assignment]

    @property
    def protocol(self) -> Any:
        """
        It hears for itself.
        """
        return self

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        onward, back, payload = DATAGRAMS.decode(readPart(datagram)[3])
        assert list(onward) == [(0, RENDEZVOUS)]
        decodeQuestion(payload)
        self.asked += 1
        if self.answers:
            answer = encodeAnswer(addr)
            message = DATAGRAMS.prefix(back, ()) + DATAGRAMS.head(len(answer)) + answer + DATAGRAMS.tail
            for each in split(1, message):
                self.network.send(MEETING, addr, each)


class NAT:
    """
    What stands between sockets and the network, and their reactor.

    @ivar sockets: Those that there were.
    @ivar isOpen: Does anything pass?
    """

    def __init__(self, network: Network, address: str, isSymmetric: bool = False) -> None:
        """
        @param isSymmetric: Is a socket seen at another port from each place?
        """
        self.network, self.address, self.isSymmetric = network, address, isSymmetric
        self.isOpen = True
        self.sockets: list[Socket] = []
        self.ports = 0
        self.seconds, self.callLater = network.seconds, network.callLater

    def listenUDP(self, port: int, protocol: Any, interface: str = "") -> Socket:
        """
        See C{IReactorUDP}.
        """
        self.sockets.append(Socket(self, protocol))
        return self.sockets[-1]


class Socket:
    """
    A socket behind a NAT.
    """

    def __init__(self, nat: NAT, protocol: Any) -> None:
        self.nat, self.protocol = nat, protocol
        self._outside: dict[Any, Hole] = {}
        protocol.makeConnection(self)

    def write(self, data: bytes, addr: Any) -> None:
        """
        Send something out.
        """
        nat = self.nat
        key = addr if nat.isSymmetric else None
        hole = self._outside.get(key)
        if hole is None:
            hole = self._outside[key] = Hole(self, (nat.address, 1000 + nat.ports))
            nat.ports += 1
            nat.network.ports[hole.at] = hole  # type: ignore[assignment]
        hole.allowed.add(addr)
        if nat.isOpen:
            nat.network.send(hole.at, addr, data)

    def getHost(self) -> Any:
        """
        See C{IListeningPort}.
        """
        return self.nat.address

    def stopListening(self) -> None:
        """
        See C{IListeningPort}.
        """
        for hole in self._outside.values():
            self.nat.network.ports.pop(hole.at, None)
        self.protocol.doStop()


class Hole:
    """
    A port of a NAT: lets in what answers.
    """

    def __init__(self, socket: Socket, at: Any) -> None:
        self.socket, self.at = socket, at
        self.allowed: set[Any] = set()

    @property
    def protocol(self) -> Any:
        """
        It hears for itself.
        """
        return self

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """
        Something has come.
        """
        if addr in self.allowed and self.socket.nat.isOpen:
            self.socket.protocol.datagramReceived(datagram, addr)
