"""
Programs that use C{ockam-twisted connect} in place of a port.
"""

from __future__ import annotations

import filecmp
import os
import random
import subprocess
from pathlib import Path
from typing import Any

from tests.scenarios.connecting import ConnectTestCase
from tests.scenarios.processes import freePort, require
from tests.scenarios.ssh import SSHServerTestCase


def makeTree(folder: Path) -> None:
    """
    A folder with files of many sizes.
    """
    some = random.Random(5)
    for number in range(120):
        file = folder / f"{number % 7}" / f"file {number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(some.randbytes(some.choice((0, 1, 1000, 70_000, 300_000))))
    (folder / "large").write_bytes(some.randbytes(12 << 20))


class ProgramTestCase(ConnectTestCase):
    """
    Programs, and what they say.
    """

    def run_(self, *command: str, timeout: float = 90, **more: Any) -> subprocess.CompletedProcess[bytes]:
        """
        Run one, which succeeds.
        """
        environ = {**self.environ(), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **more.pop("env", {})}
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        done = subprocess.run(command, env=environ, timeout=timeout, cwd=self.folder, **pipes)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def assertSame(self, one: Path, other: Path) -> None:
        """
        Two folders have the same in them.
        """
        compared = filecmp.dircmp(one, other)
        self.assertEqual((compared.left_only, compared.right_only, compared.funny_files), ([], [], []))
        _, different, errors = filecmp.cmpfiles(one, other, compared.common_files, shallow=False)
        self.assertEqual((different, errors), ([], []))
        for name in compared.common_dirs:
            self.assertSame(one / name, other / name)


class SSHTests(ProgramTestCase, SSHServerTestCase):
    """
    A private machine, with no port to it.
    """

    def setUp(self) -> None:
        """
        The server, and the way to it.
        """
        super().setUp()
        self.offer(self.direct)
        proxy = self.asText().replace("%", "%%")
        self.ssh = [*self.options, "-o", f"ProxyCommand={proxy}", "-p", str(self.direct)]

    def test_command(self) -> None:
        """
        C{ssh} with it as its C{ProxyCommand}: output, input and exit status.
        """
        at = f"{self.user}@127.0.0.1"
        said = self.run_("ssh", *self.ssh, at, "echo hello; cat", input=b"there", stdin=None).stdout
        self.assertEqual(said, b"hello\nthere")
        done = subprocess.run(
            ["ssh", *self.ssh, at, "exit 7"], env=self.environ(), stdin=subprocess.DEVNULL, timeout=60
        )
        self.assertEqual(done.returncode, 7)

    def test_copies(self) -> None:
        """
        C{rsync} and C{git} over that C{ssh}: what arrives is what was there.
        """
        require("rsync", "git")
        source, copied = self.folder / "source", self.folder / "copied"
        makeTree(source)
        at = f"{self.user}@127.0.0.1"
        shell = " ".join(f"'{each}'" if " " in each else each for each in ["ssh", *self.ssh])
        self.run_("rsync", "-a", "-e", shell, f"{source}/", f"{at}:{copied}/")
        self.assertSame(source, copied)
        self.run_("git", "-C", str(source), "init", "-q")
        self.run_("git", "-C", str(source), "add", ".")
        self.run_("git", "-C", str(source), "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "-m", "all")
        self.run_("git", "clone", "-q", f"ssh://{at}{source}", "cloned", env={"GIT_SSH_COMMAND": shell})
        self.assertSame(source / "0", self.folder / "cloned" / "0")


class DaemonTests(ProgramTestCase):
    """
    Servers of copies that are reached without C{ssh}.
    """

    def test_rsync(self) -> None:
        """
        C{rsync} with an rsync server, there and back.
        """
        require("rsync")
        source, there, back = (self.folder / name for name in ("source", "there", "back"))
        makeTree(source)
        there.mkdir()
        at = freePort()
        config = self.folder / "rsyncd.conf"
        uid = f"uid = {os.getuid()}\ngid = {os.getgid()}\n" if os.getuid() == 0 else ""
        config.write_text(
            f"{uid}use chroot = no\naddress = 127.0.0.1\nlog file = {self.folder}/rsyncd.txt\n"
            f"[files]\npath = {there}\nread only = no\n"
        )
        self.start("rsync", "--daemon", "--no-detach", f"--config={config}", f"--port={at}")
        self.waitForPort(at)
        self.offer(at)
        environ = {"RSYNC_CONNECT_PROG": self.asText()}
        self.run_("rsync", "-a", f"{source}/", "rsync://machine/files/", env=environ)
        self.run_("rsync", "-a", "rsync://machine/files/", f"{back}/", env=environ)
        self.assertSame(source, there)
        self.assertSame(source, back)

    def test_git(self) -> None:
        """
        C{git clone} from a git server.
        """
        require("git")
        source = self.folder / "source"
        makeTree(source)
        self.run_("git", "-C", str(source), "init", "-q")
        self.run_("git", "-C", str(source), "add", ".")
        self.run_("git", "-C", str(source), "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "-m", "all")
        at = freePort()
        self.start(
            "git", "daemon", "--export-all", "--listen=127.0.0.1", f"--port={at}", f"--base-path={self.folder}",
            str(self.folder),
        )  # fmt: skip
        self.waitForPort(at)
        self.offer(at)
        script = self.folder / "proxy"
        script.write_text(f"#!/bin/sh\nexec {self.asText()}\n")
        script.chmod(0o755)
        self.run_("git", "-c", f"core.gitProxy={script}", "clone", "-q", "git://machine/source", "cloned")
        self.assertSame(source / "0", self.folder / "cloned" / "0")
        self.assertEqual((source / "large").read_bytes(), (self.folder / "cloned" / "large").read_bytes())

    def test_tar(self) -> None:
        """
        C{tar} into it, and out of what listens at the other end.
        """
        require("tar", "nc")
        source, there = self.folder / "source", self.folder / "there"
        makeTree(source)
        there.mkdir()
        at = freePort()
        # It says at once that it has nothing to say.
        receiver = self.start("sh", "-c", f"nc -lN 127.0.0.1 {at} </dev/null | tar -x -C {there} && echo Got: all")
        self.offer(at)
        self.run_("sh", "-c", f"tar -c -C {source} . | {self.asText()}")
        receiver.value("Got")
        self.assertSame(source, there)
