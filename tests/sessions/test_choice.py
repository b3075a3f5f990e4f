"""
Tests for L{ockam_twisted.sessions.choice}.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ockam_twisted.errors import NotAccepted, PeerNotTrusted, TimedOut
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.interfaces import IWay
from ockam_twisted.routing.addresses import Route
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.choice import Choice
from ockam_twisted.sessions.destination import Destination, OutletSession
from ockam_twisted.sessions.life import Established
from ockam_twisted.sessions.session import Session
from tests.sessions.common import Attempts, Made

ONE, TWO = Route.of("one"), Route.of("two")


class ChoiceTests(SynchronousTestCase):
    """
    Two outlets of one service.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.routes: list[Route | None] = []
        observe = lambda event: self.lines.append(formatEvent(event))  # noqa: E731
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.make("I1", "I2")
        self.choice.startService()

    def make(self, *peers: str) -> None:
        """
        A choice between so many.
        """
        self.attempts = [Attempts(peer) for peer in peers]

        def sessions() -> list[Session]:
            return [
                Session(self.clock, each, f"way to outlet {number}", lambda low, high: high)
                for number, each in enumerate(self.attempts, 1)
            ]

        self.choice = Choice(sessions)
        self.stopListening = self.choice.changed(self.routes.append)
        self.addCleanup(self.stop, self.choice)

    def stop(self, choice: Choice) -> None:
        """
        Stop what still runs.
        """
        if choice.running:
            choice.stopService()

    def told(self) -> list[Route | None]:
        """
        What the listener was told since it was last asked for.
        """
        told, self.routes[:] = self.routes[:], []
        return told

    def test_interface(self) -> None:
        """
        It is a way.
        """
        self.assertTrue(verifyObject(IWay, self.choice))

    def test_firstUp(self) -> None:
        """
        Who waits gets the first that comes up, whichever that is, and it is
        stayed with.
        """
        waiting = self.choice.whenUp()
        self.attempts[1].succeed("two")
        self.assertEqual(self.successResultOf(waiting), TWO)
        self.attempts[0].succeed("one")
        self.assertEqual(self.choice.route, TWO)
        self.assertEqual(self.successResultOf(self.choice.whenUp()), TWO)
        self.assertEqual(self.choice.why, "")
        self.assertEqual(self.told(), [TWO, ONE])

    def test_down(self) -> None:
        """
        When it goes down new streams go to another one at once; a revived one
        is used again when that one goes.
        """
        first = self.attempts[0].succeed("one")
        second = self.attempts[1].succeed("two")
        self.told()
        first.lost.callback("killed")
        self.assertEqual(self.choice.route, TWO)
        # The streams of the first one do not take that, and wait.
        self.assertEqual(self.told(), [TWO])
        self.clock.advance(0.1)
        self.attempts[0].succeed("one")
        self.assertEqual(self.choice.route, TWO)
        self.assertEqual(self.told(), [ONE])
        second.lost.callback("killed")
        self.assertEqual(self.choice.route, ONE)
        self.assertIn("New streams go over the way to outlet 2: way to outlet 1 is down", self.lines)
        self.assertIn("New streams go over the way to outlet 1: way to outlet 2 is down", self.lines)

    def test_allDown(self) -> None:
        """
        With none left it is down, and says why of each.
        """
        self.assertIn("way to outlet 1: the first attempt is still under way", self.choice.why)
        self.attempts[0].succeed("one").lost.callback("killed")
        self.assertIsNone(self.choice.route)
        self.assertEqual(self.told(), [ONE, None])
        self.assertIn("way to outlet 1: down after 0 s: killed; way to outlet 2: ", self.choice.why)
        self.attempts[1].succeed("two")
        self.assertEqual(self.choice.route, TWO)

    def test_sameOutlet(self) -> None:
        """
        Two ways may turn out to lead to the same outlet.  Its streams are
        left where they are when the other one comes up, and go over that when
        their own is lost.
        """
        self.make("I1", "I1")
        self.choice.startService()
        first = self.attempts[0].succeed("one")
        self.assertEqual(self.told(), [ONE])
        self.attempts[1].succeed("two")
        self.assertEqual(self.told(), [])
        first.lost.callback("killed")
        self.assertEqual(self.told(), [TWO])

    def test_nobodyKnown(self) -> None:
        """
        Where nobody proves who it is nothing is taken for the same.
        """
        self.make("", "")
        self.choice.startService()
        self.attempts[0].succeed("one")
        self.attempts[1].succeed("two")
        self.assertEqual(self.told(), [ONE, TWO])

    def test_suspect(self) -> None:
        """
        A suspicion reaches the outlet that it is about, and new streams go to
        another one from then on; about a route that is gone it reaches
        nobody.
        """
        first = self.attempts[0].succeed("one")
        second = self.attempts[1].succeed("two")
        self.assertEqual((first.pings, second.pings), (1, 1))
        self.choice.suspect("no answer", Route.of("gone"))
        self.choice.suspect("no answer")
        self.assertEqual((first.pings, second.pings), (2, 1))
        self.assertEqual(self.choice.route, TWO)
        self.assertIn("New streams go over the way to outlet 2: way to outlet 1 does not answer", self.lines)
        # Both: it stays where it is.
        self.choice.suspect("no answer", TWO)
        self.assertEqual((first.pings, second.pings), (2, 2))
        self.assertEqual(self.choice.route, TWO)
        first.heard += 1
        self.clock.advance(1)
        self.assertEqual(self.choice.route, ONE)

    def test_suspectOnly(self) -> None:
        """
        The only one that is up stays in use while it is under suspicion.
        """
        made = self.attempts[0].succeed("one")
        self.choice.suspect("no answer")
        self.assertEqual((made.pings, self.choice.route, self.choice.isSuspect), (2, ONE, True))
        made.heard += 1
        self.clock.advance(1)
        self.assertEqual((self.choice.route, self.choice.isSuspect), (ONE, False))

    def test_refused(self) -> None:
        """
        Nobody is kept waiting if every outlet refuses; one of them that is
        merely down is worth waiting for.
        """
        waiting = self.choice.whenUp()
        self.attempts[0].fail(PeerNotTrusted("somebody else"))
        self.assertNoResult(waiting)
        self.attempts[1].fail(NotAccepted("not you"))
        self.assertEqual(self.failureResultOf(waiting, NotAccepted).getErrorMessage(), "somebody else; not you")
        self.clock.advance(0.1)
        self.attempts[0].fail(TimedOut("no"))
        self.attempts[1].fail(NotAccepted("not you"))
        waiting = self.choice.whenUp()
        self.clock.advance(0.2)
        self.attempts[0].succeed("one")
        self.assertEqual(self.successResultOf(waiting), ONE)

    def test_cancel(self) -> None:
        """
        Who gives up waiting leaves nothing behind.
        """
        waiting = self.choice.whenUp()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual([each._waiting for each in self.choice.sessions], [[], []])
        waiting = self.choice.whenUp()
        self.attempts[0].succeed("one")
        self.successResultOf(waiting)
        self.assertEqual([each._waiting for each in self.choice.sessions], [[], []])

    def test_beforeTheStart(self) -> None:
        """
        Clients may come before anything is known of the outlets; one of them
        may have gone again.
        """
        self.make("I1")
        waiting, gone = self.choice.whenUp(), self.choice.whenUp()
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.assertEqual((self.choice.route, self.choice.why), (None, "it has not begun yet"))
        self.choice.suspect("no answer")
        self.choice.startService()
        self.attempts[0].succeed("one")
        self.assertEqual(self.successResultOf(waiting), ONE)

    def test_single(self) -> None:
        """
        With one outlet it is as the session alone, and there is no choice to
        talk about.
        """
        self.make("I1")
        self.choice.startService()
        self.attempts[0].fail(TimedOut("nobody there"))
        self.assertEqual(self.choice.why, "nobody there")
        self.clock.advance(0.1)
        self.attempts[0].succeed("one")
        self.assertEqual(self.choice.route, ONE)
        self.assertFalse([line for line in self.lines if line.startswith("New streams")])

    def test_moved(self) -> None:
        """
        Who listens no more is told nothing; a stop ends everything.
        """
        made = self.attempts[0].succeed("one")
        self.stopListening()
        self.told()
        self.choice.stopService()
        self.assertEqual(self.told(), [])
        self.assertTrue(made.isClosed)
        self.assertIsNone(self.choice.route)


def outlet(clock: Clock, attempts: Attempts, number: int) -> OutletSession:
    """
    The session of one outlet, which is told from others by its number.
    """
    way = MultiAddr.fromText(f"/dnsaddr/outlet/tcp/{4000 + number}/secure/api")
    destination = Destination((way,), TrustEveryone(), f"I{number}")
    return OutletSession(clock, attempts, f"way to outlet {number}", destination)


class Ready(Attempts):
    """
    Attempts that succeed at once.
    """

    def start(self) -> Deferred[Established]:
        started = super().start()
        self.succeed("two")
        return started


class BecomeTests(SynchronousTestCase):
    """
    Who waits while the outlets become others.
    """

    def setUp(self) -> None:
        """
        A choice of outlets 0 and 1, and a client that waits.
        """
        self.clock = Clock()
        self.attempts = [Attempts(f"I{number}") for number in range(4)]
        self.choice = Choice(lambda: self.sessions(0, 1))
        self.choice.startService()
        self.addCleanup(self.choice.stopService)
        self.waiting = self.choice.whenUp()

    def sessions(self, *numbers: int) -> list[OutletSession]:
        """
        Sessions of outlets.
        """
        return [outlet(self.clock, self.attempts[each], each) for each in numbers]

    def become(self, *numbers: int) -> None:
        """
        Lead to these; those that are left are ended.
        """
        for left in self.choice.become(lambda: self.sessions(*numbers), False):
            self.choice.part(left)

    def test_others(self) -> None:
        """
        The new ones serve who has waited for the old ones.
        """
        self.become(2, 3)
        self.assertNoResult(self.waiting)
        self.attempts[3].succeed("three")
        self.assertEqual(self.successResultOf(self.waiting), Route.of("three"))

    def test_oneMore(self) -> None:
        """
        So do those that stay, and the one that has come to them.
        """
        self.become(0, 1, 2)
        other = self.choice.whenUp()
        made = self.attempts[2].succeed("two")
        for each in (self.waiting, other):
            self.assertEqual(self.successResultOf(each), TWO)
        made.lost.callback("killed")
        waiting = self.choice.whenUp()
        self.become(0, 3)
        self.attempts[0].succeed("one")
        self.assertEqual(self.successResultOf(waiting), ONE)

    def test_refused(self) -> None:
        """
        What those that were left have said does not count any more; what
        stays and what is new is waited for until all of them refuse.
        """
        self.attempts[0].fail(NotAccepted("not you"))
        self.become(1, 2)
        self.attempts[1].fail(NotAccepted("nor you"))
        self.assertNoResult(self.waiting)
        self.attempts[2].fail(NotAccepted("nobody"))
        self.assertEqual(self.failureResultOf(self.waiting, NotAccepted).getErrorMessage(), "nor you; nobody")

    def test_atOnce(self) -> None:
        """
        A new one may be up at once, and who is served make others give up.
        """
        other = self.choice.whenUp()
        self.waiting.addCallback(lambda route: other.cancel() or route)
        self.attempts[2] = Ready("I2")
        self.become(2)
        self.assertEqual(self.successResultOf(self.waiting), TWO)
        self.failureResultOf(other, CancelledError)

    def test_cancel(self) -> None:
        """
        Who gives up after that leaves nothing behind anywhere.
        """
        before = self.choice.sessions
        self.become(1, 2)
        self.waiting.cancel()
        self.failureResultOf(self.waiting, CancelledError)
        for each in (*before, *self.choice.sessions):
            self.assertEqual(each._waiting, [])
        self.assertEqual(self.choice._waiting, {})
        self.attempts[2].succeed("two")

    def test_beforeTheStart(self) -> None:
        """
        They may become others before anything has begun.
        """
        choice = Choice(lambda: self.sessions(0))
        waiting = choice.whenUp()
        self.assertEqual(choice.become(lambda: self.sessions(2), False), [])
        choice.startService()
        self.addCleanup(choice.stopService)
        self.attempts[2].succeed("two")
        self.assertEqual(self.successResultOf(waiting), TWO)


class ChoiceMachine(RuleBasedStateMachine):
    """
    Outlets that come and go in any order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.attempts = [Attempts("I1"), Attempts("I2"), Attempts("I1")]
        self.up: dict[int, Made] = {}
        self.count = 0
        self.waiting: list[Deferred[Route]] = []
        self.told: list[Route | None] = []
        self.choice = Choice(lambda: self.make(0, 1, 2))
        self.choice.changed(self.told.append)
        self.choice.startService()
        self.before: Session | None = None

    def make(self, *numbers: int) -> list[OutletSession]:
        """
        A session for each.
        """
        return [outlet(self.clock, self.attempts[each], each) for each in numbers]

    def teardown(self) -> None:
        """
        Stop everything; who still waits gives up.
        """
        for each in self.waiting:
            each.addErrback(lambda failure: failure.trap(CancelledError, NotAccepted) and None)
            each.cancel()
        assert not self.choice._waiting
        assert not any(each._waiting for each in self.choice.sessions)
        self.choice.stopService()
        assert not self.clock.getDelayedCalls()

    @rule(which=st.integers(0, 2))
    def comes(self, which: int) -> None:
        """
        An attempt succeeds.
        """
        if self.attempts[which].isTrying:
            self.count += 1
            self.told.clear()
            peers = {self.attempts[each].peer for each in self.up}
            self.up[which] = self.attempts[which].succeed(f"{which}-{self.count}")
            known = self.attempts[which].peer in peers
            assert self.told == ([] if known else [Route.of(f"{which}-{self.count}")])

    @rule(which=st.integers(0, 2))
    def fails(self, which: int) -> None:
        """
        An attempt fails.
        """
        if self.attempts[which].isTrying:
            self.attempts[which].fail(TimedOut("no"))

    @rule(which=st.integers(0, 2))
    def goes(self, which: int) -> None:
        """
        What was up is lost: who listens hears of those that are left.
        """
        if which in self.up:
            self.told.clear()
            self.up.pop(which).lost.callback("gone")
            left = {each.established.route for each in self.up.values()}
            assert set(self.told) == (left or {None})

    @rule(which=st.integers(0, 2))
    def suspected(self, which: int) -> None:
        """
        Somebody gets no answer.
        """
        if which in self.up:
            self.choice.suspect("no answer", self.up[which].established.route)

    @rule(seconds=st.sampled_from((0.1, 1.0)))
    def answered(self, seconds: float) -> None:
        """
        Time passes, and all that are up are heard.
        """
        for made in self.up.values():
            made.heard += 1
        self.clock.advance(seconds)

    @rule()
    def asked(self) -> None:
        """
        A client waits.
        """
        self.waiting.append(self.choice.whenUp())

    @rule(which=st.lists(st.integers(0, 2), min_size=1, unique=True))
    def becomes(self, which: list[int]) -> None:
        """
        The outlets are others; those that are left are ended.
        """
        for session in self.choice.become(lambda: self.make(*which), False):
            self.choice.part(session)
            assert not session._waiting
        for number in set(self.up) - set(which):
            assert self.up.pop(number).isClosed

    @invariant()
    def usesOneThatIsUp(self) -> None:
        """
        There is a route exactly if an outlet is up, it is left only for a
        reason, and nobody waits who need not.
        """
        routes = [each.established.route for each in self.up.values()]
        route = self.choice.route
        assert (route in routes) if routes else route is None
        assert (self.choice.why == "") == bool(routes)
        chosen = self.choice.chosen
        if self.before is not chosen and self.before is not None:
            assert self.before.route is None or self.before.isSuspect
        if chosen is not None and chosen.isSuspect:
            assert all(each.isSuspect for each in self.choice.sessions if each.route is not None)
        self.before = chosen
        if routes:
            for each in self.waiting:
                assert each.called
            self.waiting.clear()


ChoiceMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


class AnyOrderTests(SynchronousTestCase):
    """
    L{ChoiceMachine}.
    """

    def test_anyOrder(self) -> None:
        """
        Whatever comes and goes, new streams have one that is up.
        """
        run_state_machine_as_test(ChoiceMachine, settings=ChoiceMachine.TestCase.settings)
