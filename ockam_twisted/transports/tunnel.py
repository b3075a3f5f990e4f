"""
Connecting through an HTTP proxy, by C{CONNECT} (RFC 9110, section 9.3.6), where
the environment says that there is one.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import h11
from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ConnectionLost, TimeoutError
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure

from ockam_twisted.transports.dialing import dial
from ockam_twisted.transports.layered import LayeredEndpoint, LayerProtocol

#: Seconds that a proxy may take, and bytes that its answer may have.
PATIENCE = 20.0
MAX_HEAD = 16 * 1024


@frozen
class Proxy:
    """
    A proxy.

    @ivar host: Where it is.
    @ivar port: Its port.
    @ivar authorization: The value of C{Proxy-Authorization}; empty for none.
    """

    host: str
    port: int
    authorization: str = field(default="", repr=False)


def proxyFor(host: str, port: int, isSecure: bool) -> Proxy | None:
    """
    What C{HTTPS_PROXY}, C{HTTP_PROXY}, C{ALL_PROXY} and C{NO_PROXY} say.

    @raise ValueError: It is no proxy that we can use.
    """
    found = getproxies_environment()
    url = found.get("https" if isSecure else "http") or found.get("all")
    if not url or proxy_bypass(f"{host}:{port}"):
        return None
    parts = urlsplit(url if "//" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("the proxy that the environment names is none of the form http://HOST:PORT")
    user = ""
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        user = "Basic " + b64encode(user.encode()).decode()
    return Proxy(parts.hostname, parts.port or 80, user)


class _Tunnel(LayerProtocol):
    """
    Asks the proxy.
    """

    def __init__(self, endpoint: TunnelEndpoint, factory: Any, address: IAddress | None, done: Deferred[Any]) -> None:
        super().__init__(endpoint.clock, factory, address, done)
        self._endpoint = endpoint
        self._http = h11.Connection(h11.CLIENT, MAX_HEAD)

    def connectionMade(self) -> None:
        """
        Ask.
        """
        endpoint = self._endpoint
        self.wait(PATIENCE, TimeoutError(string="the proxy does not answer"))
        headers = [("Host", endpoint.at)]
        if endpoint.proxy.authorization:
            headers.append(("Proxy-Authorization", endpoint.proxy.authorization))
        transport: Any = self.transport
        transport.write(self._http.send(h11.Request(method="CONNECT", target=endpoint.at, headers=headers)))
        self._http.send(h11.EndOfMessage())

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes from the proxy.
        """
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
            while isinstance(event, h11.InformationalResponse):
                event = self._http.next_event()
        except h11.RemoteProtocolError:
            self.fail(ConnectError(string="the proxy does not speak HTTP"))
            return
        if event is h11.NEED_DATA:
            return
        if not isinstance(event, h11.Response) or not 200 <= event.status_code < 300:
            status = event.status_code if isinstance(event, h11.Response) else "nothing"
            self.fail(ConnectError(string=f"the proxy answers {status} to CONNECT {self._endpoint.at}"))
            return
        rest = self._http.trailing_data[0]
        self.open()
        if rest and self._behind is not None:
            self._behind.dataReceived(rest)

    def whyLost(self, reason: Failure) -> Exception:
        """
        See L{LayerProtocol.whyLost}.
        """
        return ConnectionLost("the proxy has closed the connection")


class TunnelEndpoint(LayeredEndpoint):
    """
    Connects to a host through a proxy.

    @ivar clock: For its deadline.
    @ivar at: The host and its port, as the proxy is told.
    @ivar proxy: The proxy.
    """

    def __init__(self, reactor: Any, proxy: Proxy, host: str, port: int) -> None:
        super().__init__(dial(reactor, proxy.host, proxy.port))
        self.clock = reactor
        self.at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.proxy = proxy

    def layer(self, behind: Any, address: IAddress | None, done: Deferred[Any]) -> _Tunnel:
        """
        See L{LayeredEndpoint.layer}.
        """
        return _Tunnel(self, behind, address, done)
