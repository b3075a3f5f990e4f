"""
Two nodes that have a way between them, and a NAT each.
"""

from __future__ import annotations

from typing import Any

from ockam_twisted.identity.trust import TrustIdentifier
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.attempt import SETTLE_TIMEOUT, Walk, WayAttempt
from ockam_twisted.sessions.life import Established
from ockam_twisted.sessions.negotiation import NegotiationService, Punctures
from ockam_twisted.testing import MemoryNetwork, MemoryNode
from tests.channels.common import ChannelTestCase
from tests.transports.nats import MEETING, NAT, Rendezvous
from tests.transports.test_quic import Network


class DirectTestCase(ChannelTestCase):
    """
    Alice has a way to Bob, who answers those who ask for a direct one.

    @ivar open: Network with the sockets of both, whose time is everybody's.
    @ivar negotiation: Bob's.
    @ivar nats: Alice's and Bob's.
    """

    def setUp(self) -> None:
        """
        Two nodes, two NATs and a rendezvous.
        """
        super().setUp()
        self.network = MemoryNetwork()
        self.open = self.network.clock = Network()
        self.rendezvous = Rendezvous(self.open)
        self.alice, self.bob = MemoryNode(self.network, "alice"), MemoryNode(self.network, "bob")
        self.listener = self.bob.listen(TrustIdentifier(self.alice.identifier))
        self.bob.inbox("echo", self.listener.flowId, self.bob.transport.listenerId, echo=True)
        self.walk = Walk(
            self.alice.router,
            self.network.clock,
            self.alice.transport,
            lambda: self.alice.party,
            lambda road: self.network.endpoint(str(road[0][1])),
        )
        self.nats = [NAT(self.open, "192.0.2.1"), NAT(self.open, "203.0.113.1")]
        self.punctures, self.theirs = (Punctures(nat, MEETING) for nat in self.nats)
        self.negotiation = NegotiationService(self.theirs, self.bob.router, self.bob.transport, (self.listener.flowId,))
        self.negotiation.startService()
        self.addCleanup(lambda: self.negotiation.running and self.negotiation.stopService())

    def _logged(self, event: Any) -> None:
        self.logged.append(event)

    def attempt(self) -> WayAttempt:
        """
        What makes the way that there is at first.
        """
        way = MultiAddr.fromText("/dnsaddr/bob/tcp/4000/secure/api/service/outlet")
        return WayAttempt(self.walk, way, TrustIdentifier(self.bob.identifier))

    def way(self) -> Established:
        """
        Make it.
        """
        result = self.attempt().start()
        self.network.advance(SETTLE_TIMEOUT)
        return self.successResultOf(result)
