"""
Tests for L{ockam_twisted.vault.software}.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ockam_twisted.errors import HandshakeFailed, LocalProtocolError
from ockam_twisted.interfaces import IVault
from ockam_twisted.storage.memory import MemoryStore
from ockam_twisted.vault.primitives import ED25519, P256, sha256, verify
from ockam_twisted.vault.software import SoftwareVault
from tests.identity.samples import ATTESTATIONS, IDENTITIES, history


class SlowStore(MemoryStore):
    """
    A store whose writes are done when the test says so.
    """

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[Deferred[None]] = []

    def storeSecret(self, handle: bytes, kind: str, secret: bytes) -> Deferred[None]:
        """
        Fires when the test says so.
        """
        super().storeSecret(handle, kind, secret)
        self.commits.append(Deferred())
        return self.commits[-1]


class SoftwareVaultTests(SynchronousTestCase):
    """
    L{SoftwareVault}.
    """

    def test_interface(self) -> None:
        """
        It provides what it says.
        """
        self.assertTrue(verifyObject(IVault, SoftwareVault()))

    def test_sign(self) -> None:
        """
        What a fresh key of either kind signs verifies under its public half.
        """
        vault = SoftwareVault()
        for kind in (ED25519, P256):
            handle = self.successResultOf(vault.generateSigningKey(kind))
            key = self.successResultOf(vault.verifyingKey(handle))
            self.assertEqual((key.kind, handle), (kind, sha256(key.data)))
            signature = self.successResultOf(vault.sign(handle, b"data"))
            self.assertTrue(verify(key, signature, b"data"))

    def test_vectorKeys(self) -> None:
        """
        The secrets of the vectors have the public keys of their histories.
        """
        vault = SoftwareVault()
        count = 0
        for name, vector in IDENTITIES.items():
            if "latest_primary_secret_key" in vector:
                secret = bytes.fromhex(vector["latest_primary_secret_key"])
                handle = self.successResultOf(vault.importSigningKey(ED25519, secret))
                self.assertEqual(self.successResultOf(vault.verifyingKey(handle)), history(name).latest.key)
                count += 1
        self.assertEqual(count, 4)

    def test_agree(self) -> None:
        """
        Both sides of an agreement get the same; known secrets have their
        known public keys.
        """
        vault = SoftwareVault()
        handles, publics = [], []
        for name in ("secure_channel_client", "secure_channel_server"):
            vector = ATTESTATIONS[name]
            handle = self.successResultOf(vault.importAgreementKey(bytes.fromhex(vector["x25519_secret"])))
            handles.append(handle)
            publics.append(self.successResultOf(vault.agreementPublicKey(handle)))
            self.assertEqual(publics[-1].hex(), vector["x25519_public"])
        self.assertEqual(
            self.successResultOf(vault.agree(handles[0], publics[1])),
            self.successResultOf(vault.agree(handles[1], publics[0])),
        )

    def test_agreeOnNothing(self) -> None:
        """
        A public key of low order, or of another length, fails the handshake.
        """
        vault = SoftwareVault()
        handle = self.successResultOf(vault.generateAgreementKey())
        for public in (bytes(32), b"\x01" + bytes(31), b"", bytes(31), b"\x09" * 33):
            self.failureResultOf(vault.agree(handle, public), HandshakeFailed)

    def test_misuse(self) -> None:
        """
        Unknown handles, keys of another purpose, and what is no secret are
        our own mistakes.
        """
        vault = SoftwareVault()
        signing = self.successResultOf(vault.generateSigningKey())
        agreement = self.successResultOf(vault.generateAgreementKey())
        for failing in (
            vault.sign(b"?", b""),
            vault.sign(agreement, b""),
            vault.verifyingKey(agreement),
            vault.agreementPublicKey(signing),
            vault.agree(signing, b"\x09" + bytes(31)),
            vault.importSigningKey(2, bytes(32)),
            vault.importSigningKey(P256, bytes(32)),
            vault.importSigningKey(P256, b"\xff" * 32),
            vault.importAgreementKey(bytes(31)),
        ):
            self.failureResultOf(failing, LocalProtocolError)

    def test_delete(self) -> None:
        """
        A deleted key is gone, from the store also; deleting it again is
        nothing.
        """
        for store in (None, MemoryStore()):
            vault = SoftwareVault(store)
            handle = self.successResultOf(vault.generateSigningKey())
            for _ in range(2):
                self.assertIsNone(self.successResultOf(vault.deleteKey(handle)))
            self.failureResultOf(vault.sign(handle, b""), LocalProtocolError)
            if store is not None:
                self.assertIsNone(store.secret(handle))

    def test_persistence(self) -> None:
        """
        Another vault on the same store finds persistent keys, and no
        ephemeral ones.
        """
        store = MemoryStore()
        first, second = SoftwareVault(store), SoftwareVault(store)
        for kind in (ED25519, P256):
            handle = self.successResultOf(first.generateSigningKey(kind))
            self.assertEqual(
                self.successResultOf(second.verifyingKey(handle)), self.successResultOf(first.verifyingKey(handle))
            )
        kept = self.successResultOf(first.generateAgreementKey(persistent=True))
        self.assertEqual(len(self.successResultOf(second.agreementPublicKey(kept))), 32)
        passing = self.successResultOf(first.generateAgreementKey())
        self.failureResultOf(second.agreementPublicKey(passing), LocalProtocolError)
        self.assertIsNone(store.secret(passing))

    def test_handleAfterCommit(self) -> None:
        """
        A handle of a persistent key is given out only once the key is stored.
        """
        store = SlowStore()
        made = SoftwareVault(store).generateSigningKey()
        self.assertNoResult(made)
        store.commits[0].callback(None)
        self.assertEqual(len(self.successResultOf(made)), 32)

    def test_repr(self) -> None:
        """
        No representation shows a secret.
        """
        secret = b"0123456789abcdefghijklmnopqrstuv"
        store = MemoryStore()
        for vault in (SoftwareVault(), SoftwareVault(store)):
            self.successResultOf(vault.importSigningKey(ED25519, secret))
            shown = repr((vault, vars(vault), store, vars(store)))
            self.assertNotIn("0123456789", shown)
            self.assertNotIn(secret.hex()[:12], shown)
