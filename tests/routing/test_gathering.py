"""
Tests for L{ockam_twisted.routing.gathering}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.routing.gathering import _PATIENCE, _TRIES
from ockam_twisted.routing.turn import Turn
from tests.routing.test_turn import Output, Source


class GatheringTests(SynchronousTestCase):
    """
    Tests for L{Gathering}, in a turn.
    """

    def setUp(self) -> None:
        """
        A turn, the connection of a hop and a socket.
        """
        self.clock = Clock()
        self.turn = Turn()
        self.turn.gather(self.clock)
        self.hop = Output(self.turn)
        self.hop.isShared = True
        self.socket = Output(self.turn)

    def say(self, data: bytes, source: Source | None = None) -> None:
        """
        One turn that sends something over the hop.
        """
        self.turn.enter(source)
        self.hop.write((data,), len(data))
        self.turn.leave()

    def begin(self) -> None:
        """
        Come to where gathering is tried.
        """
        for _ in range(_PATIENCE - 1):
            self.say(b"-", Source())
        self.assertEqual(len(self.hop.sent), _PATIENCE - 1)
        self.hop.sent.clear()
        self.say(b"0", Source())
        self.assertEqual(self.hop.sent, [])
        self.clock.advance(0)
        self.assertEqual(self.hop.sent, [[b"0"]])
        self.hop.sent.clear()

    def test_direct(self) -> None:
        """
        What one socket alone feeds is flushed at once, and calls nothing
        later; nor does what no socket feeds.
        """
        source = Source()
        for n in range(50):
            self.say(b"a", source)
            self.say(b"b")
            self.assertEqual(len(self.hop.sent), 2 * n + 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_together(self) -> None:
        """
        Turns of one pass leave in one piece and in order when the reactor
        comes around, for as long as there are several.
        """
        self.begin()
        for _ in range(3):
            for data in (b"1", b"2", b"3"):
                self.say(data)
            self.assertEqual(self.hop.sent, [])
            self.clock.advance(0)
            self.assertEqual(self.hop.sent, [[b"1", b"2", b"3"]])
            self.hop.sent.clear()

    def test_alone(self) -> None:
        """
        When some passes in a row had one turn only, the next ones flush at
        once again.
        """
        self.begin()
        for _ in range(_TRIES - 1):
            self.say(b"1", Source())
            self.assertEqual(self.hop.sent, [])
            self.clock.advance(0)
            self.assertEqual(self.hop.sent, [[b"1"]])
            self.hop.sent.clear()
        self.say(b"2", Source())
        self.assertEqual(self.hop.sent, [[b"2"]])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_notAlone(self) -> None:
        """
        Passes that have one turn now and then do not count.
        """
        self.begin()
        for _ in range(_TRIES):
            for data in (b"1", b"12"):
                self.hop.sent.clear()
                for each in data:
                    self.say(b"%c" % each, Source())
                self.assertEqual(self.hop.sent, [])
                self.clock.advance(0)
                self.assertEqual(len(self.hop.sent), 1)

    def test_onlyShared(self) -> None:
        """
        A socket with one program behind it is never made to wait.
        """
        self.begin()
        with self.turn:
            self.hop.write((b"1",), 1)
            self.socket.write((b"2",), 1)
        self.assertEqual((self.hop.sent, self.socket.sent), ([], [[b"2"]]))

    def test_outside(self) -> None:
        """
        What is sent outside of a turn is gathered, too: it must not overtake.
        """
        self.begin()
        self.say(b"1")
        self.hop.write((b"2",), 1)
        self.clock.advance(0)
        self.assertEqual(self.hop.sent, [[b"1", b"2"]])

    def test_refuses(self) -> None:
        """
        An output that has collected enough is flushed at once.
        """
        self.begin()
        self.hop.mayWait = False
        self.say(b"1")
        self.assertEqual(self.hop.sent, [[b"1"]])

    def test_holdsBack(self) -> None:
        """
        All sources that fed it in the pass are held back if it is full then,
        and are told at once that they fed it.
        """
        self.begin()
        sources = [Source() for _ in range(3)]
        for each in sources:
            self.say(b"1", each)
        self.assertEqual([each.outputs for each in sources], [[self.hop]] * 3)
        self.hop.full = True
        self.assertEqual(self.hop.held, [])
        self.clock.advance(0)
        self.assertEqual(set(self.hop.held), set(sources))

    def test_exception(self) -> None:
        """
        One that cannot be flushed keeps no other from leaving.
        """
        self.begin()
        other = Output(self.turn)
        other.isShared = True
        self.hop.whenFlushed = lambda: 1 / 0
        with self.turn:
            self.hop.write((b"1",), 1)
            other.write((b"2",), 1)
        self.clock.advance(0)
        self.assertEqual(other.sent, [[b"2"]])
        self.assertEqual(self.turn.depth, 0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
