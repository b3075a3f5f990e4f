"""
A socket that finds a way through NATs to another one like it (spec messaging,
sections 8.1 and 8.3), and carries QUIC over that.

Both ends send to where a third one sees the other: what leaves opens the NAT for what comes.
Datagrams of QUIC and transport messages are told apart by one bit (RFC 9443).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from os import urandom
from typing import Any

from twisted.internet.abstract import isIPv6Address
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall

from ockam_twisted.errors import DecodeError, NoRoute, TimedOut
from ockam_twisted.transports.datagrams import DatagramSocket
from ockam_twisted.wire.codecs import DATAGRAMS
from ockam_twisted.wire.datagrams import readPart, split
from ockam_twisted.wire.puncture import (
    PING,
    PONG,
    RENDEZVOUS,
    Place,
    Question,
    decodeAnswer,
    encodeQuestion,
)

#: Seconds between two questions to a rendezvous, and in which it has to answer.
ASK, ANSWERED = 0.5, 3.0

#: Seconds between two pings, at first and then; until there has to be an answer; without
#: anything of the other end, after which an open way is closed; and without QUIC.
EAGER, PERIOD, PATIENCE, SILENCE, UNUSED = 0.2, 1.0, 10.0, 5.0, 60.0

#: So many pings are eager.
_EAGER = 5

#: The bit that every datagram of QUIC has.
_FIXED = 0x40

_LOCAL = 0

#: Places that the other end may be seen at, at most.
_MAX_SHOWN = 16


def _nobody(why: str) -> None:
    """
    Nobody wants to know.
    """


class Bound:
    """
    What a protocol for UDP has of a puncture: the datagrams of QUIC.
    """

    def __init__(self, puncture: Puncture, protocol: Any) -> None:
        self._puncture = puncture
        self.protocol = protocol

    def write(self, data: bytes, addr: Any = None) -> None:
        """
        See C{IUDPTransport}.
        """
        self._puncture.sendDatagram(data, addr)

    def getHost(self) -> Any:
        """
        See C{IUDPTransport}.
        """
        return self._puncture.getHost()

    def stopListening(self) -> None:
        """
        See C{IListeningPort}: nobody else needs the socket.
        """
        self._puncture.close("QUIC has ended")


class Puncture(DatagramSocket):
    """
    See the module.  Use it once: L{listen}, L{ask}, L{open}, L{bind}, and at
    the end L{close}.

    @ivar worker: The value of its local address, which the other end names.
    @ivar peer: Where the other one is, as far as that is known.
    @ivar closed: Called once with why, whoever has closed it.
    @ivar broken: Called with why if the way is lost, before it is closed and what
        goes over it ends.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.worker = urandom(16).hex().encode()
        self.peer: Place | None = None
        self.closed: Callable[[str], object] = _nobody
        self.broken: Callable[[str], object] = _nobody
        self._reactor = reactor
        self._number = int.from_bytes(urandom(2), "big")
        self._client = urandom(16).hex().encode()
        self._rendezvous: Place | None = None
        self._asking: Deferred[Place] | None = None
        self._opening: Deferred[None] | None = None
        self._far = b""
        self._places: tuple[Place, ...] = ()
        # Those that the other one has shown to be at.
        self._shown: set[Place] = set()
        self._isOpen = False
        self._isOver = False
        self._pings = 0
        self._heardAt = self._usedAt = self._pingedAt = 0.0
        self._deadline = 0.0
        self._timer: IDelayedCall | None = None
        self._bound: Bound | None = None

    def listen(self, rendezvous: Place) -> None:
        """
        Take any port.

        @param rendezvous: Whom it will ask; an address.
        @raise CannotListenError: There is none.
        """
        host, port = rendezvous
        self._rendezvous = (str(ip_address(host)), port)
        self._reactor.listenUDP(0, self, "::" if isIPv6Address(host) else "")

    # ---------------------------------------------------------- rendezvous

    def ask(self) -> Deferred[Place]:
        """
        Ask the rendezvous where this socket is seen.

        @return: Fails with L{TimedOut}.  Cancel it by L{close}.
        """
        asking = self._asking = Deferred()
        self._deadline = self.clock.seconds() + ANSWERED
        self._ask()
        return asking

    def _ask(self) -> None:
        self._timer = None
        assert self._rendezvous is not None
        if self.clock.seconds() >= self._deadline:
            asking, self._asking = self._asking, None
            if asking is not None:
                host, port = self._rendezvous
                asking.errback(TimedOut(f"the rendezvous at {host} did not answer at its UDP port {port}"))
            return
        question = encodeQuestion(Question.GET_MY_ADDRESS)
        self._send(((_LOCAL, RENDEZVOUS),), ((_LOCAL, self._client),), question, self._rendezvous)
        self._timer = self.clock.callLater(ASK, self._ask)

    def _answered(self, payload: bytes) -> None:
        place, asking = decodeAnswer(payload), self._asking
        if place is None or asking is None:
            return
        self._asking = None
        self._stopTimer()
        asking.callback(place)

    # ------------------------------------------------------------ puncture

    def local(self) -> tuple[Place, ...]:
        """
        Where it is reached from this side of a NAT.
        """
        assert self._rendezvous is not None
        family = socket.AF_INET6 if isIPv6Address(self._rendezvous[0]) else socket.AF_INET
        port = getattr(self.getHost(), "port", 0)
        try:
            # No datagram is sent: the kernel chooses from where one would be.
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect(self._rendezvous)
                host = str(probe.getsockname()[0])
        except OSError:
            return ()
        return ((host, port),) if port else ()

    def open(self, places: Sequence[Place], worker: bytes) -> Deferred[None]:
        """
        Open the way.

        @param places: Where the other one may be; first, where it is seen.
        @param worker: L{worker} of that one.
        @return: Fires once something that we have sent was answered; fails with
            L{TimedOut} if nothing is, and is closed then; with L{NoRoute} if none of
            the places can be sent to.
        """
        isSixth = isIPv6Address(self._rendezvous[0]) if self._rendezvous is not None else False
        self._places = tuple(dict.fromkeys(each for each in places if isIPv6Address(each[0]) == isSixth))
        if not self._places:
            return fail(NoRoute("the two addresses are of different families"))
        self.peer = self._places[0]
        self._far = worker
        self._deadline = self.clock.seconds() + PATIENCE
        opening = self._opening = Deferred()
        self._ping()
        return opening

    def _ping(self) -> None:
        self._timer = None
        now = self.clock.seconds()
        # After a while in which nobody read, what has come is still to be read.
        isLate, self._pingedAt = now - self._pingedAt > 2 * PERIOD, now
        why = ""
        if not self._isOpen:
            why = "no datagram gets through" if now >= self._deadline else ""
        elif now - self._usedAt >= UNUSED:
            why = "nobody uses the direct way"
        elif now - self._heardAt >= SILENCE and not isLate:
            why = f"the direct way is gone: nothing came over it for {SILENCE:.0f} s"
        if why:
            self.broken(why)
            self.close(why)
            return
        assert self.peer is not None
        for each in (self.peer,) if self._isOpen else {*self._places, self.peer}:
            self._send(((_LOCAL, self._far),), ((_LOCAL, self.worker),), PING, each)
        self._pings += 1
        self._timer = self.clock.callLater(EAGER if self._pings <= _EAGER else PERIOD, self._ping)

    def _heard(self, back: Any, payload: bytes, address: Place) -> None:
        if payload not in (PING, PONG) or (address not in self._shown and len(self._shown) >= _MAX_SHOWN):
            return
        self._shown.add(address)
        self._heardAt = self.clock.seconds()
        if not self._isOpen:
            # Its NAT may have another port for us than for the rendezvous.
            self.peer = address
        if payload == PING:
            self._send(back, ((_LOCAL, self.worker),), PONG, address)
        elif not self._isOpen:
            self._isOpen = True
            self._usedAt = self._heardAt
            opening, self._opening = self._opening, None
            if opening is not None:
                opening.callback(None)

    # ----------------------------------------------------------- datagrams

    def _send(self, onward: Any, back: Any, payload: bytes, to: Place) -> None:
        self._number = (self._number + 1) & 0xFFFF
        codec = DATAGRAMS
        message = b"".join((codec.prefix(onward, back), codec.head(len(payload)), payload, codec.tail))
        for datagram in split(self._number, message):
            self.sendDatagram(datagram, to)

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """
        See C{DatagramProtocol}.
        """
        address: Place = addr[:2]
        if not datagram or self._isOver:
            return
        if datagram[0] & _FIXED:
            if self._bound is not None and address in self._shown:
                self._heardAt = self._usedAt = self.clock.seconds()
                self._bound.protocol.datagramReceived(datagram, address)
            return
        try:
            _, _, total, part = readPart(datagram)
            if total == 1:
                self._deliver(part, address)
        except DecodeError:
            return

    def _deliver(self, message: bytes, address: Place) -> None:
        onward, back, payload = DATAGRAMS.decode(message)
        to = next(iter(onward))[1] if len(onward) == 1 else b""
        if to == self._client and address == self._rendezvous:
            self._answered(bytes(payload))
        elif to == self.worker and self.peer is not None and len(back) <= 1:
            # Only the other end knows the address of this worker.
            self._heard(back, bytes(payload), address)

    # ----------------------------------------------------------------- use

    def bind(self, protocol: Any) -> Bound:
        """
        From now on the datagrams of QUIC are for this protocol; as
        C{listenUDP} does.
        """
        self._bound = Bound(self, protocol)
        protocol.makeConnection(self._bound)
        return self._bound

    def _stopTimer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def close(self, why: str) -> None:
        """
        Close the socket, and what goes over it.

        @param why: For people.
        """
        if self._isOver:
            return
        self._isOver = True
        self._stopTimer()
        self.closed(why)
        if self._bound is not None:
            # It says good-bye while it can.
            self._bound.protocol.stopProtocol()
        transport: Any = self.transport
        if transport is not None:
            transport.stopListening()
        for each in (self._asking, self._opening):
            if each is not None:
                each.errback(TimedOut(why))
        self._asking = self._opening = None
