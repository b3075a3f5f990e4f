"""
What signals do: the end at the second one, for those who do not want to wait;
the configuration is read again at SIGHUP.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.internet.defer import Deferred


def endAtSecondSignal(reactor: Any) -> None:
    """
    Let the first SIGTERM or SIGINT do what it does, which is to stop and
    drain, and the second one of them end the reactor at once.  (Twisted's own
    only logs a failure then.)

    @param reactor: It runs, in this thread, with its own signal handling.
    """
    seen: list[int] = []
    previous: dict[int, Any] = {}

    def received(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        if len(seen) > 1:
            reactor.callFromThread(reactor.crash)
        else:
            previous[number](number, frame)

    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)
        # Without signal handling of its own the reactor is somebody else's.
        if callable(before) and before is not signal.default_int_handler:
            previous[number] = before
            signal.signal(number, received)


def _hasTerminal() -> bool:
    """
    Does this process belong to a terminal?
    """
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def rereadAtHangup(reactor: Any, reload: Callable[[], Deferred[Any]]) -> None:
    """
    Read the configuration again at SIGHUP.  If it comes since the terminal of
    this process was closed, stop.

    @param reactor: It runs, in this thread, with its own signal handling.
    @param reload: Does it, and logs what came of it.
    """
    hadTerminal = _hasTerminal()

    def received(number: int, frame: FrameType | None) -> None:
        reactor.callFromThread(hungUp)

    def hungUp() -> None:
        if hadTerminal and not _hasTerminal():
            reactor.stop()
        else:
            reload().addErrback(lambda failure: None)

    before = signal.getsignal(signal.SIGTERM)
    # Without signal handling of its own the reactor is somebody else's.
    if callable(before) and before is not signal.default_int_handler:
        signal.signal(signal.SIGHUP, received)
