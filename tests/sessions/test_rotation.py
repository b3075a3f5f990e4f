"""
Tests for L{ockam_twisted.sessions.rotation}.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ockam_twisted.errors import ConnectionClosed, NoRoute, NotAccepted, PeerNotTrusted, TimedOut
from ockam_twisted.interfaces import IAttempt, IRotation
from ockam_twisted.routing.addresses import Route
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.life import Established
from ockam_twisted.sessions.rotation import PATIENCE, Rotation, placeOf
from tests.sessions.common import Attempts, Made

NAMES = ("one", "two", "three")
WAYS = [MultiAddr.fromText(f"/dnsaddr/{name}/tcp/4000/secure/api/service/outlet") for name in NAMES]


class RotationTests(SynchronousTestCase):
    """
    Three ways to one outlet.
    """

    def setUp(self) -> None:
        self.make(3)

    def make(self, count: int) -> None:
        """
        A rotation over so many ways.
        """
        self.clock = Clock()
        self.attempts = {way: Attempts() for way in WAYS[:count]}
        self.rotation = Rotation(self.clock, WAYS[:count], lambda way: self.attempts[way].start())

    def at(self, number: int) -> Attempts:
        """
        The attempts over one way.
        """
        return self.attempts[WAYS[number]]

    def up(self, number: int) -> tuple[Established, Made]:
        """
        An attempt that begins, and succeeds, with the given way.
        """
        result = self.rotation.start()
        self.assertTrue(self.at(number).isTrying)
        made = self.at(number).succeed(NAMES[number])
        return self.successResultOf(result), made

    def counts(self) -> list[int]:
        """
        How often each way was tried.
        """
        return [len(each.tries) for each in self.attempts.values()]

    def assertQuiet(self) -> None:
        """
        No timer is left.
        """
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_interface(self) -> None:
        """
        It is an attempt, and can be told to move on.
        """
        self.assertTrue(verifyObject(IAttempt, self.rotation))
        self.assertTrue(verifyObject(IRotation, self.rotation))

    def test_first(self) -> None:
        """
        The first way is taken where it can be had, and no other is tried.
        """
        established, _ = self.up(0)
        self.assertEqual(established.route, Route.of("one"))
        self.assertEqual(self.counts(), [1, 0, 0])
        self.assertQuiet()

    def test_next(self) -> None:
        """
        A way that fails is followed by the next one at once; what was made
        says why.
        """
        result = self.rotation.start()
        self.at(0).fail(ConnectionRefusedError())
        self.assertTrue(self.at(1).isTrying)
        self.at(1).succeed("two")
        established = self.successResultOf(result)
        self.assertEqual(established.route, Route.of("two"))
        self.assertIn("; one:4000: Connection was refused", established.description)
        self.assertEqual(self.counts(), [1, 1, 0])
        self.assertQuiet()

    def test_silent(self) -> None:
        """
        A way that does not answer does not hold up the others: the next one
        is tried beside it, and the first that succeeds is taken.
        """
        result = self.rotation.start()
        self.clock.advance(PATIENCE)
        self.assertTrue(self.at(1).isTrying)
        self.assertTrue(self.at(0).isTrying)
        self.at(1).succeed("two")
        self.assertEqual(self.successResultOf(result).route, Route.of("two"))
        self.assertEqual(self.at(0).canceled, 1)
        self.assertQuiet()

    def test_slow(self) -> None:
        """
        The first one may still come first.
        """
        result = self.rotation.start()
        self.clock.advance(PATIENCE)
        self.at(0).succeed("one")
        self.assertEqual(self.successResultOf(result).route, Route.of("one"))
        self.assertEqual(self.at(1).canceled, 1)

    def test_twoAtOnce(self) -> None:
        """
        Of two that succeed in the same moment one is ended.
        """
        late = Made("two")

        class Stubborn(Attempts):
            def start(self) -> Deferred[Established]:
                def cancel(waiting: Deferred[Established]) -> None:
                    waiting.callback(late.established)

                self.tries.append(Deferred(cancel))
                return self.tries[-1]

        self.attempts[WAYS[1]] = Stubborn()
        result = self.rotation.start()
        self.clock.advance(PATIENCE)
        self.at(0).succeed("one")
        self.assertEqual(self.successResultOf(result).route, Route.of("one"))
        self.assertTrue(late.isClosed)

    def test_stays(self) -> None:
        """
        The next attempt begins with the way that is in use: a channel may be
        replaced while it is up, and the end of the old one says nothing
        about the way.
        """
        result = self.rotation.start()
        self.at(0).fail(TimedOut("no"))
        old = self.at(1).succeed("two")
        self.successResultOf(result)
        established, _ = self.up(1)
        old.lost.callback("it was replaced")
        self.up(1)
        established.close()
        self.up(1)
        self.assertEqual(self.counts(), [1, 4, 0])

    def test_lost(self) -> None:
        """
        When what is in use has ended the next attempt begins with the next
        way; after the last comes the first.
        """
        for number in (0, 1, 2, 0):
            _, made = self.up(number)
            made.lost.callback("reset by peer")

    def test_closed(self) -> None:
        """
        So it does where nothing is heard any more, and the session ends it.
        It counts once, although closing it is also its end.
        """
        established, made = self.up(0)
        established.close()
        self.assertTrue(made.isClosed)
        self.up(1)

    def test_moveOn(self) -> None:
        """
        What is about to end can be left while it is up: its end, later, says
        nothing about the new one.
        """
        old, _ = self.up(0)
        self.rotation.moveOn()
        self.rotation.moveOn()
        self.up(1)
        old.close()
        self.up(1)

    def test_moveOnFails(self) -> None:
        """
        Where nothing else can be had the old way is tried in the end.
        """
        self.up(0)
        self.rotation.moveOn()
        result = self.rotation.start()
        self.at(1).fail(TimedOut("no"))
        self.at(2).fail(TimedOut("no"))
        self.at(0).succeed("one")
        self.assertEqual(self.successResultOf(result).route, Route.of("one"))

    def test_allFail(self) -> None:
        """
        If no way can be had the reasons of all are said, each once.
        """
        result = self.rotation.start()
        self.at(0).fail(ConnectionRefusedError())
        self.at(1).fail(TimedOut("no answer"))
        self.at(2).fail(ConnectionRefusedError())
        why = self.failureResultOf(result, NoRoute).getErrorMessage()
        self.assertEqual(why, "one:4000, three:4000: Connection was refused by other side.; two:4000: no answer")
        self.assertQuiet()
        result = self.rotation.start()
        self.assertEqual(self.counts(), [2, 1, 1])
        result.cancel()
        self.failureResultOf(result, CancelledError)

    def test_refused(self) -> None:
        """
        That somebody has to do something about it is said only if no way is
        merely down.
        """
        result = self.rotation.start()
        for number in range(3):
            self.at(number).fail(PeerNotTrusted(f"it is another, {number}"))
        self.assertIn("another, 1", self.failureResultOf(result, PeerNotTrusted).getErrorMessage())
        result = self.rotation.start()
        for number in range(3):
            self.at(number).fail(NotAccepted("no") if number else ConnectionClosed("gone"))
        self.failureResultOf(result, NoRoute)

    def test_mistake(self) -> None:
        """
        A mistake of ours is passed on as what it is, for the log.
        """
        result = self.rotation.start()
        for number in range(3):
            self.at(number).fail(ValueError("a bug") if number == 1 else TimedOut("no"))
        self.failureResultOf(result, ValueError)

    def test_single(self) -> None:
        """
        With one way everything is as without, but for where it failed, which
        is said; a refusal is about somebody, and not about a place.
        """
        self.make(1)
        result = self.rotation.start()
        self.at(0).fail(PeerNotTrusted("somebody else"))
        self.assertEqual(self.failureResultOf(result, PeerNotTrusted).getErrorMessage(), "somebody else")
        result = self.rotation.start()
        self.at(0).fail(ConnectionRefusedError())
        why = self.failureResultOf(result, NoRoute).getErrorMessage()
        self.assertEqual(why, "one:4000: Connection was refused by other side.")
        established, _ = self.up(0)
        self.assertEqual(established.description, "one ()")
        established.close()
        self.up(0)

    def test_cancel(self) -> None:
        """
        Giving up gives up everything, also what has begun beside.
        """
        result = self.rotation.start()
        self.clock.advance(PATIENCE)
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.assertEqual([each.canceled for each in self.attempts.values()], [1, 1, 0])
        self.assertQuiet()

    def test_place(self) -> None:
        """
        A way is named by where it begins.
        """
        self.assertEqual(placeOf(WAYS[0]), "one:4000")
        self.assertEqual(placeOf(MultiAddr.fromText("/ip6/::1/tcp/1/secure/api")), "[::1]:1")
        self.assertEqual(placeOf(MultiAddr.fromText("/service/outlet")), "/service/outlet")
