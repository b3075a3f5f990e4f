"""
Tests for L{ockam_twisted.relays.client}.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import ConnectionClosed, DecodeError, InvalidRelayName, RegistrationRefused, TimedOut
from ockam_twisted.relays.client import FALLBACK, Registration, RelayClient
from ockam_twisted.relays.quotas import DIRECT, EXTENSION
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.testing import Inbox, MemoryNetwork, MemoryNode
from ockam_twisted.wire.relay import encodeRegistration


class ClientTests(SynchronousTestCase):
    """
    A registrant, and a relay whose answers a test writes.
    """

    def setUp(self) -> None:
        """
        Connect them.
        """
        self.network = MemoryNetwork()
        self.bob, self.relay = MemoryNode(self.network, "bob"), MemoryNode(self.network, "relay")
        self.link = self.bob.connect(self.relay)
        ids = self.relay.transport.listenerId
        self.static = self.relay.inbox("static_forwarding_service", ids)
        self.plain = self.relay.inbox("forwarding_service", ids)
        self.workers = len(self.bob.router._mailboxes)

    def register(self, name: str | None, direct: bool = False) -> tuple[RelayClient, Deferred[Registration]]:
        """
        Ask.
        """
        client = RelayClient(self.bob.router, self.network.clock, self.link.route(), name, direct)
        result = client.register()
        self.network.pump()
        return client, result

    def answer(self, asked: Inbox, address: str, text: str, extension: bytes = b"") -> None:
        """
        The relay answers what it was asked last.
        """
        [*_, message] = asked.messages
        self.relay.inbox(address)
        reply = LocalMessage(message.return_route, Route.of(address), encodeRegistration(text, extension))
        with self.relay.router.turn:
            self.relay.router.route(reply, asked.address)
        self.network.pump()

    def assertNothingLeft(self) -> None:
        """
        No worker and no timer.
        """
        self.assertEqual(len(self.bob.router._mailboxes), self.workers)
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_named(self) -> None:
        """
        A name is asked for where a node of ours or of the command takes it.
        """
        client, result = self.register("shop", direct=True)
        self.assertEqual(self.static.payloads, [encodeRegistration("shop", EXTENSION + bytes((DIRECT,)))])
        self.answer(self.static, "forward_to_shop", "forward_to_shop", EXTENSION + bytes((DIRECT,)))
        self.assertEqual(
            self.successResultOf(result), Registration(Address.local("forward_to_shop"), "shop", direct=True)
        )
        self.assertEqual(self.network.clock.getDelayedCalls(), [])
        client.stop()
        self.assertNothingLeft()

    def test_fallback(self) -> None:
        """
        A library relay is asked at its only address, after a while, and gives
        the bare name.
        """
        client, result = self.register("shop")
        self.network.advance(FALLBACK)
        self.assertEqual(self.plain.payloads, [encodeRegistration("shop")])
        self.answer(self.plain, "shop", "shop")
        registration = self.successResultOf(result)
        self.assertEqual((registration.name, registration.direct), ("shop", False))
        client.stop()
        self.assertNothingLeft()

    def test_ephemeral(self) -> None:
        """
        A name of the relay's choice is taken if it can be one.
        """
        client, result = self.register(None)
        self.assertEqual(self.plain.payloads, [encodeRegistration("register")])
        self.answer(self.plain, "forward_to_d41d8cd98f", "forward_to_d41d8cd98f")
        self.assertEqual(self.successResultOf(result).name, "d41d8cd98f")
        client.stop()
        _, result = self.register(None)
        self.answer(self.plain, "echo", "echo")
        self.failureResultOf(result, RegistrationRefused)
        self.assertNothingLeft()

    def test_otherName(self) -> None:
        """
        A relay that gives another name than asked for is not believed.
        """
        for address, text in (("forward_to_cafe", "forward_to_cafe"), ("api", "api"), ("forward_to_shop2", "x")):
            _, result = self.register("shop")
            self.answer(self.static, address, text)
            self.failureResultOf(result, RegistrationRefused)
            self.assertNothingLeft()

    def test_nonsense(self) -> None:
        """
        An answer that does not decode fails.
        """
        _, result = self.register("shop")
        [message] = self.static.messages
        with self.relay.router.turn:
            self.relay.router.route(LocalMessage(message.return_route, Route.of("x"), b"\xff\xff"), self.static.address)
        self.network.pump()
        self.failureResultOf(result, DecodeError)
        self.assertNothingLeft()

    def test_silence(self) -> None:
        """
        No answer within ten seconds is a failure.
        """
        _, result = self.register("shop")
        self.network.advance(10.1)
        self.failureResultOf(result, TimedOut)
        self.assertNothingLeft()

    def test_lost(self) -> None:
        """
        When the connection is lost nobody waits for an answer any more, and
        then there is nobody to ask.
        """
        _, result = self.register("shop")
        self.link.cut()
        self.network.pump()
        self.failureResultOf(result, ConnectionClosed)
        self.workers = len(self.bob.router._mailboxes)
        _, result = self.register("shop")
        self.failureResultOf(result, ConnectionClosed)
        self.assertNothingLeft()

    def test_canceled(self) -> None:
        """
        An attempt that is given up leaves nothing.
        """
        _, result = self.register("shop")
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.assertNothingLeft()

    def test_dangerousNames(self) -> None:
        """
        What would end or hijack a Rust relay is never sent.
        """
        for name in ("a#b", "forwarding_service", "", "register"):
            self.assertRaises(InvalidRelayName, self.register, name)

    def test_relayed(self) -> None:
        """
        What comes through the registrant's own worker goes on, judged by
        where it came from.
        """
        client, result = self.register("shop")
        self.answer(self.static, "forward_to_shop", "forward_to_shop")
        self.successResultOf(result)
        flow = self.bob.router.flowControls.producerId(self.link.route()[0])
        assert flow is not None
        open_, private = self.bob.inbox("open", flow), self.bob.inbox("private")
        [message] = self.static.messages
        for name in ("open", "private"):
            with self.relay.router.turn:
                self.relay.router.route(
                    LocalMessage(message.return_route.append(Address.local(name)), Route.of("sender"), b"through"),
                    self.static.address,
                )
        self.network.pump()
        self.assertEqual((open_.payloads, private.payloads), ([b"through"], []))
        client.stop()
