"""
Tests for L{ockam_twisted.storage.folder}.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from ockam_twisted.errors import ConfigurationError, StateUnusable
from ockam_twisted.storage.folder import StateFolder, defaultStateFolder


class DefaultTests(SynchronousTestCase):
    """
    L{defaultStateFolder}.
    """

    def test_order(self) -> None:
        """
        systemd's folder comes first, then the XDG one, then the one under
        home; relative XDG paths are ignored.
        """
        for environ, wanted in (
            ({"STATE_DIRECTORY": "/var/lib/x", "XDG_STATE_HOME": "/s", "HOME": "/h"}, "/var/lib/x"),
            ({"STATE_DIRECTORY": "/var/lib/x:/var/lib/y"}, "/var/lib/x"),
            ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/ockam-twisted/outlet/blue"),
            ({"XDG_STATE_HOME": "s", "HOME": "/h"}, "/h/.local/state/ockam-twisted/outlet/blue"),
            ({"STATE_DIRECTORY": "", "HOME": "/h"}, "/h/.local/state/ockam-twisted/outlet/blue"),
        ):
            self.assertEqual(defaultStateFolder("outlet", "blue", environ), Path(wanted))

    def test_instances(self) -> None:
        """
        An instance is a plain name, so that it names one folder and no other.
        """
        for instance in ("default", "a", "A.b_c-9", "...", "x" * 64):
            self.assertEqual(defaultStateFolder("c", instance, {"HOME": "/h"}).name, instance)
        for instance in ("", ".", "..", "a/b", "../a", "x" * 65, "a\n", "a b", "\N{LATIN SMALL LETTER E WITH ACUTE}"):
            error = self.assertRaises(ConfigurationError, defaultStateFolder, "c", instance, {"HOME": "/h"})
            self.assertTrue(str(error).isprintable())


class StateFolderTests(SynchronousTestCase):
    """
    L{StateFolder}.
    """

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute() / "deep" / "state"
        self.folder = StateFolder(self.path)
        self.addCleanup(self.folder.close)

    def refused(self, call: Callable[[], None]) -> str:
        """
        The plain line with which C{call} is refused.
        """
        error = str(self.assertRaises(StateUnusable, call))
        self.assertNotIn("\n", error)
        self.assertIn(str(self.path), error)
        return error

    def bothRefuse(self, why: str) -> None:
        """
        Checking and opening refuse for the same reason.
        """
        for call in (self.folder.check, self.folder.open):
            self.assertIn(why, self.refused(call))

    def test_made(self) -> None:
        """
        Opening makes the folder, private whatever the umask; checking does
        not make it.
        """
        self.folder.check()
        self.assertFalse(self.path.exists())
        previous = os.umask(0)
        self.addCleanup(os.umask, previous)
        self.folder.open()
        self.assertEqual(self.path.stat().st_mode & 0o7777, 0o700)
        self.assertEqual((self.path / "lock").stat().st_mode & 0o7777, 0o600)
        self.assertEqual(self.folder.database.parent, self.path)

    def test_oneProcess(self) -> None:
        """
        A second one is told what to do; after closing, the folder is free.
        """
        self.folder.open()
        other = StateFolder(self.path)
        for call in (other.check, other.open):
            error = self.refused(call)
            self.assertIn("is in use by another process; use --instance NAME or --state-dir", error)
        self.folder.close()
        other.open()
        other.close()

    def test_otherProcess(self) -> None:
        """
        The lock holds between processes, and ends with the one that holds it
        however that ends.
        """
        program = (
            "import sys; from ockam_twisted.storage.folder import StateFolder;"
            "f = StateFolder(sys.argv[1]); f.open(); print('open', flush=True); sys.stdin.read()"
        )
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert child.stdout is not None and child.stdin is not None
        try:
            self.assertEqual(child.stdout.readline(), b"open\n")
            self.bothRefuse("in use by another process")
        finally:
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()
        self.folder.check()
        self.folder.open()

    def test_checkLetsGo(self) -> None:
        """
        Checking leaves neither a lock nor a descriptor.
        """
        self.folder.open()
        self.folder.close()
        before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        for _ in range(3):
            self.folder.check()
        after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        self.assertEqual(before, after)
        StateFolder(self.path).open()

    def test_openTwice(self) -> None:
        """
        An open folder is neither opened nor checked again.
        """
        self.folder.open()
        self.bothRefuse("already open")

    def test_othersCanRead(self) -> None:
        """
        A folder that others can get at is refused, with the command that
        mends it.
        """
        self.path.mkdir(parents=True)
        for mode in (0o755, 0o710, 0o702):
            self.path.chmod(mode)
            self.bothRefuse(f"run: chmod 700 {self.path}")
        self.path.chmod(0o700)
        self.folder.check()

    def test_notWritable(self) -> None:
        """
        A folder that we cannot write in is refused.
        """
        self.path.mkdir(parents=True)
        self.path.chmod(0o500)
        self.bothRefuse("not writable")

    def test_notAFolder(self) -> None:
        """
        A file is refused, in the place of the folder and above it.
        """
        self.path.parent.mkdir(parents=True)
        self.path.touch()
        self.bothRefuse("is not a folder")
        self.path.unlink()
        self.path.parent.rmdir()
        self.path.parent.touch()
        for call in (self.folder.check, self.folder.open):
            self.refused(call)

    def test_ofSomebodyElse(self) -> None:
        """
        A folder of another user is refused.
        """
        if os.geteuid() != 0:
            raise SkipTest("only root can give a folder away")
        self.path.mkdir(parents=True)
        self.path.chmod(0o700)
        os.chown(self.path, 12345, 12345)
        self.bothRefuse("belongs to user 12345")

    def test_damaged(self) -> None:
        """
        Checking looks at the database too.
        """
        self.folder.open()
        self.folder.database.write_bytes(b"rubbish" * 1000)
        self.folder.close()
        self.assertIn(f"the database {self.folder.database} is damaged", self.refused(self.folder.check))

    def test_otherContents(self) -> None:
        """
        Where there are other files and nothing of ours, nobody is told to
        change the mode of the folder.
        """
        self.path.mkdir(parents=True)
        self.path.chmod(0o755)
        self.assertIn("chmod 700", self.refused(self.folder.check))
        (self.path / "letters").touch()
        error = self.refused(self.folder.check)
        self.assertNotIn("chmod", error)
        self.assertIn("--state-dir", error)
        (self.path / "lock").touch()
        self.assertIn("chmod 700", self.refused(self.folder.check))

    def test_effectiveUser(self) -> None:
        """
        What counts is the user that we act as for now, not the one we are.
        """
        if os.geteuid() != 0:
            raise SkipTest("NOT ROOT: cannot become another user")
        place = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, place)
        place.chmod(0o755)
        self.path = place / "state"
        self.folder = StateFolder(self.path)
        os.seteuid(65534)
        try:
            self.assertIn("is not writable for user 65534", self.refused(self.folder.check))
            self.assertFalse(self.folder.exists())
        finally:
            os.seteuid(0)
        self.folder.check()
