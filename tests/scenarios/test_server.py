"""
At home on a server: what systemd does and expects, few file descriptors, other
users, other roots and file systems that cannot be written; real processes and
sockets.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.certificates import makeCertificate
from tests.scenarios.processes import PATIENCE, ROOT, Program, ScenarioTestCase, children, freePort, require
from tests.scenarios.test_daemon import DaemonTestCase

_NOBODY = 65534

_UNITS = ROOT / "systemd"

#: Runs a program for which memory that can be written never becomes code, as
#: MemoryDenyWriteExecute= has it.
_DENY = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def _unitPaths() -> list[Path]:
    if not _UNITS.is_dir():
        raise SkipTest("NO UNITS HERE: they are in the source tree")
    return sorted(_UNITS.glob("*.service"))


class UnitTests(ScenarioTestCase):
    """
    The units in C{systemd/}.
    """

    def prepared(self, path: Path) -> str:
        """
        A unit whose program is there.
        """
        program = self.folder / "twist"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        name = path.name.replace("@.", "@db.")
        text = path.read_text().replace("/opt/ockam/bin/twist", str(program))
        self.assertIn(str(program), text)
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    def test_verify(self) -> None:
        """
        systemd has nothing to say against them.
        """
        require("systemd-analyze")
        paths = _unitPaths()
        self.assertEqual(len(paths), 4)
        for path in paths:
            done = subprocess.run(
                ["systemd-analyze", "verify", self.prepared(path)], capture_output=True, text=True, timeout=PATIENCE
            )
            said = [line for line in done.stderr.splitlines() if path.stem.partition("@")[0] in line]
            self.assertEqual((done.returncode, said), (0, []), done.stderr)

    def test_security(self) -> None:
        """
        It finds that they are exposed to next to nothing.
        """
        require("systemd-analyze")
        for path in _unitPaths():
            done = subprocess.run(
                ["systemd-analyze", "security", "--offline=true", "--no-pager", self.prepared(path)],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
            if found is None:
                raise SkipTest(f"NOT SUPPORTED BY THIS systemd-analyze: {done.stderr[-200:]}")
            self.assertLess(float(found[1]), 2.0, done.stdout)

    def test_calls(self) -> None:
        """
        Relay, outlet and inlet need no system call that the units deny, except
        what they can do without.
        """
        require("strace", "systemd-analyze")
        unit = (_unitPaths()[0]).read_text()
        allowed: set[str] = set()
        for each in re.findall(r"^SystemCallFilter=(~?)(.*)$", unit, re.M):
            names = self._calls(each[1].split())
            allowed = allowed - names if each[0] else allowed | names
        target, (at, port) = self.target("echo"), (freePort(), freePort())
        trace = ["strace", "-f", "-qq", "-e", "signal=none", "-o"]
        twist = [sys.executable, "-m", "twisted"]
        who = self.identity("inlet")

        def run(name: str, *options: str) -> Program:
            state = str(self.folder / name)
            traced = self.start(*trace, f"{state}.trace", *twist, f"ockam-{name}", *options, "--state-dir", state)
            self.addCleanup(self._endTraced, traced)
            return traced

        relay = run("relay", "--listen", f"tcp:{at}:interface=127.0.0.1")
        relay.value("Identifier")
        outlet = run("outlet", "--target", str(target), "--relay", f"127.0.0.1:{at}", "--authorized", who)
        address, identifier = outlet.value("Forwarding address"), outlet.value("Identifier")
        to = f"/dnsaddr/localhost/tcp/{at}/service/{address}/secure/api/service/outlet"
        run("inlet", "--listen", str(port), "--authorized", identifier, "--to", to).value("Identifier")
        self.waitForPort(port)
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.settimeout(PATIENCE)
            client.sendall(b"hello")
            self.assertEqual(client.recv(5), b"hello")
        for name in ("relay", "outlet", "inlet"):
            text = (self.folder / f"{name}.trace").read_text("utf-8", "replace")
            used = set(re.findall(r"^\d+ +([a-z0-9_]+)\(", text, re.M))
            self.assertGreater(len(used), 20)
            # Raising the limit of descriptors, which the unit does itself, and
            # what SQLite does only for root.
            self.assertEqual(used - allowed - {"prlimit64", "setrlimit", "fchown", "fchown32"}, set(), name)

    def _endTraced(self, tracer: Program) -> None:
        """
        A tracer that is told to end would leave alone what it has traced.
        """
        for child in children(tracer.pid):
            os.kill(child, signal.SIGTERM)
        tracer.process.wait(PATIENCE)

    def _calls(self, names: list[str]) -> set[str]:
        found: set[str] = set()
        for name in names:
            if not name.startswith("@"):
                found.add(name)
                continue
            shown = subprocess.run(
                ["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True
            ).stdout
            inside = [line.strip() for line in shown.splitlines()[1:] if line.strip() and "#" not in line]
            found |= self._calls(inside)
        return found


class ManagerTests(ScenarioTestCase):
    """
    A service manager, of which there is a stand-in.
    """

    def setUp(self) -> None:
        super().setUp()
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(str(self.folder / "notify"))
        self.manager.settimeout(PATIENCE)
        self.heard: list[str] = []

    def waitFor(self, line: str) -> None:
        """
        Wait until something was said.
        """
        deadline = time.monotonic() + PATIENCE
        while not any(each.startswith(line) for each in self.heard):
            self.assertLess(time.monotonic(), deadline, self.heard)
            self.heard += self.manager.recv(4096).decode().split("\n")

    def begin(self, *options: str, **environ: str) -> Program:
        """
        Start a program as the unit of an inlet does.
        """
        start = ["env", f"NOTIFY_SOCKET={self.folder}/notify", f"STATE_DIRECTORY={self.folder}/state"]
        start += [f"{name}={value}" for name, value in environ.items()]
        return self.start(*start, sys.executable, "-c", _DENY, sys.executable, "-m", "twisted", *options)

    def test_life(self) -> None:
        """
        Ready when it listens, how it is, alive while its reactor turns and
        not while it hangs, and stopping; all with memory that is never both
        written and run.
        """
        port = freePort()
        relay = self.begin("ockam-relay", "--listen", f"tcp:{port}:interface=127.0.0.1", WATCHDOG_USEC="900000")
        self.waitFor("READY=1")
        with socket.create_connection(("127.0.0.1", port), 1):
            pass
        self.assertTrue(any(each.startswith("STATUS=0 streams") for each in self.heard), self.heard)
        self.heard.clear()
        self.waitFor("WATCHDOG=1")
        relay.process.send_signal(signal.SIGSTOP)
        self.manager.setblocking(False)
        time.sleep(0.2)
        while select.select([self.manager], [], [], 0)[0]:
            self.manager.recv(4096)
        time.sleep(1)
        self.assertEqual(select.select([self.manager], [], [], 0)[0], [])
        relay.process.send_signal(signal.SIGCONT)
        self.manager.settimeout(PATIENCE)
        self.heard.clear()
        self.waitFor("WATCHDOG=1")
        relay.process.send_signal(signal.SIGTERM)
        self.waitFor("STOPPING=1")
        relay.process.wait(PATIENCE)

    def test_noCode(self) -> None:
        """
        TLS does not go with such memory, which is said at the start.
        """
        if ctypes.CDLL(None).prctl(66, 0, 0, 0, 0) < 0:
            raise SkipTest("NOT KNOWN TO THIS KERNEL: memory that cannot become code")
        pem = makeCertificate(self.folder, "localhost")
        for options in (
            ("ockam-relay", "--listen", f"ssl:0:interface=127.0.0.1:privateKey={pem}"),
            ("ockam-outlet", "--listen", "0", "--target", "tls:localhost:443", "--trust-everyone"),
        ):
            program = self.begin(*options)
            self.assertNotEqual(program.process.wait(PATIENCE), 0)
            self.assertIn("MemoryDenyWriteExecute=no", program.text())

    def test_down(self) -> None:
        """
        It is ready although its relay is not there, and says what is missing.
        """
        self.begin("ockam-outlet", "--target", "1", "--relay", f"127.0.0.1:{freePort()}", "--trust-everyone")
        self.waitFor("READY=1")
        self.waitFor("STATUS=0 of 1 ways up")

    def test_failed(self) -> None:
        """
        Who cannot start is never ready.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            relay = self.begin("ockam-relay", "--listen", f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1")
            self.assertEqual(relay.process.wait(PATIENCE), 1)
        self.assertEqual(select.select([self.manager], [], [], 0)[0], [])

    def test_credential(self) -> None:
        """
        A ticket from a credential pairs an inlet.
        """
        at, port = freePort(), freePort()
        outlet = self.twist(
            "ockam-outlet", "--target", str(self.target("echo")), "--listen", f"tcp:{at}:interface=127.0.0.1",
            "--reached-at", f"127.0.0.1:{at}", state="outlet",
        )  # fmt: skip
        credentials = self.folder / "credentials"
        credentials.mkdir()
        (credentials / "ticket").write_text(outlet.value("Ticket") + "\n")
        inlet = self.begin(
            "ockam-inlet",
            "--listen",
            str(port),
            "--ticket",
            "credential:ticket",
            CREDENTIALS_DIRECTORY=str(credentials),
        )
        inlet.value("Paired with")
        self.waitFor("READY=1")
        self.assertNotIn("command line", inlet.text())


class DescriptorTests(ScenarioTestCase):
    """
    Few file descriptors.
    """

    def limited(self, limit: int, *arguments: str) -> Program:
        """
        Start a program that may have so many descriptors, and no more.
        """
        return self.start("prlimit", f"--nofile={limit}:{limit}", sys.executable, "-m", "twisted", *arguments)

    def flood(self, program: Program, port: int, count: int = 120) -> list[socket.socket]:
        """
        Connect until nobody is accepted any more, and further.
        """
        clients = []
        for _ in range(count):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
            clients.append(client)
            self.addCleanup(client.close)
            time.sleep(0.002)
        program.waitForText("No file descriptors are left for more connections")
        return clients

    def test_raised(self) -> None:
        """
        A process takes what it may have.
        """
        relay = self.start(
            "prlimit", "--nofile=300:500", sys.executable, "-m", "twisted", "ockam-relay", "--ephemeral",
            "--listen", "tcp:0:interface=127.0.0.1",
        )  # fmt: skip
        relay.value("Identifier")
        self.assertEqual(resource.prlimit(relay.pid, resource.RLIMIT_NOFILE), (500, 500))

    def test_relay(self) -> None:
        """
        A relay without descriptors lets others wait, with one line, turns
        idly, and goes on when there are some; who was there before is served
        all the time.
        """
        require("prlimit")
        port = freePort()
        relay = self.limited(64, "ockam-relay", "--ephemeral", "--listen", f"tcp:{port}:interface=127.0.0.1")
        relay.value("Identifier")
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as first:
            first.settimeout(PATIENCE)
            first.sendall(b"\x01")
            self.assertEqual(first.recv(1), b"\x01")
            clients = self.flood(relay, port)
            before = os.times(), Path(f"/proc/{relay.pid}/stat").read_text().split()
            time.sleep(1)
            after = Path(f"/proc/{relay.pid}/stat").read_text().split()
            # Clock ticks of 10 ms: it does not spin.
            self.assertLess(int(after[13]) + int(after[14]) - int(before[1][13]) - int(before[1][14]), 30)
            self.assertEqual(relay.text().count("No file descriptors are left"), 1)
            for client in clients:
                client.close()
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as last:
                last.settimeout(PATIENCE)
                last.sendall(b"\x01")
                self.assertEqual(last.recv(1), b"\x01")
        relay.waitForText("There are file descriptors again")
        self.assertEqual(relay.text().count("No file descriptors are left"), 1)
        self.assertNotIn("EMFILE", relay.text())

    def test_inlet(self) -> None:
        """
        An inlet, likewise: those who have waited are served.
        """
        require("prlimit")
        at, port = freePort(), freePort()
        who = self.identity("inlet")
        outlet = self.twist(
            "ockam-outlet",
            "--target",
            str(self.target("echo")),
            "--listen",
            str(at),
            "--authorized",
            who,
            state="outlet",
        ).value("Identifier")
        inlet = self.limited(
            64, "ockam-inlet", "--listen", str(port), "--authorized", outlet, "--state-dir", str(self.folder / "inlet"),
            "--to", f"/ip4/127.0.0.1/tcp/{at}/secure/api/service/outlet",
        )  # fmt: skip
        inlet.value("Identifier")
        clients = self.flood(inlet, port)
        for client in clients[:-3]:
            client.close()
        for client in clients[-3:]:
            client.setblocking(True)
            client.settimeout(PATIENCE)
            client.sendall(b"hello")
            self.assertEqual(client.recv(5), b"hello")
        self.assertEqual(inlet.text().count("No file descriptors are left"), 1)

    def test_outlet(self) -> None:
        """
        An outlet that cannot dial for want of descriptors resets the stream,
        says why in one line, and dials again when there are some.
        """
        require("prlimit")
        at, port = freePort(), freePort()
        who = self.identity("inlet")
        outlet = self.limited(
            48, "ockam-outlet", "--target", str(self.target("echo")), "--listen", str(at), "--authorized", who,
            "--state-dir", str(self.folder / "outlet"),
        )  # fmt: skip
        inlet = self.twist(
            "ockam-inlet", "--listen", str(port), "--authorized", outlet.value("Identifier"),
            "--to", f"/ip4/127.0.0.1/tcp/{at}/secure/api/service/outlet", state="inlet",
        )  # fmt: skip
        inlet.value("Identifier")
        self.waitForPort(port)
        clients = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(80)]
        for client in clients:
            self.addCleanup(client.close)
        outlet.waitForText("Too many open files")
        refused = 0
        for client in clients:
            client.settimeout(PATIENCE)
            try:
                client.sendall(b"hello")
                refused += client.recv(5) != b"hello"
            except OSError:
                refused += 1
        self.assertGreater(refused, 30)
        self.assertLess(refused, 80)
        # One for each time that there were none, not for each client.
        self.assertLess(outlet.text().count('"event": "target-down"'), 10, outlet.text()[-2000:])
        for client in clients:
            client.close()
        deadline = time.monotonic() + PATIENCE
        while True:
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                client.settimeout(PATIENCE)
                try:
                    client.sendall(b"hello")
                    if client.recv(5) == b"hello":
                        break
                except OSError:
                    pass
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)


class PrivilegeTests(DaemonTestCase):
    """
    Ports of root for somebody else, and another root folder.
    """

    def setUp(self) -> None:
        super().setUp()
        if os.geteuid() != 0:
            raise SkipTest("NOT ROOT: cannot become another user")
        self.folder.chmod(0o711)

    def test_lowPort(self) -> None:
        """
        A port below 1024, and a Unix socket, are bound by root; what runs is
        nobody's, and nothing is open but what nobody may have.
        """
        port = next(each for each in range(1023, 500, -1) if self._isFree(each))
        (self.folder / "relay").mkdir(mode=0o700)
        # In a folder of its own it can take away its files.
        for each in (self.folder, self.folder / "relay"):
            shutil.chown(each, _NOBODY, _NOBODY)
        done = self.daemon(
            "relay", "ockam-relay", "--listen", f"tcp:{port}:interface=127.0.0.1",
            "--listen", f"unix:{self.folder}/relay.sock", user=_NOBODY,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        self.logged("relay", "Identifier")
        pid = self.pid("relay")
        self.assertEqual(os.stat(f"/proc/{pid}").st_uid, _NOBODY)
        status = Path(f"/proc/{pid}/status").read_text()
        for kind in ("CapEff", "CapPrm"):
            self.assertEqual(int(re.search(rf"{kind}:\s*([0-9a-f]+)", status)[1], 16), 0)  # type: ignore[index]
        for connect in (socket.AF_INET, socket.AF_UNIX):
            with socket.socket(connect) as client:
                client.settimeout(PATIENCE)
                client.connect(("127.0.0.1", port) if connect == socket.AF_INET else f"{self.folder}/relay.sock")
                client.sendall(b"\x01")
                self.assertEqual(client.recv(1), b"\x01")
        files = []
        for each in os.listdir(f"/proc/{pid}/fd"):
            try:
                files.append(os.readlink(f"/proc/{pid}/fd/{each}"))
            except FileNotFoundError:
                # Closed since.
                continue
        own = [each for each in files if each.startswith("/") and each not in ("/dev/null", "/dev/urandom")]
        for each in own:
            inside = Path(each).is_relative_to(self.folder / "relay") or each == str(self.folder / "relay.log")
            self.assertTrue(inside, each)
        self.kill("relay")
        self.assertFalse((self.folder / "relay.pid").exists())
        self.assertNotIn("Traceback", self.log("relay"))

    def _isFree(self, port: int) -> bool:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
            return True

    def test_chroot(self) -> None:
        """
        In a root folder of its own that has nothing but its state, the name of
        its user, and C{/dev/null}, without which that is said before there is
        a daemon.
        """
        root, port = self.folder / "root", freePort()
        (root / "state").mkdir(parents=True)
        (root / "dev").mkdir()
        (root / "etc").mkdir()
        (root / "etc" / "passwd").write_text(f"nobody:x:{_NOBODY}:{_NOBODY}::/:/bin/false\n")
        (root / "state").chmod(0o700)
        for each in (root, root / "state"):
            shutil.chown(each, _NOBODY, _NOBODY)
        # The log is opened before the root folder is another one, the pidfile after.
        (self.folder / "relay.pid").symlink_to(root / "relay.pid")
        files = ["--pidfile", "/relay.pid", "--logfile", str(self.folder / "relay.log")]
        command = [
            sys.executable, "-c", "from twisted.scripts.twistd import run; run()", *files, "--chroot", str(root),
            "--rundir", "/", "--uid", str(_NOBODY), "--gid", str(_NOBODY), "ockam-relay",
            "--listen", f"tcp:{port}:interface=127.0.0.1", "--state-dir", "/state",
        ]  # fmt: skip

        def run() -> subprocess.CompletedProcess[str]:
            environ = {**os.environ, "PYTHONPATH": str(ROOT)}
            return subprocess.run(
                command, capture_output=True, text=True, timeout=PATIENCE, env=environ, cwd=self.folder
            )

        done = run()
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"--chroot: a daemon needs {root}/dev/null", done.stderr)
        try:
            os.mknod(root / "dev" / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        except OSError as error:
            raise SkipTest(f"NOT POSSIBLE HERE: a device file: {error}") from None
        os.chmod(root / "dev" / "null", 0o666)
        done = run()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.addCleanup(self.kill, "relay")
        self.logged("relay", "Identifier")
        self.assertEqual(os.readlink(f"/proc/{self.pid('relay')}/root"), str(root))
        self.assertTrue((root / "state" / "state.sqlite").exists())
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.settimeout(PATIENCE)
            client.sendall(b"\x01")
            self.assertEqual(client.recv(1), b"\x01")
        self.assertEqual(sorted(each.name for each in root.iterdir()), ["dev", "etc", "relay.pid", "state"])
        self.assertNotIn("Traceback", self.log("relay"))


class ReadOnlyTests(ScenarioTestCase):
    """
    A file system that cannot be written, but for the state folder.
    """

    def test_portal(self) -> None:
        """
        Relay, outlet and inlet run, keep their state, and complain of nothing.
        """
        require("unshare", "mount")
        if os.geteuid() != 0:
            raise SkipTest("NOT ROOT: no mount namespaces")
        state = self.folder / "states"
        state.mkdir()
        script = (
            'set -e; mount --make-rprivate /; mount --bind "$0" "$0"; '
            "awk '{print $2}' /proc/self/mounts | grep -v -e '^/proc' -e '^/sys' -e '^/dev' -e \"^$0\" | sort -u "
            '| while read -r m; do mount -o remount,bind,ro "$m" 2>/dev/null || true; done; '
            'if touch /a-file-of-a-test 2>/dev/null; then exit 77; fi; touch "$0/works"; exec "$@"'
        )
        check = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, str(state), "true"], capture_output=True, text=True
        )
        if check.returncode:
            raise SkipTest(f"NOT POSSIBLE HERE: a file system that cannot be written: {check.stderr[-200:]}")

        def run(name: str, *options: str) -> Program:
            return self.start(
                "unshare", "--mount", "sh", "-c", script, str(state), sys.executable, "-m", "twisted", f"ockam-{name}",
                *options, "--state-dir", str(state / name),
            )  # fmt: skip

        target, (at, port) = self.target("echo"), (freePort(), freePort())
        relay = run("relay", "--listen", f"tcp:{at}:interface=127.0.0.1")
        relay.value("Identifier")
        outlet = run("outlet", "--target", str(target), "--relay", f"127.0.0.1:{at}")
        inlet = run("inlet", "--listen", str(port), "--ticket", outlet.value("Ticket"))
        inlet.value("Paired with")
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.settimeout(PATIENCE)
            client.sendall(b"hello")
            self.assertEqual(client.recv(5), b"hello")
        self.assertEqual(sorted(each.name for each in state.iterdir()), ["inlet", "outlet", "relay", "works"])
        for program in (relay, outlet, inlet):
            program.end()
            for word in ("Read-only", "Traceback", "Unable to write", "dropin"):
                self.assertNotIn(word, program.text())
