"""
Tests for L{ockam_twisted.portals.inletstream}.
"""

from __future__ import annotations

from zope.interface.verify import verifyObject

from ockam_twisted.interfaces import IFlowReceiver
from ockam_twisted.portals.inletstream import InletStream
from ockam_twisted.portals.plain import State
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.testing import Inbox
from ockam_twisted.wire.portal import DISCONNECT, PING, PONG, encodePortalPayload
from tests.portals.streams import StreamTestCase


class InletEndTests(StreamTestCase):
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

    def test_oneFlow(self) -> None:
        """
        Pong and what follows it may come by the same flow; what comes by
        another one counts as well.
        """
        flows = [
            self.router.open(Route((self.stream.address,)), Route((self.peer.address,)), self.peer.address)
            for _ in range(2)
        ]
        flows[0].send((PONG[:1], PONG[1:]), len(PONG))
        self.assertEqual(self.near.events, ["opened"])
        for n, flow in enumerate((*flows, flows[0])):
            payload = encodePortalPayload(b"%d" % n, n)
            flow.send((payload[:1], payload[1:]), len(payload))
        self.assertEqual(self.near.output.data, b"012")
        flows[0].send((DISCONNECT,), len(DISCONNECT))
        self.assertEnded("the other end has closed it", True)
        flows[0].send((PONG,), len(PONG))

    def test_flowToSomewhereElse(self) -> None:
        """
        What would have to go on from here does not count, as Pong or later.
        """
        route = Route((self.stream.address, Address.local("further")))
        flow = self.router.open(route, Route((self.peer.address,)), self.peer.address)
        flow.send((PONG,), len(PONG))
        self.assertIs(self.stream.state, State.PINGED)

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
        self.assertFalse(self.stream.isAnswerDue)

    def test_abandonedWhileWaiting(self) -> None:
        """
        Whoever gives up before Pong came is told that one may still come.
        """
        self.stream.abandon("enough")
        self.assertEnded("enough", False)
        self.assertTrue(self.stream.isAnswerDue)

    def test_nobodyThere(self) -> None:
        """
        A Ping whose first hop is gone ends the stream.
        """
        stream = InletStream(self.router, self.near, self.ended.append)
        stream.ping(Route.of("nobody"))
        self.assertIs(stream.state, State.ENDED)
        self.assertEqual(self.near.events, [("the way to the other end is gone", False)])
