"""
Tests for L{ockam_twisted.sessions.attempt}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ockam_twisted.errors import ConnectionClosed, InvalidMultiAddr, PeerNotTrusted, TimedOut, VersionMismatch
from ockam_twisted.identity.trust import TrustEveryone, TrustIdentifier
from ockam_twisted.interfaces import IAttempt, ITrustPolicy
from ockam_twisted.relays.service import RelayService
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.attempt import PATIENCE, SETTLE_TIMEOUT, Walk, WayAttempt
from ockam_twisted.sessions.life import Established
from ockam_twisted.testing import MemoryNetwork, MemoryNode
from ockam_twisted.transports.hop import HopProtocol
from tests.channels.common import ChannelTestCase


class AttemptTestCase(ChannelTestCase):
    """
    Alice tries to get to Bob, whose name is also his host name.
    """

    def setUp(self) -> None:
        """
        Two nodes, and what Alice has at the beginning.
        """
        SynchronousTestCase.setUp(self)
        self.logged = []
        globalLogPublisher.addObserver(self._logged)
        self.addCleanup(globalLogPublisher.removeObserver, self._logged)
        self.network = MemoryNetwork()
        self.alice, self.bob = MemoryNode(self.network, "alice"), MemoryNode(self.network, "bob")
        self.walk = Walk(
            self.alice.router,
            self.network.clock,
            self.alice.transport,
            lambda: self.alice.party,
            lambda road: self.network.endpoint(str(road[0][1])),
        )
        self.before = set(self.alice.router._mailboxes)

    def assertNothingLeft(self) -> None:
        """
        Alice has what she had at the beginning: no connection, no worker, no
        timer.
        """
        self.network.pump()
        self.assertEqual(set(self.alice.router._mailboxes), self.before)
        self.assertEqual(self.alice.transport.hops, set())
        self.network.advance(0)
        self.assertEqual([call for call in self.network.clock.getDelayedCalls() if call.active()], [])

    def try_(self, text: str, trust: Any = None) -> Deferred[Established]:
        """
        Make one attempt.
        """
        attempt = WayAttempt(self.walk, MultiAddr.fromText(text), trust or TrustIdentifier(self.bob.identifier))
        self.assertTrue(verifyObject(IAttempt, attempt))
        result = attempt.start()
        self.network.pump()
        return result


class WayTests(AttemptTestCase):
    """
    Tests for L{WayAttempt} and L{Walk}.
    """

    def reached(self, text: str, *trust: ITrustPolicy) -> Established:
        """
        An attempt that succeeds.
        """
        result = self.try_(text, *trust)
        if not result.called:
            # There is no echo that would show that we are accepted.
            self.network.advance(SETTLE_TIMEOUT)
        return self.successResultOf(result)

    def test_channel(self) -> None:
        """
        The way leads through the channel; the far end's echo answers inside
        it, and is heard.
        """
        listener = self.bob.listen(TrustIdentifier(self.alice.identifier))
        self.bob.inbox("echo", listener.flowId, echo=True)
        made = self.reached("/dnsaddr/bob/tcp/4000/secure/api/service/outlet")
        self.assertEqual(made.route[1], Address.local("outlet"))
        self.assertEqual(self.alice.router.flowControls.producerId(made.route[0]) is not None, True)
        self.assertIn(str(self.bob.identifier), made.description)
        heard = made.heard()
        answer = made.ping(5.0)
        self.network.pump()
        self.assertEqual(len(self.successResultOf(answer)), 9)
        self.assertNotEqual(made.heard(), heard)
        made.close()
        self.network.pump()
        self.assertTrue(made.lost.called)
        self.assertNothingLeft()
        self.assertEqual(listener.channels, {})

    def test_patience(self) -> None:
        """
        What is sent to a relay's name that nobody has yet is lost: the first
        attempts soon give up, later ones wait for ten seconds.
        """
        way = MultiAddr.fromText("/dnsaddr/bob/tcp/4000/service/forward_to_nobody/secure/api")
        waited = []
        for _ in range(5):
            # What was learned outlives the attempt.
            result = WayAttempt(self.walk, way, TrustIdentifier(self.bob.identifier)).start()
            self.network.pump()
            before = self.network.clock.seconds()
            while not result.called:
                self.network.advance(0.5)
            self.failureResultOf(result, TimedOut)
            waited.append(self.network.clock.seconds() - before)
        self.assertEqual(waited, [1.5, 3.0, 6.0, 10.0, 10.0])
        self.assertNothingLeft()

    def test_kept(self) -> None:
        """
        Where nothing that is sent gets lost, the first attempt waits as long as any.
        """
        self.patch(HopProtocol, "isPatient", True)
        result = self.try_("/dnsaddr/bob/tcp/4000/service/forward_to_nobody/secure/api")
        self.network.advance(PATIENCE - 0.1)
        self.assertNoResult(result)
        self.network.advance(0.1)
        self.failureResultOf(result, TimedOut)
        self.assertNothingLeft()

    def test_relayLost(self) -> None:
        """
        What waits at a relay for somebody to come ends with the connection
        to the relay.
        """
        relay = RelayService(
            router=self.bob.router,
            clock=self.network.clock,
            names=self.bob.store,
            now=self.bob.now,
            consumerIds=(self.bob.transport.listenerId,),
        )
        relay.startService()
        result = self.try_("/dnsaddr/bob/tcp/4000/service/forward_to_nobody/secure/api")
        self.network.advance(PATIENCE + 1)
        self.assertNoResult(result)
        self.network.links[-1].cut()
        self.network.pump()
        self.failureResultOf(result, ConnectionClosed)
        relay.stopService()
        self.assertNothingLeft()

    def test_innermost(self) -> None:
        """
        Two channels to the same node, one in the other.
        """
        outer = self.bob.listen(TrustIdentifier(self.alice.identifier))
        self.bob.listen(TrustIdentifier(self.alice.identifier), outer.flowId, name="inner")
        made = self.reached("/dnsaddr/bob/tcp/4000/secure/api/secure/inner/service/outlet")
        self.assertEqual(len(made.route), 2)
        made.close()
        self.assertNothingLeft()
        # Whom to trust is asked at the last one.
        text, other = "/dnsaddr/bob/tcp/4000/secure/api/secure/inner", TrustIdentifier(self.alice.identifier)
        self.failureResultOf(self.try_(text, other), PeerNotTrusted)
        self.assertNothingLeft()

    def test_pinWithoutChannel(self) -> None:
        """
        Where it matters who is at the end there must be a channel: no way
        comes to be without one.
        """
        made = self.try_("/dnsaddr/bob/tcp/4000/service/echo", TrustIdentifier(self.bob.identifier))
        self.failureResultOf(made, InvalidMultiAddr)

    def test_plain(self) -> None:
        """
        Without a channel the connection is the way, and says so.
        """
        made = self.reached("/dnsaddr/bob/tcp/4000/service/outlet", TrustEveryone())
        self.assertIn("without a secure channel", made.description)
        self.network.links[-1].cut()
        self.network.pump()
        self.assertIn("lost", self.successResultOf(made.lost).lower())
        made.close()
        self.assertNothingLeft()

    def test_refused(self) -> None:
        """
        Nobody listens.
        """
        self.failureResultOf(self.try_("/dnsaddr/nobody/tcp/4000/secure/api"), ConnectionRefusedError)
        self.assertNothingLeft()

    def test_otherProtocol(self) -> None:
        """
        The far end speaks something else, or nothing.
        """

        class Web(Protocol):
            def connectionMade(self) -> None:
                self.transport.write(b"HTTP/1.1 400\r\n")  # type: ignore[union-attr]

        self.network.endpoint("web").listen(Factory.forProtocol(Web))
        self.failureResultOf(self.try_("/dnsaddr/web/tcp/4000/secure/api"), VersionMismatch)
        self.assertNothingLeft()
        self.network.endpoint("silent").listen(Factory.forProtocol(Protocol))
        silent = self.try_("/dnsaddr/silent/tcp/4000/secure/api")
        self.assertNoResult(silent)
        self.network.advance(10.5)
        self.failureResultOf(silent, TimedOut)
        self.assertNothingLeft()

    def test_wrongIdentifier(self) -> None:
        """
        Somebody else is there.
        """
        self.bob.listen(TrustEveryone())
        other = TrustIdentifier(self.alice.identifier)
        self.failureResultOf(self.try_("/dnsaddr/bob/tcp/4000/secure/api", other), PeerNotTrusted)
        self.assertNothingLeft()

    def test_noListener(self) -> None:
        """
        Nobody answers a handshake.
        """
        result = self.try_("/dnsaddr/bob/tcp/4000/secure/api")
        self.network.advance(10.5)
        self.assertIn("no answer to a handshake", self.failureResultOf(result, TimedOut).getErrorMessage())
        self.assertNothingLeft()

    def test_addresses(self) -> None:
        """
        What cannot be gone along is said.
        """
        for text in ("/dnsaddr/bob/tcp/4000/service/x/tcp/5000", "/dnsaddr/bob/udp/4000"):
            self.failureResultOf(self.try_(text), InvalidMultiAddr)
            self.assertNothingLeft()

    def test_canceled(self) -> None:
        """
        Whenever it is given up, nothing is left.
        """
        self.bob.listen(TrustIdentifier(self.alice.identifier))
        for steps in range(12):
            attempt = WayAttempt(
                self.walk,
                MultiAddr.fromText("/dnsaddr/bob/tcp/4000/secure/api"),
                TrustIdentifier(self.bob.identifier),
            )
            result = attempt.start()
            for _ in range(steps):
                for link in self.network.links:
                    if link.isAlive:
                        link.step()
            if result.called:
                self.successResultOf(result).close()
            else:
                result.cancel()
                self.failureResultOf(result, CancelledError)
            self.assertNothingLeft()

    def test_lost(self) -> None:
        """
        The end of the channel is the end of the way.
        """
        listener = self.bob.listen(TrustIdentifier(self.alice.identifier))
        made = self.reached("/dnsaddr/bob/tcp/4000/secure/api/service/outlet")
        [theirs] = listener.channels
        theirs.close()
        self.network.pump()
        self.assertIn("the peer has closed it", self.successResultOf(made.lost))
        made.close()
        self.assertNothingLeft()
