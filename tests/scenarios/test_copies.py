"""
Programs that copy: C{rsync} to a daemon and over ssh, and ssh itself with its
input and output; each does through a portal what it does directly.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

from tests.scenarios.processes import PATIENCE, ScenarioTestCase, freePort, require
from tests.scenarios.ssh import SSHTestCase

MIB = 1024 * 1024


def makeTree(folder: Path) -> None:
    """
    Files of many sizes, in folders.
    """
    some = random.Random(8)
    for name in ("", "a", "a/b", "c"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(15):
            size = some.choice((0, 1, 1000, 70_000, 1_500_000))
            (folder / name / f"{number}").write_bytes(some.randbytes(size))


def content(folder: Path) -> dict[str, bytes]:
    """
    @return: What is in all files below a folder.
    """
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class SSHCopyTests(SSHTestCase):
    """
    A private machine.
    """

    def _ssh(self, port: int, command: str, **options: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["ssh", *self.options, "-p", str(port), f"{self.user}@127.0.0.1", command],
            stderr=subprocess.PIPE,
            timeout=60,
            **options,  # type: ignore[call-overload]
        )

    def test_input(self) -> None:
        """
        C{ssh host "cat > file" < input}: the end of the input is the end of
        the file, and the status of the command comes back.
        """
        source = self.folder / "input"
        source.write_bytes(os.urandom(48 * MIB))
        for port in (self.direct, self.port):
            sink = self.folder / f"file-{port}"
            with source.open("rb") as stdin:
                done = self._ssh(port, f"cat > {sink}; exit 3", stdin=stdin)
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertEqual(sink.read_bytes(), source.read_bytes())

    def test_output(self) -> None:
        """
        What a command says comes whole, also if it does not read its input to
        the end, or is ended by a signal.
        """
        source = self.folder / "output"
        source.write_bytes(os.urandom(48 * MIB))
        for port in (self.direct, self.port):
            done = self._ssh(port, f"cat {source}", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            self.assertEqual((done.returncode, done.stdout), (0, source.read_bytes()))
            with source.open("rb") as stdin:
                done = self._ssh(port, "head -c 1000000", stdin=stdin, stdout=subprocess.PIPE)
            self.assertEqual((done.returncode, done.stdout), (0, source.read_bytes()[:1000000]))
            done = self._ssh(port, "kill -TERM $$", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            self.assertEqual((done.returncode, done.stdout), (255, b""))

    def test_clientKilled(self) -> None:
        """
        When the client is killed, the far end hears it as it would directly.
        """
        for port in (self.direct, self.port):
            gone = self.folder / f"gone-{port}"
            arguments = ["-p", str(port), f"{self.user}@127.0.0.1", f"echo ready; cat > /dev/null; touch {gone}"]
            ssh = subprocess.Popen(
                ["ssh", *self.options, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )  # fmt: skip
            assert ssh.stdin is not None and ssh.stdout is not None
            self.addCleanup(ssh.stdin.close)
            self.addCleanup(ssh.stdout.close)
            self.assertEqual(ssh.stdout.readline(), b"ready\n")
            ssh.send_signal(signal.SIGKILL)
            ssh.wait(PATIENCE)
            deadline = time.monotonic() + PATIENCE
            while not gone.exists():
                self.assertLess(time.monotonic(), deadline, "the far end does not know")
                time.sleep(0.05)

    def test_rsync(self) -> None:
        """
        C{rsync} over ssh, there and back.
        """
        require("rsync")
        tree = self.folder / "tree"
        makeTree(tree)
        shell = " ".join(["ssh", *self.options, "-p"])
        for port in (self.direct, self.port):
            there, back = self.folder / f"there-{port}", self.folder / f"back-{port}"
            for source, sink in (
                (f"{tree}/", f"{self.user}@127.0.0.1:{there}/"),
                (f"{self.user}@127.0.0.1:{there}/", f"{back}/"),
            ):
                done = subprocess.run(
                    ["rsync", "-a", "-e", f"{shell} {port}", source, sink], capture_output=True, timeout=60
                )  # fmt: skip
                self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertEqual(content(there), content(tree))
            self.assertEqual(content(back), content(tree))


class RsyncTests(ScenarioTestCase):
    """
    A private rsync daemon.
    """

    def setUp(self) -> None:
        """
        Start it, and the portal.
        """
        require("rsync")
        super().setUp()
        self.shared = self.folder / "shared"
        self.shared.mkdir()
        config = self.folder / "rsyncd.conf"
        config.write_text(
            f"use chroot = no\nuid = {os.getuid()}\ngid = {os.getgid()}\n"
            f"[files]\npath = {self.shared}\nread only = no\n[closed]\npath = {self.folder}/nowhere\n"
        )
        self.direct = at = freePort()
        self.start("rsync", "--daemon", "--no-detach", "--address=127.0.0.1", f"--port={at}", f"--config={config}")
        self.waitForPort(at)
        self.port, *_ = self.portal(at)

    def _rsync(self, *arguments: str) -> tuple[int, bytes]:
        done = subprocess.run(["rsync", "-a", *arguments], capture_output=True, timeout=60)
        return done.returncode, done.stderr

    def test_copies(self) -> None:
        """
        A tree up, down, and up again after changes.
        """
        tree = self.folder / "tree"
        makeTree(tree)
        for port in (self.direct, self.port):
            url, back = f"rsync://127.0.0.1:{port}/files/{port}/", self.folder / f"back-{port}"
            self.assertEqual(self._rsync(f"{tree}/", url), (0, b""))
            self.assertEqual(content(self.shared / str(port)), content(tree))
            self.assertEqual(self._rsync(url, f"{back}/"), (0, b""))
            self.assertEqual(content(back), content(tree))
            (back / "a" / "3").write_bytes(os.urandom(3 * MIB))
            (back / "new").write_bytes(os.urandom(3 * MIB))
            (back / "c" / "7").unlink()
            self.assertEqual(self._rsync("--delete", "--checksum", f"{back}/", url), (0, b""))
            self.assertEqual(content(self.shared / str(port)), content(back))

    def test_failures(self) -> None:
        """
        What fails, fails with the same status and the same words.
        """
        for path in ("missing/", "files/missing", "closed/"):
            direct, through = (
                self._rsync(f"rsync://127.0.0.1:{port}/{path}", f"{self.folder}/sink")
                for port in (self.direct, self.port)
            )
            self.assertEqual(direct, through)
            self.assertNotEqual(direct[0], 0)
