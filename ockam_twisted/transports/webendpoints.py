"""
Where WebSockets are dialled and listened for (L{ockam_twisted.transports.roads}):
C{/tcp/PORT/ws}, C{/tcp/PORT/wss} or C{/tcp/PORT/tls/ws}, then maybe
C{/http-path/PATH}; C{ws:} and C{wss:}.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IListeningPort, IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from zope.interface import implementer

from ockam_twisted.routing.multiaddr import Component
from ockam_twisted.transports.dialing import dial
from ockam_twisted.transports.guests import Guests
from ockam_twisted.transports.layered import LayeredEndpoint
from ockam_twisted.transports.listening import ListeningEndpoint, listeningEndpoint
from ockam_twisted.transports.roads import hostComponents
from ockam_twisted.transports.secured import securedEndpoint
from ockam_twisted.transports.strings import arguments, port, unbracketed
from ockam_twisted.transports.tunnel import TunnelEndpoint, proxyFor
from ockam_twisted.transports.websocket import WebSocketClientProtocol, WebSocketServerProtocol
from ockam_twisted.wire.codecs import BARE

#: How many connections of one source address may be in their handshake, and
#: how many of all.
GUESTS, ALL_GUESTS = 32, 256


class WebSocketEndpoint(LayeredEndpoint):
    """
    Dials a WebSocket.
    """

    codec = BARE

    def __init__(self, clock: Any, endpoint: IStreamClientEndpoint, host: str, path: str = "/") -> None:
        """
        @param clock: For its deadlines.
        @param endpoint: What it goes over.
        @param host: Of the C{Host} header.
        @param path: What is asked for.
        """
        super().__init__(endpoint)
        self._clock = clock
        self._host = host
        self._path = path

    def layer(self, behind: Any, address: IAddress | None, done: Deferred[Any]) -> WebSocketClientProtocol:
        """
        See L{LayeredEndpoint.layer}.
        """
        return WebSocketClientProtocol(self._clock, behind, address, self._host, self._path, done)


class _ServerFactory(Factory):
    noisy = False

    def __init__(self, clock: Any, behind: Any, path: str) -> None:
        self._clock = clock
        self._behind = behind
        self._path = path
        self._guests = Guests()

    def buildProtocol(self, addr: IAddress | None) -> WebSocketServerProtocol | None:
        host = str(getattr(addr, "host", ""))
        guests = self._guests
        if guests.near(host) >= GUESTS or guests.total() >= ALL_GUESTS:
            return None
        return WebSocketServerProtocol(self._clock, self._behind, addr, self._path, guests.enter(host))


@implementer(IStreamServerEndpoint)
class WebSocketServerEndpoint:
    """
    Listens for WebSockets.
    """

    codec = BARE

    def __init__(self, clock: Any, endpoint: IStreamServerEndpoint, path: str = "") -> None:
        """
        @param clock: For its deadlines.
        @param endpoint: What they go over.
        @param path: What has to be asked for; empty for no matter what.
        """
        # For who looks whether it can be had.
        self._wrappedEndpoint = endpoint
        self._clock = clock
        self._path = path

    def listen(self, protocolFactory: Any) -> Deferred[IListeningPort]:
        """
        See C{IStreamServerEndpoint}.
        """
        return self._wrappedEndpoint.listen(_ServerFactory(self._clock, protocolFactory, self._path))


# ----------------------------------------------------------------- the road


def clientEndpoint(reactor: Any, components: tuple[Component, ...]) -> WebSocketEndpoint:
    """
    See L{ockam_twisted.transports.roads}.
    """
    (_, hostValue), (_, portValue), *over = components
    host, number = str(hostValue), int(portValue)
    names = [name for name, _ in over]
    isSecure = names[0] in ("wss", "tls")
    path = "/" + str(over[-1][1]).removeprefix("/") if names[-1] == "http-path" else "/"
    proxy = proxyFor(host, number, isSecure)
    endpoint = dial(reactor, host, number) if proxy is None else TunnelEndpoint(reactor, proxy, host, number)
    if isSecure:
        endpoint = securedEndpoint(endpoint, reactor, host)
    named = f"[{host}]" if ":" in host else host
    usual = 443 if isSecure else 80
    return WebSocketEndpoint(
        reactor, endpoint, named if number == usual else f"{named}:{number}", quote(path, safe="/?=&%")
    )


def components(prefix: str, rest: str) -> tuple[Component, ...]:
    """
    See L{ockam_twisted.transports.roads}: C{ws:HOST:PORT:path=/PATH}.
    """
    (host, number), named = arguments(rest, 2, ("path",))
    found: tuple[Component, ...] = (*hostComponents(unbracketed(host), port(number, 1)), (prefix, ""))
    path = named.get("path", "/")
    return found if path == "/" else (*found, ("http-path", path.removeprefix("/")))


def serverEndpoint(reactor: Any, prefix: str, rest: str) -> WebSocketServerEndpoint:
    """
    See L{ockam_twisted.transports.roads}: C{ws:}, maybe C{path=/PATH:}, then a
    port or an endpoint string; C{wss:} is C{ws:tls:}.
    """
    path = ""
    if rest.startswith("path="):
        path, _, rest = rest[5:].partition(":")
        if not path.startswith("/"):
            raise ValueError("a path begins with a slash, as in ws:path=/ockam:tcp:4000")
    if prefix == "wss":
        rest = f"tls:{rest}"
    elif rest.partition(":")[0].isdecimal():
        rest = f"tcp:{rest}"
    below: ListeningEndpoint = listeningEndpoint(reactor, rest)
    if below.codec is not None:
        raise ValueError(f"a WebSocket cannot go over {rest.partition(':')[0]}:")
    return WebSocketServerEndpoint(reactor, below, path)
