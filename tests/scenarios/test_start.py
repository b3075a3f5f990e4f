"""
Bad input ends the start with one plain line and a status; real processes.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.scenarios.processes import PATIENCE, ROOT, ScenarioTestCase, freePort

_ID = "I" + "0" * 64
_TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
_TO = "/ip4/127.0.0.1/tcp/9/secure/api/service/outlet"


class StartTests(ScenarioTestCase):
    """
    What the commands say when they cannot begin.
    """

    def run_(self, *arguments: str) -> tuple[int, str]:
        """
        Run C{twist} until it ends.
        """
        done = subprocess.run(
            [sys.executable, "-m", "twisted", *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=self.folder,
        )
        return done.returncode, done.stdout + done.stderr

    def refuses(self, status: int, says: str, *arguments: str) -> None:
        """
        The start ends with this status and these words, without a traceback.
        """
        got, text = self.run_(*arguments)
        self.assertIn(says, text)
        self.assertNotIn("Traceback", text)
        self.assertEqual(got, status, text)

    def test_options(self) -> None:
        """
        What is wrong with the options is said with the usage, status 64.
        """
        outlet = ("ockam-outlet", "--ephemeral", "--target", "127.0.0.1:1")
        inlet = ("ockam-inlet", "--ephemeral", "--listen", "0", "--to")
        self.refuses(64, "nobody can reach this outlet", *outlet)
        self.refuses(64, "--ticket-uses is a whole number", *outlet, "--relay", "127.0.0.1:1", "--ticket-uses", "x")
        self.refuses(64, "excludes --authorized", *inlet, _TO, "--trust-everyone", "--authorized", _ID)
        self.refuses(64, "no pairing is kept", *inlet, _TO)
        self.refuses(64, "is it all there?", *inlet[:-1], "--ticket", "ockamticket1abc")
        self.refuses(64, "unknown protocol /tpc", *inlet, "/ip4/127.0.0.1/tpc/9", "--authorized", _ID)
        self.refuses(64, "identifier", *inlet, _TO, "--authorized", "I123")
        self.refuses(64, "--max-frame is a whole number", "ockam-relay", "--max-frame", "many")
        self.refuses(64, "option --lisen", "ockam-relay", "--lisen", "1")

    def test_never_paired(self) -> None:
        """
        An inlet without a ticket that was never paired is refused with what
        to do, status 1.
        """
        folder = str(self.folder / "fresh")
        self.refuses(1, "never paired: give --ticket", "ockam-inlet", "--listen", "0", "--state-dir", folder)

    def test_noFolder(self) -> None:
        """
        A state folder that only shows to be impossible when it is made is
        named, status 1.
        """
        listen = ("--listen", "tcp:0:interface=127.0.0.1")
        self.refuses(1, "cannot make the state folder /proc/x", "ockam-relay", *listen, "--state-dir", "/proc/x")

    def test_port_in_use(self) -> None:
        """
        A port in use is named, status 1.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.refuses(
                1, f"cannot listen on tcp:{port}", "ockam-relay", "--ephemeral", "--listen",
                f"tcp:{port}:interface=127.0.0.1",
            )  # fmt: skip

    def test_state(self) -> None:
        """
        A folder that others can read, and a damaged database, are refused
        with what to do.
        """
        folder = self.folder / "open"
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
        self.refuses(1, "chmod 700", "ockam-relay", "--listen", "0", "--state-dir", str(folder))
        folder.chmod(0o700)
        (folder / "state.sqlite").write_bytes(b"this is no database" * 100)
        self.refuses(1, "state.sqlite", "ockam-relay", "--listen", "0", "--state-dir", str(folder))

    def test_two_of_one(self) -> None:
        """
        The second process on one folder is refused, and told of --instance.
        """
        at = f"tcp:{freePort()}:interface=127.0.0.1"
        self.twist("ockam-relay", "--listen", at, state="same").value("Identifier")
        self.refuses(
            1, "--instance", "ockam-relay", "--listen", "tcp:0:interface=127.0.0.1", "--state-dir",
            str(self.folder / "same"),
        )  # fmt: skip

    def test_twistdRefuses(self) -> None:
        """
        C{twistd}, in the foreground and in the background, ends with the same
        words, a status, and no pidfile.
        """
        folder = self.folder / "open"
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
        damaged = self.folder / "damaged"
        damaged.mkdir(mode=0o700)
        (damaged / "state.sqlite").write_bytes(b"this is no database" * 100)
        (self.folder / "file").write_text("")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            inlet = ("ockam-inlet", "--ephemeral", "--listen", "0", "--authorized", _ID, "--to")
            for says, arguments in (
                (f"cannot listen on tcp:{port}", ("ockam-relay", "--ephemeral", "--listen", f"127.0.0.1:{port}")),
                ("chmod 700", ("ockam-relay", "--listen", "0", "--state-dir", str(folder))),
                ("state.sqlite", ("ockam-relay", "--listen", "0", "--state-dir", str(damaged))),
                (
                    "cannot be used",
                    ("ockam-relay", "--listen", "0", "--state-dir", str(self.folder / "file" / "state")),
                ),
                ("unknown protocol /tpc", (*inlet, "/ip4/127.0.0.1/tpc/9")),
                ("option --lisen", ("ockam-relay", "--lisen", "1")),
            ):
                for foreground in ([], ["-n"]):
                    pidfile = self.folder / "twistd.pid"
                    done = subprocess.run(
                        [*_TWISTD, *foreground, "--pidfile", str(pidfile), "--logfile", "log", *arguments],
                        capture_output=True,
                        text=True,
                        timeout=PATIENCE,
                        env={**os.environ, "PYTHONPATH": str(ROOT)},
                        cwd=self.folder,
                    )
                    text = done.stdout + done.stderr
                    self.assertIn(says, text)
                    self.assertNotIn("Traceback", text)
                    self.assertNotEqual(done.returncode, 0, text)
                    # In the background it is removed after that was said.
                    self._gone(pidfile)

    def test_garbage(self) -> None:
        """
        Whoever sends a relay something else loses the connection, and nobody
        else does.
        """
        port = freePort()
        relay = self.twist("ockam-relay", "--listen", f"tcp:{port}:interface=127.0.0.1", state="relay")
        relay.value("Identifier")
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x01\xff\xff\xff\xff", b"\x01\x00\x00\x00\x00", b"\x01\0\0\0\1x"):
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                client.settimeout(10)
                client.sendall(garbage)
                try:
                    while client.recv(100):
                        pass
                except ConnectionResetError:
                    pass
        self.assertIsNone(relay.process.poll())
        self.assertNotIn("Traceback", relay.text())

    def test_twistd(self) -> None:
        """
        C{twistd} runs it in the background, with its pidfile and log.
        """
        port, state = freePort(), self.folder / "daemon"
        command = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
        files = ["--pidfile", str(self.folder / "pid"), "--logfile", str(self.folder / "log")]
        relay = ["ockam-relay", "--listen", f"tcp:{port}:interface=127.0.0.1", "--state-dir", str(state)]
        done = subprocess.run(
            [*command, *files, *relay],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=self.folder,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.addCleanup(self._kill, self.folder / "pid")
        self.waitForPort(port)
        deadline = time.monotonic() + PATIENCE
        while "Identifier: I" not in (self.folder / "log").read_text():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.assertNotIn("Traceback", (self.folder / "log").read_text())

    def _kill(self, pidfile: Path) -> None:
        pid = int(pidfile.read_text())
        os.kill(pid, 15)
        self._gone(pidfile)

    def _gone(self, pidfile: Path) -> None:
        deadline = time.monotonic() + PATIENCE
        while pidfile.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertFalse(pidfile.exists(), "the daemon did not end")
