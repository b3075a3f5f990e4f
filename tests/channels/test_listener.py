"""
Tests for L{ockam_twisted.channels.listener}.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.channels.listener import HANDSHAKE_TIMEOUT, SecureChannelListener
from ockam_twisted.errors import TimedOut
from ockam_twisted.identity.trust import TrustEveryone, TrustIdentifier
from ockam_twisted.interfaces import IWorker
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.testing import MemoryNode
from tests.channels.common import ChannelTestCase


class ListenerTests(ChannelTestCase):
    """
    Listeners and the channels they make.
    """

    def test_interface(self) -> None:
        """
        A listener is a worker.
        """
        verifyObject(IWorker, self.listener)

    def test_channels(self) -> None:
        """
        A listener knows its channels until they end.
        """
        mine, theirs = self.channel()
        self.assertEqual(list(self.listener.channels), [theirs])
        self.assertEqual(theirs.peerIdentifier, self.alice.identifier)
        self.assertEqual(mine.peerIdentifier, self.bob.identifier)
        self.assertEqual((mine.isInitiator, theirs.isInitiator), (True, False))
        mine.close()
        self.network.pump()
        self.assertEqual(self.listener.channels, {})

    def test_severalAddresses(self) -> None:
        """
        One listener answers at several addresses.
        """
        self.listener.stopService()
        names = ("api", "secure_channel_listener")
        addresses = tuple(map(Address.local, names))
        listener = SecureChannelListener(
            self.bob.router, self.network.clock, self.bob.party, TrustEveryone(), addresses
        )
        listener.startService()
        for address in addresses:
            self.bob.router.flowControls.addConsumer(address, self.bob.transport.listenerId)
        for name in names:
            self.network.result(self.alice.createChannel(self.hop.route(name), TrustEveryone()))
        self.assertEqual(len(listener.channels), 2)

    def test_stop(self) -> None:
        """
        A listener that stops closes its channels, gives up handshakes, and
        leaves no address.
        """
        mine, theirs = self.channel()
        self.hop.toClient.held = True
        opening = self.create()
        self.network.pump()
        self.listener.stopService()
        self.hop.toClient.held = False
        self.network.pump()
        self.assertEqual(self.successResultOf(mine.whenLost()), "the peer has closed it")
        self.assertEqual(self.successResultOf(theirs.whenLost()), "we have closed it")
        hop = self.hop.server.protocol
        self.assertEqual(set(self.bob.router._mailboxes), {hop.address, hop.receiver})
        self.successResultOf(opening).close()

    def test_noReturnRoute(self) -> None:
        """
        A message 1 that cannot be answered is dropped.
        """
        source = self.bob.inbox("source")
        self.bob.router.route(LocalMessage(Route.of("api"), Route(), bytes(32)), source.address)
        self.assertEqual(self.listener._unfinished, {})

    def test_oneNode(self) -> None:
        """
        A channel between two workers of one node is one, too.
        """
        node = self.bob
        trust = TrustEveryone()
        listener = node.listen(trust, name="inside")
        channel = self.network.result(node.createChannel(Route.of("inside"), trust))
        source, echo = node.inbox("source"), node.inbox("echo", listener.flowId, echo=True)
        for number in range(3):
            node.send(Route((channel.encryptor, echo.address)), b"%d" % number, source)
        self.assertEqual(echo.payloads, [b"0", b"1", b"2"])
        self.assertEqual(source.payloads, [b"0", b"1", b"2"])
        channel.close()
        self.assertEqual(listener.channels, {})


class LimitTests(ChannelTestCase):
    """
    What a listener does not do for everybody at once.
    """

    def start(self, node: MemoryNode, route: Route) -> Deferred[SecureChannel]:
        """
        Begin a handshake that goes no further than message 2.
        """
        return node.createChannel(route, TrustEveryone())

    def test_timeout(self) -> None:
        """
        A handshake that is not finished in time is forgotten, without a line
        for each.
        """
        self.hop.toClient.held = True
        opening = self.create()
        self.network.advance(HANDSHAKE_TIMEOUT - 1)
        self.assertEqual(len(self.listener._unfinished), 1)
        self.network.advance(1)
        self.failureResultOf(opening, TimedOut)
        self.assertEqual(self.listener._unfinished, {})
        self.assertEqual(self.lines(), [])
        self.hop.toClient.held = False
        self.network.pump()
        self.assertEqual(self.listener.channels, {})

    def test_perSource(self) -> None:
        """
        Of too many handshakes over one connection the oldest is given up,
        never the new one refused; other connections do not notice.
        """
        other = MemoryNode(self.network, "other")
        hop = other.connect(self.bob)
        listener = self.bob.listen(TrustEveryone(), name="few", maxUnfinishedPerSource=3)
        hop.toClient.held = self.hop.toClient.held = True
        others = self.start(other, hop.route("few"))
        first = self.start(self.alice, self.hop.route("few"))
        self.network.pump()
        self.assertEqual(len(listener._unfinished), 2)
        later = [self.start(self.alice, self.hop.route("few")) for _ in range(3)]
        self.network.pump()
        self.assertEqual(len(listener._unfinished), 4)
        hop.toClient.held = self.hop.toClient.held = False
        self.network.pump()
        for opening in (first, *later, others):
            self.successResultOf(opening)
        self.assertEqual(len(listener.channels), 4)

    def test_total(self) -> None:
        """
        The same for all connections together.
        """
        listener = self.bob.listen(TrustEveryone(), name="few", maxUnfinished=3)
        self.hop.toClient.held = True
        openings = [self.start(self.alice, self.hop.route("few")) for _ in range(5)]
        self.network.pump()
        self.assertEqual(len(listener._unfinished), 3)
        self.hop.toClient.held = False
        self.network.pump()
        for opening in openings:
            self.successResultOf(opening)
        self.assertEqual(len(listener.channels), 3)
        self.assertEqual(self.lines(), [])

    def test_madeUpSources(self) -> None:
        """
        Whoever makes up what is behind its connection to look like many drops
        its own handshakes, not those of others.
        """
        listener = self.bob.listen(TrustEveryone(), name="few", maxUnfinished=8)
        other = MemoryNode(self.network, "other")
        hop = other.connect(self.bob)
        hop.toClient.held = True
        opening = self.start(other, hop.route("few"))
        self.network.pump()
        source = self.alice.inbox("alice's")
        for number in range(50):
            back = Route.of(f"client {number}", "initiator")
            self.alice.router.route(LocalMessage(self.hop.route("few"), back, bytes([9] * 32)), source.address)
        self.network.pump()
        self.assertEqual(len(listener._unfinished), 8)
        hop.toClient.held = False
        self.network.pump()
        self.successResultOf(opening)
        self.assertEqual([channel.peerIdentifier for channel in listener.channels], [other.identifier])

    def test_behindARelay(self) -> None:
        """
        Of those behind one relay each has its own limit.
        """
        listener = self.bob.listen(TrustEveryone(), name="few", maxUnfinishedPerSource=3)
        source = self.alice.inbox("alice's")
        for number in range(20):
            back = Route.of(f"client {number % 2}", f"initiator {number}")
            self.alice.router.route(LocalMessage(self.hop.route("few"), back, bytes([9] * 32)), source.address)
        self.network.pump()
        self.assertEqual(len(listener._unfinished), 6)

    def test_channels(self) -> None:
        """
        Above the limit of channels one that says nothing is closed; those
        that are used stay.
        """
        listener = self.bob.listen(TrustEveryone(), name="few", maxChannels=3)
        inbox, source = self.bob.inbox("bob's", listener.flowId), self.alice.inbox("alice's")

        def make() -> SecureChannel:
            return self.network.result(self.alice.createChannel(self.hop.route("few"), TrustEveryone()))

        def use(channel: SecureChannel) -> None:
            self.alice.send(Route((channel.encryptor, inbox.address)), b"x", source)
            self.network.pump()

        busy, silent, third = make(), make(), make()
        use(busy)
        fourth = make()
        self.assertEqual([each.hasEnded for each in (busy, silent, third, fourth)], [False, True, False, False])
        self.assertEqual(self.successResultOf(silent.whenLost()), "the peer has closed it")
        for channel in (busy, third, fourth):
            use(channel)
        make()
        self.assertEqual(len(listener.channels), 3)

    def test_crowd(self) -> None:
        """
        Whoever makes many channels, and uses all of them, loses its own;
        silent ones of another connection stay.
        """
        listener = self.bob.listen(TrustEveryone(), name="few", maxChannels=4)
        inbox, source = self.bob.inbox("bob's", listener.flowId), self.alice.inbox("alice's")
        other = MemoryNode(self.network, "other")
        link = other.connect(self.bob)
        silent = [self.network.result(other.createChannel(link.route("few"), TrustEveryone())) for _ in range(2)]
        made: list[SecureChannel] = []
        for _ in range(8):
            made.append(self.network.result(self.alice.createChannel(self.hop.route("few"), TrustEveryone())))
            for channel in made:
                if not channel.hasEnded:
                    self.alice.send(Route((channel.encryptor, inbox.address)), b"x", source)
            self.network.pump()
        self.assertEqual([each.hasEnded for each in silent], [False, False])
        self.assertEqual([each.hasEnded for each in made].count(False), 2)
        self.assertFalse(made[-1].hasEnded)

    def test_enrolments(self) -> None:
        """
        The same for channels of those who may only enrol: the oldest one of
        the connection with most of them is closed.
        """
        listener = self.bob.listen(
            TrustIdentifier(self.alice.identifier), name="few", maxUnfinished=3, enrolment=TrustEveryone()
        )
        honest, greedy = MemoryNode(self.network, "honest"), MemoryNode(self.network, "greedy")
        links = [node.connect(self.bob) for node in (honest, greedy)]
        first = self.network.result(honest.createChannel(links[0].route("few"), TrustEveryone()))
        many = [self.network.result(greedy.createChannel(links[1].route("few"), TrustEveryone())) for _ in range(5)]
        self.assertFalse(first.hasEnded)
        self.assertEqual([each.hasEnded for each in many], [True, True, True, False, False])
        self.assertEqual(listener.channels, {})
