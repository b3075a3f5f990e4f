"""
Tests for L{ockam_twisted.channels.crowd}.
"""

from __future__ import annotations

from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.channels.crowd import crowd
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.memory import MemoryLink
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.testing import MemoryNode
from tests.channels.common import ChannelTestCase


class CrowdTests(ChannelTestCase):
    """
    Tests for L{crowd}.
    """

    def setUp(self) -> None:
        """
        Bob's listener trusts everybody; a second node is connected with him.
        """
        super().setUp()
        self.listener = self.bob.listen(TrustEveryone(), name="all")
        self.other = MemoryNode(self.network, "other")
        self.link = self.other.connect(self.bob)

    def make(self, node: MemoryNode, link: MemoryLink) -> SecureChannel:
        """
        Make a channel.

        @return: Bob's end.
        """
        before = set(self.listener.channels)
        self.network.result(node.createChannel(link.route("all"), TrustEveryone()))
        [theirs] = set(self.listener.channels) - before
        return theirs

    def test_most(self) -> None:
        """
        It is the connection with most channels, and their order stays.
        """
        first, lonely = self.make(self.alice, self.hop), self.make(self.other, self.link)
        second = self.make(self.alice, self.hop)
        peers = self.bob.router.peers
        self.assertEqual(crowd((first, lonely, second), peers), [first, second])
        self.assertEqual(crowd((second, lonely, first), peers), [second, first])

    def test_tie(self) -> None:
        """
        Connections with as many are not told apart.
        """
        first, second = self.make(self.alice, self.hop), self.make(self.other, self.link)
        self.assertEqual(crowd((first, second), self.bob.router.peers), [first, second])

    def test_nobody(self) -> None:
        """
        Without channels there is no crowd.
        """
        self.assertEqual(crowd((), self.bob.router.peers), [])

    def test_within(self) -> None:
        """
        Channels within others count for the connection below them, however
        many channels they are in.
        """
        lonely = self.make(self.other, self.link)
        inside = Address.local("all")
        self.bob.router.flowControls.addConsumer(inside, self.listener.flowId)
        outer = self.network.result(self.alice.createChannel(self.hop.route("all"), TrustEveryone()))
        for _ in range(2):
            outer = self.network.result(self.alice.createChannel(Route((outer.encryptor, inside)), TrustEveryone()))
        theirs = list(self.listener.channels)
        self.assertEqual(len(theirs), 4)
        self.assertEqual(crowd(theirs, self.bob.router.peers), [each for each in theirs if each is not lonely])
