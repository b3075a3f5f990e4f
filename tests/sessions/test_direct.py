"""
Tests for L{ockam_twisted.sessions.direct}: all that is real, over sockets in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from ockam_twisted.interfaces import IRotation
from ockam_twisted.routing.addresses import Route
from ockam_twisted.sessions.changing import Current
from ockam_twisted.sessions.direct import AGAIN, FIRST, DirectAttempt
from ockam_twisted.sessions.session import Session, State
from ockam_twisted.transports.puncture import PATIENCE, SILENCE
from tests.sessions.direct import DirectTestCase
from tests.transports.nats import MEETING


def middle(low: float, high: float) -> float:
    """
    No chance.
    """
    return (low + high) / 2


class DirectTests(DirectTestCase):
    """
    Alice keeps a way to Bob, and would rather have a direct one.
    """

    def setUp(self) -> None:
        """
        It is not there yet.
        """
        super().setUp()
        self.direct = DirectAttempt(self.walk, self.punctures, Current(self.attempt()), middle)
        self.session = Session(self.network.clock, self.direct, "way", middle)
        self.direct.follow(self.session)
        self.routes: list[Route | None] = []
        self.session.changed(self.routes.append)

    def begin(self, seconds: float = 5.0) -> None:
        """
        Begin, and let time pass.
        """
        self.session.startService()
        self.addCleanup(self.session.stopService)
        self.network.advance(seconds)

    @property
    def description(self) -> str:
        """
        Of what is in use.
        """
        return "" if self.session.established is None else self.session.established.description

    def block(self, isOpen: bool = False) -> None:
        """
        Nothing passes Bob's NAT any more, or again.
        """
        self.nats[1].isOpen = isOpen

    def test_interface(self) -> None:
        """
        It is what a session tries.
        """
        verifyObject(IRotation, self.direct)

    def test_moves(self) -> None:
        """
        First the way that there is; then the direct one, to the same outlet.
        """
        self.begin(FIRST / 2)
        self.assertIn("/dnsaddr/bob/", self.description)
        self.network.advance(3)
        self.assertEqual(self.description, f"directly, udp 203.0.113.1:1000 ({self.bob.identifier})")
        first, second = self.routes
        assert first is not None and second is not None
        self.assertEqual((len(second), second[1:]), (2, first[1:]))
        self.network.advance(10)
        # What was replaced, and is used by nobody, has ended.
        self.assertEqual(len(self.alice.transport.hops), 1)

    def test_breaks(self) -> None:
        """
        When it breaks the first way is used again, and later there is another
        direct one.
        """
        self.begin()
        self.block()
        self.network.advance(SILENCE + 5)
        self.assertIn("/dnsaddr/bob/", self.description)
        self.network.advance(2 * AGAIN)
        self.assertIn("/dnsaddr/bob/", self.description)
        self.block(isOpen=True)
        self.network.advance(4 * AGAIN)
        self.assertIn("directly, udp", self.description)

    def test_brief(self) -> None:
        """
        One that does not last is not looked for again at once, and ever more seldom.
        """
        self.begin()
        for least, most in ((5, 30), (15, 50)):
            self.block()
            self.network.advance(SILENCE + 5)
            self.assertIn("/dnsaddr/bob/", self.description)
            self.block(isOpen=True)
            self.network.advance(least)
            self.assertIn("/dnsaddr/bob/", self.description)
            self.network.advance(most)
            self.assertIn("directly, udp", self.description)

    def test_between(self) -> None:
        """
        If the way is renewed while a direct one comes to be, that one is used all the same.
        """
        self.session.startService()
        self.addCleanup(self.session.stopService)
        for _ in range(40):
            self.network.advance(0.125)
            if self.direct._searching is not None:
                break
        self.session.leave("its keys have been in use for long")
        self.network.advance(30)
        self.assertIn("directly, udp", self.description)

    def test_none(self) -> None:
        """
        Where there is none it is looked for ever more seldom, and the log says why.
        """
        self.block()
        self.begin(0)
        self.network.advance(600)
        found = [each for each in self.logged if each.get("event") == "no-direct-way"]
        self.assertIn(len(found), (5, 6))
        delays = [each["delay"] for each in found]
        self.assertEqual(delays, sorted(delays))
        self.assertIn("no answer", found[0]["reason"])
        self.assertIn("/dnsaddr/bob/", self.description)

    def test_notWanted(self) -> None:
        """
        Without a rendezvous nothing is looked for, until there is one.
        """
        self.punctures.rendezvous = None
        self.begin(60)
        self.assertEqual(self.rendezvous.asked, 0)
        self.punctures.become(MEETING)
        self.network.advance(5)
        self.assertIn("directly, udp", self.description)

    def test_otherRendezvous(self) -> None:
        """
        When somebody else is to be asked that happens at once; when nobody is, no more.
        """
        self.block()
        self.begin(300)
        self.block(isOpen=True)
        self.punctures.become(("198.51.100.66", 4000))
        self.network.advance(60)
        self.assertIn("/dnsaddr/bob/", self.description)
        self.punctures.become(MEETING)
        self.network.advance(5)
        self.assertIn("directly, udp", self.description)
        self.punctures.become(None)
        self.block()
        self.network.advance(SILENCE + 5)
        asked = self.rendezvous.asked
        self.network.advance(700)
        self.assertEqual(self.rendezvous.asked, asked)

    def test_forgotten(self) -> None:
        """
        A direct way that leads to where nobody must go any more is not made anew.
        """
        self.begin()
        self.assertIn("directly, udp", self.description)
        self.direct.forget()
        self.punctures.become(None)
        self.session.leave("the configuration has changed")
        self.network.advance(15)
        self.assertIn("/dnsaddr/bob/", self.description)

    def test_lookup(self) -> None:
        """
        A search that waits for the address of the rendezvous can be given up, too.
        """
        waiting: list[Deferred[str]] = []

        def resolve(name: str) -> Deferred[str]:
            waiting.append(Deferred())
            return waiting[-1]

        nat: Any = self.nats[0]
        nat.resolve = resolve
        self.punctures.rendezvous = ("meeting.example.com", 4000)
        self.session.startService()
        self.network.advance(FIRST + 1)
        self.assertEqual(len(waiting), 1)
        self.session.stopService()
        self.network.advance(60)
        self.assertEqual(len(waiting), 1)
        self.assertEqual(self.alice.transport.hops, set())

    def test_renewedLost(self) -> None:
        """
        If it is lost while it is being renewed the first way is taken at once.
        """
        self.begin()
        self.theirs.rendezvous = None
        self.session.leave("its keys have been in use for long")
        self.network.advance(0.5)
        self.block()
        self.network.advance(SILENCE + 2)
        self.assertIn("/dnsaddr/bob/", self.description)

    def test_renewed(self) -> None:
        """
        A direct way whose keys are old is replaced by another direct one.
        """
        self.begin()
        before: Any = self.session.established
        self.session.leave("its keys have been in use for long")
        self.network.advance(15)
        self.assertIsNot(self.session.established, before)
        self.assertIn("directly, udp", self.description)
        self.assertEqual(self.session.state, State.UP)

    def test_notRenewed(self) -> None:
        """
        If there is no other direct one the first way is used, without a pause.
        """
        self.begin()
        self.theirs.rendezvous = None
        self.session.leave("its keys have been in use for long")
        self.network.advance(PATIENCE + 15)
        self.assertIn("/dnsaddr/bob/", self.description)
        self.assertNotIn(None, self.routes)

    def test_stopped(self) -> None:
        """
        A search that is under way ends with the session, and leaves nothing.
        """
        for seconds in [FIRST + 0.1 * each for each in range(20)]:
            self.session.startService()
            self.network.advance(seconds)
            self.session.stopService()
            self.network.advance(40)
            self.assertEqual(self.alice.transport.hops, set())
            self.assertEqual(self.negotiation.count, 0)

    def test_lostMeanwhile(self) -> None:
        """
        If the way that is asked over is lost, the search begins again over the next one.
        """
        self.begin(FIRST + 0.2)
        [hop] = self.alice.transport.hops
        hop.abortConnection("the test says so")
        self.network.advance(10)
        self.assertIn("directly, udp", self.description)
