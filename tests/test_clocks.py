"""
Tests for L{ockam_twisted.clocks}.
"""

from __future__ import annotations

import os
import select
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import Clock, LoopingCall
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from zope.interface.verify import verifyObject

from ockam_twisted.clocks import ClockWatch, sinceBoot, watchWallClock


class SteppedClock(Clock):
    """
    A clock that can be set, with timers that follow it; time goes on beside
    it, too.

    @ivar real: Seconds since the beginning.
    """

    def __init__(self) -> None:
        super().__init__()
        self.real = 0.0
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)

    def advance(self, amount: float) -> None:
        self.real += amount
        super().advance(amount)

    def set(self, step: float) -> None:
        """
        Somebody sets it.
        """
        self.rightNow += step

    def delayed(self) -> None:
        """
        Sorts what was moved, as reactors do.
        """
        self._sortCalls()


class ClockWatchTests(SynchronousTestCase):
    """
    Timers that go on as before.
    """

    def setUp(self) -> None:
        """
        A watch whose descriptor is a pipe.
        """
        self.clock = SteppedClock()
        self.steps = 0
        reading, self.writing = os.pipe2(os.O_NONBLOCK)
        self.addCleanup(os.close, self.writing)
        self.watch = ClockWatch(self.clock, self.stepped, lambda: self.clock.real, lambda: reading)
        self.watch.startService()
        self.assertTrue(verifyObject(IReadDescriptor, self.watch))
        self.assertEqual(self.clock.readers, [self.watch])

    def tearDown(self) -> None:
        """
        Nothing is left open.
        """
        if self.watch.running:
            self.watch.stopService()
        self.assertEqual(self.clock.readers, [])

    def stepped(self) -> None:
        self.steps += 1

    def hear(self) -> None:
        """
        The kernel says that the clock was set.
        """
        os.write(self.writing, bytes(8))
        self.watch.doRead()
        self.clock.delayed()

    def test_back(self) -> None:
        """
        Set back by an hour, what is due in ten seconds is due in ten seconds,
        and what is repeated is repeated.
        """
        fired: list[float] = []
        self.clock.callLater(10, lambda: fired.append(self.clock.real))
        ticks: list[float] = []
        loop = LoopingCall(lambda: ticks.append(self.clock.real))
        loop.clock = self.clock
        loop.start(1.0, now=False)
        self.clock.pump([1.0] * 5)
        self.clock.set(-3600)
        self.hear()
        self.clock.pump([1.0] * 10)
        self.assertEqual(fired, [10.0])
        self.assertGreaterEqual(len(ticks), 14)
        self.assertEqual(self.steps, 1)
        loop.stop()

    def test_forward(self) -> None:
        """
        Set forward, nothing is due too early.
        """
        fired: list[float] = []
        self.clock.callLater(10, lambda: fired.append(self.clock.real))
        self.clock.advance(5)
        self.clock.set(3600)
        self.hear()
        self.clock.advance(4)
        self.assertEqual(fired, [])
        self.clock.advance(1)
        self.assertEqual(fired, [10.0])

    def test_suspended(self) -> None:
        """
        A machine that slept has lost time on both clocks: nothing is moved,
        as deadlines have really passed.  Nor is it by what keeps a clock
        right.
        """
        self.clock.callLater(10, lambda: None)
        self.clock.real += 5
        self.clock.set(5)
        self.hear()
        self.clock.set(0.1)
        self.hear()
        self.assertEqual(self.steps, 0)
        self.assertEqual(self.clock.getDelayedCalls()[0].getTime(), 10)

    def test_shutDown(self) -> None:
        """
        The reactor ends it.
        """
        self.watch.connectionLost(None)
        self.assertEqual(self.watch.fileno(), -1)
        self.assertEqual(self.watch.logPrefix(), "clock")

    def test_none(self) -> None:
        """
        Where the kernel does not tell, nothing happens.
        """

        def refuse() -> int:
            raise OSError("no")

        watch = ClockWatch(self.clock, self.stepped, lambda: self.clock.real, refuse)
        watch.startService()
        watch.stopService()
        ClockWatch(Clock(), self.stepped, lambda: 0.0, refuse).startService()

    def test_kernel(self) -> None:
        """
        With the real kernel: while nobody sets the clock nothing can be read.
        """
        try:
            descriptor = watchWallClock()
        except OSError as error:
            raise SkipTest(f"NOT HERE: {error}") from None
        self.addCleanup(os.close, descriptor)
        self.assertEqual(select.select([descriptor], [], [], 0.05)[0], [])
        self.assertRaises(BlockingIOError, os.read, descriptor, 8)

    def test_reactor(self) -> None:
        """
        What this is about: the clock of the reactor that runs here is the
        wall clock, and the other one is not.
        """
        clock: Any = reactor
        self.assertLess(abs(clock.seconds() - time.time()), 5)
        before = sinceBoot()
        self.assertGreaterEqual(sinceBoot(), before)
