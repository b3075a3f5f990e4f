"""
The clock of the reactor, compared with one that nobody can set.

Timers of most reactors follow the wall clock: set back by an hour, all of them
come an hour too late, and with them whatever should notice a dead peer; set
forward, all deadlines have passed at once.  Here timers are moved by as much
as the clock was.  Word of it comes from the kernel (timerfd_create(2),
C{TFD_TIMER_CANCEL_ON_SET}; nothing elsewhere), as a timer could not tell.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.application.service import Service
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

#: So many seconds are a step; less is what keeps a clock right.
LEAST = 0.5

_REALTIME = 0
_ABSTIME, _CANCEL_ON_SET = 1, 2
#: Never, seconds since the Unix epoch.
_NEVER = 1 << 40


def sinceBoot() -> float:
    """
    Seconds on the clock that nobody can set and that does not stop while the
    machine is suspended.
    """
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def watchWallClock() -> int:
    """
    Make a descriptor that can be read when the wall clock was set.

    @raise OSError: There is no such thing here.
    """
    if not sys.platform.startswith("linux"):
        raise OSError("the kernel does not tell")
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        create, arm = libc.timerfd_create, libc.timerfd_settime
    except AttributeError as error:
        raise OSError(str(error)) from None
    made = create(_REALTIME, os.O_CLOEXEC | os.O_NONBLOCK)
    if made < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    # An interval of none, and a time: seconds and nanoseconds each.
    when = (ctypes.c_long * 4)(0, 0, _NEVER if sys.maxsize > 1 << 40 else 0x7FFFFFFF, 0)
    if arm(made, _ABSTIME | _CANCEL_ON_SET, when, None) < 0:
        os.close(made)
        raise OSError(ctypes.get_errno(), "timerfd_settime")
    return int(made)


@implementer(IReadDescriptor)
class ClockWatch(Service):
    """
    See the module.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        stepped: Callable[[], object],
        boot: Callable[[], float] = sinceBoot,
        watch: Callable[[], int] = watchWallClock,
    ) -> None:
        """
        @param reactor: Time and descriptors.
        @param stepped: Called after the timers were moved.
        @param boot: A clock that only goes forward, seconds.
        @param watch: Makes a descriptor that can be read when the clock was
            set; may raise an C{OSError}.
        """
        self._reactor = reactor
        self._stepped = stepped
        self._boot = boot
        self._watch = watch
        self._descriptor = -1
        self._offset = 0.0

    def startService(self) -> None:
        """
        Listen, where there is something to listen to.
        """
        super().startService()
        self._offset = self._reactor.seconds() - self._boot()
        if hasattr(self._reactor, "addReader"):
            with suppress(OSError):
                self._descriptor = self._watch()
                self._reactor.addReader(self)

    def stopService(self) -> None:
        """
        Listen no more.
        """
        super().stopService()
        self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            self._reactor.removeReader(self)
            os.close(descriptor)

    def look(self) -> None:
        """
        Compare the clocks, and move the timers if one was set.
        """
        offset = self._reactor.seconds() - self._boot()
        step, self._offset = offset - self._offset, offset
        if abs(step) < LEAST:
            return
        for call in self._reactor.getDelayedCalls():
            with suppress(AlreadyCalled, AlreadyCancelled):
                call.delay(step)
        self._log.warn(
            "The clock was set {direction} by {step:.0f} s: timers go on as before",
            direction="forward" if step > 0 else "back",
            step=abs(step),
            event="clock-set",
        )
        self._stepped()

    # ------------------------------------------------------- IReadDescriptor

    def fileno(self) -> int:
        """
        See L{IReadDescriptor}.
        """
        return self._descriptor

    def logPrefix(self) -> str:
        """
        See L{IReadDescriptor}.
        """
        return "clock"

    def doRead(self) -> None:
        """
        The clock was set, or this machine was suspended.
        """
        # Reading it says that it was canceled; what counts is the clocks.
        with suppress(OSError):
            os.read(self._descriptor, 8)
        self.look()

    def connectionLost(self, reason: Any) -> None:
        """
        See L{IReadDescriptor}: the reactor is shutting down.
        """
        self._close()
