"""
Places and people as programs and operators name them, turned into what the
rooms work with.
"""

from __future__ import annotations

# Looking names up needs it, maybe as a user who cannot read Python's files.
import encodings.idna  # noqa: F401
import os
import re
import socket
from collections.abc import Callable, Iterable
from typing import Any, cast

from twisted.internet.endpoints import (
    UNIXServerEndpoint,
    clientFromString,
)
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.python.runtime import seconds

from ockam_twisted.config import dialEndpoint, listenEndpoint
from ockam_twisted.errors import ConfigurationError, InvalidMultiAddr, LocalProtocolError, OckamError
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import TrustEveryone, TrustIdentifiers
from ockam_twisted.interfaces import ITrustPolicy
from ockam_twisted.routing.addresses import Address, Route, printable
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.transports.dialing import dial
from ockam_twisted.transports.listening import ListeningEndpoint, listeningEndpoint
from ockam_twisted.transports.roads import clientEndpointOf, dialRoad, findRoad
from ockam_twisted.transports.secured import SecuredEndpoint, checkTLS

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


def clientEndpoint(reactor: Any, text: str, what: str = "an address to dial") -> IStreamClientEndpoint:
    """
    An endpoint to dial, from a shorthand, an endpoint string, or a MultiAddr
    that says no more than where to connect to.

    @param what: What it is for, for the error.
    @raise ConfigurationError: It is none of these.
    """
    if text.startswith("/"):
        address = MultiAddr.fromText(text)
        if len(address.road) != len(address):
            raise ConfigurationError(f"{what}: {printable(text)} says more than where to connect to")
        return dialRoad(reactor, address.road)
    text = dialEndpoint(text, what)
    prefix = text.partition(":")[0]
    if prefix == "ssl" and ":hostname=" not in text:
        raise ConfigurationError(
            f"{what}: {printable(text)} would accept any certificate: give tls:HOST:PORT, or add :hostname=HOST"
        )
    parts = text.split(":")
    if len(parts) == 3 and parts[0] == "tcp" and parts[1].startswith("host=") and parts[2].startswith("port="):
        # Twisted's own looks only for IPv4 addresses of a name.
        host, port = parts[1][5:], parts[2][5:]
        if re.fullmatch("[A-Za-z0-9._-]+", host) and re.fullmatch("[0-9]{1,5}", port):
            return dial(reactor, host, int(port))
    if prefix in ("tls", "ssl"):
        try:
            checkTLS()
        except ValueError as error:
            raise ConfigurationError(f"{what}: {error}") from None
    other = cast(IStreamClientEndpoint | None, _parsed(clientEndpointOf, reactor, text))
    if other is not None:
        return other
    endpoint = cast(IStreamClientEndpoint, _parsed(clientFromString, reactor, text))
    if prefix in ("tls", "ssl"):
        named = re.search(r":hostname=([^:]+)", text) if prefix == "ssl" else re.match(r"tls:(?:host=)?([^:]+)", text)
        return SecuredEndpoint(endpoint, reactor, printable(named[1]) if named else "the other end")
    return endpoint


def serverEndpoint(reactor: Any, text: str, what: str = "a place to listen") -> IStreamServerEndpoint:
    """
    An endpoint to listen on, from a shorthand or an endpoint string.

    @param what: What it is for, for the error.
    @raise ConfigurationError: It is neither.
    """
    text = listenEndpoint(text, what)
    return cast(IStreamServerEndpoint, _parsed(listeningEndpoint, reactor, text))


def _parsed(parse: Callable[[Any, str], object], reactor: Any, text: str) -> object:
    try:
        return parse(reactor, text)
    except OckamError:
        raise
    except Exception as error:
        # Parsers raise whatever they like: the files of certificates are read
        # here, too.
        why = printable(str(error) or type(error).__name__)
        raise ConfigurationError(f"not an endpoint that can be used: {printable(text)} ({why})") from None


def checkFree(reactor: Any, text: str) -> None:
    """
    Bind and close, where the endpoint string is of a TCP port; of a Unix
    socket, look for its folder.

    @raise ConfigurationError: The port cannot be had now.
    """
    endpoint: Any = serverEndpoint(reactor, text)
    while isinstance(endpoint, ListeningEndpoint) or hasattr(endpoint, "_wrappedEndpoint"):
        endpoint = endpoint.endpoint if isinstance(endpoint, ListeningEndpoint) else endpoint._wrappedEndpoint
    if isinstance(endpoint, UNIXServerEndpoint):
        folder = os.path.dirname(os.path.abspath(endpoint._address))
        if not os.path.isdir(folder):
            raise ConfigurationError(f"cannot listen on {printable(text)}: there is no folder {printable(folder)}")
    port, interface = getattr(endpoint, "_port", None), getattr(endpoint, "_interface", None)
    if not isinstance(port, int) or not isinstance(interface, str) or port == 0:
        return
    family = socket.AF_INET6 if ":" in interface else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((interface, port))
            probe.listen(1)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"cannot listen on {printable(text)}: {why}") from None


def checkRoad(address: MultiAddr, what: str) -> None:
    """
    Check that a MultiAddr begins with a connection to make, and that we can
    go where it leads from there.

    @param what: The option, for the error.
    @raise InvalidMultiAddr: No.
    """
    road = address.road
    if not road:
        raise InvalidMultiAddr(
            f"{what}: {printable(str(address))} does not begin with where to connect to, "
            "as in /dnsaddr/relay.example.com/tcp/4000"
        )
    try:
        findRoad(road)
    except InvalidMultiAddr as error:
        raise InvalidMultiAddr(f"{what}: {error}") from None
    for name, _ in address.components[len(road) :]:
        if name not in ("service", "worker", "secure"):
            raise InvalidMultiAddr(f"{what}: /{name} cannot come there in {printable(str(address))}")


def checkOrdered(address: MultiAddr, what: str) -> None:
    """
    Check that a road keeps all messages and their order, as streams need it.

    @param what: The option, for the error.
    @raise InvalidMultiAddr: It does not.
    """
    if not findRoad(address.road).isOrdered:
        raise InvalidMultiAddr(
            f"{what}: {printable(str(address))} goes over a road that loses messages, and streams need them all; "
            "/udp/PORT/quic loses none"
        )


def checkWay(address: MultiAddr, trust: ITrustPolicy, what: str, isForStreams: bool = True) -> None:
    """
    Check that a MultiAddr leads to an outlet, and through a secure channel
    where it matters who is there.

    @param what: The option, for the error.
    @param isForStreams: Otherwise only datagrams go there.
    @raise InvalidMultiAddr: It does not.
    @raise LocalProtocolError: There is no secure channel.
    """
    checkRoad(address, what)
    if isForStreams:
        checkOrdered(address, what)
    if len(address) <= len(address.road) or [*address][-1][0] not in ("service", "worker"):
        raise InvalidMultiAddr(
            f"{what}: {printable(str(address))} does not end with the outlet, as in /secure/api/service/outlet"
        )
    checkSecure(address, trust)


def checkSecure(address: MultiAddr, trust: ITrustPolicy) -> None:
    """
    Nobody can be told apart without a secure channel.

    @raise LocalProtocolError: There is none, and not everyone is trusted.
    """
    if not isinstance(trust, TrustEveryone) and "secure" not in (name for name, _ in address):
        raise LocalProtocolError(
            f"{printable(str(address))} has no secure channel, so nobody there proves who they are: "
            "it ends with /secure/api/service/outlet where there is one"
        )


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
