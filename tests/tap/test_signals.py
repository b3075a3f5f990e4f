"""
Tests of L{ockam_twisted.tap.signals}.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.tap import signals
from ockam_twisted.tap.signals import endAtSecondSignal, rereadAtHangup
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


class HangupTests(SynchronousTestCase):
    """
    SIGHUP to this process.
    """

    def setUp(self) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        self.reactor = MemoryReactor()
        self.count = 0

    def reload(self) -> Deferred[Any]:
        """
        Count it; what went wrong was logged.
        """
        self.count += 1
        return fail(ValueError("it was logged"))

    def test_reload(self) -> None:
        """
        Each one has the configuration read again.
        """
        self.patch(signals, "_hasTerminal", lambda: False)
        rereadAtHangup(self.reactor, self.reload)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            self.reactor.runCalls()
        self.assertEqual((self.count, self.reactor.stops), (2, 0))

    def test_terminal(self) -> None:
        """
        Of a process whose terminal was closed it is the end, as it always
        was.
        """
        has = [True, True, False]
        self.patch(signals, "_hasTerminal", lambda: has.pop(0))
        rereadAtHangup(self.reactor, self.reload)
        for expected in ((1, 0), (1, 1)):
            os.kill(os.getpid(), signal.SIGHUP)
            self.reactor.runCalls()
            self.assertEqual((self.count, self.reactor.stops), expected)

    def test_notOurs(self) -> None:
        """
        A reactor that handles no signals is somebody else's, and so is this
        one.
        """
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        before = signal.getsignal(signal.SIGHUP)
        rereadAtHangup(self.reactor, self.reload)
        self.assertEqual(signal.getsignal(signal.SIGHUP), before)
