"""
Tests for L{ockam_twisted.storage.sqlite}, with the real reactor, a real file
and a real thread.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.python.threadable import isInIOThread
from zope.interface.verify import verifyObject

from ockam_twisted.errors import StateUnusable
from ockam_twisted.identity.creation import loadOrCreate
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.interfaces import IIdentityStore, INameStore
from ockam_twisted.storage.sqlite import SQLiteStore, readState
from ockam_twisted.vault.software import SoftwareVault
from tests.storage.common import FailingDiskTestCase, SQLiteTestCase

A, B = Identifier.fromDigest(bytes(32)), Identifier.fromDigest(b"\x01" * 32)

Steps = Generator[Deferred[Any], Any, None]

#: Writes one setting after the other, and names each that was acknowledged.
CHILD = """
import sys
from twisted.internet import reactor
from ockam_twisted.storage.sqlite import SQLiteStore

store = SQLiteStore(sys.argv[1], reactor)
store.open()

def write(number):
    def acknowledged(_):
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()
        write(number + 4)
    store.storeSetting(f"{number}", b"%d" % number).addCallback(acknowledged)

for first in range(4):
    reactor.callWhenRunning(write, first)
reactor.run()
"""


class SQLiteStoreTests(SQLiteTestCase):
    """
    L{SQLiteStore}.
    """

    def test_interfaces(self) -> None:
        """
        It provides what it says.
        """
        store = self.open()
        for interface in (IIdentityStore, INameStore):
            self.assertTrue(verifyObject(interface, store))

    @inlineCallbacks
    def test_survives(self) -> Steps:
        """
        Everything is there after opening it again, and what was forgotten is
        not.
        """
        store = self.open()
        yield store.storeSecret(b"h", "kind", b"1")
        yield gatherResults(
            [
                store.storeSecret(b"h", "kind", b"2"),
                store.storeSecret(b"gone", "kind", b"3"),
                store.storeChangeHistory(A, b"history"),
                store.storeSetting("name", b"value"),
                store.storeOwner("a", A, 10),
                store.storeOwner("b", A, 1),
                store.storeOwner("c", A, 10),
                store.storeOwner("c", B, 11),
            ]
        )
        yield store.deleteSecret(b"gone")
        self.assertEqual((yield store.forgetUnused(10)), 1)
        yield store.close()
        store = self.open()
        self.assertEqual((store.secret(b"h"), store.secret(b"gone")), (("kind", b"2"), None))
        self.assertEqual((store.changeHistory(A), store.setting("name")), (b"history", b"value"))
        self.assertEqual((store.owner("a"), store.owner("b"), store.owner("c")), (A, None, B))
        self.assertEqual((store.count(), store.owned(A), store.owned(B)), (2, 1, 1))

    @inlineCallbacks
    def test_identity(self) -> Steps:
        """
        A node finds its identity and purpose key again.
        """
        found = []
        for _ in range(2):
            store = self.open()
            found.append((yield Deferred.fromCoroutine(loadOrCreate(SoftwareVault(store), store, 1_700_000_000))))
            yield store.close()
        self.assertEqual(found[0], found[1])

    @inlineCallbacks
    def test_readState(self) -> Steps:
        """
        All of it can be read while somebody has it open and goes on writing;
        what is written to the copy changes nothing.
        """
        store = self.open()
        identity, _ = yield Deferred.fromCoroutine(loadOrCreate(SoftwareVault(store), store, 1_700_000_000))
        copy = readState(self.path)
        again, _ = yield Deferred.fromCoroutine(loadOrCreate(SoftwareVault(copy), copy, 1_700_000_000))
        self.assertEqual(again, identity)
        yield store.storeSetting("a", b"1")
        yield copy.storeSetting("a", b"2")
        self.assertEqual((store.setting("a"), readState(self.path).setting("a")), (b"1", b"1"))

    def test_readStateOfAnother(self) -> None:
        """
        A database of another version, or none, is not read.
        """
        self.assertRaises(StateUnusable, readState, self.path.with_name("none"))
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA user_version=1")
        self.assertIn("start its node once", str(self.assertRaises(StateUnusable, readState, self.path)))

    @inlineCallbacks
    def test_afterCommit(self) -> Steps:
        """
        A write shows at once, is acknowledged in the reactor's thread, and is
        in the file by then.
        """
        store = self.open()
        threads: list[bool] = []

        def note(_: None) -> None:
            threads.append(isInIOThread())
            with closing(sqlite3.connect(self.path)) as reader:
                self.assertEqual(reader.execute("SELECT value FROM settings").fetchall(), [(b"v",)])

        written = store.storeSetting("s", b"v").addCallback(note)
        self.assertEqual(store.setting("s"), b"v")
        self.assertEqual(threads, [])
        yield written
        self.assertEqual(threads, [True])

    @inlineCallbacks
    def test_order(self) -> Steps:
        """
        Many writes at once are carried out in their order.
        """
        store = self.open()
        done: list[int] = []

        def write(number: int) -> Deferred[None]:
            return store.storeSetting("s", b"%d" % number).addCallback(lambda _: done.append(number))

        yield gatherResults([write(number) for number in range(2500)])
        self.assertEqual(done, list(range(2500)))
        yield store.close()
        self.assertEqual(self.open().setting("s"), b"2499")

    @inlineCallbacks
    def test_closeWritesAll(self) -> Steps:
        """
        Closing waits for what was asked before; writes after it fail; closing
        again is nothing.
        """
        store = self.open()
        writes = [store.storeSetting(str(n), b"") for n in range(100)]
        closed = [store.close(), store.close()]
        late = store.storeSetting("late", b"")
        yield self.assertFailure(late, StateUnusable)
        yield gatherResults(closed)
        self.assertTrue(all(write.called for write in writes))
        yield store.close()
        store = self.open()
        self.assertEqual([n for n in range(100) if store.setting(str(n)) is None], [])

    @inlineCallbacks
    def test_oneFails(self) -> Steps:
        """
        A write that cannot be carried out fails alone, with a plain line.
        """
        store = self.open()
        writes = [store.storeOwner(str(n), A, 2**70 if n == 5 else n) for n in range(10)]
        error = yield self.assertFailure(writes.pop(5), StateUnusable)
        self.assertIn(str(self.path), str(error))
        yield gatherResults(writes)
        yield store.close()
        self.assertEqual(self.open().count(), 9)

    @inlineCallbacks
    def test_busy(self) -> Steps:
        """
        Somebody else's transaction is waited for.
        """
        from twisted.internet import reactor

        store = self.open()
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        written = store.storeSetting("s", b"v")
        waited: Deferred[None] = Deferred()
        reactor.callLater(0.2, waited.callback, None)
        yield waited
        self.assertFalse(written.called)
        other.execute("ROLLBACK")
        other.close()
        yield written

    def test_notOpen(self) -> None:
        """
        A store that was never opened writes nothing, and closes at once.
        """
        from twisted.internet import reactor

        store = SQLiteStore(self.path, reactor)  # type: ignore[arg-type]
        self.failureResultOf(store.storeSetting("s", b""), StateUnusable)
        self.failureResultOf(store.whenStored("s"), StateUnusable)
        self.assertIsNone(self.successResultOf(store.close()))
        self.assertFalse(self.path.exists())

    @inlineCallbacks
    def test_private(self) -> Steps:
        """
        No file is readable by others, whatever the umask, and even if one was
        before.
        """
        previous = os.umask(0)
        self.addCleanup(os.umask, previous)
        self.path.touch(mode=0o644)
        store = self.open()
        yield store.storeSecret(b"h", "kind", b"hidden")
        files = sorted(self.path.parent.iterdir())
        self.assertEqual([f.name for f in files], ["state.sqlite", "state.sqlite-shm", "state.sqlite-wal"])
        self.assertEqual({f.stat().st_mode & 0o7777 for f in files}, {0o600})
        self.assertNotIn("hidden", repr(vars(store)))

    def test_damaged(self) -> None:
        """
        What is no database is refused as damaged and left as it is.
        """
        self.path.write_bytes(b"rubbish" * 1000)
        error = self.assertRaises(StateUnusable, self.open)
        self.assertIn(f"{self.path} is damaged", str(error))
        self.assertEqual(self.path.read_bytes(), b"rubbish" * 1000)

    @inlineCallbacks
    def test_newer(self) -> Steps:
        """
        A database of a newer program is refused as such.
        """
        yield self.open().close()
        with closing(sqlite3.connect(self.path)) as other:
            other.execute("PRAGMA user_version=99")
        error = self.assertRaises(StateUnusable, self.open)
        self.assertIn("newer", str(error))

    @inlineCallbacks
    def test_wrongContents(self) -> Steps:
        """
        Rows that mean nothing are refused as damage.
        """
        yield self.open().close()
        with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("INSERT INTO relay_names VALUES ('a', 'nobody', 1)")
        error = self.assertRaises(StateUnusable, self.open)
        self.assertIn("is damaged", str(error))

    def test_noFolder(self) -> None:
        """
        Without its folder it cannot be opened, and says where.
        """
        self.path = self.path.parent / "missing" / "state.sqlite"
        self.assertIn(str(self.path), str(self.assertRaises(StateUnusable, self.open)))

    def test_realKill(self) -> None:
        """
        Real process, real kill: every write that was acknowledged before
        SIGKILL is there afterwards.
        """
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(self.path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        assert child.stdout is not None
        try:
            acknowledged = [int(child.stdout.readline()) for _ in range(150)]
        finally:
            child.kill()
            rest = child.stdout.read()
            child.wait()
            child.stdout.close()
        # The last line may have been cut off by the kill.
        acknowledged += [int(line) for line in rest.split(b"\n")[:-1]]
        store = self.open()
        self.assertEqual([n for n in acknowledged if store.setting(str(n)) != b"%d" % n], [])


class FailingDiskTests(FailingDiskTestCase):
    """
    Memory is ahead of the disk.
    """

    @inlineCallbacks
    def test_whenStored(self) -> Steps:
        """
        What could not be written is in memory; who waits for it is told once
        it is on the disk, and of nothing else is there anything to wait for.
        """
        store = self.open()
        yield store.storeSetting("before", b"")
        self.failWrites()
        yield self.assertFailure(store.storeSetting("s", b"v"), StateUnusable)
        self.assertEqual(store.setting("s"), b"v")
        yield self.assertFailure(store.whenStored("s"), StateUnusable)
        self.assertIsNone(self.successResultOf(store.whenStored("before")))
        self.assertIsNone(self.successResultOf(store.whenStored("never")))
        self.mend()
        yield store.whenStored("s")
        self.assertEqual(readState(self.path).setting("s"), b"v")
        self.assertIsNone(self.successResultOf(store.whenStored("s")))

    @inlineCallbacks
    def test_deleted(self) -> Steps:
        """
        A secret is not said to be gone while it is on the disk.
        """
        store = self.open()
        yield store.storeSecret(b"h", "kind", b"1")
        self.failWrites()
        for _ in range(2):
            yield self.assertFailure(store.deleteSecret(b"h"), StateUnusable)
        self.mend()
        yield store.deleteSecret(b"h")
        self.assertIsNone(readState(self.path).secret(b"h"))
