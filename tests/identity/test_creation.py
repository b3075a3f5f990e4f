"""
Tests for L{ockam_twisted.identity.creation}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import LocalProtocolError, StateUnusable
from ockam_twisted.identity import history, purpose_keys
from ockam_twisted.identity.creation import (
    CREDENTIAL_KEY,
    IDENTITY,
    SECURE_CHANNEL_KEY,
    Identity,
    attestSecureChannelKey,
    createIdentity,
    credentialKey,
    issueCredential,
    load,
    loadOrCreate,
    rotateIdentity,
    rotateStored,
    secureChannelKey,
)
from ockam_twisted.identity.history import ChangeHistory
from ockam_twisted.identity.purpose_keys import Attestation
from ockam_twisted.storage.memory import MemoryStore
from ockam_twisted.vault.primitives import VerifyingKey
from ockam_twisted.vault.software import SoftwareVault
from tests.identity.samples import NOW, fresh, run


class PowerCut(Exception):
    """
    The process ends here.
    """


class FragileStore(MemoryStore):
    """
    A store in which only so many writes come to the disk.
    """

    writesLeft = 1000

    def _cut(self, write: Callable[..., Deferred[None]], *arguments: Any) -> Deferred[None]:
        if self.writesLeft == 0:
            return fail(PowerCut())
        self.writesLeft -= 1
        return write(*arguments)

    def storeSecret(self, handle: bytes, kind: str, secret: bytes) -> Deferred[None]:
        """
        May be lost.
        """
        return self._cut(super().storeSecret, handle, kind, secret)

    def deleteSecret(self, handle: bytes) -> Deferred[None]:
        """
        May be lost.
        """
        return self._cut(super().deleteSecret, handle)

    def storeChangeHistory(self, identifier: Any, history: bytes) -> Deferred[None]:
        """
        May be lost.
        """
        return self._cut(super().storeChangeHistory, identifier, history)

    def storeSetting(self, name: str, value: bytes) -> Deferred[None]:
        """
        May be lost.
        """
        return self._cut(super().storeSetting, name, value)


class CreateTests(SynchronousTestCase):
    """
    Making identities and keys.
    """

    def setUp(self) -> None:
        self.vault = SoftwareVault()

    def test_create(self) -> None:
        """
        A new identity verifies, is valid for ten years, and is 128 bytes
        long with an Ed25519 key and 161 with one of P-256.
        """
        for kind, size in ((0, 128), (1, 161)):
            identity = run(createIdentity(self.vault, NOW, kind))
            data = identity.history.encode()
            self.assertEqual(len(data), size)
            change = ChangeHistory.fromBytes(data, identity.identifier).latest
            self.assertEqual((change.validFrom, change.validUntil), (NOW, NOW + history.LIFETIME))
            self.assertFalse(change.revoke)
            self.assertEqual(self.successResultOf(self.vault.verifyingKey(identity.signingKey)), change.key)

    def test_rotateInThePast(self) -> None:
        """
        A clock that went back makes no invalid change.
        """
        identity = fresh(self.vault)
        rotated = run(rotateIdentity(self.vault, identity, NOW - 1000))
        self.assertEqual(ChangeHistory.fromBytes(rotated.history.encode()).latest.validFrom, NOW)

    def test_attest(self) -> None:
        """
        An attestation verifies at once, lives five years, and never beyond
        its identity's key.
        """
        identity = fresh(self.vault)
        end = identity.history.latest.validUntil
        for now, expires in ((NOW, NOW + purpose_keys.LIFETIME), (end - 10, end)):
            key = run(attestSecureChannelKey(self.vault, identity, now))
            attestation = Attestation.decode(key.attestation)
            attestation.verify(identity.history, now)
            self.assertEqual((key.expiresAt, attestation.expiresAt), (expires, expires))
            self.assertEqual(self.successResultOf(self.vault.agreementPublicKey(key.key)), attestation.publicKey)
        with self.assertRaises(LocalProtocolError):
            run(attestSecureChannelKey(self.vault, identity, end + 1))

    def test_issueWithWrongKey(self) -> None:
        """
        A key for secure channels issues nothing.
        """
        identity = fresh(self.vault)
        key = run(attestSecureChannelKey(self.vault, identity, NOW))
        with self.assertRaises(LocalProtocolError):
            run(issueCredential(self.vault, key, identity.identifier, {}, NOW, 10))


class StoredTests(SynchronousTestCase):
    """
    What a node keeps.
    """

    def setUp(self) -> None:
        self.store = FragileStore()

    def load(self, now: int = NOW) -> tuple[Identity, purpose_keys.Attestation]:
        """
        As after a start of the process.
        """
        identity, key = run(loadOrCreate(SoftwareVault(self.store), self.store, now))
        attestation = Attestation.decode(key.attestation)
        attestation.verify(identity.history, now)
        return identity, attestation

    def test_survives(self) -> None:
        """
        The second start finds what the first made.
        """
        first = self.load()
        self.assertEqual(self.load(NOW + 100), first)
        self.assertEqual(self.store.changeHistory(first[0].identifier), first[0].history.encode())

    def test_purposeKeyExpires(self) -> None:
        """
        The key for secure channels is used to its last second, then replaced,
        and its secret deleted.
        """
        identity, attestation = self.load()
        self.assertEqual(self.load(attestation.expiresAt), (identity, attestation))
        secrets = len(self.store._secrets)
        again, newer = self.load(attestation.expiresAt + 1)
        self.assertEqual(again, identity)
        self.assertNotEqual(newer.publicKey, attestation.publicKey)
        self.assertEqual(len(self.store._secrets), secrets)

    def test_purposeKeyDamaged(self) -> None:
        """
        A purpose key that is damaged, or whose secret is gone, is made anew.
        """
        identity, attestation = self.load()
        self.successResultOf(self.store.storeSetting(SECURE_CHANNEL_KEY, b"\x00"))
        again, newer = self.load()
        self.assertEqual(again, identity)
        self.assertNotEqual(newer, attestation)
        for handle, secret in list(self.store._secrets.items()):
            if secret.kind == "x25519":
                self.successResultOf(self.store.deleteSecret(handle))
        self.assertNotEqual(self.load()[1], newer)

    def test_credentialKey(self) -> None:
        """
        The key for credentials is kept likewise, apart from the other.
        """
        vault = SoftwareVault(self.store)
        identity, _ = run(loadOrCreate(vault, self.store, NOW))
        key = run(credentialKey(vault, self.store, identity, NOW))
        self.assertIsInstance(key.publicKey, VerifyingKey)
        self.assertEqual(run(credentialKey(vault, self.store, identity, NOW + 1)), key)
        self.assertNotEqual(self.store.setting(CREDENTIAL_KEY), self.store.setting(SECURE_CHANNEL_KEY))

    def test_rotate(self) -> None:
        """
        After a rotation the next start finds the new key, a new purpose key,
        and not the old secret.
        """
        identity, attestation = self.load()
        rotated = run(rotateStored(SoftwareVault(self.store), self.store, identity, NOW + 1))
        again, newer = self.load(NOW + 2)
        self.assertEqual((again, again.identifier), (rotated, identity.identifier))
        self.assertNotEqual(newer, attestation)
        self.assertIsNone(self.store.secret(identity.signingKey))

    def test_damaged(self) -> None:
        """
        A stored identity that does not decode, or whose secret is gone, is
        never replaced by another without a word.
        """
        identity, _ = self.load()
        self.successResultOf(self.store.deleteSecret(identity.signingKey))
        with self.assertRaises(StateUnusable):
            self.load()
        self.successResultOf(self.store.storeSetting(IDENTITY, b"\x82\x40"))
        with self.assertRaises(StateUnusable):
            self.load()

    def test_powerCuts(self) -> None:
        """
        Wherever the power fails during creation or rotation, the next start
        works, and an identity that was complete stays.
        """
        for writes in range(7):
            self.store = FragileStore()
            self.store.writesLeft = writes
            try:
                self.load()
            except PowerCut:
                pass
            self.store.writesLeft = 1000
            identity, _ = self.load()
            self.store.writesLeft = writes
            try:
                run(self._rotateAndAttest(identity))
            except PowerCut:
                pass
            self.store.writesLeft = 1000
            again, _ = self.load(NOW + 1)
            self.assertEqual(again.identifier, identity.identifier)
            self.assertEqual(self.store.changeHistory(again.identifier), again.history.encode())

    async def _rotateAndAttest(self, identity: Identity) -> None:
        vault = SoftwareVault(self.store)
        rotated = await rotateStored(vault, self.store, identity, NOW + 1)
        await secureChannelKey(vault, self.store, rotated, NOW + 1)

    def test_loadNothing(self) -> None:
        """
        An empty store has no identity.
        """
        self.assertIsNone(run(load(SoftwareVault(self.store), self.store)))
