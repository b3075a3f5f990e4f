"""
The way of an inlet that was paired by a ticket: what the ticket pins is kept
before its code is sent, and from then on it takes no ticket (design, section
4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import evolve
from twisted.internet.defer import Deferred
from zope.interface import implementer

from ockam_twisted.authority.admission import outletDemand
from ockam_twisted.authority.ticket import Ticket
from ockam_twisted.errors import EnrollmentRefused, InvalidTicket, LocalProtocolError, OckamError, RemoteProtocolError
from ockam_twisted.identity.trust import TrustCredential, TrustIdentifier
from ockam_twisted.interfaces import IAttempt, IIdentityStore, ITrustPolicy
from ockam_twisted.policies.policy import Policy
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.attempt import Parts, Walk, WayAttempt, begin
from ockam_twisted.sessions.enrolment import enrol
from ockam_twisted.sessions.retriever import CredentialRetriever, redeemedSetting
from ockam_twisted.sessions.session import Established

#: Where it is kept what a ticket has pinned.
PAIRING = "pairing"


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
    return ticket.peer, ticket.policy, ticket.authority


def _whom(ticket: Ticket) -> str:
    return str(ticket.peer) if ticket.peer else f"an outlet that {ticket.authority} attests"


def trustOf(ticket: Ticket) -> ITrustPolicy:
    """
    Whom to accept as the outlet.
    """
    if ticket.peer is not None:
        return TrustIdentifier(ticket.peer)
    assert ticket.authority is not None
    return TrustCredential(ticket.authority, outletDemand(Policy.fromText(ticket.policy), "outlet"))


@implementer(IAttempt)
class PairedAttempt:
    """
    See the module.
    """

    def __init__(
        self,
        walk: Walk,
        store: IIdentityStore,
        ticket: Ticket | None,
        ways: Sequence[MultiAddr],
        paired: Callable[[str], object],
        retriever: Callable[[], CredentialRetriever | None] = lambda: None,
    ) -> None:
        """
        @param ticket: L{None}: there was one at an earlier start.
        @param ways: To the outlet, if not as the ticket says.
        @param paired: Told who the outlet is, once the ticket was accepted.
        @param retriever: Gets our credential, where there is an authority: it
            redeems the ticket, too.
        """
        self._walk = walk
        self._store = store
        self._ticket = ticket
        self._ways = tuple(ways)
        self._paired = paired
        self._retriever = retriever
        self._number = 0
        self._refused: EnrollmentRefused | None = None

    def start(self) -> Deferred[Established]:
        """
        See L{IAttempt.start}.
        """
        return begin(self._make)

    async def _make(self, parts: Parts) -> Established:
        pinned = storedPairing(self._store.setting(PAIRING))
        ticket = self._ticket
        if ticket is not None and self._store.setting(redeemedSetting(ticket.digest)) is not None:
            ticket = None
        if ticket is not None:
            checkPins(ticket, pinned)
            try:
                ticket.checkTime(self._walk.party().now())
            except InvalidTicket as error:
                # It may have been accepted in time, and the answer lost.
                self._refused = self._refused or EnrollmentRefused(str(error))
            if pinned != evolve(ticket, code=None):
                pinned = evolve(ticket, code=None)
                # Before the code is sent: whatever happens then, it is known
                # who may be at the other end.
                await self._store.storeSetting(PAIRING, pinned.encode())
        if pinned is None:
            raise InvalidTicket("this inlet was never paired: give it a ticket of the outlet, with --ticket")
        ways = self._ways or pinned.ways
        if not ways:
            raise InvalidTicket("the ticket does not say where the outlet is: give the way with --to")
        way = ways[self._number % len(ways)]
        self._number += 1
        retriever = self._retriever()
        if ticket is not None and ticket.code is not None and ticket.authority is None and self._refused is None:
            await self._enrol(ticket, way)
        elif retriever is not None:
            await retriever.whenTried()
        try:
            return await WayAttempt(self._walk, way, trustOf(pinned)).make(parts)
        except OckamError:
            if self._refused is not None:
                raise self._refused from None
            raise

    async def _enrol(self, ticket: Ticket, way: MultiAddr) -> None:
        assert ticket.peer is not None and ticket.code is not None
        try:
            await enrol(self._walk, way, ticket.peer, ticket.code)
        except EnrollmentRefused as error:
            # Asking again would be guessing; but it may be a member already.
            self._refused = error
            return
        await self._store.storeSetting(redeemedSetting(ticket.digest), b"")
        self._paired(str(ticket.peer))
