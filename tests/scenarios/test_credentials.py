"""
Tests for credentials in channels: presented in the handshake, and anew later
(spec identity, sections 6.4 and 6.11).
"""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred

from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.identity.creation import attestCredentialKey, issueCredential
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.testing import EPOCH, MemoryNode
from ockam_twisted.wire.channel import encodeRefresh
from tests.channels.common import ChannelTestCase


class CredentialTests(ChannelTestCase):
    """
    Bob accepts credentials of Carol's; Alice may have one.
    """

    def setUp(self) -> None:
        """
        An authority, and somebody who says the same without being one.
        """
        super().setUp()
        self.carol = MemoryNode(self.network, "carol")
        self.mallory = MemoryNode(self.network, "mallory")
        history = self.carol.party.identity.history
        self.bob.party = evolve(self.bob.party, authorities={history.identifier: history})
        self.listener._party = self.bob.party

    def issued(self, issuer: MemoryNode, subject: MemoryNode, role: bytes, lifetime: int = 600) -> bytes:
        """
        A credential, encoded.
        """

        async def issue() -> bytes:
            party = issuer.party
            key = await attestCredentialKey(party.vault, party.identity, EPOCH)
            identifier = subject.identifier
            credential = await issueCredential(party.vault, key, identifier, {b"role": role}, EPOCH, lifetime)
            return credential.encode()

        return self.network.result(Deferred.fromCoroutine(issue()))

    def presenting(self, credential: bytes) -> tuple[SecureChannel, SecureChannel]:
        """
        A channel whose initiator presents that.
        """
        self.alice.party = evolve(self.alice.party, credential=credential)
        return self.channel()

    def attributes(self, channel: SecureChannel) -> dict[bytes, bytes] | None:
        """
        What counts of the peer.
        """
        return None if channel.credential is None else dict(channel.credential.attributes)

    def test_handshake(self) -> None:
        """
        What an authority says of the initiator is known to the responder; an
        initiator without authorities ignores what is said.
        """
        mine, theirs = self.presenting(self.issued(self.carol, self.alice, b"member"))
        self.assertEqual(self.attributes(theirs), {b"role": b"member"})
        self.assertIsNone(mine.credential)

    def test_responder(self) -> None:
        """
        A responder presents one, too.
        """
        self.listener._party = evolve(self.bob.party, credential=self.issued(self.carol, self.bob, b"service"))
        self.alice.party = evolve(self.alice.party, authorities=self.bob.party.authorities)
        mine, theirs = self.channel()
        self.assertEqual((self.attributes(mine), theirs.credential), ({b"role": b"service"}, None))

    def test_refused(self) -> None:
        """
        Somebody else's, one by nobody we know, and one that has expired do
        not count; the channel is made all the same, and the log says why.
        """
        for credential, why in (
            (self.issued(self.carol, self.mallory, b"member"), "not of"),
            (self.issued(self.mallory, self.alice, b"member"), "no authority here"),
            (self.issued(self.carol, self.alice, b"member", -600), "credential"),
        ):
            self.logged.clear()
            _, theirs = self.presenting(credential)
            self.assertIsNone(theirs.credential)
            self.assertIn(why, "".join(self.lines()))
            self.assertIn("does not count", "".join(self.lines()))

    def test_refresh(self) -> None:
        """
        A new one replaces the old one.
        """
        mine, theirs = self.presenting(self.issued(self.carol, self.alice, b"guest"))
        history = self.alice.party.identity.history.encode()
        mine.presentCredential(history, self.issued(self.carol, self.alice, b"member"))
        self.network.pump()
        self.assertEqual(self.attributes(theirs), {b"role": b"member"})
        self.assertEqual(self.lines(), [])

    def test_refreshRefused(self) -> None:
        """
        One that proves nothing changes nothing; the channel goes on.
        """
        mine, theirs = self.presenting(self.issued(self.carol, self.alice, b"guest"))
        history = self.alice.party.identity.history.encode()
        other = self.mallory.party.identity.history.encode()
        good = self.issued(self.carol, self.alice, b"member")
        for refresh in (
            encodeRefresh(history, [self.issued(self.mallory, self.alice, b"member")]),
            encodeRefresh(history, [self.issued(self.carol, self.mallory, b"member")]),
            encodeRefresh(other, [good]),
            encodeRefresh(history, [good, good]),
            encodeRefresh(history[:-1] + bytes([history[-1] ^ 1]), [good]),
        ):
            mine.sendPlaintext(refresh)
            self.network.pump()
            self.assertEqual(self.attributes(theirs), {b"role": b"guest"})
        self.assertFalse(theirs.hasEnded)
        self.assertEqual(len(self.lines()), 1)

    def test_withoutAuthorities(self) -> None:
        """
        Who accepts no authority verifies the history and ignores the rest.
        """
        mine, theirs = self.presenting(self.issued(self.carol, self.alice, b"member"))
        theirs.presentCredential(
            self.bob.party.identity.history.encode(), self.issued(self.carol, self.bob, b"service")
        )
        self.network.pump()
        self.assertIsNone(mine.credential)
        self.assertEqual(self.lines(), [])

    def test_strangersAreNotStored(self) -> None:
        """
        The history of somebody of whom nothing is known is not stored.
        """
        self.listener._trust = TrustEveryone()
        stranger = MemoryNode(self.network, "stranger")
        hop = stranger.connect(self.bob)
        channel = self.network.result(stranger.createChannel(hop.route("api"), TrustEveryone()))
        channel.presentCredential(
            stranger.party.identity.history.encode(), self.issued(self.carol, stranger, b"member")
        )
        self.network.pump()
        self.assertIsNone(self.bob.store.changeHistory(stranger.identifier))
