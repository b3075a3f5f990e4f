"""
Tests for L{ockam_twisted.channels.standing}: what is known of a peer changes
while a channel lives.
"""

from __future__ import annotations

from ockam_twisted.channels.standing import BURST, RATE
from ockam_twisted.identity.credentials import VerifiedCredential
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.routing.addresses import Address
from ockam_twisted.testing import EPOCH
from ockam_twisted.wire.channel import ChannelRefresh
from tests.channels.common import ChannelTestCase


class StandingTests(ChannelTestCase):
    """
    Alice's standing at Bob's.
    """

    def setUp(self) -> None:
        super().setUp()
        self.bob.calendar.startService()

    def credential(self, expiresAt: int) -> VerifiedCredential:
        """
        What somebody says of Alice.
        """
        return VerifiedCredential(self.alice.identifier, self.bob.identifier, ((b"a", b"b"),), EPOCH, expiresAt)

    def test_expires(self) -> None:
        """
        Messages carry the attributes until the credential expires, on flows
        that are open too; whoever decides is told.
        """
        mine, theirs = self.channel()
        told: list[Address] = []
        self.bob.router.peers.watch(told.append)
        _, inbox = self.inboxes()
        source = self.alice.inbox("source")
        route = [mine.encryptor, inbox.address]

        def send() -> object:
            from ockam_twisted.routing.addresses import Route

            self.alice.send(Route(route), b"x", source)
            self.network.pump()
            peer = inbox.messages[-1].peerIdentity
            assert peer is not None
            return peer.attributes

        self.assertIsNone(send())
        theirs.standing._replace(self.credential(EPOCH + 60))
        self.assertEqual(send(), ((b"a", b"b"),))
        self.network.advance(50)
        self.assertEqual(send(), ((b"a", b"b"),))
        self.network.advance(15)
        self.assertIsNone(send())
        self.assertEqual(told, [theirs.encryptor, theirs.encryptor])
        self.assertFalse(theirs.hasEnded)

    def test_refreshed(self) -> None:
        """
        One that is refreshed in time does not expire.
        """
        _, theirs = self.channel()
        theirs.standing._replace(self.credential(EPOCH + 60))
        theirs.standing._replace(self.credential(EPOCH + 120))
        self.network.advance(100)
        self.assertIsNotNone(theirs.credential)
        self.network.advance(30)
        self.assertIsNone(theirs.credential)

    def test_tooOften(self) -> None:
        """
        What is presented too often is dropped before it is verified; later
        it counts again.
        """
        mine, theirs = self.channel()
        verified: list[ChannelRefresh] = []

        def verify(identifier: Identifier, message: ChannelRefresh) -> VerifiedCredential | None:
            verified.append(message)
            return None

        theirs.standing._verify = verify

        def present(times: int) -> int:
            for _ in range(times):
                mine.presentCredential(self.alice.party.identity.history.encode(), b"")
            self.network.pump()
            return len(verified)

        self.assertEqual(present(BURST), BURST)
        self.assertEqual(present(10), BURST)
        self.network.advance(3 / RATE)
        self.assertEqual(present(10), BURST + 3)
        self.assertFalse(theirs.hasEnded)
        self.assertEqual(
            self.lines(),
            [f"A record of {self.alice.identifier} was dropped: it presents its credentials too often"],
        )

    def test_end(self) -> None:
        """
        With the channel everything ends.
        """
        _, theirs = self.channel()
        theirs.standing._replace(self.credential(EPOCH + 60))
        theirs.close()
        self.assertEqual(len(self.bob.router.peers), 0)
        self.network.advance(100)
        self.assertEqual(self.lines(), [])


class PartyTests(ChannelTestCase):
    """
    A key is rotated while channels live.
    """

    def test_remembers(self) -> None:
        """
        Who lets everybody in keeps the newest history of those who have
        something there, and refuses an older one: an old key gets nothing.
        """
        from twisted.internet.defer import Deferred

        from ockam_twisted.errors import IdentityRefused
        from ockam_twisted.identity.trust import TrustEveryone

        bob, alice = self.bob.party, self.alice.party
        old = bob.payload(), bob.staticKey()[1]
        self.network.result(Deferred.fromCoroutine(bob.rotate()))
        new = bob.payload(), bob.staticKey()[1]
        everybody = TrustEveryone()
        self.network.result(Deferred.fromCoroutine(alice.verify(*new, everybody)))
        self.assertIsNone(self.alice.store.changeHistory(self.bob.identifier))
        self.network.result(Deferred.fromCoroutine(alice.verify(*old, everybody)))
        alice.remembers = lambda identifier: identifier == self.bob.identifier
        self.network.result(Deferred.fromCoroutine(alice.verify(*new, everybody)))
        refused = Deferred.fromCoroutine(alice.verify(*old, everybody))
        self.failureResultOf(refused, IdentityRefused)

    def test_notStored(self) -> None:
        """
        A newer history that could not be stored is not gone by later on
        either, before it is: after a restart the old key would count again.
        """
        from twisted.internet.defer import Deferred, fail

        from ockam_twisted.errors import StateUnusable
        from ockam_twisted.identity.trust import TrustIdentifier

        bob, alice, store = self.bob.party, self.alice.party, self.alice.store

        def full(identifier: object, history: bytes = b"") -> Deferred[None]:
            return fail(StateUnusable("the disk is full"))

        def verify() -> Deferred[object]:
            proof = bob.payload(), bob.staticKey()[1]
            return Deferred.fromCoroutine(alice.verify(*proof, TrustIdentifier(self.bob.identifier)))

        storing = store.storeChangeHistory
        full_ = self.patch(store, "storeChangeHistory", lambda *both: storing(*both).addCallback(full))
        waiting = self.patch(store, "whenStored", full)
        for _ in range(2):
            self.failureResultOf(verify(), StateUnusable)
        full_.restore(), waiting.restore()
        self.successResultOf(verify())

    def test_rotate(self) -> None:
        """
        The channel goes on, the peer knows the new key, new channels use it,
        and the old one is refused.
        """
        from twisted.internet.defer import Deferred

        from ockam_twisted.errors import IdentityRefused
        from ockam_twisted.identity.trust import TrustIdentifier

        mine, theirs = self.channel()
        old = self.bob.party.identity, self.bob.party.purposeKey
        self.network.result(Deferred.fromCoroutine(self.bob.party.rotate()))
        self.network.pump()
        self.assertFalse(mine.hasEnded or theirs.hasEnded)
        known = self.alice.store.changeHistory(self.bob.identifier)
        self.assertEqual(known, self.bob.party.identity.history.encode())
        again, _ = self.channel()
        self.assertEqual(again.peerIdentifier, self.bob.identifier)
        self.bob.party.identity, self.bob.party.purposeKey = old[0], self.bob.party.purposeKey
        made = self.alice.createChannel(self.hop.route("api"), TrustIdentifier(self.bob.identifier))
        self.network.pump()
        self.assertIn("older", str(self.failureResultOf(made, IdentityRefused).value))
