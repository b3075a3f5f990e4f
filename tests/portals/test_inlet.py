"""
Tests for L{ockam_twisted.portals.inlet}.
"""

from __future__ import annotations

from twisted.internet.protocol import Factory

from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.testing import Inbox
from ockam_twisted.transports.stalls import TICK
from ockam_twisted.wire.portal import DISCONNECT, encodePortalPayload
from tests.portals.common import OUTLET, PortalTestCase, Program


class DrainTests(PortalTestCase):
    """
    A portal that is about to stop.
    """

    def test_inlet(self) -> None:
        """
        An inlet accepts nobody any more; who is there goes on.
        """
        self.outlet()
        inlet = self.inlet()
        client = self.client()
        self.assertEqual(len(inlet.streams), 1)
        self.successResultOf(inlet.drain())
        self.assertIsNone(inlet.port)
        client.send(b"still")
        self.network.pump()
        self.assertEqual(bytes(self.targets.made[0].received), b"still")
        self.successResultOf(inlet.drain())

    def test_outlet(self) -> None:
        """
        An outlet refuses new streams at once; those that are there go on.
        """
        outlet = self.outlet()
        self.inlet()
        client = self.client()
        self.successResultOf(outlet.drain())
        late = self.client()
        self.network.pump()
        self.assertTrue(late.ending)
        client.send(b"still")
        self.network.pump()
        self.assertEqual(bytes(self.targets.made[0].received), b"still")
        self.assertIn("shutting down", "".join(self.lines()))


class WholeStreamTests(PortalTestCase):
    """
    A client, an inlet, an outlet and a target.
    """

    def test_both(self) -> None:
        """
        Bytes go both ways between two nodes; when the client closes, so does
        the target, and nothing is left.
        """
        outlet, inlet = self.outlet(), self.inlet()
        client = self.client()
        [target] = self.targets.made
        client.send(b"request")
        self.network.pump()
        target.send(b"answer" * 100_000)
        self.network.pump()
        self.assertEqual(target.received, b"request")
        self.assertEqual(client.received, b"answer" * 100_000)
        self.link(client).client.loseConnection()
        self.network.pump()
        self.assertEqual((client.ending, target.ending), ("ConnectionDone", "ConnectionDone"))
        self.assertIdle(inlet, outlet)
        self.assertEqual(self.lines(), [])

    def test_oneNode(self) -> None:
        """
        Inlet and outlet may be on the same node.
        """
        self.outletNode = self.inletNode
        self.way.change(Route((OUTLET,)))
        self.targets._attributes = {"echo": True}
        outlet, inlet = self.outlet(), self.inlet()
        client = self.client()
        client.send(b"x" * 100_000)
        self.network.pump()
        self.assertEqual(client.received, b"x" * 100_000)
        self.link(self.targets.made[0]).server.loseConnection()
        self.network.pump()
        self.assertEqual(client.ending, "ConnectionDone")
        self.assertIdle(inlet, outlet)

    def test_earlyBytes(self) -> None:
        """
        What the client sends before the stream is open waits.
        """
        self.outlet()
        self.inlet()
        self.hop.toClient.held = True
        client = self.client()
        client.send(b"early")
        self.network.pump()
        self.assertEqual(self.targets.made[0].received, b"")
        self.hop.toClient.held = False
        self.network.pump()
        self.assertEqual(self.targets.made[0].received, b"early")

    def test_surplusHop(self) -> None:
        """
        An outlet named twice, as some inlets do, is an outlet.
        """
        self.outlet()
        self.inlet()
        self.way.change(self.hop.route(OUTLET, OUTLET))
        client = self.client()
        client.send(b"x")
        self.network.pump()
        self.assertEqual(self.targets.made[0].received, b"x")

    def test_manyStreams(self) -> None:
        """
        Five hundred streams at once keep their bytes apart.
        """
        self.targets._attributes = {"echo": True}
        outlet, inlet = self.outlet(), self.inlet()
        clients = [Program() for _ in range(500)]
        for number, client in enumerate(clients):
            self.network.endpoint("inlet").connect(Factory.forProtocol(lambda client=client: client))
            client.send(b"%d;" % number * 50)
        self.network.pump()
        self.assertEqual((len(inlet.streams), len(outlet.streams)), (500, 500))
        for number, client in enumerate(clients):
            self.assertEqual(client.received, b"%d;" % number * 50)
            self.link(client).client.loseConnection()
        self.network.pump()
        self.assertIdle(inlet, outlet)
        self.assertEqual({target.ending for target in self.targets.made}, {"ConnectionDone"})

    def test_disconnectDrains(self) -> None:
        """
        A target's last words reach a slow client, then FIN.
        """
        outlet, inlet = self.outlet(), self.inlet()
        client = self.client()
        self.link(client).client.isPaused = True
        [target] = self.targets.made
        target.send(b"z" * 900_000)
        self.link(target).server.loseConnection()
        self.network.pump()
        self.assertIdle(inlet, outlet)
        self.assertEqual((client.received, client.ending), (b"", ""))
        self.link(client).client.isPaused = False
        self.network.pump()
        self.assertEqual(len(client.received), 900_000)
        self.assertEqual(client.ending, "ConnectionDone")

    def test_routeLost(self) -> None:
        """
        When the connection between the nodes breaks, both ends are reset:
        nobody may take it for the end of the data.
        """
        outlet, inlet = self.outlet(), self.inlet()
        client = self.client()
        self.hop.cut()
        self.network.pump()
        self.assertEqual((client.ending, self.targets.made[0].ending), ("ConnectionLost", "ConnectionLost"))
        self.assertIdle(inlet, outlet)


class StopTests(PortalTestCase):
    """
    An inlet that is shut down.
    """

    def test_stop(self) -> None:
        """
        It listens no more, its clients are reset, and the outlets told.
        """
        outlet, inlet = self.outlet(), self.inlet()
        client = self.client()
        inlet.stopService()
        self.network.pump()
        self.assertEqual(client.ending, "ConnectionLost")
        self.assertNotIn("inlet", self.network.ports)
        self.assertIdle(inlet, outlet)

    def test_stopWhileWaiting(self) -> None:
        """
        Clients that wait are reset too, and no timer remains but the watch of
        paused sockets, which ends by itself.
        """
        inlet = self.inlet()
        waiting = self.client()
        self.way.change(None)
        without = self.client()
        inlet.stopService()
        self.network.pump()
        self.assertEqual((waiting.ending, without.ending), ("ConnectionLost", "ConnectionLost"))
        self.network.clock.advance(TICK)
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_otherPeersCannotReachAStream(self) -> None:
        """
        Only what comes the way that a stream was opened over reaches it.
        """
        self.outlet()
        inlet = self.inlet()
        client = self.client()
        other = self.outletNode.connect(self.inletNode)
        [stream] = inlet.streams
        intruder = Inbox(self.outletNode.router, Address.local("intruder"))
        for payload in (encodePortalPayload(b"forged"), DISCONNECT):
            self.outletNode.send(other.route(stream.address), payload, intruder)
        self.network.pump()
        self.assertEqual((client.received, client.ending), (b"", ""))
