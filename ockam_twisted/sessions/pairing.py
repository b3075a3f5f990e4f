"""
The way of an inlet that was paired by a ticket: what the ticket pins is kept
before its code is sent, and from then on it takes no ticket (design, section
4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from attrs import evolve
from twisted.internet.defer import Deferred
from zope.interface import implementer

from ockam_twisted.authority.admission import outletDemand
from ockam_twisted.authority.ticket import PinnedOutlet, Ticket
from ockam_twisted.errors import EnrollmentRefused, InvalidTicket, LocalProtocolError, OckamError, RemoteProtocolError
from ockam_twisted.identity.trust import AnyTrust, TrustCredential, TrustIdentifier, TrustIdentifiers
from ockam_twisted.interfaces import IIdentityStore, IRotation, ITrustPolicy
from ockam_twisted.policies.policy import Policy
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.attempt import Parts, Walk, WayAttempt, begin
from ockam_twisted.sessions.destination import Destination, PinnedWay, destinations
from ockam_twisted.sessions.enrolment import enrol
from ockam_twisted.sessions.life import Established
from ockam_twisted.sessions.retriever import CredentialRetriever, redeemedSetting
from ockam_twisted.sessions.rotation import Rotation

#: Where it is kept what a ticket has pinned.
PAIRING = "pairing"


def pairingSetting(name: str) -> str:
    """
    Where that is kept of one of several inlets.
    """
    return f"{PAIRING}:{name}" if name else PAIRING


def storedPairing(data: bytes | None) -> Ticket | None:
    """
    What is kept of a ticket: everything but its code.

    @raise InvalidTicket: It is damaged.
    """
    if data is None:
        return None
    try:
        return Ticket.decode(data)
    except (RemoteProtocolError, LocalProtocolError):
        raise InvalidTicket("what is kept of the pairing is damaged") from None


def checkTicket(ticket: Ticket, paired: Ticket | None, isRedeemed: bool, now: int) -> None:
    """
    Can a ticket be used?

    @param paired: What an earlier one has pinned.
    @param isRedeemed: This one was redeemed before.
    @param now: Epoch seconds.
    @raise InvalidTicket: No.
    """
    if not isRedeemed:
        checkPins(ticket, paired)
        ticket.checkTime(now)


def checkLeadsToOutlet(ticket: Ticket) -> None:
    """
    Is a ticket for an inlet?

    @raise InvalidTicket: No.
    """
    if ticket.isOfRelay:
        raise InvalidTicket("this ticket was made by an ockam-relay: it is for an outlet's --relay-ticket")


def checkPins(ticket: Ticket, paired: Ticket | None) -> None:
    """
    Does a ticket lead to whom an earlier one has pinned?

    @raise InvalidTicket: No.
    """
    if paired is not None and pins(ticket) != pins(paired):
        raise InvalidTicket(
            f"this ticket leads to {_whom(ticket)}, but this inlet is paired with {_whom(paired)}: for another outlet "
            "run another inlet with --instance NAME, or forget the pairing with `ockam-twisted unpair`"
        )


def pins(ticket: Ticket) -> tuple[object, ...]:
    """
    Who must be at the other end.
    """
    return frozenset((each.peer, each.policy) for each in ticket.outlets), ticket.authority


def _whom(ticket: Ticket) -> str:
    whom = [str(each.peer) if each.peer else f"an outlet that {ticket.authority} attests" for each in ticket.outlets]
    return " and ".join(dict.fromkeys(whom))


def trustOf(ticket: Ticket) -> ITrustPolicy:
    """
    Whom to accept as an outlet.
    """
    policies = [trustOfOutlet(ticket, each) for each in ticket.outlets]
    return policies[0] if len(policies) == 1 else AnyTrust(*policies)


def trustOfOutlet(ticket: Ticket, outlet: PinnedOutlet) -> ITrustPolicy:
    """
    Whom to accept as one of its outlets.
    """
    if outlet.peer is not None:
        return TrustIdentifier(outlet.peer)
    assert ticket.authority is not None
    return TrustCredential(ticket.authority, outletDemand(Policy.fromText(outlet.policy), "outlet"))


class Pairing:
    """
    Which outlets an inlet may go to: as a ticket says that is to be redeemed,
    or one whose pins are kept.
    """

    def __init__(
        self, store: IIdentityStore, ticket: Ticket | None, ways: Iterable[PinnedWay] = (), name: str = ""
    ) -> None:
        """
        @param ticket: L{None}: there was one at an earlier start.
        @param ways: To the outlets, if not as the ticket says.
        @param name: Of the inlet.
        """
        self._setting = pairingSetting(name)
        self.store = store
        self._ticket = ticket
        self._ways = tuple(ways)

    @property
    def ticket(self) -> Ticket | None:
        """
        The ticket, until it was redeemed.
        """
        ticket = self._ticket
        if ticket is None or self.store.setting(redeemedSetting(ticket.digest)) is not None:
            return None
        return ticket

    def pinned(self) -> Ticket:
        """
        The ticket without its code, or what is kept of an earlier one.

        @raise InvalidTicket: There is none, or it leads to others than are
            pinned.
        """
        kept, ticket = storedPairing(self.store.setting(self._setting)), self.ticket
        if ticket is not None:
            checkLeadsToOutlet(ticket)
            checkPins(ticket, kept)
            return evolve(ticket, code=None)
        if kept is None:
            raise InvalidTicket("this inlet was never paired: give it a ticket of the outlet, with --ticket")
        return kept

    async def keep(self) -> None:
        """
        Remember whom the ticket pins.

        @raise InvalidTicket: See L{pinned}.
        """
        pinned = self.pinned().encode()
        if self.store.setting(self._setting) != pinned:
            await self.store.storeSetting(self._setting, pinned)
        else:
            await self.store.whenStored(self._setting)

    def destinations(self) -> tuple[Destination, ...]:
        """
        The outlets, each pinned.

        @raise InvalidTicket: See L{pinned}; or the ways cannot be those to
            the outlets.
        """
        pinned = self.pinned()
        if not self._ways:
            if not pinned.outlets or not all(each.ways for each in pinned.outlets):
                raise InvalidTicket("the ticket does not say where the outlet is: give the way with --to")
            return tuple(
                Destination(each.ways, trustOfOutlet(pinned, each), str(each.peer or "")) for each in pinned.outlets
            )
        trust = trustOf(pinned)
        for who, _ in self._ways:
            if who is not None and not trust.accepts(who):
                raise InvalidTicket(f"--to names {who}, but this inlet is paired with {_whom(pinned)}")
        return destinations(self._ways, trust, trust)

    def outlets(self) -> tuple[Destination, ...]:
        """
        The same; where it cannot be told, one that nobody can be at: the
        attempts to reach it say why.
        """
        try:
            return self.destinations()
        except OckamError:
            return (Destination((), TrustIdentifiers(())),)


@implementer(IRotation)
class PairedAttempt:
    """
    Tries to reach one of the outlets of a pairing; see the module.
    """

    def __init__(
        self,
        walk: Walk,
        pairing: Pairing,
        number: int,
        paired: Callable[[str], object],
        retriever: Callable[[], CredentialRetriever | None] = lambda: None,
    ) -> None:
        """
        @param number: Which of the outlets.
        @param paired: Told who the outlet is, once the ticket was accepted.
        @param retriever: Gets our credential, where there is an authority: it
            redeems the ticket, too.
        """
        self._walk = walk
        self._pairing = pairing
        self._number = number
        self._paired = paired
        self._retriever = retriever
        self._rotation: Rotation | None = None
        self._refused: EnrollmentRefused | None = None

    def start(self) -> Deferred[Established]:
        """
        See L{IAttempt.start}.
        """
        return Deferred.fromCoroutine(self._start())

    def moveOn(self) -> None:
        """
        See L{IRotation.moveOn}.
        """
        if self._rotation is not None:
            self._rotation.moveOn()

    async def _start(self) -> Established:
        # Before any code is sent: whatever happens then, it is known who may
        # be at the other end.
        await self._pairing.keep()
        if self._rotation is None:
            destination = self._pairing.destinations()[self._number]
            self._rotation = Rotation(
                self._walk.clock, destination.ways, lambda way: begin(partial(self._make, destination, way))
            )
        try:
            return await self._rotation.start()
        except OckamError:
            if self._refused is not None:
                raise self._refused from None
            raise

    async def _make(self, destination: Destination, way: MultiAddr, parts: Parts) -> Established:
        ticket, retriever = self._pairing.ticket, self._retriever()
        if ticket is not None and self._refused is None:
            try:
                ticket.checkTime(self._walk.party().now())
            except InvalidTicket as error:
                # It may have been accepted in time, and the answer lost.
                self._refused = EnrollmentRefused(str(error))
        if ticket is not None and ticket.code is not None and ticket.authority is None and self._refused is None:
            await self._enrol(ticket, way)
        elif retriever is not None:
            await retriever.whenTried()
        return await WayAttempt(self._walk, way, destination.trust).make(parts)

    async def _enrol(self, ticket: Ticket, way: MultiAddr) -> None:
        assert ticket.peer is not None and ticket.code is not None
        store = self._pairing.store
        try:
            await enrol(self._walk, way, ticket.peer, ticket.code)
        except EnrollmentRefused as error:
            # Asking again would be guessing; but it may be a member already.
            self._refused = error
            return
        if self._pairing.ticket is not None:
            await store.storeSetting(redeemedSetting(ticket.digest), b"")
            self._paired(str(ticket.peer))
