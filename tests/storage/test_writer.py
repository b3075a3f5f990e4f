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

from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from ockam_twisted.errors import StateUnusable
from ockam_twisted.storage import schema
from ockam_twisted.storage.writer import Writer

INSERT = "INSERT INTO settings VALUES (?, ?)"


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


class WriterTests(SynchronousTestCase):
    """
    L{Writer}.
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
