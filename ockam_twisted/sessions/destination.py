"""
Where an inlet can go: the outlets of one service, each with who it must be
and the ways to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ockam_twisted.errors import ConfigurationError, LocalProtocolError
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import AllTrust, TrustIdentifier, TrustIdentifiers
from ockam_twisted.interfaces import IAttempt, IRotation, ITrustPolicy
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.attempt import Walk, WayAttempt
from ockam_twisted.sessions.changing import Current
from ockam_twisted.sessions.direct import DirectAttempt
from ockam_twisted.sessions.life import Established
from ockam_twisted.sessions.rotation import Rotation
from ockam_twisted.sessions.session import Session

#: Outlets that one inlet can go to, and ways to all of them.
MAX_DESTINATIONS = 16
MAX_WAYS = 64


@frozen
class Destination:
    """
    One outlet.

    @ivar ways: To its worker, the preferred one first; at least one.
    @ivar trust: Who must be there.
    @ivar whom: Its identifier, where that is known.
    """

    ways: tuple[MultiAddr, ...]
    trust: ITrustPolicy = field(repr=False)
    whom: str = ""

    @property
    def key(self) -> object:
        """
        What it is told apart by.
        """
        return self.whom or self.ways


#: A way, and who must be at its end where that was said.
PinnedWay = tuple[Identifier | None, MultiAddr]


def readPinnedWay(text: str) -> PinnedWay:
    """
    Read C{MULTIADDR} or C{IDENTIFIER@MULTIADDR}.

    @raise InvalidIdentifier: What stands before the C{@} is none.
    @raise InvalidMultiAddr: The rest is none.
    """
    who, at, way = text.partition("@")
    if not at or "/" in who:
        return None, MultiAddr.fromText(text)
    return Identifier.parse(who), MultiAddr.fromText(way)


def soleIdentifier(trust: ITrustPolicy | None) -> Identifier | None:
    """
    The only one that a policy accepts, if that can be told.
    """
    if isinstance(trust, TrustIdentifier):
        return trust.identifier
    if isinstance(trust, TrustIdentifiers) and len(trust.identifiers) == 1:
        return next(iter(trust.identifiers))
    return None


def destinations(
    ways: Iterable[PinnedWay], trust: ITrustPolicy | None, within: ITrustPolicy | None = None
) -> tuple[Destination, ...]:
    """
    The outlets that ways lead to: those with the same identifier lead to the
    same one, each of the others to one of its own.

    @param trust: Who must be at the end of ways that do not say it.
    @param within: What must be true of everybody else, too.
    @raise LocalProtocolError: Nothing says who must be at the end of a way.
    @raise ConfigurationError: There are too many.
    """
    sole = soleIdentifier(trust)
    found: dict[object, Destination] = {}
    count = 0
    for who, way in ways:
        count += 1
        whom = who or sole
        if whom is None and trust is None:
            raise LocalProtocolError(f"nothing says who must be at the end of {way}: write IDENTIFIER@MULTIADDR")
        key = whom or count
        if key in found:
            found[key] = Destination((*found[key].ways, way), found[key].trust, found[key].whom)
        elif whom is None:
            assert trust is not None
            found[key] = Destination((way,), trust)
        else:
            pin: ITrustPolicy = TrustIdentifier(whom)
            found[key] = Destination((way,), pin if within is None else AllTrust(pin, within), str(whom))
    if len(found) > MAX_DESTINATIONS or count > MAX_WAYS:
        raise ConfigurationError(f"{len(found)} outlets, {count} ways: at most {MAX_DESTINATIONS} and {MAX_WAYS}")
    return tuple(found.values())


def labels(them: Sequence[Destination]) -> list[str]:
    """
    What the ways to them are called, for people.
    """
    if len(them) == 1:
        return ["way to the outlet"]
    return [f"way to outlet {each.whom or number}" for number, each in enumerate(them, 1)]


#: Adds direct ways to what a session tries.
Straighten = Callable[[IRotation], DirectAttempt]


class OutletSession(Session):
    """
    The session of one outlet.

    @ivar destination: Which one that is.
    @ivar current: What it tries.
    """

    def __init__(
        self,
        clock: IReactorTime,
        attempt: IAttempt,
        label: str,
        destination: Destination,
        straighten: Straighten | None = None,
    ) -> None:
        """
        @param straighten: Adds direct ways to what it tries.
        """
        self.current = Current(attempt)
        self.destination = destination
        self._straight = None if straighten is None else straighten(self.current)
        super().__init__(clock, self._straight or self.current, label)
        if self._straight is not None:
            self._straight.follow(self)

    def become(self, other: OutletSession, isTrustOther: bool) -> None:
        """
        Try what another session would, which never begins.

        @param isTrustOther: Does something else say who must be there?
        """
        before, self.destination = self.destination, other.destination
        isDoubted = isTrustOther and not before.whom
        if before.ways != other.destination.ways or isDoubted:
            if self._straight is not None:
                self._straight.forget()
            self.current.become(other.current.attempt, self, isDoubted)
        else:
            self.current.attempt = other.current.attempt


def sessionsTo(
    clock: IReactorTime,
    them: Sequence[Destination],
    attempt: Callable[[int, Destination], IAttempt],
    name: str = "",
    straighten: Straighten | None = None,
) -> list[OutletSession]:
    """
    A session for each.

    @param attempt: Makes what the session tries, from its number.
    @param name: Of the inlet, if it has one: tells these sessions from those of
        others.
    @param straighten: See L{OutletSession}.
    """
    of = f" ({name})" if name else ""
    return [
        OutletSession(clock, attempt(number, each), label + of, each, straighten)
        for number, (each, label) in enumerate(zip(them, labels(them), strict=True))
    ]


def rotationTo(walk: Walk, destination: Destination) -> Rotation:
    """
    Tries of every way to an outlet.
    """

    def begin(way: MultiAddr) -> Deferred[Established]:
        return WayAttempt(walk, way, destination.trust).start()

    return Rotation(walk.clock, destination.ways, begin)
