"""
Tests for L{ockam_twisted.sessions.retriever}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import maybeDeferred, succeed
from twisted.internet.error import CannotListenError

from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import AnyTrust, TrustCredential, TrustEveryone, TrustIdentifier, TrustIdentifiers
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.attempt import Walk
from ockam_twisted.sessions.retriever import SETTING, CredentialRetriever, decodePin, encodePin
from ockam_twisted.sessions.session import ATTEMPT_TIMEOUT
from tests.authority.common import BOB, VIA, AuthorityTestCase


class RetrieverTests(AuthorityTestCase):
    """
    Alice's credential of Bob, and what it is worth at Carol's.
    """

    def setUp(self) -> None:
        super().setUp()
        self.listener.stopService()
        self.membership.stopService()
        self.listener = self.answer(isOpen=True)
        self.successResultOf(self.authority.addMember(self.alice.identifier, ((b"team", b"web"),), "test"))
        self.redeemed: list[None] = []

    def retriever(self, node: Any = None, ways: Any = (BOB,), **options: Any) -> CredentialRetriever:
        """
        Start one.
        """
        node = node or self.alice
        made = CredentialRetriever(self.walk(node), node.party, node.store, self.bob.identifier, ways, **options)
        made.startService()
        self.addCleanup(lambda: made.running and made.stopService())
        return made

    def test_fetched(self) -> None:
        """
        It is fetched, presented, kept, and fetched again at half of its life.
        """
        retriever = self.retriever()
        tried = retriever.whenTried()
        self.network.advance(1)
        self.successResultOf(tried)
        first = self.alice.party.credential
        self.assertTrue(first)
        self.assertEqual(self.alice.store.setting(SETTING), first)
        self.assertIn(self.bob.identifier, self.alice.party.authorities)
        self.network.advance(250)
        self.assertEqual(self.alice.party.credential, first)
        self.network.advance(60)
        self.assertNotEqual(self.alice.party.credential, first)
        self.assertEqual(self.alice.transport.hops, set())

    def test_kept(self) -> None:
        """
        At the next start it is there before anybody was asked.
        """
        self.retriever().stopService()
        retriever = self.retriever()
        self.network.advance(1)
        retriever.stopService()
        self.alice.party.credential = b""
        self.bob.transport.stopService()
        again = CredentialRetriever(
            self.walk(self.alice), self.alice.party, self.alice.store, self.bob.identifier, [BOB]
        )
        waiting = again.whenTried()
        self.assertNoResult(waiting)
        again.startService()
        self.addCleanup(again.stopService)
        self.assertTrue(self.alice.party.credential)
        self.successResultOf(waiting)
        self.successResultOf(again.whenTried())

    def test_memberWithRefusedCode(self) -> None:
        """
        A ticket that is refused does not keep a member from its credential,
        and is not presented again.
        """
        self.retriever(code=bytes(32))
        self.network.advance(2)
        self.assertTrue(self.alice.party.credential)

    def test_strangerWithRefusedCode(self) -> None:
        """
        Who is no member is told that the ticket was refused, once.
        """
        self.successResultOf(self.authority.removeMember(self.alice.identifier))
        self.retriever(code=bytes(32))
        self.network.advance(120)
        self.assertEqual(self.alice.party.credential, b"")
        self.assertEqual(self.logged().count("the ticket was refused"), 1)

    def test_expires(self) -> None:
        """
        One that cannot be refreshed is not presented once it has expired.
        """
        self.retriever()
        self.network.advance(1)
        self.successResultOf(self.authority.removeMember(self.alice.identifier))
        self.network.advance(595)
        self.assertTrue(self.alice.party.credential)
        self.network.advance(10)
        self.assertEqual(self.alice.party.credential, b"")
        self.assertEqual(self.logged().count("is no member there"), 1)

    def test_enrols(self) -> None:
        """
        With a code it becomes a member first, once.
        """
        node = self.node("carol")
        code = self.code(((b"team", b"db"),))

        def redeemed() -> Any:
            self.redeemed.append(None)
            return succeed(None)

        self.retriever(node, code=code, redeemed=redeemed)
        self.network.advance(400)
        self.assertEqual(len(self.redeemed), 1)
        self.assertTrue(node.party.credential)

    def test_anotherCode(self) -> None:
        """
        What is kept is presented while a new code is still under way: who has
        that has not lost what it had before.
        """
        first = self.retriever()
        self.network.advance(1)
        first.stopService()
        kept, self.alice.party.credential = self.alice.party.credential, b""
        self.successResultOf(self.authority.removeMember(self.alice.identifier))
        retriever = self.retriever(code=self.code())
        self.successResultOf(retriever.whenTried())
        self.assertEqual(self.alice.party.credential, kept)
        self.network.advance(1)
        self.assertNotIn(self.alice.party.credential, (b"", kept))
        self.assertIsNotNone(self.authority.member(self.alice.identifier))

    def test_clockSetBack(self) -> None:
        """
        A clock that cannot be trusted: what is kept counts no more, and
        another one is fetched at once.
        """
        retriever = self.retriever()
        self.network.advance(1)
        first = self.alice.party.credential
        self.network.advance(2)
        retriever.expire()
        self.assertEqual(self.alice.party.credential, b"")
        self.network.advance(1)
        self.assertNotIn(self.alice.party.credential, (b"", first))

    def test_comesBack(self) -> None:
        """
        An authority that is not there is asked again, with growing delays and
        one line.
        """
        self.network.result(maybeDeferred(self.bob.transport.stopService))
        self.assertNotIn("bob", self.network.ports)
        retriever = self.retriever()
        self.network.advance(100)
        self.successResultOf(retriever.whenTried())
        self.assertEqual(self.logged().count("No credential of"), 1)
        self.bob.transport.listen(self.network.endpoint("bob"))
        self.network.advance(40)
        self.assertTrue(self.alice.party.credential)

    def test_absent(self) -> None:
        """
        An authority that does not come to its relay is not waited for for
        ever: it is asked over the next way.
        """
        self.relay()
        retriever = self.retriever(ways=(VIA, BOB))
        tried = retriever.whenTried()
        self.network.advance(ATTEMPT_TIMEOUT - 1)
        self.assertNoResult(tried)
        self.network.advance(3)
        self.successResultOf(tried)
        self.assertTrue(self.alice.party.credential)
        self.assertEqual(self.alice.transport.hops, set())
        self.assertEqual(self.logged().count("No credential of"), 1)

    def test_comes(self) -> None:
        """
        Nearly all the time somebody waits at the relay, however often in
        vain; so an authority that comes is asked soon.
        """
        relay = self.relay()
        self.retriever(ways=(VIA,))
        self.network.advance(10 * ATTEMPT_TIMEOUT)
        away = 0
        for _ in range(300):
            self.network.advance(1)
            away += not self.alice.transport.hops
        self.assertLess(away, 80)
        self.register(relay)
        self.network.advance(9)
        self.assertTrue(self.alice.party.credential)

    def test_relayLost(self) -> None:
        """
        Whose relay goes while it waits there for the authority is at the
        relay again soon, and gets its credential when the authority comes.
        """
        relay = self.relay()
        retriever = self.retriever(ways=(VIA,))
        self.network.advance(5)
        [link] = self.network.links
        link.cut()
        self.network.pump()
        self.successResultOf(retriever.whenTried())
        self.network.advance(2)
        self.assertEqual(len(self.network.links), 2)
        self.register(relay)
        self.network.advance(1)
        self.assertTrue(self.alice.party.credential)

    def test_stopped(self) -> None:
        """
        A stop while it waits at a relay leaves nothing.
        """
        self.relay()
        retriever = self.retriever(ways=(VIA,))
        self.network.advance(5)
        before = len(self.network.links)
        retriever.stopService()
        self.network.advance(3 * ATTEMPT_TIMEOUT)
        self.assertEqual((self.alice.transport.hops, len(self.network.links)), (set(), before))
        self.assertNotIn("No credential", self.logged())

    def test_unexpected(self) -> None:
        """
        An attempt that fails as none should is in the log, once, and another
        one is made.
        """
        alice, isFree = self.alice, [False]

        def dial(road: Any) -> Any:
            if not isFree[0]:
                raise CannotListenError("", 4000, OSError(98, "in use"))
            return self.network.endpoint(road[0][1])

        walk = Walk(alice.router, self.network.clock, alice.transport, lambda: alice.party, dial)
        retriever = CredentialRetriever(walk, alice.party, alice.store, self.bob.identifier, [BOB])
        retriever.startService()
        self.addCleanup(retriever.stopService)
        self.network.advance(20)
        self.successResultOf(retriever.whenTried())
        self.assertIn("in use", retriever.why)
        self.assertEqual(len(self.flushLoggedErrors(CannotListenError)), 1)
        isFree[0] = True
        self.network.advance(40)
        self.assertTrue(self.alice.party.credential)

    def test_door(self) -> None:
        """
        At a third party the credential opens the door for as long as it
        lasts: refreshed, the channel goes on; not refreshed, it ends at the
        moment that the credential expires.
        """
        carol = self.node("carol")
        carol.calendar.startService()
        self.retriever(carol)
        self.retriever()
        self.network.advance(1)
        trust = AnyTrust(TrustIdentifiers(()), TrustCredential(self.bob.identifier))
        carol.listen(trust)
        hop = self.alice.connect(carol)
        channel = self.network.result(self.alice.createChannel(hop.route("api"), TrustEveryone()))
        self.network.pump()
        self.assertFalse(channel.hasEnded)
        [peer] = carol.router.peers.ofIdentifier(str(self.alice.identifier))
        self.assertEqual((peer.attributes, peer.authority), (((b"team", b"web"),), str(self.bob.identifier)))
        # An hour, in which it is refreshed over the live channel.
        self.network.advance(3600)
        self.assertFalse(channel.hasEnded)
        expires = carol.router.peers.ofIdentifier(str(self.alice.identifier))
        self.assertTrue(expires)
        self.successResultOf(self.authority.removeMember(self.alice.identifier))
        self.network.advance(250)
        self.assertFalse(channel.hasEnded)
        self.network.advance(400)
        self.assertTrue(channel.hasEnded)
        self.assertTrue(channel.wasRefused)

    def test_otherAuthority(self) -> None:
        """
        The credential of another authority opens nothing, nor does one of
        somebody else, nor none.
        """
        carol, mallory = self.node("carol"), self.node("mallory")
        self.retriever()
        self.network.advance(1)
        carol.listen(TrustCredential(mallory.identifier))
        hop = self.alice.connect(carol)
        channel = self.network.result(self.alice.createChannel(hop.route("api"), TrustEveryone()))
        self.network.pump()
        self.assertTrue(channel.wasRefused)
        # Stolen: presented by somebody whose it is not.
        dave = self.node("dave")
        self.retriever(dave)
        self.network.advance(1)
        dave.listen(TrustCredential(self.bob.identifier))
        mallory.party.credential = self.alice.party.credential
        hop = mallory.connect(dave)
        channel = self.network.result(mallory.createChannel(hop.route("api"), TrustEveryone()))
        self.network.pump()
        self.assertTrue(channel.wasRefused)

    def test_outletMustBeOne(self) -> None:
        """
        A member poses as an outlet: its credential does not say that it is
        one, and the inlet does not send a byte.
        """
        from ockam_twisted.authority.admission import outletDemand
        from ockam_twisted.errors import PeerNotTrusted
        from ockam_twisted.policies.policy import Policy

        carol, mallory = self.node("carol"), self.node("mallory")
        self.successResultOf(self.authority.addMember(carol.identifier, ((b"ockam-outlet", b"db"),), "test"))
        self.successResultOf(self.authority.addMember(mallory.identifier, ((b"team", b"db"),), "test"))
        for node in (self.alice, carol, mallory):
            self.retriever(node)
        self.network.advance(1)
        demand = outletDemand(Policy.fromText("(= subject.has_credential true)"), "outlet")
        trust = TrustCredential(self.bob.identifier, demand)
        for node, isAccepted in ((carol, True), (mallory, False)):
            node.listen(TrustIdentifier(self.alice.identifier))
            made = self.alice.createChannel(self.alice.connect(node).route("api"), trust)
            self.network.pump()
            if isAccepted:
                self.successResultOf(made)
            else:
                self.failureResultOf(made, PeerNotTrusted)


class PinTests(AuthorityTestCase):
    """
    What is kept of an authority.
    """

    def test_pin(self) -> None:
        """
        It is read as it was written; what is damaged is none.
        """
        who = Identifier.fromDigest(bytes(32))
        self.assertEqual(decodePin(encodePin(who, [BOB])), (who, (BOB,)))
        for data in (None, b"", b"\x80", b"\x82\x40\x80", b"\x82\x01\x02"):
            self.assertIsNone(decodePin(data))
        self.assertIsInstance(BOB, MultiAddr)
