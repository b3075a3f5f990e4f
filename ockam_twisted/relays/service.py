"""
The relay: gives names to nodes that cannot be reached, and sends on what
comes to these names (spec portals, section 8; design, section 5).

Nobody who asks for a name is trusted.  A refused registration gets no reply,
as everywhere in this protocol; the log says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container
from functools import partial
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.errors import AddressTaken, DecodeError, InvalidRelayName, RegistrationRefused
from ockam_twisted.interfaces import INameStore, IRelayDirectory, IRouter, IWorker
from ockam_twisted.relays.alone import NoDirectory
from ockam_twisted.relays.claims import Admits, Claim, ClaimReader, Decisions
from ockam_twisted.relays.fights import Fights
from ockam_twisted.relays.names import (
    FORWARDING_SERVICE,
    STATIC_FORWARDING_SERVICE,
    identifierShaped,
    relayAddress,
)
from ockam_twisted.relays.notices import Notices
from ockam_twisted.relays.quotas import DIRECT, EXTENSION, NOTIFY, RelayQuotas
from ockam_twisted.relays.rechecks import Rechecks
from ockam_twisted.relays.relay import Probe, Relay
from ockam_twisted.routing.addresses import Address, Route, printable
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.wire.hosts import network
from ockam_twisted.wire.relay import decodeRegistration, encodeRegistration

#: Seconds a registrant has to show that it lives.
PROBE_TIMEOUT = 3.0

#: Seconds after which the use of a name is noted again.
_NOTED = 3600
_SWEEP = 24 * 3600.0


@implementer(IWorker)
class RelayService(Service):
    """
    See the module.

    @ivar relays: The names in use, by address.
    """

    _log = Logger()
    _addresses = (FORWARDING_SERVICE, STATIC_FORWARDING_SERVICE)

    def __init__(
        self,
        *,
        router: IRouter,
        clock: IReactorTime,
        names: INameStore,
        now: Callable[[], int],
        consumerIds: tuple[str, ...],
        authorized: Container[str] | None = None,
        allowAnonymous: bool = True,
        quotas: RelayQuotas | None = None,
        admits: Admits | None = None,
        directory: IRelayDirectory | None = None,
    ) -> None:
        """
        @param names: Which name belongs to whom.
        @param now: Tells the calendar time, seconds since the Unix epoch.
        @param consumerIds: The flow-control ids of the listeners from which
            registrations, and messages to relay names, may arrive.
        @param authorized: The identities that may register; L{None}: all.
        @param allowAnonymous: May somebody register without an identity?
            Never if there is C{authorized} or C{admits}.
        @param admits: Who may have which name.
        @param directory: Who else has to know the names in use.
        """
        self.relays: dict[Address, Relay] = {}
        self._router = router
        self._clock = clock
        self._names = names
        self._now = now
        self._consumerIds = consumerIds
        self._directory = directory or NoDirectory()
        anonymous = allowAnonymous and authorized is None and admits is None
        self._claims = ClaimReader(router, authorized, anonymous, self.relays, self._addresses, admits)
        self._quotas = quotas or RelayQuotas()
        # Claims whose ownership is being stored; the latest for each name.
        self._storing: dict[str, Claim] = {}
        self._noted: dict[str, int] = {}
        self._fights = Fights(clock, partial(self._again, waited=True))
        self._probes: dict[Address, Probe] = {}
        self._perConnection: Counter[Address] = Counter()
        self._byHost: dict[str, set[str]] = {}
        # Names in use that are not in the store, other than identifiers.
        self._unstored: set[str] = set()
        self._decisions = Decisions()
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = clock
        self._isPrivate = admits is not None
        self._isLeaving = False
        self._notices = Notices(router, self.relays, consumerIds)
        self._rechecks = Rechecks(router, clock, self._claims, self._decisions, self.relays, self._drop)

    # ---------------------------------------------------------------- life

    def startService(self) -> None:
        """
        Take registrations from now on.
        """
        super().startService()
        for address in self._addresses:
            self._router.register(address, self)
            for flowId in self._consumerIds:
                self._router.flowControls.addConsumer(address, flowId)
        self._notices.start()
        self._sweeping.start(_SWEEP)
        if self._isPrivate:
            self._rechecks.start()

    def stopService(self) -> None:
        """
        Take back every name that is in use; what belongs to an identity goes
        on belonging to it.
        """
        super().stopService()
        self._rechecks.stop()
        self._notices.stop()
        if self._sweeping.running:
            self._sweeping.stop()
        for address in self._addresses:
            self._router.unregister(address)
        self._fights.stop()
        for probe in self._probes.values():
            probe.stop()
        self._probes.clear()
        with self._router.turn:
            for relay in list(self.relays.values()):
                self._drop(relay)

    def drain(self) -> None:
        """
        Give no more names, and tell everybody that this relay is about to
        stop; what there is goes on.
        """
        self._isLeaving = True
        self._notices.leave()

    @property
    def inUse(self) -> int:
        """How many names there are that somebody sends to who has not moved on."""
        return sum(relay.senders > 0 for relay in self.relays.values())

    def recheck(self, identifier: str) -> None:
        """An identity may not register any more, perhaps: take its names back then."""
        self._rechecks.about(lambda claim: claim.proven == identifier)

    def change(self, authorized: Container[str] | None, admits: Admits | None) -> None:
        """From now on others may register; who may not any more loses its names."""
        self._claims.change(authorized, authorized is None and admits is None, admits)
        if admits is not None:
            self._rechecks.start()
        self._rechecks.about(lambda claim: True)

    def _sweep(self) -> None:
        now = self._now()
        for relay in self.relays.values():
            claim = relay.claim
            if claim.identifier is not None and identifierShaped(claim.name) is None:
                self._store(claim, now).addErrback(self._storeFailed, claim)
        self._names.forgetUnused(now - self._quotas.forgotten).addCallbacks(self._forgotten, self._sweepFailed)

    def _forgotten(self, count: int) -> None:
        if count:
            self._log.info(
                "{count} unused relay names are free again", count=count, event="names-freed", audit="changed"
            )
        for name in [name for name in self._noted if self._ownerOf(name) is None]:
            del self._noted[name]
        for host, names in list(self._byHost.items()):
            names.intersection_update({name for name in names if self._isUsed(name)})
            if not names:
                del self._byHost[host]

    def _sweepFailed(self, failure: Failure) -> None:
        self._log.failure("Relay names that are not used could not be freed", failure, event="names-not-freed")

    # ------------------------------------------------------------- reading

    def messageReceived(self, message: LocalMessage) -> None:
        """
        A registration.  See L{IWorker.messageReceived}.
        """
        name = ""
        try:
            name, extension = decodeRegistration(message.payload)
            if self._isLeaving:
                raise RegistrationRefused("this relay is about to stop")
            self._consider(self._claims.read(message, name, extension))
        except (DecodeError, InvalidRelayName, RegistrationRefused) as error:
            peer = getattr(self._router.worker(message.return_route[0]), "peer", "") if message.return_route else ""
            who = message.peerIdentity.identifier if message.peerIdentity is not None else "somebody"
            self._decisions.refused(str(error), name, f"{who} at {printable(str(peer))}")

    # ------------------------------------------------------------ deciding

    def _consider(self, claim: Claim, waited: bool = False, dead: Relay | None = None) -> None:
        """
        Give the name, refuse it, or find out first.

        @param waited: It was fought over, and this one has waited.
        @param dead: Whose registrant was found not to answer.
        @raise RegistrationRefused: It is not given.
        """
        old = self.relays.get(claim.address)
        owner = self._ownerOf(claim.name)
        if owner is not None:
            if owner != claim.identifier:
                raise RegistrationRefused("the name belongs to another identity")
            if old is not None and not waited and self._fights.waits(claim, old):
                return
        elif old is not None and old is not dead and not self._maySucceed(claim, old):
            if not old.answers or claim.address in self._probes:
                raise RegistrationRefused("the name is in use")
            self._challenge(claim, old)
            return
        self._checkQuotas(claim, old, owner)
        if claim.identifier is None or identifierShaped(claim.name) is not None:
            self._install(claim)
        elif claim.name in self._storing:
            self._storing[claim.name] = claim
        elif owner is not None and self._now() - self._noted.get(claim.name, 0) < _NOTED:
            self._install(claim)
        else:
            self._storing[claim.name] = claim
            self._store(claim, self._now()).addCallbacks(
                lambda _: self._stored(claim.name), self._storeFailed, errbackArgs=(claim,)
            )

    def _ownerOf(self, name: str) -> str | None:
        storing = self._storing.get(name)
        return identifierShaped(name) or self._names.owner(name) or (storing.identifier if storing else None)

    def _isUsed(self, name: str) -> bool:
        return relayAddress(name) in self.relays or self._ownerOf(name) is not None

    def _maySucceed(self, claim: Claim, old: Relay) -> bool:
        """
        Is this the registrant of a name that is nobody's, come back?
        """
        its = old.claim
        if self._router.worker(its.forward_route[0]) is None or its.forward_route == claim.forward_route:
            return True
        # Behind another node everybody has the same source address.
        return its.near and claim.near and its.host == claim.host

    def _challenge(self, claim: Claim, old: Relay) -> None:
        def answered(lives: bool) -> None:
            self._probes.pop(claim.address, None)
            if lives:
                self._decisions.refused("the name is in use", claim.name, claim.peer)
            else:
                self._again(claim, dead=old)

        route = old.claim.forward_route
        self._probes[claim.address] = Probe(self._router, self._clock, route, PROBE_TIMEOUT, answered)

    def _again(self, claim: Claim, waited: bool = False, dead: Relay | None = None) -> None:
        with self._router.turn:
            try:
                self._consider(claim, waited, dead)
            except RegistrationRefused as error:
                self._decisions.refused(str(error), claim.name, claim.peer)

    def _checkQuotas(self, claim: Claim, old: Relay | None, owner: str | None) -> None:
        """
        @raise RegistrationRefused: There are too many names already.
        """
        quotas = self._quotas
        there = self._perConnection[claim.hop] - (old is not None and old.claim.hop == claim.hop)
        if there >= quotas.perConnection:
            raise RegistrationRefused("too many names lead to one connection")
        if identifierShaped(claim.name) is not None or owner is not None:
            return
        storing = [each for each in self._storing.values() if self._names.owner(each.name) is None]
        if claim.name not in self._unstored:
            if self._names.count() + len(storing) + len(self._unstored) >= quotas.total:
                raise RegistrationRefused("there are too many names")
        if len(self._byHost.get(network(claim.host), set()) - {claim.name}) >= quotas.perHost:
            raise RegistrationRefused("too many names come from one source address")
        if claim.identifier is not None:
            identifier = cast(Any, claim.identifier)
            mine = self._names.owned(identifier) + sum(each.identifier == identifier for each in storing)
            if mine >= quotas.perIdentity:
                raise RegistrationRefused("too many names belong to one identity")

    # -------------------------------------------------------------- giving

    def _store(self, claim: Claim, now: int) -> Deferred[None]:
        self._noted[claim.name] = now
        return self._names.storeOwner(claim.name, cast(Any, claim.identifier), now)

    def _stored(self, name: str) -> None:
        """
        The name belongs to its identity: only now may anybody be told.
        """
        claim = self._storing.pop(name, None)
        if claim is not None and self.running:
            with self._router.turn:
                self._install(claim)

    def _storeFailed(self, failure: Failure, claim: Claim) -> None:
        self._storing.pop(claim.name, None)
        self._noted.pop(claim.name, None)
        self._log.failure(
            "The relay name {name} could not be stored", failure, name=claim.name, event="name-not-stored"
        )

    def _install(self, claim: Claim) -> None:
        """
        Give the name to C{claim}, whoever had it before, and say so.
        """
        if self._router.worker(claim.forward_route[0]) is None:
            # Its connection was lost meanwhile: whoever has the name keeps it.
            return
        refusal = self._rechecks.refusal(claim)
        if refusal:
            # It was removed meanwhile.
            self._decisions.refused(refusal, claim.name, claim.peer)
            return
        takeovers: tuple[float, ...] = ()
        old = self.relays.get(claim.address)
        if old is not None:
            takeovers = self._fights.takeovers(claim, old)
            self._drop(old)
        relay = Relay(self._router, claim, takeovers)
        try:
            relay.start(self._consumerIds, self._gone, self._notices.senderGone)
        except AddressTaken:
            self._decisions.refused("this is the name of a worker of this node", claim.name, claim.peer)
            return
        self.relays[claim.address] = relay
        self._perConnection[claim.hop] += 1
        if identifierShaped(claim.name) is None:
            self._byHost.setdefault(network(claim.host), set()).add(claim.name)
            if claim.identifier is None:
                self._unstored.add(claim.name)
        self._decisions.granted(claim, None if old is None else old.claim)
        told = self._directory.added(relay)
        told.addCallback(lambda _: self._answer(relay))
        if old is not None and old.claim.hop != claim.hop:
            # What came over the other connection has not come along.
            self._notices.registrantGone(claim.address)
        if old is None or old.claim.hop != claim.hop:
            self._notices.registrantCame(claim.address)

    def _answer(self, relay: Relay) -> None:
        claim = relay.claim
        if self.relays.get(claim.address) is not relay:
            return
        flags = DIRECT * claim.direct | NOTIFY * claim.notices
        text = encodeRegistration(claim.address.value.decode("ascii"), EXTENSION + bytes((flags,)) if flags else b"")
        with self._router.turn:
            self._router.route(LocalMessage(claim.back, Route((claim.address,)), text), claim.address)
            relay.probe = Probe(self._router, self._clock, claim.forward_route, PROBE_TIMEOUT, relay.answered)

    def _gone(self, relay: Relay) -> None:
        """The connection in front of a name is gone."""
        self._drop(relay)
        self._notices.registrantGone(relay.claim.address)

    def _drop(self, relay: Relay) -> None:
        """
        Nobody is behind a name any more.
        """
        claim = relay.claim
        relay.stop()
        if self.relays.get(claim.address) is not relay:
            return
        del self.relays[claim.address]
        self._directory.removed(claim.address)
        self._perConnection[claim.hop] -= 1
        if not self._perConnection[claim.hop]:
            del self._perConnection[claim.hop]
        self._unstored.discard(claim.name)
        if claim.identifier is None:
            names = self._byHost.get(network(claim.host), set())
            names.discard(claim.name)
            if not names:
                self._byHost.pop(network(claim.host), None)
