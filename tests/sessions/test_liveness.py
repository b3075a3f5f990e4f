"""
Tests for L{ockam_twisted.sessions.liveness}.
"""

from __future__ import annotations

from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.identity.trust import TrustIdentifier
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.sessions.liveness import INTERVAL, PATIENCE, SILENT, TIMEOUT, Liveness
from tests.sessions.test_attempt import AttemptTestCase


class LivenessTests(AttemptTestCase):
    """
    Bob has answered a handshake of Alice; is she still there?
    """

    def setUp(self) -> None:
        """
        The channel.
        """
        super().setUp()
        self.listener = self.bob.listen(TrustIdentifier(self.alice.identifier))
        link = self.alice.connect(self.bob)
        self.link = link
        made = self.alice.createChannel(link.route("api"), TrustIdentifier(self.bob.identifier))
        self.channel = self.network.result(made)
        self.network.pump()
        self.liveness = Liveness(self.bob.router, self.network.clock, lambda: self.bob.party)

    @property
    def theirs(self) -> SecureChannel:
        """
        Bob's side.
        """
        [channel] = self.listener.channels
        return channel

    def test_lives(self) -> None:
        """
        Her echo answers; who asks meanwhile gets the same answer.
        """
        echo = self.alice.inbox("echo", self.channel.flowId, echo=True)
        asked = [self.liveness.ask(self.theirs.encryptor) for _ in range(3)]
        self.network.pump()
        self.assertEqual([self.successResultOf(each) for each in asked], [True] * 3)
        self.assertEqual(len(echo.messages), 1)

    def test_heard(self) -> None:
        """
        Without an echo, whatever else is heard of her will do.
        """
        asked = self.liveness.ask(self.theirs.encryptor)
        self.network.advance(1)
        inbox = self.alice.inbox("app")
        self.alice.send(self.through("nobody"), b"x", inbox)
        self.network.advance(TIMEOUT)
        self.assertTrue(self.successResultOf(asked))

    def through(self, name: str) -> Route:
        """
        To a worker of Bob's, through the channel.
        """
        return Route((self.channel.encryptor, Address.local(name)))

    def test_silent(self) -> None:
        """
        Nothing is heard for three seconds: she is gone.
        """
        self.link.toServer.held = True
        asked = self.liveness.ask(self.theirs.encryptor)
        self.network.advance(TIMEOUT - 0.5)
        self.assertNoResult(asked)
        self.network.advance(1)
        self.assertFalse(self.successResultOf(asked))
        self.assertFalse(self.theirs.hasEnded)

    def test_ended(self) -> None:
        """
        A channel that has ended, or was none.
        """
        encryptor = self.theirs.encryptor
        asked = self.liveness.ask(encryptor)
        self.theirs.close()
        self.network.pump()
        self.assertFalse(self.successResultOf(asked))
        self.assertFalse(self.successResultOf(self.liveness.ask(encryptor)))
        self.assertFalse(self.successResultOf(self.liveness.ask(Address.local("x"))))

    def test_gone(self) -> None:
        """
        It is said that she is gone: if she does not answer, the channel ends;
        if she does, the word was wrong.  Other channels are not asked.
        """
        echo = self.alice.inbox("echo", self.channel.flowId, echo=True)
        theirs, road = self.theirs, self.theirs.road
        self.liveness.gone(road[0], Address.local("somewhere"), "the relay says so")
        self.network.advance(TIMEOUT + 1)
        self.assertEqual(echo.messages, [])
        self.liveness.gone(road[0], road[1], "the relay says so")
        self.network.advance(TIMEOUT + 1)
        self.assertEqual(len(echo.messages), 1)
        self.assertFalse(theirs.hasEnded)
        for _ in range(16):
            self.liveness.gone(road[0], road[1], "the relay says so")
            self.network.advance(0.125)
        self.assertLessEqual(len(echo.messages), 4)
        self.network.advance(2)
        self.link.toServer.held = True
        self.liveness.gone(road[0], road[1], "the relay says so")
        self.network.advance(TIMEOUT + 1)
        self.assertEqual(theirs.reason, "the relay says so, and the peer does not answer")

    def use(self) -> None:
        """
        A stream of Bob's goes through the channel.
        """
        self.addCleanup(self.bob.router.watch(self.theirs.encryptor, lambda: None))
        self.liveness.startService()
        self.addCleanup(self.liveness.stopService)

    def test_patient(self) -> None:
        """
        Over a road that keeps what is sent for who is away, nobody is asked.
        """
        echo = self.alice.inbox("echo", self.channel.flowId, echo=True)
        hop = self.theirs.road[0]
        self.bob.router.peers.connected(hop, lambda: (), isPatient=True)
        self.use()
        self.network.advance(100)
        self.link.toServer.held = True
        self.network.advance(2 * (SILENT + PATIENCE))
        self.assertFalse(self.theirs.hasEnded)
        self.assertEqual(echo.messages, [])
        self.bob.router.peers.disconnected(hop)
        self.assertFalse(self.bob.router.peers.isPatient(self.theirs.road))

    def test_watched(self) -> None:
        """
        Who has answered once, and then is silent, is gone within 90 seconds;
        who is merely slow has one of them to be heard.
        """
        echo = self.alice.inbox("echo", self.channel.flowId, echo=True)
        self.use()
        theirs = self.theirs
        self.network.advance(100)
        self.assertFalse(theirs.hasEnded)
        # Asked at first, and in each silence.
        self.assertLess(len(echo.messages), 7)
        self.link.toServer.held = True
        self.network.advance(PATIENCE - 5)
        self.assertFalse(theirs.hasEnded)
        self.link.toServer.held = False
        self.network.advance(1)
        self.link.toServer.held = True
        self.network.advance(SILENT + PATIENCE + 2 * INTERVAL)
        self.assertIn("nothing was heard", theirs.reason)

    def test_neverAnswers(self) -> None:
        """
        Who never answers is not judged by it, and asked once.
        """
        self.use()
        heard = self.channel.heard
        self.network.advance(200)
        self.assertFalse(self.theirs.hasEnded)
        self.assertEqual(self.channel.heard - heard, 1)

    def test_unused(self) -> None:
        """
        Channels that nothing depends on are left alone.
        """
        heard = self.channel.heard
        self.liveness.startService()
        self.network.advance(100)
        self.assertEqual(self.channel.heard, heard)
        self.liveness.stopService()
