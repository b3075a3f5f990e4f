"""
Tests for L{ockam_twisted.transports.network}.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from ockam_twisted.transports.network import SETTLE, NetworkWatch


class NetworkWatchTests(SynchronousTestCase):
    """
    With a clock, and a datagram socket in place of the kernel's.
    """

    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.readers: list[object] = []
        self.clock.addReader = self.readers.append
        self.clock.removeReader = self.readers.remove
        self.changes: list[None] = []
        self.watch = NetworkWatch(self.clock, lambda: self.changes.append(None))

    def fromKernel(self, *senders: int) -> None:
        """
        Something arrives.
        """

        class Arrived:
            def __init__(self) -> None:
                self.left = list(senders)

            def recvfrom(self, size: int) -> tuple[bytes, tuple[int, int]]:
                if not self.left:
                    raise BlockingIOError
                return b"", (self.left.pop(0), 0)

        real: Any = self.watch._socket
        self.watch._socket = Arrived()  # type: ignore[assignment]
        self.watch.doRead()
        self.watch._socket = real

    def test_interface(self) -> None:
        """
        The reactor can read from it.
        """
        verifyObject(IReadDescriptor, self.watch)
        self.assertEqual(self.watch.fileno(), -1)

    def test_many(self) -> None:
        """
        Many changes are one, told a moment later; the next ones another one.
        """
        for _ in range(2):
            self.fromKernel(0, 0, 0)
            self.fromKernel(0)
            self.clock.advance(SETTLE)
        self.assertEqual(len(self.changes), 2)

    def test_others(self) -> None:
        """
        What another process has sent is not believed.
        """
        self.fromKernel(4711)
        self.clock.advance(SETTLE)
        self.assertEqual(self.changes, [])

    def test_stop(self) -> None:
        """
        It leaves nothing behind, also if a change was about to be told.
        """
        if not hasattr(socket, "AF_NETLINK"):
            raise SkipTest("there is no netlink here")
        self.watch.startService()
        self.assertEqual(self.readers, [self.watch])
        self.fromKernel(0)
        self.watch.stopService()
        self.assertEqual((self.readers, self.clock.getDelayedCalls()), ([], []))
        self.watch.connectionLost(None)

    def test_withoutReader(self) -> None:
        """
        A reactor without descriptors is no error.
        """
        clock: Any = Clock()
        watch = NetworkWatch(clock, self.fail)
        watch.startService()
        watch.stopService()


class KernelTests(TestCase):
    """
    Real time, the real kernel.
    """

    timeout = 10

    def test_address(self) -> None:
        """
        An address that comes is told.
        """
        if os.geteuid() != 0 or shutil.which("ip") is None or not hasattr(socket, "AF_NETLINK"):
            raise SkipTest("that needs root, iproute2 and netlink")
        changed: Deferred[None] = Deferred()
        watch = NetworkWatch(reactor, lambda: changed.called or changed.callback(None))
        watch.startService()
        self.addCleanup(watch.stopService)
        command = ["ip", "addr", "add", "127.77.77.77/32", "dev", "lo"]
        if subprocess.run(command, capture_output=True).returncode:
            raise SkipTest("addresses cannot be changed here")
        self.addCleanup(subprocess.run, [*command[:2], "del", *command[3:]], capture_output=True)
        return changed
