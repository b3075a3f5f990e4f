"""
Registrations at a relay, explored by a machine: a name leads to one
registrant, what belongs to an identity goes to no other, nobody is told before
it is stored, and nothing is left of those who are gone.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.relays.client import Registration
from ockam_twisted.relays.names import identifierShaped, relayAddress
from ockam_twisted.relays.quotas import RelayQuotas
from ockam_twisted.relays.relay import Relay
from ockam_twisted.storage.memory import MemoryStore
from ockam_twisted.testing import MemoryNode
from tests.exploring import explore
from tests.relays.common import Registrant, RelayTestCase

#: How many identities there are, and how many registrants at once.
IDENTITIES, REGISTRANTS = 3, 6

NAMES = ("shop", "blue", "green", "red")

QUOTAS = RelayQuotas(perIdentity=2, perHost=4, perConnection=3, total=5)

#: After so many seconds nobody asks, waits or is probed any more.
AFTER = 60.0


class _Broken(Exception):
    """
    The disk is full.
    """


class _Names:
    """
    A store that takes its time, and may fail.

    @ivar isLate: Does it take its time?
    @ivar pending: What it is about to store.
    """

    def __init__(self) -> None:
        self.isLate = False
        self.pending: list[tuple[Deferred[None], str, Identifier, int]] = []
        self._names = MemoryStore()
        self.owner = self._names.owner
        self.owned = self._names.owned
        self.count = self._names.count
        self.forgetUnused = self._names.forgetUnused

    def storeOwner(self, name: str, identifier: Identifier, now: int) -> Deferred[None]:
        if not self.isLate:
            return self._names.storeOwner(name, identifier, now)
        waiting: Deferred[None] = Deferred()
        self.pending.append((waiting, name, identifier, now))
        return waiting

    def finish(self, which: int, fails: bool) -> None:
        """
        One is stored now, or cannot be.
        """
        waiting, name, identifier, now = self.pending.pop(which)
        if fails:
            waiting.errback(_Broken())
        else:
            self._names.storeOwner(name, identifier, now).chainDeferred(waiting)


class _World(RelayTestCase):
    quotas = QUOTAS

    def runTest(self) -> None:
        """
        It is none.
        """

    def makeService(self, names: Any) -> Any:
        """
        See L{RelayTestCase.makeService}.
        """
        self.names = _Names()
        return super().makeService(self.names)


class RegistrationMachine(RuleBasedStateMachine):
    """
    See the module.
    """

    @initialize()
    def begin(self) -> None:
        self.world = world = _World()
        world.setUp()
        self.nodes = [MemoryNode(world.network, f"identity {number}") for number in range(IDENTITIES)]
        self.registrants: list[Registrant] = []
        self.owners: dict[str, str] = {}
        self.held: dict[str, Relay] = {}
        self.wrong = ""
        self.addresses = set(world.relay.router._mailboxes)

    @property
    def service(self) -> Any:
        return self.world.service

    def name(self, number: int) -> str | None:
        """
        A name, or L{None} for one of the relay's choice.
        """
        names = [*NAMES, *(str(node.identifier) for node in self.nodes), None]
        return names[number % len(names)]

    def one(self, which: int) -> Registrant | None:
        """
        One of those that are there.
        """
        return self.registrants[which % len(self.registrants)] if self.registrants else None

    def isAlive(self, relay: Relay) -> bool:
        """
        Is the connection in front of a name there?
        """
        return self.world.relay.router.worker(relay.claim.forward_route[0]) is not None

    # ------------------------------------------------------------ registrants

    @precondition(lambda self: len(self.registrants) < REGISTRANTS)
    @rule(identity=st.integers(-1, IDENTITIES - 1), answers=st.booleans())
    def connect(self, identity: int, answers: bool) -> None:
        world = self.world
        if identity < 0:
            registrant = world.anybody(f"anybody {len(world.network.links)}")
        else:
            registrant = world.somebody("", self.nodes[identity])
        self.registrants.append(registrant.answers() if answers else registrant)

    @rule(which=st.integers(0, 5), number=st.integers(0, 7), direct=st.booleans())
    def ask(self, which: int, number: int, direct: bool) -> None:
        registrant = self.one(which)
        if registrant is None:
            return
        name = self.name(number)

        def answered(registration: Registration) -> None:
            its = registration.name
            identifier = str(registrant.node.identifier) if registrant.channel is not None else None
            relay = self.service.relays.get(relayAddress(its))
            if relay is None or relay.claim.identifier not in (None, identifier):
                self.wrong = f"{its} was promised to {identifier}, and is not its"
            elif relay.claim.identifier is not None and identifierShaped(its) is None:
                if self.world.names.owner(its) != identifier:
                    self.wrong = f"{its} was promised to {identifier} before it was stored"

        registrant.ask(name, direct).addCallbacks(answered, lambda failure: None)

    @rule(which=st.integers(0, 5))
    def cut(self, which: int) -> None:
        registrant = self.one(which)
        if registrant is not None:
            self.registrants.remove(registrant)
            registrant.link.cut()
            registrant.link.toClient.held = registrant.link.toServer.held = False
            self.world.network.pump()

    @rule(which=st.integers(0, 5))
    def stall(self, which: int) -> None:
        """
        The connection to a registrant carries nothing, or does again.
        """
        registrant = self.one(which)
        if registrant is not None:
            for pipe in (registrant.link.toClient, registrant.link.toServer):
                pipe.held = not pipe.held
            self.world.network.pump()

    @rule(name=st.sampled_from(NAMES))
    def send(self, name: str) -> None:
        """
        What is sent to a name comes to who has it, and to nobody else.
        """
        world = self.world
        sender = MemoryNode(world.network, f"sender {len(world.network.links)}")
        link = sender.connect(world.relay)
        before = [(each, len(each.echo.messages)) for each in self.registrants if each.echo is not None]
        relay = self.service.relays.get(relayAddress(name))
        sender.send(link.route(f"forward_to_{name}", "echo"), b"through", sender.inbox("app"))
        world.network.pump()
        nodes = {each.node for each, count in before if each.echo is not None and len(each.echo.messages) > count}
        link.cut()
        world.network.pump()
        assert len(nodes) <= 1
        if relay is None:
            assert not nodes
        elif nodes and relay.claim.identifier is not None:
            assert {str(node.identifier) for node in nodes} == {relay.claim.identifier}

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.5, 9.0, AFTER]))
    def wait(self, seconds: float) -> None:
        self.world.network.advance(seconds)

    # ----------------------------------------------------------------- relay

    @rule(isLate=st.booleans())
    def storage(self, isLate: bool) -> None:
        self.world.names.isLate = isLate

    @precondition(lambda self: self.world.names.pending)
    @rule(which=st.integers(0, 5), fails=st.booleans())
    def stored(self, which: int, fails: bool) -> None:
        names = self.world.names
        names.finish(which % len(names.pending), fails)
        self.world.network.pump()

    @rule()
    def restart(self) -> None:
        """
        It forgets who is there, and not what belongs to whom.
        """
        self.service.stopService()
        self.world.network.pump()
        assert self.service.relays == {} and self.service._probes == {}
        self.service.startService()
        self.held.clear()

    # ---------------------------------------------------------- what is true

    @invariant()
    def isRight(self) -> None:
        service, names = self.service, self.world.names
        assert not self.wrong, self.wrong
        for address, relay in service.relays.items():
            claim = relay.claim
            assert self.isAlive(relay), f"{claim.name} leads nowhere"
            assert relayAddress(claim.name) == address == claim.address
            shaped = identifierShaped(claim.name)
            assert shaped is None or claim.identifier == shaped
            owner = names.owner(claim.name)
            assert owner is None or claim.identifier == owner, f"{claim.name} belongs to {owner}"
        for name in NAMES:
            owner = names.owner(name)
            if owner is not None:
                assert self.owners.setdefault(name, owner) == owner

    @invariant()
    def isHeld(self) -> None:
        """
        Nobody loses a name to somebody else but by its owner, its own
        silence, or its end.
        """
        for name in NAMES:
            now, before = self.service.relays.get(relayAddress(name)), self.held.get(name)
            if now is before or before is None or now is None or not self.isAlive(before):
                pass
            elif before.claim.forward_route[0] == now.claim.forward_route[0] or before.claim.hop == now.claim.hop:
                pass
            elif before.claim.identifier is not None:
                assert now.claim.identifier == before.claim.identifier
            else:
                # It was asked, and did not answer.
                [silent] = [each for each in self.registrants if each.link.server.protocol.address == before.claim.hop]
                assert silent.echo is None or silent.link.toClient.held
            if now is None:
                self.held.pop(name, None)
            else:
                self.held[name] = now

    @invariant()
    def isBounded(self) -> None:
        service = self.service
        hops: dict[Any, int] = {}
        for relay in service.relays.values():
            hops[relay.claim.hop] = hops.get(relay.claim.hop, 0) + 1
        assert dict(service._perConnection) == hops
        assert all(count <= QUOTAS.perConnection for count in hops.values())
        stored = [name for name in NAMES if self.world.names.owner(name)]
        assert len(service._unstored) + len(stored) <= QUOTAS.total
        for node in self.nodes:
            assert self.world.names.owned(node.identifier) <= QUOTAS.perIdentity
        assert service._unstored == {
            relay.claim.name
            for relay in service.relays.values()
            if relay.claim.identifier is None and identifierShaped(relay.claim.name) is None
        }
        for claim in service._storing.values():
            assert any(name == claim.name for _, name, _, _ in self.world.names.pending)

    def teardown(self) -> None:
        world = self.world
        try:
            while world.names.pending:
                self.stored(0, False)
            while self.registrants:
                self.cut(0)
            self.isRight()
            world.network.advance(AFTER)
            self.isRight()
            world.assertNothingLeft()
            router = world.relay.router
            assert set(router._mailboxes) == self.addresses, set(router._mailboxes) - self.addresses
            assert len(router.peers) == 0
            self.service.stopService()
            world.listener.stopService()
            world.network.advance(AFTER)
            calls = [str(call.func) for call in world.network.clock.getDelayedCalls()]
            assert calls == [], calls
        finally:
            globalLogPublisher.removeObserver(world._logged)


class RegistrationMachineTests(SynchronousTestCase):
    """
    The machine.
    """

    def test_machine(self) -> None:
        """
        See L{RegistrationMachine}.
        """
        explore(RegistrationMachine, 60, 50)
        self.flushLoggedErrors(_Broken)
