"""
A process under load that is killed at random instants, again and again:
C{python killed.py FOLDER TIMES SEED}.

Each time a child is forked that opens the state as a node does and makes
tickets, members, secrets and settings, noting in a file what was acknowledged.
After its death nothing that was acknowledged may be missing, and nothing may
be there by half.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from ockam_twisted.authority.authority import Authority
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.storage.folder import StateFolder
from ockam_twisted.storage.sqlite import SQLiteStore
from ockam_twisted.wire import cbor

#: Seconds that it lives, at most.
LONGEST = 0.12


def work(folder: Path, acknowledged: Path) -> None:
    """
    Be the child.
    """
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred

    place = StateFolder(folder)
    place.open()
    store = SQLiteStore(place.database, reactor)  # type: ignore[arg-type]
    store.open()
    authority = Authority(store, lambda: int(time.time()))
    note = os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def chain() -> None:
        while True:
            who = Identifier.fromDigest(os.urandom(32))
            token, code = await authority.createToken(((b"name", str(who).encode()),))
            os.write(note, f"token {token.codeHash.hex()}\n".encode())
            await authority.redeem(code, who)
            os.write(note, f"member {who} {token.codeHash.hex()}\n".encode())
            handle = os.urandom(8)
            await store.storeSecret(handle, "x", handle * 4)
            os.write(note, f"secret {handle.hex()}\n".encode())
            await store.storeSetting(str(who), handle)
            os.write(note, f"setting {who} {handle.hex()}\n".encode())

    run: Any = reactor
    for _ in range(8):
        run.callWhenRunning(lambda: Deferred.fromCoroutine(chain()))
    run.run()


def check(folder: Path, acknowledged: Path) -> int:
    """
    Look at what is left.

    @return: How many acknowledgements there were.
    """
    # A kill may cut the last line short: a write that crosses a page is two.
    text = acknowledged.read_text() if acknowledged.exists() else ""
    lines = [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]
    database = folder / "state.sqlite"
    if not database.exists():
        assert not lines
        return 0
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "members" not in tables:
            assert not lines
            return 0
        members = {row[0]: row[1] for row in connection.execute("SELECT identifier, added_by FROM members")}
        tokens = {
            code: [who for who, _ in cbor.decode(redemptions)]
            for code, redemptions in connection.execute("SELECT hex(code_hash), redemptions FROM enrollment_tokens")
        }
        secrets = {bytes(handle): secret for handle, secret in connection.execute("SELECT handle, secret FROM secrets")}
        settings = dict(connection.execute("SELECT name, value FROM settings"))
    for kind, first, *rest in lines:
        if kind == "token":
            assert first.upper() in tokens, f"token {first} is lost"
        elif kind == "member":
            assert first in members, f"member {first} is lost"
            assert tokens[rest[0].upper()] == [first], f"the redemption of {first} is lost"
        elif kind == "secret":
            assert secrets[bytes.fromhex(first)] == bytes.fromhex(first) * 4, f"secret {first} is lost"
        else:
            assert settings[first] == bytes.fromhex(rest[0]), f"setting {first} is lost"
    # A token that was used and a member that it has made: both or neither.
    assert sorted(who for used in tokens.values() for who in used) == sorted(members)
    # The next start takes it as it is.
    place = StateFolder(folder)
    place.check()
    return len(lines)


def main(folder: Path, times: int, seed: int) -> None:
    """
    Kill it, again and again.
    """
    chance = random.Random(seed)
    acknowledged, total, early = folder.with_name("acknowledged"), 0, 0
    # How long it lives at most; longer where a busy machine starts it slowly.
    longest = LONGEST
    for _ in range(times):
        child = os.fork()
        if not child:
            try:
                work(folder, acknowledged)
            finally:
                os._exit(1)
        time.sleep(chance.uniform(0.0, longest))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"the child ended by itself with status {status}"
        count = check(folder, acknowledged)
        isEarly = not acknowledged.exists() or count == 0
        longest = min(1.1 * longest, 8 * LONGEST) if isEarly else max(0.9 * longest, LONGEST)
        early += isEarly
        total += count
        acknowledged.unlink(missing_ok=True)
        database = folder / "state.sqlite"
        # It may have died between making the folder and the database.
        if database.exists() and database.stat().st_size > 4_000_000:
            for each in folder.iterdir():
                each.unlink()
    print(f"Killed: {times} times, {early} before anything was acknowledged, {total} acknowledgements kept")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
