"""
Tests for L{ockam_twisted.calendar}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.calendar import NEWEST, NOTED_EVERY, Calendar
from ockam_twisted.storage.memory import MemoryStore


class CalendarTests(SynchronousTestCase):
    """
    Two clocks that may disagree.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.wall = 1000.0
        self.boot = 50.0
        self.store = MemoryStore()
        self.calendar = self.make()
        self.calendar.startService()
        self.called: list[str] = []

    def make(self) -> Calendar:
        """
        A calendar.
        """
        return Calendar(self.clock, lambda: self.wall, lambda: self.boot, self.store)

    def advance(self, wall: float, boot: float | None = None) -> None:
        """
        Let time pass on both clocks, not necessarily the same, and one tick.
        """
        self.wall += wall
        self.boot += wall if boot is None else boot
        self.clock.advance(1)

    def at(self, when: int, name: str = "x") -> None:
        """
        Note that something was called.
        """
        self.calendar.at(when, lambda: self.called.append(name))

    def test_inOrder(self) -> None:
        """
        Deadlines are kept in their order, each once.
        """
        self.at(1020, "b")
        self.at(1010, "a")
        self.advance(9)
        self.assertEqual(self.called, [])
        self.advance(1)
        self.assertEqual(self.called, ["a"])
        self.advance(100)
        self.advance(100)
        self.assertEqual(self.called, ["a", "b"])

    def test_cancelled(self) -> None:
        """
        What was cancelled does not happen.
        """
        cancel = self.calendar.at(1010, lambda: self.called.append("x"))
        cancel()
        cancel()
        self.advance(20)
        self.assertEqual(self.called, [])

    def test_cancelledAreForgotten(self) -> None:
        """
        Who makes and cancels without end costs nothing that lasts.
        """
        self.at(1010, "kept")
        for _ in range(5000):
            self.calendar.at(10**9, lambda: None)()
        self.assertLess(len(self.calendar._waiting), 200)
        self.assertLess(len(self.calendar._byBoot), 200)
        self.advance(20)
        self.assertEqual(self.called, ["kept"])

    def test_suspended(self) -> None:
        """
        After the machine has slept, what is due happens at the first look,
        however little the reactor has seen.
        """
        self.at(2000)
        self.wall += 5000
        self.boot += 5000
        self.clock.advance(1)
        self.assertEqual(self.called, ["x"])

    def test_setBack(self) -> None:
        """
        A wall clock that is set back does not make anything live longer.
        """
        self.at(1100)
        self.advance(-900, 1)
        self.assertEqual(self.called, [])
        self.advance(100)
        self.assertEqual(self.called, ["x"])

    def test_setForward(self) -> None:
        """
        A wall clock that is set forward is believed.
        """
        self.at(1100)
        self.advance(200, 1)
        self.assertEqual(self.called, ["x"])

    def test_told(self) -> None:
        """
        Who depends on the clock is told when it was set back by more than
        clocks may differ, once each time.
        """
        told: list[None] = []
        self.calendar.setBack.append(lambda: told.append(None))
        self.advance(-50, 1)
        self.assertEqual(told, [])
        self.advance(-50, 1)
        self.assertEqual(len(told), 1)
        self.advance(1)
        self.advance(-500, 1)
        self.assertEqual(len(told), 2)

    def test_forwardAndBack(self) -> None:
        """
        A clock that was set forward and is set back again is not believed
        either: it may have been a year for somebody.
        """
        told: list[None] = []
        self.calendar.setBack.append(lambda: told.append(None))
        self.advance(10_000, 1)
        self.advance(-9_998, 1)
        self.assertEqual(len(told), 1)

    def test_acrossRestart(self) -> None:
        """
        The newest time is kept: a clock that is behind it at the next start
        is noticed.
        """
        self.advance(NOTED_EVERY)
        self.assertEqual(self.store.setting(NEWEST), b"%d" % (1000 + NOTED_EVERY))
        self.calendar.stopService()
        told: list[str] = []
        self.wall = 1030.0
        again = self.make()
        again.setBack.append(lambda: told.append("within"))
        again.checkNewest()
        self.assertEqual(told, [])
        self.wall = 500.0
        again = self.make()
        again.setBack.append(lambda: told.append("behind"))
        again.checkNewest()
        self.assertEqual(told, ["behind"])
        # It is a new time from then on.
        again.checkNewest()
        self.assertEqual(told, ["behind"])

    def test_damagedNote(self) -> None:
        """
        A note that is no number is none.
        """
        self.store.storeSetting(NEWEST, b"soon")
        self.calendar.checkNewest()

    def test_stop(self) -> None:
        """
        Stopped, it leaves nothing to be done.
        """
        self.calendar.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
