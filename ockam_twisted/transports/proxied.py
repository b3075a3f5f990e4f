"""
Connections that a proxy has made for somebody else, and says so first: the
header of the PROXY protocol, version 1 or 2, on a socket.

Unlike Twisted's own wrapper this one reads the header and no byte more, and is
out of the way then: whoever has the connection has the socket itself, with its
two halves, and may hand it on; and knows from the beginning who the client is.
The header itself is read by Twisted's parsers.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress, IDelayedCall, IHalfCloseableProtocol, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.haproxy._v1parser import V1Parser
from twisted.protocols.haproxy._v2parser import V2Parser
from twisted.python.failure import Failure
from zope.interface import implementer

#: Seconds that a proxy has for its header.
PATIENCE = 10.0

#: How many connections may be without one at once.
MAX_WAITING = 256

#: Bytes of the part of a header of version 2 that says how long it is, of the
#: longest one that is read, and of the longest one of version 1.
_HEAD, _LONGEST, _LONGEST_TEXT = 16, 4096, 107

_SIGNATURE = V2Parser.PREFIX


class Header:
    """
    A header in the making.  Pure.

    @ivar client: Whose connection it is; L{None}: the proxy's own.
    @ivar at: Where that client has connected to.
    @ivar wanted: How many bytes may be read at once, so that no byte after
        the header is; 0: it is complete.
    """

    client: IAddress | None = None
    at: IAddress | None = None

    def __init__(self) -> None:
        self._data = b""
        self.wanted = len(_SIGNATURE)

    def add(self, data: bytes) -> None:
        """
        More of it.

        @raise ValueError: It is none.
        """
        have = self._data = self._data + data
        if have[: len(_SIGNATURE)] == _SIGNATURE:
            size = _HEAD if len(have) < _HEAD else _HEAD + int.from_bytes(have[14:16], "big")
            if size > _LONGEST:
                raise ValueError("too long")
            self.wanted = size - len(have)
            if self.wanted <= 0:
                self._complete(V2Parser.parse, have)
        elif have.startswith(b"PROXY ") or b"PROXY ".startswith(have):
            # None has less bytes than the signature; its end is not known
            # before it comes.
            self.wanted = max(1, len(_SIGNATURE) - len(have))
            if have.endswith(b"\r\n"):
                self._complete(V1Parser.parse, have[:-2])
            elif len(have) >= _LONGEST_TEXT:
                raise ValueError("too long")
        elif _SIGNATURE.startswith(have):
            self.wanted = len(_SIGNATURE) - len(have)
        else:
            raise ValueError("not a header of the PROXY protocol")

    def _complete(self, parse: Callable[[bytes], Any], header: bytes) -> None:
        self.wanted = 0
        try:
            info = parse(header)
        except Exception as error:
            # The parsers raise what they like.
            raise ValueError(str(error) or "it cannot be read") from None
        self.client, self.at = info.source, info.destination
        addresses: list[Any] = [self.client, self.at]
        for address in addresses:
            if hasattr(address, "host"):
                # Of version 1 it may be any text.
                ipaddress.ip_address(address.host)
                if not 0 <= address.port <= 65535:
                    raise ValueError("no port")


@implementer(IHalfCloseableProtocol)
class ProxiedConnection(Protocol):
    """
    Stands in front of a protocol until it is known who its client is; then
    hands everything on to it.
    """

    _log = Logger()
    _behind: Any = None
    _deadline: IDelayedCall | None = None

    def __init__(self, factory: ProxiedFactory, address: IAddress | None) -> None:
        """
        @param address: Of the proxy.
        """
        self._factory: Any = factory
        self._address = address
        self._header = Header()
        self._size = 0

    def connectionMade(self) -> None:
        """
        The proxy has connected.
        """
        transport: Any = self.transport
        self._size, transport.bufferSize = transport.bufferSize, self._header.wanted
        self._deadline = self._factory.clock.callLater(PATIENCE, self._refuse, "it has sent none")

    def dataReceived(self, data: bytes) -> None:
        """
        A part of the header.
        """
        transport: Any = self.transport
        try:
            self._header.add(data)
        except ValueError as error:
            self._refuse(str(error))
            return
        if self._header.wanted:
            transport.bufferSize = self._header.wanted
        else:
            transport.bufferSize = self._size
            self._arrived()

    def _arrived(self) -> None:
        factory, header = self._factory, self._header
        self._forget()
        behind = factory.behind.buildProtocol(header.client or self._address)
        transport: Any = self.transport
        if behind is None:
            transport.abortConnection()
            return
        self._behind = behind
        if header.client is not None and hasattr(behind, "proxied"):
            behind.proxied(header.client, header.at)
        # From now on it costs nothing.
        self.__dict__["dataReceived"] = behind.dataReceived
        behind.makeConnection(transport)

    def _refuse(self, why: str) -> None:
        self._factory.refused(why)
        transport: Any = self.transport
        transport.abortConnection()

    def _forget(self) -> None:
        self._factory.waiting.discard(self)
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def readConnectionLost(self) -> None:
        """
        See C{IHalfCloseableProtocol}.
        """
        halves = IHalfCloseableProtocol(self._behind, None)
        if halves is not None:
            halves.readConnectionLost()
        else:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """
        See C{IHalfCloseableProtocol}.
        """
        halves = IHalfCloseableProtocol(self._behind, None)
        if halves is not None:
            halves.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        It is over.
        """
        self._forget()
        behind, self._behind = self._behind, None
        if behind is not None:
            behind.connectionLost(reason)


class ProxiedFactory(Factory):
    """
    Puts L{ProxiedConnection} in front of what another factory makes.

    @ivar behind: The other factory.
    @ivar clock: For deadlines.
    @ivar waiting: Those whose header has not come yet.
    """

    noisy = False
    _log = Logger()

    def __init__(self, behind: Any, clock: IReactorTime) -> None:
        self.behind = behind
        self.clock = clock
        self.waiting: set[ProxiedConnection] = set()
        self._told = float("-inf")

    def doStart(self) -> None:
        """
        See C{IProtocolFactory}.
        """
        super().doStart()
        self.behind.doStart()

    def doStop(self) -> None:
        """
        See C{IProtocolFactory}.
        """
        super().doStop()
        self.behind.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """
        Somebody has connected.
        """
        if len(self.waiting) >= MAX_WAITING:
            self.refused("too many wait for theirs")
            return None
        made = ProxiedConnection(self, addr)
        self.waiting.add(made)
        return made

    def refused(self, why: str) -> None:
        """
        Log it, once in a while.
        """
        now = self.clock.seconds()
        if now - self._told >= 60:
            self._told = now
            self._log.warn(
                "A connection was closed that began with no header of the PROXY protocol: {reason}. "
                "Only proxies may connect to a haproxy: endpoint",
                reason=why,
                event="proxy-refused",
            )
