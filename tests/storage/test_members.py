"""
Tests for L{ockam_twisted.storage.members}: in memory, and through a real
file.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.members import EnrollmentToken, Member, Redemption
from ockam_twisted.interfaces import IMemberStore
from ockam_twisted.storage.members import MemberRecords, memberOf, memberRow, tokenOf, tokenRow
from ockam_twisted.storage.sqlite import SQLiteStore

A, B = Identifier.fromDigest(bytes(32)), Identifier.fromDigest(b"\x01" * 32)
MEMBER = Member(A, ((b"app", b"web"), (b"\xff", b"")), 7, "ticket abc")
TOKEN = EnrollmentToken(b"h" * 32, ((b"a", b"b"),), 1, 2, 3, (Redemption(A, 1), Redemption(B, 2)), True, True)


class RecordTests(SynchronousTestCase):
    """
    L{MemberRecords} and rows.
    """

    def test_rows(self) -> None:
        """
        Rows give back what was put in.
        """
        self.assertEqual(memberOf(memberRow(MEMBER)), MEMBER)
        self.assertEqual(tokenOf(tokenRow(TOKEN)), TOKEN)

    def test_interface(self) -> None:
        """
        It is what it says.
        """
        verifyObject(IMemberStore, MemberRecords())

    def test_records(self) -> None:
        """
        What is stored is there, what is deleted is not.
        """
        records = MemberRecords()
        records.storeRedemption(TOKEN, MEMBER)
        self.assertEqual(dict(records.members()), {A: MEMBER})
        self.assertEqual(dict(records.tokens()), {TOKEN.codeHash: TOKEN})
        records.deleteMember(A)
        records.deleteMember(B)
        records.deleteTokens([TOKEN.codeHash, b"other"])
        self.assertFalse(records.members() or records.tokens())


class StoredTests(TestCase):
    """
    The same through L{SQLiteStore}.
    """

    def open(self) -> SQLiteStore:
        """
        Open the file, again.
        """
        from twisted.internet import reactor

        store = SQLiteStore(self.path, reactor)  # type: ignore[arg-type]
        store.open()
        return store

    @inlineCallbacks
    def test_survives(self) -> Generator[Deferred[Any], Any, None]:
        """
        Everything is there again after the file was closed and opened.
        """
        self.path = Path(self.mktemp())
        store = self.open()
        yield store.storeMember(Member(B, (), 1, "config"))
        yield store.storeRedemption(TOKEN, MEMBER)
        yield store.storeToken(EnrollmentToken(b"o" * 32, (), 1, 2))
        yield store.deleteTokens([b"o" * 32])
        yield store.close()
        store = self.open()
        self.assertEqual(set(store.members()), {A, B})
        self.assertEqual(store.members()[A], MEMBER)
        self.assertEqual(dict(store.tokens()), {TOKEN.codeHash: TOKEN})
        yield store.deleteMember(A)
        yield store.storeSetting("x", b"y")
        yield store.deleteSetting("x")
        yield store.close()
        store = self.open()
        self.assertEqual(set(store.members()), {B})
        self.assertIsNone(store.setting("x"))
        yield store.close()
