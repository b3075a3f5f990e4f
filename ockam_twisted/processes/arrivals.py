"""
Where accepted connections go: the first process accepts all of them, sees
where the first message of each is bound for, and hands it to the process that
has that; else, to the one that has least to do.

One process that accepts knows how many connections there are from one
address, which is what the limits are about, and spreads them evenly; the
kernel does neither for a listening socket that several processes share.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface

from ockam_twisted.errors import DecodeError
from ockam_twisted.relays.names import NOTICES
from ockam_twisted.routing.addresses import Address
from ockam_twisted.transports.factory import MessageStreamFactory
from ockam_twisted.transports.sockets import isPlainSocket
from ockam_twisted.wire.frames import VERSION
from ockam_twisted.wire.hosts import network
from ockam_twisted.wire.messages import TAILED, TAILLESS, payloadBounds, readTransportRoutes
from ockam_twisted.wire.relay import decodeNotice

#: Seconds a connection has to show where it is bound for.
PATIENCE = 1.0

#: From so many bytes on nothing more is waited for.
ENOUGH = 4096


class ITaker(Interface):
    """
    Another process that takes connections.
    """

    def take(descriptor: int, family: int, data: bytes) -> Deferred[None]:
        """
        Hand on a connection.

        @param descriptor: Of its socket, which is the callee's from now on.
        @param family: Of its socket.
        @param data: What was read from it.
        @return: Fires when the connection has ended.
        """


class IPlaces(Interface):
    """
    Who may take a connection.
    """

    isSettled: bool = Attribute("Is it known which processes there are?")

    def choose(bound: Address | None) -> Any:
        """
        Choose a process for a connection.

        @param bound: Where its first message goes, as far as is known.
        @return: An L{ITaker}; L{None}: it is for this process.
        """


def boundFor(data: bytes) -> Address | None:
    """
    Where does the first message go?  Pure.

    @param data: What has come over a connection so far.
    @return: L{None}: it cannot be said, not yet or never.
    """
    try:
        onward, _, position = readTransportRoutes(data, 5, len(data))
        if not onward or onward[0] != NOTICES:
            return Address(*onward[0]) if onward else None
        # Inlets of ours say first what they are going to send to.
        end = 5 + int.from_bytes(data[1:5], "big")
        if end > len(data):
            return None
        begin, stop = payloadBounds(data, position, end, data[5] == TAILED)
        notice = decodeNotice(data[begin:stop])
    except DecodeError:
        # What is not there as a whole cannot be read either.
        return None
    return None if notice is None else Address.local(notice.address)


def isEnough(data: bytes) -> bool:
    """
    Will more of it say no more?  Pure.
    """
    if len(data) < 6:
        return data[:1] not in (b"", VERSION)
    return data[:1] != VERSION or data[5] not in (TAILED, TAILLESS) or len(data) >= ENOUGH


class Arrival(Protocol):
    """
    A connection of which it is not known yet to which process it goes.

    @ivar addr: Where it comes from.
    @ivar isOver: It is somebody's, or gone.
    """

    def __init__(self, arrivals: Arrivals, addr: IAddress | None) -> None:
        self._arrivals = arrivals
        self.addr = addr
        self._data = b""
        self._isDue = False
        self._call: IDelayedCall | None = None
        self.isOver = False

    def connectionMade(self) -> None:
        """
        Say which version we speak: many peers say nothing before.
        """
        transport: Any = self.transport
        if not isPlainSocket(transport):
            # What is behind a wrapper cannot be handed on.
            self._arrivals.stays(self)
            return
        if transport.writeSomeData(VERSION) != 1:
            transport.abortConnection()
            return
        self._call = self._arrivals.clock.callLater(PATIENCE, self._due)

    def dataReceived(self, data: bytes) -> None:
        """
        The first bytes, maybe all that is needed.
        """
        self._data += data
        if not self._isDue and (boundFor(self._data) is not None or isEnough(self._data)):
            self._due()
        elif len(self._data) >= ENOUGH:
            self.transport.pauseProducing()  # type: ignore[union-attr]

    def _due(self) -> None:
        self._isDue = True
        self._cancel()
        if self._arrivals.places.isSettled:
            # Not while its transport reads.
            self._call = self._arrivals.clock.callLater(0, self.settle)
        else:
            self.transport.pauseProducing()  # type: ignore[union-attr]

    def _cancel(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    @property
    def isWaiting(self) -> bool:
        """
        Does it only wait for processes?
        """
        return self._isDue and self._call is None and not self.isOver

    def settle(self) -> None:
        """
        Let it go where it belongs.
        """
        self._cancel()
        if self.isOver:
            return
        transport: Any = self.transport
        taker = self._arrivals.places.choose(boundFor(self._data))
        if taker is None:
            transport.resumeProducing()
            self._arrivals.stays(self, self._data)
            return
        transport.stopReading()
        handle = transport.getHandle()
        family = handle.family
        descriptor = handle.detach()
        self._arrivals.goes(self, taker.take(descriptor, family, self._data))
        # Its socket is closed already, as far as this process is concerned.
        transport.connectionLost(Failure(ConnectionDone()))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        It went before it was known where.
        """
        self._cancel()
        if not self.isOver:
            self._arrivals.ended(self)


class Arrivals(Factory):
    """
    All of them, and how many connections there are from each address, in all
    processes.
    """

    noisy = False
    _log = Logger()

    def __init__(self, servers: MessageStreamFactory, clock: Any, places: Any) -> None:
        """
        @param servers: Makes the hops of this process.
        @param places: An L{IPlaces}.
        """
        self.clock = clock
        self.places = places
        self._servers = servers
        self._settings = servers.settings
        self._perAddress: Counter[str] = Counter()
        self._total = 0
        self._pending: dict[Arrival, str] = {}

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """
        A connection was made.
        """
        host = str(getattr(addr, "host", ""))
        source = network(host)
        if self._perAddress[source] >= self._settings.perAddress or self._total >= self._settings.total:
            self._log.warn(
                "Refusing a connection from {host}: there are too many", host=host, event="connection-refused"
            )
            return None
        self._perAddress[source] += 1
        self._total += 1
        arrival = Arrival(self, addr)
        self._pending[arrival] = source
        return arrival

    @property
    def count(self) -> int:
        """
        How many connections there are, in all processes.
        """
        return self._total

    def settle(self) -> None:
        """
        It is known now which processes there are.
        """
        for arrival in [each for each in self._pending if each.isWaiting]:
            arrival.settle()

    def _release(self, source: str) -> None:
        self._total -= 1
        self._perAddress[source] -= 1
        if not self._perAddress[source]:
            del self._perAddress[source]

    def ended(self, arrival: Arrival) -> None:
        """
        For L{Arrival}: it is gone.
        """
        arrival.isOver = True
        self._release(self._pending.pop(arrival))

    def stays(self, arrival: Arrival, data: bytes = b"") -> None:
        """
        For L{Arrival}: it is for this process.
        """
        arrival.isOver = True
        source = self._pending.pop(arrival)
        transport: Any = arrival.transport
        hop = self._servers.buildProtocol(arrival.addr, greets=not isPlainSocket(transport))
        if hop is None:
            self._release(source)
            transport.abortConnection()
            return
        hop.whenLost().addCallback(lambda _: self._release(source))
        # Wrappers know their protocol by other names than transports do.
        arrival.dataReceived = hop.dataReceived  # type: ignore[method-assign]
        arrival.connectionLost = hop.connectionLost  # type: ignore[method-assign]
        if isPlainSocket(transport):
            transport.protocol = hop
        hop.makeConnection(transport)
        if data:
            hop.dataReceived(data)

    def goes(self, arrival: Arrival, over: Deferred[None]) -> None:
        """
        For L{Arrival}: it is another process's.

        @param over: Fires when it has ended there.
        """
        arrival.isOver = True
        source = self._pending.pop(arrival)
        over.addCallback(lambda _: self._release(source))
