"""
Tests for L{ockam_twisted.storage.writer}.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from ockam_twisted.errors import StateUnusable
from ockam_twisted.storage import schema, writer
from ockam_twisted.storage.writer import Statement, Writer

INSERT = "INSERT INTO settings VALUES (?, ?)"
REPLACE = "INSERT OR REPLACE INTO settings VALUES (?, ?)"
DELETE = "DELETE FROM settings WHERE name = ?"


@implementer(IReactorFromThreads)
class ThreadCalls:
    """
    What the thread asks of the reactor, carried out when the test says so.
    """

    def __init__(self) -> None:
        self.calls: SimpleQueue[Callable[[], Any]] = SimpleQueue()

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        """
        Keep it.
        """
        self.calls.put(lambda: callable(*args, **kwargs))

    def runOne(self) -> None:
        """
        Wait for the next call and carry it out.
        """
        self.calls.get(timeout=30)()


class WriterBase(SynchronousTestCase):
    """
    A real file, and a real thread.
    """

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.path.touch()
        self.connection = schema.connect(self.path)
        schema.migrate(self.connection, self.path)
        self.statements: list[str] = []
        self.connection.set_trace_callback(self.statements.append)
        self.reactor = ThreadCalls()

    def contents(self) -> list[Any]:
        """
        What is in the file.
        """
        with closing(sqlite3.connect(self.path)) as reader:
            return [name for (name,) in reader.execute("SELECT name FROM settings ORDER BY name")]

    def finish(self, writer: Writer) -> None:
        """
        Close it, and let everything be told.
        """
        done = writer.close()
        while not done.called:
            self.reactor.runOne()


class WriterTests(WriterBase):
    """
    L{Writer}.
    """

    def test_group(self) -> None:
        """
        What has queued up while another commits shares one transaction.
        """
        with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # Holds up the first.
            writer = Writer(self.connection, self.path, self.reactor)
            done = [writer.write((INSERT, (f"{n:03}", b""))) for n in range(100)]
            other.execute("COMMIT")
        self.finish(writer)
        for each in done:
            self.assertIsNone(self.successResultOf(each))
        self.assertEqual(self.contents(), [f"{n:03}" for n in range(100)])
        self.assertTrue(self.statements.count("COMMIT") < 20)

    def test_allOrNone(self) -> None:
        """
        The statements of one write are carried out together or not at all,
        and the next write does not suffer.
        """
        writer = Writer(self.connection, self.path, self.reactor)
        bad = writer.write((INSERT, ("a", b"")), (INSERT, ("a", b"")))
        good = writer.write((INSERT, ("b", b"")), (INSERT, ("c", b"")))
        self.finish(writer)
        error = self.failureResultOf(bad, StateUnusable)
        self.assertIn(str(self.path), error.getErrorMessage())
        self.assertIsNone(self.successResultOf(good))
        self.assertEqual(self.contents(), ["b", "c"])

    def test_close(self) -> None:
        """
        Closing carries out what was asked; asking after that fails; closing
        again waits for the same end.
        """
        writer = Writer(self.connection, self.path, self.reactor)
        done = writer.write((INSERT, ("a", b"")))
        first, second = writer.close(), writer.close()
        self.failureResultOf(writer.write((INSERT, ("b", b""))), StateUnusable)
        self.assertNoResult(first)
        self.finish(writer)
        for each in (done, first, second, writer.close()):
            self.assertIsNone(self.successResultOf(each))
        self.assertEqual(self.contents(), ["a"])
        self.assertRaises(sqlite3.ProgrammingError, self.connection.execute, "SELECT 1")


class FailingDiskTests(WriterBase):
    """
    What becomes of a write that the disk has made fail.
    """

    def setUp(self) -> None:
        super().setUp()
        self.connection.execute("PRAGMA busy_timeout=0")
        self.other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(self.other.close)
        self.writer = Writer(self.connection, self.path, self.reactor)
        self.addCleanup(self.finish, self.writer)

    def lock(self) -> None:
        """
        Nothing can be written until L{unlock}.
        """
        self.other.execute("BEGIN IMMEDIATE")

    def unlock(self) -> None:
        """
        See L{lock}.
        """
        self.other.execute("ROLLBACK")

    def settled(self, waiting: Deferred[None]) -> Deferred[None]:
        """
        Wait for what becomes of something.
        """
        while not waiting.called:
            self.reactor.runOne()
        return waiting

    def write(self, *statements: Statement) -> None:
        """
        Write something, which succeeds.
        """
        self.successResultOf(self.settled(self.writer.write(*statements)))

    def fails(self, *statements: Statement) -> str:
        """
        Write something, which fails.

        @return: Why.
        """
        failed = self.settled(self.writer.write(*statements))
        return self.failureResultOf(failed, StateUnusable).getErrorMessage()

    def test_before(self) -> None:
        """
        It is carried out before the next write, in its place.
        """
        self.write((INSERT, ("a", b"1")))
        self.lock()
        self.fails((DELETE, ("a",)), (REPLACE, ("b", b"1")))
        self.fails((REPLACE, ("a", b"2")), (DELETE, ("b",)))
        self.fails((REPLACE, ("b", b"2")), (REPLACE, ("c", b"1")))
        self.unlock()
        self.write((REPLACE, ("d", b"1")), (DELETE, ("c",)))
        self.assertEqual(self.contents(), ["a", "b", "d"])
        self.write((DELETE, ("b",)))
        self.write((INSERT, ("e", b"1")))
        self.assertEqual(self.contents(), ["a", "d", "e"])

    def test_full(self) -> None:
        """
        While there is no room for it, nothing else succeeds, even if there is
        room for that.
        """
        (pages,) = self.connection.execute("PRAGMA page_count").fetchone()
        self.connection.execute(f"PRAGMA max_page_count={pages}")
        self.assertIn("full", self.fails((REPLACE, ("large", bytes(100_000)))))
        self.assertIn("full", self.fails((REPLACE, ("small", b""))))
        self.assertEqual(self.contents(), [])
        self.connection.execute(f"PRAGMA max_page_count={pages + 100}")
        self.write((REPLACE, ("last", b"")))
        self.assertEqual(self.contents(), ["large", "last", "small"])

    def test_whenWritten(self) -> None:
        """
        Who finds a row as it should be can wait for it, and has it tried
        again; other rows are waited for by nobody.
        """
        write = self.writer.write((REPLACE, ("a", b"")))
        waiting = self.writer.whenWritten("a")
        self.assertNoResult(waiting)
        self.successResultOf(self.settled(waiting))
        self.assertIsNone(self.successResultOf(write))
        self.lock()
        self.fails((REPLACE, ("b", b"")))
        for _ in range(2):
            self.failureResultOf(self.settled(self.writer.whenWritten("b")), StateUnusable)
        self.assertIsNone(self.successResultOf(self.writer.whenWritten("a")))
        self.unlock()
        self.successResultOf(self.settled(self.writer.whenWritten("b")))
        self.assertEqual(self.contents(), ["a", "b"])
        self.assertIsNone(self.successResultOf(self.writer.whenWritten("b")))

    def test_again(self) -> None:
        """
        That an earlier write has succeeded says nothing of the row that a
        later one is about.
        """
        first = self.writer.write((REPLACE, ("a", b"")))
        tell = self.reactor.calls.get(timeout=30)
        self.lock()
        second = self.writer.write((REPLACE, ("b", b"")))
        tell()
        self.successResultOf(first)
        waiting = self.writer.whenWritten("b")
        self.assertNoResult(waiting)
        for each in (second, waiting):
            self.failureResultOf(self.settled(each), StateUnusable)
        self.unlock()

    def test_lastCounts(self) -> None:
        """
        Of each row the last statement is kept, however often it fails.
        """
        self.lock()
        for number in range(50):
            self.fails((REPLACE, ("a", b"%d" % number)), (DELETE, ("b",)))
        self.unlock()
        self.statements.clear()
        self.write()
        self.assertEqual([each.partition(" ")[0] for each in self.statements], ["BEGIN", "INSERT", "DELETE", "COMMIT"])
        with closing(sqlite3.connect(self.path)) as reader:
            self.assertEqual(reader.execute("SELECT * FROM settings").fetchall(), [("a", b"49")])

    def test_faulty(self) -> None:
        """
        One that could never be carried out is not in the way of others, when
        it was not its fault that it failed.
        """
        self.lock()
        self.fails((REPLACE, ("a", 2**70)))
        self.fails((REPLACE, ("b", b"")))
        self.unlock()
        self.write((REPLACE, ("c", b"")))
        self.assertEqual(self.contents(), ["b", "c"])

    def test_tooMuch(self) -> None:
        """
        There is an end to what is kept: then nothing succeeds any more, and
        the reason says what to do.
        """
        self.patch(writer, "MAX_BEHIND", 3)
        self.lock()
        for name in "abcde":
            self.fails((REPLACE, (name, b"")))
        self.unlock()
        self.assertIn("start the node again", self.fails((REPLACE, ("f", b""))))
        self.assertEqual(self.contents(), [])

    def test_closing(self) -> None:
        """
        In the end it is tried once more.
        """
        self.lock()
        self.fails((REPLACE, ("a", b"")))
        self.unlock()
        self.finish(self.writer)
        self.assertEqual(self.contents(), ["a"])
