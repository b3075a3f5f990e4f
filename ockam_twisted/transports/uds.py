"""
The Unix-socket transport of the Rust implementation: transport messages in
BARE, each behind its length in two bytes, with no word before the first one
(spec messaging, section 10).

Two nodes of ours may as well use C{unix:}, which is as fast as TCP: its frames
are those of TCP.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, UNIXServerEndpoint
from twisted.internet.interfaces import IAddress, IListeningPort, IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from zope.interface import implementer

from ockam_twisted.routing.multiaddr import Component
from ockam_twisted.transports.carrier import CarrierProtocol
from ockam_twisted.transports.strings import arguments
from ockam_twisted.wire.codecs import BARE

_length = Struct(">H").pack

#: The longest message, bytes.
MAX_MESSAGE = 65535

#: Seconds that connecting may take.
DIAL_TIMEOUT = 10


class FramedProtocol(CarrierProtocol):
    """
    One end of a connection.
    """

    maxMessage = MAX_MESSAGE

    def __init__(self, behind: Any) -> None:
        """
        @param behind: The hop.
        """
        self.behind = behind
        self._buffer = b""

    def connectionMade(self) -> None:
        """
        It is ready as it is.
        """
        super().connectionMade()
        self.behind.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes from the peer: hand over every whole message.
        """
        buffer = self._buffer + data if self._buffer else data
        position, end = 0, len(buffer)
        while end - position >= 2:
            stop = position + 2 + (buffer[position] << 8 | buffer[position + 1])
            if stop > end:
                break
            if self._isEnding:
                return
            self.behind.dataReceived(buffer[position + 2 : stop])
            position = stop
        self._buffer = buffer[position:]

    def write(self, data: bytes) -> None:
        """
        Send one message.
        """
        if not self._isEnding:
            self._transport.write(_length(len(data)) + data)


class _Factory(Factory):
    noisy = False

    def __init__(self, behind: Any) -> None:
        self._behind = behind

    def buildProtocol(self, addr: IAddress | None) -> FramedProtocol | None:
        behind = self._behind.buildProtocol(addr)
        return None if behind is None else FramedProtocol(behind)


@implementer(IStreamClientEndpoint)
class UDSEndpoint:
    """
    Connects to a Unix socket.
    """

    codec = BARE

    def __init__(self, reactor: Any, path: str) -> None:
        self._endpoint = UNIXClientEndpoint(reactor, path, timeout=DIAL_TIMEOUT)

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """
        See C{IStreamClientEndpoint}.

        @return: Fires with the hop.
        """
        connecting: Deferred[Any] = self._endpoint.connect(_Factory(protocolFactory))
        return connecting.addCallback(lambda carrier: carrier.behind)


@implementer(IStreamServerEndpoint)
class UDSServerEndpoint:
    """
    Listens on a Unix socket.
    """

    codec = BARE

    def __init__(self, reactor: Any, path: str, mode: int = 0o600) -> None:
        """
        @param mode: Of the socket: who may connect.
        """
        # For who looks whether it can be had.
        self._wrappedEndpoint = UNIXServerEndpoint(reactor, path, mode=mode, wantPID=True)

    def listen(self, protocolFactory: Any) -> Deferred[IListeningPort]:
        """
        See C{IStreamServerEndpoint}.
        """
        listening: Deferred[IListeningPort] = self._wrappedEndpoint.listen(_Factory(protocolFactory))
        return listening


# ----------------------------------------------------------------- the road


def clientEndpoint(reactor: Any, components: tuple[Component, ...]) -> UDSEndpoint:
    """
    See L{ockam_twisted.transports.roads}: C{/unix/PATH}.
    """
    return UDSEndpoint(reactor, str(components[0][1]))


def components(prefix: str, rest: str) -> tuple[Component, ...]:
    """
    See L{ockam_twisted.transports.roads}: C{uds:PATH}.
    """
    [path], _ = arguments(rest, 1)
    return (("unix", path),)


def serverEndpoint(reactor: Any, prefix: str, rest: str) -> UDSServerEndpoint:
    """
    See L{ockam_twisted.transports.roads}: C{uds:PATH:mode=660}.
    """
    [path], named = arguments(rest, 1, ("mode",))
    try:
        mode = int(named.get("mode", "600"), 8)
    except ValueError:
        raise ValueError("a mode is a number in octal, as in mode=660") from None
    return UDSServerEndpoint(reactor, path, mode)
