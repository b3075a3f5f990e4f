"""
What the tests of decisions about trust share.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase


def decisions(case: SynchronousTestCase) -> list[tuple[str, str, str]]:
    """
    From now on, collect what goes into an audit log.

    @return: The name of each event, what it came to, and whom it was about.
    """
    made: list[tuple[str, str, str]] = []

    def observe(event: Any) -> None:
        if "audit" in event:
            made.append((event["event"], event["audit"], str(event.get("peer", event.get("ticket", "")))))

    globalLogPublisher.addObserver(observe)
    case.addCleanup(globalLogPublisher.removeObserver, observe)
    return made
