"""
Tests for L{ockam_twisted.relays.service}.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from ockam_twisted.interfaces import IWorker
from ockam_twisted.relays.quotas import RelayQuotas
from ockam_twisted.relays.service import PROBE_TIMEOUT
from ockam_twisted.storage.memory import MemoryStore
from ockam_twisted.wire.relay import encodeRegistration
from tests.decisions import decisions
from tests.relays.common import RelayTestCase


class NameTests(RelayTestCase):
    """
    Who gets which name.
    """

    def test_interface(self) -> None:
        """
        It is a worker.
        """
        self.assertTrue(verifyObject(IWorker, self.service))

    def test_plain(self) -> None:
        """
        Without a channel a name is given too, and leads to its registrant.
        """
        bob = self.anybody("bob")
        self.assertEqual(bob.gets("shop").address.value, b"forward_to_shop")
        self.assertTrue(self.reaches(bob, "shop"))

    def test_ephemeral(self) -> None:
        """
        A name of the relay's choice is new each time.
        """
        bob = self.anybody("bob")
        first, second = bob.gets(None), bob.gets(None)
        self.assertNotEqual(first.name, second.name)
        self.assertTrue(self.reaches(bob, first.name))

    def test_proven(self) -> None:
        """
        A name registered over a channel belongs to that identity; what is
        relayed comes over the connection itself if the registrant asks so.
        """
        bob = self.somebody("bob")
        registration = bob.gets("shop", direct=True)
        self.assertTrue(registration.direct)
        self.assertTrue(self.reaches(bob, "shop"))
        self.assertEqual(self.relay.store.owner("shop"), bob.node.identifier)

    def test_throughTheChannel(self) -> None:
        """
        A registrant that does not ask is reached through its channel.
        """
        bob = self.somebody("bob")
        self.assertFalse(bob.gets("shop").direct)
        self.assertTrue(self.reaches(bob, "shop"))

    def test_gone(self) -> None:
        """
        A connection that dies frees its names, and nothing stays behind.
        """
        bob = self.anybody("bob")
        bob.gets("shop")
        bob.gets(None)
        bob.cut()
        self.assertNothingLeft()
        self.assertEqual(self.service._byHost, {})
        other = self.anybody("other")
        other.gets("shop")
        self.assertTrue(self.reaches(other, "shop"))

    def test_refusedNames(self) -> None:
        """
        Names of services, and what would crash or hijack other relays, are
        given to nobody.
        """
        stranger, somebody = self.anybody("stranger"), self.somebody("somebody")
        for name in ("echo", "api", "forwarding_service", "static_forwarding_service", "a#b", "0#zz", "", "a b", "é"):
            for who in (stranger, somebody):
                who.raw(encodeRegistration(name))
                who.raw(encodeRegistration(name), "static_forwarding_service")
        stranger.raw(b"\xff\xff\xff")
        stranger.raw(encodeRegistration("x" * 65))
        self.assertNothingLeft()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_service(self) -> None:
        """
        A name that a worker of this node has is not given, with or without
        the prefix.
        """
        self.relay.inbox("private")
        self.relay.inbox("forward_to_taken")
        bob = self.anybody("bob")
        bob.isRefused("private")
        bob.isRefused("taken")
        self.assertNothingLeft()

    def test_stop(self) -> None:
        """
        A relay that stops forgets who is there, not what belongs to whom.
        """
        bob, anonymous = self.somebody("bob"), self.anybody("anonymous")
        bob.gets("shop")
        anonymous.gets("other")
        self.service.stopService()
        self.assertNothingLeft()
        self.assertFalse(self.reaches(bob, "shop"))
        self.assertEqual(self.relay.store.owner("shop"), bob.node.identifier)
        self.service.startService()
        bob.gets("shop")
        self.assertTrue(self.reaches(bob, "shop"))


class OwnershipTests(RelayTestCase):
    """
    A name that belongs to somebody is nobody else's.
    """

    def test_theft(self) -> None:
        """
        Neither a stranger nor another identity gets it, while its owner is
        there or not; a thief behind a hop is no other.
        """
        bob, mallory, stranger = self.somebody("bob"), self.somebody("mallory"), self.anybody("stranger")
        bob.gets("shop")
        for _ in range(2):
            mallory.isRefused("shop")
            stranger.isRefused("shop")
            self.network.advance(PROBE_TIMEOUT + 1)
        self.assertTrue(self.reaches(bob, "shop"))
        bob.cut()
        mallory.isRefused("shop")
        stranger.isRefused("shop")
        self.assertFalse(self.reaches(mallory, "shop"))
        again = self.somebody("bob", bob.node)
        again.gets("shop")
        self.assertTrue(self.reaches(again, "shop"))

    def test_identifier(self) -> None:
        """
        A name that is an identifier is that identity's from the beginning,
        however it is written.
        """
        bob, mallory, stranger = self.somebody("bob"), self.somebody("mallory"), self.anybody("stranger")
        name = str(bob.node.identifier)
        for text in (name, name.upper(), "i" + name[1:]):
            mallory.isRefused(text)
            stranger.isRefused(text)
        bob.gets(name)
        self.assertTrue(self.reaches(bob, name))
        # Nothing has to be remembered for that.
        self.assertEqual(self.relay.store.count(), 0)

    def test_comesBack(self) -> None:
        """
        The owner takes its name at once, also while its old connection has
        not been found dead.
        """
        bob = self.somebody("bob")
        again = self.somebody("bob", bob.node)
        made = decisions(self)
        bob.gets("shop")
        again.gets("shop")
        self.assertTrue(self.reaches(again, "shop"))
        self.assertEqual(
            [each[:2] for each in made],
            [("name-given", "allowed"), ("name-taken-over", "changed"), ("name-given", "allowed")],
        )
        # The end of the old one changes nothing.
        bob.cut()
        self.assertTrue(self.reaches(again, "shop"))

    def test_stored(self) -> None:
        """
        Nobody is told of a name before it is safe on disk; meanwhile nobody
        else gets it.
        """
        waiting: list[Deferred[None]] = []
        store = self.relay.store
        storeOwner = store.storeOwner

        def late(name: str, identifier: object, now: int) -> Deferred[None]:
            deferred: Deferred[None] = Deferred()
            deferred.addCallback(lambda _: storeOwner(name, identifier, now))  # type: ignore[arg-type]
            waiting.append(deferred)
            return deferred

        self.patch(store, "storeOwner", late)
        bob, mallory = self.somebody("bob"), self.somebody("mallory")
        result = bob.ask("shop")
        self.assertNoResult(result)
        mallory.isRefused("shop")
        self.assertEqual(len(waiting), 1)
        waiting[0].callback(None)
        self.network.pump()
        self.successResultOf(result)
        self.assertTrue(self.reaches(bob, "shop"))

    def test_goneWhileStoring(self) -> None:
        """
        Whose connection is lost before its name is safe owns it all the same,
        and nothing is left in use.
        """
        stored: Deferred[None] = Deferred()
        self.patch(self.relay.store, "storeOwner", lambda *arguments: stored)
        bob = self.somebody("bob")
        bob.ask("shop").addErrback(lambda failure: None)
        bob.cut()
        stored.callback(None)
        self.network.pump()
        self.assertNothingLeft()

    def test_notStored(self) -> None:
        """
        A name that cannot be stored is not given; the next one who asks may
        have it.
        """
        failing: list[Deferred[None]] = [Deferred()]
        self.patch(self.relay.store, "storeOwner", lambda *arguments: failing[0])
        bob = self.somebody("bob")
        result = bob.ask("shop")
        failing[0].errback(Failure(OSError("the disk is full")))
        self.network.pump()
        self.assertNoResult(result)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertNothingLeft()
        failing[0] = Deferred()
        failing[0].callback(None)
        self.somebody("other").gets("shop")
        result.addErrback(lambda failure: None)

    def test_stopWhileStoring(self) -> None:
        """
        A relay that stops meanwhile gives no name any more.
        """
        stored: Deferred[None] = Deferred()
        self.patch(self.relay.store, "storeOwner", lambda *arguments: stored)
        bob = self.somebody("bob")
        result = bob.ask("shop")
        self.service.stopService()
        stored.callback(None)
        self.network.pump()
        self.assertNoResult(result)
        self.assertNothingLeft()
        result.addErrback(lambda failure: None)

    def test_forgotten(self) -> None:
        """
        A name not used for long is free again; one that is in use never is.
        """
        bob, carol = self.somebody("bob"), self.somebody("carol")
        bob.gets("shop")
        carol.gets("cafe")
        bob.cut()
        for _ in range(32):
            self.network.clock.advance(24 * 3600)
        self.assertIsNone(self.relay.store.owner("shop"))
        self.assertEqual(self.relay.store.owner("cafe"), carol.node.identifier)
        self.assertNotIn("shop", self.service._noted)


class AnonymousTests(RelayTestCase):
    """
    Names that belong to nobody.
    """

    def test_sameSource(self) -> None:
        """
        From the same source the latest registration counts: that is how
        nodes come back that cannot prove who they are.
        """
        bob = self.anybody("bob")
        bob.gets("shop")
        again = self.anybody("bob again")
        again.gets("shop")
        self.assertTrue(self.reaches(again, "shop"))

    def other(self, name: str) -> object:
        """
        Somebody at another source address.
        """
        registrant = self.anybody(name)
        for hop in self.relay.transport.hops:
            if hop.address == registrant.link.server.protocol.address:
                hop.peer = "192.0.2.77:1"
        return registrant

    def test_lives(self) -> None:
        """
        From elsewhere nobody gets it while its registrant answers an echo.
        """
        bob = self.anybody("bob").answers()
        bob.gets("shop")
        thief = self.other("thief")
        thief.isRefused("shop")  # type: ignore[attr-defined]
        self.network.advance(PROBE_TIMEOUT + 1)
        self.assertTrue(self.reaches(bob, "shop"))
        self.assertEqual(self.service._probes, {})

    def test_dead(self) -> None:
        """
        One that answered once and does not any more is replaced after it was
        asked in vain.
        """
        bob = self.anybody("bob").answers()
        bob.gets("shop")
        self.network.advance(1)
        bob.link.toServer.held = True
        heir = self.other("heir")
        result = heir.ask("shop")  # type: ignore[attr-defined]
        self.assertNoResult(result)
        self.network.advance(PROBE_TIMEOUT + 0.5)
        self.successResultOf(result)
        self.assertTrue(self.reaches(heir, "shop"))  # type: ignore[arg-type]
        self.assertEqual(self.service._probes, {})

    def test_neverAnswered(self) -> None:
        """
        One that has no echo is not taken for dead because of that.
        """
        bob = self.anybody("bob")
        bob.gets("shop")
        self.network.advance(PROBE_TIMEOUT + 1)
        thief = self.other("thief")
        thief.isRefused("shop")  # type: ignore[attr-defined]
        self.network.advance(PROBE_TIMEOUT + 1)
        bob.answers()
        self.assertTrue(self.reaches(bob, "shop"))

    def test_identityTakesNothing(self) -> None:
        """
        Neither does somebody with an identity take a name from a registrant
        that lives.
        """
        bob = self.anybody("bob").answers()
        bob.gets("shop")
        mallory = self.somebody("mallory")
        for hop in self.relay.transport.hops:
            if hop.address == mallory.link.server.protocol.address:
                hop.peer = "192.0.2.77:1"
        mallory.isRefused("shop")
        self.network.advance(PROBE_TIMEOUT + 1)
        self.assertTrue(self.reaches(bob, "shop"))

    def test_stopWhileAsking(self) -> None:
        """
        A relay that stops asks nobody any more.
        """
        bob = self.anybody("bob").answers()
        bob.gets("shop")
        bob.link.toServer.held = True
        self.other("heir").ask("shop").addErrback(lambda failure: None)  # type: ignore[attr-defined]
        self.service.stopService()
        self.assertNothingLeft()
        self.network.advance(60)
        self.assertNothingLeft()


class FightTests(RelayTestCase):
    """
    Two processes of one identity.
    """

    def test_slowsDown(self) -> None:
        """
        Who takes a name again and again waits ever longer, gets it in the
        end, and a later one replaces the one that waits.
        """
        bob = self.somebody("bob")
        bob.gets("shop")
        others = [self.somebody("bob", bob.node) for _ in range(6)]
        for other in others[:3]:
            other.gets("shop")
        fourth = others[3].ask("shop")
        self.assertNoResult(fourth)
        fifth = others[4].ask("shop")
        self.assertNoResult(fifth)
        self.assertEqual(len(self.service._fights.waiting), 1)
        self.network.advance(1.5)
        self.successResultOf(fifth)
        self.assertNoResult(fourth)
        self.assertTrue(self.reaches(others[4], "shop"))
        self.assertIn("take the relay name shop from each other", "".join(self.lines()))
        fourth.addErrback(lambda failure: None)
        # After a quiet minute there is no fight any more.
        self.network.advance(61)
        others[5].gets("shop")

    def test_goneWhileWaiting(self) -> None:
        """
        One whose connection is lost while it waits gets nothing, and the
        other one keeps the name.
        """
        bob = self.somebody("bob")
        bob.gets("shop")
        others = [self.somebody("bob", bob.node) for _ in range(4)]
        for other in others[:3]:
            other.gets("shop")
        others[3].ask("shop").addErrback(lambda failure: None)
        others[3].cut()
        self.network.advance(10)
        self.assertEqual(self.service._fights.waiting, {})
        self.assertTrue(self.reaches(others[2], "shop"))

    def test_stopWhileWaiting(self) -> None:
        """
        A relay that stops lets nobody wait.
        """
        bob = self.somebody("bob")
        bob.gets("shop")
        others = [self.somebody("bob", bob.node) for _ in range(4)]
        for other in others[:3]:
            other.gets("shop")
        others[3].ask("shop").addErrback(lambda failure: None)
        self.service.stopService()
        self.assertNothingLeft()

    def test_again(self) -> None:
        """
        Registering again over the same connection is no fight.
        """
        bob = self.somebody("bob")
        for _ in range(20):
            bob.gets("shop")
        self.assertEqual(self.lines(), [])


class QuotaTests(RelayTestCase):
    """
    How many names there may be.
    """

    quotas = RelayQuotas(perIdentity=2, perHost=4, perConnection=3, total=6)

    def test_connection(self) -> None:
        """
        One connection has a few; those it has it may register again.
        """
        bob = self.anybody("bob")
        for name in ("a", "b", "c"):
            bob.gets(name)
        bob.isRefused("d")
        bob.gets("a")
        bob.cut()
        self.assertNothingLeft()

    def test_identity(self) -> None:
        """
        One identity has a few, whether it uses them now or not, beside its
        own identifier.
        """
        bob = self.somebody("bob")
        bob.gets("a")
        bob.gets("b")
        again = self.somebody("bob", bob.node)
        again.isRefused("c")
        again.gets(str(bob.node.identifier))
        again.gets("a")

    def test_host(self) -> None:
        """
        One source address has a few in all; whoever comes with a name that
        belongs to it, or is its own identifier, is not disturbed by others
        that use it up.
        """
        bob = self.somebody("bob")
        bob.gets("mine")
        bob.cut()
        stranger, other = self.anybody("stranger"), self.anybody("other")
        stranger.gets("a")
        stranger.gets("b")
        other.gets("c")
        other.isRefused("d")
        again = self.somebody("bob", bob.node)
        again.gets("mine")
        again.gets(str(bob.node.identifier))

    def test_bothFamilies(self) -> None:
        """
        IPv4 hosts that are seen through a socket of both families are one source each; the hosts
        of an IPv6 network are one.
        """
        everybody = [self.anybody(f"somebody {number}") for number in range(5)]
        for number, one in enumerate(everybody):
            one.link.server.protocol.peer = f"::ffff:192.0.2.{number}:1"
            one.gets(f"name{number}")
        for one in everybody:
            one.cut()
        for number in range(5):
            one = self.anybody(f"neighbour {number}")
            one.link.server.protocol.peer = f"2001:db8::{number}:1"
            if number < 4:
                one.gets(f"other{number}")
            else:
                one.isRefused("more")
                one.link.server.protocol.peer = "2001:db8:0:1::1:1"
                one.gets("more")

    def test_total(self) -> None:
        """
        All together have so many, whoever they are.
        """
        everybody = []
        for number in range(7):
            one = self.anybody(f"somebody {number}")
            for hop in self.relay.transport.hops:
                if hop.address == one.link.server.protocol.address:
                    hop.peer = f"192.0.2.{number}:1"
            everybody.append(one)
        for number, one in enumerate(everybody[:6]):
            one.gets(f"name{number}")
        everybody[6].isRefused("more")
        everybody[0].cut()
        everybody[6].gets("more")


class AuthorizedTests(RelayTestCase):
    """
    A relay for some only.
    """

    def setUp(self) -> None:
        """
        Bob may register.
        """
        super().setUp()
        self.service.stopService()
        self.bob = self.somebody("bob")
        self.authorized = {str(self.bob.node.identifier), self.bob.node.identifier}
        self.service = self.makeService(MemoryStore())
        self.service.startService()

    def test_authorized(self) -> None:
        """
        Nobody else gets any name, not even one of the relay's choice.
        """
        for other in (self.somebody("mallory"), self.anybody("stranger")):
            other.isRefused("shop")
            other.raw(encodeRegistration("register"))
        self.assertNothingLeft()
        self.bob.gets("shop")
        self.assertIn("this identity is not authorized", "".join(self.lines()))

    def test_change(self) -> None:
        """
        Who may not register any more loses the name, with or without an
        identity, and who may now does not have to ask for long.
        """
        self.bob.gets("shop")
        mallory, stranger = self.somebody("mallory"), self.anybody("stranger")
        self.service.change(None, None)
        stranger.gets("corner")
        mallory.gets("bar")
        self.assertEqual(len(self.service.relays), 3)
        self.service.change([str(mallory.node.identifier)], None)
        self.assertEqual([str(each.claim.name) for each in self.service.relays.values()], ["bar"])
        self.bob.isRefused("shop")
