"""
What tests of a disk that fails share.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from twisted.trial.unittest import TestCase

from ockam_twisted.storage import schema
from ockam_twisted.storage.sqlite import SQLiteStore


class SQLiteTestCase(TestCase):
    """
    A store in a real file, with the real reactor.
    """

    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        self.path = folder / "state.sqlite"

    def open(self) -> SQLiteStore:
        """
        Open it.
        """
        from twisted.internet import reactor

        store = SQLiteStore(self.path, reactor)  # type: ignore[arg-type]
        store.open()
        self.addCleanup(store.close)
        return store


class FailingDiskTestCase(SQLiteTestCase):
    """
    Between L{failWrites} and L{mend} nothing can be written: somebody else has
    locked the database.
    """

    def setUp(self) -> None:
        super().setUp()
        self.patch(schema, "BUSY_TIMEOUT", 0)

    def failWrites(self) -> None:
        """
        From now on every write fails.
        """
        self._other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(self._other.close)
        self._other.execute("BEGIN IMMEDIATE")

    def mend(self) -> None:
        """
        From now on they succeed.
        """
        self._other.close()
