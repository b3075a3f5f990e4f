"""
Tests for L{ockam_twisted.routing.turn}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from ockam_twisted.interfaces import IBundle, IOutput, ISource
from ockam_twisted.routing.turn import Several, Turn


@implementer(IOutput)
class Output:
    """
    An output that remembers what each flush sent.
    """

    queued = 0
    lost = False
    isShared = False
    mayWait = True

    def __init__(self, turn: Turn, label: str = "a peer") -> None:
        self.turn = turn
        self.label = label
        self.full = False
        self.sent: list[list[bytes]] = []
        self.held: list[object] = []
        self.whenFlushed = lambda: None
        self._pieces: list[bytes] = []
        self._touched = False

    def write(self, pieces, size):
        self._pieces += pieces
        if not self._touched:
            self._touched = True
            self.turn.touch(self)

    def flush(self):
        self._touched = False
        pieces, self._pieces = self._pieces, []
        self.sent.append(pieces)
        self.whenFlushed()

    def postpone(self):
        self._touched = not self.mayWait
        return self.mayWait

    def holdBack(self, source):
        self.held.append(source)

    def loseConnection(self):
        """
        Nothing to lose.
        """

    abortConnection = connectionLost = loseConnection


@implementer(IBundle)
class Bundle:
    """
    A bundle that is written to an output, or to another bundle.
    """

    def __init__(self, turn: Turn, output: Output | Bundle) -> None:
        self.sources: set[object] = set()
        self.turn = turn
        self.output = output
        self.pieces: list[bytes] = []

    def write(self, pieces, size):
        self.sources.add(self.turn.source)
        if not self.pieces:
            self.turn.gather(self)
        self.pieces += pieces

    def send(self):
        pieces, self.pieces = self.pieces, []
        self.output.write((b"".join(pieces),), 1)


@implementer(ISource)
class Source:
    """
    A source that remembers whom it fed.
    """

    def __init__(self) -> None:
        self.outputs: list[object] = []
        self.charged: list[float] = []

    def fed(self, output):
        self.outputs.append(output)

    def pauseFor(self, output):
        """
        Not asked here.
        """

    resumeFor = pauseFor
    servesOthers = owns = pauseFor

    def charge(self, seconds):
        self.charged.append(seconds)

    def checkLiveness(self):
        """
        Not asked here.
        """


class TurnTests(SynchronousTestCase):
    """
    Tests for L{Turn}.
    """

    def setUp(self) -> None:
        """
        A turn and two outputs.
        """
        self.turn = Turn()
        self.one = Output(self.turn)
        self.two = Output(self.turn)

    def test_onceEach(self) -> None:
        """
        What a turn sends leaves each output in one piece, at its end.
        """
        self.turn.enter(None)
        for n in range(3):
            self.one.write((b"%d" % n,), 1)
            self.two.write((b"x",), 1)
        self.assertEqual((self.one.sent, self.two.sent), ([], []))
        self.turn.leave()
        self.assertEqual(self.one.sent, [[b"0", b"1", b"2"]])
        self.assertEqual(self.two.sent, [[b"x", b"x", b"x"]])

    def test_nested(self) -> None:
        """
        Only the outermost of nested entries flushes.
        """
        with self.turn:
            with self.turn:
                self.one.write((b"a",), 1)
                self.assertEqual(self.turn.depth, 2)
            self.assertEqual(self.one.sent, [])
            self.one.write((b"b",), 1)
        self.assertEqual(self.one.sent, [[b"a", b"b"]])
        self.assertEqual(self.turn.depth, 0)

    def test_outside(self) -> None:
        """
        Outside of a turn an output is flushed at once.
        """
        self.one.write((b"a",), 1)
        self.one.write((b"b",), 1)
        self.assertEqual(self.one.sent, [[b"a"], [b"b"]])
        self.assertEqual(self.turn.depth, 0)

    def test_whileFlushing(self) -> None:
        """
        What a flush sends to another output, or through a nested entry,
        leaves before the turn ends.
        """

        def more() -> None:
            with self.turn:
                self.two.write((b"more",), 4)
            self.assertEqual(self.two.sent, [])

        self.one.whenFlushed = more
        with self.turn:
            self.one.write((b"a",), 1)
        self.assertEqual(self.two.sent, [[b"more"]])
        self.assertEqual(self.turn.depth, 0)

    def test_exceptionInLayer(self) -> None:
        """
        When a layer raises, what was sent before leaves all the same, and the
        next turn is like any other.
        """

        def fail() -> None:
            with self.turn:
                with self.turn:
                    self.one.write((b"a",), 1)
                    raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fail)
        self.assertEqual(self.one.sent, [[b"a"]])
        self.assertEqual(self.turn.depth, 0)
        with self.turn:
            self.one.write((b"b",), 1)
            self.assertEqual(len(self.one.sent), 1)
        self.assertEqual(self.one.sent, [[b"a"], [b"b"]])

    def test_exceptionInFlush(self) -> None:
        """
        An output that cannot be flushed is logged and keeps no other from
        leaving.
        """
        self.one.whenFlushed = self.two.whenFlushed = lambda: 1 / 0
        three = Output(self.turn)
        with self.turn:
            for each in (self.one, three, self.two):
                each.write((b"a",), 1)
        self.assertEqual(three.sent, [[b"a"]])
        self.assertEqual(self.turn.depth, 0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_holdsBack(self) -> None:
        """
        The source of the outermost entry is told whom it fed, and is held
        back by those that are full.
        """
        source, other = Source(), Source()
        self.one.full = True
        self.turn.enter(source)
        self.turn.enter(other)
        self.one.write((b"a",), 1)
        self.two.write((b"a",), 1)
        self.turn.leave()
        self.turn.leave()
        self.assertEqual(set(source.outputs), {self.one, self.two})
        self.assertEqual(other.outputs, [])
        self.assertEqual((self.one.held, self.two.held), ([source], []))

    def test_noSource(self) -> None:
        """
        A full output written to outside of a turn, or in one without a
        source, holds nobody back, not the source of an earlier turn either.
        """
        self.turn.enter(Source())
        self.turn.leave()
        self.one.full = True
        self.one.write((b"a",), 1)
        with self.turn:
            self.one.write((b"a",), 1)
        self.assertEqual(self.one.held, [])

    def test_pass(self) -> None:
        """
        Turns of one pass over many sockets share the flush of what many feed,
        unless that has waited long enough; everything else leaves at the end
        of each turn.
        """
        hop, much = Output(self.turn), Output(self.turn)
        hop.isShared = much.isShared = True
        much.mayWait = False
        self.turn.beginPass()
        for data in (b"1", b"2"):
            with self.turn:
                for output in (hop, much, self.one):
                    output.write((data,), 1)
        self.assertEqual((hop.sent, much.sent, self.one.sent), ([], [[b"1"], [b"2"]], [[b"1"], [b"2"]]))
        self.turn.endPass()
        self.assertEqual(b"".join(b"".join(each) for each in hop.sent), b"12")
        self.assertEqual(hop.sent[0], [b"1", b"2"])
        with self.turn:
            hop.write((b"3",), 1)
        self.assertEqual(hop.sent[-1], [b"3"])

    def test_passHoldsBack(self) -> None:
        """
        What is full at the end of a pass holds back all who fed it; who fed it
        from nowhere cannot be held back.
        """
        self.one.isShared = self.one.full = True
        sources = [Source(), Source()]
        self.turn.beginPass()
        for source in (*sources, None):
            self.turn.enter(source)
            self.one.write((b"a",), 1)
            self.turn.leave()
        self.assertEqual(self.one.held, [])
        self.turn.endPass()
        self.assertEqual(self.one.held, sources)

    def test_passFails(self) -> None:
        """
        One that cannot be flushed keeps no other from leaving.
        """
        self.one.isShared = self.two.isShared = True
        self.one.whenFlushed = lambda: 1 / 0
        self.turn.beginPass()
        with self.turn:
            self.one.write((b"a",), 1)
            self.two.write((b"a",), 1)
        self.turn.endPass()
        self.assertEqual(self.two.sent, [[b"a"]])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def bundle(self, bundle: Bundle) -> list[Source]:
        """
        Two sources send by way of it, in one pass.
        """
        sources = [Source(), Source()]
        self.turn.beginPass()
        for source, data in zip((*sources, None), (b"1", b"2", b"3"), strict=True):
            self.turn.enter(source)
            bundle.write((data,), 1)
            self.turn.leave()
        self.assertEqual(self.one.sent, [])
        self.turn.endPass()
        self.assertFalse(self.turn.isPassing)
        return sources

    def test_bundle(self) -> None:
        """
        What was put together in a pass leaves at its end, and counts as fed by
        all whose it was: those are held back.
        """
        self.one.full = True
        for isShared in (True, False):
            self.one.isShared, self.one.sent, self.one.held = isShared, [], []
            sources = self.bundle(Bundle(self.turn, self.one))
            self.assertEqual(b"".join(self.one.sent[0]), b"123")
            self.assertCountEqual(self.one.held, sources)
            self.assertEqual([each.outputs for each in sources], [[self.one]] * 2)

    def test_bundleInBundle(self) -> None:
        """
        The same if it goes into another one first.
        """
        self.one.isShared = self.one.full = True
        sources = self.bundle(Bundle(self.turn, Bundle(self.turn, self.one)))
        self.assertEqual(b"".join(self.one.sent[0]), b"123")
        self.assertCountEqual(self.one.held, sources)

    def test_bundleFails(self) -> None:
        """
        One that cannot be sent keeps no other from leaving.
        """
        bad, good = Bundle(self.turn, self.two), Bundle(self.turn, self.one)
        bad.send = lambda: 1 / 0  # type: ignore[method-assign]
        self.turn.beginPass()
        with self.turn:
            for each in (bad, good, bad):
                each.write((b"a",), 1)
        self.turn.endPass()
        self.assertEqual(self.one.sent, [[b"a"]])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_afterwards(self) -> None:
        """
        What is left for afterwards is done one by one when all has been
        flushed, each with a turn of its own; without a turn, at once.
        """
        done: list[object] = []
        source = Source()

        def first() -> None:
            done.append(self.turn.depth)
            self.turn.enter(source)
            self.one.write((b"b",), 1)
            self.turn.afterwards(lambda: done.append("third"))
            self.turn.leave()
            done.append([*self.one.sent])

        with self.turn, self.turn:
            self.one.write((b"a",), 1)
            self.turn.afterwards(first)
            self.turn.afterwards(lambda: done.append("second"))
        self.assertEqual(done, [0, [[b"a"], [b"b"]], "second", "third"])
        self.assertEqual(source.outputs, [self.one])
        self.turn.afterwards(lambda: done.append("at once"))
        self.assertEqual(done[-1], "at once")

    def test_afterwardsFails(self) -> None:
        """
        One that fails keeps no other from being done.
        """
        done: list[object] = []
        with self.turn:
            self.turn.afterwards(lambda: 1 / 0)
            self.turn.afterwards(lambda: done.append("second"))
        with self.turn:
            self.turn.afterwards(lambda: done.append("third"))
        self.assertEqual(done, ["second", "third"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_severalPayNothing(self) -> None:
        """
        Of what several have sent together nobody can tell who has asked for
        it.
        """
        sources = [Source(), Source()]
        self.turn.enter(Several({*sources}))
        self.turn.source.charge(1.0)
        self.turn.leave()
        self.assertEqual([each.charged for each in sources], [[], []])
