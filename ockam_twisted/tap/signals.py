"""
The end at the second signal, for those who do not want to wait.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


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
