"""
Tests for L{ockam_twisted.vault.sealed}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import StateUnusable
from ockam_twisted.identity.creation import loadOrCreate
from ockam_twisted.storage.memory import MemoryStore
from ockam_twisted.vault import sealed
from ockam_twisted.vault.sealed import SETTING, SealedSecrets, unlock
from ockam_twisted.vault.software import SoftwareVault

PASSPHRASE = b"correct horse battery staple"


class SealedTests(SynchronousTestCase):
    """
    Secrets under a passphrase.
    """

    def setUp(self) -> None:
        self.patch(sealed, "COST", 2**10)
        self.store = MemoryStore()

    def open(self, passphrase: bytes = PASSPHRASE) -> SealedSecrets:
        """
        Unlock the store.
        """
        return self.successResultOf(Deferred.fromCoroutine(SealedSecrets.open(self.store, passphrase)))

    def identity(self, secrets: Any) -> str:
        """
        Who is in there.
        """
        made = self.successResultOf(Deferred.fromCoroutine(loadOrCreate(SoftwareVault(secrets), self.store, 1000)))
        return str(made[0].identifier)

    def test_sealed(self) -> None:
        """
        An identity is made and found again; nothing of its secrets is in the
        store.
        """
        made = self.identity(self.open())
        self.assertEqual(self.identity(self.open()), made)
        secrets = self.open()
        for handle in self.store.secretHandles():
            kind, data = self.store.secret(handle) or ("", b"")
            self.assertTrue(kind.startswith("sealed:"))
            clear = (secrets.secret(handle) or ("", b""))[1]
            self.assertEqual(len(clear), 32)
            self.assertNotIn(clear, data)

    def test_laterOn(self) -> None:
        """
        A store that had none is encrypted when it is first given one, also if
        that was interrupted.
        """
        made = self.identity(self.store)
        clear = {handle: self.store.secret(handle) for handle in self.store.secretHandles()}
        self.assertEqual(len(clear), 2)
        self.assertEqual(self.identity(self.open()), made)
        [first, *_] = clear
        kind, data = clear[first] or ("", b"")
        self.store.storeSecret(first, kind, data)
        self.assertEqual(self.identity(self.open()), made)
        self.assertTrue(all((self.store.secret(each) or ("",))[0].startswith("sealed:") for each in clear))

    def test_wrong(self) -> None:
        """
        Another passphrase opens nothing.
        """
        self.open()
        setting = self.store.setting(SETTING) or b""
        for wrong in (b"", b"correct horse", PASSPHRASE + b"!"):
            self.assertIn("wrong", str(self.assertRaises(StateUnusable, unlock, setting, wrong)))

    def test_swapped(self) -> None:
        """
        Secrets that somebody has exchanged or changed on the disk are not
        taken for each other.
        """
        self.identity(self.open())
        secrets = self.open()
        one, other = self.store.secretHandles()
        kind, data = self.store.secret(other) or ("", b"")
        self.store.storeSecret(one, kind, data)
        self.assertRaises(StateUnusable, secrets.secret, one)
        self.store.storeSecret(other, kind, data[:-1] + bytes([data[-1] ^ 1]))
        self.assertRaises(StateUnusable, secrets.secret, other)
        self.store.storeSecret(other, kind, b"")
        self.assertRaises(StateUnusable, secrets.secret, other)

    def test_damaged(self) -> None:
        """
        What is kept of the passphrase may be damaged, or demand too much.
        """
        from ockam_twisted.wire import cbor

        for setting in (
            b"",
            b"\x80",
            cbor.encode((b"s", 2**40, b"c")),
            cbor.encode((b"s", 3, b"c")),
            cbor.encode((1, 2, 3)),
        ):
            self.assertRaises(StateUnusable, unlock, setting, PASSPHRASE)

    def test_nothingShown(self) -> None:
        """
        Neither passphrase nor key is in a representation.
        """
        secrets = self.open()
        self.assertEqual(repr(secrets), "<SealedSecrets>")
        self.assertNotIn("horse", repr(vars(secrets)))
