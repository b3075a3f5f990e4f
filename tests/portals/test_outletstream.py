"""
Tests for L{ockam_twisted.portals.outletstream}.
"""

from __future__ import annotations

from ockam_twisted.portals.outletstream import OutletStream
from ockam_twisted.portals.plain import State
from ockam_twisted.routing.addresses import Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.wire.portal import DISCONNECT, PING, PONG, encodePortalPayload
from tests.portals.streams import StreamTestCase


class OutletEndTests(StreamTestCase):
    """
    The end that answers Ping.
    """

    kind = OutletStream

    def setUp(self) -> None:
        super().setUp()
        ping = LocalMessage(Route.of("outlet"), Route((self.peer.address,)), PING, source=self.peer.address)
        self.stream.pinged(ping, None)

    def test_pong(self) -> None:
        """
        Pong is sent when the target is there, not before.
        """
        self.assertEqual(self.peer.messages, [])
        self.stream.pong()
        self.assertEqual(self.peer.payloads, [PONG])
        self.assertEqual(self.peer.messages[0].return_route, Route((self.stream.address,)))
        self.assertEqual(self.near.events, ["opened"])

    def test_pongAfterTheEnd(self) -> None:
        """
        A target that answers after the client has gone is not announced.
        """
        self.say(DISCONNECT)
        self.stream.pong()
        self.assertEnded("the other end has closed it", False)
        self.assertEqual(self.peer.payloads, [])

    def test_sendBeforeOpen(self) -> None:
        """
        Nothing is sent before Pong.
        """
        self.stream.send(b"too early")
        self.assertEqual(self.peer.messages, [])

    def test_surplusHops(self) -> None:
        """
        Messages that want to go further are not for a stream.
        """
        self.stream.pong()
        self.say(encodePortalPayload(b"x"), "further")
        self.say(DISCONNECT, "further")
        self.assertEqual(self.near.output.data, b"")
        self.assertIs(self.stream.state, State.OPEN)
