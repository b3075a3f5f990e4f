"""
Whose connection it is, from the inlet's client to the outlet's target.
"""

from __future__ import annotations

from typing import Any

from ockam_twisted.errors import EncodeError
from ockam_twisted.portals.negotiation import Offer
from ockam_twisted.portals.socket import PortalSocket
from ockam_twisted.portals.stream import PortalStream
from ockam_twisted.wire.proxy import Endpoints, proxyHeader


def endpointsOf(source: Any, destination: Any) -> Endpoints | None:
    """
    Addresses of Twisted.

    @return: L{None}: at least one is no IP address.
    """
    if not all(hasattr(each, "host") and hasattr(each, "port") for each in (source, destination)):
        return None
    return Endpoints((str(source.host), int(source.port)), (str(destination.host), int(destination.port)))


def clientOf(source: Any, destination: Any) -> bytes | None:
    """
    What an inlet tells of a client.

    @param source: Its address.
    @param destination: Where it has connected to.
    """
    endpoints = endpointsOf(source, destination)
    try:
        return None if endpoints is None else endpoints.encode()
    except EncodeError:
        return None


def headerFor(stream: PortalStream, transport: Any) -> bytes:
    """
    What a target is told of a stream, in the header of the PROXY protocol: the
    client of the inlet if the inlet has told that, else this node's own
    connection to the target; and who the inlet is.

    @param transport: Of the connection to the target.
    """
    offer, extension = stream.offer, stream.extension
    if isinstance(offer, Offer) and offer.terms.client is not None:
        endpoints: Endpoints | None = Endpoints.decode(offer.terms.client)
    else:
        endpoints = endpointsOf(transport.getHost(), transport.getPeer())
    identifier = "" if stream.peer is None else stream.peer.identifier
    return proxyHeader(endpoints, identifier, b"" if extension is None else extension.exchange.stream or b"")


class AnnouncedSocket(PortalSocket):
    """
    A target that is told first whose connection it is.
    """

    _heard = b""

    def hear(self, data: bytes) -> None:
        """
        See L{ILocalSide.hear}.
        """
        self._heard = data

    def streamOpened(self) -> None:
        """
        See L{ILocalSide.streamOpened}.
        """
        header = headerFor(self.stream, self.transport)
        # These are no bytes of the stream: credit does not count them.
        self.output.sent -= len(header)
        self.output.write((header, self._heard), len(header) + len(self._heard))
        super().streamOpened()
