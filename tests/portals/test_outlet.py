"""
Tests for L{ockam_twisted.portals.outlet}.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ockam_twisted.identity.trust import TrustEveryone, TrustIdentifier, TrustIf
from ockam_twisted.interfaces import IAdmission, ITarget, IWorker
from ockam_twisted.portals.outlet import DIAL_TIMEOUT, Outlet, SocketTarget
from ockam_twisted.portals.plain import REFUSAL
from ockam_twisted.routing.access import DenyAll
from ockam_twisted.routing.addresses import Route
from ockam_twisted.testing import Inbox, MemoryNode
from ockam_twisted.wire.portal import DISCONNECT, PING, PONG, encodePortalPayload
from tests.decisions import decisions
from tests.portals.common import OUTLET, ChannelPortalTestCase, PortalTestCase, Program


@implementer(IStreamClientEndpoint)
@frozen(eq=False)
class SlowEndpoint:
    """
    Answers when a test says so.
    """

    attempts: list[Deferred[IProtocol]]
    factories: list[IProtocolFactory]
    canceled: list[object]

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        def canceled(attempt: Deferred[IProtocol]) -> None:
            # Not a CancelledError, as with Twisted's own endpoints.
            self.canceled.append(attempt)
            attempt.errback(ConnectError(string="given up"))

        attempt: Deferred[IProtocol] = Deferred(canceled)
        self.attempts.append(attempt)
        self.factories.append(protocolFactory)
        return attempt


class _InletTestCase(PortalTestCase):
    """
    An outlet, and an inlet that is a test.
    """

    def setUp(self) -> None:
        super().setUp()
        self.peer = self.inletNode.inbox("peer")

    def ping(self, payload: bytes = PING, peer: Inbox | None = None) -> None:
        """
        Send something to the outlet.
        """
        self.inletNode.send(self.hop.route(OUTLET), payload, peer or self.peer)
        self.network.pump()

    def say(self, payload: bytes) -> None:
        """
        Send something to the stream that the last Pong named.
        """
        pongs = [message for message in self.peer.messages if message.payload == PONG]
        self.inletNode.send(pongs[-1].return_route, payload, self.peer)
        self.network.pump()

    def slow(self) -> SlowEndpoint:
        """
        A target that takes its time.
        """
        return SlowEndpoint([], [], [])

    def slowOutlet(self, endpoint: SlowEndpoint, **options: Any) -> Outlet:
        """
        Start an outlet with such a target.
        """
        node = self.outletNode
        return self.outlet(target=SocketTarget(node.router, node.sockets, endpoint, "slow"), **options)


class OutletTests(_InletTestCase):
    """
    Streams that an outlet opens.
    """

    def test_interfaces(self) -> None:
        """
        An outlet is a worker, and a socket target a target.
        """
        verifyObject(IWorker, self.outlet())
        node = self.outletNode
        verifyObject(ITarget, SocketTarget(node.router, node.sockets, self.network.endpoint("x"), "x"))

    def test_payload(self) -> None:
        """
        Each Ping gets a Pong from an address of its own and a connection to
        the target.
        """
        outlet = self.outlet()
        self.ping()
        self.ping(PING + b"otw1 and more")
        self.assertEqual(self.peer.payloads, [PONG, PONG])
        self.assertEqual(len({message.return_route for message in self.peer.messages}), 2)
        self.assertEqual((len(outlet.streams), len(self.targets.made)), (2, 2))

    def test_targetSpeaksFirst(self) -> None:
        """
        A greeting of the target comes after Pong.
        """
        self.targets._attributes = {"greeting": b"220 ready\r\n"}
        self.outlet()
        self.ping()
        self.assertEqual(self.peer.payloads, [PONG, encodePortalPayload(b"220 ready\r\n", 0)])

    def test_largePayloads(self) -> None:
        """
        Newer peers send 128 KiB, and any size up to a frame is fine.
        """
        self.outlet()
        self.ping()
        for size in (131_072, 900_000):
            self.say(encodePortalPayload(bytes(size)))
        self.assertEqual(len(self.targets.made[0].received), 131_072 + 900_000)

    def test_counterGap(self) -> None:
        """
        A stream with a hole is reset at the target.
        """
        outlet = self.outlet()
        self.ping()
        self.say(encodePortalPayload(b"a", 0))
        self.say(encodePortalPayload(b"c", 2))
        self.assertEqual(self.targets.made[0].ending, "ConnectionLost")
        self.assertEqual(self.peer.payloads[-1], DISCONNECT)
        self.assertIdle(outlet)

    def test_disconnect(self) -> None:
        """
        Disconnect ends the target's connection after its data.
        """
        outlet = self.outlet()
        self.ping()
        self.say(encodePortalPayload(b"all there is"))
        self.say(DISCONNECT)
        [target] = self.targets.made
        self.assertEqual((target.received, target.ending), (b"all there is", "ConnectionDone"))
        self.assertIdle(outlet)

    def test_skipHandshake(self) -> None:
        """
        An inlet that does not wait for Pong is refused, in words.
        """
        self.outlet()
        self.ping(encodePortalPayload(b"GET /"))
        self.ping(encodePortalPayload(b" HTTP/1.1"))
        self.assertEqual(self.peer.payloads, [DISCONNECT, DISCONNECT])
        self.assertEqual(
            self.lines(), ["A stream was refused: its inlet does not wait for Pong (it uses skip_handshake)"]
        )

    def test_junk(self) -> None:
        """
        Anything else at the outlet's address is ignored.
        """
        outlet = self.outlet()
        for junk in (b"", b"\xff", b"\x03", PONG, DISCONNECT, b"\x0f"):
            self.ping(junk)
        self.assertEqual(self.peer.messages, [])
        self.assertIdle(outlet)
        self.assertEqual(self.lines(), [])

    def test_noReturnRoute(self) -> None:
        """
        A Ping that cannot be answered is dropped.
        """
        outlet = self.outlet()
        self.assertEqual(self.outletNode.router.worker(OUTLET), outlet)
        flow = self.outletNode.router.open(self.hop.route(OUTLET)[1:], self.hop.route()[1:], self.peer.address)
        self.outletNode.inbox("peer")
        flow.send((PING,), 1)
        self.assertIdle(outlet)

    def test_accessControl(self) -> None:
        """
        Who may not reach the outlet gets no answer.
        """
        outlet = self.outlet(incoming=DenyAll())
        self.ping()
        self.assertEqual(self.peer.messages, [])
        self.assertIdle(outlet)

    def test_accessControlOfStreams(self) -> None:
        """
        The same decision holds for the streams: permission that ends, ends
        for them too.
        """
        allowed = [True]

        class Sometimes(DenyAll):
            def permits(self, message: Any) -> bool:
                return allowed[0]

        outlet = self.outlet(incoming=Sometimes())
        self.ping()
        self.say(encodePortalPayload(b"yes"))
        allowed[0] = False
        [stream] = outlet.streams
        self.outletNode.router.invalidate(stream.address)
        self.say(encodePortalPayload(b"no"))
        self.assertEqual(self.targets.made[0].received, b"yes")

    def test_stop(self) -> None:
        """
        Stopped, it resets its targets and tells the inlets.
        """
        outlet = self.outlet()
        self.ping()
        outlet.stopService()
        self.network.pump()
        self.assertEqual(self.peer.payloads, [PONG, DISCONNECT])
        self.assertEqual(self.targets.made[0].ending, "ConnectionLost")
        self.assertIdle(outlet)
        self.assertNotIn(OUTLET, self.outletNode.router)


class DialTests(_InletTestCase):
    """
    Targets that do not answer, or not yet.
    """

    def test_refused(self) -> None:
        """
        A target that refuses: Disconnect, one line for many clients, and one
        when it answers again.
        """
        outlet = self.outlet()
        port = self.network.ports.pop("target")
        self.ping()
        self.ping()
        self.assertEqual(self.peer.payloads, [*REFUSAL, *REFUSAL])
        [line] = self.lines()
        self.assertIn("The target target does not answer: Connection was refused", line)
        self.network.ports["target"] = port
        self.ping()
        self.assertEqual(self.peer.payloads[-1], PONG)
        self.assertEqual(len(outlet.streams), 1)

    def test_slow(self) -> None:
        """
        A target that never answers is given up in time, with a reason for
        people.
        """
        slow = self.slow()
        outlet = self.slowOutlet(slow)
        self.ping()
        self.network.advance(DIAL_TIMEOUT)
        self.assertEqual(slow.canceled, slow.attempts)
        self.assertEqual(self.peer.payloads, [*REFUSAL])
        self.assertIn("no answer within 8 s", self.lines()[0])
        self.assertIdle(outlet)

    def test_clientGone(self) -> None:
        """
        A client that goes while the target is dialed: the attempt is given
        up, and nobody is blamed.
        """
        slow = self.slow()
        outlet = self.slowOutlet(slow)
        self.ping()
        [stream] = outlet.streams
        self.inletNode.send(self.hop.route(stream.address), DISCONNECT, self.peer)
        self.network.pump()
        self.assertEqual(len(slow.canceled), 1)
        self.assertEqual(self.lines(), [])
        self.assertIdle(outlet)
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_routeLost(self) -> None:
        """
        The same when the connection to the inlet's node breaks.
        """
        slow = self.slow()
        outlet = self.slowOutlet(slow)
        self.ping()
        self.hop.cut()
        self.network.pump()
        self.assertEqual(len(slow.canceled), 1)
        self.assertEqual(self.lines(), [])
        self.assertIdle(outlet)

    def test_connectedTooLate(self) -> None:
        """
        A connection to the target that is made in spite of that is aborted.
        """
        slow = self.slow()
        outlet = self.slowOutlet(slow)
        self.ping()
        [stream] = outlet.streams
        target = Program()
        local = slow.factories[0].buildProtocol(None)  # type: ignore[arg-type]
        self.hop.cut()
        self.network.pump()
        self.network.join(local, target)
        self.network.pump()
        self.assertEqual(target.ending, "ConnectionLost")
        self.assertEqual(stream.sent, 0)

    def test_limits(self) -> None:
        """
        Above a limit streams are refused with Disconnect; the others do not
        notice.
        """
        outlet = self.outlet(maxStreams=2)
        for _ in range(4):
            self.ping()
        self.assertEqual(self.peer.payloads, [PONG, PONG, *REFUSAL, *REFUSAL])
        self.assertEqual(len(outlet.streams), 2)
        self.assertEqual(self.lines(), ["A stream was refused: there are 2 already"])

    def test_dialingLimit(self) -> None:
        """
        So are those above the limit of attempts.
        """
        slow = self.slow()
        outlet = self.slowOutlet(slow, maxDialing=2)
        for _ in range(4):
            self.ping()
        self.assertEqual(self.peer.payloads, [*REFUSAL, *REFUSAL])
        self.assertEqual((len(outlet.streams), len(slow.attempts)), (2, 2))


class DecisionTests(ChannelPortalTestCase):
    """
    Who may have a stream.
    """

    def test_others(self) -> None:
        """
        One peer leaves a quarter of the streams to others.
        """
        listener = self.outletNode.listen(TrustEveryone(), name="all")
        self.outlet(listener.flowId, maxStreams=4)
        for node, most in ((self.inletNode, 3), (MemoryNode(self.network, "another"), 1)):
            hop, there = node.connect(self.outletNode), TrustIdentifier(self.outletNode.identifier)
            channel = self.network.result(node.createChannel(hop.route("all"), there))
            inbox = node.inbox("peer")
            for _ in range(most + 1):
                node.send(Route((channel.encryptor, OUTLET)), PING, inbox)
            self.network.pump()
            self.assertEqual(inbox.payloads, [PONG] * most + list(REFUSAL))

    def test_allowed(self) -> None:
        """
        Each stream that is permitted is said where there is somebody to
        hear it, and else not.
        """
        made = decisions(self)
        self.both()
        self.assertEqual([each for each in made if each[0].startswith("stream-")], [])
        self.theOutlet.settings.tells = True
        self.another()
        who = str(self.inletNode.identifier)
        self.assertEqual([each for each in made if each[0].startswith("stream-")], [("stream-allowed", "allowed", who)])

    def test_denied(self) -> None:
        """
        Each one that is not is said in any case, also to who asks again.
        """

        @implementer(IAdmission)
        class Never:
            def refusal(self, peer: object) -> str:
                return "never"

        made = decisions(self)
        self.outlet(admission=Never())
        self.inlet()
        for _ in range(3):
            self.client()
        who = str(self.inletNode.identifier)
        self.assertEqual(
            [each for each in made if each[0].startswith("stream-")], [("stream-denied", "refused", who)] * 3
        )


class RefusedPeerTests(ChannelPortalTestCase):
    """
    Peers that are not accepted any more.
    """

    def setUp(self) -> None:
        super().setUp()
        self.accepted = True
        self.listener._trust = TrustIf(lambda identifier: self.accepted)

    def test_streamsEnd(self) -> None:
        """
        What somebody has who is put out ends at once, at both ends, although
        it could be resumed.
        """
        outlet, inlet = self.outlet(), self.inlet()
        client = self.client()
        client.send(b"hello")
        self.network.pump()
        self.accepted = False
        self.listener.recheck(self.inletNode.identifier)
        self.network.pump()
        self.assertTrue(self.channel.hasEnded)
        self.assertEqual((client.ending, self.targets.made[0].ending), ("ConnectionLost", "ConnectionLost"))
        self.assertIdle(inlet, outlet)

    def test_waitingStreamsEnd(self) -> None:
        """
        So does what waits for another way.
        """
        outlet = self.outlet()
        self.inlet()
        self.client()
        [stream] = outlet.streams
        self.hop.cut()
        self.network.pump()
        self.assertEqual(len(outlet.streams), 1)
        self.newRoute(self.inletNode.connect(self.outletNode))
        self.accepted = False
        self.listener.recheck(self.inletNode.identifier)
        self.network.pump()
        self.assertEqual(outlet.streams, set())
        self.assertEqual(self.targets.made[0].ending, "ConnectionLost")
        self.assertIsNotNone(stream.result)
