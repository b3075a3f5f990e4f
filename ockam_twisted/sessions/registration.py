"""
What a session tries for an outlet: its registration at a relay (design,
section 5; spec portals, section 8).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from zope.interface import implementer

from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.errors import ConnectionClosed, EnrollmentRefused, NotAccepted, OckamError, TimedOut
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.interfaces import IAttempt, ITrustPolicy
from ockam_twisted.relays.client import Registration, RelayClient
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.attempt import API_TIMEOUT, ECHO, Parts, Walk, begin, ping
from ockam_twisted.sessions.life import Established
from ockam_twisted.sessions.liveness import Liveness
from ockam_twisted.wire.relay import GONE, LEAVING, Notice

#: How often a relay that is none of ours may keep silent about a name before
#: one of its own choice is taken.
_SILENT = 2

#: What is said of a relay that only members may use.
REFUSED = (
    "the relay does not accept us: give --relay-ticket (`ockam-twisted ticket create --command ockam-relay` beside it)"
)


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
            succeeds or is refused.
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
        self._liveness = Liveness(walk.router, walk.clock, walk.party)
        self._unanswered = 0
        self._refused: EnrollmentRefused | None = None

    def start(self) -> Deferred[Established]:
        """
        See L{IAttempt.start}.
        """
        return begin(self._make)

    async def _make(self, parts: Parts) -> Established:
        walk = self._walk
        if self._enrol is not None:
            try:
                await self._enrol()
            except EnrollmentRefused as error:
                # Asking again would be guessing; but it may be a member.
                self._refused = error
            self._enrol = None
        if isinstance(self._relay, MultiAddr):
            road = await walk.along(self._relay, TrustEveryone(), parts)
        else:
            road = Route(((await walk.connectOver(self._relay, parts)).address,))
        channel = await self._prove(road, parts) if self._secure and not parts.channels else None
        at = road if channel is None else Route((channel.encryptor,))
        try:
            registration = await self._askFor(at, channel is not None, parts)
        except (TimedOut, NotAccepted):
            if self._refused is not None:
                raise self._refused from None
            raise
        for first in {road[0], at[0]}:
            flowId = walk.router.flowControls.producerId(first)
            if flowId is not None:
                self._reachable(flowId)
        self.registration = registration
        self._registered(registration)

        def askRelay(timeout: float) -> Deferred[bytes]:
            return ping(walk, road.append(ECHO), timeout)

        hop: Any = parts.hops[-1] if parts.hops else None

        def heard() -> int:
            return parts.heard() if hop is None else int(hop.received)

        what = f"registered as {registration.address.value.decode('ascii')}"

        def isUsed() -> bool:
            # Channels of others come over the same connection as ours.
            return walk.router.dependents(road[0]) > (channel is not None)

        # There is nothing to renew: the channel carries our name, once, which
        # is no secret; what is relayed has channels of its own.
        return Established(
            road,
            parts.lost,
            heard,
            askRelay,
            parts.close,
            what,
            isUsed=isUsed,
            isBlocked=parts.isBlocked,
            arriving=parts.arriving,
            isPatient=parts.isPatient,
            word=parts.word,
        )

    async def _askFor(self, at: Route, isProven: bool, parts: Parts) -> Registration:
        """
        Get the name.  A relay that is none of ours may hold on to a name
        whose registrant is dead, for ever (Rust 0.139 does): if it has kept
        silent twice, any other name will do.

        @raise NotAccepted: The relay knows who we are, and refuses us.
        """
        walk = self._walk
        name = None if self._unanswered >= _SILENT else self._name
        client = RelayClient(
            walk.router, walk.clock, at, name, isProven, noticed=partial(self._noticed, parts) if isProven else None
        )
        parts.also(client.stop)
        try:
            registration = await client.register()
        except TimedOut:
            if not isProven and self._plain:
                self._unanswered += 1
            whose = "it may belong to somebody else, or registrations may need permission"
            raise TimedOut(f"the relay did not register {name or 'a name'}: {whose}") from None
        except ConnectionClosed:
            # The channel knows more than who waited for an answer in it.
            if parts.channels and parts.channels[-1].wasRefused:
                raise NotAccepted(REFUSED) from None
            raise
        if name is None and self._name is not None:
            self._log.warn(
                "{label}: the relay does not give the name {name}; inlets need the new forwarding address {address}",
                label=self._label,
                name=self._name,
                address=registration.address.value.decode("ascii"),
                event="name-unexpected",
            )
        self._unanswered = 0
        return registration

    def _noticed(self, parts: Parts, notice: Notice) -> None:
        """
        The relay says something, which may be true.
        """
        if notice.kind == LEAVING:
            parts.word.leaving("the relay is about to stop")
        elif notice.kind == GONE and parts.hops:
            self._liveness.gone(parts.hops[0].address, Address.local(notice.address), "the relay has lost it")

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
                    event="relay-without-listener",
                )
            return None
        except OckamError as error:
            self._log.warn(
                "{label}: no channel to the relay itself: {reason}",
                label=self._label,
                reason=str(error),
                event="relay-without-channel",
            )
            return None
        self._proven(str(channel.peerIdentifier))
        return channel
