"""
One stream of bytes across a route, in portal messages (spec portals,
sections 1 to 4; design, section 7).

The same class serves both ends; what differs is who speaks first.  See
C{docs/architecture.rst} for the drawing of its states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

from zope.interface import implementer

from ockam_twisted.errors import DecodeError, PortalRefused
from ockam_twisted.interfaces import (
    Buffer,
    IAccessControl,
    IFlow,
    IFlowReceiver,
    ILocalSide,
    IRouter,
    PayloadReceiver,
)
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage, PeerIdentity
from ockam_twisted.wire.portal import DISCONNECT, PING, PONG, portalPayloadHead, readPortal

_PONG, _DISCONNECT, _PAYLOAD = 1, 2, 3

#: What is said to an inlet that waits for Pong and gets no stream.  Ours end
#: with the first; inlets of the Rust implementation ignore a Disconnect then
#: and would keep their client waiting for ever, but they open at a Pong and
#: close at the Disconnect that follows.
REFUSAL = (DISCONNECT, PONG, DISCONNECT)


def _nothing() -> None:
    """
    Unwatches what is not watched.
    """


class State(Enum):
    """
    Where a stream is in its life.
    """

    NEW = "new"
    PINGED = "waiting for Pong"
    DIALING = "dialing the target"
    OPEN = "open"
    ENDED = "ended"


@implementer(IFlowReceiver)
class PortalStream:
    """
    One end of one stream.

    @ivar address: The only address of this end that the peer sees.
    @ivar state: Where it is in its life.
    @ivar sent: Bytes of the near end sent to the far end.
    @ivar received: Bytes of the far end given to the near end.
    @ivar peer: Who is at the far end, once it has been heard of; L{None} too
        if there is no secure channel to it.
    @ivar isPongDue: It was ended on this side while a Pong was on its way.
    """

    peer: PeerIdentity | None = None
    isPongDue = False

    def __init__(
        self,
        router: IRouter,
        local: ILocalSide,
        ended: Callable[[PortalStream], object],
        incoming: IAccessControl | None = None,
    ) -> None:
        """
        @param ended: Called once when it has ended, however that came.
        @param incoming: Which messages may reach this end; L{None}: all that
            come the way that the stream was opened over.
        """
        self.address = Address.random()
        self.state = State.NEW
        self.sent = 0
        self.received = 0
        self._router = router
        self._local = local
        self._ended = ended
        self._incoming = incoming
        self._flow: IFlow | None = None
        self._watched: Address | None = None
        self._unwatch: Callable[[], None] = _nothing
        self._sending = 0
        self._expected: int | None = 0

    # ------------------------------------------------------------- opening

    def ping(self, route: Route) -> None:
        """
        Ask the outlet at the end of C{route} for a stream.  Inlet only.
        """
        self.state = State.PINGED
        self._attach(route[0], self._router.flowControls.producerId(route[0]))
        if self.state is State.PINGED:
            self._router.route(LocalMessage(route, Route((self.address,)), PING), self.address)

    def pinged(self, message: LocalMessage) -> None:
        """
        A Ping has arrived, and the target is being dialed.  Outlet only.

        @param message: It, with a return route.  Nothing but its source may
            feed this stream.
        """
        source, route = message.source, message.return_route
        assert source is not None
        self.state = State.DIALING
        self.peer = message.peerIdentity
        self._flow = self._router.open(route, Route((self.address,)), self.address)
        self._attach(route[0], self._router.flowControls.producerId(source))

    def pong(self) -> None:
        """
        The target is connected.  Outlet only.
        """
        if self.state is State.DIALING:
            self._send((PONG,), 1)
            self._open()

    def _attach(self, first: Address, flowId: str | None) -> None:
        self._router.register(self.address, self, self._incoming)
        if flowId is not None:
            self._router.flowControls.addConsumer(self.address, flowId)
        self._watch(first)

    def _watch(self, first: Address) -> None:
        self._watched = first
        self._unwatch()
        self._unwatch = self._router.watch(first, self._routeGone)

    def _routeGone(self) -> None:
        self._end("the way to the other end is gone", clean=False)

    def _open(self) -> None:
        if self.state is State.ENDED:
            return
        self.state = State.OPEN
        # From now on payloads are taken without their routes.
        self._router.invalidate(self.address)
        self._local.streamOpened()

    # ------------------------------------------------------------- sending

    def _send(self, pieces: Sequence[Buffer], size: int) -> None:
        if self._flow is not None:
            self._flow.send(pieces, size)

    def send(self, data: bytes) -> None:
        """
        Send bytes of the near end: one Payload.  The near end reads no more
        at once than a Payload should carry.
        """
        if self.state is State.OPEN:
            size = len(data)
            head = portalPayloadHead(size)
            count = self._sending
            self._sending = (count + 1) & 0xFFFF
            self.sent += size
            self._flow.send(  # type: ignore[union-attr]
                (head, data, b"\x01" + count.to_bytes(2, "little")), len(head) + size + 3
            )

    def disconnect(self, reason: str) -> None:
        """
        The near end has ended: tell the far end.
        """
        if self.state is not State.ENDED:
            self.isPongDue = self.state is State.PINGED
            self._send((DISCONNECT,), 1)
            self._end(reason, clean=True, told=False)

    # ----------------------------------------------------------- receiving

    def flowOpened(self, message: LocalMessage) -> PayloadReceiver | None:
        """
        See L{IFlowReceiver.flowOpened}.
        """
        # Until it is open each message is looked at with its routes.
        if self.state is not State.OPEN or len(message.onward_route) != 1:
            return None
        return self._receive

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        if len(message.onward_route) != 1:
            return
        payload = message.payload
        if self.state is not State.PINGED:
            self._receive((payload,), len(payload))
            return
        try:
            kind, _, _, _ = readPortal(payload)
        except DecodeError:
            return  # Whatever it is, a Pong may still come.
        back = message.return_route
        if kind == _PONG and back:
            self.peer = message.peerIdentity
            self._flow = self._router.open(back, Route((self.address,)), self.address)
            if back[0] != self._watched:
                self._watch(back[0])
            self._open()
        elif kind == _DISCONNECT:
            self._end("the outlet could not connect to its target", clean=False)

    def _receive(self, pieces: Sequence[Buffer], size: int) -> None:
        """
        A portal message of a stream that knows its peer.
        """
        message = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        try:
            kind, start, stop, counter = readPortal(message)
            if kind == _PAYLOAD:
                if self.state is State.OPEN:
                    if counter is not None:
                        self._count(counter)
                    # An empty one is permitted, and nothing to be kept.
                    if stop > start:
                        self.received += stop - start
                        self._local.output.write((message[start:stop],), stop - start)
            elif kind == _DISCONNECT:
                self._end("the other end has closed it", clean=self.state is State.OPEN)
        except (DecodeError, PortalRefused) as error:
            self._send((DISCONNECT,), 1)
            self._end(str(error), clean=False)

    def _count(self, counter: int) -> None:
        """
        Check the counter of a Payload.

        @raise PortalRefused: One is missing or repeated.
        """
        if self._expected is None:
            return
        if counter != self._expected:
            if counter == 0 and self._expected == 1:
                # This peer puts 0 on each Payload: it does not count at all.
                self._expected = None
                return
            raise PortalRefused(f"a Payload is missing or repeated: number {counter}, expected {self._expected}")
        self._expected = (counter + 1) & 0xFFFF

    # -------------------------------------------------------------- ending

    def abandon(self, reason: str) -> None:
        """
        End the stream without waiting for anything: the far end is told, the
        near end is reset.
        """
        if self.state is not State.ENDED:
            self.isPongDue = self.state is State.PINGED
            for message in REFUSAL if self.state is State.DIALING else (DISCONNECT,):
                self._send((message,), 1)
            self._end(reason, clean=False)

    def _end(self, reason: str, clean: bool, told: bool = True) -> None:
        if self.state is State.ENDED:
            return
        self.state = State.ENDED
        self._unwatch()
        self._router.unregister(self.address)
        if self._flow is not None:
            self._flow.close()
        self._ended(self)
        if told:
            self._local.streamEnded(reason, clean)
