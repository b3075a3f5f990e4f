"""
Tests of L{ockam_twisted.ops.notify}, with a real socket in place of the
manager's.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.ops.notify import LOOK_AFTER, TIMES, Notifications, inWords
from ockam_twisted.ops.status import NodeStatus, SessionStatus


class Service:
    """
    A node that starts.
    """

    def __init__(self) -> None:
        self.ready: Deferred[str] = Deferred()
        self.node = self
        self.sessions: tuple[SessionStatus, ...] = ()

    def status(self) -> NodeStatus:
        return NodeStatus("node", "", (), self.sessions, 3)


class Reactor(Clock):
    """
    One that is told to end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.triggers: list[Any] = []

    def addSystemEventTrigger(self, phase: str, event: str, trigger: Any) -> None:
        assert (phase, event) == ("before", "shutdown")
        self.triggers.append(trigger)


class NotifyTests(SynchronousTestCase):
    """
    L{Notifications}.
    """

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="ockam-twisted-test-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.reactor = Reactor()
        self.service = Service()

    def listen(self, address: str) -> None:
        """
        Be the manager.
        """
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind("\0" + address[1:] if address.startswith("@") else address)
        self.manager.setblocking(False)

    def begin(self, watchdog: str = "", pid: str = "", address: str = "") -> Notifications:
        """
        Start.
        """
        address = address or f"{self.folder}/notify"
        self.listen(address)
        environ = {"NOTIFY_SOCKET": address}
        if watchdog:
            environ["WATCHDOG_USEC"] = watchdog
        if pid:
            environ["WATCHDOG_PID"] = pid
        notifications = Notifications.fromEnvironment(self.reactor, environ)
        assert notifications is not None
        notifications.follow(self.service)
        return notifications

    def heard(self) -> list[str]:
        """
        What the manager has been told since it was last asked.
        """
        said = []
        while True:
            try:
                said.append(self.manager.recv(4096).decode())
            except BlockingIOError:
                return said

    def test_nobody(self) -> None:
        """
        Without a manager, or with one that is reached in some other way, there
        is nothing.
        """
        for environ in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}):
            self.assertIsNone(Notifications.fromEnvironment(self.reactor, environ))

    def test_ready(self) -> None:
        """
        It is ready when it is, not before.
        """
        self.begin()
        self.assertEqual(self.heard(), [])
        self.service.ready.callback("")
        self.assertEqual(self.heard(), ["READY=1\nSTATUS=3 streams"])

    def test_failed(self) -> None:
        """
        Who could not start is never ready.
        """
        self.begin()
        self.service.ready.callback("cannot listen on tcp:4000")
        self.reactor.advance(60)
        self.assertEqual(self.heard(), [])

    def test_abstract(self) -> None:
        """
        The manager's socket may be in the abstract namespace.
        """
        self.begin(address=f"@ockam-twisted-test-{os.getpid()}")
        self.service.ready.callback("")
        self.assertEqual(len(self.heard()), 1)

    def test_status(self) -> None:
        """
        What has changed is told, and what has not is not.
        """
        self.begin()
        self.service.ready.callback("")
        self.heard()
        self.reactor.advance(LOOK_AFTER)
        self.assertEqual(self.heard(), [])
        self.service.sessions = (SessionStatus("relay a", "up", 1), SessionStatus("relay b", "waiting", 1, "refused"))
        self.reactor.advance(LOOK_AFTER)
        self.assertEqual(self.heard(), ["STATUS=1 of 2 ways up, relay b: refused, 3 streams"])
        self.reactor.advance(LOOK_AFTER)
        self.assertEqual(self.heard(), [])

    def test_watchdog(self) -> None:
        """
        A watchdog hears of us several times while it waits, as long as the
        reactor turns, and not when it does not.
        """
        self.begin("3000000")
        self.reactor.advance(10)
        self.assertEqual(self.heard(), [])
        self.service.ready.callback("")
        self.reactor.advance(0)
        self.heard()
        self.reactor.pump([3.0 / TIMES] * 6)
        self.assertEqual(self.heard(), ["WATCHDOG=1"] * 6)
        # A reactor that hangs calls nobody.
        self.assertEqual(self.heard(), [])

    def test_otherWatchdog(self) -> None:
        """
        A watchdog of another process is none of ours.
        """
        self.begin("3000000", "1")
        self.service.ready.callback("")
        self.heard()
        self.reactor.pump([1.0] * 6)
        self.assertEqual(self.heard(), [])

    def test_reload(self) -> None:
        """
        A reload has a beginning, on the clock that the manager has, and an
        end.
        """
        notifications = self.begin()
        self.service.ready.callback("")
        self.heard()
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        notifications.reloading()
        first, second = self.heard()[0].split("\n")
        self.assertEqual(first, "RELOADING=1")
        self.assertTrue(0 <= int(second.removeprefix("MONOTONIC_USEC=")) - before < 10_000_000)
        notifications.ready()
        self.assertEqual(self.heard(), ["READY=1\nSTATUS=3 streams"])
        self.assertEqual(len(self.reactor.getDelayedCalls()), 1)

    def test_stopping(self) -> None:
        """
        The end is told when it begins, and while it lasts there are signs of
        life.
        """
        notifications = self.begin("3000000")
        self.service.ready.callback("")
        self.reactor.advance(0)
        self.heard()
        for trigger in self.reactor.triggers:
            trigger()
        self.assertEqual(self.heard(), ["STOPPING=1\nSTATUS=Draining"])
        self.reactor.advance(1)
        self.assertEqual(self.heard(), ["WATCHDOG=1"])
        notifications.stop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        notifications.stop()

    def test_gone(self) -> None:
        """
        A manager that is not there is not missed.
        """
        notifications = Notifications(self.reactor, f"{self.folder}/nobody", 3.0)
        notifications.follow(self.service)
        self.service.ready.callback("")
        self.reactor.advance(1)
        notifications.stopping()

    def test_inWords(self) -> None:
        """
        A relay tells of its names.
        """
        self.assertEqual(inWords(NodeStatus("relay", "", (), (), 0, relayed=2)), "0 streams, 2 names relayed")
