"""
Attacks on streams that go on over another way, written as the attacker: who
carries the messages, who is at the other end, and who is somewhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.protocol import Factory

from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.portals import resumption
from ockam_twisted.portals.late import LATE
from ockam_twisted.portals.outlet import Outlet
from ockam_twisted.portals.plain import State
from ockam_twisted.portals.settings import RESUME_TIMEOUT
from ockam_twisted.portals.stream import PortalStream
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.testing import Inbox, MemoryNode
from ockam_twisted.wire.extension import (
    MAX_OFFSET,
    PROTOCOL_ERROR,
    UNKNOWN,
    Credit,
    Finished,
    Reset,
    Resume,
    Resumed,
    decodeExtension,
    encodeExtension,
)
from ockam_twisted.wire.portal import DISCONNECT, encodePortalPayload
from tests.portals.common import OUTLET, ChannelPortalTestCase, Halved, Programs
from tests.portals.world import EarlySockets

DATA = bytes(range(256)) * 4000


class AttackTestCase(ChannelPortalTestCase):
    """
    One stream, and what an attacker may do to it.
    """

    def setUp(self) -> None:
        super().setUp()
        self.targets.kind = Halved
        self.listener.stopService()
        self.listener = self.outletNode.listen(TrustEveryone())
        self.way.change(self.newRoute(self.hop))

    def begin(self) -> tuple[Halved, Halved]:
        """
        Open a stream.
        """
        client, target = self.both()
        assert isinstance(client, Halved) and isinstance(target, Halved)
        return client, target

    @property
    def near(self) -> PortalStream:
        """
        The end of the stream at the inlet.
        """
        [stream] = self.theInlet.streams
        return stream

    @property
    def far(self) -> PortalStream:
        """
        The end at the outlet.
        """
        [stream] = self.theOutlet.streams
        return stream

    def name(self) -> bytes:
        """
        The name of the stream.
        """
        assert self.near.extension is not None
        return self.near.extension.exchange.stream

    def asks(self, resume: Resume, node: MemoryNode | None = None, route: Route | None = None) -> list[Any]:
        """
        Somebody asks to go on.

        @return: What was answered.
        """
        node = node or self.inletNode
        inbox = node.inbox(f"attacker {len(node.router._mailboxes)}")
        node.send(route or self.wayRoute, encodeExtension(resume), inbox)
        self.network.pump()
        return [decodeExtension(each) for each in inbox.payloads if each[:1] >= b"\x0a"]

    @property
    def wayRoute(self) -> Route:
        assert self.way.route is not None
        return self.way.route

    def assertWorks(self, client: Halved, target: Halved) -> None:
        """
        The stream goes on as if nothing had been.
        """
        before = len(client.received), len(target.received)
        client.send(b"up" * 1000)
        target.send(b"down" * 1000)
        self.network.advance(1)
        self.assertEqual(bytes(target.received[before[1] :]), b"up" * 1000)
        self.assertEqual(bytes(client.received[before[0] :]), b"down" * 1000)

    def assertOver(self, client: Halved, target: Halved) -> None:
        """
        The stream comes to its end by itself, and leaves nothing.
        """
        self.close(client, half=True)
        self.close(target, half=True)
        self.network.advance(1)
        self.assertEqual((client.finished, target.finished), (True, True))
        self.assertIdle(self.theInlet, self.theOutlet)
        for portal in (self.theInlet, self.theOutlet):
            self.assertEqual(portal.settings.budget.used, 0)


class CarrierTests(AttackTestCase):
    """
    Who carries the messages holds back, repeats and drops them.
    """

    def test_heldBack(self) -> None:
        """
        What was on the old way when the stream moved does not count, whenever
        it comes, and whatever it is: at neither end.
        """
        client, target = self.begin()
        for _ in range(3):
            old = self.hop
            old.toClient.held = old.toServer.held = True
            client.send(DATA)
            target.send(DATA)
            self.network.pump()
            self.newWay()
            self.network.pump()
            before = len(client.received), len(target.received)
            old.toClient.held = old.toServer.held = False
            self.network.advance(1)
            self.assertEqual((len(client.received), len(target.received)), before)
            self.assertWorks(client, target)
        self.assertTrue(bytes(client.received).startswith(DATA))
        self.assertOver(client, target)

    def test_heldBackResumes(self) -> None:
        """
        Each of many ways is asked over and holds the question back: in
        whatever order they come, the latest has the stream.
        """
        client, target = self.begin()
        held = []
        for _ in range(6):
            self.hop = self.inletNode.connect(self.outletNode)
            route = self.newRoute(self.hop)
            self.hop.toServer.held = True
            held.append(self.hop)
            self.way.change(route)
            self.network.pump()
        for each in (held[3], held[1], held[5], held[0], held[4], held[2]):
            each.toServer.held = False
            self.network.pump()
        self.assertIs(self.near.state, State.OPEN)
        self.assertWorks(client, target)
        self.assertOver(client, target)

    def test_heldBackAnswers(self) -> None:
        """
        The same with the answers.
        """
        client, target = self.begin()
        held = []
        target.send(DATA)
        for _ in range(6):
            self.hop = self.inletNode.connect(self.outletNode)
            route = self.newRoute(self.hop)
            self.hop.toClient.held = True
            held.append(self.hop)
            self.way.change(route)
            self.network.pump()
        for each in (held[3], held[1], held[5], held[0], held[4], held[2]):
            each.toClient.held = False
            self.network.pump()
        self.assertEqual(bytes(client.received), DATA)
        self.assertWorks(client, target)
        self.assertOver(client, target)

    def test_twoWays(self) -> None:
        """
        Two good ways take the stream from each other, in the middle of bytes
        both ways.
        """
        client, target = self.begin()
        routes = [self.wayRoute]
        other = self.inletNode.connect(self.outletNode)
        routes.append(self.newRoute(other))
        up, down = b"", b""
        for number in range(40):
            piece = bytes([number]) * (number * 997)
            up, down = up + piece, down + piece[::-1]
            client.send(piece)
            target.send(piece[::-1])
            for hop in (self.hop, other):
                for pipe in (hop.toServer, hop.toClient):
                    pipe.deliver()
            self.way.change(routes[number % 2])
            for hop in (self.hop, other):
                for pipe in (hop.toServer, hop.toClient):
                    pipe.deliver()
        self.network.advance(1)
        self.assertEqual((bytes(target.received), bytes(client.received)), (up, down))
        self.assertOver(client, target)

    def test_spoilt(self) -> None:
        """
        A message that is dropped, repeated, or overtaken ends the channel;
        the stream goes on over the next one without a hole.
        """

        def drop(items: list[bytes]) -> list[bytes]:
            return items[1:]

        def repeat(items: list[bytes]) -> list[bytes]:
            return items[:1] + items

        def swap(items: list[bytes]) -> list[bytes]:
            return [items[1], items[0], *items[2:]]

        client, target = self.begin()
        expected = b""
        spoils: Iterable[Callable[[list[bytes]], list[bytes]]] = (drop, repeat, swap)
        for spoil in spoils:
            for toServer in (True, False):
                pipe = self.hop.toServer if toServer else self.hop.toClient
                pipe.held = True
                for each in range(5):
                    client.send(bytes([each]) * 5000)
                    target.send(bytes([each]) * 5000)
                    expected += bytes([each]) * 5000
                    self.network.pump()
                items = spoil(list(pipe.waiting))
                pipe.waiting.clear()
                pipe.waiting.extend(items)
                pipe.held = False
                self.network.pump()
                self.assertIn("Ending the channel", self.lines()[-1])
                self.newWay()
        self.assertEqual((bytes(target.received), bytes(client.received)), (expected, expected))
        self.assertOver(client, target)

    def test_replayed(self) -> None:
        """
        A whole connection is played again, over another one, over itself, and
        over the one that came after it: nothing of it counts a second time.
        """
        self.hop = self.inletNode.connect(self.outletNode)
        self.hop.toServer.record = self.hop.toClient.record = True
        self.way.change(self.newRoute(self.hop))
        client, target = self.begin()
        client.send(DATA)
        target.send(DATA)
        self.network.pump()
        first = self.hop
        up, down = list(first.toServer.recorded), list(first.toClient.recorded)
        self.assertGreater(min(len(up), len(down)), 5)
        for replay in (self.inletNode.connect(self.outletNode), first, None):
            hop = replay or self.hop
            for item in up:
                hop.toServer.inject(item)
            for item in down:
                hop.toClient.inject(item)
            self.network.pump()
            self.newWay()
            self.assertWorks(client, target)
        self.assertEqual(len(self.targets.made), 1)
        self.assertTrue(bytes(client.received).startswith(DATA))
        self.assertTrue(bytes(target.received).startswith(DATA))
        self.assertOver(client, target)


class _Talker(Halved):
    """
    Says one thing at once, the other when it has heard the end, and ends as
    it is told to.
    """

    first = later = b""
    ending_ = "loseWriteConnection"

    def connectionMade(self) -> None:
        for start in range(0, len(self.first), 20_000):
            self.send(self.first[start : start + 20_000])
        if not self.later:
            self._finish()

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        if self.later:
            self.send(self.later)
            self._finish()

    def _finish(self) -> None:
        getattr(self.transport, self.ending_)()


class CutTests(AttackTestCase):
    """
    The connection is cut after each message of a conversation, in turn: the
    last ones before are lost.
    """

    explored = 0
    QUESTION, ANSWER, MORE = b"question" * 20_000, b"answer" * 50_000, b"more" * 1000

    def conversation(self, *cuts: tuple[bool, int]) -> tuple[_Talker, list[_Talker], bool]:
        """
        Have one over a connection that carries no more than so many messages
        one way; it goes on over another one.

        @param cuts: Of each connection in turn: whether it is the way to the
            outlet, and how many messages it carries.
        @return: The client, the targets there were, and whether there were no
            more messages.
        """
        self.targets.made.clear()
        client = _Talker()
        client.first = self.QUESTION
        carried = 0
        for number, (toServer, count) in enumerate(cuts):
            carried = 0

            def carry(item: bytes, count: int = count) -> Iterable[bytes]:
                nonlocal carried
                carried += 1
                return (item,) if carried <= count else ()

            self.hop = self.inletNode.connect(self.outletNode)
            route = self.newRoute(self.hop)
            pipe = self.hop.toServer if toServer else self.hop.toClient
            pipe.intercept = carry
            if number:
                self.way.change(route)
            else:
                self.connects(client, route)
            self.network.advance(0.25)
            pipe.intercept = None
            self.hop.cut()
            self.network.pump()
        self.newWay()
        self.network.advance(1)
        return client, [each for each in self.targets.made if isinstance(each, _Talker)], carried <= count

    def connects(self, client: _Talker, route: Route) -> None:
        """
        The client connects, and has a way.
        """
        self.way.change(route)
        self.network.endpoint("inlet").connect(Factory.forProtocol(lambda: client))

    def explore(self, *before: tuple[bool, int]) -> Iterable[tuple[_Talker, _Talker]]:
        """
        All of them, both ways.

        @param before: Connections that are cut before.
        @return: Client and target.
        """
        for toServer in (True, False):
            for count in range(100):
                with self.subTest(before=before, toServer=toServer, count=count):
                    client, targets, isWhole = self.conversation(*before, (toServer, count))
                    # One whose Pong was lost is nobody's, and was told nothing.
                    for each in targets[:-1]:
                        self.assertEqual((bytes(each.received), each.finished), (b"", False))
                    yield client, targets[-1]
                if isWhole:
                    break
            else:
                self.fail("it does not end")
            self.explored += count

    def begins(self, ending: str) -> None:
        """
        Start inlet and outlet, and say how the target ends.
        """
        self.targets = Programs(first=self.ANSWER, later=self.MORE, ending_=ending)
        self.targets.kind = _Talker
        self.theOutlet, self.theInlet = self.outlet(), self.inlet()

    def assertWhole(self, client: _Talker, target: _Talker) -> None:
        """
        Both have heard all, and the end.
        """
        self.assertEqual(bytes(client.received), self.ANSWER + self.MORE)
        self.assertEqual(bytes(target.received), self.QUESTION)
        self.assertEqual((client.finished, target.finished), (True, True))

    def assertNothingLeft(self) -> None:
        """
        After a while nothing of any stream is left.
        """
        self.network.advance(RESUME_TIMEOUT + LATE + 1)
        self.assertIdle(self.theInlet, self.theOutlet)
        self.assertEqual(self.theOutlet.resumptions.streams, {})
        self.assertEqual(self.theInlet.late, set())
        for portal in (self.theInlet, self.theOutlet):
            self.assertEqual(portal.settings.budget.used, 0)
        # There was enough to be lost.
        self.assertGreater(self.explored, 15)

    def test_finished(self) -> None:
        """
        Whatever is lost, both hear all, and the end.
        """
        self.begins("loseWriteConnection")
        for client, target in self.explore():
            self.assertWhole(client, target)
        self.assertNothingLeft()
        self.assertEqual(self.lines(), [])

    def test_closed(self) -> None:
        """
        The same if the target closes both halves at the end.
        """
        self.begins("loseConnection")
        for client, target in self.explore():
            self.assertWhole(client, target)
        self.assertNothingLeft()

    def test_reset(self) -> None:
        """
        A reset at the end does not become a clean one, or silence.
        """
        self.begins("abortConnection")
        for client, target in self.explore():
            self.assertTrue((self.ANSWER + self.MORE).startswith(bytes(client.received)))
            self.assertEqual(bytes(target.received), self.QUESTION)
            self.assertEqual((client.finished, client.ending), (False, "ConnectionLost"))
        self.assertNothingLeft()

    def test_twice(self) -> None:
        """
        The messages of a resumption are lost, too.
        """
        self.begins("loseWriteConnection")
        for count in (2, 5, 20):
            for toServer in (True, False):
                for client, target in self.explore((toServer, count)):
                    self.assertWhole(client, target)
        self.assertNothingLeft()


class EarlyCutTests(CutTests):
    """
    The same where what the client says first goes with Ping.
    """

    def setUp(self) -> None:
        super().setUp()
        node = self.inletNode
        node.sockets = EarlySockets(node.router.turn, node.stalls)

    def connects(self, client: _Talker, route: Route) -> None:
        self.way.change(None)
        self.network.endpoint("inlet").connect(Factory.forProtocol(lambda: client))
        self.theInlet._outlet = route, self.theOutlet.settings.instance
        self.way.change(route)
        [stream] = [each for each in self.theInlet.streams if each.state is not State.ENDED]
        self.assertIsNotNone(stream._brought)


class PeerTests(AttackTestCase):
    """
    Who is at the other end lies.
    """

    def assertRefused(self, portal: Any, stream: PortalStream) -> None:
        """
        The stream was ended for it, and nothing else.
        """
        self.assertIs(stream.state, State.ENDED)
        self.assertNotIn(stream, portal.streams)

    def test_inletLies(self) -> None:
        """
        An inlet that has more than was sent, or less than it said, or ends
        where it cannot, is refused; the stream is left as it was.
        """
        client, target = self.begin()
        target.send(DATA)
        self.network.pump()
        name, far = self.name(), self.far
        assert far.extension is not None
        sending = far.extension.exchange.sending
        self.assertGreater(sending.acknowledged, 0)
        for following in (0, sending.acknowledged - 1, sending.reached + 1, sending.reached + 2, MAX_OFFSET):
            [answer] = self.asks(Resume(name, 50, following))
            assert isinstance(answer, Reset)
            self.assertEqual(answer.code, PROTOCOL_ERROR, following)
        self.assertWorks(client, target)
        self.assertOver(client, target)

    def test_inletNumbers(self) -> None:
        """
        Numbers that are not higher than the last are not answered, and the
        highest there is is no worse than any other.
        """
        client, target = self.begin()
        target.send(b"x" * 100)
        self.network.pump()
        far, name = self.far, self.name()
        assert far.extension is not None
        for _ in range(3):
            self.newWay()
        at = far.address
        self.assertEqual(far.extension.exchange.attempt, 3)
        for attempt in (0, 1, 2, 3, 3):
            self.assertEqual(self.asks(Resume(name, attempt, 100)), [])
        self.assertEqual(far.address, at)
        answers = self.asks(Resume(name, MAX_OFFSET, 100))
        self.assertEqual(answers[0], Resumed(0))
        self.assertIsInstance(answers[1], Credit)
        self.assertNotEqual(far.address, at)
        # Who has said that can say no more: it is its own stream.
        self.cut()
        self.newWay()
        self.network.advance(RESUME_TIMEOUT + 1)
        self.assertEqual((client.ending, target.ending), ("ConnectionLost", "ConnectionLost"))
        self.assertIdle(self.theInlet, self.theOutlet)

    def cut(self) -> None:
        """
        The connection between the nodes breaks.
        """
        self.hop.cut()
        self.network.pump()

    def test_outletLies(self) -> None:
        """
        An outlet that has more than was sent, or has lost what it had, ends
        the stream at the inlet, whose client is reset; other streams are not.
        """
        bystander, _ = self.begin()
        for answer in (
            Resumed(1001),
            Resumed(1002),
            Resumed(MAX_OFFSET),
            Resumed(0, None, (4, "gone")),
            Resumed(0, None, (PROTOCOL_ERROR, "")),
            Reset(UNKNOWN, 0, ""),
        ):
            with self.subTest(answer=answer):
                before = set(self.theInlet.streams)
                client, _ = self.another()
                client.send(b"x" * 1000)
                self.network.pump()
                [near] = self.theInlet.streams - before
                route, liar = self.liar()
                with self.inletNode.router.turn:
                    near.resume(route)
                self.network.pump()
                question = decodeExtension(liar.payloads[-1])
                assert isinstance(question, Resume)
                self.outletNode.send(liar.messages[-1].return_route, encodeExtension(answer), liar)
                self.network.pump()
                self.assertRefused(self.theInlet, near)
                self.assertEqual((client.ending, client.finished), ("ConnectionLost", False))
        self.assertEqual(bystander.ending, "")

    def liar(self) -> tuple[Route, Inbox]:
        """
        Another worker of the outlet's node, and a way to it.
        """
        name = f"liar {len(self.outletNode.router._mailboxes)}"
        inbox = self.outletNode.inbox(name, self.listener.flowId)
        return Route((*self.newRoute(self.hop)[:-1], inbox.address)), inbox

    def test_outletIsSilent(self) -> None:
        """
        An outlet that does not answer, or with what is no answer, is waited
        for, and no longer than that; what cannot be read ends the stream.
        """
        self.begin()
        for junk in ((), (Credit(0, 5), Finished(0)), (encodePortalPayload(b"x"),), (DISCONNECT,)):
            with self.subTest(junk=junk):
                before = set(self.theInlet.streams)
                client, _ = self.another()
                [near] = self.theInlet.streams - before
                route, liar = self.liar()
                with self.inletNode.router.turn:
                    near.resume(route)
                self.network.pump()
                back = liar.messages[-1].return_route
                for each in junk:
                    data = each if isinstance(each, bytes) else encodeExtension(each)
                    self.outletNode.send(back, data, liar)
                    self.network.pump()
                isReadable = not any(isinstance(each, bytes) for each in junk)
                self.assertEqual(client.ending, "" if isReadable else "ConnectionLost")
                self.network.advance(RESUME_TIMEOUT + 1)
                self.assertEqual((client.ending, bytes(client.received)), ("ConnectionLost", b""))
                self.assertRefused(self.theInlet, near)

    def test_storm(self) -> None:
        """
        Thousands of questions at once: nothing grows, no address is left
        behind, each costs no more than a few messages, and other streams go
        on.
        """
        bystander, bystanding = self.begin()
        client, target = self.another()
        assert isinstance(client, Halved) and isinstance(target, Halved)
        target.send(DATA)
        self.network.pump()
        [name] = [each.extension.exchange.stream for each in self.theInlet.streams if each.extension and each.received]
        inbox = self.inletNode.inbox("storm")
        addresses, calls = len(self.outletNode.router._mailboxes), len(self.network.clock.getDelayedCalls())
        question = {each: encodeExtension(Resume(name, each, len(DATA))) for each in range(1, 3001)}
        for attempt, payload in question.items():
            self.inletNode.send(self.wayRoute, payload, inbox)
            if attempt % 500 == 0:
                self.network.pump()
        bystander.send(b"still")
        bystanding.send(b"here")
        self.network.pump()
        self.assertEqual((bytes(bystanding.received), bytes(bystander.received)), (b"still", b"here"))
        self.assertEqual(len(self.outletNode.router._mailboxes), addresses)
        self.assertLessEqual(len(self.network.clock.getDelayedCalls()), calls + 1)
        self.assertLessEqual(len(inbox.messages), 2 * 3000)
        self.assertEqual(len(self.theOutlet.resumptions.streams), 2)
        for unknown in range(1000):
            self.inletNode.send(self.wayRoute, encodeExtension(Resume(unknown.to_bytes(16, "big"), 1, 0)), inbox)
        self.network.pump()
        self.assertEqual(len(self.theOutlet.resumptions.streams), 2)
        self.assertEqual(len(self.theOutlet.resumptions.tombstones.stones), 0)

    def test_stormMovesNothing(self) -> None:
        """
        A question that resends much is answered with no more than a window,
        however often it comes.
        """
        _, target = self.begin()
        self.hop.toClient.held = True
        target.send(DATA)
        self.network.pump()
        inbox = self.inletNode.inbox("storm")
        name, before = self.name(), self.hop.toClient.pending
        for attempt in range(1, 501):
            self.inletNode.send(self.wayRoute, encodeExtension(Resume(name, attempt, 0)), inbox)
        self.network.pump()
        self.assertLess(self.hop.toClient.pending - before, 3 * before + 500 * 200)


class StrangerTests(AttackTestCase):
    """
    Who is somewhere else: another member, or the same one at another outlet.
    """

    def member(self) -> tuple[MemoryNode, Route]:
        """
        Another identity with a channel to the outlet.
        """
        node = MemoryNode(self.network, "member")
        hop = node.connect(self.outletNode)
        channel = self.network.result(node.createChannel(hop.route("api"), TrustEveryone()))
        return node, Route((channel.encryptor, OUTLET))

    def test_otherIdentity(self) -> None:
        """
        Another identity that knows all about a stream gets the answer that it
        would get if there were none: while the stream lives, while it has no
        way, and when it is over.
        """
        client, target = self.begin()
        node, route = self.member()
        name = self.name()
        [nothing] = self.asks(Resume(bytes(16), 1, 0), node, route)
        self.assertEqual(nothing.code, UNKNOWN)
        self.assertEqual(self.asks(Resume(name, 9, 0), node, route), [nothing])
        self.hop.cut()
        self.network.pump()
        self.assertEqual(self.asks(Resume(name, 9, 0), node, route), [nothing])
        self.newWay()
        self.assertWorks(client, target)
        self.assertOver(client, target)
        self.assertEqual(self.asks(Resume(name, 9, 0), node, route), [nothing])
        self.assertIsInstance(self.asks(Resume(name, 9, 0))[0], Resumed)

    def test_otherOutlet(self) -> None:
        """
        The same identity asks at another outlet of the node: that one does
        not know the stream.
        """
        client, target = self.begin()
        first, address = self.theOutlet, Address.local("other")
        other = Outlet(self.outletNode.router, self.network.clock, first.target, address, settings=first.settings)
        other.startService()
        self.outletNode.router.flowControls.addConsumer(address, self.listener.flowId)
        route = Route((*self.wayRoute[:-1], address))
        [answer] = self.asks(Resume(self.name(), 5, 0), route=route)
        self.assertEqual(answer.code, UNKNOWN)
        self.assertWorks(client, target)
        self.assertOver(client, target)

    def test_withoutChannel(self) -> None:
        """
        Nobody without a channel is answered.
        """
        client, target = self.begin()
        self.outletNode.router.flowControls.addConsumer(OUTLET, self.outletNode.transport.listenerId)
        self.assertEqual(self.asks(Resume(self.name(), 5, 0), route=self.hop.route("outlet")), [])
        self.assertWorks(client, target)

    def test_addresses(self) -> None:
        """
        Another identity that knows the address of a stream's end can say
        nothing there, before and after the stream has moved.
        """
        client, target = self.begin()
        node, route = self.member()
        inbox = node.inbox("writer")
        old = self.far.address
        for moved in (False, True):
            if moved:
                self.newWay()
            for address in {old, self.far.address}:
                for payload in (encodePortalPayload(b"mine"), encodeExtension(Reset(4, 0, "")), DISCONNECT):
                    node.send(Route((route[0], address)), payload, inbox)
            self.network.pump()
            self.assertEqual((bytes(target.received), target.ending), (b"", ""))
        self.assertWorks(client, target)

    def test_waiting(self) -> None:
        """
        Of too many streams of one peer that wait for another way the oldest
        ends; those of others do not.
        """
        self.patch(resumption, "MAX_ROUTELESS", 3)
        _, first = self.begin()
        self.hop.cut()
        self.network.pump()
        node, route = self.member()
        self.way.change(route)
        self.theInlet.stopService()
        self.inletNode = node
        self.theInlet = self.inlet()
        for _ in range(5):
            self.client()
        targets = self.targets.made[1:]
        for link in self.network.links:
            if link.client.protocol in node.transport.hops:
                link.cut()
        self.network.pump()
        self.assertEqual([each.ending for each in targets], ["ConnectionLost"] * 2 + [""] * 3)
        self.assertEqual(first.ending, "")
        self.assertIn("wait for another way", self.lines()[-1])
