"""
Tests of L{ockam_twisted.tap.signals}.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.tap.signals import endAtSecondSignal
from tests.memory_reactor import MemoryReactor


class SecondSignalTests(SynchronousTestCase):
    """
    Real signals to this process.
    """

    def setUp(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.reactor: Any = MemoryReactor()
        self.reactor.crash = lambda: self.heard.append(0)
        self.heard: list[int] = []

    def listen(self) -> None:
        """
        Take the place of a reactor's handlers.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: self.heard.append(number))
        endAtSecondSignal(self.reactor)

    def test_second(self) -> None:
        """
        The first signal does what it did; the second one, whichever of the
        two it is, ends the reactor.
        """
        for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)):
            self.heard.clear()
            self.listen()
            os.kill(os.getpid(), first)
            self.assertEqual(self.heard, [first])
            os.kill(os.getpid(), second)
            self.reactor.runCalls()
            self.assertEqual(self.heard, [first, 0])

    def test_notOurs(self) -> None:
        """
        Where nobody handles signals, or Python itself does, they stay as they
        are.
        """
        for before in (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler):
            signal.signal(signal.SIGINT, before)
            endAtSecondSignal(self.reactor)
            self.assertIs(signal.getsignal(signal.SIGINT), before)
