"""
What comes over a link, as a source: pausing it pauses those who feed it at the
other side.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from ockam_twisted.interfaces import IOutput, ISource
from ockam_twisted.processes.words import Told
from ockam_twisted.routing.addresses import Address
from ockam_twisted.transports.allowance import Allowance

if TYPE_CHECKING:
    from ockam_twisted.processes.far import ILinkSide

#: Seconds between two words about the progress of what is full.
PROGRESS = 1.0


@implementer(ISource)
class LinkSource:
    """
    What comes over a link for one place here; pausing it is asking those at
    the other side who send there to wait.

    @ivar allowance: Of a connection that asks: how much it may ask for.
    """

    # Who is paused at the other side is judged there.
    isShared = False

    def __init__(self, link: ILinkSide, address: Address) -> None:
        self.allowance: Allowance | None = None
        self._isTaking = False
        self._link = link
        self._address = address
        # By asker: how much it had sent when that was last told.
        self._askers: dict[Hashable, int] = {}

    def __bool__(self) -> bool:
        return bool(self._askers)

    @property
    def isPaused(self) -> bool:
        """
        See L{ISource}.
        """
        return bool(self._askers)

    def moved(self) -> None:
        """
        See L{ISource.moved}.
        """
        raise NotImplementedError("no stream reads from a link")

    def pauseFor(self, asker: Hashable) -> None:
        """
        See L{ISource.pauseFor}.
        """
        first = not self._askers
        self._askers.setdefault(asker, getattr(asker, "sent", 0))
        if first:
            self._link.say(Told.FULL, self._address)
            self._link.reports.begin(self)

    def resumeFor(self, asker: Hashable) -> None:
        """
        See L{ISource.resumeFor}.
        """
        if asker not in self._askers:
            return
        # Who is full again soon has made progress nevertheless.
        self.tellProgress()
        del self._askers[asker]
        if not self._askers:
            self._link.say(Told.ROOM, self._address)

    @contextmanager
    def taking(self, clock: IReactorTime) -> Iterator[None]:
        """
        What is done in here was asked for.
        """
        began, self._isTaking = clock.seconds(), True
        yield
        self._isTaking = False
        self.charge(clock.seconds() - began)

    def charge(self, seconds: float) -> None:
        """
        See L{ISource.charge}.  What is charged while it takes is a part of that.
        """
        if self.allowance is not None and not self._isTaking:
            self.allowance.take(seconds)

    def tellProgress(self) -> None:
        """
        Let those who wait know how fast it goes.
        """
        size = 0
        for asker, before in self._askers.items():
            sent = getattr(asker, "sent", 0)
            size += sent - before
            self._askers[asker] = sent
        if size > 0:
            self._link.say(Told.PROGRESS, self._address, size)

    def clear(self) -> list[IOutput]:
        """
        @return: What keeps it full.
        """
        return [asker for asker in self._askers if IOutput.providedBy(asker)]

    def fed(self, output: IOutput) -> None:
        """
        See L{ISource.fed}.
        """

    def servesOthers(self, output: IOutput) -> bool:
        """
        See L{ISource.servesOthers}: that is judged at the other side.
        """
        return False

    def owns(self, output: IOutput) -> bool:
        """
        See L{ISource.owns}.
        """
        return False

    def checkLiveness(self) -> bool:
        """
        See L{ISource.checkLiveness}: that is the other side's, too.
        """
        return True


class Reports:
    """
    Tells those at the other side of a link who wait how fast it goes here.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._paused: set[LinkSource] = set()
        self._call: IDelayedCall | None = None

    def begin(self, source: LinkSource) -> None:
        """
        Report for as long as something holds C{source} back.
        """
        self._paused.add(source)
        if self._call is None:
            self._call = self._clock.callLater(PROGRESS, self._report)

    def _report(self) -> None:
        self._call = None
        for source in list(self._paused):
            if source:
                source.tellProgress()
                self.begin(source)
            else:
                self._paused.discard(source)

    def stop(self) -> None:
        """
        Nobody listens any more.
        """
        self._paused.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None
