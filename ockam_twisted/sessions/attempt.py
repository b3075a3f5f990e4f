"""
What a session tries for an inlet: the way that its bytes go (spec messaging,
section 14.4).
"""

from __future__ import annotations

from collections.abc import Callable
from os import urandom
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from zope.interface import implementer

from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.channels.listener import createSecureChannel
from ockam_twisted.channels.party import Party
from ockam_twisted.errors import ConnectionClosed, InvalidMultiAddr, NoRoute, NotAccepted, TimedOut
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.interfaces import IAttempt, IHop, IRouter, ITransport, ITrustPolicy
from ockam_twisted.relays.names import RELAY_PREFIX
from ockam_twisted.relays.notices import NoticeReader
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.multiaddr import Component, MultiAddr
from ockam_twisted.services.requests import requestRaw
from ockam_twisted.sessions.life import Established, Word
from ockam_twisted.sessions.presence import Presence
from ockam_twisted.wire.relay import COME, LEAVING, Notice

#: Seconds until a relay without an C{api} listener is taken for one.
API_TIMEOUT = 3.0

#: Seconds one dial may take.
DIAL_TIMEOUT = 10.0

#: Seconds that a handshake through somebody else may take at first, and at
#: most.  What is sent to a name that nobody has, yet, is lost without a word;
#: a slow road needs more time.
FIRST_PATIENCE, PATIENCE = 1.5, 10.0

#: Seconds that the far end of a new channel has to show that it accepts us.
SETTLE_TIMEOUT = 2.0

ECHO = Address.local("echo")

#: Makes the client endpoint for the components of one connection.
Dial = Callable[[tuple[Component, ...]], IStreamClientEndpoint]


class Parts:
    """
    What an attempt has made so far; the last made is the first to end.
    """

    def __init__(self) -> None:
        self.hops: list[IHop] = []
        self.channels: list[SecureChannel] = []
        self._others: list[Callable[[], object]] = []
        self.lost: Deferred[str] = Deferred()
        self.word = Word()
        self.presence = Presence()

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
                self.presence.lost(reason)

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
        return number

    def carried(self) -> int:
        """
        How many bytes went over the connections, which are for this alone.
        """
        return sum(hop.carried for hop in self.hops)

    def isBlocked(self) -> bool:
        """
        Is a connection held back?  Then somebody does not read, and a ping
        could not come through.
        """
        return any(hop.isBlocked for hop in self.hops)

    def arriving(self) -> tuple[int, int]:
        """
        See L{Established}.
        """
        return sum(hop.messages for hop in self.hops), sum(hop.pieces for hop in self.hops)

    @property
    def isPatient(self) -> bool:
        """
        Does a connection keep what is sent for who is away?
        """
        return any(hop.isPatient for hop in self.hops)


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
        # By the text of a way, of which there are as many as an operator and
        # tickets have named.
        self._patience: dict[str, float] = {}

    def by(self, party: Callable[[], Party]) -> Walk:
        """
        The same for somebody else, or for us with another credential.
        """
        walk = Walk(self.router, self.clock, self.transport, party, self._dial)
        walk._patience = self._patience
        return walk

    def patience(self, address: MultiAddr) -> float:
        """
        @return: Seconds that a handshake along C{address} may take, now.
        """
        return self._patience.get(str(address), FIRST_PATIENCE)

    def learn(self, address: MultiAddr, seconds: float) -> None:
        """
        A handshake along C{address} may take so long next time, within the
        bounds of L{FIRST_PATIENCE} and L{PATIENCE}.
        """
        self._patience[str(address)] = min(max(FIRST_PATIENCE, seconds), PATIENCE)

    async def connect(self, road: tuple[Component, ...], parts: Parts) -> IHop:
        """
        Make a hop.

        @param road: L{MultiAddr.road}.
        @raise InvalidMultiAddr: There is no such road.
        """
        return await self.connectOver(self._dial(road), parts)

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
        if parts.isPatient:
            # Nothing gets lost, so that asking again soon is of no use.
            timeout = max(timeout, PATIENCE)

        def shake() -> Deferred[SecureChannel]:
            return createSecureChannel(self.router, self.clock, self.party(), route, trust, timeout)

        channel = await parts.presence.whilePresent(shake)
        parts.channels.append(channel)
        parts.watch(channel.whenLost())
        if not channel.hasEnded:
            # The far end may ask whether we are still there, too.
            self.router.flowControls.addConsumer(ECHO, channel.flowId)
        return channel

    async def along(self, address: MultiAddr, trust: ITrustPolicy, parts: Parts, patience: float = PATIENCE) -> Route:
        """
        Make what C{address} names.

        @param trust: Whom the last C{/secure} must lead to.  Those before it
            are only a part of the road, and nothing depends on who they are.
        @param patience: Seconds that one handshake may take.
        @raise InvalidMultiAddr: It cannot be gone, or whom it leads to could
            not be told although it matters.
        """
        route = Route()
        components = list(address.components)
        last = max((i for i, (protocol, _) in enumerate(components) if protocol == "secure"), default=-1)
        if last < 0 and not isinstance(trust, TrustEveryone):
            raise InvalidMultiAddr(f"{address} has no /secure: nobody at its end could prove who they are")
        road = address.road
        if road:
            route = Route(((await self.connect(road, parts)).address,))
        for index, (protocol, value) in enumerate(components[len(road) :], len(road)):
            if protocol in ("service", "worker"):
                worker = Address.local(str(value))
                if len(route) == 1 and parts.hops and str(value).startswith(RELAY_PREFIX):
                    self._listen(parts, worker)
                route = route.append(worker)
            elif protocol == "secure":
                policy = trust if index == last else TrustEveryone()
                channel = await self.secure(route.append(Address.local(str(value))), policy, parts, patience)
                route = Route((channel.encryptor,))
            else:
                raise InvalidMultiAddr(f"/{protocol} in {address} cannot be routed to from here")
        return route

    def _listen(self, parts: Parts, name: Address) -> None:
        """
        Listen to what a relay says of a name: it may be one of ours.
        """

        def noticed(notice: Notice) -> None:
            if notice.kind == LEAVING:
                parts.word.leaving("the relay is about to stop")
            elif notice.kind == COME:
                parts.presence.came()
            else:
                parts.presence.gone()
                parts.word.gone("the relay says that the outlet's connection is gone")

        parts.also(NoticeReader(self.router, parts.hops[0].address, name, noticed).stop)


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
        began = walk.clock.seconds()
        try:
            route = await walk.along(self._address, self._trust, parts, walk.patience(self._address))
        except TimedOut:
            if parts.hops:
                walk.learn(self._address, 2 * walk.patience(self._address))
            raise
        walk.learn(self._address, 3 * (walk.clock.seconds() - began))
        return await establish(walk, route, parts, str(self._address))


async def establish(walk: Walk, route: Route, parts: Parts, name: str) -> Established:
    """
    What was made is there: does its far end accept us?

    @param route: To the outlet.
    @param name: Of the way, for people.
    @raise NotAccepted: It does not.
    @raise ConnectionClosed: The channel has ended.
    """
    # Inside the innermost channel: a relay cannot answer for the outlet.
    echo = route[:-1] if len(route) > 1 else route

    def askOutlet(timeout: float) -> Deferred[bytes]:
        return ping(walk, Route(echo).append(ECHO), timeout)

    if parts.channels:
        await _settle(parts, askOutlet(SETTLE_TIMEOUT))
    peer = str(parts.channels[-1].peerIdentifier) if parts.channels else ""
    return Established(
        route,
        parts.lost,
        parts.heard,
        askOutlet,
        parts.close,
        f"{name} ({peer or 'without a secure channel'})",
        peer,
        carried=parts.carried if parts.channels else None,
        isUsed=lambda: walk.router.dependents(route[0]) > 0,
        isBlocked=parts.isBlocked,
        arriving=parts.arriving,
        isPatient=parts.isPatient,
        word=parts.word,
    )


async def _settle(parts: Parts, pinging: Deferred[bytes]) -> None:
    """
    Nothing on the wire tells an initiator that it was accepted.  Whoever
    answers a ping in the channel has; whoever refuses us says so at once;
    whoever keeps silent has no C{echo}.

    @raise NotAccepted: It has refused us.
    @raise ConnectionClosed: The channel has ended.
    """
    try:
        await pinging
    except TimedOut:
        pass
    except (ConnectionClosed, NoRoute):
        # The channel knows more than who waited for an answer in it.
        channel = parts.channels[-1]
        error = NotAccepted if channel.wasRefused else ConnectionClosed
        raise error(channel.reason or "the connection was lost") from None


def ping(walk: Walk, route: Route, timeout: float) -> Deferred[bytes]:
    """
    Ask the C{echo} at the end of a route for an answer.

    @return: Fails with L{TimedOut} after C{timeout} seconds.
    """
    payload = b"\x1b" + urandom(8)
    with walk.router.turn:
        return requestRaw(walk.router, walk.clock, route, payload, timeout)
