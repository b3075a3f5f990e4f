"""
Connecting to an IP address, with no more than that takes: no resolver, no
timer unless it has to be waited, and the protocol itself on the socket
(C{docs/performance.rst}).
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, NoProtocol, TimeoutError, getConnectError
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocolFactory,
    IStreamClientEndpoint,
    IWriteDescriptor,
)
from twisted.internet.posixbase import PosixReactorBase
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.routing.multiaddr import Component
from ockam_twisted.transports.pool import SocketPool

#: Seconds one attempt to connect may take.
DIAL_TIMEOUT = 10

_UNDER_WAY = (errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK, errno.EINTR)


def dial(reactor: Any, host: str, port: int) -> IStreamClientEndpoint:
    """
    The endpoint to dial a host and a port.

    @param host: An address, or a name: that may be of IPv4, IPv6 or both.
    """
    if canDial(reactor) and (isIPAddress(host) or (isIPv6Address(host) and "%" not in host)):
        return AddressEndpoint(reactor, host, port, DIAL_TIMEOUT)
    if isIPAddress(host):
        return TCP4ClientEndpoint(reactor, host, port, timeout=DIAL_TIMEOUT)
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port, timeout=DIAL_TIMEOUT)
    return HostnameEndpoint(reactor, host, port, timeout=DIAL_TIMEOUT)


def clientEndpoint(reactor: Any, components: tuple[Component, ...]) -> IStreamClientEndpoint:
    """
    See L{ockam_twisted.transports.roads}.
    """
    (_, host), (_, port) = components
    return dial(reactor, str(host), int(port))


def canDial(reactor: object) -> bool:
    """
    Does C{reactor} wait for sockets, and take over connections that somebody
    else has made?
    """
    return isinstance(reactor, PosixReactorBase | SocketPool)


@implementer(IStreamClientEndpoint)
class AddressEndpoint:
    """
    Connects to a TCP port at an IP address.
    """

    def __init__(self, reactor: Any, host: str, port: int, timeout: float) -> None:
        """
        @param reactor: One that L{canDial}.
        @param host: An address of IPv4 or IPv6, without a zone.
        @param timeout: Seconds one attempt may take.
        """
        self._reactor = reactor
        self._family = socket.AF_INET6 if isIPv6Address(host) else socket.AF_INET
        self._address = (host, port)
        # Made once, and not for each connection.
        self._peer = IPv4Address("TCP", host, port) if self._family == socket.AF_INET else None
        self._timeout = timeout

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """
        See C{IStreamClientEndpoint}.

        @return: Fires with the protocol, maybe at once; fails with
            C{ConnectError} or one of its kinds, or C{NoProtocol}.
        """
        attempt = _Attempt(self._reactor, protocolFactory, self._family, self._peer)
        attempt.begin(self._address, self._timeout)
        return attempt.done


@implementer(IWriteDescriptor)
class _Attempt:
    """
    One connection in the making.
    """

    _socket: socket.socket | None = None
    _deadline: IDelayedCall | None = None
    _isWaiting = False

    def __init__(self, reactor: Any, factory: IProtocolFactory, family: int, peer: IPv4Address | None = None) -> None:
        self._reactor = reactor
        self._factory = factory
        self._family = family
        self._peer = peer
        self.done: Deferred[Any] = Deferred(lambda _: self._close())

    def begin(self, address: tuple[str, int], timeout: float) -> None:
        try:
            self._socket = connecting = socket.socket(self._family, socket.SOCK_STREAM)
            connecting.setblocking(False)
            code = connecting.connect_ex(address)
            if code in _UNDER_WAY:
                # On the same machine it is there when the first call returns.
                code = connecting.connect_ex(address)
        except (OSError, OverflowError) as error:
            self._fail(getConnectError(error) if isinstance(error, OSError) else ConnectError(string=str(error)))
            return
        if code in _UNDER_WAY:
            self._isWaiting = True
            self._reactor.addWriter(self)
            self._deadline = self._reactor.callLater(timeout, self._timedOut)
        else:
            self._finish(0 if code == errno.EISCONN else code)

    def _finish(self, code: int) -> None:
        """
        It is there, or not.
        """
        connected = self._socket
        assert connected is not None
        if code:
            self._fail(getConnectError((code, os.strerror(code))))
            return
        self._stopWaiting()
        self._socket = None
        try:
            if isinstance(self._reactor, SocketPool):
                transport = self._reactor.adopt(connected, self._factory, self._peer)
            else:
                with connected:
                    # Which makes a descriptor of its own.
                    transport = self._reactor.adoptStreamConnection(connected.fileno(), self._family, self._factory)
        except Exception:
            self.done.errback(Failure())
            return
        if transport is None:
            self.done.errback(NoProtocol())
        else:
            self.done.callback(transport.protocol)

    def _fail(self, error: Exception) -> None:
        self._close()
        self.done.errback(error)

    def _timedOut(self) -> None:
        self._deadline = None
        self._fail(TimeoutError())

    def _stopWaiting(self) -> None:
        if self._isWaiting:
            self._isWaiting = False
            self._reactor.removeWriter(self)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        self._stopWaiting()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _look(self) -> None:
        if self._socket is not None:
            self._finish(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def fileno(self) -> int:
        """
        See C{IFileDescriptor}.
        """
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """
        See C{ILoggingContext}.
        """
        return "-"

    def doWrite(self) -> None:
        """
        Called by the reactor: there is an outcome.
        """
        self._look()

    def connectionLost(self, reason: Failure) -> None:
        """
        Called by the reactor, which does not look any more: there is one.
        """
        self._look()
