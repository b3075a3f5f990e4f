"""
The tables of the database, and how an older one becomes the present one.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from ockam_twisted.errors import StateUnusable

#: What makes each version of the schema out of the one before, from nothing
#: on.  Never edit one that has been released: append.
MIGRATIONS: list[tuple[str, ...]] = [
    (
        "CREATE TABLE secrets (handle BLOB PRIMARY KEY, kind TEXT NOT NULL, secret BLOB NOT NULL)",
        "CREATE TABLE change_histories (identifier TEXT PRIMARY KEY, history BLOB NOT NULL)",
        "CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB NOT NULL)",
        "CREATE TABLE relay_names (name TEXT PRIMARY KEY, identifier TEXT NOT NULL, last_used INTEGER NOT NULL)",
    ),
    (
        "CREATE TABLE members (identifier TEXT PRIMARY KEY, attributes BLOB NOT NULL, added INTEGER NOT NULL,"
        " added_by TEXT NOT NULL)",
        "CREATE TABLE enrollment_tokens (code_hash BLOB PRIMARY KEY, attributes BLOB NOT NULL,"
        " created INTEGER NOT NULL, expires INTEGER NOT NULL, uses INTEGER NOT NULL, redemptions BLOB NOT NULL,"
        " revoked INTEGER NOT NULL, startup INTEGER NOT NULL)",
    ),
]

#: The version that this code writes.
VERSION = len(MIGRATIONS)

#: Seconds to wait for somebody else who has the database open.
BUSY_TIMEOUT = 5


def unusable(path: Path, error: Exception) -> StateUnusable:
    """
    One plain line for what SQLite says of the database at C{path}.
    """
    code = getattr(error, "sqlite_errorname", "") or ""
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StateUnusable(f"the database {path} is damaged ({error}); restore it, or move it away to start anew")
    return StateUnusable(f"the database {path} cannot be used: {error}")


def connect(path: Path) -> sqlite3.Connection:
    """
    Open the database at C{path}, which exists, for durable writing.  It may
    be used from one thread at a time, whichever that is.
    """
    connection = sqlite3.connect(
        path.absolute().as_uri() + "?mode=rw",
        uri=True,
        timeout=BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        # Deleted secrets leave no traces in free pages.
        connection.execute("PRAGMA secure_delete=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """
    @raise StateUnusable: It is newer than ours.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not 0 <= version <= VERSION:
        raise StateUnusable(
            f"the database {path} is of version {version}, newer than {VERSION}, the newest this program knows;"
            " use the newer program"
        )
    return int(version)


def checkVersion(connection: sqlite3.Connection, path: Path) -> None:
    """
    Is the database of the version that this code writes?

    @raise StateUnusable: No.
    """
    version = _version(connection, path)
    if version != VERSION:
        raise StateUnusable(
            f"the database {path} is of version {version}: start its node once, which brings it up to date"
        )


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """
    Bring the database to the present version, in one transaction.

    @raise StateUnusable: It is newer than that.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statements in MIGRATIONS[_version(connection, path) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def checkDatabase(path: Path) -> None:
    """
    Is there a sound database at C{path}, or none at all?  Leaves nothing
    open; nobody else may have it open.

    @raise StateUnusable: It is damaged, newer than this code, or cannot be
        read; the text is one plain line.
    """
    try:
        if not path.exists():
            return
        if path.stat().st_size == 0:
            return  # Made, and not yet written to.
        with closing(connect(path)) as connection:
            _version(connection, path)
            (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except (sqlite3.Error, OSError) as error:
        raise unusable(path, error) from None
    if result != "ok":
        shown = " ".join(str(result).split())
        raise StateUnusable(f"the database {path} is damaged ({shown}); restore it, or move it away to start anew")
