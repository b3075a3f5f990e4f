"""
Tests for L{ockam_twisted.relays.rechecks}.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from ockam_twisted.relays.service import RelayService
from tests.relays.common import Registrant, RelayTestCase


class PrivateTests(RelayTestCase):
    """
    A relay that asks who may have which name.
    """

    def setUp(self) -> None:
        super().setUp()
        self.service.stopService()
        self.welcome: set[str] = set()
        self.service = RelayService(
            router=self.relay.router,
            clock=self.network.clock,
            names=self.relay.store,
            now=self.relay.now,
            consumerIds=(self.relay.transport.listenerId, self.listener.flowId),
            admits=lambda peer, name: "" if peer.identifier in self.welcome else "it is not welcome",
        )
        self.service.startService()
        self.addCleanup(lambda: self.service.running and self.service.stopService())

    def welcomed(self, name: str) -> Registrant:
        """
        A registrant that may have a name.
        """
        made = self.somebody(name)
        self.welcome.add(str(made.node.identifier))
        return made

    def test_removed(self) -> None:
        """
        Whoever is welcome no more loses every name at once, also one of the
        relay's choice, which is nobody's.
        """
        bob = self.welcomed("bob")
        bob.gets("shop", direct=True)
        bob.gets(None)
        self.assertEqual(len(self.service.relays), 2)
        self.welcome.clear()
        self.service.recheck(str(bob.node.identifier))
        self.assertEqual(self.service.relays, {})

    def test_peerChanged(self) -> None:
        """
        What was granted by a credential ends with the credential, also when
        the channel that it was presented over is gone.
        """
        bob = self.welcomed("bob")
        bob.gets("shop", direct=True)
        [relay] = self.service.relays.values()
        self.welcome.clear()
        self.relay.router.peers.changed(relay.claim.back[0])
        self.assertEqual(self.service.relays, {})
        self.welcomed("bob2").gets("shop2", direct=True)
        self.welcome.clear()
        self.network.advance(31)
        self.assertEqual(self.service.relays, {})

    def test_removedMeanwhile(self) -> None:
        """
        Who is removed while its name is being stored does not get it.
        """
        bob = self.welcomed("bob")
        storing: Deferred[None] = Deferred()
        self.patch(self.relay.store, "storeOwner", lambda *arguments: storing)
        bob.ask("shop")
        self.welcome.clear()
        storing.callback(None)
        self.network.pump()
        self.assertEqual(self.service.relays, {})
