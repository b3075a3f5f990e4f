"""
A store that survives: one SQLite file, read into memory when it is opened.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads

from ockam_twisted.errors import DecodeError, InvalidIdentifier, StateUnusable
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.members import EnrollmentToken, Member
from ockam_twisted.storage import schema
from ockam_twisted.storage.members import memberOf, memberRow, tokenOf, tokenRow
from ockam_twisted.storage.memory import MemoryStore, NameOwner, StoredSecret
from ockam_twisted.storage.writer import Statement, Writer

_STORE_MEMBER = "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?)"
_STORE_TOKEN = "INSERT OR REPLACE INTO enrollment_tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


def readSetting(path: Path, name: str) -> bytes | None:
    """
    Read one setting of a database that another process may have open.

    @return: L{None} if it is not there.
    @raise StateUnusable: The database cannot be read.
    """
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'settings'").fetchone():
                return None
            row = connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    except (sqlite3.Error, OSError) as error:
        raise schema.unusable(path, error) from None
    return None if row is None else bytes(row[0])


def readState(path: Path) -> MemoryStore:
    """
    Read everything there is in a database that another process may have open,
    and may go on writing to.

    @return: A copy in memory: what is written to that is forgotten in the end.
    @raise StateUnusable: It cannot be read, or is of another version.
    """
    copy = MemoryStore()
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            # All of it as it was at one moment.
            connection.execute("BEGIN")
            schema.checkVersion(connection, path)
            _load(copy, connection, path)
    except (sqlite3.Error, OSError) as error:
        raise schema.unusable(path, error) from None
    return copy


def _load(store: MemoryStore, connection: sqlite3.Connection, path: Path) -> None:
    with closing(connection.cursor()) as cursor:
        try:
            rows = cursor.execute("SELECT handle, kind, secret FROM secrets")
            store._secrets = {handle: StoredSecret(kind, secret) for handle, kind, secret in rows}
            rows = cursor.execute("SELECT identifier, history FROM change_histories")
            store._histories = {Identifier(identifier): history for identifier, history in rows}
            store._settings = dict(cursor.execute("SELECT name, value FROM settings"))
            rows = cursor.execute("SELECT name, identifier, last_used FROM relay_names")
            store._names = {name: NameOwner(Identifier(identifier), used) for name, identifier, used in rows}
            rows = cursor.execute("SELECT identifier, attributes, added, added_by FROM members")
            store._members = {member.identifier: member for member in map(memberOf, rows)}
            rows = cursor.execute(
                "SELECT code_hash, attributes, created, expires, uses, redemptions, revoked, startup"
                " FROM enrollment_tokens"
            )
            store._tokens = {token.codeHash: token for token in map(tokenOf, rows)}
        except (InvalidIdentifier, DecodeError, ValueError, TypeError) as error:
            raise StateUnusable(f"the database {path} is damaged ({error})") from None
    store._owned = Counter(owner.identifier for owner in store._names.values())


class SQLiteStore(MemoryStore):
    """
    Reads answer from memory.  A write shows in reads at once, and its
    Deferred fires after the commit: acknowledge nothing to a peer before
    that.  If it fails (the disk is full), memory is ahead of the disk until
    the next write succeeds: who finds that nothing is left to be done waits
    for L{whenStored}.
    """

    def __init__(self, path: str | Path, reactor: IReactorFromThreads) -> None:
        """
        @param path: The database file; made if it is not there.  Its folder
            is there, and locked for us.
        """
        super().__init__()
        self._path = Path(path)
        self._reactor = reactor
        self._writer: Writer | None = None

    def __repr__(self) -> str:
        return f"<SQLiteStore {self._path}>"

    def open(self) -> None:
        """
        Read everything, and start the thread that writes.  To be called once
        the process will fork no more.

        @raise StateUnusable: The database is damaged, newer than this code,
            or cannot be opened.
        """
        try:
            # Made with its mode, so that the secrets are never readable by
            # others; SQLite gives its other files the same mode.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            os.chmod(self._path, 0o600)
            connection = schema.connect(self._path)
            try:
                schema.migrate(connection, self._path)
                _load(self, connection, self._path)
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise schema.unusable(self._path, error) from None
        self._writer = Writer(connection, self._path, self._reactor)

    def close(self) -> Deferred[None]:
        """
        @return: Fires when everything has been written and the file is
            closed.
        """
        return succeed(None) if self._writer is None else self._writer.close()

    def whenStored(self, what: str | bytes) -> Deferred[None]:
        """
        See L{IIdentityStore.whenStored}.
        """
        if self._writer is None:
            return fail(StateUnusable(f"the database {self._path} is not open"))
        return self._writer.whenWritten(what)

    def _write(self, *statements: Statement) -> Deferred[None]:
        if self._writer is None:
            return fail(StateUnusable(f"the database {self._path} is not open"))
        return self._writer.write(*statements)

    # The writes.

    def storeSecret(self, handle: bytes, kind: str, secret: bytes) -> Deferred[None]:
        """
        See L{IIdentityStore.storeSecret}.
        """
        super().storeSecret(handle, kind, secret)
        return self._write(("INSERT OR REPLACE INTO secrets VALUES (?, ?, ?)", (handle, kind, secret)))

    def deleteSecret(self, handle: bytes) -> Deferred[None]:
        """
        See L{IIdentityStore.deleteSecret}.
        """
        if handle not in self._secrets:
            return self.whenStored(handle)
        super().deleteSecret(handle)
        return self._write(("DELETE FROM secrets WHERE handle = ?", (handle,)))

    def storeChangeHistory(self, identifier: Identifier, history: bytes) -> Deferred[None]:
        """
        See L{IIdentityStore.storeChangeHistory}.
        """
        super().storeChangeHistory(identifier, history)
        return self._write(("INSERT OR REPLACE INTO change_histories VALUES (?, ?)", (str(identifier), history)))

    def storeSetting(self, name: str, value: bytes) -> Deferred[None]:
        """
        See L{IIdentityStore.storeSetting}.
        """
        super().storeSetting(name, value)
        return self._write(("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value)))

    def storeOwner(self, name: str, identifier: Identifier, now: int) -> Deferred[None]:
        """
        See L{INameStore.storeOwner}.
        """
        super().storeOwner(name, identifier, now)
        return self._write(("INSERT OR REPLACE INTO relay_names VALUES (?, ?, ?)", (name, str(identifier), now)))

    def forgetUnused(self, before: int) -> Deferred[int]:
        """
        See L{INameStore.forgetUnused}.
        """
        forgotten = super().forgetUnused(before)
        written = self._write(("DELETE FROM relay_names WHERE last_used < ?", (before,)))
        return written.addCallback(lambda _: forgotten)

    def deleteSetting(self, name: str) -> Deferred[None]:
        """
        See L{IIdentityStore.deleteSetting}.
        """
        super().deleteSetting(name)
        return self._write(("DELETE FROM settings WHERE name = ?", (name,)))

    def storeMember(self, member: Member) -> Deferred[None]:
        """
        See L{ockam_twisted.interfaces.IMemberStore.storeMember}.
        """
        super().storeMember(member)
        return self._write((_STORE_MEMBER, memberRow(member)))

    def deleteMember(self, identifier: Identifier) -> Deferred[None]:
        """
        See L{ockam_twisted.interfaces.IMemberStore.deleteMember}.
        """
        super().deleteMember(identifier)
        return self._write(("DELETE FROM members WHERE identifier = ?", (str(identifier),)))

    def storeToken(self, token: EnrollmentToken) -> Deferred[None]:
        """
        See L{ockam_twisted.interfaces.IMemberStore.storeToken}.
        """
        super().storeToken(token)
        return self._write((_STORE_TOKEN, tokenRow(token)))

    def storeRedemption(self, token: EnrollmentToken, member: Member) -> Deferred[None]:
        """
        See L{ockam_twisted.interfaces.IMemberStore.storeRedemption}.
        """
        super().storeRedemption(token, member)
        return self._write((_STORE_TOKEN, tokenRow(token)), (_STORE_MEMBER, memberRow(member)))

    def deleteTokens(self, codeHashes: Iterable[bytes]) -> Deferred[None]:
        """
        See L{ockam_twisted.interfaces.IMemberStore.deleteTokens}.
        """
        hashes = tuple(codeHashes)
        super().deleteTokens(hashes)
        return self._write(*(("DELETE FROM enrollment_tokens WHERE code_hash = ?", (each,)) for each in hashes))
