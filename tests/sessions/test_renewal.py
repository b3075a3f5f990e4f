"""
Tests of L{ockam_twisted.sessions.renewal}: whole nodes in memory, with streams
on the way that is replaced.
"""

from __future__ import annotations

import hashlib
from typing import Any

from twisted.internet.protocol import Factory

from ockam_twisted.identity.trust import TrustIdentifier
from ockam_twisted.portals.inlet import Inlet
from ockam_twisted.portals.outlet import Outlet, SocketTarget
from ockam_twisted.portals.settings import StreamSettings
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.attempt import WayAttempt
from ockam_twisted.sessions.session import Session
from tests.portals.common import Program, Programs
from tests.sessions.test_attempt import AttemptTestCase

OUTLET = Address.local("outlet")


class RenewalTests(AttemptTestCase):
    """
    Alice's inlet reaches Bob's outlet over a session that is renewed.
    """

    def begin(self, features: int | None = None, **options: Any) -> None:
        """
        Start both.

        @param features: Of the portal extension at the outlet; 0: it is as
            an outlet that does not know it.
        @param options: Of the session.
        """
        network, alice, bob = self.network, self.alice, self.bob
        self.listener = bob.listen(TrustIdentifier(alice.identifier))
        self.echo = bob.inbox("echo", self.listener.flowId, echo=True)
        self.targets = Programs(echo=True)
        network.endpoint("target").listen(self.targets)
        settings = StreamSettings(network.clock)
        if features is not None:
            settings.features = features
        target = SocketTarget(bob.router, bob.sockets, network.endpoint("target"), "target")
        outlet = Outlet(bob.router, network.clock, target, OUTLET, settings=settings)
        outlet.startService()
        bob.router.flowControls.addConsumer(OUTLET, self.listener.flowId)
        attempt = WayAttempt(
            self.walk,
            MultiAddr.fromText("/dnsaddr/bob/tcp/4000/secure/api/service/outlet"),
            TrustIdentifier(bob.identifier),
        )
        self.session = Session(network.clock, attempt, "the way", max, **options)
        inlet = Inlet(alice.router, network.clock, alice.sockets, self.session)
        inlet.startService()
        inlet.listen(network.endpoint("inlet"))
        self.session.startService()
        self.addCleanup(self.session.stopService)
        self.addCleanup(inlet.stopService)
        network.pump()
        self.streams = inlet.streams

    def client(self) -> Program:
        """
        Connect a client.
        """
        client = Program()
        self.network.endpoint("inlet").connect(Factory.forProtocol(lambda: client))
        self.network.pump()
        return client

    def test_moved(self) -> None:
        """
        Streams move to each new channel, byte for byte; the old one is gone
        on both sides soon after.
        """
        self.begin(renewAfter=10.0)
        client = self.client()
        sent = hashlib.sha256()
        seen = set()
        for number in range(80):
            data = number.to_bytes(4, "big") * 2000
            sent.update(data)
            client.send(data)
            self.network.advance(0.5)
            seen.add(self.session.route)
            # Not one round trip is lost, whatever happens meanwhile.
            self.assertEqual(len(client.received), 8000 * (number + 1))
            self.assertLessEqual(len(self.listener.channels), 2)
        self.assertEqual(hashlib.sha256(client.received).digest(), sent.digest())
        self.assertEqual(len(seen), 5)
        self.network.advance(2)
        self.assertEqual(len(self.listener.channels), 1)
        mine: Any = self.alice.party.channels
        self.assertEqual(len([each for each in mine if not each.hasEnded]), 1)
        self.assertEqual(len(self.alice.transport.hops), 1)
        self.assertIsNone(client.lost)

    def test_bytes(self) -> None:
        """
        What was carried counts both ways.
        """
        self.begin(renewBytes=1 << 20)
        first, client = self.session.route, self.client()
        for _ in range(5):
            client.send(bytes(100_000))
            self.network.advance(1)
        self.assertEqual(self.session.route, first)
        client.send(bytes(100_000))
        self.network.advance(2)
        self.assertNotEqual(self.session.route, first)
        self.assertEqual(len(client.received), 600_000)

    def test_plain(self) -> None:
        """
        A stream that cannot move keeps its channel until it has ended; new
        ones take the new one.
        """
        self.begin(features=0, renewAfter=20.0)
        client = self.client()
        client.send(b"before")
        self.network.advance(25)
        late = self.client()
        late.send(b"late")
        client.send(b" and after")
        self.network.advance(4)
        self.assertEqual(bytes(client.received), b"before and after")
        self.assertEqual(bytes(late.received), b"late")
        self.assertEqual(len(self.listener.channels), 2)
        transport: Any = client.transport
        transport.loseConnection()
        self.network.advance(2)
        self.assertEqual(len(self.listener.channels), 1)
        late.send(b"r")
        self.network.pump()
        self.assertEqual(bytes(late.received), b"later")

    def test_bounded(self) -> None:
        """
        Streams that cannot move do not make channels without end.
        """
        self.begin(features=0, renewAfter=3.0)
        clients = []
        for _ in range(20):
            clients.append(self.client())
            self.network.advance(4)
        self.assertLessEqual(len(self.listener.channels), 9)
        self.assertEqual([each for each in clients if each.lost], [])

    def test_opening(self) -> None:
        """
        A stream whose Pong comes when its way was replaced already follows.
        """
        self.begin(renewAfter=10.0)
        self.network.advance(9.5)
        late = Program()
        pipe = self.network.links[0].toServer
        self.network.endpoint("inlet").connect(Factory.forProtocol(lambda: late))
        pipe.held = True
        self.network.advance(4)
        self.assertEqual(len(self.listener.channels), 2)
        pipe.held = False
        self.network.advance(3)
        self.assertEqual(len(self.listener.channels), 1)
        late.send(b"hello")
        self.network.pump()
        self.assertEqual(bytes(late.received), b"hello")
