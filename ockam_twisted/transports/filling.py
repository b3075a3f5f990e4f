"""
Carriers that hold what is written until it can be sent: whoever writes is asked to pause
while that is too much.
"""

from __future__ import annotations

from typing import Any


class Filling:
    """
    See the module.
    """

    _producer: Any = None
    _isFull = False

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See C{IConsumer}.
        """
        self._producer = producer
        if self._isFull:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """
        See C{IConsumer}.
        """
        self._producer = None

    def filled(self, isFull: bool) -> None:
        """
        What is held is too much, or is not any more; only changes count.
        """
        if isFull == self._isFull:
            return
        self._isFull = isFull
        if self._producer is not None:
            (self._producer.pauseProducing if isFull else self._producer.resumeProducing)()
