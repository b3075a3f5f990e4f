"""
Tests for L{ockam_twisted.transports.stalls}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from ockam_twisted.interfaces import IOutput, ISource
from ockam_twisted.transports.stalls import (
    DRAIN_SECONDS,
    OWN_SECONDS,
    STALL_RATE,
    STALL_SECONDS,
    STREAM_SECONDS,
    StallWatch,
)


@implementer(IOutput)
class Output:
    """
    An output that is as fast as a test wants it to be.
    """

    full = True
    queued = 1000
    label = "a peer"

    def __init__(self) -> None:
        self.held: set[Source] = set()
        self.sent = 0
        self.losing = False
        self.isResetting = False
        self.isDrained = False
        self.lost = False
        self.patience = STALL_SECONDS
        self.aborted = 0

    def abortConnection(self):
        self.aborted += 1
        self.lost = True
        self.held.clear()

    def write(self, pieces, size):
        """
        Not asked here.
        """

    def flush(self):
        """
        Not asked here.
        """

    def holdBack(self, source):
        """
        Not asked here.
        """

    loseConnection = resetConnection = connectionLost = flush


@implementer(ISource)
class Source:
    """
    A source that serves others, or not.
    """

    def __init__(self, others: bool = False) -> None:
        self.others = others
        self.own = False
        self.isShared = False
        self.looked = 0
        self.whenLooked = lambda: None

    def servesOthers(self, output):
        return self.others

    def owns(self, output):
        return self.own

    def charge(self, seconds):
        """
        Not asked here.
        """

    def checkLiveness(self):
        self.looked += 1
        self.whenLooked()

    def pauseFor(self, output):
        """
        Not asked here.
        """

    resumeFor = fed = pauseFor


class StallWatchTests(SynchronousTestCase):
    """
    Tests for L{StallWatch}.
    """

    def setUp(self) -> None:
        """
        A watch, and an output that holds one source back.
        """
        self.clock = Clock()
        self.watch = StallWatch(self.clock)
        self.output = Output()
        self.source = Source()
        self.output.held.add(self.source)

    def pass_(self, seconds: float, rate: float = 0) -> None:
        """
        Let time pass, in which the output takes so many bytes a second.
        """
        for _ in range(int(seconds * 2)):
            self.output.sent += int(rate / 2)
            self.clock.advance(0.5)

    def test_idle(self) -> None:
        """
        While no output holds anything back there is no timer, and none is
        left when the last one has let go.
        """
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.watch.heldBack(self.output)
        self.pass_(3)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.output.held.clear()
        self.pass_(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.output.held.add(self.source)
        self.watch.heldBack(self.output)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_closes(self) -> None:
        """
        An output that takes nothing while others suffer is closed after 9
        seconds, with one line.
        """
        self.source.others = True
        self.watch.heldBack(self.output)
        self.pass_(STALL_SECONDS - 0.5)
        self.assertEqual(self.output.aborted, 0)
        with capturedLogs() as events:
            self.pass_(20)
        self.assertEqual(self.output.aborted, 1)
        self.assertEqual(len(events), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_patience(self) -> None:
        """
        An output may have less time than others.
        """
        self.source.others = True
        self.output.patience = STREAM_SECONDS
        self.watch.heldBack(self.output)
        self.pass_(STREAM_SECONDS - 0.5)
        self.assertEqual(self.output.aborted, 0)
        self.pass_(1)
        self.assertEqual(self.output.aborted, 1)

    def test_patientForEver(self) -> None:
        """
        What waits for a broker that is away is not closed, whoever waits with it.
        """
        self.output.patience = float("inf")
        self.source.others = self.source.isShared = True
        self.watch.heldBack(self.output)
        for _ in range(3600):
            self.clock.advance(1)
        self.assertEqual(self.output.aborted, 0)

    def test_own(self) -> None:
        """
        Where only the other direction of the same connection suffers, it may
        be somebody behind the peer: it is closed only when nothing has moved
        for 30 seconds.
        """
        self.source.others = self.source.own = True
        self.watch.heldBack(self.output)
        self.pass_(OWN_SECONDS - 1)
        self.assertEqual(self.output.aborted, 0)
        self.pass_(2)
        self.assertEqual(self.output.aborted, 1)

    def test_nobodySuffers(self) -> None:
        """
        An output that holds back only its own sender is left alone, until
        others suffer.
        """
        self.watch.heldBack(self.output)
        self.pass_(1000)
        self.assertEqual(self.output.aborted, 0)
        self.source.others = True
        self.pass_(1)
        self.assertEqual(self.output.aborted, 1)

    def test_shared(self) -> None:
        """
        Nor is it known who else would use a connection that is held back:
        after 30 seconds without any progress the output is closed.
        """
        self.source.isShared = True
        self.watch.heldBack(self.output)
        self.pass_(OWN_SECONDS - 1)
        self.output.sent += 1
        self.pass_(OWN_SECONDS - 1)
        self.assertEqual(self.output.aborted, 0)
        self.pass_(2)
        self.assertEqual(self.output.aborted, 1)

    def test_progress(self) -> None:
        """
        An output that makes progress is never closed, one that is too slow
        is.
        """
        self.source.others = True
        self.watch.heldBack(self.output)
        self.pass_(100, STALL_RATE + 100)
        self.assertEqual(self.output.aborted, 0)
        self.pass_(STALL_SECONDS + 1, STALL_RATE - 1000)
        self.assertEqual(self.output.aborted, 1)

    def test_progressAfterStall(self) -> None:
        """
        What counts are the last seconds: who read nothing for a long time,
        and then reads, is not closed when others begin to suffer.
        """
        self.watch.heldBack(self.output)
        self.pass_(300)
        self.pass_(STALL_SECONDS + 1, STALL_RATE * 2)
        self.source.others = True
        self.pass_(30, STALL_RATE * 2)
        self.assertEqual(self.output.aborted, 0)

    def test_stallAfterProgress(self) -> None:
        """
        Having been fast once is no excuse.
        """
        self.source.others = True
        self.watch.heldBack(self.output)
        self.pass_(5, 100_000_000)
        self.pass_(STALL_SECONDS + 1)
        self.assertEqual(self.output.aborted, 1)

    def test_slept(self) -> None:
        """
        A suspend, or a clock that was set, says nothing of an output: what it
        makes after that counts.
        """
        self.source.others = True
        self.watch.heldBack(self.output)
        for step in (3600.0, -3600.0, 3600.0):
            self.pass_(5, 2 * STALL_RATE)
            self.clock.rightNow += step
            for call in self.clock.getDelayedCalls():
                if step < 0:
                    call.delay(step)
            self.pass_(5, 2 * STALL_RATE)
        self.assertFalse(self.output.aborted)
        self.pass_(STALL_SECONDS + 2)
        self.assertTrue(self.output.aborted)

    def test_letGoInBetween(self) -> None:
        """
        An output that had let go begins anew.
        """
        self.source.others = True
        self.watch.heldBack(self.output)
        self.pass_(8)
        self.output.held.clear()
        self.pass_(2)
        self.output.held.add(self.source)
        self.watch.heldBack(self.output)
        self.pass_(8)
        self.assertEqual(self.output.aborted, 0)
        self.pass_(2)
        self.assertEqual(self.output.aborted, 1)

    def test_draining(self) -> None:
        """
        An output that only drains is dropped after 60 seconds in which
        nothing was taken; the least progress gives it 60 more.
        """
        self.output.held.clear()
        self.output.losing = True
        self.watch.heldBack(self.output)
        self.pass_(DRAIN_SECONDS - 5)
        self.output.sent += 1
        self.pass_(DRAIN_SECONDS - 5)
        self.assertEqual(self.output.aborted, 0)
        with capturedLogs() as events:
            self.pass_(10)
        self.assertEqual(self.output.aborted, 1)
        self.assertEqual(len(events), 1)

    def test_notDraining(self) -> None:
        """
        One that is not to be closed is not dropped for being idle.
        """
        self.watch.heldBack(self.output)
        self.pass_(DRAIN_SECONDS * 3)
        self.assertEqual(self.output.aborted, 0)

    def test_liveness(self) -> None:
        """
        Sources that are held back are looked at once a second.
        """
        self.watch.heldBack(self.output)
        self.pass_(5)
        self.assertEqual(self.source.looked, 5)

    def test_paused(self) -> None:
        """
        A source that nobody reads from is looked at once a second, whether an
        output holds it back or not, until it is read from again.
        """
        self.watch.paused(self.source, self.output)
        self.pass_(5)
        self.assertEqual((self.source.looked, self.output.aborted), (5, 0))
        self.watch.resumed(self.source)
        self.pass_(5)
        self.assertEqual(self.source.looked, 5)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_pausedForEver(self) -> None:
        """
        A source that is never read from again is forgotten with its
        connection; one that raises is logged, and the others looked at.
        """
        self.source.whenLooked = lambda: 1 / 0
        self.watch.paused(self.source, self.output)
        other, output = Source(), Output()
        self.watch.paused(other, output)
        self.pass_(2)
        self.assertEqual(other.looked, 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.output.lost = output.lost = True
        self.pass_(2)
        self.assertEqual(other.looked, 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_sourceGone(self) -> None:
        """
        A source that turns out to be dead, and takes the output with it, is
        no reason to close that once more.
        """
        self.source.others = True
        self.source.whenLooked = self.output.abortConnection
        self.watch.heldBack(self.output)
        self.pass_(20)
        self.assertEqual(self.output.aborted, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_reset(self) -> None:
        """
        An output that is to be reset is, as soon as its peer has what came
        before, and in any case soon.
        """
        for drainedAfter, aborted in ((2, 3), (100, 6)):
            output = Output()
            output.losing = output.isResetting = True
            self.watch.heldBack(output)
            for second in range(1, 10):
                output.isDrained = second > drainedAfter
                self.clock.advance(1)
                self.assertEqual(output.aborted, second >= aborted, second)

    def test_survives(self) -> None:
        """
        A source that raises is logged and keeps no other output from being
        watched.
        """
        self.source.whenLooked = lambda: 1 / 0
        self.watch.heldBack(self.output)
        other = Output()
        other.held.add(Source(others=True))
        self.watch.heldBack(other)
        self.pass_(STALL_SECONDS)
        self.assertEqual(other.aborted, 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), STALL_SECONDS)

    def test_stopped(self) -> None:
        """
        A watch that was stopped looks no more.
        """
        self.source.others = True
        self.watch.startService()
        self.watch.heldBack(self.output)
        self.watch.paused(self.source, self.output)
        self.watch.stopService()
        self.pass_(20)
        self.assertEqual((self.output.aborted, self.source.looked), (0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])
