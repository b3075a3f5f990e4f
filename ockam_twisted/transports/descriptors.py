"""
File descriptors: as many as the system allows, and what a listening port does
when they have run out: it waits, and so do those who connect to it.

Twisted's own answer is to accept and close whoever comes, with three lines in
the log for each; it stays below this one, for descriptors that go elsewhere in
between.
"""

from __future__ import annotations

import os
import resource
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IListeningPort, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

#: More than so many are not asked for.
MOST = 65536

#: What accepted connections leave to others, at most, and what part of all.
RESERVE = 64
RESERVE_PART = 8

#: Seconds between two looks whether there are descriptors again.
LOOK_AFTER = 0.25

#: For how many seconds there have to be some until that is said.
CALM = 10.0


def raiseLimit() -> int:
    """
    Raise the soft limit of this process to the hard one, within reason.

    @return: What it is now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):
        # Some systems say that there is no limit, and have one.
        return soft
    return most


def _limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST * MOST if soft == resource.RLIM_INFINITY else soft


def reserve(limit: int) -> int:
    """
    How many descriptors accepted connections leave to others.

    @param limit: How many there are.
    """
    return max(1, min(RESERVE, limit // RESERVE_PART))


class PortGuard:
    """
    Has a port accept only while there are descriptors.
    """

    _log = Logger()
    _looking: IDelayedCall | None = None
    _calm: IDelayedCall | None = None

    def __init__(self, port: Any, clock: IReactorTime) -> None:
        """
        @param port: One of Twisted's that waits for connections.
        """
        self._port = port
        self._clock = clock
        self._accept = port.doRead
        self._portLost = port.connectionLost
        port.doRead = self.doRead
        port.connectionLost = self.connectionLost

    @property
    def isFull(self) -> bool:
        """
        Are too few descriptors left?  The kernel always gives out the lowest
        one that is free.
        """
        try:
            lowest = os.dup(self._port.fileno())
        except OSError:
            return True
        os.close(lowest)
        limit = _limit()
        return lowest >= limit - reserve(limit)

    def doRead(self) -> Any:
        """
        Somebody has connected: called by the reactor.
        """
        if self.isFull:
            self._pause()
            return None
        # Nobody looks in between.
        self._port.numberAccepts = min(self._port.numberAccepts, max(1, reserve(_limit()) // 2))
        return self._accept()

    def _pause(self) -> None:
        self._port.stopReading()
        self._looking = self._clock.callLater(LOOK_AFTER, self._look)
        if self._calm is not None:
            self._calm.reset(CALM)
            return
        self._calm = self._clock.callLater(CALM, self._calmed)
        self._log.warn(
            "No file descriptors are left for more connections to {where}: they wait. The limit is {limit}: "
            "raise it with LimitNOFILE= in the unit, or ulimit -n",
            where=_where(self._port),
            limit=_limit(),
            event="descriptors-gone",
        )

    def _look(self) -> None:
        self._looking = None
        if self.isFull:
            self._looking = self._clock.callLater(LOOK_AFTER, self._look)
            if self._calm is not None:
                self._calm.reset(CALM)
        else:
            self._port.startReading()

    def _calmed(self) -> None:
        self._calm = None
        self._log.info(
            "There are file descriptors again for connections to {where}",
            where=_where(self._port),
            event="descriptors-back",
        )

    def connectionLost(self, reason: Failure) -> Any:
        """
        The port is closed: called by the reactor.
        """
        for call in (self._looking, self._calm):
            if call is not None:
                call.cancel()
        self._looking = self._calm = None
        return self._portLost(reason)


def _where(port: IListeningPort) -> str:
    at: Any = port.getHost()
    return f"{at.host}:{at.port}" if hasattr(at, "port") else str(getattr(at, "name", at))


def guard(port: Any, clock: IReactorTime) -> None:
    """
    Guard a port, if it is one that accepts connections from the system.
    """
    if hasattr(port, "numberAccepts"):
        PortGuard(port, clock)
