"""
C{python benchmarks}: measure a portal beside the Rust implementation, ssh and a plain connection, and print a table.
C{python benchmarks ablation} measures what each technique is worth.
C{python benchmarks growth} measures how the cost of a portal grows.
C{python benchmarks stall} measures what a portal is worth to others while somebody does not read.  See README.rst.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import ablation
import growth
import stall
from picture import drawing
from processes import BenchmarkError, Program, findProgram, freePort, note, stop
from report import Results, circumstances
from topologies import TOPOLOGIES, Topology, notInstalled, probeEcho, probeHttp
from workloads import HTTP_WORKLOADS, SOCKET_WORKLOADS, Numbers, Workload

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr crit; worker_rlimit_nofile 4096;
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; return 200; }}
}}
"""


@contextmanager
def socketTarget() -> Iterator[int]:
    """The port of a running L{targets}."""
    with _started() as (folder, programs):
        program = Program("target", [sys.executable, str(Path(__file__).with_name("targets.py"))], folder)
        programs.append(program)
        yield int(program.waitForLine("Port"))


@contextmanager
def webServer() -> Iterator[int]:
    """The port of a running nginx that answers 200 with an empty body."""
    with _started() as (folder, programs):
        port = freePort()
        configuration = folder / "nginx.conf"
        configuration.write_text(NGINX.format(folder=folder, port=port))
        program = Program("nginx", [findProgram("nginx"), "-p", str(folder), "-c", str(configuration)], folder)
        programs.append(program)
        program.waitForPort(port)
        yield port


@contextmanager
def _started() -> Iterator[tuple[Path, list[Program]]]:
    """A folder and a list of programs; at the end the programs are stopped and the folder is removed."""
    folder = Path(tempfile.mkdtemp(prefix="benchmark-target-"))
    programs: list[Program] = []
    try:
        yield folder, programs
    finally:
        stop(programs)
        shutil.rmtree(folder, ignore_errors=True)


class Run:
    """
    The rounds of one call.

    @ivar failures: one line for each thing that could not be measured.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.results = Results(options.topologies, circumstances())
        self.failures: list[str] = []
        self._missing: set[str] = set()
        self._startedOnce: set[str] = set()

    def leaveOut(self) -> None:
        """Say now, in one line each, what cannot be measured because a program is not installed."""
        for name in self.options.topologies:
            if missing := notInstalled(*TOPOLOGIES[name].needs):
                self._missing.add(name)
                self._failed(f"{name} left out", BenchmarkError(missing))
        if "http" in self.options.only and (missing := notInstalled("nginx", "wrk")):
            self.options.only.remove("http")
            self._failed("http left out", BenchmarkError(missing))

    def round(self, number: int) -> None:
        """
        Everything once. All topologies run at the same time and take turns at each workload, so that what disturbs
        the machine for a while disturbs them alike; those whose turn it is not are idle.
        """
        for workloads, target, probe in (
            (SOCKET_WORKLOADS, socketTarget, probeEcho),
            (HTTP_WORKLOADS, webServer, probeHttp),
        ):
            chosen = {name: workload for name, workload in workloads.items() if name in self.options.only}
            if not chosen:
                continue
            with ExitStack() as stack:
                try:
                    port = stack.enter_context(target())
                except BenchmarkError as problem:
                    self._failed(f"{', '.join(chosen)}", problem)
                    continue
                topologies = self._enter(stack, port, probe)
                for name, workload in chosen.items():
                    for topology in topologies:
                        self._measure(number, name, workload, topology)

    def _enter(self, stack: ExitStack, port: int, probe: Callable[[int], None]) -> list[Topology]:
        entered = []
        for name in self.options.topologies:
            if name in self._missing:
                continue
            try:
                entered.append(stack.enter_context(TOPOLOGIES[name](port, probe)))
                self._startedOnce.add(name)
            except (BenchmarkError, OSError, subprocess.SubprocessError) as problem:
                # What has never started is not waited for again; what has gets another chance in the next round.
                if name not in self._startedOnce:
                    self._missing.add(name)
                self._failed(f"{name} left out", problem)
        return entered

    def _measure(self, number: int, name: str, workload: Workload, topology: Topology) -> None:
        what = f"round {number}/{self.options.rounds} {name} {topology.name}"
        try:
            numbers = workload(topology, self.options.seconds, self.options.bytes)
        except (BenchmarkError, OSError, EOFError) as problem:
            self._failed(what, BenchmarkError(f"{problem}\n{topology.logTail()}"))
            return
        self.results.add(topology.name, numbers)
        note(f"{what}: {_short(numbers)}")
        # The last connections are being torn down: that work belongs to this measurement, not to the next one.
        time.sleep(0.2)

    def _failed(self, what: str, problem: Exception) -> None:
        first = str(problem).partition("\n")[0]
        self.failures.append(f"{what}: {first}")
        note(f"*** {what}: {problem}")


def _short(numbers: Numbers) -> str:
    return ", ".join(f"{key} {value:,.2f}" for key, value in numbers.items()) or "nothing to measure"


def _names(known: dict[str, Workload] | dict[str, type[Topology]]) -> Callable[[str], list[str]]:
    """An option that takes some of the known names, separated by commas."""

    def parse(text: str) -> list[str]:
        chosen = [name for name in text.split(",") if name]
        if unknown := [name for name in chosen if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
        # The order is that of the table, not that of the option.
        return [name for name in known if name in chosen]

    return parse


def parseOptions() -> argparse.Namespace:
    """The command line."""
    workloads = SOCKET_WORKLOADS | HTTP_WORKLOADS
    parser = argparse.ArgumentParser(
        prog="python benchmarks", description="Measure a portal beside Rust, ssh and a plain connection, on loopback."
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds to take medians of (default 3)")
    parser.add_argument("--seconds", type=float, default=2.0, help="about so long per measurement (default 2)")
    parser.add_argument("--bytes", type=int, help="move so many bytes instead, in the throughput measurements")
    parser.add_argument("--quick", action="store_true", help="one round of half a second each: does it run at all")
    known = ", ".join(workloads)
    parser.add_argument("--only", type=_names(workloads), default=list(workloads), help=f"some of: {known}")
    known = ", ".join(TOPOLOGIES)
    parser.add_argument("--topologies", type=_names(TOPOLOGIES), default=list(TOPOLOGIES), help=f"some of: {known}")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the table to a file, too")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the comparison with Rust, as SVG")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples to a file")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.5
    return options


def _terminated(number: int, frame: FrameType | None) -> None:
    # As an exception it passes through all that has something to stop.
    raise SystemExit(128 + number)


def main() -> int:
    """Run, print, and say by the exit status whether everything could be measured."""
    signal.signal(signal.SIGTERM, _terminated)
    if sys.argv[1:2] == ["stall"]:
        return stall.main(sys.argv[2:], socketTarget)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if sys.argv[1:2] == ["growth"]:
        return growth.main(sys.argv[2:], socketTarget)
    if sys.argv[1:2] == ["ablation"]:
        return ablation.main(sys.argv[2:], socketTarget, webServer)
    options = parseOptions()
    run = Run(options)
    run.leaveOut()
    try:
        for number in range(1, options.rounds + 1):
            run.round(number)
    except KeyboardInterrupt:
        run.failures.append("interrupted: what is missing was not measured")
    table = run.results.table()
    if run.failures:
        table += "\nNot measured:\n\n" + "".join(f"* {failure}\n" for failure in run.failures)
    print(table, end="")
    if options.output is not None:
        options.output.write_text(table)
    if options.picture is not None:
        options.picture.write_text(drawing(run.results))
    if options.json is not None:
        options.json.write_text(run.results.json())
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
