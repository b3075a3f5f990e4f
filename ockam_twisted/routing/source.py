"""
What every source has in common: pauses are a set of who asked, and it is
remembered whom it feeds (design, section 6).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from zope.interface import implementer

from ockam_twisted.interfaces import IOutput, ISource
from ockam_twisted.routing.flow import PauseSet

#: How many outputs are remembered, at least, before those that ended are
#: forgotten.
_REMEMBERED = 256


@implementer(ISource)
class Source:
    """
    One socket that is read from.

    @ivar pauses: Who asked for a pause.
    @ivar isShared: See L{ISource}.
    """

    __slots__ = ("_charge", "_fed", "_isDead", "_last", "_lose", "_own", "_remembered", "isShared", "pauses")

    def __init__(
        self,
        pause: Callable[[], object],
        resume: Callable[[], object],
        own: IOutput | None,
        isDead: Callable[[], bool],
        lose: Callable[[], object],
        isShared: bool = False,
        charge: Callable[[float], object] | None = None,
    ) -> None:
        """
        @param own: The output of the same socket; feeding it serves nobody
            else.
        @param isDead: Whether the peer has reset the connection.
        @param lose: Ends the connection.
        @param isShared: See L{ISource}.
        @param charge: See L{ISource.charge}; L{None}: it may ask for anything.
        """
        self._charge = charge
        self.isShared = isShared
        self.pauses = PauseSet(pause, resume)
        self._own = own
        self._isDead = isDead
        self._lose = lose
        self._last: IOutput | None = None
        self._fed: set[IOutput] = set()
        self._remembered = _REMEMBERED

    @property
    def isPaused(self) -> bool:
        """
        See L{ISource}.
        """
        return bool(self.pauses)

    def pauseFor(self, asker: Hashable) -> None:
        """
        See L{ISource.pauseFor}.
        """
        self.pauses.add(asker)

    def resumeFor(self, asker: Hashable) -> None:
        """
        See L{ISource.resumeFor}.
        """
        self.pauses.discard(asker)

    def charge(self, seconds: float) -> None:
        """
        See L{ISource.charge}.
        """
        if self._charge is not None:
            self._charge(seconds)

    def fed(self, output: IOutput) -> None:
        """
        See L{ISource.fed}.
        """
        if output is self._last:
            return
        self._last = output
        fed = self._fed
        fed.add(output)
        if len(fed) > self._remembered:
            self._fed = {each for each in fed if not each.lost}
            # Twice as many as live, so that looking stays rare.
            self._remembered = max(_REMEMBERED, 2 * len(self._fed))

    def servesOthers(self, output: IOutput) -> bool:
        """
        See L{ISource.servesOthers}.
        """
        own = self._own
        if own is not None and own.lost:
            # Nothing comes from here any more.
            return False
        return any(each is not output and each is not own and not each.lost for each in self._fed)

    def moved(self) -> None:
        """
        See L{ISource.moved}.
        """
        fed, self._fed, self._last = self._fed, set(), None
        for output in fed:
            output.letGo(self)

    def owns(self, output: IOutput) -> bool:
        """
        See L{ISource.owns}.
        """
        return output is self._own

    def checkLiveness(self) -> bool:
        """
        See L{ISource.checkLiveness}.
        """
        isDead = self._isDead()
        if isDead:
            self._lose()
        return not isDead
