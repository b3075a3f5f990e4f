"""
How often each log event has happened: whatever is worth a line is worth a
number, and nothing has to be counted beside it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.logger import ILogObserver
from zope.interface import implementer

#: Names come from our own source.  This many are not in it.
MAX_NAMES = 1000


@implementer(ILogObserver)
class EventCounts:
    """
    Counts what is logged.

    @ivar counts: By name of the event, see L{ockam_twisted.ops.events}.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __call__(self, event: Any) -> None:
        """
        See L{ILogObserver}.
        """
        name = event.get("event")
        if isinstance(name, str) and (name in self.counts or len(self.counts) < MAX_NAMES):
            self.counts[name] += 1
