"""
Tests for L{ockam_twisted.portals.resumption}: what an inlet that was started
again leaves behind.  (Going on itself is tested with the streams.)
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from ockam_twisted.portals import resumption
from ockam_twisted.portals.exchange import FEATURES
from ockam_twisted.portals.outlet import Outlet, SocketTarget
from ockam_twisted.portals.resumption import RESTARTED
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.wire.extension import UNKNOWN, Reset, Resume, decodeExtension, encodeExtension
from ockam_twisted.wire.portal import PING, encodePortalPayload
from ockam_twisted.wire.terms import Terms, decodeTerms, encodeTerms
from tests.portals.common import ChannelPortalTestCase, Program


class RestartedTests(ChannelPortalTestCase):
    """
    Another process of the same identity opens a stream.
    """

    def setUp(self) -> None:
        super().setUp()
        self.asked: list[tuple[Address, Deferred[bool]]] = []

    def begin(self) -> tuple[Program, Program]:
        """
        Open a stream, and have the outlet ask us who lives.
        """
        client, target = self.both()

        def lives(encryptor: Address) -> Deferred[bool]:
            self.asked.append((encryptor, Deferred()))
            return self.asked[-1][1]

        self.theOutlet.settings.lives = lives
        return client, target

    def restart(self) -> Program:
        """
        A new process opens a stream, over another channel, while the
        connection of the old one is still there.

        @return: Its target.
        """
        self.theInlet.settings.instance = bytes(15) + bytes([len(self.targets.made)])
        self.hop = self.inletNode.connect(self.outletNode)
        self.way.route = self.newRoute(self.hop)
        self.client()
        return self.targets.made[-1]

    def test_silent(self) -> None:
        """
        The old process does not answer any more: its streams end, and only
        its own.
        """
        _, old = self.begin()
        [stream] = self.theOutlet.streams
        assert stream.peer is not None
        new = self.restart()
        [(encryptor, answer)] = self.asked
        self.assertEqual(encryptor, stream.peer.encryptor)
        self.assertEqual(old.ending, "")
        with self.outletNode.router.turn:
            answer.callback(False)
        self.network.pump()
        self.assertEqual(old.ending, "ConnectionLost")
        assert stream.result is not None
        self.assertEqual(stream.result.text, RESTARTED)
        self.assertEqual(new.ending, "")

    def test_lives(self) -> None:
        """
        Two processes of one identity: nothing ends, and it is asked once for
        each new one, not for each stream.
        """
        _, old = self.begin()
        new = self.restart()
        self.client()
        self.asked[0][1].callback(True)
        self.client()
        self.network.pump()
        self.assertEqual(len(self.asked), 1)
        self.assertEqual((old.ending, new.ending), ("", ""))
        self.restart()
        # Two channels, of two processes.
        self.assertEqual(len(self.asked), 3)

    def test_moved(self) -> None:
        """
        A stream that has gone on over another channel meanwhile was not the
        one that was asked about.
        """
        _, old = self.begin()
        first = self.theInlet.settings.instance
        self.restart()
        self.theInlet.settings.instance = first
        self.newWay()
        self.asked[0][1].callback(False)
        self.network.pump()
        self.assertEqual(old.ending, "")


class WaitingTests(ChannelPortalTestCase):
    """
    Streams that wait for another way.
    """

    def test_tooMany(self) -> None:
        """
        Of too many that one peer has left, the oldest end.
        """
        self.patch(resumption, "MAX_ROUTELESS", 3)
        self.both()
        for _ in range(5):
            self.another()
        self.hop.cut()
        self.network.pump()
        self.assertEqual([each.ending for each in self.targets.made], ["ConnectionLost"] * 3 + [""] * 3)
        self.newWay()
        self.assertEqual(self.theOutlet.resumptions._waiting, {})
        self.assertEqual([each.ending for each in self.targets.made[3:]], [""] * 3)


class RefusedTests(ChannelPortalTestCase):
    """
    An outlet that gives no stream tells an inlet that understands it why.
    """

    def test_plain(self) -> None:
        """
        A stream that has become plain cannot go on over another way.
        """
        self.outlet()
        inbox = self.inletNode.inbox("strange")
        assert self.way.route is not None
        self.inletNode.send(self.way.route, encodeTerms(PING, Terms(FEATURES, 65536, bytes(16))), inbox)
        self.network.pump()
        pong = inbox.messages[-1]
        terms = decodeTerms(pong.payload)
        assert terms is not None and terms.stream is not None
        self.inletNode.send(pong.return_route, encodePortalPayload(b"plain"), inbox)
        self.inletNode.send(self.way.route, encodeExtension(Resume(terms.stream, 1, 0)), inbox)
        self.network.pump()
        answer = decodeExtension(inbox.payloads[-1])
        self.assertIsInstance(answer, Reset)
        self.assertEqual(getattr(answer, "code", None), UNKNOWN)

    def test_draining(self) -> None:
        """
        It is about to stop.
        """
        self.both()
        self.successResultOf(self.theOutlet.drain())
        late = self.client()
        self.assertEqual(late.ending, "ConnectionLost")
        self.assertIn("shutting down", " ".join(line for line in self.lines() if "A client was refused" in line))

    def test_elsewhere(self) -> None:
        """
        Where the way leads to another outlet once this one is under suspicion,
        the client has a stream of that one, and notices nothing.
        """
        self.both()
        self.successResultOf(self.theOutlet.drain())
        node, first = self.outletNode, self.way.route
        target = SocketTarget(node.router, node.sockets, self.network.endpoint("target"), "target")
        other = Outlet(node.router, self.network.clock, target, Address.local("other"))
        other.startService()
        node.router.flowControls.addConsumer(other.address, self.listener.flowId)
        suspected: list[Route | None] = []

        def suspect(reason: str, route: Route | None = None) -> None:
            suspected.append(route)
            self.way.route = Route((self.channel.encryptor, other.address))

        self.way.suspect = suspect  # type: ignore[method-assign]
        client = self.client()
        client.send(b"hello")
        self.network.advance(1)
        self.assertEqual(suspected, [first])
        self.assertEqual(client.ending, "")
        self.assertEqual(bytes(self.targets.made[-1].received), b"hello")
        self.assertEqual(len(other.streams), 1)
