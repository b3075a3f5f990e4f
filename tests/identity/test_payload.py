"""
Tests for L{ockam_twisted.identity.payload}.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import IdentityRefused, PeerNotTrusted, RemoteProtocolError
from ockam_twisted.identity.creation import (
    Identity,
    attestCredentialKey,
    attestSecureChannelKey,
    issueCredential,
    rotateIdentity,
)
from ockam_twisted.identity.credentials import CredentialAndPurposeKey
from ockam_twisted.identity.history import ChangeHistory, ReceivedHistory
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.payload import MAX_ENROLLING_CHANGES, IdentityPayload, verifyPayload
from ockam_twisted.identity.purpose_keys import Attestation
from ockam_twisted.identity.trust import TrustCredential, TrustEveryone, TrustIdentifier, TrustIdentifiers
from ockam_twisted.vault.primitives import Signature
from ockam_twisted.vault.software import SoftwareVault
from tests.identity.samples import ATTESTATIONS, NOW, VECTORS, fresh, history, run

HANDSHAKE: dict[str, Any] = VECTORS["derived"]["ockam_handshake"]
ISSUER = history("example_credentials_exchange_issuer")


def nothing(identifier: Identifier) -> bytes | None:
    """
    Nobody is known.
    """
    return None


class VectorTests(SynchronousTestCase):
    """
    The payloads of the handshake in the vectors.
    """

    def test_verify(self) -> None:
        """
        Both verify with the keys of their handshake; the credential counts
        where its issuer is an authority.
        """
        for message, name, credentials in (
            ("message_2_payload", "secure_channel_server", 0),
            ("message_3_payload", "secure_channel_client", 1),
        ):
            vector = ATTESTATIONS[name]
            data = bytes.fromhex(HANDSHAKE[message])
            static = bytes.fromhex(vector["x25519_public"])
            subject = Identifier(vector["subject"])
            self.assertEqual(IdentityPayload.decode(data).encode(), data)
            peer = verifyPayload(data, NOW, nothing, TrustIdentifier(subject), static, {ISSUER.identifier: ISSUER})
            self.assertEqual((peer.identifier, peer.historyIsNewer), (subject, True))
            self.assertEqual(peer.expiresAt, vector["expires_at"])
            self.assertEqual(ReceivedHistory.decode(peer.history).latest.hash, peer.latestChangeHash)
            self.assertEqual(peer.credential is not None, bool(credentials))
            self.assertIsNone(peer.credentialRefused)

    def test_sampledBits(self) -> None:
        """
        With any one of sampled bits changed the payload is refused, or just
        its credential does not count.
        """
        data = bytes.fromhex(HANDSHAKE["message_3_payload"])
        vector = ATTESTATIONS["secure_channel_client"]
        static = bytes.fromhex(vector["x25519_public"])
        for bit in range(0, len(data) * 8, 5):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            try:
                peer = verifyPayload(bytes(changed), NOW, nothing, TrustEveryone(), static, {ISSUER.identifier: ISSUER})
            except RemoteProtocolError:
                continue
            self.assertIsNone(peer.credential)
            self.assertTrue(peer.credentialRefused)
            self.assertEqual(peer.identifier, vector["subject"])


class VerifyTests(SynchronousTestCase):
    """
    What the receiver checks.
    """

    def setUp(self) -> None:
        self.vault = SoftwareVault()
        self.peer = fresh(self.vault)
        self.key = run(attestSecureChannelKey(self.vault, self.peer, NOW))
        assert isinstance(self.key.publicKey, bytes)
        self.static: bytes = self.key.publicKey

    def payload(self, *credentials: CredentialAndPurposeKey, of: Identity | None = None) -> IdentityPayload:
        """
        A right one.
        """
        return IdentityPayload((of or self.peer).history, Attestation.decode(self.key.attestation), credentials)

    def credential(self, authority: Identity, now: int = NOW) -> CredentialAndPurposeKey:
        """
        A credential of the peer.
        """
        key = run(attestCredentialKey(self.vault, authority, now))
        return run(issueCredential(self.vault, key, self.peer.identifier, {b"a": b"1"}, now, 10))

    def test_otherKey(self) -> None:
        """
        The attested key has to be the one of the handshake, and be one for
        secure channels.
        """
        data = self.payload().encode()
        verifyPayload(data, NOW, nothing, TrustEveryone(), self.static)
        self.assertRaises(IdentityRefused, verifyPayload, data, NOW, nothing, TrustEveryone(), bytes(32))
        wrong = run(attestCredentialKey(self.vault, self.peer, NOW))
        data = evolve(self.payload(), attestation=Attestation.decode(wrong.attestation)).encode()
        self.assertRaises(IdentityRefused, verifyPayload, data, NOW, nothing, TrustEveryone(), self.static)

    def test_expired(self) -> None:
        """
        An attestation that has ended is refused.
        """
        data = self.payload().encode()
        verifyPayload(data, self.key.expiresAt, nothing, TrustEveryone(), self.static)
        self.assertRaises(
            IdentityRefused, verifyPayload, data, self.key.expiresAt + 1, nothing, TrustEveryone(), self.static
        )

    def test_strangersCostNothing(self) -> None:
        """
        Who is not trusted is refused before any signature is looked at, or
        anything stored.
        """
        asked: list[Identifier] = []

        def known(identifier: Identifier) -> bytes | None:
            asked.append(identifier)
            return None

        first = evolve(self.peer.history.latest, signature=Signature(0, bytes(64)))
        data = evolve(self.payload(), history=ReceivedHistory((first,))).encode()
        self.assertRaises(PeerNotTrusted, verifyPayload, data, NOW, known, TrustIdentifiers([]), self.static)
        self.assertEqual(asked, [])
        # Trusted, the same is found out to be a forgery.
        trust = TrustIdentifier(self.peer.identifier)
        self.assertRaises(IdentityRefused, verifyPayload, data, NOW, known, trust, self.static)

    def rotate(self, times: int) -> Identity:
        """
        The peer changes its key so often.
        """
        for _ in range(times):
            self.peer = run(rotateIdentity(self.vault, self.peer, NOW))
        self.key = run(attestSecureChannelKey(self.vault, self.peer, NOW))
        assert isinstance(self.key.publicKey, bytes)
        self.static = self.key.publicKey
        return self.peer

    def verified(self) -> list[object]:
        """
        @return: Will have what histories were verified.
        """
        verified: list[object] = []
        verify = ReceivedHistory.verify

        def noted(history: ReceivedHistory, expected: Identifier | None = None) -> ChangeHistory:
            verified.append(history)
            return verify(history, expected)

        self.patch(ReceivedHistory, "verify", noted)
        return verified

    def test_credentialFirst(self) -> None:
        """
        Where a credential decides, who has none that counts, or somebody
        else's, is refused before a history is verified; who has one is
        verified to the end.
        """
        authority, stranger, other = (fresh(self.vault) for _ in range(3))
        authorities = {authority.identifier: authority.history}
        trust = TrustCredential(authority.identifier)
        key = run(attestCredentialKey(self.vault, authority, NOW))
        others = run(issueCredential(self.vault, key, other.identifier, {b"a": b"1"}, NOW, 10))
        good = self.credential(authority)
        forged = evolve(good, credential=evolve(good.credential, signature=Signature(0, bytes(64))))
        self.rotate(2)
        verified = self.verified()
        for presented, why in (
            ((), "no credential that says so"),
            ((self.credential(stranger),), "who is no authority here"),
            ((others,), "not of"),
            ((forged,), "the signature of a credential is wrong"),
        ):
            data = self.payload(*presented).encode()
            error = self.assertRaises(
                PeerNotTrusted, verifyPayload, data, NOW, nothing, trust, self.static, authorities
            )
            self.assertIn(why, str(error))
            self.assertEqual(error.identifier, str(self.peer.identifier))
        self.assertEqual(verified, [])
        peer = verifyPayload(self.payload(good).encode(), NOW, nothing, trust, self.static, authorities)
        assert peer.credential is not None
        self.assertEqual((len(verified), peer.credential.authority), (1, authority.identifier))

    def test_credentialIsNotEnough(self) -> None:
        """
        With a right credential everything else has to be right, too: the
        history, the key of the handshake, and what attests it.
        """
        authority = fresh(self.vault)
        authorities = {authority.identifier: authority.history}
        trust = TrustCredential(authority.identifier)
        good = self.payload(self.credential(authority))
        mallory = fresh(self.vault)
        hers = run(attestSecureChannelKey(self.vault, mallory, NOW))
        assert isinstance(hers.publicKey, bytes)
        first = evolve(self.peer.history.latest, signature=Signature(0, bytes(64)))
        forgedHistory = evolve(good, history=ReceivedHistory((first,)))
        otherAttestation = evolve(good, attestation=Attestation.decode(hers.attestation))
        forgedAttestation = evolve(good, attestation=evolve(good.attestation, signature=Signature(0, bytes(64))))
        for payload, static in (
            (forgedHistory, self.static),
            (otherAttestation, hers.publicKey),
            (forgedAttestation, self.static),
            (good, hers.publicKey),
        ):
            self.assertRaises(
                IdentityRefused, verifyPayload, payload.encode(), NOW, nothing, trust, static, authorities
            )
        verifyPayload(good.encode(), NOW, nothing, trust, self.static, authorities)

    def test_enrolment(self) -> None:
        """
        Who is accepted for enrolment only may have a few changes, unless it
        is known; who is accepted anyway may have as many as there may be.
        """
        verified = self.verified()
        nobody, everyone = TrustIdentifiers([]), TrustEveryone()
        before = self.peer.history.encode()
        self.rotate(MAX_ENROLLING_CHANGES - 1)
        verifyPayload(self.payload().encode(), NOW, nothing, nobody, self.static, enrolment=everyone)
        self.rotate(1)
        del verified[:]
        data = self.payload().encode()
        error = self.assertRaises(
            IdentityRefused, verifyPayload, data, NOW, nothing, nobody, self.static, enrolment=everyone
        )
        self.assertIn("too often to enrol", str(error))
        self.assertEqual(verified, [])
        verifyPayload(data, NOW, lambda _: before, nobody, self.static, enrolment=everyone)
        one = TrustIdentifier(self.peer.identifier)
        peer = verifyPayload(data, NOW, nothing, one, self.static, enrolment=everyone)
        self.assertEqual(peer.identifier, self.peer.identifier)

    def test_known(self) -> None:
        """
        Equal histories need not be stored, newer ones need to, older ones and
        ones in conflict are refused.
        """
        rotated = run(rotateIdentity(self.vault, self.peer, NOW))
        other = run(rotateIdentity(self.vault, self.peer, NOW))

        def check(stored: Identity) -> bool:
            history = stored.history.encode()
            data = self.payload(of=presented).encode()
            return verifyPayload(data, NOW, lambda _: history, TrustEveryone(), self.static).historyIsNewer

        presented = self.peer
        self.assertFalse(check(self.peer))
        self.assertRaises(IdentityRefused, check, rotated)
        presented = rotated
        self.key = run(attestSecureChannelKey(self.vault, rotated, NOW))
        assert isinstance(self.key.publicKey, bytes)
        self.static = self.key.publicKey
        self.assertTrue(check(self.peer))
        self.assertFalse(check(rotated))
        self.assertRaises(IdentityRefused, check, other)

    def test_credentials(self) -> None:
        """
        A credential counts, is reported as refused, or is ignored where there
        are no authorities; the channel is established in each case.
        """
        authority, stranger = fresh(self.vault), fresh(self.vault)
        authorities = {authority.identifier: authority.history}
        good, bad = self.credential(authority), self.credential(stranger)
        late = NOW + 11
        for credential, now, counts, refused in (
            (good, NOW, True, False),
            (good, late, False, True),
            (bad, NOW, False, True),
        ):
            data = self.payload(credential).encode()
            peer = verifyPayload(data, now, nothing, TrustEveryone(), self.static, authorities)
            self.assertEqual(peer.credential is not None, counts)
            self.assertEqual(peer.credentialRefused is not None, refused)
        peer = verifyPayload(self.payload(bad).encode(), NOW, nothing, TrustEveryone(), self.static)
        self.assertEqual((peer.credential, peer.credentialRefused), (None, None))

    def test_severalCredentials(self) -> None:
        """
        More than one credential is refused.
        """
        credential = self.credential(fresh(self.vault))
        data = self.payload(credential, credential).encode()
        self.assertRaises(IdentityRefused, IdentityPayload.decode, data)

    def test_fields(self) -> None:
        """
        Fields that a newer version may add are skipped; one too few is an
        error, and so is a field that is announced and not there.
        """
        data = self.payload().encode()
        self.assertEqual(IdentityPayload.decode(b"\x84" + data[1:] + b"\x81\x18\x64").encode(), data)
        self.assertEqual(IdentityPayload.decode(b"\x85" + data[1:] + b"\xf6\x60").encode(), data)
        for wrong in (b"\x82" + data[1:], b"\x84" + data[1:], data + b"\xf6", b"\x9a\xff\xff\xff\xff" + data[1:]):
            self.assertRaises(RemoteProtocolError, IdentityPayload.decode, wrong)

    def test_tooLong(self) -> None:
        """
        A payload above the size of a handshake message is not looked at.
        """
        self.assertRaises(RemoteProtocolError, IdentityPayload.decode, self.payload().encode() + bytes(65536))

    @given(st.binary(max_size=400))
    @settings(deadline=None, max_examples=200, derandomize=True)
    def test_fuzz(self, data: bytes) -> None:
        """
        Any bytes are refused with an error of ours.
        """
        self.assertRaises(RemoteProtocolError, IdentityPayload.decode, data)
