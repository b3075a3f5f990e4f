"""
Tests for L{ockam_twisted.portals.early}: what a client says at once goes with
the Ping, and is said to a target once, whatever happens.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory

from ockam_twisted.errors import DecodeError
from ockam_twisted.identity.trust import TrustEveryone, TrustIdentifier
from ockam_twisted.portals.early import PEER_FLOORS
from ockam_twisted.portals.exchange import FEATURES
from ockam_twisted.portals.late import LATE
from ockam_twisted.portals.opening import ASK_AFTER, LOOK_AFTER
from ockam_twisted.portals.outlet import Outlet, SocketTarget
from ockam_twisted.portals.plain import State
from ockam_twisted.portals.settings import RESUME_TIMEOUT
from ockam_twisted.portals.tombstones import PEER_TOMBSTONES
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.testing import MemoryNode
from ockam_twisted.wire.extension import (
    POLICY,
    PROTOCOL_ERROR,
    RESET_BY_PEER,
    UNKNOWN,
    Credit,
    Reset,
    decodeExtension,
    encodeExtension,
)
from ockam_twisted.wire.portal import PING, PONG
from ockam_twisted.wire.terms import EARLY, MAX_EARLY, Early, Terms, decodeTerms, encodeTerms
from tests.portals.common import OUTLET, ChannelPortalTestCase, Halved, Program, Programs
from tests.portals.world import EarlySockets

OTHER = Address.local("other")
INSTANCE = bytes(range(16))


class EarlyTestCase(ChannelPortalTestCase):
    """
    An inlet that knows its outlet by a first stream.
    """

    def setUp(self) -> None:
        super().setUp()
        self.targets.kind = Halved
        node = self.inletNode
        node.sockets = self.sockets = EarlySockets(node.router.turn, node.stalls)

    def begin(self) -> None:
        """
        Start both, and open the first stream.
        """
        self.theOutlet, self.theInlet = self.outlet(), self.inlet()
        self.says(b"first")
        self.assertEqual(bytes(self.targets.made[0].received), b"first")

    def says(self, data: bytes) -> Program:
        """
        A client connects and says something at once.
        """
        client = Halved()
        rest = [data]
        self.sockets.saying = lambda: rest.pop() if rest else b""
        self.network.endpoint("inlet").connect(Factory.forProtocol(lambda: client))
        self.sockets.saying = bytes
        if rest:
            client.send(data)
        self.network.pump()
        return client

    def streamOf(self, client: Program) -> Any:
        """
        The end of its stream at the inlet.
        """
        socket: Any = self.link(client).server.protocol
        return socket.stream

    def cut(self) -> None:
        """
        The connection between the nodes breaks; what is under way is lost.
        """
        self.hop.cut()
        self.hop.toClient.held = self.hop.toServer.held = False
        self.network.pump()

    def heard(self) -> list[bytes]:
        """
        What targets were told, but the first.
        """
        return [bytes(target.received) for target in self.targets.made[1:]]

    def assertOver(self, client: Program, target: Program) -> None:
        """
        The stream works, and comes to its end.
        """
        client.send(b"up" * 100_000)
        target.send(b"down" * 100_000)
        self.network.advance(1)
        self.assertTrue(target.received.endswith(b"up" * 100_000))
        self.assertTrue(client.received.endswith(b"down" * 100_000))
        for program in (client, target):
            self.close(program, half=True)
        self.network.advance(1)
        self.assertTrue(isinstance(client, Halved) and client.finished)
        self.assertTrue(isinstance(target, Halved) and target.finished)
        self.assertNothingLeft()

    def assertNothingLeft(self) -> None:
        """
        But of the first stream.
        """
        self.link(self.targets.made[0]).server.abortConnection()
        self.network.advance(LATE + RESUME_TIMEOUT + 60)
        self.assertIdle(self.theInlet, self.theOutlet)
        self.assertEqual(self.theOutlet.settings.early.streams, {})
        for portal in (self.theInlet, self.theOutlet):
            self.assertEqual(portal.settings.budget.used, 0)


class EarlyTests(EarlyTestCase):
    """
    An inlet, and whatever becomes of its way.
    """

    def test_first(self) -> None:
        """
        Who does not know the outlet yet sends it nothing with Ping.
        """
        self.hop.toServer.record = True
        self.begin()
        stream = self.theInlet.streams.copy().pop()
        self.assertIsNone(stream._brought)
        self.assertEqual(stream.sent, 5)

    def test_said(self) -> None:
        """
        The next one does, and the target is told before Pong has come; the
        bytes count as any others do.
        """
        self.begin()
        self.hop.toClient.held = True
        client = self.says(b"hello")
        self.assertEqual(self.heard(), [b"hello"])
        self.assertIs(self.streamOf(client).state, State.PINGED)
        target = self.targets.made[1]
        target.send(b"answer")
        client.send(b" world")
        self.hop.toClient.held = False
        self.network.pump()
        self.assertEqual((bytes(target.received), bytes(client.received)), (b"hello world", b"answer"))
        self.assertEqual(self.streamOf(client).sent, 11)
        # Nobody keeps it any longer.
        near, far = self.streamOf(client), [each for each in self.theOutlet.streams if each.received == 11]
        opening = self.link(client).server.protocol.opening
        self.assertEqual((near.early, near.offer, opening._said, far[0].offer), (b"", None, b"", None))
        self.assertEqual([each.received for each in self.theOutlet.streams if each.received != 5], [11])
        self.assertOver(client, target)

    def test_much(self) -> None:
        """
        No more goes with Ping than it may bring; the rest follows.
        """
        self.begin()
        data = bytes(range(256)) * 64
        route = self.way.route
        self.way.change(None)
        client = Halved()
        self.network.endpoint("inlet").connect(Factory.forProtocol(lambda: client))
        client.send(data)
        self.hop.toClient.held = True
        self.way.change(route)
        self.network.pump()
        self.assertEqual(self.heard(), [data[:MAX_EARLY]])
        self.hop.toClient.held = False
        self.network.pump()
        self.assertEqual(self.heard(), [data])
        self.assertOver(client, self.targets.made[1])

    def test_nothing(self) -> None:
        """
        A client that waits for the other side to speak costs nothing more.
        """
        self.begin()
        client = self.client()
        self.assertIsNone(self.streamOf(client)._brought)
        self.assertOver(client, self.targets.made[1])

    def test_pingLost(self) -> None:
        """
        A Ping that was lost with its way is repeated over the next one, and
        the client knows of nothing.
        """
        self.begin()
        self.hop.toServer.held = True
        client = self.says(b"hello")
        self.cut()
        self.assertEqual(self.heard(), [])
        self.newWay()
        self.network.advance(1)
        self.assertEqual(self.heard(), [b"hello"])
        self.assertOver(client, self.targets.made[1])

    def test_answerLost(self) -> None:
        """
        Where Pong was lost, the stream is the same: its target hears nothing
        twice, and what it has said meanwhile is not lost.
        """
        self.begin()
        self.hop.toClient.held = True
        client = self.says(b"hello")
        [target] = self.targets.made[1:]
        target.send(b"answer" * 10_000)
        self.network.pump()
        self.cut()
        self.newWay()
        self.network.advance(1)
        self.assertEqual(self.heard(), [b"hello"])
        self.assertEqual(bytes(client.received), b"answer" * 10_000)
        # It waits for no other way any more.
        self.assertEqual(self.theOutlet.resumptions._waiting, {})
        self.network.advance(RESUME_TIMEOUT + 1)
        self.assertOver(client, target)

    def test_stillDialing(self) -> None:
        """
        So it is while the target is being dialed, over a way that is better.
        """
        self.begin()
        endpoint: Any = self.theOutlet.target
        made: list[Any] = []
        self.patch(type(endpoint), "connect", lambda self, local: made.append((self, local)) or Deferred())
        client = self.says(b"hello")
        old = self.hop
        self.newWay()
        self.network.advance(ASK_AFTER + LOOK_AFTER + 1)
        self.assertEqual(len(made), 1)
        old.cut()
        self.network.pump()
        _connect(*made[0], self.theOutlet)
        self.network.advance(1)
        self.assertEqual(self.heard(), [b"hello"])
        self.assertOver(client, self.targets.made[1])

    def test_betterWay(self) -> None:
        """
        Where no answer comes, and there is another way, that is asked; the
        first answer counts no more, whenever it comes.
        """
        self.begin()
        old = self.hop
        old.toClient.held = True
        client = self.says(b"hello")
        self.newWay()
        self.network.advance(ASK_AFTER + LOOK_AFTER + 1)
        self.assertIs(self.streamOf(client).state, State.OPEN)
        self.assertEqual(self.heard(), [b"hello"])
        old.toClient.held = False
        self.network.advance(1)
        self.assertOver(client, self.targets.made[1])

    def test_heldBack(self) -> None:
        """
        Who carries the messages may hold the first Ping back for as long as it
        likes: nobody is told anything twice.
        """
        for wait, others in ((0.0, 0), (10.0, 0), (2 * RESUME_TIMEOUT, 3)):
            with self.subTest(wait=wait):
                self.setUp()
                self.begin()
                old = self.hop
                old.toServer.held = True
                client = self.says(b"hello")
                self.newWay()
                self.network.advance(ASK_AFTER + LOOK_AFTER + 1)
                self.assertEqual(self.heard(), [b"hello"])
                if wait:
                    for program in (client, self.targets.made[1]):
                        self.close(program)
                    self.network.advance(wait)
                for _ in range(others):
                    # What has ended without a word is remembered, too, and
                    # makes older ones forgotten.
                    self.hop.toClient.held = True
                    another = self.says(b"other")
                    self.link(another).server.abortConnection()
                    self.link(self.targets.made[-1]).server.abortConnection()
                    self.network.pump()
                    self.hop.toClient.held = False
                    self.network.advance(1)
                old.toServer.held = False
                self.network.advance(5)
                self.assertEqual(self.heard().count(b"hello"), 1)

    def test_targetGone(self) -> None:
        """
        What has become of a stream meanwhile is told; it is not begun anew.
        """
        self.begin()
        self.hop.toClient.held = True
        client = self.says(b"hello")
        self.targets.made[1].transport.abortConnection()  # type: ignore[union-attr]
        self.network.pump()
        self.cut()
        self.newWay()
        self.network.advance(1)
        self.assertEqual(self.heard(), [b"hello"])
        self.assertEqual(client.ending, "ConnectionLost")
        self.assertEqual(self.streamOf(client).result.code, RESET_BY_PEER)
        self.assertNothingLeft()

    def test_restarted(self) -> None:
        """
        An outlet that was started again cannot know whether the target was
        told, and is not to tell it.
        """
        self.begin()
        self.hop.toClient.held = True
        client = self.says(b"hello")
        self.theOutlet.stopService()
        self.cut()
        self.theOutlet = self.outlet()
        self.newWay()
        self.network.advance(1)
        self.assertEqual(self.heard(), [b"hello"])
        self.assertEqual((client.ending, self.streamOf(client).result.code), ("ConnectionLost", UNKNOWN))

    def test_anotherKind(self) -> None:
        """
        Nor does one that knows of no such thing any more: whose bytes may be
        lost, or said twice, is reset, and the next one waits for Pong.
        """
        for features in (FEATURES & ~EARLY, 0):
            with self.subTest(features=features):
                self.setUp()
                self.begin()
                self.hop.toServer.held = True
                later = self.says(b"later")
                self.cut()
                self.theOutlet.settings.features = features
                self.newWay()
                self.network.advance(1)
                self.assertEqual(later.ending, "ConnectionLost")
                self.assertNotIn(b"later", self.heard())
                self.theInlet._outlet = self.way.route, INSTANCE  # type: ignore[assignment]
                first = self.says(b"first")
                self.assertEqual(first.ending, "ConnectionLost")
                client = self.says(b"hello")
                self.assertEqual((self.heard()[-1], client.ending), (b"hello", ""))
                self.assertNotIn(b"first", self.heard())

    def test_refused(self) -> None:
        """
        A target that does not answer was told nothing.
        """
        self.begin()
        port = self.network.ports["target"]
        port.stopListening()
        client = self.says(b"hello")
        self.assertEqual(client.ending, "ConnectionLost")
        self.assertEqual(self.heard(), [])
        self.assertNothingLeft()

    def test_draining(self) -> None:
        """
        An outlet that is about to stop was told in vain, so that another one
        is told the same.
        """
        self.begin()
        others = Programs()
        node = self.outletNode
        self.network.endpoint("other target").listen(others)
        target = SocketTarget(node.router, node.sockets, self.network.endpoint("other target"), "other")
        other = Outlet(node.router, self.network.clock, target, OTHER)
        other.startService()
        node.router.flowControls.addConsumer(OTHER, self.listener.flowId)
        self.theOutlet.drain()
        self.hop.toServer.held = True
        client = self.says(b"hello")
        self.way.route = Route((self.channel.encryptor, OTHER))
        self.hop.toServer.held = False
        self.network.advance(1)
        self.assertEqual((client.ending, self.heard()), ("", []))
        self.assertEqual([bytes(each.received) for each in others.made], [b"hello"])

    def test_elsewhere(self) -> None:
        """
        While an outlet that may have been told lives, no other one is asked:
        it alone knows.
        """
        self.begin()
        waiting: list[Any] = []
        target: Any = self.theOutlet.target
        connect = type(target).connect
        self.patch(type(target), "connect", lambda _, local: waiting.append((local, Deferred())) or waiting[-1][1])
        client = self.says(b"hello")
        other = MemoryNode(self.network, "other outlet")
        other.listen(TrustIdentifier(self.inletNode.identifier))
        hop = self.inletNode.connect(other)
        making = self.inletNode.createChannel(hop.route("api"), TrustIdentifier(other.identifier))
        self.way.change(Route((self.network.result(making).encryptor, OUTLET)))
        self.network.advance(ASK_AFTER + 2 * LOOK_AFTER)
        [(local, connecting)] = waiting
        connect(target, local).addCallback(connecting.callback)
        self.network.advance(1)
        self.assertEqual((client.ending, self.heard()), ("", [b"hello"]))
        self.assertOver(client, self.targets.made[-1])

    def test_suspect(self) -> None:
        """
        Nothing is sent early to an outlet that may be no more: its successor
        has the stream then.
        """
        self.begin()
        self.way.isSuspect = True
        self.hop.toServer.held = True
        client = self.says(b"hello")
        self.theOutlet.stopService()
        self.way.change(None)
        self.cut()
        self.theOutlet = self.outlet()
        self.newWay()
        self.network.advance(1)
        self.assertEqual((client.ending, self.heard()), ("", [b"hello"]))

    def test_stopped(self) -> None:
        """
        That an outlet has stopped does not mean that it was not told: no other
        one is.
        """
        self.begin()
        self.hop.toClient.held = True
        client = self.says(b"hello")
        self.theOutlet.stopService()
        self.theOutlet = self.outlet(settings=self.theOutlet.settings)
        self.cut()
        other = self.newRoute(self.inletNode.connect(self.outletNode))
        self.patch(self.way, "suspect", lambda reason, route=None: setattr(self.way, "route", other))
        self.newWay()
        self.network.advance(1)
        self.assertEqual((client.ending, self.heard()), ("ConnectionLost", [b"hello"]))

    def test_noRoom(self) -> None:
        """
        Whose windows have no room is refused, and its target told nothing.
        """
        self.begin()
        budget = self.theOutlet.settings.budget
        taken = budget.limit - budget.used - 1000
        budget.take(taken)
        client = self.says(b"hello")
        self.assertEqual((client.ending, self.heard()), ("ConnectionLost", [b""]))
        budget.give(taken)
        self.assertNothingLeft()

    def test_clientGone(self) -> None:
        """
        A client that has gone before Pong leaves nothing behind, at once or
        after its way was lost.
        """
        for isCut in (False, True):
            with self.subTest(isCut=isCut):
                self.setUp()
                self.begin()
                self.hop.toClient.held = True
                client = self.says(b"hello")
                if isCut:
                    self.way.change(None)
                    self.cut()
                self.link(client).client.abortConnection()
                self.network.pump()
                self.hop.toClient.held = False
                self.network.pump()
                if isCut:
                    self.newWay()
                self.assertEqual(self.heard(), [b"hello"])
                self.assertNothingLeft()

    def test_noWay(self) -> None:
        """
        Who has no way for too long is reset.
        """
        self.begin()
        self.hop.toServer.held = True
        client = self.says(b"hello")
        self.way.change(None)
        self.cut()
        self.network.advance(self.theInlet.connectTimeout + 1)
        self.assertEqual((client.ending, self.heard()), ("ConnectionLost", []))
        self.assertIn("A client was refused: it went down", self.lines())

    def test_plainWay(self) -> None:
        """
        What was said through a channel is not said without one.
        """
        self.begin()
        self.hop.toServer.held = True
        client = self.says(b"hello")
        self.cut()
        self.hop = self.inletNode.connect(self.outletNode)
        self.hop.toServer.record = True
        self.way.change(self.hop.route(OUTLET))
        self.network.advance(1)
        self.assertEqual((client.ending, self.heard()), ("ConnectionLost", []))
        self.assertNotIn(b"hello", b"".join(self.hop.toServer.recorded))

    def test_ratherLittle(self) -> None:
        """
        An outlet that says it has been told, and permits less, is refused.
        """
        self.begin()
        inbox = self.outletNode.inbox("strange", self.listener.flowId)
        stream = self.theInlet.streams.copy().pop()
        route = Route((self.channel.encryptor, inbox.address))
        self.way.change(route)
        self.theInlet.learn(route, stream)
        client = self.says(b"hello")
        [ping] = [each for each in inbox.messages if each.payload[:1] == PING]
        pong = encodeTerms(PONG, Terms(FEATURES, 4, INSTANCE, INSTANCE))
        self.outletNode.send(ping.return_route, pong, inbox)
        self.network.pump()
        self.assertEqual(client.ending, "ConnectionLost")
        resets = [decodeExtension(each) for each in inbox.payloads if each[:1] == b"\x0c"]
        self.assertEqual([each.code for each in resets if isinstance(each, Reset)], [PROTOCOL_ERROR])


def _connect(target: Any, local: Any, outlet: Outlet) -> None:
    """
    The target answers at last.
    """
    target._endpoint.connect(Factory.forProtocol(lambda: local))
    outlet._connected(None, local.stream)


class AttackTests(EarlyTestCase):
    """
    Who has a channel asks for whatever it likes.
    """

    def setUp(self) -> None:
        super().setUp()
        self.listener.stopService()
        self.listener = self.outletNode.listen(TrustEveryone())
        self.way.change(self.newRoute(self.hop))
        self.theOutlet, self.theInlet = self.outlet(), self.inlet()

    def ask(
        self,
        number: int,
        attempt: int = 1,
        instance: bytes = INSTANCE,
        outlet: bytes | None = None,
        features: int = FEATURES,
        route: Route | None = None,
        node: MemoryNode | None = None,
    ) -> list[Any]:
        """
        Send a Ping that says its number.

        @return: What comes back: C{"opened"}, or the Reset.
        """
        node = node or self.inletNode
        self.asked = node.inbox(f"attacker {len(node.router._mailboxes)}")
        if attempt > 1 and outlet is None:
            outlet = self.theOutlet.settings.instance
        early = Early(number, b"%d" % number, attempt, outlet)
        ping = encodeTerms(PING, Terms(features, 65536, instance, early=early))
        assert self.way.route is not None
        node.send(route or self.way.route, ping, self.asked)
        self.network.pump()
        answers: list[Any] = []
        for each in self.asked.payloads:
            if each[:1] == b"\x0c":
                answers.append(decodeExtension(each))
                break
            if each[:1] == PONG:
                answers.append("opened")
        return [each.code if isinstance(each, Reset) else each for each in answers]

    def confirm(self) -> None:
        """
        Answer the Pong that came last.
        """
        back = self.asked.messages[-1].return_route
        self.inletNode.send(back, encodeExtension(Credit(0, 65536)), self.asked)
        self.network.pump()

    def told(self) -> list[bytes]:
        """
        What all targets were told.
        """
        return [bytes(each.received) for each in self.targets.made]

    def test_twice(self) -> None:
        """
        The same attempt twice, or an earlier one after a later one, gets
        nothing.
        """
        self.assertEqual(self.ask(1), ["opened"])
        self.assertEqual(self.ask(1), [UNKNOWN])
        self.assertEqual(self.ask(1, 3), ["opened"])
        self.assertEqual(self.ask(1, 2), [UNKNOWN])
        self.assertEqual(self.ask(1, 3), [UNKNOWN])
        self.assertEqual(self.told(), [b"1"])

    def test_confirmed(self) -> None:
        """
        A stream whose Pong was answered goes on by Resume only.
        """
        self.ask(1)
        self.confirm()
        self.assertEqual(self.ask(1, 2), [UNKNOWN])
        self.assertEqual(self.told(), [b"1"])

    def test_forgotten(self) -> None:
        """
        Whatever number of streams has ended, an older one is not believed.
        """
        self.ask(7, 2)
        self.confirm()
        for number in range(100, 100 + PEER_TOMBSTONES + 1):
            self.ask(number)
            self.targets.made[-1].transport.abortConnection()  # type: ignore[union-attr]
            self.network.pump()
        self.targets.made[0].transport.abortConnection()  # type: ignore[union-attr]
        self.network.advance(2 * RESUME_TIMEOUT)
        self.ask(5000, 2)
        self.confirm()
        self.targets.made[-1].transport.abortConnection()  # type: ignore[union-attr]
        self.network.pump()
        for number in (7, 100, 99, 600):
            self.assertEqual(self.ask(number), [UNKNOWN], number)
        self.assertEqual(self.told().count(b"7"), 1)
        self.assertEqual(self.ask(5001), ["opened"])

    def test_manyProcesses(self) -> None:
        """
        Who says that it is many processes makes only what is known of itself
        forgotten.
        """
        early = self.theOutlet.settings.early
        early._forgotten(("victim", INSTANCE, 6))
        for number in range(2 * PEER_FLOORS):
            early._forgotten(("attacker", number.to_bytes(16, "big"), 1))
        self.assertEqual(early.floors["victim"], {INSTANCE: 7})
        self.assertEqual(len(early.floors["attacker"]), PEER_FLOORS)

    def test_refusedOnes(self) -> None:
        """
        Nothing is remembered of who may not have streams.
        """
        self.theOutlet._decisions.admission = _Nobody()
        self.assertEqual(self.ask(1, 2)[:1], [POLICY])
        self.assertEqual(self.theOutlet.settings.early._ended.stones, {})

    def test_others(self) -> None:
        """
        Numbers are of a process of an identity: others with the same ones are
        others.
        """
        self.assertEqual(self.ask(1), ["opened"])
        self.assertEqual(self.ask(1, instance=INSTANCE[::-1]), ["opened"])
        stranger = MemoryNode(self.network, "stranger")
        making = stranger.createChannel(
            stranger.connect(self.outletNode).route("api"), TrustIdentifier(self.outletNode.identifier)
        )
        channel = self.network.result(making)
        self.assertEqual(self.ask(1, 2, node=stranger, route=Route((channel.encryptor, OUTLET))), ["opened"])
        self.assertEqual(self.told(), [b"1", b"1", b"1"])

    def test_anotherOutlet(self) -> None:
        """
        A stream of one outlet cannot be had from another one, which may be for
        others.
        """
        self.ask(1)
        node = self.outletNode
        target = SocketTarget(node.router, node.sockets, self.network.endpoint("target"), "other")
        other = Outlet(node.router, self.network.clock, target, OTHER, settings=self.theOutlet.settings)
        other.startService()
        node.router.flowControls.addConsumer(OTHER, self.listener.flowId)
        self.assertEqual(self.ask(1, 2, route=Route((self.channel.encryptor, OTHER))), [UNKNOWN])
        self.assertEqual(self.ask(1, 3), ["opened"])
        self.assertEqual(self.told(), [b"1"])

    def test_anotherProcess(self) -> None:
        """
        Who means another process of the outlet is told nothing, unless its
        stream is here.
        """
        self.assertEqual(self.ask(1, 2, outlet=INSTANCE), [UNKNOWN])
        self.assertEqual(self.ask(2), ["opened"])
        self.assertEqual(self.ask(2, 2, outlet=INSTANCE), ["opened"])
        self.assertEqual(self.told(), [b"2"])

    def test_refusedLater(self) -> None:
        """
        Whose later attempt was refused is not told by an earlier one.
        """
        self.theOutlet.drain()
        self.assertNotIn("opened", self.ask(1, 2)[:1])
        self.theOutlet.goOn()
        self.assertEqual(self.ask(1), [UNKNOWN])
        self.assertEqual(self.ask(2), ["opened"])

    def test_toldNothing(self) -> None:
        """
        Whose target was not told may try again, as often as it likes; an
        earlier attempt that comes later may not.
        """
        port = self.network.ports["target"]
        port.stopListening()
        self.assertNotIn("opened", self.ask(1)[:1])
        self.assertNotIn("opened", self.ask(1, 3)[:1])
        port.startListening()
        self.assertEqual(self.ask(1), [UNKNOWN])
        self.assertEqual(self.ask(1, 3), [UNKNOWN])
        self.assertEqual(self.ask(1, 4), ["opened"])
        self.assertEqual(self.ask(1, 2), [UNKNOWN])
        self.confirm()
        self.assertEqual(self.told(), [b"1"])

    def test_notPermitted(self) -> None:
        """
        Who may not have streams any more does not get the one it had asked
        for.
        """
        self.ask(1)
        self.theOutlet._decisions.admission = _Nobody()
        self.assertEqual(self.ask(1, 2), [POLICY])
        self.assertEqual(self.targets.made[0].ending, "ConnectionLost")
        self.assertEqual(self.theOutlet.streams, set())

    def test_notOffered(self) -> None:
        """
        What is brought without the feature is not told.
        """
        self.assertEqual(self.ask(1, features=FEATURES & ~EARLY), ["opened"])
        self.assertEqual(self.told(), [b""])
        self.assertEqual(self.theOutlet.settings.early.streams, {})

    def test_changed(self) -> None:
        """
        A second attempt that says something else, or permits less, changes
        nothing about what was said; what the target says is held to it.
        """
        self.ask(1)
        self.targets.made[0].send(bytes(60_000))
        self.network.pump()
        self.asked = self.inletNode.inbox("again")
        early = Early(1, bytes(MAX_EARLY), 2, self.theOutlet.settings.instance)
        ping = encodeTerms(PING, Terms(FEATURES, 1000, INSTANCE, early=early))
        assert self.way.route is not None
        self.inletNode.send(self.way.route, ping, self.asked)
        self.network.advance(1)
        pong, *payloads = self.asked.payloads
        terms = decodeTerms(pong)
        assert terms is not None
        self.assertEqual(terms.features, FEATURES)
        self.assertEqual(sum(map(len, payloads)), 1000 + 3)
        self.assertEqual(self.told(), [b"1"])

    def test_garbage(self) -> None:
        """
        A Ping whose offer is damaged offers nothing.
        """
        inbox = self.inletNode.inbox("attacker")
        ping = encodeTerms(PING, Terms(FEATURES, 65536, INSTANCE, early=Early(1, b"x")))
        self.assertRaises(DecodeError, decodeTerms, ping[:-1])
        assert self.way.route is not None
        self.inletNode.send(self.way.route, ping[:-1], inbox)
        self.network.pump()
        self.assertEqual(inbox.payloads, [PONG])
        self.assertEqual(self.told(), [b""])


class _Nobody:
    """
    Admits nobody.
    """

    def refusal(self, peer: object) -> str:
        """
        Why.
        """
        return "nobody is"
