"""
Tests for L{ockam_twisted.identity.credentials}.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError, IdentityRefused, RemoteProtocolError
from ockam_twisted.identity.creation import (
    Identity,
    PurposeKey,
    attestCredentialKey,
    attestSecureChannelKey,
    issueCredential,
)
from ockam_twisted.identity.credentials import (
    MAX_ATTRIBUTES,
    Credential,
    CredentialAndPurposeKey,
    credentialData,
)
from ockam_twisted.identity.history import ReceivedHistory
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.purpose_keys import Attestation
from ockam_twisted.identity.signed import CLOCK_SKEW
from ockam_twisted.vault.primitives import ED25519, P256
from ockam_twisted.vault.software import SoftwareVault
from ockam_twisted.wire.cbor import Reader
from tests.identity.samples import ATTESTATIONS, NOW, VECTORS, fresh, history, run

VECTOR: dict[str, Any] = VECTORS["derived"]["credential_and_purpose_key"]
ISSUER = history("example_credentials_exchange_issuer")


class VectorTests(SynchronousTestCase):
    """
    The credentials of the vectors.
    """

    def test_verify(self) -> None:
        """
        It verifies against its issuer, with the stated contents.
        """
        both = CredentialAndPurposeKey.decode(bytes.fromhex(VECTOR["cbor"]))
        subject = Identifier(VECTOR["subject"])
        verified = both.verify({ISSUER.identifier: ISSUER}, NOW, subject)
        self.assertEqual((verified.subject, verified.authority), (subject, ISSUER.identifier))
        self.assertEqual(verified.attributes, ((b"cluster", b"production"),))
        self.assertEqual(verified.createdAt, VECTOR["created_at"])
        self.assertEqual(verified.expiresAt, VECTOR["expires_at"])
        self.assertEqual(both.credential.schema, VECTOR["schema"])
        self.assertEqual(both.encode().hex(), VECTOR["cbor"])

    def test_rebuild(self) -> None:
        """
        It is made again byte for byte with its key.
        """
        vault = SoftwareVault()
        vector = ATTESTATIONS["credential_signing_issuer"]
        handle = self.successResultOf(vault.importSigningKey(ED25519, bytes.fromhex(vector["ed25519_secret"])))
        key = PurposeKey(
            handle,
            self.successResultOf(vault.verifyingKey(handle)),
            bytes.fromhex(vector["attestation"]),
            vector["created_at"],
            vector["expires_at"],
        )
        subject = Identifier(VECTOR["subject"])
        created, expires = VECTOR["created_at"], VECTOR["expires_at"]
        attributes = {b"cluster": b"production"}
        made = run(issueCredential(vault, key, subject, attributes, created, expires - created, subject.digest))
        self.assertEqual(made.encode().hex(), VECTOR["cbor"])

    def test_everyBit(self) -> None:
        """
        With any one bit changed it is refused.
        """
        data = bytes.fromhex(VECTOR["cbor"])
        for bit in range(len(data) * 8):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            with self.assertRaises(RemoteProtocolError):
                CredentialAndPurposeKey.decode(bytes(changed)).verify({ISSUER.identifier: ISSUER}, NOW)

    def test_refreshSample(self) -> None:
        """
        A credential that the reference implementation presented in a refresh
        decodes; its signature is by the attested key.
        """
        sample = VECTORS["secure_channel_plaintexts"][0]
        data = bytes.fromhex(sample["plaintext"])
        reader = Reader(data, position=4)  # [[1, [[
        self.assertEqual(data[:5].hex(), "8282018182")
        self.assertEqual(reader.readArrayHead(2), 2)
        ReceivedHistory.read(reader).verify()
        self.assertEqual(reader.readArrayHead(1), 1)
        start = reader.position
        both = CredentialAndPurposeKey.read(reader)
        self.assertEqual(both.encode(), data[start : reader.position])
        self.assertIsInstance(both.attestation, Attestation)
        self.assertTrue(both.credential.attributes)


class VerifyTests(SynchronousTestCase):
    """
    What a credential has to fulfil.
    """

    def setUp(self) -> None:
        self.vault = SoftwareVault()
        self.authority = fresh(self.vault)
        self.key = run(attestCredentialKey(self.vault, self.authority, NOW))
        self.subject = fresh(self.vault).identifier

    def issue(self, now: int = NOW, lifetime: int = 1000, key: PurposeKey | None = None) -> CredentialAndPurposeKey:
        """
        A right one.
        """
        return run(issueCredential(self.vault, key or self.key, self.subject, {b"b": b"2", b"a": b"1"}, now, lifetime))

    def sign(self, data: bytes) -> CredentialAndPurposeKey:
        """
        Sign anything as a credential.
        """
        signature = self.successResultOf(self.vault.sign(self.key.key, data))
        return CredentialAndPurposeKey(Credential.build(data, signature), Attestation.decode(self.key.attestation))

    def verify(self, both: CredentialAndPurposeKey, now: int = NOW, *authorities: Identity) -> None:
        """
        Decode what it encodes to and verify that.
        """
        trusted = {a.identifier: a.history for a in authorities or (self.authority,)}
        CredentialAndPurposeKey.decode(both.encode()).verify(trusted, now, self.subject)

    def test_kinds(self) -> None:
        """
        Keys of both kinds issue; attributes come in the order of their keys.
        """
        for kind in (ED25519, P256):
            key = run(attestCredentialKey(self.vault, self.authority, NOW, kind))
            both = self.issue(key=key)
            self.verify(both)
            self.assertEqual(both.credential.attributes, ((b"a", b"1"), (b"b", b"2")))

    def test_time(self) -> None:
        """
        It counts from a minute before its creation until the very second of
        its expiry.
        """
        both = self.issue(NOW + 500, 500)
        for now in (NOW + 500 - CLOCK_SKEW, NOW + 1000):
            self.verify(both, now)
        for now in (NOW + 500 - CLOCK_SKEW - 1, NOW + 1001):
            self.assertRaises(IdentityRefused, self.verify, both, now)

    def test_withinKey(self) -> None:
        """
        It lies within the time of the key that signs; what we issue is cut to
        that.
        """
        self.assertEqual(self.issue(lifetime=10**10).credential.expiresAt, self.key.expiresAt)
        for created, expires in ((self.key.createdAt - 1, NOW + 1), (NOW, self.key.expiresAt + 1)):
            both = self.sign(credentialData(self.subject, None, {}, created, expires))
            self.assertRaises(IdentityRefused, self.verify, both)

    def test_authority(self) -> None:
        """
        Only those of an authority count.
        """
        both, other = self.issue(), fresh(self.vault)
        self.verify(both, NOW, other, self.authority)
        self.assertRaises(IdentityRefused, self.verify, both, NOW, other)
        self.assertRaises(IdentityRefused, both.verify, {}, NOW)

    def test_subject(self) -> None:
        """
        One of somebody else, or of nobody, is refused.
        """
        other = fresh(self.vault).identifier
        self.assertRaises(
            IdentityRefused, self.issue().verify, {self.authority.identifier: self.authority.history}, NOW, other
        )
        data = credentialData(self.subject, None, {}, NOW, NOW + 1)
        nobodys = data.replace(b"\x58\x20" + self.subject.digest, b"\xf6")
        # Two heads announce the length of what was cut by 33 bytes.
        inner = nobodys[5:]
        self.assertRaises(IdentityRefused, self.verify, self.sign(b"\x83\x01\x03" + bytes([0x40 | len(inner)]) + inner))

    def test_channelKey(self) -> None:
        """
        A key for secure channels signs no credentials.
        """
        both = self.issue()
        channelKey = run(attestSecureChannelKey(self.vault, self.authority, NOW))
        wrong = evolve(both, attestation=Attestation.decode(channelKey.attestation))
        self.assertRaises(IdentityRefused, self.verify, wrong)

    def test_primaryKey(self) -> None:
        """
        The identity's own key signs no credentials.
        """
        data = credentialData(self.subject, None, {}, NOW, NOW + 1)
        signature = self.successResultOf(self.vault.sign(self.authority.signingKey, data))
        wrong = CredentialAndPurposeKey(Credential.build(data, signature), Attestation.decode(self.key.attestation))
        self.assertRaises(IdentityRefused, self.verify, wrong)

    def test_bounded(self) -> None:
        """
        Too many attributes, one attribute twice, and too long ones are
        refused.
        """
        for attributes in (
            {str(n).encode(): b"" for n in range(MAX_ATTRIBUTES + 1)},
            {b"long": bytes(20000)},
        ):
            data = credentialData(self.subject, None, attributes, NOW, NOW + 1)
            self.assertRaises(DecodeError, self.sign, data)
        most = {str(n).encode(): b"" for n in range(MAX_ATTRIBUTES)}
        self.verify(self.sign(credentialData(self.subject, None, most, NOW, NOW + 1)))
        twice = credentialData(self.subject, None, {b"a": b"1", b"b": b"2"}, NOW, NOW + 1).replace(b"Ab", b"Aa")
        self.assertRaises(DecodeError, self.sign, twice)

    @given(st.binary(max_size=400))
    @settings(deadline=None, max_examples=200, derandomize=True)
    def test_fuzz(self, data: bytes) -> None:
        """
        Any bytes are refused with an error of ours.
        """
        self.assertRaises(RemoteProtocolError, CredentialAndPurposeKey.decode, data)

    @given(st.integers(0, 374), st.binary(min_size=1, max_size=4))
    @settings(deadline=None, max_examples=200, derandomize=True)
    def test_fuzzNear(self, position: int, inserted: bytes) -> None:
        """
        A credential with bytes put in anywhere is refused with an error of
        ours.
        """
        data = bytes.fromhex(VECTOR["cbor"])
        changed = data[:position] + inserted + data[position:]
        self.assertRaises(RemoteProtocolError, CredentialAndPurposeKey.decode, changed)
