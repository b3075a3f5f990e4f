"""
The one thread that writes to the database.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from ockam_twisted.errors import StateUnusable
from ockam_twisted.storage.schema import unusable

#: How many writes share a transaction at most.
MAX_GROUP = 1000

#: How many statements that could not be carried out are kept at most.
MAX_BEHIND = 100_000

#: SQL and its parameters, the first of which names the row that it is about:
#: it says all of that row, so that the last one counts.
Statement = tuple[str, tuple[Any, ...]]

#: What is wrong with a write and not with the disk: it would fail again.
_FAULTS = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    OverflowError,
    TypeError,
    ValueError,
)


@frozen(eq=False)
class _Write:
    """
    Statements that are carried out together or not at all.

    @ivar number: Of the write, in their order.
    """

    statements: tuple[Statement, ...] = field(repr=False)
    number: int
    done: Deferred[None]


class Writer:
    """
    Carries out writes in the order they come, as many as have queued up in
    one transaction, and tells each when it is on the disk.

    A write that fails because of the disk (it is full, somebody has locked
    the database) is carried out before the next one, and until that succeeds
    none does: who asks for it has it in memory, and whatever comes after may
    rest on it.  Of each row the last statement is kept, so that there are no
    more than rows that were changed meanwhile; beyond L{MAX_BEHIND} no write
    succeeds any more.  One that is wrong itself fails alone.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, reactor: IReactorFromThreads) -> None:
        """
        @param connection: From now on used, and in the end closed, by this.
        @param path: Where the database is, for the texts of errors.
        """
        self._connection = connection
        self._path = path
        self._reactor = reactor
        self._queue: SimpleQueue[_Write | None] = SimpleQueue()
        self._closing = False
        self._finished = False
        self._waiting: list[Deferred[None]] = []
        self._number = 0
        # Rows that may not be on the disk as they were written last, and the
        # number of that write: the oldest first.
        self._unwritten: dict[Any, int] = {}
        # The thread's: what has failed, by SQL and row, in its order.
        self._behind: dict[tuple[Any, ...], Statement] = {}
        self._isTooFarBehind = False
        # A daemon, so that a process that ends without closing ends; what
        # was acknowledged is on the disk by then.
        self._thread = Thread(target=self._run, name="ockam-storage", daemon=True)
        self._thread.start()

    def write(self, *statements: Statement) -> Deferred[None]:
        """
        Carry out C{statements}, all or none, after all that was asked before.

        @return: Fires after the commit; fails with L{StateUnusable}.
        """
        if self._closing:
            return fail(StateUnusable(f"the database {self._path} is closed"))
        self._number += 1
        for _, (row, *_) in statements:
            self._unwritten.pop(row, None)
            self._unwritten[row] = self._number
        write = _Write(statements, self._number, Deferred())
        self._queue.put(write)
        return write.done

    def whenWritten(self, row: Any) -> Deferred[None]:
        """
        @param row: The first parameter of statements.
        @return: Fires once the last of them is on the disk, which is tried
            again if it has failed; fails with L{StateUnusable}.
        """
        return self.write() if row in self._unwritten else succeed(None)

    def close(self) -> Deferred[None]:
        """
        @return: Fires when everything has been written and the database is
            closed.
        """
        if self._finished:
            return succeed(None)
        if not self._closing:
            self._closing = True
            self._queue.put(None)
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        return done

    # In the thread.

    def _run(self) -> None:
        running = True
        while running:
            group: list[_Write] = []
            item = self._queue.get()
            while item is not None:
                group.append(item)
                if len(group) == MAX_GROUP:
                    break
                try:
                    item = self._queue.get_nowait()
                except Empty:
                    break
            running = item is not None
            if group:
                self._commit(group)
        if self._behind:
            self._commit([])
        try:
            self._connection.close()
        except sqlite3.Error:
            pass  # Everything has been committed; what is left, the next opening does.
        self._tell(self._finish)

    def _commit(self, group: list[_Write]) -> None:
        try:
            if self._isTooFarBehind:
                raise sqlite3.OperationalError("too much could not be written; start the node again")
            if self._behind or any(write.statements for write in group):
                self._connection.execute("BEGIN IMMEDIATE")
                self._catchUp()
                for write in group:
                    for sql, parameters in write.statements:
                        self._connection.execute(sql, parameters)
                self._connection.execute("COMMIT")
        except Exception as error:
            self._rollBack()
            if not isinstance(error, _FAULTS):
                for write in group:
                    self._keep(write)
                    self._tell(write.done.errback, Failure(unusable(self._path, error)))
            elif len(group) > 1:
                # One that fails must not take the others with it.
                for write in group:
                    self._commit([write])
            else:
                self._tell(group[0].done.errback, Failure(unusable(self._path, error)))
        else:
            self._behind.clear()
            if group:
                self._tell(self._fire, group)

    def _catchUp(self) -> None:
        """
        Carry out what has failed.
        """
        for key, (sql, parameters) in list(self._behind.items()):
            try:
                self._connection.execute(sql, parameters)
            except _FAULTS:
                # Its turn had not come before: it must not be in the way of all others.
                del self._behind[key]

    def _keep(self, write: _Write) -> None:
        """
        Have it carried out before the next one.
        """
        for sql, parameters in write.statements:
            key = (sql, parameters[0])
            self._behind.pop(key, None)
            self._behind[key] = sql, parameters
        if self._isTooFarBehind or len(self._behind) > MAX_BEHIND:
            # The start after this reads what is on the disk, as after a kill.
            self._isTooFarBehind = True
            self._behind.clear()

    def _rollBack(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # The error that led here is the one to report.

    def _tell(self, call: Any, *arguments: Any) -> None:
        self._reactor.callFromThread(call, *arguments)

    # In the reactor.

    def _fire(self, group: list[_Write]) -> None:
        while self._unwritten and self._unwritten[row := next(iter(self._unwritten))] <= group[-1].number:
            del self._unwritten[row]
        for write in group:
            write.done.callback(None)

    def _finish(self) -> None:
        self._thread.join()
        self._finished = True
        for done in self._waiting:
            done.callback(None)
