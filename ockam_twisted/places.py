"""
Places and people as programs and operators name them, turned into what the
rooms work with.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from twisted.internet.endpoints import TCP4ClientEndpoint, clientFromString, serverFromString
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.python.runtime import seconds

from ockam_twisted.config import dialEndpoint, listenEndpoint
from ockam_twisted.errors import LocalProtocolError
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import TrustIdentifiers
from ockam_twisted.interfaces import ITrustPolicy
from ockam_twisted.routing.addresses import Address, Route

#: A place to send to, in whatever form is at hand.
Place = Route | Address | str | Iterable[Address | str]


def asRoute(place: Place) -> Route:
    """
    Make a route of an address, its text, or several of these.

    @raise InvalidAddress: A text is no address.
    """
    if isinstance(place, Route):
        return place
    if isinstance(place, Address):
        return Route((place,))
    return Route.of(*([place] if isinstance(place, str) else place))


def now() -> int:
    """
    Whole seconds since the Unix epoch.
    """
    return int(seconds())


def dial(reactor: Any, host: str, port: int) -> IStreamClientEndpoint:
    """
    The endpoint to dial a host and a port.
    """
    if host.replace(".", "").isdigit():
        # Nothing to look up, and no connection attempts side by side.
        return TCP4ClientEndpoint(reactor, host, port, timeout=10)
    text = dialEndpoint(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", "an address to dial")
    return cast(IStreamClientEndpoint, clientFromString(reactor, text))


def clientEndpoint(reactor: Any, text: str) -> IStreamClientEndpoint:
    """
    An endpoint to dial, from a shorthand or an endpoint string.

    @raise ConfigurationError: It is neither.
    """
    text = dialEndpoint(text, "an address to dial")
    parts = text.split(":")
    if len(parts) == 3 and parts[0] == "tcp" and parts[1].startswith("host=") and parts[2].startswith("port="):
        return dial(reactor, parts[1][5:], int(parts[2][5:]))
    return cast(IStreamClientEndpoint, clientFromString(reactor, text))


def serverEndpoint(reactor: Any, text: str) -> IStreamServerEndpoint:
    """
    An endpoint to listen on, from a shorthand or an endpoint string.

    @raise ConfigurationError: It is neither.
    """
    return cast(IStreamServerEndpoint, serverFromString(reactor, listenEndpoint(text, "a place to listen")))


def trustPolicy(authorized: Iterable[str], trust: ITrustPolicy | None = None) -> ITrustPolicy:
    """
    Whom to accept: a policy, or identifiers in text.

    @raise InvalidIdentifier: One of them is none.
    @raise LocalProtocolError: There is nobody.
    """
    if trust is not None:
        return trust
    identifiers = [Identifier.parse(each) for each in authorized]
    if not identifiers:
        raise LocalProtocolError("nobody is trusted by default: say who is authorized, or trust=TrustEveryone()")
    return TrustIdentifiers(identifiers)
