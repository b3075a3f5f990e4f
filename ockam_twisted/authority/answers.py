"""
The services of an authority: what each answers to a request (spec identity,
section 7.2).  Who asks is whoever the message's secure channel belongs to.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ockam_twisted.authority.authority import TOKEN_LIFETIME, Authority
from ockam_twisted.errors import DecodeError, EnrollmentRefused, InvalidIdentifier, LimitReached, LocalProtocolError
from ockam_twisted.identity.credentials import Attributes
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.members import Member
from ockam_twisted.routing.addresses import Address, printable
from ockam_twisted.routing.local_message import LocalMessage, PeerIdentity
from ockam_twisted.wire.api import (
    BAD_REQUEST,
    DELETE,
    FORBIDDEN,
    GET,
    METHOD_NOT_ALLOWED,
    POST,
    Request,
    Response,
    refuse,
    respond,
)
from ockam_twisted.wire.authority import (
    AttributesEntry,
    decodeCode,
    decodeMember,
    decodeTokenRequest,
    encodeAttributesEntry,
    encodeCode,
    encodeMemberIds,
    encodeMembers,
)

#: The addresses they answer at.
CREDENTIAL_ISSUER = "credential_issuer"
TOKEN_ISSUER = "enrollment_token_issuer"
TOKEN_ACCEPTOR = "enrollment_token_acceptor"
DIRECT_AUTHENTICATOR = "direct_authenticator"

#: Those that somebody who enrols may use.
ENROLMENT_WORKERS = (Address.local(TOKEN_ACCEPTOR), Address.local(CREDENTIAL_ISSUER))

#: Wrong codes that one channel may present.
GUESSES = 3

#: Channels whose wrong codes are counted at most.
_COUNTED = 4096

#: Makes a credential of somebody with attributes: C{issue(identifier,
#: attributes)}, encoded.
Issue = Callable[[Identifier, Attributes], Awaitable[bytes]]


def _path(request: Request) -> str:
    return request.path.strip("/")


class AuthorityAnswers:
    """
    Each method answers one address; see
    L{ockam_twisted.services.requests.RequestWorker}.
    """

    _log = Logger()

    def __init__(
        self,
        authority: Authority,
        identifier: Identifier,
        issue: Issue,
        enough: Callable[[Address], object],
        isOpen: bool = True,
    ) -> None:
        """
        @param identifier: Who the authority is.
        @param enough: Ends the channel of an encryptor: it has guessed often
            enough.
        @param isOpen: Does everybody get an answer?  Otherwise only members
            learn more than that a code was refused.
        """
        self._authority = authority
        self._identifier = identifier
        self._issue = issue
        self._enough = enough
        self._guesses: OrderedDict[Address, int] = OrderedDict()

    def _peer(self, message: LocalMessage) -> PeerIdentity:
        peer = message.peerIdentity
        # The worker takes nothing that did not come through a channel.
        assert peer is not None
        return peer

    def _member(self, message: LocalMessage) -> Member | None:
        return self._authority.member(self._peer(message).identifier)

    def _isEnroller(self, message: LocalMessage) -> bool:
        member = self._member(message)
        return member is not None and member.isEnroller

    def _denied(self, message: LocalMessage, what: str, why: str) -> None:
        self._log.warn(
            "{peer} asked for {what} and was refused: {reason}",
            peer=self._peer(message).identifier,
            what=what,
            reason=why,
            event="request-refused",
            audit="refused",
        )

    # ------------------------------------------------------- one's own word

    def issueCredential(self, request: Request, message: LocalMessage) -> Response | Deferred[Response]:
        """
        L{CREDENTIAL_ISSUER}: what is attested of who asks.
        """
        if request.method != POST:
            return refuse(request, METHOD_NOT_ALLOWED, "a credential is asked for with POST")
        if _path(request) not in ("", "credential"):
            return refuse(request, BAD_REQUEST, "unknown path")
        member = self._member(message)
        if member is None:
            self._denied(message, "a credential", "it is no member")
            return refuse(request, FORBIDDEN, "unauthorized member")

        async def issue(member: Member) -> Response:
            # Whom a restart makes a stranger is attested nothing.
            await self._authority.whenStored(member.identifier)
            credential = await self._issue(member.identifier, member.attributes)
            self._log.info(
                "{peer} was given a credential",
                peer=str(member.identifier),
                attributes=len(member.attributes),
                event="credential-issued",
                audit="allowed",
            )
            return respond(request, credential)

        return Deferred.fromCoroutine(issue(member))

    # --------------------------------------------------------------- tokens

    def issueToken(self, request: Request, message: LocalMessage) -> Response | Deferred[Response]:
        """
        L{TOKEN_ISSUER}: a one-time code, for enrollers.
        """
        if request.method != POST:
            return refuse(request, METHOD_NOT_ALLOWED, "a token is asked for with POST")
        if _path(request) not in ("", "tokens"):
            return refuse(request, BAD_REQUEST, "unknown path")
        if not self._isEnroller(message):
            self._denied(message, "a ticket", "it is no enroller")
            return refuse(request, FORBIDDEN, "not an enroller")
        try:
            asked = decodeTokenRequest(request.body or b"")
            making = self._authority.createToken(
                asked.attributes,
                TOKEN_LIFETIME if asked.ttl is None else asked.ttl,
                asked.uses or 1,
                by=self._peer(message).identifier,
            )
        except (DecodeError, LocalProtocolError) as error:
            return refuse(request, BAD_REQUEST, str(error))
        return making.addCallbacks(
            lambda made: respond(request, encodeCode(made[1])),
            lambda failure: failure.trap(LimitReached) and refuse(request, FORBIDDEN, failure.getErrorMessage()),
        )

    def acceptToken(self, request: Request, message: LocalMessage) -> Response | Deferred[Response]:
        """
        L{TOKEN_ACCEPTOR}: somebody presents a one-time code.  Who guesses
        learns that it was refused, and nothing more.
        """
        peer = self._peer(message)
        if request.method != POST:
            return refuse(request, METHOD_NOT_ALLOWED, "a code is presented with POST")
        if _path(request) not in ("", "credential"):
            return refuse(request, BAD_REQUEST, "unknown path")
        try:
            code = decodeCode(request.body or b"")
        except DecodeError as error:
            return self._guessed(request, peer, str(error))

        def refused(failure: Any) -> Response:
            failure.trap(EnrollmentRefused)
            return self._guessed(request, peer, failure.getErrorMessage())

        def redeemed(member: Member) -> Response:
            self._guesses.pop(peer.encryptor, None)
            return respond(request)

        return self._authority.redeem(code, Identifier(peer.identifier)).addCallbacks(redeemed, refused)

    def _guessed(self, request: Request, peer: PeerIdentity, why: str) -> Response:
        count = self._guesses.pop(peer.encryptor, 0) + 1
        self._guesses[peer.encryptor] = count
        if len(self._guesses) > _COUNTED:
            self._guesses.popitem(last=False)
        self._log.warn(
            "A code of {peer} was refused: {reason}",
            peer=peer.identifier,
            reason=printable(why),
            audit="refused",
            event="code-refused",
        )
        if count >= GUESSES:
            self._guesses.pop(peer.encryptor)
            self._enough(peer.encryptor)
        return refuse(request, FORBIDDEN, "refused")

    # -------------------------------------------------------------- members

    def authenticate(self, request: Request, message: LocalMessage) -> Response | Deferred[Response]:
        """
        L{DIRECT_AUTHENTICATOR}: enrollers manage members.
        """
        if not self._isEnroller(message):
            self._denied(message, "members", "it is no enroller")
            return refuse(request, FORBIDDEN, "not an enroller")
        first, _, rest = _path(request).partition("/")
        if first == "member_ids" and not rest:
            if request.method != GET:
                return refuse(request, METHOD_NOT_ALLOWED, "only GET")
            return respond(request, encodeMemberIds(each.identifier.digest for each in self._authority.members()))
        if first == "members":
            first = rest
        if request.method == POST and not first:
            return self._add(request, message)
        if not first:
            if request.method == GET:
                everybody = {each.identifier.digest: self._entry(each) for each in self._authority.members()}
                return respond(request, encodeMembers(everybody))
            if request.method == DELETE:
                return self._remove(request, [each.identifier for each in self._authority.members()], message)
            return refuse(request, METHOD_NOT_ALLOWED, "only GET, POST and DELETE")
        try:
            identifier = Identifier.parse(first)
        except InvalidIdentifier:
            return refuse(request, BAD_REQUEST, "unknown path")
        if request.method == DELETE:
            return self._remove(request, [identifier], message)
        if request.method != GET:
            return refuse(request, METHOD_NOT_ALLOWED, "only GET and DELETE")
        member = self._authority.member(identifier)
        if member is None:
            return refuse(request, FORBIDDEN, "not a member")
        return respond(request, encodeAttributesEntry(self._entry(member)))

    def _entry(self, member: Member) -> AttributesEntry:
        return AttributesEntry(member.attributes, member.added, None, self._identifier.digest)

    def _add(self, request: Request, message: LocalMessage) -> Response | Deferred[Response]:
        enroller = self._peer(message).identifier
        try:
            digest, attributes = decodeMember(request.body or b"")
            adding = self._authority.addMember(Identifier.fromDigest(digest), attributes, enroller)
        except (DecodeError, LocalProtocolError) as error:
            return refuse(request, BAD_REQUEST, str(error))
        return adding.addCallbacks(
            lambda _: respond(request),
            lambda failure: failure.trap(LimitReached) and refuse(request, FORBIDDEN, failure.getErrorMessage()),
        )

    def _remove(self, request: Request, whom: list[Identifier], message: LocalMessage) -> Deferred[Response]:
        """
        Remove members; whoever asks stays, so that somebody can undo it.
        """
        enroller = self._peer(message).identifier

        async def remove() -> Response:
            for each in whom:
                if each != enroller:
                    await self._authority.removeMember(each, enroller)
            return respond(request)

        return Deferred.fromCoroutine(remove())
