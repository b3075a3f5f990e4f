"""
Tests for L{ockam_twisted.portals.stream}.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ockam_twisted.portals.inletstream import InletStream
from ockam_twisted.portals.plain import State
from ockam_twisted.portals.stream import PortalStream
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.router import NOBODY, Router
from ockam_twisted.testing import Inbox
from ockam_twisted.wire.portal import DISCONNECT, PING, PONG, encodePortalPayload
from tests.portals.common import LoggedTestCase
from tests.portals.streams import NearEnd, StreamTestCase


class OpenTests(StreamTestCase):
    """
    An open stream.
    """

    def setUp(self) -> None:
        super().setUp()
        self.stream.ping(Route((self.peer.address,)))
        self.say(PONG)
        self.peer.messages.clear()

    def test_counters(self) -> None:
        """
        Payloads carry a counter that wraps after 65535.
        """
        for _ in range(65538):
            self.stream.send(b"")
        counters = [int.from_bytes(payload[-2:], "little") for payload in self.peer.payloads]
        self.assertEqual(counters, [*range(65536), 0, 1])

    def test_received(self) -> None:
        """
        Data comes out in order, whatever the size of a Payload.
        """
        parts = [b"a", bytes(range(128)), b"b" * 200, b"c" * 49152, b"d" * 131072, b"e" * 900_000]
        for part in parts:
            self.say(encodePortalPayload(part))
        self.assertEqual(self.near.output.data, b"".join(parts))
        self.assertEqual(self.stream.received, len(b"".join(parts)))

    def test_receivedCounters(self) -> None:
        """
        Right counters are accepted, over the wrap too.
        """
        for number in range(65540):
            self.say(encodePortalPayload(b"x", number & 0xFFFF))
        self.assertEqual(self.stream.received, 65540)
        self.assertIs(self.stream.state, State.OPEN)

    def test_counterGap(self) -> None:
        """
        A missing Payload ends the stream on both sides, and not as if it were
        complete.
        """
        self.say(encodePortalPayload(b"x", 0))
        self.say(encodePortalPayload(b"z", 2))
        self.assertEnded("a Payload is missing or repeated: number 2, expected 1", False)
        self.assertEqual(self.near.output.data, b"x")
        self.assertEqual(self.peer.payloads, [DISCONNECT])

    def test_counterRepeated(self) -> None:
        """
        So does a repeated one.
        """
        for number in (0, 1, 1):
            self.say(encodePortalPayload(b"x", number))
        self.assertEnded("a Payload is missing or repeated: number 1, expected 2", False)

    def test_counterDoesNotBegin(self) -> None:
        """
        The first counter is 0.
        """
        self.say(encodePortalPayload(b"x", 1))
        self.assertEnded("a Payload is missing or repeated: number 1, expected 0", False)

    def test_counterThatDoesNotCount(self) -> None:
        """
        The Elixir outlet puts 0 on every Payload: that is no counter.
        """
        for _ in range(5):
            self.say(encodePortalPayload(b"x", 0))
        self.assertEqual(self.near.output.data, b"xxxxx")

    def test_noCounter(self) -> None:
        """
        Payloads without a counter, in both forms, are accepted.
        """
        for _ in range(3):
            self.say(encodePortalPayload(b"x"))
            self.say(encodePortalPayload(b"y") + b"\x00")
        self.assertEqual(self.near.output.data, b"xyxyxy")

    def test_empty(self) -> None:
        """
        An empty Payload is nothing to write.
        """
        for _ in range(100):
            self.say(encodePortalPayload(b""))
        self.assertEqual(self.near.output.writes, 0)
        self.assertIs(self.stream.state, State.OPEN)

    def test_outOfTurn(self) -> None:
        """
        Ping, Pong and kinds of the future are ignored.
        """
        for payload in (PING, PONG, b"\x04", b"\x0f more"):
            self.say(payload)
        self.assertEqual(self.near.events, ["opened"])
        self.assertIs(self.stream.state, State.OPEN)

    def test_junk(self) -> None:
        """
        What is no portal message ends the stream: it may have been data.
        """
        self.say(b"\x03\x05ab")
        self.assertEnded("the data of a portal message is cut short", False)
        self.assertEqual(self.peer.payloads, [DISCONNECT])

    def test_disconnected(self) -> None:
        """
        Disconnect is a clean end, and not answered.
        """
        self.say(encodePortalPayload(b"last"))
        self.say(DISCONNECT)
        self.assertEnded("the other end has closed it", True)
        self.assertEqual(self.peer.messages, [])

    def test_disconnect(self) -> None:
        """
        The near end's end is told to the far end, once, and not back to the
        near end.
        """
        self.stream.disconnect("it is done")
        self.stream.disconnect("it is done")
        self.stream.abandon("enough")
        self.assertEqual(self.peer.payloads, [DISCONNECT])
        self.assertEqual(self.near.events, ["opened"])
        self.assertEqual(self.ended, [self.stream])

    def test_afterTheEnd(self) -> None:
        """
        What arrives later finds nobody; what is sent later goes nowhere.
        """
        self.stream.abandon("enough")
        self.peer.messages.clear()
        self.say(encodePortalPayload(b"late"))
        self.stream.send(b"late")
        self.assertEqual(self.near.output.data, b"")
        self.assertEqual(self.peer.messages, [])
        self.assertEqual(self.router.dropped[NOBODY], 1)

    def test_routeGone(self) -> None:
        """
        The loss of the route is no clean end.
        """
        self.router.unregister(self.peer.address)
        self.assertEnded("the way to the other end is gone", False)

    def test_flow(self) -> None:
        """
        Payloads that come by a flow are received like others, with Disconnect
        among them.
        """
        flow = self.router.open(Route((self.stream.address,)), Route(), self.peer.address)
        for payload in (encodePortalPayload(b"one", 0), encodePortalPayload(b"two", 1), DISCONNECT):
            flow.send((payload[:1], payload[1:]), len(payload))
        self.assertEqual(self.near.output.data, b"onetwo")
        self.assertEnded("the other end has closed it", True)
        flow.send((PONG,), 1)


class HostilePeerTests(LoggedTestCase):
    """
    A peer that sends anything.
    """

    @settings(deadline=None, max_examples=150, derandomize=True)
    @given(st.lists(st.binary(max_size=12), max_size=12), st.booleans())
    def test_anything(self, payloads: list[bytes], opened: bool) -> None:
        """
        Whatever comes, there is no traceback, and what came out is what came
        in before the end.
        """
        router = Router()
        peer = Inbox(router, Address.local("peer"))
        near = NearEnd()
        ended: list[PortalStream] = []
        stream = InletStream(router, near, ended.append)
        stream.ping(Route((peer.address,)))
        for payload in [PONG, *payloads] if opened else payloads:
            router.route(LocalMessage(Route((stream.address,)), Route((peer.address,)), payload), peer.address)
        self.assertEqual(len(ended), stream.state is State.ENDED)
        self.assertEqual(len(near.output.data), stream.received)
        self.assertEqual(self.logged, [])
