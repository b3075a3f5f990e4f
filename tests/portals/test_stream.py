"""
Tests for L{ockam_twisted.portals.stream}: one end of a stream, against a peer
that is a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ockam_twisted.interfaces import Buffer, IFlowReceiver, ILocalSide
from ockam_twisted.portals.plain import State
from ockam_twisted.portals.stream import PortalStream
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.router import NOBODY, Router
from ockam_twisted.testing import Inbox
from ockam_twisted.wire.portal import DISCONNECT, PING, PONG, encodePortalPayload
from tests.portals.common import LoggedTestCase


class _Output:
    def __init__(self) -> None:
        self.data = b""
        self.writes = 0

    def write(self, pieces: Sequence[Buffer], size: int) -> None:
        joined = b"".join(pieces)
        assert len(joined) == size
        self.data += joined
        self.writes += 1


@implementer(ILocalSide)
class NearEnd:
    """
    A near end that writes down what happens.
    """

    def __init__(self) -> None:
        self.output: Any = _Output()
        self.events: list[Any] = []

    def streamOpened(self) -> None:
        self.events.append("opened")

    def streamFinished(self) -> None:
        self.finished = True

    def streamEnded(self, reason: str, clean: bool) -> None:
        self.events.append((reason, clean))


class _StreamTestCase(LoggedTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.router = Router()
        self.peer = Inbox(self.router, Address.local("peer"))
        self.near = NearEnd()
        self.ended: list[PortalStream] = []
        self.stream = PortalStream(self.router, self.near, self.ended.append)

    def say(self, payload: bytes, *surplus: str, back: Route | None = None) -> bool:
        """
        The peer sends.
        """
        onward = Route((self.stream.address,)).append(*map(Address.local, surplus))
        back = Route((self.peer.address,)) if back is None else back
        return self.router.route(LocalMessage(onward, back, payload), self.peer.address)

    def assertEnded(self, reason: str, clean: bool) -> None:
        self.assertIs(self.stream.state, State.ENDED)
        self.assertEqual(self.near.events[-1], (reason, clean))
        self.assertEqual(self.ended, [self.stream])
        self.assertNotIn(self.stream.address, self.router)


class InletEndTests(_StreamTestCase):
    """
    The end that sends Ping.
    """

    def setUp(self) -> None:
        super().setUp()
        self.stream.ping(Route((self.peer.address,)))

    def test_interfaces(self) -> None:
        """
        A stream is what flows can be opened to.
        """
        verifyObject(IFlowReceiver, self.stream)

    def test_ping(self) -> None:
        """
        Ping is one byte, and its return route this end's only address.
        """
        [message] = self.peer.messages
        self.assertEqual(message.payload, PING)
        self.assertEqual(message.return_route, Route((self.stream.address,)))
        self.assertIs(self.stream.state, State.PINGED)

    def test_pongNamesTheOtherEnd(self) -> None:
        """
        Data goes where the Pong's return route leads, not to the listener.
        """
        other = Inbox(self.router, Address.local("other"))
        self.say(PONG, back=Route((other.address,)))
        self.assertEqual(self.near.events, ["opened"])
        self.stream.send(b"hello")
        self.assertEqual(other.payloads, [bytes.fromhex("030568656c6c6f010000")])
        self.assertEqual(len(self.peer.messages), 1)

    def test_pongThatSaysMore(self) -> None:
        """
        A Pong may carry more bytes.
        """
        self.say(PONG + b"otw1" + bytes(1000))
        self.assertIs(self.stream.state, State.OPEN)

    def test_pongWithoutReturnRoute(self) -> None:
        """
        A Pong that names nobody is waited past.
        """
        self.say(PONG, back=Route())
        self.assertIs(self.stream.state, State.PINGED)
        self.say(PONG)
        self.assertIs(self.stream.state, State.OPEN)

    def test_junkWhileWaiting(self) -> None:
        """
        While Pong is awaited anything else is ignored, without a traceback.
        """
        for junk in (b"", b"\xff", b"\x03", b"\x03\x80\x80\x80\x80", PING, b"\x04", encodePortalPayload(b"early")):
            self.say(junk)
            self.assertIs(self.stream.state, State.PINGED, junk)
        self.say(PONG)
        self.assertIs(self.stream.state, State.OPEN)
        self.assertEqual(self.near.output.data, b"")
        self.assertEqual(self.lines(), [])

    def test_refused(self) -> None:
        """
        Disconnect instead of Pong means that the target could not be reached;
        the client must not take it for an end of data.
        """
        self.say(DISCONNECT)
        self.assertEnded("the outlet could not connect to its target", False)
        self.assertFalse(self.stream.isPongDue)

    def test_abandonedWhileWaiting(self) -> None:
        """
        Whoever gives up before Pong came is told that one may still come.
        """
        self.stream.abandon("enough")
        self.assertEnded("enough", False)
        self.assertTrue(self.stream.isPongDue)

    def test_nobodyThere(self) -> None:
        """
        A Ping whose first hop is gone ends the stream.
        """
        stream = PortalStream(self.router, self.near, self.ended.append)
        stream.ping(Route.of("nobody"))
        self.assertIs(stream.state, State.ENDED)
        self.assertEqual(self.near.events, [("the way to the other end is gone", False)])


class OutletEndTests(_StreamTestCase):
    """
    The end that answers Ping.
    """

    def setUp(self) -> None:
        super().setUp()
        ping = LocalMessage(Route.of("outlet"), Route((self.peer.address,)), PING, source=self.peer.address)
        self.stream.pinged(ping)

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


class OpenTests(_StreamTestCase):
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
        stream = PortalStream(router, near, ended.append)
        stream.ping(Route((peer.address,)))
        for payload in [PONG, *payloads] if opened else payloads:
            router.route(LocalMessage(Route((stream.address,)), Route((peer.address,)), payload), peer.address)
        self.assertEqual(len(ended), stream.state is State.ENDED)
        self.assertEqual(len(near.output.data), stream.received)
        self.assertEqual(self.logged, [])
