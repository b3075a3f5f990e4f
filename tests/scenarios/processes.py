"""
Real processes for the scenario tests: each is ended whatever the test does.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import ockam_twisted

#: Where the package that is under test lies.
ROOT = Path(ockam_twisted.__file__).resolve().parent.parent

PATIENCE = 30.0
CURL = ["curl", "-sS", "--noproxy", "*", "-m", "60"]


def require(*programs: str) -> None:
    """
    Skip, loudly, where a program is not installed.
    """
    missing = [each for each in programs if shutil.which(each, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if missing:
        raise SkipTest(f"NOT INSTALLED: {', '.join(missing)}")


def _called(test: Callable[..., Any], variant: str) -> Callable[..., Any]:
    return lambda self: test(self, variant)


def eachVariant(
    *variants: str, call: Callable[[Callable[..., Any], str], Callable[..., Any]] = _called
) -> Callable[[Any], Any]:
    """
    Have every test of a class once for each variant, which it is called with.

    @param call: Makes the test of one variant.
    """

    def decorate(case: Any) -> Any:
        for name in [name for name in vars(case) if name.startswith("test_")]:
            test = getattr(case, name)
            delattr(case, name)
            for variant in variants:
                run = call(test, variant)
                run.__doc__ = test.__doc__
                setattr(case, f"{name}_{variant.replace(' -', '_')}", run)
        return case

    return decorate


#: Marks of the ports that were given last: nobody is given them again soon, in
#: whatever process.
_given: deque[socket.socket] = deque()
_MARKS = 64


def freePort() -> int:
    """
    A port that nobody uses now; not one of those that connections are made
    from, of which one might be taken before it is listened at.
    """
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        mark = socket.socket(socket.AF_UNIX)
        try:
            mark.bind(f"\0ockam-twisted-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        _given.append(mark)
        if len(_given) > _MARKS:
            _given.popleft().close()
        return port


def steady(look: Callable[[], Any], seconds: float = 2.0) -> Any:
    """
    What C{look} gives, once that has been the same for so long.

    @raise AssertionError: It changes on and on.
    """
    begun = since = time.monotonic()
    was = look()
    while (now := time.monotonic()) - since < seconds:
        if now - begun > PATIENCE:
            raise AssertionError(f"still {was}, and then another")
        time.sleep(0.05)
        if (seen := look()) != was:
            was, since = seen, time.monotonic()
    return was


def canConnect(port: int) -> bool:
    """
    Does somebody listen?
    """
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def children(pid: int) -> list[int]:
    """
    The processes that a process has started.
    """
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Stopwatch:
    """
    Measures how long programs take: without the time in which they could have
    run and the machine gave them no processor, as far as Linux tells.
    """

    def __init__(self, *programs: Program) -> None:
        self._pids = (os.getpid(), *(program.pid for program in programs))
        self._began = time.monotonic()
        self._waited = self._wait()

    def _wait(self) -> float:
        try:
            stats = [Path(f"/proc/{pid}/schedstat").read_text().split() for pid in self._pids]
        except OSError:
            return 0.0
        return sum(int(stat[1]) for stat in stats) / 1e9

    def seconds(self) -> float:
        """
        Since it was made.
        """
        return time.monotonic() - self._began - max(self._wait() - self._waited, 0.0)


class Program:
    """
    One process and what it prints.
    """

    def __init__(self, arguments: list[str], log: Path, descriptors: tuple[int, ...] = ()) -> None:
        """
        @param descriptors: What it has open from the beginning.
        """
        self.log = log
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environ,
                cwd=log.parent,
                pass_fds=descriptors,
            )

    @property
    def pid(self) -> int:
        """
        Its process id.
        """
        return self.process.pid

    def text(self) -> str:
        """
        What it has printed.
        """
        return self.log.read_text("utf-8", "replace")

    def memory(self) -> int:
        """
        How much memory it has resident, in bytes.
        """
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"{self.process.args} has ended:\n{self.text()[-3000:]}")

    def openFiles(self) -> int:
        """
        How many file descriptors it has open, but for those that are ready
        when others are: a pool of sockets has one while it has many sockets.
        """
        count = 0
        for each in Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                count += "eventpoll" not in os.readlink(each)
            except FileNotFoundError:
                # Closed since.
                pass
        return count

    def value(self, label: str) -> str:
        """
        Wait for a line C{label: value}.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            # What it says last it says before it ends.
            hasEnded = self.process.poll() is not None
            for line in self.text().splitlines(keepends=True):
                if line.startswith(f"{label}: ") and line.endswith("\n"):
                    return line.rstrip("\r\n").partition(": ")[2]
            if hasEnded:
                break
            time.sleep(0.02)
        raise AssertionError(f"no line {label!r} from {self.process.args}:\n{self.text()[-3000:]}")

    def waitForText(self, text: str) -> None:
        """
        Wait until it has printed something.
        """
        deadline = time.monotonic() + PATIENCE
        while text not in self.text():
            if time.monotonic() > deadline:
                raise AssertionError(f"no {text!r} from {self.process.args}:\n{self.text()[-3000:]}")
            time.sleep(0.02)

    def end(self) -> int:
        """
        Ask it to end.

        @return: Its status.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return int(self.process.returncode)


class ScenarioTestCase(SynchronousTestCase):
    """
    Tests over real sockets, in real time, with real processes.
    """

    def setUp(self) -> None:
        """
        A folder of its own.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="ockam-twisted-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.count = 0
        # Runs after the programs have ended, before the folder is removed.
        self.addCleanup(self._checkLogs)

    def _checkLogs(self) -> None:
        for log in self.folder.glob("*.log"):
            text = log.read_text("utf-8", "replace")
            # Python's web server has one for each client that leaves early.
            if not text.startswith("Serving HTTP"):
                self.assertNotIn("Traceback", text)

    def start(self, *arguments: str) -> Program:
        """
        Start a program.
        """
        self.count += 1
        program = Program(list(arguments), self.folder / f"{self.count}.log")
        self.addCleanup(program.end)
        return program

    def twist(self, plugin: str, *arguments: str, state: str = "") -> Program:
        """
        Start a plugin.
        """
        folder = str(self.folder / (state or f"{plugin}-{self.count}"))
        return self.start(
            sys.executable, "-m", "twisted", "--log-format=text", plugin, *arguments, "--state-dir", folder
        )

    def identity(self, state: str) -> str:
        """
        The identifier in a state folder.
        """
        command = [sys.executable, "-m", "ockam_twisted.command", "identity", "show", "--state-dir"]
        shown = subprocess.run(
            [*command, str(self.folder / state)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=self.folder,
            check=True,
        )
        return shown.stdout.removeprefix("Identifier: ").strip()

    def serveFolder(self) -> tuple[int, Path]:
        """
        A private web server.

        @return: Its port, and the folder that it serves.
        """
        port, folder = freePort(), self.folder / "private"
        folder.mkdir()
        self.start(sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(folder), str(port))
        self.waitForPort(port)
        return port, folder

    def target(self, kind: str, *arguments: str) -> int:
        """
        Start a private service of L{tests.scenarios.targets}.

        @return: Its port.
        """
        script = str(Path(__file__).with_name("targets.py"))
        return int(self.start(sys.executable, script, kind, *arguments).value("Port"))

    def waitForPort(self, port: int) -> None:
        """
        Wait until somebody listens.
        """
        deadline = time.monotonic() + PATIENCE
        while not canConnect(port):
            if time.monotonic() > deadline:
                raise AssertionError(f"nobody listens on port {port}")
            time.sleep(0.05)

    def accept(self, server: socket.socket) -> socket.socket:
        """
        The next connection on which there is something to read.
        """
        while True:
            target, _ = server.accept()
            self.addCleanup(target.close)
            target.settimeout(PATIENCE)
            if target.recv(1, socket.MSG_PEEK):
                return target
            # Somebody has only looked whether the inlet listens.
            target.close()

    def portal(
        self,
        target: int | str,
        relayAt: int = 0,
        *authorized: str,
        inletOptions: tuple[str, ...] = (),
        relayOptions: tuple[str, ...] = (),
    ) -> tuple[int, Program, Program, Program]:
        """
        Start relay, outlet and inlet.

        @param target: The port of the private service, or host and port.
        @param relayAt: Where inlet and outlet find the relay, if something
            is in between.
        @param authorized: Who else may connect to the outlet, identifiers.
        @param inletOptions: More options of the inlet.
        @param relayOptions: More options of the relay.
        @return: The inlet's port; inlet, relay and outlet.
        """
        at, port = freePort(), freePort()
        target = f"127.0.0.1:{target}" if isinstance(target, int) else target
        if relayAt:
            at, relayAt = relayAt, at
        listen = relayAt or at
        inlet, outlet = self.identity("inlet"), self.identity("outlet")
        at4 = f"tcp:{listen}:interface=127.0.0.1"
        relay = self.twist("ockam-relay", "--listen", at4, *relayOptions, state="relay")
        relay.value("Identifier")
        out = self.twist(
            "ockam-outlet", "--target", target, "--relay", f"127.0.0.1:{at}", "--authorized", inlet,
            *(f"--authorized={each}" for each in authorized), state="outlet",
        )  # fmt: skip
        address = out.value("Forwarding address")
        self.assertEqual(address, f"forward_to_{outlet}")
        into = self.twist(
            "ockam-inlet", "--listen", str(port), "--authorized", outlet, *inletOptions,
            "--to", f"/ip4/127.0.0.1/tcp/{at}/service/{address}/secure/api/service/outlet", state="inlet",
        )  # fmt: skip
        into.value("Identifier")
        self.waitForPort(port)
        return port, into, relay, out
