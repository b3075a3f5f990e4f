"""
Programs started for a benchmark: start, wait for, account and stop them.

Every program writes into log files of a temporary folder, every wait has an end, and stopping a program also stops
whatever it has started. Linux only: CPU time and memory are read from /proc.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

START_TIMEOUT = 30.0
STOP_TIMEOUT = 3.0

_TICK = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class BenchmarkError(Exception):
    """Something that a measurement needs did not start, did not answer in time or is not installed."""


def findProgram(name: str) -> str:
    """
    The absolute path of a program.

    @raise BenchmarkError: it is not installed.
    """
    path = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    found = shutil.which(name, path=path)
    if found is None:
        raise BenchmarkError(f"{name} is not installed")
    return os.path.abspath(found)


def freePort() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _dieWithParent() -> None:
    """In the child, before exec: even a benchmark that is killed leaves nothing running."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Program:
    """
    A running program.

    @ivar name: what errors and log files call it.
    @ivar pid: the process started; L{pids} has its descendants too.
    """

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """
        @param command: the program and its arguments.
        @param folder: the working directory, where NAME.out and NAME.err are written.
        """
        self.name = name
        self.command = list(command)
        self._out = folder / f"{name}.out"
        self._err = folder / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder,
                env=None if environment is None else dict(environment),
                start_new_session=True,
                preexec_fn=_dieWithParent,
            )
        self.pid = self._process.pid

    def pids(self) -> list[int]:
        """This process and its descendants."""
        return descendants(self.pid)

    def state(self) -> str:
        """Whether it runs, in words."""
        status = self._process.poll()
        return "running" if status is None else f"ended with status {status}"

    def logTail(self, size: int = 1500) -> str:
        """The end of what it wrote, for an error message."""
        parts = [path.read_text(errors="replace")[-size:].strip() for path in (self._out, self._err)]
        return "\n".join(part for part in parts if part)

    def wait(self, condition: Callable[[], bool], what: str, timeout: float = START_TIMEOUT) -> None:
        """
        Wait until a condition holds.

        @raise BenchmarkError: the program ended, or the time is over.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            if self._process.poll() is not None:
                raise BenchmarkError(f"{self.name} {self.state()}\n{self.logTail()}")
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{self.name}: no {what} within {timeout:g} s\n{self.logTail()}")
            time.sleep(0.02)

    def waitForPort(self, port: int, timeout: float = START_TIMEOUT) -> None:
        """Wait until somebody listens on a port of 127.0.0.1; looks into /proc, so that no connection is made."""
        self.wait(lambda: _listening(port), f"listening port {port}", timeout)

    def waitForLine(self, label: str, timeout: float = START_TIMEOUT) -> str:
        """Wait for a complete line C{label: value} on its standard output; returns the value."""
        found: list[str] = []

        def seen() -> bool:
            found[:] = labelled(self._out.read_text(errors="replace"), label)
            return bool(found)

        self.wait(seen, f"line {label!r}", timeout)
        return found[0]


def labelled(text: str, label: str) -> list[str]:
    """The values of all complete lines C{label: value} of a text."""
    prefix = label + ": "
    lines = text.splitlines(keepends=True)
    return [line[len(prefix) :].strip() for line in lines if line.startswith(prefix) and line.endswith("\n")]


def stop(programs: Iterable[Program]) -> None:
    """End programs and all that they have started: ask first, kill what is left after L{STOP_TIMEOUT} seconds."""
    stopping = list(programs)
    # The tree is read before the first signal: afterwards orphans are no longer in it.
    trees = {pid for program in stopping for pid in program.pids()}
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in trees:
            _signal(pid, number)
        deadline = time.monotonic() + STOP_TIMEOUT
        while time.monotonic() < deadline:
            for program in stopping:
                program._process.poll()
            trees = {pid for pid in trees if _alive(pid)}
            if not trees:
                return
            time.sleep(0.02)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on (field 3 of proc(5) is index 0)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _alive(pid: int) -> bool:
    stat = _stat(pid)
    return stat is not None and stat[0] not in "ZX"


def descendants(root: int) -> list[int]:
    """A process and all that it has started, directly or not; empty when it is gone."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := _stat(int(entry))) is not None:
            children.setdefault(int(stat[1]), []).append(int(entry))
    found = [root] if _stat(root) is not None else []
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def cpuSeconds(pids: Iterable[int]) -> float:
    """User and system time of processes, of all threads they have now."""
    return sum(map(_cpuSeconds, pids))


def _cpuSeconds(pid: int) -> float:
    try:
        # Nanoseconds, where /proc/PID/stat counts in steps of 10 ms.
        return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9
    except (OSError, IndexError):
        stat = _stat(pid)
        return 0.0 if stat is None else sum(int(field) for field in stat[11:13]) / _TICK


def memory(pids: Iterable[int]) -> dict[str, float]:
    """
    Memory of processes in MB (10^6 bytes): "rss" counts pages shared between them each time, "pss" shares them out.
    """
    sums = {"rss": 0.0, "pss": 0.0}
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        for line in text.splitlines():
            name, _, value = line.partition(":")
            if name.lower() in sums:
                sums[name.lower()] += int(value.split()[0]) * 1024 / 1e6
    return sums


def _listening(port: int) -> bool:
    local, listen = f":{port:04X}", "0A"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == listen and fields[1].endswith(local):
                return True
    return False


def note(text: str) -> None:
    """Tell the person something now, on standard error."""
    print(text, file=sys.stderr, flush=True)
