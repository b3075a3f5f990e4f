"""
Tests for L{ockam_twisted.portals.opening}.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from ockam_twisted.interfaces import IAccessControl
from ockam_twisted.portals.inlet import CONNECT_TIMEOUT
from ockam_twisted.portals.late import LATE
from ockam_twisted.portals.opening import ASK_AFTER, LOOK_AFTER
from ockam_twisted.portals.outlet import Outlet, SocketTarget
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.wire.portal import PING, PONG, encodePortalPayload
from tests.portals.common import OUTLET, ChannelPortalTestCase, PortalTestCase, Program, Programs

OTHER = Address.local("other")


class OpeningTests(PortalTestCase):
    """
    Until a stream is open.
    """

    def test_wayComesUp(self) -> None:
        """
        A client waits for the way.
        """
        self.outlet()
        self.inlet()
        route = self.way.route
        self.way.change(None)
        client = self.client()
        client.send(b"patience")
        self.network.advance(CONNECT_TIMEOUT - 1)
        self.assertEqual(client.ending, "")
        self.way.change(route)
        self.network.pump()
        self.assertEqual(self.targets.made[0].received, b"patience")
        self.network.advance(60)
        self.assertEqual(client.ending, "")
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_wayAlreadyUp(self) -> None:
        """
        A way that comes up in the very moment is as good.
        """
        self.outlet()
        self.inlet()
        route, self.way.route = self.way.route, None

        def whenUp() -> Deferred[Route]:
            self.way.route = route
            return type(self.way).whenUp(self.way)

        self.way.whenUp = whenUp  # type: ignore[method-assign]
        self.client()
        self.assertEqual(len(self.targets.made), 1)

    def test_wayStaysDown(self) -> None:
        """
        After a while the client is reset, and the log says why; once for many
        clients.
        """
        inlet = self.inlet()
        self.way.change(None, "the relay does not answer")
        clients = [self.client(), self.client()]
        self.network.advance(CONNECT_TIMEOUT)
        self.assertEqual([client.ending for client in clients], ["ConnectionLost"] * 2)
        self.assertEqual(self.lines(), ["A client was refused: the relay does not answer"])
        self.assertIdle(inlet)
        self.assertEqual(self.way._waiting, [])

    def test_pongTimeout(self) -> None:
        """
        No Pong: the client is reset and the way suspected.
        """
        inlet = self.inlet()
        client = self.client()
        self.network.advance(CONNECT_TIMEOUT)
        reason = "the outlet did not answer within 10 s"
        self.assertEqual(client.ending, "ConnectionLost")
        self.assertEqual(self.way.suspected, ["a new stream gets no answer", reason])
        self.assertEqual(self.lines(), [f"A client was refused: {reason}"])
        self.assertIdle(inlet)

    def test_lostBeforePong(self) -> None:
        """
        A client whose way is lost while it waits for Pong has a stream over
        the next one, if that comes in time.
        """
        self.hop.toClient.held = True
        outlet, inlet = self.outlet(), self.inlet()
        client, late = self.client(), self.client()
        self.hop.cut()
        self.hop.toClient.held = False
        self.network.pump()
        self.network.advance(1)
        self.assertEqual((client.ending, late.ending, len(inlet.streams)), ("", "", 2))
        self.way.change(None)
        self.network.advance(1)
        self.hop = self.inletNode.connect(self.outletNode)
        self.way.change(self.hop.route(OUTLET))
        self.network.advance(1)
        client.send(b"hello")
        late.send(b"hello")
        self.network.pump()
        self.assertEqual([bytes(each.received) for each in self.targets.made[-2:]], [b"hello", b"hello"])
        self.assertEqual(len(outlet.streams), 2)
        client = self.client()
        self.hop.toClient.held = True
        waiting = self.client()
        self.hop.cut()
        self.hop.toClient.held = False
        self.network.advance(CONNECT_TIMEOUT + 1)
        self.assertEqual((client.ending, waiting.ending), ("ConnectionLost", "ConnectionLost"))
        self.assertIdle(inlet, outlet)
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_latePong(self) -> None:
        """
        A Pong that comes after that is answered with Disconnect, so that the
        target is let go.
        """
        outlet, inlet = self.outlet(), self.inlet()
        self.hop.toClient.held = True
        self.client()
        self.network.advance(CONNECT_TIMEOUT)
        self.assertEqual(len(outlet.streams), 1)
        self.hop.toClient.held = False
        self.network.pump()
        self.assertIdle(inlet, outlet)
        self.assertEqual(self.targets.made[0].ending, "ConnectionDone")
        self.assertEqual(inlet.late, set())
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_outlived(self) -> None:
        """
        An inlet that is stopped while its node goes on still answers a Pong
        that was under way, so that the target is let go; with the node it
        waits for nothing.
        """
        for isOutlived in (True, False):
            outlet, inlet = self.outlet(), self.inlet()
            inlet.isOutlived = isOutlived
            self.hop.toClient.held = True
            self.client()
            inlet.stopService()
            self.assertEqual(len(inlet.late), isOutlived)
            self.hop.toClient.held = False
            self.network.pump()
            self.assertEqual(inlet.late, set())
            self.assertEqual(len(outlet.streams), not isOutlived)
            outlet.stopService()

    def test_pongTooLate(self) -> None:
        """
        Nobody waits for a late Pong for ever.
        """
        inlet = self.inlet()
        self.client()
        self.network.advance(CONNECT_TIMEOUT)
        self.assertEqual(len(inlet.late), 1)
        self.network.advance(LATE)
        self.assertEqual(inlet.late, set())
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_clientGone(self) -> None:
        """
        A client that goes while it waits leaves nothing behind.
        """
        outlet, inlet = self.outlet(), self.inlet()
        self.hop.toClient.held = True
        client = self.client()
        self.link(client).client.loseConnection()
        self.network.pump()
        self.hop.toClient.held = False
        self.network.pump()
        self.assertIdle(inlet, outlet)
        self.assertEqual(self.targets.made[0].ending, "ConnectionDone")

    def test_clientGoneWithoutAWay(self) -> None:
        """
        Nor one that goes while there is no way.
        """
        inlet = self.inlet()
        self.way.change(None)
        client = self.client()
        self.link(client).client.loseConnection()
        self.network.advance(CONNECT_TIMEOUT)
        self.assertIdle(inlet)
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_refused(self) -> None:
        """
        An outlet that cannot reach its target has the client reset at once.
        """
        outlet, inlet = self.outlet(), self.inlet()
        del self.network.ports["target"]
        client = self.client()
        self.assertEqual(client.ending, "ConnectionLost")
        self.assertIdle(inlet, outlet)

    def test_strangeOutlet(self) -> None:
        """
        Whatever an outlet says before Pong does not keep the client from
        getting its stream.
        """
        self.inlet()
        outlet = self.outletNode.inbox("outlet", self.outletNode.transport.listenerId)
        client = self.client()
        client.send(b"mine")
        [ping] = outlet.messages
        for payload in (b"\xff", PING, encodePortalPayload(b"no"), PONG, encodePortalPayload(b"yes")):
            self.outletNode.send(ping.return_route, payload, outlet)
        self.network.pump()
        self.assertEqual(client.received, b"yes")
        self.assertEqual(outlet.payloads[1:], [b"\x03\x04mine\x01\x00\x00"])
        self.assertEqual(self.lines(), [])

    def test_maximum(self) -> None:
        """
        Above its limit an inlet refuses clients; the others do not notice.
        """
        self.outlet()
        self.inlet(maxStreams=2)
        clients = [self.client() for _ in range(4)]
        self.assertEqual([client.ending for client in clients], ["", "", "ConnectionDone", "ConnectionDone"])
        self.assertEqual(self.lines(), ["A client was refused: there are 2 clients already"])


class _Other:
    """
    A second outlet, with a target of its own, on the same node.
    """

    def other(self, case: PortalTestCase, flowId: str, incoming: IAccessControl | None = None) -> Programs:
        """
        Start it.
        """
        node, targets = case.outletNode, Programs()
        case.network.endpoint("other target").listen(targets)
        target = SocketTarget(node.router, node.sockets, case.network.endpoint("other target"), "other")
        outlet = Outlet(node.router, case.network.clock, target, OTHER, incoming)
        outlet.startService()
        node.router.flowControls.addConsumer(OTHER, flowId)
        return targets


class UnansweredTests(_Other, PortalTestCase):
    """
    One outlet that is silent, and one that answers.
    """

    def setUp(self) -> None:
        super().setUp()
        self.made = self.inlet()
        self.silent = self.way.route
        assert self.silent is not None
        self.better = self.hop.route(OTHER)
        self.others = self.other(self, self.outletNode.transport.listenerId)

    def waiting(self) -> Program:
        """
        A client that has sent something, and gets no answer.
        """
        client = self.client()
        client.send(b"hello")
        self.network.pump()
        return client

    def test_suspected(self) -> None:
        """
        After a while the way is asked whether it lives, once; nothing else
        happens if there is no other one.
        """
        client = self.waiting()
        self.network.advance(ASK_AFTER + 3 * LOOK_AFTER)
        self.assertEqual(self.way.suspected, ["a new stream gets no answer"])
        self.assertEqual(client.ending, "")
        self.network.advance(CONNECT_TIMEOUT)
        self.assertEqual(client.ending, "ConnectionLost")
        self.assertIdle(self.made)

    def test_soughtElsewhere(self) -> None:
        """
        If there is another way by then the client is served over that, with
        all that it has sent, and notices nothing.
        """
        client = self.waiting()
        self.network.advance(ASK_AFTER)
        self.way.route = self.better
        self.network.advance(LOOK_AFTER)
        self.assertEqual(self.others.made[0].received, b"hello")
        self.others.made[0].send(b"welcome")
        self.network.pump()
        self.assertEqual(client.received, b"welcome")
        self.network.advance(60)
        self.assertEqual(client.ending, "")
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_quickOnesAreLeftAlone(self) -> None:
        """
        A way that changes before the silence is suspicious changes nothing
        for those who wait for an answer over it.
        """
        self.outlet()
        self.hop.toClient.held = True
        client = self.waiting()
        self.way.route = self.better
        self.network.advance(ASK_AFTER - 0.1)
        self.hop.toClient.held = False
        self.network.pump()
        self.assertEqual(self.targets.made[0].received, b"hello")
        self.assertEqual((client.ending, self.others.made), ("", []))

    def test_lateAnswer(self) -> None:
        """
        The answer of the first outlet may come after all: its target is let
        go, and the client stays with the second.
        """
        outlet = self.outlet()
        self.hop.toClient.held = True
        client = self.waiting()
        self.network.advance(ASK_AFTER)
        self.way.route = self.better
        self.network.advance(LOOK_AFTER)
        self.hop.toClient.held = False
        self.network.pump()
        self.assertEqual(self.targets.made[0].ending, "ConnectionDone")
        self.assertEqual(self.targets.made[0].received, b"")
        self.assertIdle(outlet)
        self.assertEqual(self.others.made[0].received, b"hello")
        self.assertEqual(client.ending, "")
        self.assertEqual(self.made.late, set())

    def test_wayLost(self) -> None:
        """
        So it is at once when the way is lost; without another one the client
        waits for it.
        """
        client = self.waiting()
        self.way.route = None
        self.hop.cut()
        self.network.advance(0.1)
        self.assertEqual(client.ending, "")
        self.hop = self.inletNode.connect(self.outletNode)
        self.way.change(self.hop.route(OTHER))
        self.network.pump()
        self.assertEqual(self.others.made[0].received, b"hello")
        self.network.advance(CONNECT_TIMEOUT)
        self.assertEqual(client.ending, "")

    def test_wayStaysLost(self) -> None:
        """
        It waits no longer than it would have waited for the first answer.
        """
        client = self.waiting()
        self.network.advance(CONNECT_TIMEOUT - 1)
        self.way.route, self.way.why = None, "it is gone"
        self.hop.cut()
        self.network.advance(0.1)
        self.assertEqual(client.ending, "")
        self.network.advance(1)
        self.assertEqual(client.ending, "ConnectionLost")
        self.assertEqual(self.lines()[-1], "A client was refused: it is gone")
        self.assertIdle(self.made)
        self.assertEqual(self.way._waiting, [])

    def test_shortPatience(self) -> None:
        """
        Who is not held for long is not held longer for all that.
        """
        self.made.connectTimeout = 1.0
        client = self.waiting()
        self.network.advance(1.0)
        self.assertEqual(client.ending, "ConnectionLost")


class UnansweredChannelTests(_Other, ChannelPortalTestCase):
    """
    The same through secure channels, where ends agree on more.
    """

    def test_windows(self) -> None:
        """
        What was reserved for the first attempt is given back, and the second
        one agrees anew.
        """
        inlet = self.inlet()
        others = self.other(self, self.listener.flowId)
        client = self.client()
        client.send(b"hello")
        self.network.advance(ASK_AFTER)
        self.way.route = Route((self.channel.encryptor, OTHER))
        self.network.advance(LOOK_AFTER)
        self.assertEqual(others.made[0].received, b"hello")
        [stream] = inlet.streams
        others.made[0].send(b"x" * 1_000_000)
        self.network.pump()
        self.assertEqual(len(client.received), 1_000_000)
        client.transport.loseConnection()  # type: ignore[union-attr]
        self.network.pump()
        self.assertEqual(others.made[0].ending, "ConnectionDone")
        self.assertIdle(inlet)
        self.assertIsNone(stream.result)
