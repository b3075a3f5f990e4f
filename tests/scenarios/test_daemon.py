"""
C{twistd}: in the background, as another user, and what signals do; real
processes and sockets.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from twisted.python.util import runAsEffectiveUser
from twisted.trial.unittest import SkipTest

from tests.scenarios.processes import PATIENCE, ROOT, ScenarioTestCase, freePort

_TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
_NOBODY = 65534


def _canRead(path: str) -> bool:
    """
    May nobody read or run a file?
    """

    def look() -> bool:
        return os.access(path, os.R_OK | os.X_OK, effective_ids=True)

    return bool(runAsEffectiveUser(_NOBODY, _NOBODY, look))


class DaemonTestCase(ScenarioTestCase):
    """
    Daemons, each of which is ended whatever the test does.
    """

    def daemon(self, name: str, *arguments: str, user: int | None = None) -> subprocess.CompletedProcess[str]:
        """
        Start a plugin in the background.
        """
        state = self.folder / name
        files = ["--pidfile", str(self.folder / f"{name}.pid"), "--logfile", str(self.folder / f"{name}.log")]
        become = [] if user is None else ["--uid", str(user), "--gid", str(user)]
        done = subprocess.run(
            [*_TWISTD, *files, *become, *arguments, "--state-dir", str(state)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=self.folder,
        )
        if done.returncode == 0:
            self.addCleanup(self.kill, name)
        return done

    def log(self, name: str) -> str:
        """
        What a daemon has logged.
        """
        path = self.folder / f"{name}.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def logged(self, name: str, label: str) -> str:
        """
        Wait for a value in a log.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for line in self.log(name).splitlines(keepends=True):
                if not line.endswith("\n"):
                    break
                record = json.loads(line)
                if record["event"] == "announced" and record["fields"]["label"] == label:
                    return str(record["fields"]["value"])
            time.sleep(0.05)
        raise AssertionError(f"no {label} from {name}:\n{self.log(name)[-3000:]}")

    def pid(self, name: str) -> int:
        """
        Its process.
        """
        return int((self.folder / f"{name}.pid").read_text())

    def kill(self, name: str) -> None:
        """
        End it, and wait until it has.
        """
        try:
            pid = self.pid(name)
            os.kill(pid, signal.SIGTERM)
        except (FileNotFoundError, ProcessLookupError):
            return
        deadline = time.monotonic() + PATIENCE
        while Path(f"/proc/{pid}").exists():
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                raise AssertionError(f"{name} did not end:\n{self.log(name)[-3000:]}")
            time.sleep(0.05)


class OtherUserTests(DaemonTestCase):
    """
    Started by root, run by somebody else.
    """

    def setUp(self) -> None:
        super().setUp()
        if os.geteuid() != 0:
            raise SkipTest("NOT ROOT: cannot become another user")
        # The others have to get to their folders.
        self.folder.chmod(0o711)

    def own(self, name: str) -> None:
        """
        Make a state folder for the other user.
        """
        (self.folder / name).mkdir(mode=0o700)
        shutil.chown(self.folder / name, _NOBODY, _NOBODY)

    def test_portal(self) -> None:
        """
        Relay, outlet and inlet are bound by root and run by nobody; a page
        comes through, and what they keep is private to that user.  (What is
        imported later would be missed where the other user cannot read it.)
        """
        target, served = self.serveFolder()
        (served / "page").write_bytes(b"a private page")
        relayAt, inletAt = freePort(), freePort()
        for name in ("relay", "outlet", "inlet"):
            self.own(name)
        self.succeeds("relay", "ockam-relay", "--listen", f"tcp:{relayAt}:interface=127.0.0.1")
        self.logged("relay", "Identifier")
        self.succeeds(
            "outlet", "ockam-outlet", "--target", f"localhost:{target}", "--relay", f"localhost:{relayAt}",
            "--trust-everyone",
        )  # fmt: skip
        address, outlet = self.logged("outlet", "Forwarding address"), self.logged("outlet", "Identifier")
        self.succeeds(
            "inlet", "ockam-inlet", "--listen", str(inletAt), "--authorized", outlet,
            "--to", f"/dnsaddr/localhost/tcp/{relayAt}/service/{address}/secure/api/service/outlet",
        )  # fmt: skip
        with socket.create_connection(("127.0.0.1", inletAt), PATIENCE) as client:
            client.settimeout(PATIENCE)
            client.sendall(b"GET /page HTTP/1.0\r\n\r\n")
            got = b""
            while data := client.recv(65536):
                got += data
        self.assertTrue(got.endswith(b"a private page"), got)
        for name in ("relay", "outlet", "inlet"):
            self.assertEqual(os.stat(f"/proc/{self.pid(name)}").st_uid, _NOBODY)
            self.assertNotIn("Traceback", self.log(name))
            for each in (self.folder / name).iterdir():
                self.assertEqual((each.stat().st_uid, each.stat().st_mode & 0o077), (_NOBODY, 0), each)

    def test_processes(self) -> None:
        """
        The other processes of a relay are nobody's, too, read the same
        package wherever the daemon is, and end with it.
        """
        if not _canRead(sys.executable):
            raise SkipTest(f"NOT FOR EVERYBODY: {sys.executable}")
        self.own("relay")
        self.succeeds("relay", "ockam-relay", "--listen", f"tcp:{freePort()}:interface=127.0.0.1", "--processes", "3")
        deadline = time.monotonic() + PATIENCE
        while len(found := re.findall(r"Process \d runs: (\d+)", self.log("relay"))) < 2:
            self.assertLess(time.monotonic(), deadline, self.log("relay"))
            time.sleep(0.05)
        for pid in found:
            self.assertEqual(os.stat(f"/proc/{pid}").st_uid, _NOBODY)
        self.kill("relay")
        self.assertFalse([pid for pid in found if Path(f"/proc/{pid}").exists()])
        self.assertNotIn("Traceback", self.log("relay"))

    def test_noProcesses(self) -> None:
        """
        Where that user cannot run this Python, that is said before there is a
        daemon.
        """
        if _canRead(sys.executable):
            raise SkipTest(f"FOR EVERYBODY: {sys.executable}")
        self.own("relay")
        self.refuses(f"user {_NOBODY} may not read {sys.executable}", _NOBODY, "--processes", "2")

    def succeeds(self, name: str, *arguments: str) -> None:
        """
        A daemon starts.
        """
        done = self.daemon(name, *arguments, user=_NOBODY)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def refuses(self, says: str, user: int | None, *options: str) -> None:
        """
        A daemon does not start, and says why in one line.
        """
        done = self.daemon("relay", "ockam-relay", "--listen", "tcp:0:interface=127.0.0.1", *options, user=user)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn(says, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def test_wrongOwner(self) -> None:
        """
        A folder of root is not for nobody, nor the other way round; and where
        nobody cannot make one, that is said before the daemon is one.
        """
        self.refuses(f"not writable for user {_NOBODY}", _NOBODY)
        self.own("relay")
        self.refuses(f"belongs to user {_NOBODY}, and this is user 0", None)
        shutil.chown(self.folder / "relay", 0, 0)
        self.refuses(f"belongs to user 0, and this is user {_NOBODY}", _NOBODY)


class PlaceTests(DaemonTestCase):
    """
    Where a daemon is.
    """

    def test_relative(self) -> None:
        """
        A relative state folder is that of the shell it was typed in, although
        the daemon lives elsewhere.
        """
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        files = ["--pidfile", str(self.folder / "relay.pid"), "--logfile", str(self.folder / "relay.log")]
        done = subprocess.run(
            [*_TWISTD, *files, "--rundir", str(elsewhere), "ockam-relay", "--listen", "tcp:0:interface=127.0.0.1",
             "--state-dir", "state"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=self.folder,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.addCleanup(self.kill, "relay")
        self.logged("relay", "Identifier")
        self.assertTrue((self.folder / "state" / "state.sqlite").exists())
        self.assertEqual(list(elsewhere.iterdir()), [])


class SignalTests(ScenarioTestCase):
    """
    The first signal drains, the second one does not wait.
    """

    def test_second(self) -> None:
        """
        While a connection whose far end does not close holds the end up, a
        second SIGTERM ends the relay at once, without a traceback.
        """
        # Who waits takes two seconds each time; a busy machine does not.
        self.assertTrue(any(self._stopTwice(f"relay{number}") < 1.5 for number in range(3)))

    def _stopTwice(self, state: str) -> float:
        port = freePort()
        relay = self.twist("ockam-relay", "--listen", f"tcp:{port}:interface=127.0.0.1", state=state)
        relay.value("Identifier")
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            # The versions have been exchanged: the relay knows this one.
            client.sendall(b"\x01")
            self.assertEqual(client.recv(1), b"\x01")
            relay.process.send_signal(signal.SIGTERM)
            client.settimeout(PATIENCE)
            self.assertEqual(client.recv(1), b"")
            if relay.process.poll() is not None:
                # The machine stood still for as long as it waits.
                return PATIENCE
            started = time.monotonic()
            relay.process.send_signal(signal.SIGTERM)
            relay.process.wait(PATIENCE)
            took = time.monotonic() - started
        self.assertNotIn("Traceback", relay.text())
        self.assertNotIn("ReactorNotRunning", relay.text())
        return took
