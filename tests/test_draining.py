"""
Tests for L{ockam_twisted.draining}, and for what a relay's word is good for:
whole nodes in memory, with streams through a relay.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.draining import drain
from ockam_twisted.identity.trust import TrustEveryone, TrustIdentifier
from ockam_twisted.portals.inlet import Inlet
from ockam_twisted.portals.outlet import Outlet, SocketTarget
from ockam_twisted.portals.plain import State as Routeless
from ockam_twisted.portals.settings import StreamSettings
from ockam_twisted.relays.service import RelayService
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.attempt import Walk, WayAttempt
from ockam_twisted.sessions.liveness import TIMEOUT
from ockam_twisted.sessions.registration import RegistrationAttempt
from ockam_twisted.sessions.session import Session, State
from ockam_twisted.testing import MemoryNetwork, MemoryNode
from tests.portals.common import Program, Programs

OUTLET = Address.local("outlet")
NAME = "forward_to_shop"


class RelayedTestCase(SynchronousTestCase):
    """
    An inlet, a relay, an outlet, and a stream.
    """

    def setUp(self) -> None:
        """
        Start them.
        """
        self.network = network = MemoryNetwork()
        self.relay, self.service = self.makeRelay()
        self.bob, self.alice = MemoryNode(network, "bob"), MemoryNode(network, "alice")
        self.listener = self.bob.listen(TrustIdentifier(self.alice.identifier))
        self.bob.inbox("echo", self.listener.flowId, echo=True)
        self.targets = Programs(echo=True)
        network.endpoint("target").listen(self.targets)
        bob = self.bob
        target = SocketTarget(bob.router, bob.sockets, network.endpoint("target"), "target")
        self.outlet = Outlet(bob.router, network.clock, target, OUTLET, settings=StreamSettings(network.clock))
        self.outlet.startService()
        bob.router.flowControls.addConsumer(OUTLET, self.listener.flowId)

        def reachable(flowId: str) -> None:
            for name in ("api", "echo"):
                bob.router.flowControls.addConsumer(Address.local(name), flowId)

        registering = RegistrationAttempt(
            self.walk(bob), network.endpoint("relay"), "the relay", "shop", reachable, lambda registration: None
        )
        self.registration = Session(network.clock, registering, "the relay", max)
        address = MultiAddr.fromText(f"/dnsaddr/relay/tcp/4000/service/{NAME}/secure/api/service/outlet")
        attempt = WayAttempt(self.walk(self.alice), address, TrustIdentifier(bob.identifier))
        self.session = Session(network.clock, attempt, "the way", max)
        self.inlet = Inlet(self.alice.router, network.clock, self.alice.sockets, self.session)
        self.inlet.startService()
        self.inlet.listen(network.endpoint("inlet"))
        self.addCleanup(self.inlet.stopService)
        for session in (self.registration, self.session):
            session.startService()
            self.addCleanup(session.stopService)
            network.advance(1)
        self.assertIs(self.session.state, State.UP)
        self.client = Program()
        network.endpoint("inlet").connect(Factory.forProtocol(lambda: self.client))
        self.network.pump()
        self.says(b"hello")

    def makeRelay(self) -> tuple[MemoryNode, RelayService]:
        """
        A relay, at the name C{relay}.
        """
        relay = MemoryNode(self.network, "relay")
        flowId = relay.listen(TrustEveryone()).flowId
        service = RelayService(
            router=relay.router,
            clock=self.network.clock,
            names=relay.store,
            now=relay.now,
            consumerIds=(relay.transport.listenerId, flowId),
        )
        service.startService()
        relay.inbox("echo", relay.transport.listenerId, echo=True)
        return relay, service

    def walk(self, node: MemoryNode) -> Walk:
        """
        How a node goes along addresses.
        """
        return Walk(
            node.router,
            self.network.clock,
            node.transport,
            lambda: node.party,
            lambda road: self.network.endpoint(str(road[0][1])),
        )

    def says(self, data: bytes) -> None:
        """
        The client says something, which comes back.
        """
        before = len(self.client.received)
        self.client.send(data)
        self.network.pump()
        self.assertEqual(bytes(self.client.received[before:]), data)

    def links(self, host: str) -> list[Any]:
        """
        The connections to the relay that live.
        """
        return [each for each in self.network.links if each.isAlive and each.server.getHost().host == host]


class DrainTests(RelayedTestCase):
    """
    Nodes that are told to stop.
    """

    def drain(self, *portals: Inlet | Outlet, relays: tuple[RelayService, ...] = ()) -> Deferred[None]:
        """
        Give what there is 20 seconds.
        """
        draining = drain(self.network.clock, 20.0, portals, relays, self.relay.transport)
        result = Deferred.fromCoroutine(draining)
        self.network.pump()
        return result

    def test_relay(self) -> None:
        """
        Outlet and inlet move on to the relay that has come in its place, and
        not one byte waits; then nothing keeps the old one.
        """
        draining = self.drain(relays=(self.service,))
        old = self.relay
        # Nobody listens yet: what there is goes on, and it is tried again.
        self.says(b"still here")
        self.relay, self.service = self.makeRelay()
        for number in range(40):
            self.network.advance(0.125)
            self.says(b"%d" % number)
        self.network.advance(15)
        self.assertIsNone(self.successResultOf(draining))
        self.assertEqual(old.transport.hops, set())
        self.assertEqual(self.service.inUse, 1)
        self.says(b"over there")
        self.assertEqual([each.state for each in (self.registration, self.session)], [State.UP] * 2)

    def test_relayAlone(self) -> None:
        """
        Where there is no other relay, the old one goes on for as long as it
        may; when it comes back, so does the stream.
        """
        draining = self.drain(relays=(self.service,))
        for _ in range(19):
            self.network.advance(1)
            self.says(b"still here")
        self.assertNoResult(draining)
        self.network.advance(1.5)
        self.successResultOf(draining)
        self.relay.transport.stopService()
        self.network.advance(1)
        self.assertIs(self.session.state, State.WAITING)
        self.relay, self.service = self.makeRelay()
        self.network.advance(30)
        self.says(b"back")

    def test_nothing(self) -> None:
        """
        Who has nothing that must end does not wait, nor who may not.
        """
        other, service = self.makeRelay()
        clock = self.network.clock
        self.successResultOf(Deferred.fromCoroutine(drain(clock, 20.0, (), (service,), other.transport)))
        self.successResultOf(Deferred.fromCoroutine(drain(clock, 0.0, (self.inlet,), (), self.alice.transport)))
        self.says(b"still here")

    def test_streams(self) -> None:
        """
        An outlet waits for its streams to end by themselves.
        """
        draining = self.drain(self.outlet)
        self.network.advance(5)
        self.says(b"still here")
        self.assertNoResult(draining)
        transport: Any = self.client.transport
        transport.loseConnection()
        self.network.advance(1)
        self.successResultOf(draining)


class WordTests(RelayedTestCase):
    """
    A relay says what it has noticed.
    """

    def test_registrantGone(self) -> None:
        """
        The outlet's connection is lost: the inlet knows within seconds, and
        the stream goes on.
        """
        [registered, _] = self.links("relay")
        route = self.session.route
        registered.cut()
        self.network.advance(3)
        self.assertIs(self.session.state, State.UP)
        self.assertNotEqual(self.session.route, route)
        self.assertEqual(len(self.links("relay")), 2)
        self.says(b"again")

    def test_senderGone(self) -> None:
        """
        The inlet is gone: the outlet's channel to it ends within seconds, and
        nothing of it is left at the relay.
        """
        [_, way] = self.links("relay")
        # The machine of the inlet is gone: nobody says anything there.
        way.toServer.held = way.toClient.held = True
        way.server.protocol.abortConnection("it does not answer")
        self.network.advance(TIMEOUT + 1)
        self.assertEqual(self.listener.channels, {})
        [stream] = self.outlet.streams
        self.assertIs(stream.state, Routeless.ROUTELESS)

    def test_liar(self) -> None:
        """
        What a relay says wrongly does no harm: each end asks the other one,
        who answers, at most once a second.
        """
        [relay] = self.service.relays.values()
        connections = [each.address for each in self.relay.transport.hops]
        route, channels = self.session.route, set(self.listener.channels)
        [echo] = [self.bob.router.worker(Address.local("echo"))]
        assert echo is not None
        before = len(echo.messages)  # type: ignore[attr-defined]
        for _ in range(100):
            self.service._notices.registrantGone(relay.claim.address)
            for connection in connections:
                self.service._notices.senderGone(relay, connection)
            self.network.advance(0.125)
        self.assertEqual(self.session.route, route)
        self.assertEqual(set(self.listener.channels), channels)
        self.assertLessEqual(len(echo.messages) - before, 14)  # type: ignore[attr-defined]
        self.says(b"still here")
