"""
Going along a way one part at a time, where L{Walk.along
<ockam_twisted.sessions.attempt.Walk.along>} goes all of it.
"""

from __future__ import annotations

import socket
from typing import Any

from attrs import define, frozen
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThreadPool
from zope.interface import implementer

from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.errors import ConnectionClosed, NoRoute, NotAccepted, OckamError, TimedOut
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.interfaces import IHop, ITrustPolicy
from ockam_twisted.node import Node
from ockam_twisted.relays.names import RELAY_PREFIX
from ockam_twisted.relays.notices import NoticeReader
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.attempt import ECHO, PATIENCE, Parts, ping
from ockam_twisted.snapshot import connectionText
from ockam_twisted.transports.dialing import dial
from ockam_twisted.transports.roads import dialRoad
from ockam_twisted.wire.relay import GONE, Notice

#: Seconds that a name has to be resolved, and an echo to come back.
RESOLVE_TIMEOUT = 10.0
ECHO_TIMEOUT = 3.0

#: Seconds that a web server has to answer.
SNIFF_TIMEOUT = 2.0


@implementer(IStreamClientEndpoint)
class _Watched:
    """
    An endpoint that notes when it has connected.
    """

    def __init__(self, reactor: Any, endpoint: IStreamClientEndpoint) -> None:
        self.connectedAt: float | None = None
        self.codec = getattr(endpoint, "codec", None)
        self._reactor = reactor
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """
        See C{IStreamClientEndpoint}.
        """
        connecting: Deferred[Any] = self._endpoint.connect(protocolFactory)

        def connected(protocol: object) -> object:
            self.connectedAt = self._reactor.seconds()
            return protocol

        return connecting.addCallback(connected)


class _Asking(Protocol):
    """
    Asks as a browser does.
    """

    def __init__(self) -> None:
        self.said: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        """
        Ask.
        """
        self.transport.write(b"GET / HTTP/1.0\r\n\r\n")  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        """
        That is enough to tell.
        """
        if not self.said.called:
            self.said.callback(data)


@frozen
class Leg:
    """
    The worker after which a way goes on through a channel, or ends.

    @ivar workers: What is passed before the listener of the channel.
    @ivar listener: Where the channel is made; empty: there is none.
    """

    workers: tuple[str, ...]
    listener: str = ""


@define
class NameFound:
    """
    What is known of a relay name.

    @ivar relayEcho: Seconds until the relay's own echo; L{None}: none came.
    @ivar isAbsent: The relay says that nobody has the name.
    @ivar nameEcho: Seconds until an echo came through it.
    """

    relayEcho: float | None = None
    isAbsent: bool = False
    nameEcho: float | None = None


class Road:
    """
    See the module.

    @ivar host: The host that the way begins with; empty if it has none.
    @ivar port: Its port.
    @ivar legs: What comes then.
    @ivar route: As far as it was gone.
    @ivar parts: What was made.
    """

    def __init__(self, reactor: Any, node: Node, address: MultiAddr) -> None:
        """
        @param address: Has been checked: it begins with a connection to make.
        """
        self._road = road = address.road
        hasHost = len(road) > 1
        self.host, self.port = (str(road[0][1]), int(road[1][1])) if hasHost else ("", 0)
        self.parts = Parts()
        self.route = Route()
        self.isConnected = False
        self._reactor = reactor
        self._node = node
        self._hop: IHop | None = None
        legs: list[Leg] = []
        workers: list[str] = []
        for protocol, value in address.components[len(road) :]:
            if protocol == "secure":
                legs.append(Leg(tuple(workers), str(value)))
                workers = []
            else:
                workers.append(str(value))
        if workers or not legs:
            legs.append(Leg(tuple(workers)))
        self.legs = legs

    @property
    def relayName(self) -> str:
        """
        The name at a relay that the way goes through; empty if it does not.
        """
        first = self.legs[0].workers[:1]
        return first[0] if first and first[0].startswith(RELAY_PREFIX) else ""

    @property
    def at(self) -> str:
        """
        Where it begins, for people.
        """
        return connectionText(self._road)

    @property
    def _isPlain(self) -> bool:
        """
        Is it a TCP connection, and nothing over it?
        """
        return [name for name, _ in self._road[1:]] == ["tcp"]

    # --------------------------------------------------------------- parts

    async def resolve(self) -> list[str]:
        """
        Look the host up.

        @return: Its addresses; where the way begins with none, nothing.
        @raise OSError: It has none.
        @raise TimedOut: Nobody says.
        """
        if not self.host:
            return []
        if isIPAddress(self.host) or isIPv6Address(self.host):
            return [self.host]
        reactor = self._reactor
        looking = deferToThreadPool(
            reactor, reactor.getThreadPool(), socket.getaddrinfo, self.host, self.port, type=socket.SOCK_STREAM
        )
        found = await _within(reactor, looking, RESOLVE_TIMEOUT, "no name server answers")
        return list(dict.fromkeys(str(each[4][0]) for each in found))

    async def dial(self) -> tuple[float, float]:
        """
        Connect, and hear which version of the protocol is spoken there.

        @return: Seconds that each took.
        @raise Exception: What the endpoint fails with, or an L{OckamError
            <ockam_twisted.errors.OckamError>}; C{isConnected} says which it was.
        """
        began = self._reactor.seconds()
        endpoint = _Watched(self._reactor, dialRoad(self._reactor, self._road))
        try:
            self._hop = await self._node.walk.connectOver(endpoint, self.parts)
        finally:
            self.isConnected = endpoint.connectedAt is not None
        self.route = Route((self._hop.address,))
        at = endpoint.connectedAt or began
        return at - began, self._reactor.seconds() - at

    async def sniff(self) -> bool:
        """
        Is it a web server that is there?  That waits for a question which is
        not in our protocol.
        """
        if not self._isPlain:
            return False
        try:
            endpoint = dial(self._reactor, self.host, self.port)
            asking: Any = await endpoint.connect(Factory.forProtocol(_Asking))
            try:
                said = await _within(self._reactor, asking.said, SNIFF_TIMEOUT, "")
            finally:
                asking.transport.abortConnection()
        except (OckamError, ConnectError):
            return False
        return bool(said.startswith(b"HTTP/"))

    async def findName(self) -> NameFound:
        """
        Does the relay have the name that the way goes through?
        """
        assert self._hop is not None
        found, name = NameFound(), Address.local(self.relayName)

        def noticed(notice: Notice) -> None:
            found.isAbsent = found.isAbsent or notice.kind == GONE

        # Before the ping: what the relay says of the name comes first.
        reader = NoticeReader(self._node.router, self._hop.address, name, noticed)
        try:
            found.relayEcho = await self.echo(self.route)
            if not found.isAbsent:
                found.nameEcho = await self.echo(self.route.append(name))
        finally:
            reader.stop()
        return found

    async def echo(self, route: Route, timeout: float = ECHO_TIMEOUT) -> float | None:
        """
        Ask an echo.

        @return: Seconds until it came; L{None}: it did not.
        @raise ConnectionClosed: The way there is gone.
        """
        began = self._reactor.seconds()
        try:
            await ping(self._node.walk, route.append(ECHO), timeout)
        except TimedOut:
            return None
        return float(self._reactor.seconds() - began)

    async def secure(self, leg: Leg, trust: ITrustPolicy) -> SecureChannel:
        """
        Make the channel of a leg, and go into it.

        @param trust: Who must be at the end of the last one; those before are
            only a part of the road.
        @raise OckamError: There is none.
        """
        for each in leg.workers:
            self.route = self.route.append(Address.local(each))
        isLast = not any(each.listener for each in self.legs[self.legs.index(leg) + 1 :])
        listener = self.route.append(Address.local(leg.listener))
        channel = await self._node.walk.secure(listener, trust if isLast else TrustEveryone(), self.parts, PATIENCE)
        self.route = Route((channel.encryptor,))
        return channel

    async def settle(self) -> float | None:
        """
        Does who is at the end of the channel accept us?

        @return: Seconds until an echo came; L{None}: it cannot be told, since
            there is none.
        @raise NotAccepted: No.
        @raise ConnectionClosed: The way there is gone.
        """
        channel = self.parts.channels[-1]
        try:
            return await self.echo(self.route)
        except (ConnectionClosed, NoRoute):
            error = NotAccepted if channel.wasRefused else ConnectionClosed
            raise error(channel.reason or "the connection was lost") from None

    def close(self) -> None:
        """
        End what was made.
        """
        self.parts.close()


async def _within(clock: Any, waiting: Deferred[Any], seconds: float, otherwise: str) -> Any:
    late: Deferred[Any] = Deferred()

    def settled(result: Any) -> None:
        if not late.called:
            late.callback(result)

    # A thread cannot be stopped: whatever it finds later is not waited for.
    waiting.addBoth(settled)
    deadline = clock.callLater(seconds, late.errback, TimedOut(otherwise))
    try:
        return await late
    finally:
        if deadline.active():
            deadline.cancel()
