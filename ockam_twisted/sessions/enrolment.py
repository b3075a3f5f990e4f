"""
Becoming a member: a one-time code is presented to the one identity that it is
for (spec identity, section 7.3).
"""

from __future__ import annotations

from ockam_twisted.authority.answers import CREDENTIAL_ISSUER, TOKEN_ACCEPTOR
from ockam_twisted.errors import ConnectionClosed, EnrollmentRefused, NoRoute, RequestFailed
from ockam_twisted.identity.credentials import CredentialAndPurposeKey
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import TrustIdentifier
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.services.requests import accepted, request
from ockam_twisted.sessions.attempt import Parts, Walk
from ockam_twisted.wire.api import INTERNAL_ERROR, POST, Request, newId
from ockam_twisted.wire.authority import encodeCode

#: Seconds that the issuer has to answer.
TIMEOUT = 10.0

#: What is said of a code that was refused: nobody is told more than that.
#: Short, as log lines are cut.
REFUSED = (
    "the ticket was refused, ask for a new one: it was used, revoked or has expired (if you have not used it, the log "
    "of the node that made it names who has)"
)


async def channelTo(walk: Walk, way: MultiAddr, issuer: Identifier, parts: Parts) -> Route:
    """
    Make a channel to an issuer, and to nobody else.

    @param way: To its listener; what follows the last C{/secure} does not
        matter.
    @return: The route into the channel.
    """
    components = list(way)
    last = max(index for index, (protocol, _) in enumerate(components) if protocol == "secure")
    return await walk.along(MultiAddr(components[: last + 1]), TrustIdentifier(issuer), parts)


async def ask(walk: Walk, route: Route, worker: str, body: bytes | None = None) -> bytes | None:
    """
    Ask a service of an issuer for something.

    @param route: Into the channel.
    @return: The body of the response.
    @raise RequestFailed: It refuses.
    @raise TimedOut: It does not answer.
    @raise ConnectionClosed: It does not accept us.
    """
    to = route.append(Address.local(worker))
    response = await request(walk.router, walk.clock, to, Request(newId(), "/", POST, body), TIMEOUT)
    return accepted(response).body


async def enrol(walk: Walk, way: MultiAddr, issuer: Identifier, code: bytes) -> None:
    """
    Become a member.

    @param way: See L{channelTo}.
    @raise EnrollmentRefused: The code is not accepted.
    @raise OckamError: The issuer cannot be reached.
    """
    parts = Parts()
    try:
        route = await channelTo(walk, way, issuer, parts)
        try:
            await ask(walk, route, TOKEN_ACCEPTOR, encodeCode(code))
        except RequestFailed as error:
            if error.status >= INTERNAL_ERROR:
                # The issuer cannot, as its disk is full: the code still counts.
                raise
            raise EnrollmentRefused(REFUSED if error.status == 403 else f"the ticket was refused: {error}") from None
        except (ConnectionClosed, NoRoute):
            if parts.channels and parts.channels[-1].wasRefused:
                # No ticket is open there, so strangers are not listened to.
                raise EnrollmentRefused(REFUSED) from None
            raise
    finally:
        parts.close()


async def fetchCredential(walk: Walk, way: MultiAddr, issuer: Identifier) -> CredentialAndPurposeKey:
    """
    Fetch what an authority attests of us.

    @param way: See L{channelTo}.
    @raise RequestFailed: We are no member.
    @raise OckamError: It cannot be reached, or answers something else.
    """
    parts = Parts()
    try:
        route = await channelTo(walk, way, issuer, parts)
        return CredentialAndPurposeKey.decode(await ask(walk, route, CREDENTIAL_ISSUER) or b"")
    finally:
        parts.close()
