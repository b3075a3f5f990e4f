"""
Tests for L{ockam_twisted.relays.relay}.
"""

from __future__ import annotations

from zope.interface.verify import verifyObject

from ockam_twisted.errors import AddressTaken
from ockam_twisted.identity.trust import TrustIdentifier
from ockam_twisted.interfaces import IFlowReceiver
from ockam_twisted.relays.relay import Probe, Relay
from ockam_twisted.routing.addresses import Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.testing import MemoryNode
from tests.relays.common import RelayTestCase


class RelayTests(RelayTestCase):
    """
    What comes to a name goes on, changed in its routes only.
    """

    def test_interface(self) -> None:
        """
        It takes flows.
        """
        self.anybody("bob").gets("shop")
        [relay] = self.service.relays.values()
        self.assertTrue(verifyObject(IFlowReceiver, relay))

    def test_routes(self) -> None:
        """
        Its own address makes room for the forward route; payload and return
        route stay, and many messages of one flow arrive in order.
        """
        bob = self.anybody("bob").answers()
        bob.gets("shop")
        sender = MemoryNode(self.network, "sender")
        link, inbox = sender.connect(self.relay), sender.inbox("app")
        for number in range(20):
            sender.send(link.route("forward_to_shop", "echo"), bytes([number]), inbox)
            self.network.pump()
        self.assertEqual(inbox.payloads, [bytes([number]) for number in range(20)])
        assert bob.echo is not None
        message = bob.echo.messages[-1]
        self.assertEqual(str(message.onward_route), "0#echo")
        self.assertEqual(len(message.return_route), 3)

    def test_channel(self) -> None:
        """
        A secure channel between two nodes runs over it.
        """
        bob = self.somebody("bob")
        bob.gets("shop", direct=True)
        sender = MemoryNode(self.network, "sender")
        flow = bob.node.router.flowControls.producerId(bob.link.route()[0])
        assert flow is not None
        listener = bob.node.listen(TrustIdentifier(sender.identifier), flow)
        echo = bob.node.inbox("service", listener.flowId, echo=True)
        link, inbox = sender.connect(self.relay), sender.inbox("app")
        channel = self.network.result(
            sender.createChannel(link.route("forward_to_shop", "api"), TrustIdentifier(bob.node.identifier))
        )
        for _ in range(40):
            sender.send(Route((channel.encryptor, echo.address)), b"secret", inbox)
            self.network.pump()
        self.assertEqual(inbox.payloads, [b"secret"] * 40)

    def test_taken(self) -> None:
        """
        Where somebody else is, it does not go.
        """
        self.anybody("bob").gets("shop")
        [relay] = self.service.relays.values()
        twin = Relay(self.relay.router, relay.claim)
        self.assertRaises(AddressTaken, twin.start, (), lambda relay: None)
        # And what did not begin takes nothing away when it ends.
        twin.stop()
        self.assertIs(self.relay.router.worker(relay.claim.address), relay)

    def test_gone(self) -> None:
        """
        If its connection is gone already it is told at once, and leaves
        nothing.
        """
        bob = self.anybody("bob")
        bob.gets("shop")
        [relay] = self.service.relays.values()
        bob.cut()
        gone: list[Relay] = []

        def stop(relay: Relay) -> None:
            gone.append(relay)
            relay.stop()

        late = Relay(self.relay.router, relay.claim)
        late.start((), stop)
        self.assertEqual(gone, [late])
        self.assertNotIn(relay.claim.address, self.relay.router)


class ProbeTests(RelayTestCase):
    """
    Asking whether somebody is there.
    """

    def probe(self, bob: object) -> list[bool]:
        """
        Ask.
        """
        answers: list[bool] = []
        server = bob.link.server.protocol  # type: ignore[attr-defined]
        self.probing = Probe(self.relay.router, self.network.clock, Route((server.address,)), 3.0, answers.append)
        self.network.pump()
        return answers

    def test_answered(self) -> None:
        """
        Who answers is there, once.
        """
        answers = self.probe(self.anybody("bob").answers())
        self.network.advance(5)
        self.assertEqual(answers, [True])

    def test_silent(self) -> None:
        """
        Who says nothing for three seconds is not.
        """
        answers = self.probe(self.anybody("bob"))
        self.assertEqual(answers, [])
        self.network.advance(3.1)
        self.assertEqual(answers, [False])

    def test_stopped(self) -> None:
        """
        Nothing is left of one that is stopped.
        """
        before = len(self.relay.router._mailboxes)
        answers = self.probe(self.anybody("bob"))
        after = len(self.network.clock.getDelayedCalls())
        self.probing.stop()
        self.network.advance(5)
        self.assertEqual(answers, [])
        self.assertLess(len(self.network.clock.getDelayedCalls()), after)
        self.assertEqual(len(self.relay.router._mailboxes), before + 2)

    def test_guess(self) -> None:
        """
        Only the answer that was asked for counts.
        """
        answers = self.probe(self.anybody("bob"))
        message = self.probing
        message.messageReceived(LocalMessage(Route((message._address,)), Route(), b"\x1b" + bytes(8)))
        self.assertEqual(answers, [])
        self.probing.stop()
