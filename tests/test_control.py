"""
Tests for L{ockam_twisted.control}, with the real reactor and a real socket.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from ockam_twisted.administration import Administration
from ockam_twisted.authority.authority import Authority
from ockam_twisted.control import MAX_LINE, NAME, Control, NotRunning, askNode
from ockam_twisted.errors import ConfigurationError, StateUnusable
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.storage.memory import MemoryStore

WHO = Identifier.fromDigest(bytes(32))
Steps = Generator[Deferred[Any], Any, None]


class ControlTests(TestCase):
    """
    One line there, one line back.
    """

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.folder = Path(tempfile.mkdtemp(prefix="ockam-twisted-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        store = MemoryStore()
        self.administration = Administration(Authority(store, lambda: 1000), store, WHO, "ockam-outlet", lambda: 1000)
        self.reactor = reactor

    def start(self, folder: Path | None = None) -> Control:
        """
        Listen.
        """
        control = Control(self.reactor, folder or self.folder, self.administration)
        control.startService()
        self.addCleanup(control.stopService)
        return control

    def ask(self, task: str, folder: Path | None = None, **arguments: Any) -> Deferred[Any]:
        """
        Ask, in a thread, as another process would.
        """
        return deferToThread(askNode, folder or self.folder, task, arguments)

    @inlineCallbacks
    def test_asked(self) -> Steps:
        """
        Results and refusals come back; the socket is for its owner only, and
        is gone afterwards.
        """
        control = self.start()
        self.assertEqual((self.folder / NAME).stat().st_mode & 0o777, 0o600)
        self.assertEqual((yield self.ask("member list")), [])
        yield self.assertFailure(self.ask("member remove", identifier=str(WHO)), ConfigurationError)
        yield self.assertFailure(self.ask("launch"), ConfigurationError)
        yield control.stopService()
        self.assertFalse((self.folder / NAME).exists())
        yield self.assertFailure(self.ask("member list"), NotRunning)

    @inlineCallbacks
    def test_leftOver(self) -> Steps:
        """
        A socket that a killed node has left is no node, and is no obstacle.
        """
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(self.folder / NAME))
        yield self.assertFailure(self.ask("member list"), NotRunning)
        self.start()
        self.assertEqual((yield self.ask("member list")), [])

    @inlineCallbacks
    def test_longPath(self) -> Steps:
        """
        A folder whose path is longer than addresses of sockets may be.
        """
        deep = self.folder.joinpath(*["x" * 60] * 4)
        deep.mkdir(parents=True)
        self.start(deep)
        self.assertEqual((yield self.ask("member list", deep)), [])

    @inlineCallbacks
    def test_garbage(self) -> Steps:
        """
        Lines that are no requests are answered, long ones end the connection;
        others notice nothing.
        """
        self.start()

        def send(data: bytes) -> bytes:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(10)
                client.connect(str(self.folder / NAME))
                try:
                    client.sendall(data)
                    return client.makefile("rb").readline()
                except (BrokenPipeError, ConnectionResetError):
                    return b""

        for line in (b"{}\n", b"nonsense\n", b"[1]\n", b'{"task": 1, "arguments": 5}\n', b"[" * 9000 + b"\n"):
            self.assertIn(b"that is no request", (yield deferToThread(send, line)))
        self.assertEqual((yield deferToThread(send, b"x" * (MAX_LINE + 100_000))), b"")
        self.assertEqual((yield self.ask("member list")), [])

    @inlineCallbacks
    def test_failure(self) -> Steps:
        """
        What fails by a mistake of ours is in the log; the asker is told where
        to look.
        """
        self.start()
        self.administration.tasks["break"] = lambda: 1 // 0
        yield self.assertFailure(self.ask("break"), ConfigurationError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_noPlace(self) -> None:
        """
        Where the socket cannot be, the start ends with a plain line.
        """
        control = Control(self.reactor, self.folder / "nowhere", self.administration)
        self.assertRaises(StateUnusable, control.startService)
        self.assertTrue(os.path.isdir(self.folder))
