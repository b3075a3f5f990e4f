"""
The log of a node: from events to a file.
"""

from __future__ import annotations

from typing import Any, TextIO, cast

from twisted.internet.interfaces import IReactorTime
from twisted.logger import FileLogObserver, ILogObserver
from zope.interface import provider

from ockam_twisted.ops.levels import Levels
from ockam_twisted.ops.records import asJSON, asText
from ockam_twisted.ops.repeats import Repeats


def formatFor(file: TextIO, format: str) -> str:
    """
    C{text} or C{json}.
    """
    if format != "auto":
        return format
    isTerminal = getattr(file, "isatty", None)
    return "text" if isTerminal is not None and isTerminal() else "json"


def nodeLog(file: TextIO, format: str, levels: Levels, clock: IReactorTime) -> ILogObserver:
    """
    An observer that writes lines to a file: of the levels that are asked for,
    repetitions once.

    @param clock: Says when what was repeated is to be said.
    """
    lines = FileLogObserver(file, cast(Any, asJSON if formatFor(file, format) == "json" else asText))
    repeats = Repeats(lines, clock)
    filtered = levels.filtered(repeats)
    after: Any = getattr(clock, "addSystemEventTrigger", None)
    if after is not None:
        after("after", "shutdown", repeats.flush)

    @provider(ILogObserver)
    def observe(event: Any) -> None:
        filtered(event)

    return cast(ILogObserver, observe)
