"""
Local sockets for portals: the same output queue and options as the hops have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define
from twisted.internet.error import ConnectionDone
from zope.interface import implementer

from ockam_twisted.interfaces import IOutput, ISockets, ISource
from ockam_twisted.routing.source import Source
from ockam_twisted.routing.turn import Turn
from ockam_twisted.transports.datagrams import enlarge
from ockam_twisted.transports.queue import outputFor
from ockam_twisted.transports.sockets import isDead, isPlainSocket, prepareSocket
from ockam_twisted.transports.stalls import STREAM_SECONDS, StallWatch
from ockam_twisted.wire.terms import MAX_EARLY

#: The largest datagram, and a little more, bytes.
_LARGEST = 65536

#: How much is read ahead, bytes.
_AHEAD = 4096


@implementer(ISockets)
@define
class LocalSockets:
    """
    See L{ISockets}.

    @ivar read: What is read at once, bytes; it becomes one Payload or two.
    @ivar highWater: What may wait for a local program that does not read
        before the hop that feeds it is paused; as much as for a hop, since
        others share that.
    """

    turn: Turn
    stalls: StallWatch
    read: int = 256 * 1024
    highWater: int = 4 * 1024 * 1024

    def attach(self, transport: Any, lose: Callable[[], object], label: str) -> tuple[IOutput, ISource]:
        """
        See L{ISockets.attach}.
        """
        prepareSocket(transport, self.read)
        output = outputFor(transport, self.turn, self.highWater, self.stalls.heldBack, self.stalls.budget)
        output.label = label
        output.patience = STREAM_SECONDS
        stalls = self.stalls

        # A portal pauses a socket for other reasons than a full output, too.
        def pause() -> None:
            transport.pauseProducing()
            stalls.paused(source, output)

        def resume() -> None:
            stalls.resumed(source)
            transport.resumeProducing()

        source = Source(pause, resume, output, lambda: isDead(transport), lose)
        return output, source

    def bindDatagrams(self, reactor: Any, protocol: Any, port: int, interface: str) -> Any:
        """
        See L{ISockets.bindDatagrams}.
        """
        bound = reactor.listenUDP(port, protocol, interface, maxPacketSize=_LARGEST)
        handle = getattr(bound, "socket", None)
        if handle is not None:
            enlarge(handle)
        return bound

    def readAhead(self, transport: Any) -> None:
        """
        See L{ISockets.readAhead}.
        """
        if not isPlainSocket(transport):
            return
        # Whatever else is read in the same turn, this must not be much.
        transport.bufferSize = _AHEAD
        why = transport.doRead()
        transport.bufferSize = self.read
        # The reactor finds an end again, but a reset is told only once.
        if why is not None and not isinstance(why, ConnectionDone):
            transport.abortConnection()

    def take(self, transport: Any) -> bytes:
        """
        See L{ISockets.take}.
        """
        handle = getattr(transport, "socket", None) if isPlainSocket(transport) else None
        if handle is None:
            return b""
        try:
            # An end is found again.
            return bytes(handle.recv(MAX_EARLY))
        except BlockingIOError:
            return b""
        except OSError:
            transport.abortConnection()
            return b""
