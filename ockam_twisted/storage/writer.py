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

#: SQL and its parameters.
Statement = tuple[str, tuple[Any, ...]]


@frozen(eq=False)
class _Write:
    """
    Statements that are carried out together or not at all.
    """

    statements: tuple[Statement, ...] = field(repr=False)
    done: Deferred[None]


class Writer:
    """
    Carries out writes in the order they come, as many as have queued up in
    one transaction, and tells each when it is on the disk.
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
        # A daemon, so that a process that ends without closing ends; what
        # was acknowledged is on the disk by then.
        self._thread = Thread(target=self._run, name="ockam-storage", daemon=True)
        self._thread.start()

    def write(self, *statements: Statement) -> Deferred[None]:
        """
        Carry out C{statements}, all or none.

        @return: Fires after the commit; fails with L{StateUnusable}.
        """
        if self._closing:
            return fail(StateUnusable(f"the database {self._path} is closed"))
        write = _Write(statements, Deferred())
        self._queue.put(write)
        return write.done

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
        try:
            self._connection.close()
        except sqlite3.Error:
            pass  # Everything has been committed; what is left, the next opening does.
        self._tell(self._finish)

    def _commit(self, group: list[_Write]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for write in group:
                for sql, parameters in write.statements:
                    self._connection.execute(sql, parameters)
            self._connection.execute("COMMIT")
        except Exception as error:
            self._rollBack()
            if len(group) > 1:
                # One that fails must not take the others with it.
                for write in group:
                    self._commit([write])
                return
            self._tell(group[0].done.errback, Failure(unusable(self._path, error)))
        else:
            self._tell(self._fire, group)

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
        for write in group:
            write.done.callback(None)

    def _finish(self) -> None:
        self._thread.join()
        self._finished = True
        for done in self._waiting:
            done.callback(None)
