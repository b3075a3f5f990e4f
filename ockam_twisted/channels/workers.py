"""
The two workers of a secure channel: one takes messages for the peer's node,
the other takes records from it (spec identity, section 6.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zope.interface import implementer

from ockam_twisted.interfaces import Buffer, IFlowReceiver, PayloadReceiver
from ockam_twisted.routing.addresses import Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.wire.channel import PLAINTEXT_TAIL, plaintextPrefix
from ockam_twisted.wire.messages import payloadHead


@implementer(IFlowReceiver)
class EncryptorWorker:
    """
    Takes messages for the peer's node.
    """

    def __init__(self, sealed: Callable[[bytes], None]) -> None:
        """
        @param sealed: Sends a plaintext as a record.
        """
        self._sealed = sealed

    def flowOpened(self, message: LocalMessage) -> PayloadReceiver:
        """
        See L{IFlowReceiver.flowOpened}.
        """
        prefix = plaintextPrefix(message.onward_route[1:], message.return_route)
        sealed = self._sealed
        join = b"".join

        def send(pieces: Sequence[Buffer], size: int) -> None:
            sealed(join((prefix, payloadHead(size), *pieces, PLAINTEXT_TAIL)))

        return send

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        self.flowOpened(message)((message.payload,), len(message.payload))


@implementer(IFlowReceiver)
class RecordReceiver:
    """
    Takes records from the peer.
    """

    def __init__(self, receive: Callable[[Buffer, Route], None]) -> None:
        """
        @param receive: Takes a record and its return route.
        """
        self._receive = receive

    def flowOpened(self, message: LocalMessage) -> PayloadReceiver:
        """
        See L{IFlowReceiver.flowOpened}.
        """
        receive = self._receive
        back = message.return_route

        def recordReceived(pieces: Sequence[Buffer], size: int) -> None:
            receive(pieces[0] if len(pieces) == 1 else b"".join(pieces), back)

        return recordReceived

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        self._receive(message.payload, message.return_route)
