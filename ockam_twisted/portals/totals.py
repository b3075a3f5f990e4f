"""
What an inlet or outlet has done since it began.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Totals:
    """
    Sums over the streams of one portal.

    @ivar opened: Streams that there were, the open ones too.
    @ivar reset: Those that ended with a reset.
    """

    __slots__ = ("_received", "_sent", "opened", "reset")

    def __init__(self) -> None:
        self.opened = self.reset = 0
        self._sent = self._received = 0

    def ended(self, stream: Any) -> None:
        """
        A stream is over.
        """
        self._sent += stream.sent
        self._received += stream.received
        if stream.result is not None:
            self.reset += 1

    def sent(self, open: Iterable[Any]) -> int:
        """
        @param open: The streams there are.
        @return: Bytes from the near end to the far end.
        """
        return self._sent + sum(int(each.sent) for each in open)

    def received(self, open: Iterable[Any]) -> int:
        """
        @return: Bytes from the far end to the near end.
        """
        return self._received + sum(int(each.received) for each in open)
