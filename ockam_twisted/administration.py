"""
What an operator asks of a node, running or stopped: tickets and members.

Everything goes in and comes out as what JSON can hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from ockam_twisted.authority.authority import Authority
from ockam_twisted.authority.ticket import MAX_OUTLETS, MAX_TEXT, MAX_WAYS, PinnedOutlet, Ticket
from ockam_twisted.errors import ConfigurationError, DecodeError, LocalProtocolError
from ockam_twisted.identity.credentials import Attributes
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.members import ENROLLER, OUTLET, RELAY, RESERVED, ROLE, EnrollmentToken
from ockam_twisted.identity.trust import TrustEveryone, TrustIdentifier, TrustIdentifiers
from ockam_twisted.interfaces import IIdentityStore
from ockam_twisted.places import checkWay
from ockam_twisted.policies.policy import Policy
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.destination import destinations, readPinnedWay
from ockam_twisted.wire import cbor

#: Where it is kept how this node is reached.
WAYS = "ways"


def encodeWays(ways: tuple[MultiAddr, ...]) -> bytes:
    """
    Ways as they are kept.
    """
    return cbor.encode([way.bytes for way in ways])


def decodeWays(data: bytes | None) -> tuple[MultiAddr, ...]:
    """
    Ways as they were kept.
    """
    try:
        return () if data is None else tuple(MultiAddr.fromBytes(each) for each in cbor.decode(data))
    except (DecodeError, LocalProtocolError, TypeError):
        return ()


class Administration:
    """
    See the module.  L{tasks} has everything by name; each takes the arguments
    it is given by name, and returns what it comes to, or a Deferred of it.

    @ivar takesTickets: Does the node accept the tickets that it makes?
    """

    def __init__(
        self,
        authority: Authority,
        store: IIdentityStore,
        identifier: Identifier,
        command: str,
        now: Callable[[], int],
    ) -> None:
        """
        @param command: What the node runs as, which decides what its tickets
            are for.
        """
        self._authority = authority
        self._store = store
        self._identifier = identifier
        self._command = command
        self._now = now
        self.takesTickets: Callable[[], bool] = lambda: True
        self.tasks: dict[str, Callable[..., Any]] = {
            "ticket create": self.createTicket,
            "ticket list": self.listTickets,
            "ticket revoke": self.revokeTicket,
            "member list": self.listMembers,
            "member add": self.addMember,
            "member remove": self.removeMember,
        }

    def run(self, task: str, arguments: Mapping[str, Any]) -> Deferred[Any]:
        """
        Run one.

        @return: Fires with what it comes to; fails with an
            L{ockam_twisted.errors.OckamError}.
        """
        call = self.tasks.get(task)

        async def run() -> Any:
            if call is None:
                raise ConfigurationError(f"this node has no task {task[:40]!a}")
            try:
                result = call(**arguments)
            except TypeError:
                raise ConfigurationError(f"{task} has other arguments") from None
            return await result if isinstance(result, Deferred) else result

        return Deferred.fromCoroutine(run())

    # -------------------------------------------------------------- tickets

    def ticketFor(self, code: bytes, expiresAt: int, outlets: tuple[PinnedOutlet, ...] = ()) -> Ticket:
        """
        The ticket for a code.

        @param outlets: Where it leads to, for the tickets of an authority.
        @raise ConfigurationError: There can be none.
        """
        ways = decodeWays(self._store.setting(WAYS))
        if not ways:
            raise ConfigurationError("it is not known yet how this node is reached: has it ever run?")
        if self._command != "ockam-authority":
            return Ticket(ways, self._identifier, expiresAt, code)
        first = outlets[0] if outlets else PinnedOutlet((), None)
        ticket = Ticket(
            first.ways, first.peer, expiresAt, code, first.policy, self._identifier, ways, tuple(outlets[1:])
        )
        if (
            len(outlets) > MAX_OUTLETS
            or any(len(each.ways) > MAX_WAYS for each in outlets)
            or len(str(ticket)) > MAX_TEXT
        ):
            raise ConfigurationError(f"that is too much for one ticket: {len(outlets)} outlets with all their ways")
        return ticket

    def _outlets(self, to: Sequence[str], peer: str, policy: str) -> tuple[PinnedOutlet, ...]:
        """
        The outlets that a ticket of an authority leads to.

        @raise OckamError: They are not told as they must be.
        """
        if self._command != "ockam-authority":
            if to or peer or policy:
                raise ConfigurationError("--to, --peer and --peer-policy are for tickets of an ockam-authority")
            return ()
        if policy:
            Policy.fromText(policy)
        ways = [readPinnedWay(each) for each in to]
        unnamed = [way for who, way in ways if who is None]
        if bool(unnamed) != bool(peer or policy) or (peer and policy):
            raise ConfigurationError(
                "a ticket for an inlet has --to IDENTIFIER@MULTIADDR, or --to MULTIADDR with one of --peer and "
                "--peer-policy"
            )
        for _, way in ways:
            checkWay(way, TrustIdentifiers(()), "--to")
        trust = TrustIdentifier(Identifier.parse(peer)) if peer else TrustEveryone()
        return tuple(
            PinnedOutlet(each.ways, Identifier.parse(each.whom)) if each.whom else PinnedOutlet(each.ways, None, policy)
            for each in destinations(ways, trust)
        )

    def createTicket(
        self,
        attributes: Mapping[str, str] = {},
        uses: int = 1,
        expires: int = 600,
        enroller: bool = False,
        relay: str = "",
        outlet: str = "",
        to: str | Sequence[str] = (),
        peer: str = "",
        policy: str = "",
        isStartup: bool = False,
    ) -> Deferred[dict[str, Any]]:
        """
        Make a ticket.

        @param relay: Which relay name its holder may have, or C{*}.
        @param outlet: As what outlet its holder may act.
        @param to: Of an authority: the ways to the outlets that it leads to,
            each C{MULTIADDR} or C{IDENTIFIER@MULTIADDR}.
        @param peer: Who must be at the end of those that do not say it.
        @param policy: Or what must be.
        @return: Fires with the text, its id and its end.
        @raise ConfigurationError: The node would never accept it.
        """
        granted = attributesOf(attributes, enroller, relay, outlet)

        if not self.takesTickets():
            raise ConfigurationError("this node takes no tickets: a relay does if it was started with --tickets")

        async def create() -> dict[str, Any]:
            # Whatever is wrong with it is found out before there is one.
            outlets = self._outlets([to] * bool(to) if isinstance(to, str) else to, peer, policy)
            self.ticketFor(bytes(32), 2**33, outlets)
            token, code = await self._authority.createToken(granted, int(expires), int(uses), isStartup)
            ticket = self.ticketFor(code, token.expiresAt, outlets)
            return {"ticket": str(ticket), "id": token.id, "expires": token.expiresAt, "uses": token.uses}

        return Deferred.fromCoroutine(create())

    def listTickets(self) -> list[dict[str, Any]]:
        """
        All tickets that are remembered, without their codes.
        """
        return [self._described(token) for token in self._authority.tokens()]

    def _described(self, token: EnrollmentToken) -> dict[str, Any]:
        now = self._now()
        state = (
            "revoked"
            if token.isRevoked
            else "used"
            if len(token.redemptions) >= token.uses
            else "expired"
            if now >= token.expiresAt
            else "open"
        )
        return {
            "id": token.id,
            "state": state,
            "created": token.createdAt,
            "expires": token.expiresAt,
            "uses": token.uses,
            "attributes": _texts(token.attributes),
            "usedBy": [{"identifier": str(each.identifier), "at": each.at} for each in token.redemptions],
        }

    def revokeTicket(self, id: str) -> Deferred[dict[str, Any]]:
        """
        Take a ticket back.
        """

        def revoked(found: bool) -> dict[str, Any]:
            if not found:
                raise ConfigurationError(f"there is no ticket {id[:40]!a}: `ockam-twisted ticket list` shows all")
            return {"id": id}

        return self._authority.revokeToken(id).addCallback(revoked)

    # -------------------------------------------------------------- members

    def listMembers(self) -> list[dict[str, Any]]:
        """
        All members.
        """
        return [
            {
                "identifier": str(member.identifier),
                "attributes": _texts(member.attributes),
                "added": member.added,
                "addedBy": member.addedBy,
            }
            for member in self._authority.members()
        ]

    def addMember(
        self,
        identifier: str,
        attributes: Mapping[str, str] = {},
        enroller: bool = False,
        relay: str = "",
        outlet: str = "",
    ) -> Deferred[dict[str, Any]]:
        """
        Add a member, or give one other attributes.
        """
        who = Identifier.parse(identifier)
        adding = self._authority.addMember(who, attributesOf(attributes, enroller, relay, outlet), "command")
        return adding.addCallback(lambda _: {"identifier": str(who)})

    def removeMember(self, identifier: str) -> Deferred[dict[str, Any]]:
        """
        Put a member out: what it has here ends at once.
        """
        who = Identifier.parse(identifier)

        def removed(found: bool) -> dict[str, Any]:
            if not found:
                raise ConfigurationError(f"{who} is no member: `ockam-twisted member list` shows all")
            return {"identifier": str(who), "revoked": revoked}

        revoked = [token.id for token in self._authority.openTokensOf(who)]
        return self._authority.removeMember(who, "command").addCallback(removed)


def attributesOf(given: Mapping[str, str], enroller: bool, relay: str, outlet: str) -> Attributes:
    """
    Attributes as the operator has named them.

    @raise ConfigurationError: One that opens doors was named like any other.
    """
    pairs = {str(key).encode(): str(value).encode() for key, value in given.items()}
    options = {ROLE: "--enroller", RELAY: "--relay-name NAME", OUTLET: "--outlet NAME"}
    for each in RESERVED:
        if each in pairs:
            raise ConfigurationError(f"{each.decode()} opens doors: it is granted by {options[each]} only")
    if enroller:
        pairs[ROLE] = ENROLLER
    if relay:
        pairs[RELAY] = relay.encode()
    if outlet:
        pairs[OUTLET] = outlet.encode()
    return tuple(sorted(pairs.items()))


def _texts(attributes: Attributes) -> dict[str, str]:
    return {key.decode("utf-8", "replace"): value.decode("utf-8", "replace") for key, value in attributes}
