"""
Tests for L{ockam_twisted.storage.schema}.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import StateUnusable
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.storage import schema
from ockam_twisted.storage.sqlite import SQLiteStore
from tests.memory_reactor import MemoryReactor


class SchemaTests(SynchronousTestCase):
    """
    Migrating and checking.
    """

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()

    def make(self, version: int | None = None) -> None:
        """
        A database, of another version if one is given.
        """
        self.path.touch()
        with closing(schema.connect(self.path)) as connection:
            schema.migrate(connection, self.path)
            for number in range(2000):
                connection.execute("INSERT INTO settings VALUES (?, ?)", (str(number), bytes(100)))
            if version is not None:
                connection.execute(f"PRAGMA user_version={version}")

    def refused(self) -> str:
        """
        The line with which the database is refused.
        """
        error = str(self.assertRaises(StateUnusable, schema.checkDatabase, self.path))
        self.assertNotIn("\n", error)
        self.assertIn(str(self.path), error)
        return error

    def test_sound(self) -> None:
        """
        None at all, an empty file and a sound one pass; a check makes no
        file.
        """
        schema.checkDatabase(self.path)
        self.assertFalse(self.path.exists())
        self.path.touch()
        schema.checkDatabase(self.path)
        self.make()
        schema.checkDatabase(self.path)
        self.assertEqual(
            [p.name for p in self.path.parent.iterdir() if p.name.startswith(self.path.name)], [self.path.name]
        )

    def test_fromTheFirst(self) -> None:
        """
        A database of the first version, as it was written then, is brought
        to the present one, with everything in it.
        """
        who = "I" + "0" * 64
        with closing(sqlite3.connect(self.path)) as first:
            first.executescript(
                """
                CREATE TABLE secrets (handle BLOB PRIMARY KEY, kind TEXT NOT NULL, secret BLOB NOT NULL);
                CREATE TABLE change_histories (identifier TEXT PRIMARY KEY, history BLOB NOT NULL);
                CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB NOT NULL);
                CREATE TABLE relay_names
                    (name TEXT PRIMARY KEY, identifier TEXT NOT NULL, last_used INTEGER NOT NULL);
                INSERT INTO secrets VALUES (x'01', 'ed25519', x'0203');
                INSERT INTO settings VALUES ('identity', x'04');
                PRAGMA user_version = 1;
                """
            )
            first.execute("INSERT INTO relay_names VALUES ('blue', ?, 5)", (who,))
            first.execute("INSERT INTO change_histories VALUES (?, x'06')", (who,))
            first.commit()
        reactor = MemoryReactor()
        store = SQLiteStore(self.path, reactor)  # type: ignore[arg-type]
        store.open()
        self.assertEqual(store.secret(b"\x01"), ("ed25519", b"\x02\x03"))
        self.assertEqual(store.setting("identity"), b"\x04")
        self.assertEqual((store.owner("blue"), store.changeHistory(Identifier(who))), (Identifier(who), b"\x06"))
        self.assertFalse(store.members() or store.tokens())
        reactor.wait(store.close())
        with closing(sqlite3.connect(self.path)) as now:
            self.assertEqual(now.execute("PRAGMA user_version").fetchone(), (schema.VERSION,))

    def test_migrateTwice(self) -> None:
        """
        The tables are made once.
        """
        self.make()
        with closing(schema.connect(self.path)) as connection:
            schema.migrate(connection, self.path)
            self.assertEqual(connection.execute("SELECT count(*) FROM settings").fetchone(), (2000,))
            self.assertEqual(connection.execute("PRAGMA user_version").fetchone(), (schema.VERSION,))

    def test_migrationFails(self) -> None:
        """
        A migration that fails leaves the database as it was.
        """
        self.make()
        self.patch(schema, "MIGRATIONS", [*schema.MIGRATIONS, ("CREATE TABLE x (y)", "CREATE TABLE x (y)")])
        self.patch(schema, "VERSION", schema.VERSION + 1)
        with closing(schema.connect(self.path)) as connection:
            self.assertRaises(sqlite3.Error, schema.migrate, connection, self.path)
            self.assertEqual(connection.execute("PRAGMA user_version").fetchone(), (schema.VERSION - 1,))
            self.assertEqual(connection.execute("SELECT name FROM sqlite_master WHERE name='x'").fetchall(), [])

    def test_durable(self) -> None:
        """
        Commits are on the disk: write-ahead log, synchronous.
        """
        self.make()
        with closing(schema.connect(self.path)) as connection:
            self.assertEqual(connection.execute("PRAGMA journal_mode").fetchone(), ("wal",))
            self.assertEqual(connection.execute("PRAGMA synchronous").fetchone(), (2,))

    def test_newer(self) -> None:
        """
        A database of a newer program is refused as such, and not touched.
        """
        self.make(version=99)
        before = self.path.read_bytes()
        self.assertIn("version 99, newer than", self.refused())
        self.assertEqual(self.path.read_bytes(), before)

    def test_damaged(self) -> None:
        """
        What is no database, is cut off, or is scribbled over is refused as
        damaged.
        """
        self.path.write_bytes(b"not a database" * 1000)
        self.assertIn("is damaged", self.refused())
        self.path.unlink()
        self.make()
        whole = self.path.read_bytes()
        self.path.write_bytes(whole[: len(whole) // 2])
        self.assertIn("is damaged", self.refused())
        middle = len(whole) // 2
        self.path.write_bytes(whole[:middle] + b"\xaa" * 20000 + whole[middle + 20000 :])
        self.assertIn("is damaged", self.refused())

    def test_notAFile(self) -> None:
        """
        A folder in place of the database is refused.
        """
        self.path.mkdir()
        (self.path / "something").touch()
        self.refused()
