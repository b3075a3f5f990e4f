"""
One hop between two nodes over a carrier that keeps messages: what is written
in one piece arrives in one piece, or not at all.

To a hop a carrier looks like a transport of Twisted, of which C{write} sends
one message, and which calls C{dataReceived} with one (C{docs/transports.rst}).
If it has an attribute C{maxMessage}, bytes, longer messages are split: see
L{ockam_twisted.transports.parts}.  One with a method C{worked} is told of each
message whether it went straight to where it belongs, and how many seconds it took.
One with an attribute C{proof}, an address that is not L{None}, has it in front of the
return routes of what is sent; if the peer says it, so that he has heard that, its
C{proven} is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from ockam_twisted.errors import RemoteProtocolError
from ockam_twisted.interfaces import Buffer, IFlow, PayloadReceiver
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.transports.hop import HopProtocol
from ockam_twisted.transports.hops import HopSettings
from ockam_twisted.transports.parts import PARTS, Assembly, split
from ockam_twisted.transports.queue import MessageQueue
from ockam_twisted.wire.codecs import Codec

#: How many pairs of routes one connection may have in its table, and how long
#: they may be together, bytes.
_MAX_FLOWS = 1024
_MAX_ROUTES = 256 * 1024


class MessageProtocol(HopProtocol):
    """
    See the module.

    @ivar proven: Called once the peer has said the carrier's C{proof}.
    """

    makeOutput = MessageQueue

    def __init__(self, settings: HopSettings, codec: Codec, spawnerId: str | None = None) -> None:
        """
        @param codec: What messages look like on this carrier.
        @param spawnerId: See L{HopProtocol}.
        """
        super().__init__(settings, spawnerId)
        self._codec = codec
        self.isOrdered = codec.isOrdered
        self.isPatient = codec.isPatient
        self._flows: dict[Any, IFlow] = {}
        self._routes = 0
        self._assembly = Assembly(settings.maxFrame)
        self._warnedOf = False
        self._proof: Address | None = None
        self._isProven = False
        self.proven: Callable[[], object] = lambda: None

    def connectionMade(self) -> None:
        """
        Register both addresses.  A carrier that is there is ready.
        """
        super().connectionMade()
        self._worked = getattr(self.transport, "worked", None)
        self._proof = getattr(self.transport, "proof", None)
        self.becomeReady()

    # ------------------------------------------------------------- inbound

    def dataReceived(self, data: bytes) -> None:
        """
        One message from the peer: deliver it.  One that cannot be read is
        dropped: on some carriers anybody can send it in the name of the peer.
        """
        if self.output.lost or self._lingering is not None:
            return
        turn = self._turn
        turn.enter(self.source)
        try:
            self.received += len(data)
            self.messages += 1
            if len(data) > self._settings.maxFrame:
                self._drop("it is too large")
                return
            self._deliver(data)
        except RemoteProtocolError as error:
            self._drop(str(error))
        except Exception:
            self._log.failure("Losing the connection with {peer}", peer=self.peer, event="connection-failed")
            self.abortConnection("an internal error")
        finally:
            turn.leave()

    def _deliver(self, data: bytes) -> None:
        clock = self._settings.clock
        began = clock.seconds()
        onward, back, payload = self._codec.decode(data)
        if not onward:
            # A heartbeat.
            return
        if onward == PARTS:
            whole = self._assembly.add(payload)
            if whole is None:
                return
            onward, back, payload = self._codec.decode(whole)
            if not onward or onward == PARTS:
                return
        key = (onward, back)
        flow = self._flows.get(key)
        if flow is None:
            flow = self._open(key)
        isDirect = flow.isDirect
        flow.send((payload,), len(payload))
        spent = clock.seconds() - began
        if not isDirect:
            # What was charged meanwhile is a part of that.
            self._spent = spent
        if self._spent:
            self.pay()
        if self._worked is not None:
            self._worked(isDirect, spent)

    def _open(self, key: Any) -> IFlow:
        onward, back = key
        if onward[0] == self._proof:
            # It is for us, and goes no farther.
            onward = onward[1:]
            self._prove()
        flow = self._settings.router.open(Route.fromWire(onward), Route.fromWire((self.address, *back)), self.receiver)
        size = sum(len(value) + 8 for route in key for _, value in route)
        self._routes += size
        if len(self._flows) >= _MAX_FLOWS or self._routes > _MAX_ROUTES:
            self._flows.clear()
            self._routes = size
        self._flows[key] = flow
        return flow

    def _prove(self) -> None:
        if not self._isProven:
            self._isProven = True
            transport: Any = self.transport
            transport.proven()
            self.proven()

    def _drop(self, why: str) -> None:
        if not self._warnedOf:
            self._warnedOf = True
            self._log.warn(
                "Dropping messages from {peer} that cannot be read, the first because {why}",
                peer=self.peer,
                why=why,
                event="message-unreadable",
            )

    # ------------------------------------------------------------ outbound

    def flowOpened(self, message: LocalMessage) -> PayloadReceiver:
        """
        See L{IFlowReceiver.flowOpened}.
        """
        codec = self._codec
        back = message.return_route
        if self._proof is not None and back and not self._isProven:
            back = back.prepend(self._proof)
        prefix = codec.prefix(message.onward_route[1:], back)
        fixed = len(prefix) + len(codec.tail)
        write = self.output.write
        maximum = self._settings.maxFrame
        room = getattr(self.transport, "maxMessage", maximum)

        def send(pieces: Sequence[Buffer], size: int) -> None:
            head = codec.head(size)
            total = fixed + len(head) + size
            if total > maximum:
                self.messageTooLarge(total)
            elif total > room:
                for part in split(codec, b"".join((prefix, head, *pieces, codec.tail)), room):
                    write((part,), len(part))
            else:
                write((prefix + head, *pieces, codec.tail), total)

        return send

    # ----------------------------------------------------------------- end

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection has ended: forget what was known of its messages.
        """
        super().connectionLost(reason)
        self._flows.clear()
