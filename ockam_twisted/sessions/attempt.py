"""
What a session tries: the way an inlet's bytes go, and the registration of an
outlet at a relay (spec messaging, section 14.4; spec portals, section 8).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from os import urandom
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from zope.interface import implementer

from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.channels.listener import createSecureChannel
from ockam_twisted.channels.party import Party
from ockam_twisted.errors import ConnectionClosed, InvalidMultiAddr, NoRoute, OckamError, TimedOut
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.interfaces import IAttempt, IHop, IRouter, ITransport, ITrustPolicy
from ockam_twisted.relays.client import Registration, RelayClient
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.services.requests import requestRaw
from ockam_twisted.sessions.session import Established

#: Seconds until a relay without an C{api} listener is taken for one.
API_TIMEOUT = 3.0

#: Seconds one dial may take.
DIAL_TIMEOUT = 10.0

#: How often a relay that is none of ours may keep silent about a name before
#: one of its own choice is taken.
_SILENT = 2

#: Seconds that the far end of a new channel has to show that it accepts us.
SETTLE_TIMEOUT = 2.0

ECHO = Address.local("echo")

#: Makes the client endpoint for a host and a port.
Dial = Callable[[str, int], IStreamClientEndpoint]


class Parts:
    """
    What an attempt has made so far; the last made is the first to end.
    """

    def __init__(self) -> None:
        self.hops: list[IHop] = []
        self.channels: list[SecureChannel] = []
        self._others: list[Callable[[], object]] = []
        self._blocked = 0
        self.lost: Deferred[str] = Deferred()

    def also(self, close: Callable[[], object]) -> None:
        """
        Call C{close} too.
        """
        self._others.append(close)

    def watch(self, lost: Deferred[str]) -> None:
        """
        The end of this is the end of all.
        """

        def ended(reason: str) -> None:
            if not self.lost.called:
                self.lost.callback(reason)

        lost.addCallback(ended)

    def close(self) -> None:
        """
        End everything.
        """
        for close in reversed(self._others):
            close()
        for channel in reversed(self.channels):
            channel.close()
        for hop in reversed(self.hops):
            hop.loseConnection()

    def heard(self) -> int:
        """
        Changes whenever the innermost part hears its far end.
        """
        part: Any = self.channels[-1] if self.channels else self.hops[-1] if self.hops else None
        number: int = 0 if part is None else part.heard if self.channels else part.received
        return number + self.blocked()

    def blocked(self) -> int:
        """
        Changes while a connection is held back: somebody does not read, and
        a ping could not come through.
        """
        self._blocked += any(hop.isBlocked for hop in self.hops)
        return self._blocked


class Walk:
    """
    Makes hops and channels along a MultiAddr.
    """

    def __init__(
        self, router: IRouter, clock: IReactorTime, transport: ITransport, party: Callable[[], Party], dial: Dial
    ) -> None:
        self.router = router
        self.clock = clock
        self.transport = transport
        self.party = party
        self._dial = dial

    async def connect(self, host: str, port: int, parts: Parts) -> IHop:
        """
        Make a hop.
        """
        return await self.connectOver(self._dial(host, port), parts)

    async def connectOver(self, endpoint: IStreamClientEndpoint, parts: Parts) -> IHop:
        """
        Make a hop over an endpoint.
        """
        hop = await self.transport.connect(endpoint)
        parts.hops.append(hop)
        parts.watch(hop.whenLost())
        return hop

    async def secure(
        self, route: Route, trust: ITrustPolicy, parts: Parts, timeout: float = DIAL_TIMEOUT
    ) -> SecureChannel:
        """
        Make a channel.
        """
        channel = await createSecureChannel(self.router, self.clock, self.party(), route, trust, timeout)
        parts.channels.append(channel)
        parts.watch(channel.whenLost())
        return channel

    async def along(self, address: MultiAddr, trust: ITrustPolicy, parts: Parts) -> Route:
        """
        Make what C{address} names.

        @param trust: Whom the last C{/secure} must lead to.  Those before it
            are only a part of the road, and nothing depends on who they are.
        """
        route = Route()
        components = list(address.components)
        last = max((i for i, (protocol, _) in enumerate(components) if protocol == "secure"), default=-1)
        host = ""
        for index, (protocol, value) in enumerate(components):
            if protocol in ("dnsaddr", "ip4", "ip6"):
                host = str(value)
            elif protocol == "tcp":
                if route:
                    raise InvalidMultiAddr(f"only the first part of {address} can be a connection")
                hop = await self.connect(host, int(value), parts)
                route = route.append(hop.address)
            elif protocol in ("service", "worker"):
                route = route.append(Address.local(str(value)))
            elif protocol == "secure":
                policy = trust if index == last else TrustEveryone()
                channel = await self.secure(route.append(Address.local(str(value))), policy, parts)
                route = Route((channel.encryptor,))
            else:
                raise InvalidMultiAddr(f"/{protocol} in {address} cannot be routed to from here")
        return route


def begin(make: Callable[[Parts], Any]) -> Deferred[Established]:
    """
    Run a coroutine that fills parts; whatever keeps it from ending well ends
    what it has made.
    """
    parts = Parts()
    result: Deferred[Established] = Deferred.fromCoroutine(make(parts))

    def failed(failure: Any) -> Any:
        parts.close()
        return failure

    def made(established: Established) -> Any:
        if parts.lost.called:
            parts.close()
            return fail(ConnectionClosed("the connection was lost at once"))
        return established

    return result.addCallbacks(made, failed)


@implementer(IAttempt)
class WayAttempt:
    """
    A way to a worker on another node, as a MultiAddr names it.
    """

    def __init__(self, walk: Walk, address: MultiAddr, trust: ITrustPolicy) -> None:
        self._walk = walk
        self._address = address
        self._trust = trust

    def start(self) -> Deferred[Established]:
        """
        See L{IAttempt.start}.
        """
        return begin(self.make)

    async def make(self, parts: Parts) -> Established:
        """
        Make it, as a part of something.
        """
        walk = self._walk
        route = await walk.along(self._address, self._trust, parts)
        # Inside the innermost channel: a relay cannot answer for the outlet.
        echo = route[:-1] if len(route) > 1 else route

        def ping(timeout: float) -> Deferred[bytes]:
            return _ping(walk, Route(echo).append(ECHO), timeout)

        if parts.channels:
            await _settle(parts, ping(SETTLE_TIMEOUT))
        whom = str(parts.channels[-1].peerIdentifier) if parts.channels else "without a secure channel"
        return Established(route, parts.lost, parts.heard, ping, parts.close, f"{self._address} ({whom})")


async def _settle(parts: Parts, pinging: Deferred[bytes]) -> None:
    """
    Nothing on the wire tells an initiator that it was accepted.  Whoever
    answers a ping in the channel has; whoever refuses us says so at once;
    whoever keeps silent has no C{echo}.

    @raise ConnectionClosed: The channel has ended.
    """
    try:
        await pinging
    except TimedOut:
        pass
    except (ConnectionClosed, NoRoute):
        # The channel knows more than who waited for an answer in it.
        raise ConnectionClosed(parts.channels[-1].reason or "the connection was lost") from None


def _ping(walk: Walk, route: Route, timeout: float) -> Deferred[bytes]:
    payload = b"\x1b" + urandom(8)
    with walk.router.turn:
        return requestRaw(walk.router, walk.clock, route, payload, timeout)


@implementer(IAttempt)
class RegistrationAttempt:
    """
    A registration at a relay: a connection, a channel that proves who we
    are, and a name (design, section 5).

    @ivar registration: What the last successful attempt got.
    """

    _log = Logger()
    registration: Registration | None = None

    def __init__(
        self,
        walk: Walk,
        relay: MultiAddr | IStreamClientEndpoint,
        label: str,
        name: str | None,
        reachable: Callable[[str], object],
        registered: Callable[[Registration], object],
        proven: Callable[[str], object] = lambda identifier: None,
        secure: bool = True,
        pin: ITrustPolicy | None = None,
        enrol: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """
        @param relay: The way to the relay's node.
        @param label: The same, for people.
        @param name: The name to register; L{None} for one of the relay's
            choice.
        @param reachable: Told the flow-control id of what arrives from the
            relay; makes the workers that may be reached from there its
            consumers.
        @param registered: Told of each success.
        @param proven: Told the identifier that the relay has proven.
        @param secure: Try to prove our identity to the relay?
        @param pin: Who the relay must be; there is no registration without
            proof then.
        @param enrol: Makes us a member of a private relay; called until it
            succeeds.
        """
        self._walk = walk
        self._relay = relay
        self._label = label
        self._name = name
        self._reachable = reachable
        self._registered = registered
        self._proven = proven
        self._secure = secure
        self._pin = pin
        self._enrol = enrol
        self._plain = False
        self._unanswered = 0

    def start(self) -> Deferred[Established]:
        """
        See L{IAttempt.start}.
        """
        return begin(self._make)

    async def _make(self, parts: Parts) -> Established:
        walk = self._walk
        if self._enrol is not None:
            await self._enrol()
            self._enrol = None
        if isinstance(self._relay, MultiAddr):
            road = await walk.along(self._relay, TrustEveryone(), parts)
        else:
            road = Route(((await walk.connectOver(self._relay, parts)).address,))
        channel = await self._prove(road, parts) if self._secure and not parts.channels else None
        at = road if channel is None else Route((channel.encryptor,))
        registration = await self._askFor(at, channel is not None, parts)
        for first in {road[0], at[0]}:
            flowId = walk.router.flowControls.producerId(first)
            if flowId is not None:
                self._reachable(flowId)
        self.registration = registration
        self._registered(registration)

        def ping(timeout: float) -> Deferred[bytes]:
            return _ping(walk, road.append(ECHO), timeout)

        hop: Any = parts.hops[-1] if parts.hops else None

        def heard() -> int:
            return parts.heard() if hop is None else int(hop.received) + parts.blocked()

        what = f"registered as {registration.address.value.decode('ascii')}"
        return Established(road, parts.lost, heard, ping, parts.close, what)

    async def _askFor(self, at: Route, isProven: bool, parts: Parts) -> Registration:
        """
        Get the name.  A relay that is none of ours may hold on to a name
        whose registrant is dead, for ever (Rust 0.139 does): if it has kept
        silent twice, any other name will do.
        """
        walk = self._walk
        name = None if self._unanswered >= _SILENT else self._name
        client = RelayClient(walk.router, walk.clock, at, name, isProven)
        parts.also(client.stop)
        try:
            registration = await client.register()
        except TimedOut:
            if not isProven and self._plain:
                self._unanswered += 1
            whose = "it may belong to somebody else, or registrations may need permission"
            raise TimedOut(f"the relay did not register {name or 'a name'}: {whose}") from None
        if name is None and self._name is not None:
            self._log.warn(
                "{label}: the relay does not give the name {name}; inlets need the new forwarding address {address}",
                label=self._label,
                name=self._name,
                address=registration.address.value.decode("ascii"),
            )
        self._unanswered = 0
        return registration

    async def _prove(self, road: Route, parts: Parts) -> SecureChannel | None:
        """
        Make a channel to the relay itself.

        @return: L{None} if it has no listener.
        """
        at = road.append(Address.local("api"))
        if self._pin is not None:
            return await self._walk.secure(at, self._pin, parts)
        try:
            channel = await self._walk.secure(at, TrustEveryone(), parts, API_TIMEOUT)
        except TimedOut:
            if not self._plain:
                self._plain = True
                self._log.info(
                    "{label}: the relay has no secure-channel listener, so the name is registered without proof of "
                    "who we are",
                    label=self._label,
                )
            return None
        except OckamError as error:
            self._log.warn("{label}: no channel to the relay itself: {reason}", label=self._label, reason=str(error))
            return None
        self._proven(str(channel.peerIdentifier))
        return channel
