"""
Members and enrollment tokens: who is in, and how somebody gets in (spec
identity, section 7.2; design, section 4).
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from ockam_twisted.errors import EnrollmentRefused, LimitReached, LocalProtocolError
from ockam_twisted.identity.credentials import Attributes
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.members import EnrollmentToken, Member, Redemption, hashCode
from ockam_twisted.interfaces import IMemberStore
from ockam_twisted.wire.authority import CODE_SIZE, MAX_ATTRIBUTES, MAX_KEY, MAX_VALUE

#: Seconds that a token is good for, unless somebody says otherwise, and at
#: most.
TOKEN_LIFETIME = 600
MAX_TOKEN_LIFETIME = 365 * 86400

#: How many may redeem one token at most.
MAX_USES = 10_000

#: How many tokens and members are kept, and how long a token that is of no
#: more use, seconds: so that the log can tell a used one from an unknown one.
MAX_TOKENS = 10_000
MAX_MEMBERS = 100_000
REMEMBERED = 30 * 86400

#: What is changed while somebody redeems a token.
Watcher = Callable[[Identifier], object]


class Authority:
    """
    See the module.

    @ivar watchers: Called with each identifier whose membership or attributes
        have changed.
    @ivar redeemed: Called with the token and the new member of each
        redemption.
    """

    _log = Logger()

    def __init__(self, store: IMemberStore, now: Callable[[], int]) -> None:
        """
        @param now: Tells the calendar time, seconds since the Unix epoch.
        """
        self.watchers: list[Watcher] = []
        self.redeemed: list[Callable[[EnrollmentToken, Member], object]] = []
        self._store = store
        self._now = now
        self._untold: dict[Identifier, tuple[EnrollmentToken, Member]] = {}

    # ------------------------------------------------------------- members

    def member(self, identifier: str) -> Member | None:
        """
        What is known of a member.
        """
        return self._store.members().get(identifier)  # type: ignore[call-overload, no-any-return]

    def whenStored(self, identifier: Identifier) -> Deferred[None]:
        """
        @return: Fires once it is on the disk whether somebody is a member;
            fails with L{ockam_twisted.errors.StateUnusable}.
        """
        return self._store.whenStored(identifier)

    def members(self) -> list[Member]:
        """
        All of them, the first added first.
        """
        return sorted(self._store.members().values(), key=lambda member: (member.added, member.identifier))

    def addMember(self, identifier: Identifier, attributes: Attributes, addedBy: str) -> Deferred[None]:
        """
        Add a member, or give one other attributes.

        @return: Fires once it is stored.
        """
        if identifier not in self._store.members() and len(self._store.members()) >= MAX_MEMBERS:
            return fail(LimitReached(f"there are {MAX_MEMBERS} members already"))
        checkAttributes(attributes)
        storing = self._store.storeMember(Member(identifier, attributes, self._now(), addedBy))
        self._log.info(
            "{peer} is a member now, added by {by}",
            peer=str(identifier),
            by=addedBy,
            event="member-added",
            audit="changed",
        )
        self._changed(identifier)
        return storing

    def removeMember(self, identifier: Identifier, by: str = "") -> Deferred[bool]:
        """
        Put a member out, and take back the ticket by which it came, if that
        is still open: it would come again, as somebody else.

        @param by: Who does; for the log.
        @return: Fires with whether there was one, once it is stored; what it
            had here has ended by then.
        """
        if identifier not in self._store.members():
            # It may be there again after a restart, if that was not stored.
            return self.whenStored(identifier).addCallback(lambda _: False)
        for token in self.openTokensOf(identifier):
            self._revoke(token)
        removing = self._store.deleteMember(identifier)
        self._log.info(
            "{peer} is no member any more, removed by {by}",
            peer=str(identifier),
            by=by or "this program",
            event="member-removed",
            audit="changed",
        )
        self._changed(identifier)
        return removing.addCallback(lambda _: True)

    def openTokensOf(self, identifier: Identifier) -> list[EnrollmentToken]:
        """
        The tokens that somebody has redeemed and others could still.
        """
        now = self._now()
        return [each for each in self.tokens() if each.isOpen(now) and each.isRedeemedBy(identifier)]

    def _changed(self, identifier: Identifier) -> None:
        for watcher in list(self.watchers):
            try:
                watcher(identifier)
            except Exception:
                # The others must hear of it nevertheless.
                self._log.failure(
                    "A change of {peer} was not followed", peer=str(identifier), event="member-change-failed"
                )

    # -------------------------------------------------------------- tokens

    def tokens(self) -> list[EnrollmentToken]:
        """
        All that are remembered, the first created first.
        """
        return sorted(self._store.tokens().values(), key=lambda token: (token.createdAt, token.codeHash))

    def hasOpenToken(self) -> bool:
        """
        Could somebody new come in?
        """
        now = self._now()
        return any(token.isOpen(now) for token in self._store.tokens().values())

    def createToken(
        self,
        attributes: Attributes = (),
        lifetime: int = TOKEN_LIFETIME,
        uses: int = 1,
        isStartup: bool = False,
        by: str = "command",
    ) -> Deferred[tuple[EnrollmentToken, bytes]]:
        """
        Make a token.

        @param lifetime: Seconds.
        @param isStartup: It replaces the one of the last start.
        @param by: Who asks for it; for the log.
        @return: Fires with it and its code once it is stored.
        """
        checkAttributes(attributes)
        if not 1 <= lifetime <= MAX_TOKEN_LIFETIME:
            raise LocalProtocolError(f"a ticket is good for 1 to {MAX_TOKEN_LIFETIME} seconds")
        if not 1 <= uses <= MAX_USES:
            raise LocalProtocolError(f"a ticket has 1 to {MAX_USES} uses")
        now = self._now()
        tokens = self._store.tokens()
        useless = {each.codeHash for each in tokens.values() if each.expiresAt + REMEMBERED < now}
        if isStartup:
            useless |= {each.codeHash for each in tokens.values() if each.isStartup and not each.redemptions}
        if len(tokens) - len(useless) >= MAX_TOKENS:
            return fail(LimitReached(f"there are {MAX_TOKENS} tickets already: revoke some"))
        code = os.urandom(CODE_SIZE)
        token = EnrollmentToken(hashCode(code), attributes, now, now + lifetime, uses, isStartup=isStartup)
        if isStartup:
            for each in tokens.values():
                if each.isStartup and each.redemptions and each.isOpen(now):
                    self._revoke(each)
        if useless:
            self._store.deleteTokens(useless).addErrback(
                lambda failure: self._log.failure(
                    "Tickets that count no more were not deleted", failure, event="tickets-not-deleted"
                )
            )
        self._log.info(
            "Ticket {ticket} was made by {by}, for {uses}",
            ticket=token.id,
            by=by,
            uses=uses,
            event="ticket-made",
            audit="changed",
        )
        return self._store.storeToken(token).addCallback(lambda _: (token, code))

    def revokeToken(self, id: str) -> Deferred[bool]:
        """
        Take a token back; who has redeemed it stays.

        @param id: As L{EnrollmentToken.id}.
        @return: Fires with whether there was one, once it is stored.
        """
        found = [each for each in self._store.tokens().values() if each.id == id]
        if not found:
            return succeed(False)
        return self._withdraw(found[0]).addCallback(lambda _: True)

    def expireTokens(self) -> int:
        """
        Take back every token: the clock cannot be trusted.

        @return: How many were open.
        """
        now = self._now()
        # Those too that a clock set back has made open again.
        open = [each for each in self._store.tokens().values() if not each.isRevoked and each.expiresAt > now]
        for token in open:
            self._revoke(token)
        return len(open)

    def _revoke(self, token: EnrollmentToken) -> None:
        self._withdraw(token).addErrback(
            lambda failure: self._log.failure(
                "A ticket was not taken back on the disk", failure, event="ticket-not-withdrawn"
            )
        )

    def _withdraw(self, token: EnrollmentToken) -> Deferred[None]:
        self._log.info("Ticket {ticket} was revoked", ticket=token.id, event="ticket-revoked", audit="changed")
        return self._store.storeToken(_revoked(token))

    def redeem(self, code: bytes, identifier: Identifier) -> Deferred[Member]:
        """
        Make somebody a member.  Who presents the same code again succeeds
        again.

        @return: Fires with the member once it is stored; fails with
            L{EnrollmentRefused}, whose text is for our log and not for the
            peer, or with L{ockam_twisted.errors.StateUnusable}.
        """
        digest = hashCode(code)
        token: EnrollmentToken | None = None
        for each in self._store.tokens().values():
            if hmac.compare_digest(each.codeHash, digest):
                token = each
        now = self._now()
        member = self.member(identifier)
        why = ""
        if token is None:
            why = "the code is unknown"
        elif token.isRedeemedBy(identifier) and member is not None:
            return self._redeemed(self.whenStored(identifier), member)
        elif token.isRedeemedBy(identifier) and token.isOpen(now):
            why = f"it was removed after it had used ticket {token.id}"
        elif token.isRevoked:
            why = f"ticket {token.id} was revoked"
        elif token.redemptions and len(token.redemptions) >= token.uses:
            who = ", ".join(str(each.identifier) for each in token.redemptions[:3])
            why = f"ticket {token.id} was used before, by {who}"
        elif not token.isOpen(now):
            why = f"ticket {token.id} has expired"
        elif member is not None:
            why = "already a member"
        elif len(self._store.members()) >= MAX_MEMBERS:
            why = "there are too many members"
        if why or token is None:
            return fail(EnrollmentRefused(why))
        used = EnrollmentToken(
            token.codeHash,
            token.attributes,
            token.createdAt,
            token.expiresAt,
            token.uses,
            (*token.redemptions, Redemption(identifier, now)),
            isStartup=token.isStartup,
        )
        made = Member(identifier, token.attributes, now, f"ticket {token.id}")
        self._untold[identifier] = used, made
        storing = self._store.storeRedemption(used, made)
        self._changed(identifier)
        return self._redeemed(storing, made)

    def _redeemed(self, storing: Deferred[None], member: Member) -> Deferred[Member]:
        """
        Say of a redemption, once it is stored, that it was made; only once,
        however often it is repeated.
        """

        def stored(_: None) -> Member:
            untold = self._untold.pop(member.identifier, None)
            if untold is not None:
                for call in list(self.redeemed):
                    call(*untold)
            return member

        return storing.addCallback(stored)


def _revoked(token: EnrollmentToken) -> EnrollmentToken:
    return EnrollmentToken(
        token.codeHash,
        token.attributes,
        token.createdAt,
        token.expiresAt,
        token.uses,
        token.redemptions,
        True,
        token.isStartup,
    )


def checkAttributes(attributes: Attributes) -> None:
    """
    @raise LocalProtocolError: There are too many, or one is too long, twice
        there, or no text.
    """
    if len(attributes) > MAX_ATTRIBUTES or len(dict(attributes)) != len(attributes):
        raise LocalProtocolError(f"a member has at most {MAX_ATTRIBUTES} attributes, each once")
    for key, value in attributes:
        if not 0 < len(key) <= MAX_KEY or len(value) > MAX_VALUE:
            raise LocalProtocolError(f"attributes have keys of 1 to {MAX_KEY} and values of up to {MAX_VALUE} bytes")
        try:
            key.decode(), value.decode()
        except UnicodeDecodeError:
            raise LocalProtocolError("keys and values of attributes are text") from None
