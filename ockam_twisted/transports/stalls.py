"""
Who stopped reading, and for whose pain.

An output that is full holds back the sources that feed it.  That is right
for as long as only its own senders suffer, or it makes progress.  One that
makes none, while a source it holds back serves others too, is closed.  And a
socket that is not read from hears neither FIN nor RST, whether it is paused or
has ended its direction: somebody has to look.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ockam_twisted.interfaces import IOutput, ISource
from ockam_twisted.transports.budget import QueueBudget

#: An output that held back others for so many seconds ...
STALL_SECONDS = 9.0
#: ... while it took less than so many bytes a second, is closed.
STALL_RATE = 16 * 1024
#: The same for a local program: only one stream ends, and not all that is
#: behind a connection.
STREAM_SECONDS = 5.0
#: If it is only the reading side of the same connection that serves others,
#: it may be that something farther on holds up the peer, which deals with it
#: in the time above; only then it is the peer itself.  Likewise if nobody else
#: is known to wait for a connection that is held back.
OWN_SECONDS = 30.0
#: An output that is to be reset has so many seconds for what came before.
RESET_SECONDS = 5.0
#: An output that only drains, and takes nothing for so long, is dropped.
DRAIN_SECONDS = 60.0
TICK = 1.0
#: Two looks that are so many seconds apart say nothing about what is between.
JUMP = 5.0


class _Watched:
    """
    How fast an output has been lately.

    @ivar idleSince: When it was last seen to have made progress.
    @ivar resettingSince: When it was first seen that it is to be reset.
    """

    __slots__ = ("_patience", "_samples", "idleSince", "resettingSince")

    def __init__(self, now: float, sent: int, patience: float) -> None:
        self._patience = patience
        self._samples = deque([(now, sent)])
        self.idleSince = now
        self.resettingSince: float | None = None

    def progress(self, now: float, sent: int) -> tuple[float, int]:
        """
        @return: Over how many seconds there was how much progress: the last
            seconds that count, or what there is of them.
        """
        samples = self._samples
        if not 0 <= now - samples[-1][0] <= JUMP:
            # The clock was set, or nobody ran: that was not its fault.
            samples.clear()
            samples.append((now, sent))
            self.idleSince = now
        if sent != samples[-1][1]:
            self.idleSince = now
        samples.append((now, sent))
        while samples[1][0] <= now - self._patience:
            samples.popleft()
        since, then = samples[0]
        return now - since, sent - then


class StallWatch(Service):
    """
    Looks once a second at the outputs that hold sources back, and at the
    sockets that nobody reads from; costs nothing while there are none.

    @ivar budget: What the outputs that it looks at share.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, budget: QueueBudget | None = None) -> None:
        self.budget = budget or QueueBudget()
        self._clock = clock
        self._watched: dict[Any, _Watched] = {}
        self._unread: dict[ISource, IOutput] = {}
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def heldBack(self, output: Any) -> None:
        """
        C{output} (a queue of L{ockam_twisted.transports.queue}) holds a
        source back from now on.
        """
        if output not in self._watched:
            # What has no end of patience need not be remembered for as long.
            seconds = min(output.patience, OWN_SECONDS)
            self._watched[output] = _Watched(self._clock.seconds(), output.sent, seconds)
            self._begin()

    def paused(self, source: ISource, output: IOutput) -> None:
        """
        C{source} is not read from until L{resumed}.

        @param output: Of the same socket; once that is lost, so is C{source}.
        """
        self._unread[source] = output
        self._begin()

    def resumed(self, source: ISource) -> None:
        """
        C{source} is read from again.
        """
        self._unread.pop(source, None)

    def _begin(self) -> None:
        if not self._loop.running:
            self._loop.start(TICK, now=False)

    def stopService(self) -> None:
        """
        Look no more.
        """
        super().stopService()
        self._watched.clear()
        self._unread.clear()
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> None:
        now = self._clock.seconds()
        for output, watched in list(self._watched.items()):
            if output.lost or not (output.held or output.losing):
                del self._watched[output]
                continue
            try:
                self._judge(output, watched, now)
            except Exception:
                self._log.failure("Could not look at {whom}", whom=output.label, event="stall-watch-failed")
        for source, own in list(self._unread.items()):
            if own.lost:
                self._unread.pop(source, None)
                continue
            try:
                source.checkLiveness()
            except Exception:
                self._log.failure("Could not look at {whom}", whom=own.label, event="stall-watch-failed")
        if not self._watched and not self._unread and self._loop.running:
            self._loop.stop()

    def _judge(self, output: Any, watched: _Watched, now: float) -> None:
        for source in list(output.held):
            source.checkLiveness()
        seconds, read = watched.progress(now, output.sent)
        idle = now - watched.idleSince
        if output.lost:
            return
        if output.isResetting:
            since = watched.resettingSince = now if watched.resettingSince is None else watched.resettingSince
            if output.isDrained or now - since >= RESET_SECONDS:
                output.abortConnection()
        elif output.losing and idle >= DRAIN_SECONDS:
            self._log.warn(
                "Closing {whom}: it has not read the last {queued} bytes for {seconds:.0f} s",
                whom=output.label,
                queued=output.queued,
                seconds=idle,
                event="reader-stalled",
            )
            output.abortConnection()
        elif seconds >= output.patience and read < STALL_RATE * seconds:
            serving = [source for source in output.held if source.servesOthers(output)]
            if any(not source.owns(output) for source in serving):
                self._close(output, read, seconds)
            elif idle >= OWN_SECONDS and (serving or any(source.isShared for source in output.held)):
                # Nobody is known to wait, but who is new cannot be heard.
                self._close(output, read, idle)

    def _close(self, output: Any, read: int, seconds: float) -> None:
        self._log.warn(
            "Closing {whom}: it has read {read} bytes in {seconds:.0f} s and holds others back",
            whom=output.label,
            read=read,
            seconds=seconds,
            event="reader-slow",
        )
        output.abortConnection()
