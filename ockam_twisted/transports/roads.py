"""
The roads there are: what a connection can be made over, how it stands in a
MultiAddr and in an endpoint string, and which module makes it
(C{docs/transports.rst}).

A module of a road has these functions, and is imported when it is needed:

  - C{clientEndpoint(reactor, components)}: the endpoint to dial what these
    components of a MultiAddr say;
  - C{serverEndpoint(reactor, prefix, rest)}: the endpoint to listen at what
    the endpoint string C{prefix:rest} says;
  - C{components(prefix, rest)}: those of a MultiAddr that say the same as the
    endpoint string to dial C{prefix:rest}.

What they cannot use is C{ValueError}, with one line that says why.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint

from ockam_twisted.errors import InvalidMultiAddr
from ockam_twisted.routing.addresses import printable
from ockam_twisted.routing.multiaddr import Component, MultiAddr

#: What stands for any kind of host below.
HOST = "HOST"
_HOSTS = ("dnsaddr", "ip4", "ip6")


@frozen
class Road:
    """
    One row.

    @ivar name: What it is called.
    @ivar patterns: What stands in a MultiAddr for it: names of protocols.
    @ivar prefixes: What its endpoint strings begin with; none: Twisted's own.
    @ivar module: Where it is made.
    @ivar extra: What has to be installed with this package for it; empty:
        nothing.
    @ivar isOrdered: Does what is sent arrive, all of it and in order, as
        portals need it?
    @ivar isMeetingPlace: Do both sides say the same, so that who listens knows how
        he is reached?
    """

    name: str
    patterns: tuple[tuple[str, ...], ...]
    prefixes: tuple[str, ...]
    module: str
    extra: str = ""
    isOrdered: bool = True
    isMeetingPlace: bool = False

    def load(self) -> Any:
        """
        @return: Its module.
        @raise ValueError: A library that it needs is not installed.
        """
        try:
            return import_module(f"ockam_twisted.transports.{self.module}")
        except ModuleNotFoundError as error:
            if not self.extra or str(error.name).startswith("ockam_twisted"):
                raise
            raise ValueError(f"{self.name} needs: pip install 'ockam_twisted[{self.extra}]'") from None


_OVER = ((HOST, "tcp", "ws"), (HOST, "tcp", "wss"), (HOST, "tcp", "tls", "ws"))
_WEBSOCKETS = (*_OVER, *((*each, "http-path") for each in _OVER))

#: All of them.
ROADS = (
    Road("TCP", ((HOST, "tcp"),), (), "dialing"),
    Road("TLS", ((HOST, "tcp", "tls"),), (), "secured"),
    Road("WebSocket", _WEBSOCKETS, ("ws", "wss"), "webendpoints"),
    Road("UDP", ((HOST, "udp"),), ("udp",), "udp", isOrdered=False),
    Road("QUIC", ((HOST, "udp", "quic"),), ("quic",), "quic", "quic"),
    Road("Unix sockets", (("unix",),), ("uds",), "uds"),
    Road("Bluetooth", (("ble",),), ("ble",), "ble"),
    Road("Kafka", ((HOST, "tcp", "kafka"),), ("kafka",), "kafka", "kafka", isMeetingPlace=True),
)


def hostComponents(host: str, port: int, carrier: str = "tcp") -> tuple[Component, Component]:
    """
    The components of a host and a port.

    @param host: A name, or an address.
    @raise InvalidMultiAddr: It is neither.
    """
    kind = "ip6" if ":" in host else "ip4" if re.fullmatch(r"[0-9.]+", host) else "dnsaddr"
    first, second = MultiAddr(((kind, host), (carrier, port)))
    return first, second


def findRoad(components: tuple[Component, ...]) -> Road:
    """
    @param components: L{MultiAddr.road}.
    @raise InvalidMultiAddr: There is no such road.
    """
    names = tuple(HOST if name in _HOSTS else name for name, _ in components)
    for road in ROADS:
        if names in road.patterns:
            return road
    raise InvalidMultiAddr(f"there is no transport for {printable(str(MultiAddr(components)))}")


def dialRoad(reactor: Any, components: tuple[Component, ...]) -> IStreamClientEndpoint:
    """
    @param components: L{MultiAddr.road}.
    @return: The endpoint to dial what they say.
    @raise InvalidMultiAddr: There is no such road, or it cannot be gone here.
    """
    try:
        endpoint: IStreamClientEndpoint = findRoad(components).load().clientEndpoint(reactor, components)
    except ValueError as error:
        raise InvalidMultiAddr(f"{printable(str(MultiAddr(components)))}: {error}") from None
    return endpoint


def roadOfString(text: str) -> tuple[Road, str, str] | None:
    """
    @param text: An endpoint string.
    @return: The road that it is of, its prefix, and the rest; L{None} if it is
        one of Twisted's own.
    """
    prefix, _, rest = text.partition(":")
    for road in ROADS:
        if prefix in road.prefixes:
            return road, prefix, rest
    return None


def componentsOfString(text: str) -> tuple[Component, ...] | None:
    """
    @param text: An endpoint string to dial.
    @return: The components of a MultiAddr that say the same; L{None} if it is
        one of Twisted's own.
    @raise ValueError: It cannot be used; the text says why.
    """
    found = roadOfString(text)
    if found is None:
        return None
    road, prefix, rest = found
    return tuple(road.load().components(prefix, rest))


def clientEndpointOf(reactor: Any, text: str) -> IStreamClientEndpoint | None:
    """
    @param text: An endpoint string to dial.
    @return: L{None} if it is one of Twisted's own.
    @raise ValueError: It cannot be used; the text says why.
    """
    said = componentsOfString(text)
    if said is None:
        return None
    endpoint: IStreamClientEndpoint = findRoad(said).load().clientEndpoint(reactor, said)
    return endpoint


def serverEndpointOf(reactor: Any, text: str) -> IStreamServerEndpoint | None:
    """
    @param text: An endpoint string to listen at.
    @return: L{None} if it is one of Twisted's own.
    @raise ValueError: It cannot be used; the text says why.
    """
    found = roadOfString(text)
    if found is None:
        return None
    road, prefix, rest = found
    endpoint: IStreamServerEndpoint = road.load().serverEndpoint(reactor, prefix, rest)
    return endpoint
