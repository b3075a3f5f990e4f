"""
Three nodes in memory, and a relay that does its worst: written as the
attacker.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import PeerNotTrusted, TimedOut
from ockam_twisted.identity.trust import TrustEveryone, TrustIdentifier
from ockam_twisted.relays.client import RelayClient
from ockam_twisted.relays.service import RelayService
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.services.hop import HopService
from ockam_twisted.testing import MemoryNetwork, MemoryNode
from ockam_twisted.wire.messages import decodeTransport, encodeTransport


class RelayedTestCase(SynchronousTestCase):
    """
    An inlet's node, a relay, and an outlet's node that is registered there.
    """

    def setUp(self) -> None:
        """
        Register, and make a channel through the relay.
        """
        network = self.network = MemoryNetwork()
        self.relay = MemoryNode(network, "relay")
        self.near = MemoryNode(network, "near")
        self.far = MemoryNode(network, "far")
        proof = self.relay.listen(TrustEveryone())
        self.service = RelayService(
            router=self.relay.router,
            clock=network.clock,
            names=self.relay.store,
            now=self.relay.now,
            consumerIds=(self.relay.transport.listenerId, proof.flowId),
        )
        self.service.startService()
        self.addCleanup(self.service.stopService)
        self.farLink = self.far.connect(self.relay)
        proven = network.result(self.far.createChannel(self.farLink.route("api"), TrustEveryone()))
        name = str(self.far.identifier)
        client = RelayClient(self.far.router, network.clock, Route((proven.encryptor,)), name, askDirect=True)
        self.registration = network.result(client.register())
        plain = self.far.router.flowControls.producerId(self.farLink.route()[0])
        assert plain is not None
        self.listener = self.far.listen(TrustIdentifier(self.near.identifier), plain)
        self.target = self.far.inbox("target", self.listener.flowId, echo=True)
        self.nearLink = self.near.connect(self.relay)
        self.road = self.nearLink.route(self.registration.address, "api")
        self.channel = network.result(self.near.createChannel(self.road, TrustIdentifier(self.far.identifier)))
        self.source = self.near.inbox("source")

    def send(self, payload: bytes) -> None:
        """
        Send through the channel.
        """
        self.near.send(Route((self.channel.encryptor, self.target.address)), payload, self.source)

    def arrived(self) -> list[bytes]:
        """
        What the target got, after everything has come to rest.
        """
        self.network.pump()
        return self.target.payloads


class HonestTests(RelayedTestCase):
    """
    The relay does its job.
    """

    def test_echo(self) -> None:
        """
        Messages and answers pass, past several rekeys, and the receiver knows
        who sent them.
        """
        sent = [b"%d" % each for each in range(200)]
        for payload in sent:
            self.send(payload)
        self.assertEqual(self.arrived(), sent)
        self.assertEqual(self.source.payloads, sent)
        peer = self.target.messages[0].peerIdentity
        assert peer is not None
        self.assertEqual(peer.identifier, str(self.near.identifier))

    def test_direct(self) -> None:
        """
        What is relayed comes over the connection, not in the channel that
        proved who registered.
        """
        self.assertTrue(self.registration.direct)
        self.assertEqual(self.registration.name, str(self.far.identifier))

    def test_sees_nothing(self) -> None:
        """
        There is no plaintext on either wire.
        """
        pipes = (self.farLink.toClient, self.farLink.toServer, self.nearLink.toClient, self.nearLink.toServer)
        for pipe in pipes:
            pipe.record = True
        self.send(b"swordfish")
        self.assertEqual(self.arrived(), [b"swordfish"])
        recorded = b"".join(b"".join(pipe.recorded) for pipe in pipes)
        self.assertGreater(len(recorded), 100)
        self.assertNotIn(b"swordfish", recorded)

    def test_three_hops(self) -> None:
        """
        A channel through three hops in a row, and one more channel inside it.
        """
        names = ["one", "two", "three"]
        hops = []
        for name in names:
            node = MemoryNode(self.network, name)
            hop = HopService(node.router, consumerIds=(node.transport.listenerId,))
            hop.startService()
            hops.append(node)
        route = self.near.connect(hops[0]).route("hop")
        for here, there in zip(hops, [*hops[1:], self.far], strict=True):
            link = here.connect(there)
            address = link.route()[0]
            here.router.flowControls.addConsumer(address, here.transport.listenerId)
            back = here.router.flowControls.producerId(address)
            assert back is not None
            here.router.flowControls.addConsumer(Address.local("hop"), back)
            for hop in [each.address for each in here.transport.hops]:
                here.router.flowControls.addConsumer(hop, back)
            route = route.append(address, *((Address.local("hop"),) if there is not self.far else ()))
        self.far.router.flowControls.addConsumer(Address.local("api"), self.far.transport.listenerId)
        outer = self.network.result(
            self.near.createChannel(route.append(Address.local("api")), TrustIdentifier(self.far.identifier))
        )
        inner = self.far.listen(TrustIdentifier(self.near.identifier), self.listener.flowId, name="inner")
        channel = self.network.result(
            self.near.createChannel(
                Route((outer.encryptor, Address.local("inner"))), TrustIdentifier(self.far.identifier)
            )
        )
        deep = self.far.inbox("deep", inner.flowId, echo=True)
        self.near.send(Route((channel.encryptor, deep.address)), b"hello", self.source)
        # Not a consumer of the outer listener's id: only the inner channel leads there.
        self.near.send(Route((outer.encryptor, deep.address)), b"no", self.source)
        self.network.pump()
        self.assertEqual(deep.payloads, [b"hello"])
        self.assertEqual(self.source.payloads, [b"hello"])


class AttackTests(RelayedTestCase):
    """
    Each attack ends the channel, with an error in the log, and nothing wrong
    arrives.
    """

    def hold(self, count: int) -> deque[bytes]:
        """
        Let the target have one message, then hold back some more.

        @return: The records held, between relay and outlet.
        """
        self.send(b"first")
        self.assertEqual(self.arrived(), [b"first"])
        pipe = self.farLink.toClient
        pipe.held = True
        for number in range(count):
            self.send(b"%d" % number)
        self.network.pump()
        self.assertEqual(len(pipe.waiting), count)
        return pipe.waiting

    def release(self) -> None:
        """
        Deliver what is left, and then one honest message more.
        """
        self.farLink.toClient.held = False
        self.network.pump()
        self.send(b"after")
        self.network.pump()

    def assertEnded(self, arrived: list[bytes]) -> None:
        """
        The channel has ended at both sides, and only this had come before.
        """
        self.assertEqual(self.target.payloads, [b"first", *arrived])
        self.assertEqual(len(self.listener.channels), 0)
        self.successResultOf(self.channel.whenLost())

    def attack(self, change: Callable[[deque[bytes]], None], count: int, arrived: list[bytes]) -> None:
        """
        Change what is held back.
        """
        change(self.hold(count))
        self.release()
        self.assertEnded(arrived)

    def test_swapped(self) -> None:
        """
        Two neighbours are swapped.
        """

        def swap(waiting: deque[bytes]) -> None:
            waiting[1], waiting[2] = waiting[2], waiting[1]

        self.attack(swap, 4, [b"0"])

    def test_replayed(self) -> None:
        """
        A record comes twice.
        """

        def replay(waiting: deque[bytes]) -> None:
            waiting.insert(1, waiting[0])

        self.attack(replay, 2, [b"0"])

    def test_truncated(self) -> None:
        """
        A record is cut short, and its frame is made to fit.
        """

        def truncate(waiting: deque[bytes]) -> None:
            onward, back, payload = decodeTransport(waiting[0])
            waiting[0] = encodeTransport(onward, back, payload[:-1])

        self.attack(truncate, 2, [])

    def test_spliced(self) -> None:
        """
        A record of another channel between the same two nodes is put in.
        """
        other = self.network.result(self.near.createChannel(self.road, TrustIdentifier(self.far.identifier)))
        self.farLink.toClient.record = True
        self.near.send(Route((other.encryptor, self.target.address)), b"other", self.source)
        self.network.pump()
        _, _, payload = decodeTransport(self.farLink.toClient.recorded[-1])
        self.target.messages.clear()
        waiting = self.hold(2)
        onward, back, _ = decodeTransport(waiting[0])
        waiting[0] = encodeTransport(onward, back, payload)
        self.release()
        self.assertEqual(self.target.payloads, [b"first"])
        self.successResultOf(self.channel.whenLost())
        self.assertEqual(len(self.listener.channels), 1)

    def test_each_byte(self) -> None:
        """
        Each byte of a record is flipped in turn, each on a channel of its own.
        """
        size = 0
        position = 0
        while position == 0 or position < size:
            self.channel = self.network.result(self.near.createChannel(self.road, TrustIdentifier(self.far.identifier)))
            self.target.messages.clear()
            waiting = self.hold(1)
            onward, back, payload = decodeTransport(waiting[0])
            size = len(payload)
            changed = bytearray(payload)
            changed[position] ^= 1
            waiting[0] = encodeTransport(onward, back, bytes(changed))
            self.release()
            self.assertEqual(self.target.payloads, [b"first"], position)
            self.successResultOf(self.channel.whenLost())
            position += 1
        self.assertGreater(position, 48)

    def test_records_are_missing(self) -> None:
        """
        1 to 31 records are dropped.
        """
        for count in (1, 2, 7, 30, 31):
            self.channel = self.network.result(self.near.createChannel(self.road, TrustIdentifier(self.far.identifier)))
            self.target.messages.clear()
            waiting = self.hold(count)
            waiting.clear()
            self.release()
            self.assertEqual(self.target.payloads, [b"first"], count)
            self.successResultOf(self.channel.whenLost())

    def test_stranger(self) -> None:
        """
        A stranger at the relay gets no channel, and reaches no worker without
        one.
        """
        stranger = MemoryNode(self.network, "stranger")
        link = stranger.connect(self.relay)
        inbox = stranger.inbox("inbox")
        stranger.send(link.route(self.registration.address, "target"), b"let me in", inbox)
        channel = self.network.result(
            stranger.createChannel(link.route(self.registration.address, "api"), TrustEveryone())
        )
        stranger.send(Route((channel.encryptor, self.target.address)), b"let me in", inbox)
        self.network.pump()
        self.assertEqual(self.target.payloads, [])
        self.assertEqual(len(self.listener.channels), 1)

    def test_impostor(self) -> None:
        """
        A relay that answers in the outlet's place is found out before the
        inlet says who it is.
        """
        self.relay.listen(TrustEveryone(), self.relay.transport.listenerId, name="trap")
        self.nearLink.toServer.record = True
        attempt = self.near.createChannel(self.nearLink.route("trap"), TrustIdentifier(self.far.identifier))
        self.assertRaises(PeerNotTrusted, self.network.result, attempt)
        self.assertEqual(len(self.nearLink.toServer.recorded), 1)

    def test_no_answer(self) -> None:
        """
        A relay that swallows the handshake costs 10 seconds.
        """
        self.farLink.toClient.held = True
        attempt = self.near.createChannel(self.road, TrustIdentifier(self.far.identifier))
        self.network.advance(11)
        self.failureResultOf(attempt, TimedOut)

    def test_name_theft(self) -> None:
        """
        Nobody else can register the outlet's name, with or without proof.
        """
        thief = MemoryNode(self.network, "thief")
        link = thief.connect(self.relay)
        proven = self.network.result(thief.createChannel(link.route("api"), TrustEveryone()))
        for route in (link.route(), Route((proven.encryptor,))):
            for name in (str(self.far.identifier), str(self.far.identifier).upper().replace("I", "i", 1)):
                client = RelayClient(thief.router, self.network.clock, route, name)
                attempt = client.register()
                self.network.advance(11)
                self.failureResultOf(attempt, TimedOut)
        self.send(b"still mine")
        self.assertEqual(self.arrived(), [b"still mine"])

    def test_road_lost(self) -> None:
        """
        The channel ends with the connection below it, and so does all that
        is built on it.
        """
        self.nearLink.cut()
        self.network.pump()
        self.successResultOf(self.channel.whenLost())

    def test_closed(self) -> None:
        """
        Close ends the channel at the other side, too.
        """
        self.channel.close()
        self.network.pump()
        self.assertEqual(len(self.listener.channels), 0)
