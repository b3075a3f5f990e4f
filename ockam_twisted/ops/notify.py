"""
What a service manager is told, as C{sd_notify(3)} says: that the node is
ready, how it is, that it stops, and, for as long as the reactor turns, that it
lives.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ockam_twisted.ops.status import NodeStatus

#: Seconds between two looks whether there is something new to tell.
LOOK_AFTER = 2.0

#: How often a watchdog is told that we live, for each time that it waits.
TIMES = 3


def inWords(status: NodeStatus) -> str:
    """
    How a node is, in one line.
    """
    sessions = status.sessions
    up = sum(each.state.startswith("up") for each in sessions)
    parts = [f"{up} of {len(sessions)} ways up"] if sessions else []
    down = next((each for each in sessions if not each.state.startswith("up") and each.why), None)
    if down is not None:
        parts.append(f"{down.label}: {down.why}")
    parts.append(f"{status.streams} streams")
    if status.relayed:
        parts.append(f"{status.relayed} names relayed")
    return ", ".join(parts)


class Notifications:
    """
    See the module.  What cannot be told is not: a node does not depend on it.
    """

    _log = Logger()
    _call: IDelayedCall | None = None
    _told = ""

    def __init__(self, reactor: Any, address: str, watchdog: float = 0.0) -> None:
        """
        @param address: Of the manager's socket; with C{@} in front, in the
            abstract namespace.
        @param watchdog: For how many seconds the manager waits for a sign of
            life; 0: it does not.
        """
        self._reactor = reactor
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._interval = min(LOOK_AFTER, watchdog / TIMES) if watchdog else LOOK_AFTER
        self._hasWatchdog = bool(watchdog)
        self._status: Callable[[], NodeStatus] | None = None

    @classmethod
    def fromEnvironment(cls, reactor: Any, environ: Mapping[str, str]) -> Notifications | None:
        """
        @return: L{None}: nobody wants to know.
        """
        address = environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return None
        watchdog = environ.get("WATCHDOG_USEC", "")
        isOurs = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        return cls(reactor, address, int(watchdog) / 1e6 if watchdog.isdecimal() and isOurs else 0.0)

    def follow(self, service: Any) -> None:
        """
        Tell of a L{NodeService<ockam_twisted.assembly.NodeService>} from its
        start to its end.
        """
        self._status = lambda: service.node.status()
        service.ready.addCallback(self._concluded)
        self._reactor.addSystemEventTrigger("before", "shutdown", self.stopping)

    def _concluded(self, reason: str) -> str:
        if not reason:
            self.ready()
        return reason

    def _say(self, *lines: str) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sending:
                sending.setblocking(False)
                sending.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
        except OSError as error:
            self._log.debug(
                "The service manager could not be told: {reason}", reason=str(error), event="manager-not-told"
            )

    def ready(self) -> None:
        """
        The state is open and every listener bound; or a reload is done.
        """
        self._told = self._describe()
        self._say("READY=1", f"STATUS={self._told}")
        if self._call is None:
            self._call = self._reactor.callLater(0, self._live)

    def _describe(self) -> str:
        return "" if self._status is None else inWords(self._status()).replace("\n", " ")[:500]

    def _live(self) -> None:
        """
        Called by the reactor, as long as it turns.
        """
        self._call = self._reactor.callLater(self._interval, self._live)
        lines = ["WATCHDOG=1"] if self._hasWatchdog else []
        told = self._describe() or self._told
        if told != self._told:
            self._told = told
            lines.append(f"STATUS={told}")
        if lines:
            self._say(*lines)

    def reloading(self) -> None:
        """
        A reload begins: L{ready} is its end.
        """
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """
        The end begins.  There are signs of life until it is over.
        """
        self._say("STOPPING=1", "STATUS=Draining")
        self._told = "Draining"
        self._status = None

    def stop(self) -> None:
        """
        Tell nothing any more.
        """
        if self._call is not None:
            self._call.cancel()
            self._call = None
