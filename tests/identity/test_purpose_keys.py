"""
Tests for L{ockam_twisted.identity.purpose_keys}.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import IdentityRefused, RemoteProtocolError
from ockam_twisted.identity.creation import Identity, rotateIdentity
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.purpose_keys import Attestation, attestationData
from ockam_twisted.identity.signed import CLOCK_SKEW
from ockam_twisted.vault.primitives import VerifyingKey
from ockam_twisted.vault.software import SoftwareVault
from tests.identity.samples import ATTESTATIONS, NOW, fresh, history, known, run

OWNERS = {
    "secure_channel_client": "example_credentials_exchange_client",
    "secure_channel_server": "example_credentials_exchange_server",
    "credential_signing_issuer": "example_credentials_exchange_issuer",
}


class VectorTests(SynchronousTestCase):
    """
    The attestations of the vectors.
    """

    def test_verify(self) -> None:
        """
        Each verifies, is of its stated subject and encodes to the bytes it
        came as.
        """
        self.assertEqual(set(ATTESTATIONS), set(OWNERS))
        for name, vector in ATTESTATIONS.items():
            data = bytes.fromhex(vector["attestation"])
            attestation = Attestation.decode(data)
            attestation.verify(history(OWNERS[name]), NOW)
            self.assertEqual(attestation.encode(), data)
            self.assertEqual(attestation.subject, Identifier(vector["subject"]))
            self.assertEqual(attestation.createdAt, vector["created_at"])
            self.assertEqual(attestation.expiresAt, vector["expires_at"])

    def test_rebuild(self) -> None:
        """
        Each is made again byte for byte with its issuer's secret.
        """
        vault = SoftwareVault()
        for name, vector in ATTESTATIONS.items():
            identity = known(vault, OWNERS[name])
            if "x25519_public" in vector:
                key: bytes | VerifyingKey = bytes.fromhex(vector["x25519_public"])
            else:
                key = VerifyingKey(0, bytes.fromhex(vector["ed25519_public"]))
            data = attestationData(identity.history, key, vector["created_at"], vector["expires_at"])
            signature = self.successResultOf(vault.sign(identity.signingKey, data))
            made = Attestation.build(data, signature)
            self.assertEqual(made.encode().hex(), vector["attestation"])
            self.assertEqual(made.publicKey, key)

    def test_everyBit(self) -> None:
        """
        One with any one bit changed is refused.
        """
        data = bytes.fromhex(ATTESTATIONS["secure_channel_client"]["attestation"])
        owner = history(OWNERS["secure_channel_client"])
        for bit in range(len(data) * 8):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            with self.assertRaises(RemoteProtocolError):
                Attestation.decode(bytes(changed)).verify(owner, NOW)


class VerifyTests(SynchronousTestCase):
    """
    What an attestation has to fulfil.
    """

    def setUp(self) -> None:
        self.vault = SoftwareVault()
        self.identity = fresh(self.vault)

    def attest(self, createdAt: int = NOW, expiresAt: int = NOW + 1000, by: Identity | None = None) -> Attestation:
        """
        A rightly signed one.
        """
        by = by or self.identity
        data = attestationData(by.history, bytes(32), createdAt, expiresAt)
        return Attestation.build(data, self.successResultOf(self.vault.sign(by.signingKey, data)))

    def test_time(self) -> None:
        """
        It counts from a minute before its creation until the very second of
        its expiry.
        """
        attestation = self.attest(NOW + 500)
        for now in (NOW + 500 - CLOCK_SKEW, NOW + 500, NOW + 1000):
            attestation.verify(self.identity.history, now)
        for now in (NOW + 500 - CLOCK_SKEW - 1, NOW + 1001):
            self.assertRaises(IdentityRefused, attestation.verify, self.identity.history, now)

    def test_withinKey(self) -> None:
        """
        It lies within the time its identity's key is valid, ends included.
        """
        latest = self.identity.history.latest
        self.attest(latest.validFrom, latest.validUntil).verify(self.identity.history, NOW)
        for times in ((latest.validFrom - 1, NOW + 1), (NOW, latest.validUntil + 1)):
            with self.assertRaises(IdentityRefused):
                self.attest(*times).verify(self.identity.history, NOW)

    def test_otherSubject(self) -> None:
        """
        One of somebody else is refused.
        """
        with self.assertRaises(IdentityRefused):
            self.attest(by=fresh(self.vault)).verify(self.identity.history, NOW)

    def test_rotated(self) -> None:
        """
        One by an earlier key is refused, one by the latest accepted.
        """
        rotated = run(rotateIdentity(self.vault, self.identity, NOW))
        self.attest(by=rotated).verify(rotated.history, NOW)
        self.assertRaises(IdentityRefused, self.attest().verify, rotated.history, NOW)

    @given(st.binary(max_size=300))
    @settings(deadline=None, max_examples=200, derandomize=True)
    def test_fuzz(self, data: bytes) -> None:
        """
        Any bytes are refused with an error of ours.
        """
        self.assertRaises(RemoteProtocolError, Attestation.decode, data)
