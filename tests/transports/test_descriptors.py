"""
Tests of L{ockam_twisted.transports.descriptors}.
"""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.transports import descriptors
from ockam_twisted.transports.descriptors import CALM, LOOK_AFTER, MOST, guard, raiseLimit, reserve


class Port:
    """
    What a guard needs of a port.
    """

    numberAccepts = 100

    def __init__(self, listening: socket.socket) -> None:
        self._socket = listening
        self.accepted: list[int] = []
        self.isReading = True
        self.isLost = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 4000)

    def doRead(self) -> None:
        self.accepted.append(self.numberAccepts)

    def connectionLost(self, reason: Failure) -> None:
        self.isLost = True

    def stopReading(self) -> None:
        self.isReading = False

    def startReading(self) -> None:
        self.isReading = True


class GuardTests(SynchronousTestCase):
    """
    L{guard}, with the limit near or far.
    """

    def setUp(self) -> None:
        listening = socket.socket()
        self.addCleanup(listening.close)
        self.clock = Clock()
        self.port: Any = Port(listening)
        self.limit = 100_000
        self.patch(descriptors, "_limit", lambda: self.limit)
        self.lines: list[tuple[LogLevel, str]] = []

        def observe(event: Any) -> None:
            if event["log_namespace"].startswith("ockam_twisted.transports.descriptors"):
                self.lines.append((event["log_level"], event["log_format"].format(**event)))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        guard(self.port, self.clock)

    def fill(self) -> None:
        """
        No descriptor is left for whoever connects.
        """
        probe = os.dup(0)
        os.close(probe)
        self.limit = probe + 1

    def test_accepts(self) -> None:
        """
        While there are descriptors a port accepts, and no more at once than
        what is kept for others.
        """
        self.port.doRead()
        self.assertEqual(self.port.accepted, [descriptors.RESERVE // 2])
        self.assertTrue(self.port.isReading)

    def test_pauses(self) -> None:
        """
        When they have run out it waits, says so once, and goes on as soon as
        there are some; that is said when it has lasted.
        """
        self.fill()
        self.port.doRead()
        self.assertEqual((self.port.accepted, self.port.isReading), ([], False))
        self.clock.pump([LOOK_AFTER] * 8)
        self.assertFalse(self.port.isReading)
        self.assertEqual(len(self.lines), 1)
        level, line = self.lines[0]
        self.assertEqual(level, LogLevel.warn)
        self.assertIn("to 127.0.0.1:4000: they wait", line)
        self.limit = 100_000
        self.clock.advance(LOOK_AFTER)
        self.assertTrue(self.port.isReading)
        self.port.doRead()
        self.assertEqual(len(self.port.accepted), 1)
        self.clock.advance(CALM)
        self.assertEqual([level for level, _ in self.lines], [LogLevel.warn, LogLevel.info])
        self.assertFalse(self.clock.getDelayedCalls())

    def test_oneLine(self) -> None:
        """
        However often they run out within a while, there is one line.
        """
        for _ in range(100):
            self.fill()
            self.port.doRead()
            self.limit = 100_000
            self.clock.advance(LOOK_AFTER)
            self.assertTrue(self.port.isReading)
        self.assertEqual(len(self.lines), 1)

    def test_closed(self) -> None:
        """
        A port that is closed meanwhile is left alone.
        """
        self.fill()
        self.port.doRead()
        self.port.connectionLost(Failure(ConnectionDone()))
        self.assertTrue(self.port.isLost)
        self.assertFalse(self.clock.getDelayedCalls())

    def test_others(self) -> None:
        """
        What accepts nothing from the system is not touched.
        """
        other = object()
        guard(other, self.clock)

    def test_reserve(self) -> None:
        """
        A part is kept, and of many descriptors not too much.
        """
        self.assertEqual([reserve(each) for each in (64, 256, 1024, 65536)], [8, 32, 64, 64])


class LimitTests(SynchronousTestCase):
    """
    L{raiseLimit}, in processes of their own.
    """

    def limits(self, soft: int, hard: int) -> tuple[int, int]:
        """
        What it makes of a limit.
        """
        program = (
            "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])));"
            "from ockam_twisted.transports.descriptors import raiseLimit; said = raiseLimit();"
            "print(said, resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(soft), str(hard)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        said, has = map(int, done.stdout.split())
        return said, has

    def test_raised(self) -> None:
        """
        The soft limit becomes the hard one, which stays.
        """
        self.assertEqual(self.limits(256, 512), (512, 512))
        self.assertEqual(self.limits(512, 512), (512, 512))

    def test_withinReason(self) -> None:
        """
        Nobody needs a million.
        """
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard <= MOST:
            self.assertLessEqual(raiseLimit(), MOST)
        else:
            self.assertEqual(self.limits(1024, hard), (MOST, MOST))
