"""
Tests for L{ockam_twisted.portals.extension}: streams between two nodes that
know it, with sockets and connections in memory.
"""

from __future__ import annotations

from typing import Any

from ockam_twisted.portals.budgets import NODE_BUDGET
from ockam_twisted.portals.inlet import CONNECT_TIMEOUT
from ockam_twisted.portals.negotiation import Offer, Pong
from ockam_twisted.portals.plain import State
from ockam_twisted.portals.settings import RESUME_TIMEOUT, StreamSettings
from ockam_twisted.portals.shares import FIRST_ROUND_TRIP, FIRST_WINDOW, SMALLEST_WINDOW
from ockam_twisted.portals.stream import PortalStream
from ockam_twisted.wire.extension import (
    PROTOCOL_ERROR,
    ROUTE_LOST,
    Credit,
    Finished,
    Reset,
    Resume,
    Resumed,
    encodeExtension,
)
from ockam_twisted.wire.portal import DISCONNECT, PONG, encodePortalPayload
from tests.portals.common import ChannelPortalTestCase, Halved, Program

MIB = 1024 * 1024


class _ExtendedTestCase(ChannelPortalTestCase):
    def stream(self, portal: Any) -> PortalStream:
        """
        The only stream of a portal.
        """
        [stream] = portal.streams
        assert isinstance(stream, PortalStream)
        return stream

    def cut(self) -> None:
        """
        The connection between the nodes breaks; what is under way is lost.
        """
        self.hop.cut()
        self.hop.toClient.held = self.hop.toServer.held = False
        self.network.pump()

    def inject(self, portal: Any, *messages: Any) -> None:
        """
        The other end of the only stream of a portal says something.
        """
        other = self.theInlet if portal is self.theOutlet else self.theOutlet
        sender = self.stream(other)
        for message in messages:
            data = message if isinstance(message, bytes) else encodeExtension(message)
            with sender.router.turn:
                sender.emit((data,), len(data))
            self.network.pump()


class HalfCloseTests(_ExtendedTestCase):
    """
    The end of one direction.
    """

    def setUp(self) -> None:
        super().setUp()
        self.targets.kind = Halved

    def test_clientFirst(self) -> None:
        """
        A client that has said all still hears the answer, and then the end.
        """
        client, target = self.both()
        assert isinstance(client, Halved) and isinstance(target, Halved)
        client.send(b"request")
        self.close(client, half=True)
        self.assertEqual((bytes(target.received), target.finished, target.ending), (b"request", True, ""))
        target.send(b"answer" * 50_000)
        self.network.pump()
        self.assertEqual(client.received, b"answer" * 50_000)
        self.assertFalse(client.finished)
        self.close(target)
        self.assertTrue(client.finished)
        self.assertIdle(self.theInlet, self.theOutlet)
        self.assertEqual(self.lines(), [])

    def test_targetFirst(self) -> None:
        """
        The same the other way round.
        """
        client, target = self.both()
        assert isinstance(client, Halved) and isinstance(target, Halved)
        target.send(b"greeting")
        self.close(target, half=True)
        self.assertEqual((bytes(client.received), client.finished), (b"greeting", True))
        client.send(b"still")
        self.network.pump()
        self.assertEqual(bytes(target.received), b"still")
        self.close(client)
        self.assertTrue(target.finished)
        self.assertIdle(self.theInlet, self.theOutlet)

    def test_acknowledged(self) -> None:
        """
        That an end was heard is said together with the end of the other half;
        after a moment without, if that does not come.
        """
        for isLate in (False, True):
            with self.subTest(isLate=isLate):
                self.setUp()
                client, target = self.both()
                assert isinstance(client, Halved) and isinstance(target, Halved)
                sending = self.stream(self.theInlet).extension.exchange  # type: ignore[union-attr]
                self.close(client, half=True)
                self.assertTrue(target.finished and sending.isFinalSent)
                self.assertFalse(sending.isAcknowledged)
                if isLate:
                    self.network.advance(0.125)
                    self.assertTrue(sending.isAcknowledged)
                self.close(target, half=True)
                self.assertTrue(client.finished)
                self.assertIdle(self.theInlet, self.theOutlet)

    def test_atOnce(self) -> None:
        """
        Both at the same time.
        """
        client, target = self.both()
        transport: Any = client.transport
        transport.loseConnection()
        self.close(target)
        self.assertIdle(self.theInlet, self.theOutlet)

    def test_clientGone(self) -> None:
        """
        A client that has closed both halves and is written to resets the
        target, as it would on a direct connection.
        """
        self.targets.kind = Program
        client, target = self.both()
        self.close(client)
        self.assertEqual(target.ending, "ConnectionDone")
        self.network.advance(1)
        self.assertIdle(self.theInlet, self.theOutlet)


class WindowTests(_ExtendedTestCase):
    """
    Who does not read holds up nobody else.
    """

    def test_stopped(self) -> None:
        """
        No more than its window is under way to a client that does not read;
        the target is paused; other streams of the same channel go on.
        """
        client, target = self.both()
        self.link(client).client.pauseProducing()
        for _ in range(100):
            target.send(bytes(48 * 1024))
            self.network.pump()
        self.assertLessEqual(self.stream(self.theInlet).received, FIRST_WINDOW + 2 * MIB)
        self.assertTrue(self.link(target).client.isPaused)
        other, otherTarget = self.another()
        otherTarget.send(b"x" * 3 * MIB)
        self.network.pump()
        self.assertEqual(len(other.received), 3 * MIB)
        self.assertFalse(any(hop.source.pauses for hop in self.inletNode.transport.hops))
        self.link(client).client.resumeProducing()
        self.network.pump()
        self.assertEqual(len(client.received), 100 * 48 * 1024)

    def test_inletPauses(self) -> None:
        """
        The other direction.
        """
        client, target = self.both()
        self.link(target).server.pauseProducing()
        for _ in range(100):
            client.send(bytes(48 * 1024))
            self.network.pump()
        self.assertLessEqual(self.stream(self.theOutlet).received, FIRST_WINDOW + 2 * MIB)
        self.assertTrue(self.link(client).server.isPaused)
        self.link(target).server.resumeProducing()
        self.network.pump()
        self.assertEqual(len(target.received), 100 * 48 * 1024)

    def test_many(self) -> None:
        """
        A peer may have hundreds of streams, each with a window; when they are
        gone nothing is taken any more.
        """
        settings = StreamSettings(self.network.clock)
        self.both(settings=settings)
        others = [self.another() for _ in range(399)]
        self.assertEqual({stream.state for stream in self.theInlet.streams}, {State.OPEN})
        self.assertEqual(len(self.theInlet.streams), 400)
        self.assertLess(settings.budget.used, 32 * MIB)
        for client, target in others:
            self.close(client)
            self.close(target)
        self.theInlet.stopService()
        self.network.pump()
        self.assertIdle(self.theInlet, self.theOutlet)
        self.assertEqual(settings.budget.used, 0)

    def test_roundTrip(self) -> None:
        """
        Once it is open both ends know how long a round trip takes.
        """
        self.both()
        for end in (self.theInlet, self.theOutlet):
            extension = self.stream(end).extension
            assert extension is not None
            self.assertLess(extension.exchange.receiving._share.rtt, FIRST_ROUND_TRIP)

    def test_senderShort(self) -> None:
        """
        A sender that can keep only a little, where much is permitted, still
        gets on.
        """
        client, target = self.both()
        budget = self.theInlet.settings.budget
        budget.take(NODE_BUDGET - budget.used)
        client.send(b"x" * 100_000)
        self.network.advance(1)
        self.assertEqual(len(target.received), 100_000)

    def test_givenBack(self) -> None:
        """
        What a program still takes after its stream was reset costs the budget
        nothing.
        """
        self.targets.kind = Halved
        self.both()
        budget = self.theOutlet.settings.budget
        before = budget.used
        client, target = self.another()
        assert client.transport is not None
        at, of = self.link(target).server, self.link(client).client
        at.pauseProducing()
        client.send(bytes(390_000))
        self.network.pump()
        of.abortConnection()
        self.network.pump()
        at.resumeProducing()
        self.network.advance(10)
        self.assertGreater(len(target.received), 0)
        self.assertEqual((target.ending, budget.used), ("ConnectionLost", before))

    def test_budget(self) -> None:
        """
        When the windows of all streams together are too large there is no
        further stream, until one ends.
        """
        settings = StreamSettings(self.network.clock)
        first = 2 * SMALLEST_WINDOW
        settings.budget.take(512 * MIB - first)
        client, target = self.both(settings=settings)
        self.assertEqual(self.stream(self.theInlet).state, State.OPEN)
        late = self.client()
        self.assertTrue(late.ending)
        self.close(client)
        self.close(target)
        self.assertIdle(self.theInlet, self.theOutlet)
        self.assertEqual(settings.budget.used, 512 * MIB - first)
        self.another()
        self.stream(self.theInlet)


class ResetTests(_ExtendedTestCase):
    """
    Ends with a reason.
    """

    def test_beforePong(self) -> None:
        """
        A client that was given up before its Pong, or has no window then, is
        no clean end for its target.
        """
        self.both()
        self.hop.toClient.held = True
        _, target = self.another()
        self.network.advance(CONNECT_TIMEOUT)
        client, late = self.another()
        budget = self.theInlet.settings.budget
        budget.take(taken := NODE_BUDGET - budget.used)
        self.hop.toClient.held = False
        self.network.pump()
        budget.give(taken)
        self.assertEqual((target.ending, late.ending, client.ending), ("ConnectionLost",) * 3)
        self.assertEqual((len(self.theInlet.streams), len(self.theOutlet.streams)), (1, 1))

    def test_beforeResumed(self) -> None:
        """
        Nor is one that has waited too long for the answer to a Resume: the
        target is reset when that comes.
        """
        client, target = self.both()
        self.hop = self.inletNode.connect(self.outletNode)
        route = self.newRoute(self.hop)
        self.hop.toServer.held = True
        self.way.change(route)
        self.network.advance(RESUME_TIMEOUT + 1)
        self.assertEqual((client.ending, target.ending), ("ConnectionLost", ""))
        self.hop.toServer.held = False
        self.network.pump()
        self.assertEqual(target.ending, "ConnectionLost")
        self.assertIdle(self.theInlet, self.theOutlet)

    def test_clientResets(self) -> None:
        """
        RST is passed on as RST, both ways.
        """
        for reverse in (False, True):
            client, target = self.both() if not reverse else self.another()
            resets, other = (target, client) if reverse else (client, target)
            transport: Any = resets.transport
            transport.abortConnection()
            self.network.pump()
            self.assertEqual(other.ending, "ConnectionLost")
            self.assertIdle(self.theInlet, self.theOutlet)

    def test_refused(self) -> None:
        """
        A target that does not answer: the client is reset at once, and both
        logs say why.
        """
        self.theOutlet, self.theInlet = self.outlet(), self.inlet()
        self.successResultOf(self.network.ports["target"].stopListening())
        client = self.client()
        self.assertEqual(client.ending, "ConnectionLost")
        log = "\n".join(self.lines())
        self.assertIn("The target target does not answer: Connection was refused", log)
        self.assertIn("the outlet says: refused: the target does not answer: Connection was refused", log)

    def test_reasons(self) -> None:
        """
        What a peer says as a reason cannot do anything to a log.
        """
        client, _ = self.both()
        stream = self.stream(self.theInlet)
        self.inject(self.theInlet, Reset(4, 0, "\x1b[2Jgone\n"))
        self.assertEqual(client.ending, "ConnectionLost")
        assert stream.result is not None
        self.assertIs(stream.state, State.ENDED)

    def test_wrong(self) -> None:
        """
        A peer that cannot be right is told so, and the stream ends on both
        sides; the channel and its other streams do not.
        """
        wrong: list[tuple[Any, ...]] = [
            (encodePortalPayload(bytes(FIRST_WINDOW + 1)),),
            (Credit(1, FIRST_WINDOW),),
            (Credit(0, FIRST_WINDOW - 1),),
            (Finished(5),),
            (Finished(0), Finished(0)),
            (Finished(0), encodePortalPayload(b"x")),
            (Resumed(0),),
            (Resume(bytes(16), 1, 0),),
            (b"\x0a",),
            (b"\x0a\x82\x00\x1b\x80\x00\x00\x00\x00\x00\x00\x00",),
        ]
        self.targets.kind = Halved
        bystander, _ = self.both()
        bystanders = self.theInlet.streams | self.theOutlet.streams
        for messages in wrong:
            for name in ("theInlet", "theOutlet"):
                client, target = self.another()
                portal = getattr(self, name)
                with self.subTest(messages=messages, portal=name):
                    other = self.theInlet if portal is self.theOutlet else self.theOutlet
                    [receiver], [sender] = portal.streams - bystanders, other.streams - bystanders
                    for message in messages:
                        data = message if isinstance(message, bytes) else encodeExtension(message)
                        with sender.router.turn:
                            sender.emit((data,), len(data))
                        self.network.pump()
                    self.assertIs(receiver.state, State.ENDED)
                    self.assertIs(sender.state, State.ENDED)
                    assert sender.result is not None
                    self.assertEqual(sender.result.code, PROTOCOL_ERROR)
                    self.assertEqual((client.ending, target.ending), ("ConnectionLost", "ConnectionLost"))
        self.assertEqual(bystander.ending, "")
        self.assertEqual(self.stream(self.theInlet).state, State.OPEN)


class PlainTests(_ExtendedTestCase):
    """
    An inlet that has never seen that its offer was accepted.
    """

    def test_payload(self) -> None:
        """
        It begins with a Payload: the outlet goes on without the extension.
        """
        self.patch(Offer, "accepted", lambda *_: Pong())
        client, target = self.both()
        far = self.stream(self.theOutlet)
        target.send(b"x" * 2 * FIRST_WINDOW)
        self.network.pump()
        self.assertEqual(len(client.received), FIRST_WINDOW)
        client.send(b"hello")
        self.network.pump()
        self.assertEqual((bytes(target.received), len(client.received)), (b"hello", 2 * FIRST_WINDOW))
        self.assertIsNone(far.extension)
        target.send(b"more")
        self.close(target)
        self.assertEqual(client.received[-4:], b"more")
        self.assertEqual(client.ending, "ConnectionDone")
        self.assertIdle(self.theInlet, self.theOutlet)

    def test_finished(self) -> None:
        """
        It begins with a Payload after the target has ended its direction: the
        target has that, and its connection is ended.
        """
        self.patch(Offer, "accepted", lambda *_: Pong())
        self.targets.kind = Halved
        client, target = self.both()
        assert isinstance(client, Halved) and isinstance(target, Halved)
        target.send(b"greeting")
        self.close(target, half=True)
        self.assertFalse(client.finished)
        client.send(b"hello")
        self.network.pump()
        self.assertEqual((bytes(client.received), bytes(target.received)), (b"greeting", b"hello"))
        self.assertEqual((client.finished, target.finished), (True, True))
        self.assertIdle(self.theInlet, self.theOutlet)

    def test_disconnect(self) -> None:
        """
        It begins with its end.
        """
        _, target = self.both()
        self.stream(self.theOutlet).extension.isConfirmed = False  # type: ignore[union-attr]
        self.inject(self.theOutlet, DISCONNECT)
        self.assertEqual(target.ending, "ConnectionDone")

    def test_notOffered(self) -> None:
        """
        Without a secure channel nothing is offered.
        """
        self.way.change(self.hop.route("outlet"))
        self.theOutlet = self.outlet(self.listener.flowId, self.outletNode.transport.listenerId)
        self.theInlet = self.inlet()
        self.client()
        self.assertIsNone(self.stream(self.theInlet).extension)
        self.assertIsNone(self.stream(self.theInlet).offer)

    def test_damaged(self) -> None:
        """
        A Pong that accepts in a way that cannot be is waited past; one that
        names no stream ends it.
        """
        self.theOutlet, self.theInlet = self.outlet(), self.inlet()
        self.theOutlet.settings.features = 0
        client, _ = self.another()
        self.assertIsNone(self.stream(self.theInlet).extension)
        self.close(client)
        for text, ending in ((b"otw1", ""), (b"otw1\xa3\x00\x07\x01\x00\x03\x50" + bytes(16), "ConnectionLost")):
            self.targets.made.clear()
            self.theOutlet.stopService()
            inbox = self.outletNode.inbox("outlet", self.listener.flowId)
            client = self.client()
            with self.outletNode.router.turn:
                self.outletNode.send(inbox.messages[-1].return_route, PONG + text, inbox)
            self.network.pump()
            self.assertEqual(client.ending, ending)
            self.outletNode.router.unregister(inbox.address)
            self.theOutlet.startService()


class ResumeTests(_ExtendedTestCase):
    """
    Going on over another way.
    """

    def test_cut(self) -> None:
        """
        A connection breaks in the middle of bytes both ways; over the next
        one all arrives, once and in order.
        """
        client, target = self.both()
        down, up = bytes(range(256)) * 8000, bytes(reversed(range(256))) * 4000
        self.hop.toClient.held = self.hop.toServer.held = True
        target.send(down)
        client.send(up)
        self.network.pump()
        self.cut()
        self.assertEqual((client.ending, target.ending), ("", ""))
        self.assertIs(self.stream(self.theInlet).state, State.ROUTELESS)
        self.network.advance(20)
        self.newWay()
        self.assertEqual((bytes(client.received), bytes(target.received)), (down, up))
        self.close(client)
        self.close(target)
        self.assertIdle(self.theInlet, self.theOutlet)

    def test_before(self) -> None:
        """
        The way moves while the old one is still good: what is under way on
        the old one does not count.
        """
        client, target = self.both()
        data = bytes(range(256)) * 8000
        for number in range(8):
            target.send(data)
            client.send(data)
            old = self.hop
            old.toClient.held = old.toServer.held = bool(number % 2)
            self.network.pump()
            self.newWay()
            old.toClient.held = old.toServer.held = False
            self.network.pump()
        self.assertEqual(bytes(client.received), data * 8)
        self.assertEqual(bytes(target.received), data * 8)

    def test_half(self) -> None:
        """
        One direction has ended, and the last word of the other one was lost.
        """
        self.targets.kind = Halved
        client, target = self.both()
        assert isinstance(client, Halved) and isinstance(target, Halved)
        self.close(client, half=True)
        self.hop.toClient.held = True
        target.send(b"answer")
        self.close(target)
        self.cut()
        self.newWay()
        self.assertEqual((bytes(client.received), client.finished), (b"answer", True))
        self.assertIdle(self.theInlet, self.theOutlet)

    def test_lastWord(self) -> None:
        """
        The outlet has all and is done; the inlet lacks only the word that it
        is: a tombstone has it.
        """
        self.targets.kind = Halved
        client, target = self.both()
        assert isinstance(client, Halved)
        self.close(target, half=True)
        self.hop.toClient.held = True
        self.close(client)
        self.assertIdle(self.theOutlet)
        self.assertIs(self.stream(self.theInlet).state, State.OPEN)
        self.cut()
        self.newWay()
        self.assertIdle(self.theInlet)
        self.assertEqual(client.ending, "ConnectionDone")
        self.assertEqual(self.lines(), [])

    def test_resetWhileAway(self) -> None:
        """
        A target that resets while there is no way: the client is reset once
        there is one; and the reverse.
        """
        for reverse in (False, True):
            client, target = self.both() if not reverse else self.another()
            self.hop.cut()
            self.network.pump()
            resets, other = (client, target) if reverse else (target, client)
            transport: Any = resets.transport
            transport.abortConnection()
            self.network.pump()
            self.assertEqual(other.ending, "")
            self.newWay()
            self.assertEqual(other.ending, "ConnectionLost")
            self.assertIdle(self.theInlet, self.theOutlet)

    def test_heldBack(self) -> None:
        """
        A stream that has moved waits for no connection that it has left.
        """
        self.targets.kind = Halved
        self.both()
        pairs = [self.another() for _ in range(30)]
        old = self.hop
        below: Any = old.client.protocol
        self.patch(below.output, "_highWater", 256 * 1024)
        old.toServer.held = True
        for client, _ in pairs:
            client.send(bytes(300_000))
        self.network.pump()
        self.assertTrue(below.output.held)
        self.newWay()
        for client, _ in pairs:
            client.send(bytes(100_000))
        self.network.advance(10)
        self.assertTrue(below.output.full)
        self.assertEqual({len(target.received) for _, target in pairs}, {400_000})

    def test_tooLong(self) -> None:
        """
        Without a way for too long both ends are reset, and say why.
        """
        client, target = self.both()
        near = self.stream(self.theInlet)
        self.hop.cut()
        self.network.advance(RESUME_TIMEOUT + 1)
        self.assertEqual((client.ending, target.ending), ("ConnectionLost", "ConnectionLost"))
        self.assertIdle(self.theInlet, self.theOutlet)
        assert near.result is not None
        self.assertEqual(near.result.code, ROUTE_LOST)

    def test_restarted(self) -> None:
        """
        An outlet that was started again does not know the stream: the client
        is reset at once.
        """
        client, _ = self.both()
        self.cut()
        self.theOutlet.resumptions.streams.clear()
        self.newWay()
        self.assertEqual(client.ending, "ConnectionLost")

    def test_inletRestarted(self) -> None:
        """
        An inlet that was started again ends what its predecessor has left
        without a way.
        """
        _, target = self.both()
        self.cut()
        self.assertEqual(target.ending, "")
        self.theInlet.settings.instance = bytes(16)
        for stream in list(self.theInlet.streams):
            stream.ended(Reset(ROUTE_LOST, 0), "there will be no other way")
        self.newWay()
        self.client()
        self.assertEqual(target.ending, "ConnectionLost")

    def test_somebodyElse(self) -> None:
        """
        Nobody else can go on with a stream, or learn whether there is one.
        """
        _, target = self.both()
        far = self.stream(self.theOutlet)
        inbox = self.inletNode.inbox("stranger")
        self.theOutlet.resumptions.streams[bytes(16)] = far
        far.peer = None
        for name in (bytes(16), bytes(15) + b"\x01"):
            self.inletNode.send(self.way.route, encodeExtension(Resume(name, 9, 0)), inbox)  # type: ignore[arg-type]
            self.network.pump()
        self.assertEqual(len({each.payload for each in inbox.messages}), 1)
        self.assertEqual(target.ending, "")

    def test_late(self) -> None:
        """
        A Resume that was held back does not take the stream from the newer
        way.
        """
        client, target = self.both()
        held = self.inletNode.connect(self.outletNode)
        route = self.newRoute(held)
        held.toServer.held = True
        self.way.change(route)
        self.network.pump()
        self.newWay()
        far = self.stream(self.theOutlet)
        at = far.address
        held.toServer.held = False
        self.network.pump()
        self.assertEqual(far.address, at)
        target.send(b"still")
        self.network.pump()
        self.assertEqual(bytes(client.received), b"still")

    def test_storm(self) -> None:
        """
        The way moves again and again: nothing is lost, and nothing is left.
        """
        client, target = self.both()
        sent = b""
        for number in range(50):
            piece = bytes([number]) * 10_000
            sent += piece
            target.send(piece)
            self.newWay()
            self.network.links[-2].cut() if number % 2 else None
        self.assertEqual(bytes(client.received), sent)
        self.assertEqual(len(self.theOutlet.resumptions.streams), 1)

    def test_wrongPlace(self) -> None:
        """
        A peer that goes on where it cannot is refused.
        """
        client, target = self.both()
        near = self.stream(self.theInlet)
        assert near.extension is not None
        near.extension.exchange.receiving.received = 77
        self.cut()
        self.newWay()
        self.assertEqual(client.ending, "ConnectionLost")
        self.network.advance(RESUME_TIMEOUT + 1)
        self.assertEqual(target.ending, "ConnectionLost")
