"""
Tests of L{ockam_twisted.tap.options}: from options to a service.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.python import usage
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from ockam_twisted.assembly import NodeService
from ockam_twisted.storage.folder import StateFolder
from ockam_twisted.tap.options import CommandOptions, NodeOptions, makeNodeService
from ockam_twisted.tap.relay import Options

NOBODY = 65534


def needsRoot() -> None:
    """
    Skip, loudly, without the right to become another user.
    """
    if os.geteuid() != 0:
        raise SkipTest("NOT ROOT: cannot become another user")


class ServiceTests(SynchronousTestCase):
    """
    L{makeNodeService}.
    """

    def setUp(self) -> None:
        # Some tests make the reactor of the test runner theirs.
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        # Where other users can get at.
        place = tempfile.mkdtemp(prefix="ockam-twisted-test-")
        self.addCleanup(shutil.rmtree, place)
        os.chmod(place, 0o711)
        self.folder = Path(place) / "state"

    def options(self, *arguments: str, **daemon: Any) -> Options:
        """
        Parsed options below those of C{twistd}.
        """
        options = Options()
        options.parent = daemon
        options.parseOptions(["--listen", "tcp:0:interface=127.0.0.1", *arguments])
        return options

    def refused(self, options: Options) -> str:
        """
        No service is made.

        @return: The plain line with which the process ends.
        """
        ended = self.assertRaises(SystemExit, makeNodeService, options)
        text = str(ended.code)
        self.assertTrue(text.startswith("ockam-relay: "))
        self.assertTrue(text.isprintable(), text)
        return text

    def test_service(self) -> None:
        """
        A service is made, and nothing is opened or left behind.
        """
        before = set(os.listdir("/proc/self/fd"))
        service = makeNodeService(self.options("--state-dir", str(self.folder)))
        self.assertIsInstance(service, NodeService)
        self.assertFalse(service.running)
        self.assertFalse(self.folder.exists())
        self.assertEqual(set(os.listdir("/proc/self/fd")), before)

    def test_port(self) -> None:
        """
        A port in use ends the process with one line.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            text = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            self.assertIn(f"cannot listen on {text}", self.refused(self.options("--ephemeral", "--listen", text)))

    def test_state(self) -> None:
        """
        A folder that another process has ends the process with one line.
        """
        other = StateFolder(self.folder)
        other.open()
        self.addCleanup(other.close)
        self.assertIn("--instance", self.refused(self.options("--state-dir", str(self.folder))))

    def test_otherUser(self) -> None:
        """
        With C{twistd --uid} the state is checked as the user who will have
        it: a folder of that user is good, one of ours is not; what the check
        leaves in it can be used by that user, and we are ourselves again.
        """
        needsRoot()
        self.folder.mkdir(mode=0o700)
        options = self.options("--state-dir", str(self.folder), uid=NOBODY, gid=NOBODY)
        self.assertIn(f"belongs to user 0, and this is user {NOBODY}", self.refused(options))
        os.chown(self.folder, NOBODY, NOBODY)
        makeNodeService(options)
        self.assertEqual(os.geteuid(), 0)
        for each in self.folder.iterdir():
            self.assertEqual(each.stat().st_uid, NOBODY, each)
        self.assertIn("belongs to user 65534", self.refused(self.options("--state-dir", str(self.folder))))

    def test_notRoot(self) -> None:
        """
        Without the right to become that user, that is what the line says.
        """

        def seteuid(uid: int) -> None:
            raise PermissionError(1, os.strerror(1))

        self.patch(os, "seteuid", seteuid)
        text = self.refused(self.options("--state-dir", str(self.folder), uid=1234, gid=None))
        self.assertEqual(text, "ockam-relay: cannot become user 1234: Operation not permitted; only root can")

    def test_otherRoot(self) -> None:
        """
        With C{twistd --chroot} the folder is another one than is seen from
        here; what a daemon needs there has to be there.
        """
        self.folder.mkdir(mode=0o755)
        self.folder.chmod(0o755)
        options = self.options("--state-dir", str(self.folder), chroot=str(self.folder), uid=None, gid=None)
        error = self.assertRaises(SystemExit, makeNodeService, options)
        self.assertIn(f"a daemon needs {self.folder}/dev/null", str(error))
        (self.folder / "dev").mkdir()
        (self.folder / "dev" / "null").touch()
        makeNodeService(options)

    def test_plugins(self) -> None:
        """
        C{twist} finds the plugins, with options and services that are
        these.
        """
        found = {each.tapname: each for each in getPlugins(IServiceMaker) if each.tapname.startswith("ockam-")}
        self.assertEqual(set(found), {"ockam-relay", "ockam-outlet", "ockam-inlet", "ockam-authority", "ockam-node"})
        for name, maker in found.items():
            options = maker.options()
            self.assertIsInstance(options, CommandOptions)
            self.assertEqual(options.command, name)
            self.assertIs(maker.makeService, makeNodeService)
            self.assertTrue(maker.description.isprintable())

    def test_mistake(self) -> None:
        """
        Beside an error, of the command line or of a value, there is only where
        the help is; C{--help} still has all of it.
        """
        for words in (["--lsten", "4000"], ["4000"], ["--listen", "abc"]):
            options = Options()
            self.assertRaises(usage.UsageError, options.parseOptions, words)
            self.assertEqual(options.getUsage(), "See `twist ockam-relay --help`")
        self.assertIn("--listen=", Options().getUsage())

    def test_abstract(self) -> None:
        """
        Options without a configuration are nothing to start.
        """
        self.assertRaises(NotImplementedError, NodeOptions().config)
