"""
Tests for L{ockam_twisted.channels.channel}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Factory
from zope.interface.verify import verifyObject

from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.channels.cipher import LAST_NONCE
from ockam_twisted.errors import IdentityRefused
from ockam_twisted.identity.trust import TrustEveryone, TrustIdentifier
from ockam_twisted.interfaces import IFlowReceiver, ISecureChannel
from ockam_twisted.portals.inlet import Inlet
from ockam_twisted.portals.outlet import Outlet, SocketTarget
from ockam_twisted.portals.settings import RESUME_TIMEOUT
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.inbound import FLOW_WEIGHT, InboundBudget
from ockam_twisted.routing.router import FLOW_CONTROL
from ockam_twisted.testing import Inbox, MemoryNode, MemoryWay
from ockam_twisted.wire.channel import CLOSE, PLAINTEXT_TAIL, ChannelRefresh, encodeRefresh, plaintextPrefix
from ockam_twisted.wire.messages import decodeTransport, encodeTransport, payloadHead
from tests.channels.common import ChannelTestCase, changed
from tests.portals.common import OUTLET, Program, Programs


class MessageTests(ChannelTestCase):
    """
    Messages through a channel.
    """

    def test_interfaces(self) -> None:
        """
        A channel is one, and takes flows at both addresses.
        """
        mine, _ = self.channel()
        verifyObject(ISecureChannel, mine)
        for address in (mine.encryptor, mine.remote):
            self.assertTrue(IFlowReceiver.providedBy(self.alice.router.worker(address)))

    def test_echo(self) -> None:
        """
        Messages of any size go both ways, and nobody on the way can read
        them.
        """
        mine, theirs = self.channel()
        source = self.alice.inbox("alice's")
        echo = self.bob.inbox("bob's", self.listener.flowId, echo=True)
        self.hop.toServer.record = self.hop.toClient.record = True
        payloads = [b"", b"secret words", bytes(23), bytes(24), bytes(255), bytes(256), bytes(5000), bytes(70_000)]
        for payload in payloads:
            self.alice.send(Route((mine.encryptor, echo.address)), payload, source)
        self.network.pump()
        self.assertEqual((echo.payloads, source.payloads), (payloads, payloads))
        self.assertEqual(len(self.hop.toServer.recorded), len(payloads))
        for frame in (*self.hop.toServer.recorded, *self.hop.toClient.recorded):
            self.assertNotIn(b"secret words", frame)
            self.assertNotIn(b"bob's", frame)
        self.assertEqual((mine.heard, theirs.heard), (8, 8))

    def test_responderSpeaksFirst(self) -> None:
        """
        The responder's side may begin.
        """
        mine, theirs = self.channel()
        inbox = self.alice.inbox("alice's", mine.flowId, echo=True)
        source = self.bob.inbox("bob's")
        self.bob.send(Route((theirs.encryptor, inbox.address)), b"first", source)
        self.network.pump()
        self.assertEqual((inbox.payloads, source.payloads), ([b"first"], [b"first"]))

    def test_routes(self) -> None:
        """
        A record has no return route; the message inside it has one, which
        begins with the receiver's own encryptor.
        """
        mine, theirs = self.channel()
        source, inbox = self.inboxes()
        self.hop.toServer.record = True
        self.alice.send(Route((mine.encryptor, inbox.address)), b"x", source)
        self.network.pump()
        onward, back, _ = decodeTransport(self.hop.toServer.recorded[0])
        self.assertEqual((onward, back), ((theirs.remote,), ()))
        [message] = inbox.messages
        self.assertEqual(message.return_route, Route((theirs.encryptor, source.address)))
        self.assertEqual(message.source, theirs.decryptor)

    def test_identity(self) -> None:
        """
        A message says whose channel it came through, and over which
        connection.
        """
        mine, theirs = self.channel()
        source, inbox = self.inboxes()
        self.alice.send(Route((mine.encryptor, inbox.address)), b"x", source)
        self.network.pump()
        peer = inbox.messages[0].peerIdentity
        assert peer is not None
        self.assertEqual(
            (peer.identifier, peer.encryptor, peer.hop),
            (self.alice.identifier, theirs.encryptor, self.hop.server.protocol.address),
        )

    def test_flowControl(self) -> None:
        """
        A worker that may be reached through channels of a listener cannot be
        reached without one.
        """
        mine, _ = self.channel()
        source, inbox = self.inboxes()
        self.alice.send(self.hop.route(inbox.address), b"in the clear", source)
        self.network.pump()
        self.assertEqual((inbox.messages, self.bob.router.dropped[FLOW_CONTROL]), ([], 1))
        self.alice.send(Route((mine.encryptor, inbox.address)), b"sealed", source)
        self.network.pump()
        self.assertEqual(inbox.payloads, [b"sealed"])

    def test_flowControlOfTheRest(self) -> None:
        """
        Through a channel only those workers are reached that say so.
        """
        mine, _ = self.channel()
        source = self.alice.inbox("alice's")
        plain = self.bob.inbox("plain", self.bob.transport.listenerId)
        for address in (plain.address, Address.local("api"), self.hop.server.protocol.address):
            self.alice.send(Route((mine.encryptor, address, source.address)), bytes(32), source)
        self.network.pump()
        self.assertEqual((plain.messages, source.messages), ([], []))
        self.assertEqual(self.bob.router.dropped[FLOW_CONTROL], 3)

    def test_decryptorTakesNothing(self) -> None:
        """
        What arrives for the inner address of a decryptor from anywhere is
        dropped.
        """
        _, theirs = self.channel()
        source, _ = self.inboxes()
        local = self.bob.inbox("local")
        self.assertFalse(self.bob.send(Route((theirs.decryptor,)), b"x", local))
        self.alice.send(self.hop.route(theirs.decryptor), b"x", source)
        self.alice.send(self.hop.route(theirs.encryptor, source.address), b"x", source)
        self.network.pump()
        self.assertEqual(source.messages, [])

    def test_manyFlows(self) -> None:
        """
        More pairs of routes than are remembered are no problem.
        """
        mine, _ = self.channel()
        _, inbox = self.inboxes()
        sources = [Inbox(self.alice.router, Address.local("s" * (1 + n % 30) + str(n))) for n in range(5000)]
        for source in (*sources, *sources[:10]):
            self.alice.send(Route((mine.encryptor, inbox.address)), b"x", source)
        self.network.pump()
        self.assertEqual(len(inbox.messages), 5010)
        self.assertEqual(inbox.messages[-1].return_route[-1], sources[9].address)

    def test_flowsTogether(self) -> None:
        """
        What is known of the flows of all channels and connections has a bound together.
        """
        self.bob.router.inbound = InboundBudget(10 * (FLOW_WEIGHT + 300))
        channels = [self.channel() for _ in range(3)]
        echo = self.bob.inbox("bob's", self.listener.flowId, echo=True)
        sources = [self.alice.inbox(f"alice's {number}") for number in range(20)]
        for source in sources:
            for mine, _ in channels:
                self.alice.send(Route((mine.encryptor, echo.address)), b"x", source)
            self.network.pump()
            self.assertLessEqual(sum(len(theirs._inward._flows) for _, theirs in channels), 12)
        self.assertEqual([source.payloads for source in sources], [[b"x"] * 3] * 20)

    def test_manyRecords(self) -> None:
        """
        The keys change on the way without anybody noticing.
        """
        mine, _ = self.channel()
        source = self.alice.inbox("alice's")
        echo = self.bob.inbox("bob's", self.listener.flowId, echo=True)
        for number in range(200):
            self.alice.send(Route((mine.encryptor, echo.address)), b"%d" % number, source)
            self.network.pump()
        self.assertEqual(source.payloads, [b"%d" % number for number in range(200)])

    def test_unusualForms(self) -> None:
        """
        Padding, and fields of the future, do not keep a message from being
        delivered.
        """
        mine, _ = self.channel()
        source, inbox = self.inboxes()
        prefix = plaintextPrefix((inbox.address,), (source.address,))
        mine.sendPlaintext(prefix + payloadHead(1) + b"1" + b"\x44pads")
        mine.sendPlaintext(b"\x83" + prefix[1:] + payloadHead(1) + b"2" + PLAINTEXT_TAIL + b"\xf6")
        mine.sendPlaintext(prefix[:4] + b"\x84" + prefix[5:] + payloadHead(1) + b"3" + b"\x00" + PLAINTEXT_TAIL)
        self.network.pump()
        self.assertEqual(inbox.payloads, [b"1", b"2", b"3"])
        self.assertEqual([message.return_route[1:] for message in inbox.messages], [Route((source.address,))] * 3)

    def test_senseless(self) -> None:
        """
        Records that make no sense are dropped, with one line in the log for
        all of them; the channel goes on.
        """
        mine, theirs = self.channel()
        source, inbox = self.inboxes()
        prefix = plaintextPrefix((inbox.address,), (source.address,))
        for plaintext in (
            b"",
            b"\xff",
            b"\x82\x82\x09\x80\x40",
            CLOSE + b"\x00",
            prefix,
            prefix + b"\x45abc",
            prefix[:9],
        ):
            mine.sendPlaintext(plaintext)
        self.alice.send(Route((mine.encryptor, inbox.address)), b"sense", source)
        self.network.pump()
        self.assertEqual(inbox.payloads, [b"sense"])
        [line] = self.lines()
        self.assertTrue(line.startswith(f"A record of {self.alice.identifier} was dropped: "))
        self.assertFalse(theirs.hasEnded)


class LayerTests(ChannelTestCase):
    """
    Channels in channels.
    """

    def test_threeDeep(self) -> None:
        """
        A channel in a channel in a channel is a channel; the identity of a
        message is that of the innermost one, and there is only one.
        """
        self.bob.router.flowControls.addConsumer(Address.local("api"), self.listener.flowId)
        mine, _ = self.channel()
        for _ in range(2):
            before = set(self.listener.channels)
            route = Route((mine.encryptor, Address.local("api")))
            mine = self.network.result(self.alice.createChannel(route, TrustIdentifier(self.bob.identifier)))
        [innermost] = set(self.listener.channels) - before
        source = self.alice.inbox("alice's")
        echo = self.bob.inbox("bob's", self.listener.flowId, echo=True)
        self.alice.send(Route((mine.encryptor, echo.address)), b"deep" * 2000, source)
        self.network.pump()
        self.assertEqual(source.payloads, [b"deep" * 2000])
        [message] = echo.messages
        self.assertEqual(len(message.local_info), 1)
        assert message.peerIdentity is not None
        self.assertEqual(message.peerIdentity.encryptor, innermost.encryptor)

    def test_relayed(self) -> None:
        """
        Through a node in the middle, to which there is a channel of its own,
        the identity is that of the far end, and the middle reads nothing.
        """
        relay = MemoryNode(self.network, "relay")
        first, second = self.alice.connect(relay), relay.connect(self.bob)
        outer = relay.listen(TrustEveryone())
        onward, back = second.client.protocol.address, second.client.protocol.flowId
        relay.router.flowControls.addConsumer(onward, outer.flowId)
        toRelay = self.network.result(self.alice.createChannel(first.route("api"), TrustIdentifier(relay.identifier)))
        [atRelay] = outer.channels
        relay.router.flowControls.addConsumer(atRelay.encryptor, back)
        route = Route((toRelay.encryptor, onward, Address.local("api")))
        mine = self.network.result(self.alice.createChannel(route, TrustIdentifier(self.bob.identifier)))
        source = self.alice.inbox("alice's")
        echo = self.bob.inbox("bob's", self.listener.flowId, echo=True)
        second.toServer.record = True
        self.alice.send(Route((mine.encryptor, echo.address)), b"end to end", source)
        self.network.pump()
        self.assertEqual(echo.messages[0].peerIdentity.identifier, self.alice.identifier)  # type: ignore[union-attr]
        self.assertEqual(source.messages[0].peerIdentity.identifier, self.bob.identifier)  # type: ignore[union-attr]
        self.assertNotIn(b"end to end", second.toServer.recorded[0])

    def test_outerEnds(self) -> None:
        """
        The end of a channel is the end of those inside it.
        """
        self.bob.router.flowControls.addConsumer(Address.local("api"), self.listener.flowId)
        outer, _ = self.channel()
        route = Route((outer.encryptor, Address.local("api")))
        inner = self.network.result(self.alice.createChannel(route, TrustEveryone()))
        outer.close()
        self.network.pump()
        self.assertEqual(self.successResultOf(inner.whenLost()), "the connection below it was lost")
        self.assertEqual(self.listener.channels, {})


class _AttackTestCase(ChannelTestCase):
    """
    Somebody on the way holds the records.
    """

    def setUp(self) -> None:
        super().setUp()
        self.source, self.inbox = self.inboxes()

    def hold(self, count: int, **options: Any) -> tuple[SecureChannel, SecureChannel]:
        """
        Make a channel, and send C{count} records that are then under way.
        """
        mine, theirs = self.channel(**options)
        self.hop.toServer.held = True
        self.say(mine, *(b"%d" % number for number in range(count)))
        return mine, theirs

    def say(self, mine: SecureChannel, *payloads: bytes) -> None:
        """
        Alice sends.
        """
        for payload in payloads:
            self.alice.send(Route((mine.encryptor, self.inbox.address)), payload, self.source)

    def release(self) -> None:
        """
        Let the records go.
        """
        self.hop.toServer.held = False
        self.network.pump()


class OrderedTests(_AttackTestCase):
    """
    A channel over an ordered road: any hole or change is its end.
    """

    def attack(self, change: Callable[[list[bytes]], list[bytes]], count: int = 3, delivered: int = 0) -> None:
        """
        Change what is under way: the channel ends at both sides with one
        error line, those who watch hear of it, and nothing comes out behind
        the first change.
        """
        self.logged.clear()
        self.inbox.messages.clear()
        mine, theirs = self.hold(count)
        gone: list[SecureChannel] = []
        for node, channel in ((self.alice, mine), (self.bob, theirs)):
            node.router.watch(channel.encryptor, lambda channel=channel: gone.append(channel))
        waiting = self.hop.toServer.waiting
        frames = change(list(waiting))
        waiting.clear()
        waiting.extend(frames)
        self.release()
        self.say(mine, b"later")
        self.network.pump()
        self.assertEqual(self.inbox.payloads, [b"%d" % number for number in range(delivered)])
        self.assertEqual(gone, [theirs, mine])
        self.assertEqual([event["log_level"].name for event in self.logged], ["error"])
        self.assertTrue(self.lines()[0].startswith(f"Ending the channel with {self.alice.identifier}: "))
        self.assertTrue(mine.hasEnded and theirs.hasEnded)
        self.assertEqual(self.successResultOf(mine.whenLost()), "the peer has closed it")
        self.assertNotIn(theirs, self.listener.channels)

    def test_tampered(self) -> None:
        """
        A changed bit in any byte.
        """
        [size] = {len(decodeTransport(frame)[2]) for frame in self._sample(1)}
        for at in range(size):

            def flip(payload: bytes, at: int = at) -> bytes:
                return payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]

            self.attack(lambda frames, flip=flip: [changed(frames[0], flip), *frames[1:]])

    def _sample(self, count: int) -> list[bytes]:
        mine, _ = self.hold(count)
        frames = list(self.hop.toServer.waiting)
        self.release()
        mine.close()
        self.network.pump()
        return frames

    def test_truncated(self) -> None:
        """
        A record cut at any length, or with a byte more.
        """
        [size] = {len(decodeTransport(frame)[2]) for frame in self._sample(1)}
        for length in range(size):
            self.attack(lambda frames, length=length: [changed(frames[0], lambda payload: payload[:length])])
        self.attack(lambda frames: [changed(frames[0], lambda payload: payload + b"\x00")])

    def test_replayed(self) -> None:
        """
        A record that comes twice, at once or later.
        """
        self.attack(lambda frames: [frames[0], frames[0]], delivered=1)
        self.attack(lambda frames: [*frames, frames[0]], delivered=3)

    def test_swapped(self) -> None:
        """
        Two records in the wrong order.
        """
        self.attack(lambda frames: [frames[1], frames[0], frames[2]])
        self.attack(lambda frames: [frames[0], frames[2], frames[1]], delivered=1)

    def test_dropped(self) -> None:
        """
        1 to 31 records that are missing, which the protocol's window would
        not show.
        """
        for missing in range(1, 32):
            self.attack(lambda frames, missing=missing: [frames[0], *frames[1 + missing :]], 34, delivered=1)

    def test_spliced(self) -> None:
        """
        A record of another channel between the same two.
        """
        other, _ = self.channel()
        self.hop.toServer.held = True
        self.say(other, b"other")
        stolen = decodeTransport(self.hop.toServer.waiting.pop()).payload
        self.release()
        self.attack(lambda frames: [changed(frames[0], lambda payload: stolen), *frames[1:]])

    def test_reflected(self) -> None:
        """
        A record of one's own.
        """
        mine, theirs = self.channel()
        self.bob.send(Route((theirs.encryptor, self.source.address)), b"mine", self.inbox)
        self.hop.toClient.held = True
        self.network.pump()
        [frame] = self.hop.toClient.waiting
        self.hop.toServer.inject(encodeTransport((theirs.remote,), (), decodeTransport(frame).payload))
        self.hop.toClient.held = False
        self.network.pump()
        self.assertTrue(mine.hasEnded and theirs.hasEnded)

    def test_toInitiator(self) -> None:
        """
        The initiator is as strict.
        """
        mine, theirs = self.channel()
        self.alice.router.flowControls.addConsumer(self.source.address, mine.flowId)
        self.hop.toClient.held = True
        for _ in range(3):
            self.bob.send(Route((theirs.encryptor, self.source.address)), b"x", self.inbox)
        self.network.pump()
        del self.hop.toClient.waiting[1]
        self.hop.toClient.held = False
        self.network.pump()
        self.assertEqual(len(self.source.messages), 1)
        self.assertEqual(self.successResultOf(theirs.whenLost()), "the peer has closed it")
        self.assertEqual(len(self.logged), 1)

    def test_otherChannelsLive(self) -> None:
        """
        Other channels over the same connection do not notice, nor does the
        connection.
        """
        other, _ = self.channel()
        self.attack(lambda frames: frames[1:])
        self.say(other, b"still here")
        self.network.pump()
        self.assertEqual(self.inbox.payloads, [b"still here"])

    def test_portal(self) -> None:
        """
        A stream through a channel that loses a record is reset at both ends,
        unless another way is found in time.
        """
        network, alice, bob = self.network, self.alice, self.bob
        mine, _ = self.channel()
        targets, client = Programs(), Program()
        network.endpoint("target").listen(targets)
        target = SocketTarget(bob.router, bob.sockets, network.endpoint("target"), "target")
        outlet = Outlet(bob.router, network.clock, target, OUTLET)
        outlet.startService()
        bob.router.flowControls.addConsumer(OUTLET, self.listener.flowId)
        way = MemoryWay(Route((mine.encryptor, OUTLET)))
        inlet = Inlet(alice.router, network.clock, alice.sockets, way)
        inlet.listen(network.endpoint("inlet"))
        network.endpoint("inlet").connect(Factory.forProtocol(lambda: client))
        network.pump()
        client.send(b"x" * 500_000)
        network.pump()
        targets.made[0].send(b"y" * 500_000)
        network.pump()
        self.assertEqual((len(targets.made[0].received), len(client.received)), (500_000, 500_000))
        self.hop.toServer.held = True
        client.send(b"one")
        network.pump()
        client.send(b"two")
        network.pump()
        self.hop.toServer.waiting.popleft()
        self.release()
        network.advance(RESUME_TIMEOUT + 1)
        self.assertEqual((client.ending, targets.made[0].ending), ("ConnectionLost", "ConnectionLost"))
        self.assertEqual(len(targets.made[0].received), 500_000)
        self.assertEqual((inlet.streams, outlet.streams), (set(), set()))


class UnorderedTests(_AttackTestCase):
    """
    A channel over a road that may lose and swap.
    """

    def listen(self) -> Any:
        return self.bob.listen(TrustIdentifier(self.alice.identifier), ordered=False)

    def test_goesOn(self) -> None:
        """
        Forged, repeated, lost and late records are dropped one by one; the
        rest is delivered, and the log stays empty.
        """
        mine, theirs = self.hold(10, ordered=False)
        frames = list(self.hop.toServer.waiting)
        forged = changed(frames[3], lambda payload: payload[:-1] + bytes([payload[-1] ^ 1]))
        self.hop.toServer.waiting.clear()
        for frame in (frames[1], frames[0], frames[1], forged, frames[5], frames[4], *frames[7:], frames[6]):
            self.hop.toServer.inject(frame)
        self.release()
        self.assertEqual(self.inbox.payloads, [b"1", b"0", b"5", b"4", b"7", b"8", b"9", b"6"])
        self.say(mine, b"more")
        self.network.pump()
        self.assertEqual(self.inbox.payloads[-1], b"more")
        self.assertFalse(mine.hasEnded or theirs.hasEnded)
        self.assertEqual(self.logged, [])

    def test_window(self) -> None:
        """
        32 records ahead is near enough, 33 is not.
        """
        mine, _ = self.hold(70, ordered=False)
        frames = list(self.hop.toServer.waiting)
        self.hop.toServer.waiting.clear()
        for number in (0, 33, 32, 65, 64):
            self.hop.toServer.inject(frames[number])
        self.release()
        self.assertEqual(self.inbox.payloads, [b"0", b"32", b"64"])
        self.assertFalse(mine.hasEnded)


class EndTests(ChannelTestCase):
    """
    How channels end.
    """

    def assertGone(self, *channels: SecureChannel) -> None:
        """
        No address of these channels is left.
        """
        for channel in channels:
            for node in (self.alice, self.bob):
                for address in (channel.encryptor, channel.decryptor, channel.remote):
                    self.assertNotIn(address, node.router)

    def test_close(self) -> None:
        """
        Close, from either side, is one record that is not answered.
        """
        for side in (0, 1):
            ends = self.channel()
            pipes = (self.hop.toServer, self.hop.toClient)
            for pipe in pipes:
                pipe.record = True
                pipe.recorded.clear()
            ends[side].close()
            ends[side].close()
            self.network.pump()
            self.assertEqual([len(pipe.recorded) for pipe in pipes], [1 - side, side])
            self.assertEqual(self.successResultOf(ends[side].whenLost()), "we have closed it")
            self.assertEqual(self.successResultOf(ends[1 - side].whenLost()), "the peer has closed it")
            self.assertGone(*ends)
        self.assertEqual(self.lines(), [])

    def test_messagesBeforeClose(self) -> None:
        """
        What was sent before Close is delivered.
        """
        mine, _ = self.channel()
        source, inbox = self.inboxes()
        self.alice.send(Route((mine.encryptor, inbox.address)), b"last", source)
        mine.close()
        self.network.pump()
        self.assertEqual(inbox.payloads, [b"last"])

    def test_afterTheEnd(self) -> None:
        """
        Nothing is sent through a channel that has ended.
        """
        mine, _ = self.channel()
        source, inbox = self.inboxes()
        flow = self.alice.router.open(Route((mine.encryptor, inbox.address)), Route(), source.address)
        flow.send((b"x",), 1)
        mine.close()
        flow.send((b"y",), 1)
        self.network.pump()
        self.assertEqual(inbox.payloads, [b"x"])

    def test_connectionLost(self) -> None:
        """
        The loss of the connection below ends both sides.
        """
        mine, theirs = self.channel()
        waiting = [mine.whenLost(), theirs.whenLost(), mine.whenLost()]
        self.hop.cut()
        self.network.pump()
        for each in waiting:
            self.assertEqual(self.successResultOf(each), "the connection below it was lost")
        self.assertGone(mine, theirs)

    def test_noncesExhausted(self) -> None:
        """
        A channel whose nonces are used up ends, and never uses the last one.
        """
        mine, _ = self.channel()
        source, inbox = self.inboxes()
        encryptor = mine._encrypt
        encryptor.nonce = LAST_NONCE - 1
        encryptor._changeAt = LAST_NONCE
        self.hop.toServer.held = self.hop.toServer.record = True
        for _ in range(3):
            self.alice.send(Route((mine.encryptor, inbox.address)), b"x", source)
        self.assertEqual(self.successResultOf(mine.whenLost()), "the channel has used all of its nonces")
        self.assertEqual(len(self.hop.toServer.recorded), 1)
        self.assertGone(mine)

    def test_closeWithoutNonces(self) -> None:
        """
        It can be closed, without a record.
        """
        mine, _ = self.channel()
        mine._encrypt.nonce = mine._encrypt._changeAt = LAST_NONCE
        self.hop.toServer.record = True
        mine.close()
        self.network.pump()
        self.assertEqual(self.hop.toServer.recorded, [])
        self.assertGone(mine)


class RefreshTests(ChannelTestCase):
    """
    Credentials that are presented anew.
    """

    def test_accepted(self) -> None:
        """
        A refresh is no message, and does not disturb the channel.
        """
        mine, theirs = self.channel()
        source, inbox = self.inboxes()
        mine.sendPlaintext(encodeRefresh(self.alice.party.identity.history.encode(), []))
        self.alice.send(Route((mine.encryptor, inbox.address)), b"x", source)
        self.network.pump()
        self.assertEqual((inbox.payloads, theirs.heard, self.lines()), ([b"x"], 2, []))

    def test_told(self) -> None:
        """
        Who wants to know is told; if it refuses, that is one line.
        """
        mine, theirs = self.channel()
        told: list[ChannelRefresh] = []

        def refreshed(identifier: str, refresh: ChannelRefresh) -> None:
            told.append(refresh)
            raise IdentityRefused("not today")

        theirs.standing._verify = refreshed
        history = self.alice.party.identity.history.encode()
        mine.sendPlaintext(encodeRefresh(history, []))
        self.network.pump()
        self.assertEqual(told, [ChannelRefresh(history, b"\x80")])
        self.assertEqual(self.lines(), [f"A record of {self.alice.identifier} was dropped: not today"])
        self.assertFalse(theirs.hasEnded)


class RouteTests(_AttackTestCase):
    """
    A responder follows the way that records come.
    """

    def moved(self, frame: bytes, *hops: str) -> bytes:
        """
        A record as it comes by another way behind the connection.
        """
        onward, _, payload = decodeTransport(frame)
        return encodeTransport(onward, Route.of(*hops), payload)

    def answer(self, theirs: SecureChannel) -> list[Any]:
        """
        @return: The onward route, on the wire, of a record of the responder.
        """
        self.hop.toClient.record = True
        self.hop.toClient.recorded.clear()
        self.bob.send(Route((theirs.encryptor, self.source.address)), b"x", self.inbox)
        [frame] = self.hop.toClient.recorded
        return list(decodeTransport(frame).onward_route)

    def test_follows(self) -> None:
        """
        Answers go where records come from, and at the end to the initiator's
        address, which nobody can change.
        """
        mine, theirs = self.hold(4)
        frames = list(self.hop.toServer.waiting)
        self.hop.toServer.waiting.clear()
        for frame in (frames[0], frames[1]):
            self.hop.toServer.inject(frame)
        self.release()
        self.assertEqual(self.answer(theirs), [mine.remote])
        self.hop.toServer.inject(self.moved(frames[2], "relay", "client"))
        self.network.pump()
        self.hop.toClient.held = True
        self.assertEqual(self.answer(theirs), [(0, b"relay"), (0, b"client"), mine.remote])
        self.hop.toServer.inject(frames[3])
        self.network.pump()
        self.assertEqual(self.answer(theirs), [mine.remote])

    def test_notTheFirstRecord(self) -> None:
        """
        Record 0 moves nothing, the next one does, though it comes the same
        way.
        """
        mine, theirs = self.hold(2)
        frames = list(self.hop.toServer.waiting)
        self.hop.toServer.waiting.clear()
        self.hop.toServer.inject(self.moved(frames[0], "relay"))
        self.release()
        self.assertEqual(self.answer(theirs), [mine.remote])
        self.hop.toClient.held = True
        self.hop.toServer.inject(self.moved(frames[1], "relay"))
        self.network.pump()
        self.assertEqual(self.answer(theirs), [(0, b"relay"), mine.remote])

    def test_forgedRecordsDoNotMove(self) -> None:
        """
        Only a record that authenticates does.
        """
        mine, theirs = self.hold(3, ordered=True)
        frames = list(self.hop.toServer.waiting)
        self.hop.toServer.waiting.clear()
        self.hop.toServer.inject(frames[0])
        self.hop.toServer.inject(
            self.moved(changed(frames[1], lambda payload: payload[:-1] + bytes((payload[-1] ^ 1,))), "relay")
        )
        self.hop.toClient.record = True
        self.release()
        [close] = self.hop.toClient.recorded
        self.assertEqual(decodeTransport(close).onward_route, (mine.remote,))
        self.assertTrue(theirs.hasEnded)

    def test_initiatorStays(self) -> None:
        """
        The initiator's route is its own affair.
        """
        mine, theirs = self.channel()
        self.hop.toClient.intercept = lambda frame: [self.moved(frame, "elsewhere")]
        for _ in range(3):
            self.answer(theirs)
        self.network.pump()
        self.assertEqual(mine.heard, 3)
        self.hop.toServer.record = True
        self.say(mine, b"x")
        self.assertEqual(decodeTransport(self.hop.toServer.recorded[0]).onward_route, (theirs.remote,))

    def test_otherConnection(self) -> None:
        """
        Another connection cannot take a channel over.
        """
        _, theirs = self.hold(2)
        mallory = MemoryNode(self.network, "mallory")
        hop = mallory.connect(self.bob)
        hop.toServer.inject(self.hop.toServer.waiting.popleft())
        self.network.pump()
        self.assertEqual((self.inbox.messages, theirs.heard), ([], 0))
        self.assertEqual(self.bob.router.dropped[FLOW_CONTROL], 1)
