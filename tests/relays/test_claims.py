"""
Tests for L{ockam_twisted.relays.claims}.
"""

from __future__ import annotations

from ockam_twisted.relays.claims import Decisions
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.services.hop import HopService
from ockam_twisted.testing import MemoryNode
from ockam_twisted.wire.relay import encodeRegistration
from tests.relays.common import RelayTestCase


class ClaimReaderTests(RelayTestCase):
    """
    What a registration asks for, and which are not considered.
    """

    def refused(self, why: str) -> None:
        """
        Nothing was given, and the log says why.
        """
        self.assertNothingLeft()
        self.assertIn(why, "\n".join(self.lines()))
        self.logged.clear()
        self.network.clock.advance(11)

    def test_routes(self) -> None:
        """
        A return route that is too short, too long, or leads through names of
        this relay is refused.
        """
        bob = self.anybody("bob")
        registration = encodeRegistration("shop")
        bob.raw(registration, "forwarding_service", "forwarding_service")
        self.refused("its return route leads through a name of this relay")
        bob.raw(registration, "forwarding_service", "forward_to_shop")
        self.refused("its return route leads through a name of this relay")
        bob.raw(registration, "forwarding_service", *(str(number) for number in range(31)))
        self.assertNothingLeft()
        # To itself, in two steps: a loop.
        bob.gets("first")
        bob.raw(registration, "forwarding_service", "forward_to_first")
        self.assertNotIn(Address.local("forward_to_shop"), self.service.relays)

    def test_behindAHop(self) -> None:
        """
        Who registers through another node is reached that way; it is no
        registrant at the other end of the connection.
        """
        middle = MemoryNode(self.network, "middle")
        HopService(middle.router).startService()
        middle.router.flowControls.addConsumer(Address.local("hop"), middle.transport.listenerId)
        link = middle.connect(self.relay)
        bob = MemoryNode(self.network, "bob")
        road = bob.connect(middle)
        inbox = bob.inbox("inbox")
        to = road.route("hop", link.route()[0], "forwarding_service")
        middle.router.flowControls.addConsumer(link.route()[0], middle.transport.listenerId)
        bob.send(to, encodeRegistration("shop"), inbox)
        self.network.pump()
        [relay] = self.service.relays.values()
        self.assertFalse(relay.claim.near)
        self.assertEqual(len(relay.claim.forward_route), 3)

    def test_forgedReturn(self) -> None:
        """
        A message from elsewhere whose return route begins with somebody
        else's connection is refused.
        """
        bob, mallory = self.anybody("bob"), self.anybody("mallory")
        [hers] = [hop for hop in self.relay.transport.hops if hop is mallory.link.server.protocol]
        message = LocalMessage(
            Route.of("forwarding_service"),
            Route((bob.link.server.protocol.address, Address.local("x"))),
            encodeRegistration("shop"),
        )
        message.source = hers.receiver
        self.service.messageReceived(message)
        self.refused("does not begin with the connection it came over")
        message.source = None
        self.service.messageReceived(message)
        self.refused("does not begin with the connection it came over")

    def test_channelOfAnother(self) -> None:
        """
        The identity that counts is that of the channel the reply goes into.
        """
        bob = self.somebody("bob")
        bob.gets("shop")
        [relay] = self.service.relays.values()
        self.assertEqual(relay.claim.identifier, bob.node.identifier)
        self.assertEqual(relay.claim.host, "memory")
        self.assertIn(str(bob.node.identifier), relay.claim.peer)


class DecisionsTests(RelayTestCase):
    """
    What is said of registrations.
    """

    def test_printable(self) -> None:
        """
        Names of strangers are made fit for a log.
        """
        Decisions().refused("no\nreason", "a\n\x1b[2Jb" * 1000, "somebody")
        [line] = self.lines()
        self.assertTrue(len(line) < 400 and line.isprintable(), line)
