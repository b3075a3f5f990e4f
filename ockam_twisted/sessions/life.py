"""
The life of a session, as a state machine (drawn in C{docs/architecture.rst}).

The machine decides what happens next; what that takes is done by its core, a
L{Core}.  An input that makes no sense in a state is an error, but for those
that may always come late.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from attrs import field, frozen
from automat import TypeMachineBuilder
from twisted.internet.defer import Deferred

from ockam_twisted.routing.addresses import Route


class State(Enum):
    """
    Where a session is in its life.
    """

    IDLE = "idle"
    TRYING = "trying"
    WAITING = "waiting"
    UP = "up"
    RENEWING = "up, renewing"


class Word:
    """
    What somebody on the way says of it.  Nobody proves it, so it is never
    more than a reason to look, or to have another way ready.

    @ivar gone: Told that the rest of the way is gone, and by whom.
    @ivar leaving: Told that a part of it will end soon, and which.
    @ivar roundTrip: How long the far end took to answer when it was asked last,
        seconds; L{None}: it has not yet.
    """

    roundTrip: float | None = None

    def __init__(self) -> None:
        self.gone: Callable[[str], object] = _nobody
        self.leaving: Callable[[str], object] = _nobody


def _nobody(reason: str) -> None:
    """
    Listens to no word.
    """


def _never() -> bool:
    return False


def _nothing() -> tuple[int, int]:
    return 0, 0


@frozen
class Established:
    """
    What a successful attempt has made.

    @ivar route: The way.
    @ivar lost: Fires with the reason when a part of it has ended.
    @ivar heard: A number that changes whenever the far end is heard.
    @ivar ping: Asks the far end for an answer; whether it failed does not
        matter, what is heard does.
    @ivar close: Ends all parts, politely.
    @ivar description: What was reached, for people.
    @ivar peer: Who is at its end, an identifier; empty: nobody has proven
        anything.
    @ivar carried: How many bytes it has carried, both ways; L{None} where
        no key wears out, so that it need not be made anew.
    @ivar isUsed: Would anybody notice if it ended?
    @ivar isBlocked: Is a connection of it held back by somebody who does not
        read, so that a ping could not come through?
    @ivar arriving: How many messages have come over its connections, and a number
        that changes with each piece of one that comes: a long message takes
        its time on a slow road, and so does one of which a packet was lost.
    @ivar isPatient: Is what is sent kept for the far end while it is away, for
        however long?  Then its silence means nothing, and time wears out no key.
    @ivar word: What is said of it.
    """

    route: Route
    lost: Deferred[str]
    heard: Callable[[], int]
    ping: Callable[[float], Deferred[bytes]]
    close: Callable[[], object]
    description: str
    peer: str = ""
    carried: Callable[[], int] | None = None
    isUsed: Callable[[], bool] = _never
    isBlocked: Callable[[], bool] = _never
    arriving: Callable[[], tuple[int, int]] = _nothing
    isPatient: bool = False
    word: Word = field(factory=Word)


class Life(Protocol):
    """
    What may happen to a session.
    """

    def start(self) -> None:
        """
        It shall begin.
        """

    def stop(self) -> None:
        """
        It shall end.
        """

    def due(self) -> None:
        """
        It is time for the next attempt.
        """

    def succeeded(self, established: Established) -> None:
        """
        The attempt has succeeded.
        """

    def failed(self, reason: str) -> None:
        """
        The attempt has failed.
        """

    def lost(self, reason: str) -> None:
        """
        What is in use has ended, or is silent.
        """

    def renew(self, reason: str) -> None:
        """
        What is in use shall be replaced.
        """


class Core(Protocol):
    """
    What a session does about it.
    """

    def attempt(self) -> None:
        """
        Make an attempt.
        """

    def cancelAttempt(self) -> None:
        """
        Give up the attempt.
        """

    def wait(self, reason: str) -> None:
        """
        Let some time pass before the next attempt.
        """

    def cancelWait(self) -> None:
        """
        No next attempt.
        """

    def comeUp(self, established: Established) -> None:
        """
        Use what the attempt has made, and watch it.
        """

    def goDown(self) -> float:
        """
        Use it no more, and end what is left of it.

        @return: How long it lasted, seconds.
        """

    def renew(self, reason: str) -> None:
        """
        Make an attempt while what is in use stays in use.
        """

    def replace(self, established: Established) -> None:
        """
        Use what the attempt has made; what was in use ends once nobody uses
        it any more.
        """

    def keep(self, reason: str) -> None:
        """
        The attempt has failed: what is in use stays for now.
        """

    def goOn(self, reason: str) -> None:
        """
        What was in use is lost, and the attempt under way goes on.
        """

    def discard(self, established: Established) -> None:
        """
        End what nobody has asked for any more.
        """

    def rest(self) -> None:
        """
        Nothing is to be done until the next start.
        """


_builder = TypeMachineBuilder(Life, Core)  # type: ignore[type-abstract]
_idle = _builder.state("idle")
_trying = _builder.state("trying")
_waiting = _builder.state("waiting")
_up = _builder.state("up")
_renewing = _builder.state("renewing")

# The attempt that was canceled ends; or nothing had begun.
_idle.upon(Life.failed).loop().returns(None)
_idle.upon(Life.stop).loop().returns(None)


@_idle.upon(Life.start).to(_trying)
def _begin(life: Life, core: Core) -> None:
    core.attempt()


@_idle.upon(Life.succeeded).loop()
def _tooLate(life: Life, core: Core, established: Established) -> None:
    core.discard(established)


@_trying.upon(Life.succeeded).to(_up)
def _established(life: Life, core: Core, established: Established) -> None:
    core.comeUp(established)


@_trying.upon(Life.failed).to(_waiting)
def _failed(life: Life, core: Core, reason: str) -> None:
    core.wait(reason)


@_waiting.upon(Life.due).to(_trying)
def _again(life: Life, core: Core) -> None:
    core.attempt()


@_up.upon(Life.lost).to(_waiting)
def _lost(life: Life, core: Core, reason: str) -> None:
    core.wait(f"down after {core.goDown():.0f} s: {reason}")


@_trying.upon(Life.stop).to(_idle)
def _stopTrying(life: Life, core: Core) -> None:
    core.cancelAttempt()
    core.rest()


@_waiting.upon(Life.stop).to(_idle)
def _stopWaiting(life: Life, core: Core) -> None:
    core.cancelWait()
    core.rest()


@_up.upon(Life.stop).to(_idle)
def _stopUp(life: Life, core: Core) -> None:
    core.goDown()
    core.rest()


@_up.upon(Life.renew).to(_renewing)
def _renew(life: Life, core: Core, reason: str) -> None:
    core.renew(reason)


@_renewing.upon(Life.succeeded).to(_up)
def _renewed(life: Life, core: Core, established: Established) -> None:
    core.replace(established)


@_renewing.upon(Life.failed).to(_up)
def _notRenewed(life: Life, core: Core, reason: str) -> None:
    core.keep(reason)


@_renewing.upon(Life.lost).to(_trying)
def _lostRenewing(life: Life, core: Core, reason: str) -> None:
    core.goOn(f"down after {core.goDown():.0f} s: {reason}")


@_renewing.upon(Life.stop).to(_idle)
def _stopRenewing(life: Life, core: Core) -> None:
    core.cancelAttempt()
    core.goDown()
    core.rest()


#: Makes the machine of one session.
makeLife = _builder.build()
