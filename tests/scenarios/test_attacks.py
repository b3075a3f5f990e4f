"""
Attacks on trust, written as the attacker, on a network in memory; what a
hostile relay can do to records is in L{tests.scenarios.test_hostile_relay}.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from ockam_twisted.authority.answers import TOKEN_ACCEPTOR
from ockam_twisted.errors import OckamError, PeerNotTrusted
from ockam_twisted.identity.creation import attestSecureChannelKey
from ockam_twisted.identity.purpose_keys import Attestation, attestationData
from ockam_twisted.identity.trust import TrustEveryone, TrustIdentifier
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.services.hop import HopService
from ockam_twisted.testing import MemoryNode
from ockam_twisted.wire.api import OK
from ockam_twisted.wire.authority import encodeCode
from tests.authority.common import AuthorityTestCase


class IdentityTests(AuthorityTestCase):
    """
    Who is at the other end.
    """

    def between(self, name: str = "mallory") -> MemoryNode:
        """
        Mallory's node, which passes on whatever it gets.
        """
        mallory = self.node(name)
        HopService(mallory.router, Address.local("hop"), (mallory.transport.listenerId,)).startService()
        return mallory

    def test_connectedStrangers(self) -> None:
        """
        A relay leads Alice, who wants Bob, to Carol, whom Alice even knows
        and who accepts her: Alice does not finish the handshake.
        """
        carol = self.node("carol")
        carol.listen(TrustIdentifier(self.alice.identifier))
        made = self.alice.createChannel(self.alice.connect(carol).route("api"), TrustIdentifier(self.bob.identifier))
        self.network.pump()
        self.failureResultOf(made, PeerNotTrusted)
        self.assertEqual(len(carol.router.peers), 0)

    def test_underAnotherName(self) -> None:
        """
        Unknown key share: Mallory, whom Alice trusts too, attests Bob's
        channel key as her own and passes Alice's handshake on to Bob.  Alice
        does not take Bob for Mallory, and Bob gets no channel that Alice
        takes for one to Mallory.
        """
        mallory = self.between()
        self.listener.stopService()
        self.listener = self.bob.listen(TrustEveryone())
        _, stolen = self.bob.party.staticKey()
        real = self.network.result(
            Deferred.fromCoroutine(attestSecureChannelKey(mallory.vault, mallory.party.identity, mallory.now()))
        )
        data = attestationData(mallory.party.identity.history, stolen, real.createdAt, real.expiresAt)
        signature = self.network.result(mallory.vault.sign(mallory.party.identity.signingKey, data))
        forged = Attestation.build(data, signature).encode()
        self.assertEqual(len(forged), len(real.attestation))
        # Passed on as it is.
        onward = mallory.connect(self.bob)
        near = self.alice.connect(mallory)
        route = Route((*near.route("hop"), onward.route()[0], Address.local("api")))
        # She lets everything through.
        controls, ends = mallory.router.flowControls, (near.server.protocol.address, onward.route()[0])
        for end in ends:
            flowId = controls.producerId(end)
            assert flowId is not None
            for address in (*ends, Address.local("hop")):
                controls.addConsumer(address, flowId)
        honest = self.network.result(self.alice.createChannel(route, TrustIdentifier(self.bob.identifier)))
        honest.close()
        self.network.pump()
        made = self.alice.createChannel(route, TrustIdentifier(mallory.identifier))
        self.network.advance(11)
        self.failureResultOf(made, OckamError)
        self.assertEqual(self.listener.channels, {})
        # With the forged attestation in Mallory's own handshake: she does not
        # have the key that it names.
        mallory.party.purposeKey = type(real)(real.key, real.publicKey, forged, real.createdAt, real.expiresAt)
        mallory.listen(TrustEveryone())
        made = self.alice.createChannel(near.route("api"), TrustIdentifier(mallory.identifier))
        self.network.pump()
        self.failureResultOf(made, OckamError)

    def test_replayedEnrolment(self) -> None:
        """
        Somebody has recorded every byte of Alice's enrolment and plays it to
        Bob again, from a connection of their own, after Alice was removed: a
        code for two could be used once more.
        """
        code = self.code(uses=2)
        hop = self.alice.connect(self.bob)
        hop.toServer.record = True
        channel = self.network.result(self.alice.createChannel(hop.route("api"), TrustIdentifier(self.bob.identifier)))
        self.assertEqual(self.successResultOf(self.ask(channel, TOKEN_ACCEPTOR, encodeCode(code))).status, OK)
        self.successResultOf(self.authority.removeMember(self.alice.identifier))
        self.network.pump()
        mallory = self.node("mallory")
        again = mallory.connect(self.bob)
        self.assertGreater(len(hop.toServer.recorded), 2)
        for frame in hop.toServer.recorded:
            again.toServer.inject(frame)
            self.network.pump()
        self.network.advance(11)
        self.assertEqual(self.authority.members(), [])


class RelayChannelTests(AuthorityTestCase):
    """
    The channel by which an outlet proves itself to a relay.
    """

    def test_intoTheOutlet(self) -> None:
        """
        A relay, or whoever it lets, sends a message to C{outlet} through the
        registrant's own channel to the relay: it is not from a channel of
        the outlet's listener, and arrives nowhere.
        """
        relay = self.node("relay")
        relay.listen(TrustEveryone())
        outlet = self.bob.inbox("outlet", self.listener.flowId)
        hop = self.bob.connect(relay)
        channel = self.network.result(self.bob.createChannel(hop.route("api"), TrustEveryone()))
        # What a registration makes reachable from there.
        for name in ("api", "echo"):
            self.bob.router.flowControls.addConsumer(Address.local(name), channel.flowId)
        [peer] = relay.router.peers.ofIdentifier(str(self.bob.identifier))
        source = relay.inbox("source")
        for worker in ("outlet", TOKEN_ACCEPTOR, "credential_issuer", "direct_authenticator"):
            with relay.router.turn:
                relay.router.route(
                    LocalMessage(Route((peer.encryptor, Address.local(worker))), Route((source.address,)), b"\x00"),
                    source.address,
                )
            self.network.pump()
        self.assertEqual((outlet.messages, source.messages), ([], []))
        self.assertFalse(channel.hasEnded)
