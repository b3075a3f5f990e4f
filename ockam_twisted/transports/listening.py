"""
Places to listen: what every port has besides what its endpoint string says.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from zope.interface import implementer

from ockam_twisted.transports.descriptors import guard
from ockam_twisted.transports.roads import serverEndpointOf
from ockam_twisted.transports.secured import checkTLS, demandingEndpoint
from ockam_twisted.transports.strings import arguments

_PROXIED = "haproxy:"

#: What is a socket of its own, with nothing around it.
_PLAIN = ("tcp", "tcp4", "tcp6", "unix", "systemd", "fd")


@implementer(IStreamServerEndpoint)
class ListeningEndpoint:
    """
    Listens with another endpoint.

    @ivar endpoint: The other one.
    @ivar isProxied: Do connections begin with a header of the PROXY protocol?
    """

    def __init__(self, endpoint: IStreamServerEndpoint, reactor: Any, isProxied: bool = False) -> None:
        self.endpoint = endpoint
        self.isProxied = isProxied
        self._reactor = reactor

    @property
    def codec(self) -> Any:
        """
        Of connections that keep messages: see
        L{ockam_twisted.transports.message}.
        """
        return getattr(self.endpoint, "codec", None)

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See C{IStreamServerEndpoint}.
        """
        if self.isProxied:
            from ockam_twisted.transports.proxied import ProxiedFactory

            protocolFactory = ProxiedFactory(protocolFactory, self._reactor)

        def listening(port: IListeningPort) -> IListeningPort:
            guard(port, self._reactor)
            return port

        return self.endpoint.listen(protocolFactory).addCallback(listening)


def listeningEndpoint(reactor: Any, text: str) -> ListeningEndpoint:
    """
    Read an endpoint string.

    @raise Exception: It is none that can be used; the text says why.
    """
    isProxied = text.startswith(_PROXIED)
    if isProxied:
        text = text[len(_PROXIED) :]
    kind, _, rest = text.partition(":")
    other = serverEndpointOf(reactor, text)
    if other is not None and not isProxied:
        return ListeningEndpoint(other, reactor)
    if isProxied and kind not in _PLAIN:
        raise ValueError(f"haproxy: goes before {', '.join(_PLAIN)}: the header of the PROXY protocol is not encrypted")
    if kind == "fd":
        return ListeningEndpoint(_inherited(reactor, rest), reactor, isProxied)
    if kind in ("tls", "ssl"):
        checkTLS()
    if kind == "tls":
        _checkCertificates(rest)
    if kind == "ssl" and ":clients=" in text:
        [port], named = arguments(rest, 1, ("privateKey", "certKey", "clients", "interface"))
        return ListeningEndpoint(demandingEndpoint(reactor, port, named), reactor)
    try:
        return ListeningEndpoint(serverFromString(reactor, text), reactor, isProxied)
    except (LookupError, TypeError):
        if kind != "systemd":
            raise
        raise ValueError(
            "systemd has given no such socket to this process: start it by its .socket unit, "
            "and name it as in systemd:domain=INET:index=0"
        ) from None


def _inherited(reactor: Any, text: str) -> IStreamServerEndpoint:
    """
    A socket that this process was started with.
    """
    if not text.isdecimal():
        raise ValueError("it is fd: and the number of an open descriptor, as in fd:3")
    try:
        with socket.socket(fileno=os.dup(int(text))) as given:
            family, isListening = given.family, given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except (OSError, OverflowError) as error:
        raise ValueError(f"descriptor {text} is no socket: {getattr(error, 'strerror', None) or error}") from None
    if not isListening:
        raise ValueError(f"descriptor {text} is a socket that does not listen")
    return AdoptedStreamServerEndpoint(reactor, int(text), family)


def _checkCertificates(rest: str) -> None:
    """
    Is there something in the folder that C{tls:} names?  Twisted says so only
    to those who connect.
    """
    place = rest.replace("\\:", "\0").partition(":")[0].replace("\0", ":")
    folder = Path(place.removeprefix("path="))
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: tls: listens with what PEM files in a folder have; for one: ssl:")
    files = sorted(folder.glob("*.pem"))
    if not files:
        raise ValueError(f"there is no file *.pem in {folder}, with a private key and its certificates")
    for file in files:
        file.read_bytes()
