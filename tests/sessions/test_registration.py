"""
Tests for L{ockam_twisted.sessions.registration}.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import CancelledError

from ockam_twisted.errors import ConnectionClosed, EnrollmentRefused, NotAccepted, TimedOut
from ockam_twisted.identity.trust import TrustEveryone, TrustIdentifier
from ockam_twisted.interfaces import ITrustPolicy
from ockam_twisted.relays.client import Registration
from ockam_twisted.relays.service import RelayService
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.attempt import API_TIMEOUT
from ockam_twisted.sessions.life import Established
from ockam_twisted.sessions.registration import RegistrationAttempt
from tests.sessions.test_attempt import AttemptTestCase as _AttemptTestCase


class RegistrationTests(_AttemptTestCase):
    """
    Tests for L{RegistrationAttempt}, at a relay called C{bob}.
    """

    def setUp(self) -> None:
        """
        What is told.
        """
        super().setUp()
        self.reachable: list[str] = []
        self.registered: list[Registration] = []
        self.proven: list[str] = []

    def relay(self, secure: bool, trust: ITrustPolicy | None = None) -> RelayService:
        """
        Make Bob a relay.
        """
        ids = [self.bob.transport.listenerId]
        if secure:
            ids.append(self.bob.listen(trust or TrustEveryone()).flowId)
        service = RelayService(
            router=self.bob.router,
            clock=self.network.clock,
            names=self.bob.store,
            now=self.bob.now,
            consumerIds=tuple(ids),
        )
        service.startService()
        self.addCleanup(service.stopService)
        return service

    def attempt(
        self, name: str | None, secure: bool = True, text: str = "", enrol: Callable[[], Awaitable[None]] | None = None
    ) -> RegistrationAttempt:
        """
        An attempt to come.
        """
        relay: Any = MultiAddr.fromText(text) if text else self.network.endpoint("bob")
        return RegistrationAttempt(
            self.walk, relay, "relay bob", name, self.reachable.append, self.registered.append, self.proven.append,
            secure, enrol=enrol,
        )  # fmt: skip

    def ended(self, made: Established) -> None:
        """
        Close it; nothing of Alice's is left.
        """
        made.close()
        self.network.pump()
        self.assertEqual(set(self.alice.router._mailboxes), self.before)
        self.assertEqual(self.alice.transport.hops, set())

    def test_proven(self) -> None:
        """
        At a relay of ours the identity is proven, the name belongs to it, and
        what is relayed comes over the connection itself.
        """
        service = self.relay(True)
        attempt = self.attempt("shop")
        result = attempt.start()
        self.network.pump()
        made = self.successResultOf(result)
        self.assertEqual(self.proven, [str(self.bob.identifier)])
        self.assertEqual(self.bob.store.owner("shop"), self.alice.identifier)
        [registration] = self.registered
        self.assertTrue(registration.direct)
        self.assertIn("forward_to_shop", made.description)
        self.assertEqual(len(self.reachable), 2)
        self.ended(made)
        self.assertEqual(service.relays, {})

    def test_alongAddress(self) -> None:
        """
        The way to the relay may be a MultiAddr.
        """
        self.relay(True)
        result = self.attempt("shop", text="/dnsaddr/bob/tcp/4000").start()
        self.network.pump()
        self.ended(self.successResultOf(result))

    def test_plain(self) -> None:
        """
        Where nobody answers at C{api} the name is registered without proof,
        and that is said once.
        """
        self.relay(False)
        attempt = self.attempt("shop")
        for _ in range(3):
            result = attempt.start()
            self.network.advance(API_TIMEOUT + 0.5)
            self.ended(self.successResultOf(result))
        self.assertEqual(self.proven, [])
        self.assertFalse(self.registered[0].direct)

    def test_refused(self) -> None:
        """
        A name that belongs to somebody else is not given, and the reason says
        what it may be; at a relay of ours no other name is taken.
        """
        self.relay(True)
        self.network.result(self.bob.store.storeOwner("shop", self.bob.identifier, self.bob.now()))
        attempt = self.attempt("shop")
        for _ in range(4):
            result = attempt.start()
            self.network.advance(11)
            text = self.failureResultOf(result, TimedOut).getErrorMessage()
            self.assertIn("the relay did not register shop: it may belong to somebody else", text)
        self.assertEqual(self.registered, [])
        self.assertEqual(self.alice.transport.hops, set())

    def test_private(self) -> None:
        """
        A relay that accepts members only says so at once, and what is to be
        done about it is said; a ticket that it has refused is the better
        reason.
        """
        self.relay(True, TrustIdentifier(self.bob.identifier))
        result = self.attempt("shop").start()
        self.network.pump()
        text = self.failureResultOf(result, NotAccepted).getErrorMessage()
        self.assertIn("the relay does not accept us: give --relay-ticket", text)
        self.assertEqual((set(self.alice.router._mailboxes), self.alice.transport.hops), (self.before, set()))

        async def enrol() -> None:
            raise EnrollmentRefused("the ticket was used")

        attempt = self.attempt("shop", enrol=enrol)
        for _ in range(2):
            result = attempt.start()
            self.network.pump()
            text = self.failureResultOf(result, EnrollmentRefused).getErrorMessage()
            self.assertEqual(text, "the ticket was used")
        self.assertEqual((set(self.alice.router._mailboxes), self.alice.transport.hops), (self.before, set()))

    def test_lost(self) -> None:
        """
        A relay that ends while it is asked has refused nobody.
        """
        listener = self.bob.listen(TrustEveryone())
        result = self.attempt("shop").start()
        self.network.pump()
        self.assertNoResult(result)
        for channel in list(listener.channels):
            channel.close()
        self.network.pump()
        self.assertNotIsInstance(self.failureResultOf(result, ConnectionClosed).value, NotAccepted)
        self.assertNothingLeft()

    def test_silentRelay(self) -> None:
        """
        A relay that is none of ours and keeps silent about a name twice is
        asked for one of its choice, which is said.
        """
        service = self.relay(False)
        self.network.result(self.bob.store.storeOwner("shop", self.bob.identifier, self.bob.now()))
        attempt = self.attempt("shop")
        for _ in range(2):
            result = attempt.start()
            self.network.advance(API_TIMEOUT + 11)
            self.failureResultOf(result, TimedOut)
        result = attempt.start()
        self.network.advance(API_TIMEOUT + 1)
        made = self.successResultOf(result)
        self.assertIn("does not give the name shop", "\n".join(self.lines()))
        self.assertNotEqual(self.registered[0].name, "shop")
        self.ended(made)
        self.assertEqual(service.relays, {})
        # The next time the name is asked for again.
        self.network.result(self.bob.store.forgetUnused(self.bob.now() + 1))
        result = attempt.start()
        self.network.advance(API_TIMEOUT + 1)
        self.ended(self.successResultOf(result))
        self.assertEqual(self.registered[1].name, "shop")

    def test_ping(self) -> None:
        """
        The relay's echo answers, and that is heard.
        """
        self.relay(True)
        self.bob.inbox("echo", self.bob.transport.listenerId, echo=True)
        result = self.attempt(None).start()
        self.network.pump()
        made = self.successResultOf(result)
        heard = made.heard()
        answer = made.ping(5.0)
        self.network.pump()
        self.successResultOf(answer)
        self.assertNotEqual(made.heard(), heard)
        self.ended(made)

    def test_canceled(self) -> None:
        """
        Whenever it is given up, nothing is left.
        """
        self.relay(True)
        for steps in range(16):
            result = self.attempt("shop").start()
            for _ in range(steps):
                for link in self.network.links:
                    if link.isAlive:
                        link.step()
            if result.called:
                self.successResultOf(result).close()
            else:
                result.cancel()
                self.failureResultOf(result, CancelledError)
            self.network.pump()
            self.assertEqual(set(self.alice.router._mailboxes), self.before)
            self.assertEqual(self.alice.transport.hops, set())
