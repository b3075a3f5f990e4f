"""
What is in the records of a channel: messages of the peer for workers of this
node, and what it says of the channel itself.
"""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ockam_twisted.errors import DecodeError, OckamError, RecordRefused
from ockam_twisted.interfaces import IBounded, IFlow, IRouter
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.inbound import Inbound, InboundFlows
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.wire.channel import (
    PLAINTEXT_HEAD,
    READS_BUNDLES,
    REFUSED,
    ChannelClose,
    ChannelPayload,
    decodeChannelMessage,
    plaintextBounds,
    readPlaintextRoutes,
)

if TYPE_CHECKING:
    from ockam_twisted.channels.channel import SecureChannel

#: From this size on a payload is passed on as a view of the plaintext.
_VIEW = 4096


class Inward:
    """
    Of one channel.
    """

    _log = Logger()

    def __init__(
        self,
        channel: SecureChannel,
        router: IRouter,
        only: Container[Address] | None = None,
        charging: IReactorTime | None = None,
    ) -> None:
        """
        @param only: See L{SecureChannel}.
        @param charging: Anybody can have such a channel: what takes long is
            charged to whom it comes by, and this says how long it takes;
            L{None} if the peer is somebody that we have let in.
        """
        self._channel = channel
        self._router = router
        self._only = only
        self._charging = charging
        self._flows = InboundFlows(router.inbound)
        self._last: Inbound | None = None
        # The route that records come with; it changes seldom.
        self._back: Route | None = None
        self._dropped = 0

    def deliver(self, plaintext: bytes, start: int, end: int, back: Route) -> bool:
        """
        One message of a record.

        @param back: The return route of the record.
        @return: Did it make sense?
        """
        last = self._last
        try:
            if last is None or not plaintext.startswith(last.prefix, start):
                last = self._flows.find(plaintext, start)
                if last is None or not last.flow.isDirect:
                    return self._deliverSlowly(last, plaintext, start, end, back)
                self._last = last
            if back is not self._back:
                self._follow(back)
            begin, stop = plaintextBounds(plaintext, start + last.size, end)
        except OckamError as error:
            self.drop(error)
            return False
        size = stop - begin
        last.flow.send((memoryview(plaintext)[begin:stop] if size >= _VIEW else plaintext[begin:stop],), size)
        return True

    def _deliverSlowly(self, found: Inbound | None, plaintext: bytes, start: int, end: int, back: Route) -> bool:
        """
        The same for what does not go the direct way, or not yet.
        """
        charging = self._charging
        began = 0.0 if charging is None else charging.seconds()
        try:
            if found is None:
                found = self._meet(plaintext, start, end)
                if found is None:
                    return True
            if back is not self._back:
                self._follow(back)
            begin, stop = plaintextBounds(plaintext, start + found.size, end)
        except OckamError as error:
            self.drop(error)
            return False
        finally:
            if charging is not None:
                self._charge(charging.seconds() - began)
        flow = found.flow
        began = 0.0 if charging is None else charging.seconds()
        flow.send((plaintext[begin:stop],), stop - begin)
        if charging is not None and not flow.isDirect and not self._isBounded(flow):
            self._charge(charging.seconds() - began)
        return True

    def _follow(self, back: Route) -> None:
        if self._channel.follow(back):
            self._back = back

    def _isBounded(self, flow: IFlow) -> bool:
        return any(IBounded.providedBy(self._router.worker(address)) for address in flow.onward_route[:1])

    def _charge(self, seconds: float) -> None:
        """
        What was asked for has taken so long.
        """
        source = self._router.turn.source
        if source is not None:
            source.charge(seconds)

    def _meet(self, plaintext: bytes, start: int, end: int) -> Inbound | None:
        """
        Open the flow of a message.

        @return: L{None} if it is dealt with.
        """
        channel = self._channel
        if channel.heard == 1 and plaintext.endswith(READS_BUNDLES):
            channel.bundlesRead()
        if not plaintext.startswith(PLAINTEXT_HEAD, start):
            if start:
                raise DecodeError("there are only user messages in a bundle")
            self._control(plaintext)
            return None
        onward, back, position = readPlaintextRoutes(plaintext, start, end)
        if self._only is not None and (not onward or Address(*onward[0]) not in self._only):
            channel.fail("it asks for more than it may", REFUSED)
            return None
        flow = self._router.open(
            Route.fromWire(onward),
            Route.fromWire((channel.encryptor, *back)),
            channel.decryptor,
            (channel.standing.info,),
        )
        return self._flows.add(plaintext[start:position], flow)

    def _control(self, plaintext: bytes) -> None:
        """
        Anything but the usual form of a payload.
        """
        channel = self._channel
        message = decodeChannelMessage(plaintext)
        if isinstance(message, ChannelClose):
            channel.wasRefused = plaintext == REFUSED
            channel.end("the peer does not accept us" if channel.wasRefused else "the peer has closed it")
        elif isinstance(message, ChannelPayload):
            if self._only is not None:
                raise RecordRefused("its form is not the usual one")
            self._router.route(
                LocalMessage(
                    Route.fromWire(message.onward_route),
                    Route.fromWire((channel.encryptor, *message.return_route)),
                    message.payload,
                    (channel.standing.info,),
                ),
                channel.decryptor,
            )
        elif self._only is None:
            # Who enrols has no standing that could change.
            channel.standing.presented(message)

    def drop(self, error: OckamError) -> None:
        """
        A record makes no sense.  One line for each channel is enough.
        """
        if not self._dropped:
            self._log.warn(
                "A record of {peer} was dropped: {reason}",
                peer=self._channel.peerIdentifier,
                reason=str(error),
                event="record-dropped",
            )
        self._dropped += 1

    def forget(self) -> None:
        """
        What was decided about the peer's messages may not hold any more.
        """
        self._flows.clear()
        self._last = None
