"""
Tests for L{ockam_twisted.storage.memory}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.interfaces import IIdentityStore, INameStore
from ockam_twisted.storage.memory import MemoryStore

A, B = Identifier.fromDigest(bytes(32)), Identifier.fromDigest(b"\x01" * 32)


class MemoryStoreTests(SynchronousTestCase):
    """
    L{MemoryStore}.
    """

    def setUp(self) -> None:
        self.store = MemoryStore()

    def test_interfaces(self) -> None:
        """
        It provides what it says.
        """
        for interface in (IIdentityStore, INameStore):
            self.assertTrue(verifyObject(interface, self.store))

    def test_whenStored(self) -> None:
        """
        What is only in memory has nothing to wait for.
        """
        self.store.storeSetting("s", b"")
        self.assertIsNone(self.successResultOf(self.store.whenStored("s")))

    def test_identities(self) -> None:
        """
        Secrets, histories and settings are there after they were stored, the
        last one counts, and a secret can be forgotten.
        """
        store = self.store
        self.assertEqual((store.secret(b"h"), store.changeHistory(A), store.setting("s")), (None, None, None))
        for value in (b"1", b"2"):
            self.assertIsNone(self.successResultOf(store.storeSecret(b"h", "kind", value)))
            self.assertIsNone(self.successResultOf(store.storeChangeHistory(A, value)))
            self.assertIsNone(self.successResultOf(store.storeSetting("s", value)))
        self.assertEqual(store.secret(b"h"), ("kind", b"2"))
        self.assertEqual((store.changeHistory(A), store.changeHistory(B), store.setting("s")), (b"2", None, b"2"))
        for _ in range(2):
            self.assertIsNone(self.successResultOf(store.deleteSecret(b"h")))
        self.assertIsNone(store.secret(b"h"))

    def test_names(self) -> None:
        """
        Names are counted per owner and in all, also when they change hands.
        """
        store = self.store
        self.assertEqual((store.owner("a"), store.count(), store.owned(A)), (None, 0, 0))
        for name, owner in (("a", A), ("b", A), ("a", A), ("c", B)):
            self.assertIsNone(self.successResultOf(store.storeOwner(name, owner, 10)))
        self.assertEqual((store.owner("a"), store.count(), store.owned(A), store.owned(B)), (A, 3, 2, 1))
        self.successResultOf(store.storeOwner("a", B, 10))
        self.assertEqual((store.owner("a"), store.count(), store.owned(A), store.owned(B)), (B, 3, 1, 2))

    def test_forgetUnused(self) -> None:
        """
        Names last used before a time are free again; using one counts.
        """
        store = self.store
        for name, now in (("old", 1), ("edge", 5), ("used", 1), ("used", 9)):
            self.successResultOf(store.storeOwner(name, A, now))
        self.assertEqual(self.successResultOf(store.forgetUnused(5)), 1)
        self.assertEqual((store.owner("old"), store.owner("edge"), store.owner("used")), (None, A, A))
        self.assertEqual((store.count(), store.owned(A)), (2, 2))
