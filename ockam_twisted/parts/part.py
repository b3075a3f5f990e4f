"""
What all parts have in common, and how they leave: nothing new begins, what is
there may come to its end for a while, then it is ended.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ockam_twisted.parts.difference import Key, shown

#: Seconds between two looks at whether a part is still in use.
INTERVAL = 0.1


class Part:
    """
    See the module.

    @ivar key: What it is told apart by.
    @ivar config: How it shall be.
    """

    def __init__(self, key: Key, config: Any) -> None:
        self.key = key
        self.config = config

    @property
    def inUse(self) -> int:
        """
        How many would notice its end.
        """
        raise NotImplementedError

    def change(self, config: Any) -> None:
        """
        Become another one, with as little disturbance as that takes.
        """
        raise NotImplementedError

    def retire(self) -> None:
        """
        Begin nothing new.
        """
        raise NotImplementedError

    def revive(self) -> None:
        """
        Go on after all.
        """
        raise NotImplementedError

    def end(self) -> Any:
        """
        End what is left.

        @return: L{None}, or a Deferred that fires when that is done.
        """
        raise NotImplementedError


class Leaving:
    """
    The parts that leave.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._parts: dict[Part, Deferred[None]] = {}

    def __len__(self) -> int:
        return len(self._parts)

    def leave(self, part: Part, timeout: float) -> Deferred[None]:
        """
        Let a part leave.

        @param timeout: Seconds that it has.
        @return: Fires when it has left, or has come back.
        """
        part.retire()
        leaving = Deferred.fromCoroutine(self._leave(part, timeout))
        if not leaving.called:
            self._parts[part] = leaving
        leaving.addErrback(lambda failure: failure.trap(CancelledError) and None)
        leaving.addErrback(
            lambda failure: self._log.failure(
                "{part} did not end as it should", failure, part=shown(part.key), event="part-not-ended"
            )
        )
        return leaving

    async def _leave(self, part: Part, timeout: float) -> None:
        until = self._clock.seconds() + timeout
        while part.inUse and self._clock.seconds() < until:
            await deferLater(self._clock, INTERVAL)
        left = part.inUse
        if left and timeout:
            self._log.warn(
                "{part} was removed, and {count} who still use it have not come to their end",
                part=shown(part.key),
                count=left,
                event="part-not-drained",
            )
        try:
            await maybeDeferred(part.end)
        finally:
            self._parts.pop(part, None)

    def back(self, key: Key) -> Part | None:
        """
        A part shall be there again.

        @return: The one that was about to leave.
        """
        part = next((each for each in self._parts if each.key == key), None)
        if part is not None:
            self._parts.pop(part).cancel()
            part.revive()
        return part

    def stop(self) -> None:
        """
        The node ends all that is left, itself.
        """
        parts, self._parts = self._parts, {}
        for leaving in parts.values():
            leaving.cancel()
