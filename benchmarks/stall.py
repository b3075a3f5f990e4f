"""
C{python benchmarks stall}: what others keep of their throughput while somebody does not read, or reads slowly. See
README.rst.

Every case is measured without and with the one that disturbs, in turns, over a fixed time.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple, Self

from processes import BenchmarkError, Program, findProgram, freePort, memory, note, stop
from report import circumstances
from targets import BLOCK, fill, patient, receiveExactly
from topologies import CHECKOUT, TWIST, Portal, probeEcho

WAYS = ("down", "up")
SLOW = "64kbit"
"""What the road of the slow inlet carries, each way."""
SLOW_STREAMS = 32
STOPPED_STREAMS = 4
SETTLE = 2.0
"""Seconds from the beginning of a disturbance to that of the measurement: by then all that can be full is."""
MUCH = 1 << 40

_fork = multiprocessing.get_context("fork")


class Road:
    """
    A network namespace, and a slow road to it. Needs root.

    @ivar here: the address of this end.
    """

    def __init__(self) -> None:
        self.name = f"benchmark-{os.getpid()}"
        self.here = "10.213.77.1"
        self._ip = findProgram("ip")
        self._tc = findProgram("tc")

    def __enter__(self) -> Self:
        near, far = "bench-near", "bench-far"
        inside = (self._ip, "netns", "exec", self.name)
        try:
            self._do(self._ip, "netns", "add", self.name)
            self._do(self._ip, "link", "add", near, "type", "veth", "peer", "name", far, "netns", self.name)
            self._do(self._ip, "address", "add", f"{self.here}/30", "dev", near)
            self._do(self._ip, "link", "set", near, "up")
            self._do(*inside, self._ip, "address", "add", "10.213.77.2/30", "dev", far)
            self._do(*inside, self._ip, "link", "set", far, "up")
            self._do(*inside, self._ip, "link", "set", "lo", "up")
            shape = ("root", "tbf", "rate", SLOW, "burst", "3000", "latency", "500ms")
            self._do(self._tc, "qdisc", "add", "dev", near, *shape)
            self._do(*inside, self._tc, "qdisc", "add", "dev", far, *shape)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # The devices go with it.
        subprocess.run([self._ip, "netns", "delete", self.name], capture_output=True, check=False)

    def _do(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchmarkError(f"{' '.join(command[-6:])}: {done.stderr.strip()}")


class Shared(Portal):
    """
    One relay and one outlet with two inlets, that which is measured and another one, and at times a third one on a slow
    road.

    @ivar other: the port of the other inlet.
    @ivar relay: the port of the relay.
    """

    name = "shared"

    def __init__(self, target: int, road: Road | None) -> None:
        super().__init__(target, probeEcho)
        self.road = road

    def build(self) -> None:
        """Four C{twist} processes."""
        self.relay, self.port, self.other = freePort(), freePort(), freePort()
        inlets = ["inlet", "other", *(["slow"] if self.road else [])]
        listen = [f"tcp:{self.relay}:interface=127.0.0.1"]
        if self.road:
            listen.append(f"tcp:{self.relay}:interface={self.road.here}")
        self._twist("relay", "ockam-relay", *(f"--listen={each}" for each in listen)).waitForPort(self.relay)
        outlet = self._twist(
            "outlet",
            "ockam-outlet",
            *("--target", f"127.0.0.1:{self.target}", "--relay", f"127.0.0.1:{self.relay}"),
            *(f"--authorized={self._identity(role)}" for role in inlets),
        )
        self._identifier = outlet.waitForLine("Identifier")
        self._address = outlet.waitForLine("Forwarding address")
        for role, port in (("inlet", self.port), ("other", self.other)):
            self._start(role, *self._inlet("127.0.0.1", f"tcp:{port}:interface=127.0.0.1")).waitForPort(port)

    def _start(self, role: str, *options: str, within: tuple[str, ...] = ()) -> Program:
        return self.start(role, role, *within, *TWIST, *options, *self._state(role))

    def _inlet(self, host: str, listen: str) -> tuple[str, ...]:
        way = f"/ip4/{host}/tcp/{self.relay}/service/{self._address}/secure/api/service/outlet"
        return "ockam-inlet", "--listen", listen, "--to", way, "--authorized", self._identifier

    @contextmanager
    def slowInlet(self) -> Iterator[Path]:
        """The inlet on the slow road: the socket file where it listens."""
        if self.road is None:
            raise BenchmarkError("needs root, for a network namespace")
        path = self.folder / "slow.socket"
        within = (findProgram("ip"), "netns", "exec", self.road.name)
        inlet = self._start("slow", *self._inlet(self.road.here, f"unix:{path}"), within=within)
        try:
            inlet.wait(path.exists, "socket of the slow inlet")
            yield path
        finally:
            stop(self.roles.pop("slow"))
            path.unlink(missing_ok=True)

    def memories(self) -> dict[str, float]:
        """MB that each process has resident."""
        return {role: memory(self.pids(role))["rss"] for role in self.roles}


class Measured(NamedTuple):
    """
    @ivar rate: MB/s.
    @ivar silence: the longest time in which no byte moved, seconds.
    """

    rate: float
    silence: float


def _begin(connection: socket.socket, mode: bytes) -> socket.socket:
    patient(connection)
    connection.sendall(mode + struct.pack(">Q", MUCH))
    receiveExactly(connection, 1)
    return connection


def measure(port: int, way: str, seconds: float) -> Measured:
    """One stream that moves as much as it can for so long."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        _begin(connection, b"u" if way == "up" else b"d")
        connection.settimeout(seconds)
        buffer, data = bytearray(BLOCK), os.urandom(BLOCK)
        if way == "down":
            connection.sendall(b"g")
        clock = time.perf_counter
        count, longest = 0, 0.0
        begun = before = clock()
        try:
            while (now := clock()) < begun + seconds:
                longest, before = max(longest, now - before), now
                count += connection.recv_into(buffer) if way == "down" else connection.send(data)
        except TimeoutError:
            pass
        end = clock()
        # Closed with a reset: what is under way belongs to this measurement, not to the next one.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return Measured(count / 1e6 / (end - begun), max(longest, end - before))


@contextmanager
def _stopped(port: int, streams: int) -> Iterator[None]:
    """Streams that are stuck both ways: neither the client nor the target reads what the other one sends."""
    with ExitStack() as stack:
        for _ in range(streams):
            connection = socket.create_connection(("127.0.0.1", port), timeout=30)
            stack.enter_context(connection)
            _begin(connection, b"d")
            connection.settimeout(0.2)
            try:
                fill(connection, MUCH)
            except TimeoutError:
                pass
        yield


@contextmanager
def channel(topology: Shared) -> Iterator[None]:
    """One stream of the same inlet is stuck."""
    with _stopped(topology.port, 1):
        yield


@contextmanager
def inlets(topology: Shared) -> Iterator[None]:
    """Streams of another inlet are stuck."""
    with _stopped(topology.other, STOPPED_STREAMS):
        yield


def _drain(path: str, ready: Callable[[], object]) -> None:
    """The clients of the slow inlet: they read all that comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connections = []
    for _ in range(SLOW_STREAMS):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(60)
        connection.connect(path)
        connection.sendall(b"d" + struct.pack(">Q", MUCH))
        receiveExactly(connection, 1)
        connections.append(connection)
    for connection in connections:
        connection.sendall(b"g")
        connection.setblocking(False)
    ready()
    while True:
        time.sleep(0.01)
        for connection in connections:
            try:
                while connection.recv(BLOCK):
                    pass
            except BlockingIOError:
                pass
            except OSError:
                time.sleep(0.1)


def _flood(port: int, outlet: str, ready: Callable[[], object]) -> None:
    """A stranger asks the relay, and through it the outlet, for all that strangers may ask; it never reads."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path.insert(0, str(CHECKOUT))
    from ockam_twisted.routing.addresses import Address
    from ockam_twisted.wire.frames import VERSION, encodeFrame
    from ockam_twisted.wire.messages import encodeTransport

    routes = [
        (tuple(Address.local(name) for name in route), payload)
        for route, payload in (
            (("echo",), bytes(1000)),
            (("api",), bytes(32)),
            ((outlet, "echo"), bytes(1000)),
            ((outlet, "api"), bytes(32)),
        )
    ]
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.sendall(VERSION)
        ready()
        while True:
            data = b"".join(
                encodeFrame(encodeTransport(onward, (Address.random(),), payload)) for onward, payload in routes * 50
            )
            try:
                connection.sendall(data)
            except OSError:
                time.sleep(600)


@contextmanager
def _process(target: Callable[..., None], *arguments: object) -> Iterator[None]:
    ready = _fork.Event()
    process = _fork.Process(target=target, args=(*arguments, ready.set), daemon=True)
    process.start()
    try:
        if not ready.wait(90):
            raise BenchmarkError(f"{target.__name__} did not begin")
        yield
    finally:
        process.kill()
        process.join()


@contextmanager
def slow(topology: Shared) -> Iterator[None]:
    """Many streams come down to the inlet on the slow road."""
    with topology.slowInlet() as path, _process(_drain, str(path)):
        yield


@contextmanager
def stranger(topology: Shared) -> Iterator[None]:
    """A stranger at the relay does not read."""
    [outlet] = topology.roles["outlet"]
    with _process(_flood, topology.relay, outlet.waitForLine("Forwarding address")):
        yield


CASES: dict[str, Callable[[Shared], object]] = {
    "channel": channel,
    "inlets": inlets,
    "slow": slow,
    "stranger": stranger,
}


class Samples:
    """What was measured of one case and way."""

    def __init__(self) -> None:
        self.without: list[Measured] = []
        self.during: list[Measured] = []
        self.grown: dict[str, list[float]] = {}

    def row(self) -> list[str]:
        """The cells of the table."""
        without, during = (median(each.rate for each in samples) for samples in (self.without, self.during))
        ratio = median(b.rate / a.rate for a, b in zip(self.without, self.during, strict=True) if a.rate)
        silences = [max(each.silence for each in samples) for samples in (self.without, self.during)]
        grown = {role: max(values) for role, values in self.grown.items()}
        role = max(grown, key=lambda name: grown[name])
        return [
            f"{without:,.0f}",
            f"{during:,.0f}",
            f"{ratio:.2f}",
            *(f"{each:.2f}" for each in silences),
            f"{grown[role]:+.0f} {role}",
        ]


HEAD = ["case", "without", "with", "ratio", "silence without", "silence with", "memory"]


def table(samples: dict[tuple[str, str], Samples]) -> str:
    """A simple table of reStructuredText."""
    rows = [HEAD, *([f"{case}, {way}", *each.row()] for (case, way), each in samples.items() if each.during)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule]) + "\n"


def parseOptions(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks stall",
        description="What others keep of their throughput while somebody does not read.",
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds to take medians of (default 3)")
    parser.add_argument("--seconds", type=float, default=12.0, help="per measurement (default 12)")
    for name, known in (("--cases", tuple(CASES)), ("--ways", WAYS)):
        parser.add_argument(name, type=lambda text: text.split(","), default=known, help=f"some of: {','.join(known)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples to a file")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.cases if name not in CASES] + [
        name for name in options.ways if name not in WAYS
    ]:
        parser.error(f"unknown: {', '.join(unknown)}")
    return options


def _round(topology: Shared, case: str, way: str, seconds: float, samples: Samples) -> None:
    """Without, with, and without again."""
    before = topology.memories()
    without = measure(topology.port, way, seconds)
    # What the throughput itself needs is there by now.
    before = {role: max(size, before[role]) for role, size in topology.memories().items()}
    disturb: Callable[[Shared], object] = CASES[case]
    with disturb(topology):  # type: ignore[attr-defined]
        time.sleep(SETTLE)
        during = measure(topology.port, way, seconds)
        after = topology.memories()
    time.sleep(SETTLE)
    again = measure(topology.port, way, seconds)
    # Before and after, since the machine has other things to do as well.
    without = Measured((without.rate + again.rate) / 2, max(without.silence, again.silence))
    samples.without.append(without)
    samples.during.append(during)
    for role, size in after.items():
        samples.grown.setdefault(role, []).append(size - before.get(role, size))
    note(
        f"{case} {way}: {without.rate:,.0f} MB/s without, {during.rate:,.0f} with; "
        f"longest silence {without.silence:.2f} s, {during.silence:.2f} s; MB "
        + ", ".join(f"{role} {size:.0f} ({size - before.get(role, size):+.0f})" for role, size in after.items())
    )


def main(arguments: list[str], target: Callable[[], object]) -> int:
    """
    Run, print, and say by the exit status whether everything could be measured.

    @param target: makes the context of a running L{targets}.
    """
    options = parseOptions(arguments)
    samples: dict[tuple[str, str], Samples] = {}
    failures: list[str] = []
    with ExitStack() as stack:
        road: Road | None = None
        if "slow" in options.cases:
            try:
                road = stack.enter_context(Road())
            except BenchmarkError as problem:
                failures.append(f"slow: {problem}")
        port = stack.enter_context(target())  # type: ignore[call-overload]
        topology = stack.enter_context(Shared(port, road))
        for number in range(options.rounds):
            for case in options.cases:
                for way in options.ways:
                    if case == "slow" and road is None:
                        continue
                    try:
                        each = samples.setdefault((case, way), Samples())
                        _round(topology, case, way, options.seconds, each)
                    except (BenchmarkError, OSError, EOFError) as problem:
                        failures.append(f"round {number + 1} {case} {way}: {problem}")
                        note(f"*** {failures[-1]}\n{topology.logTail()}")
                    # What was stuck is being torn down.
                    time.sleep(1)
    facts = "\n".join(f":{name}: {value}" for name, value in circumstances().items())
    print(f"{facts}\n\nThroughput in MB/s, silence in seconds, growth of the process that grew most in MB.\n")
    print(table(samples), end="")
    if failures:
        print("\nNot measured:\n\n" + "".join(f"* {failure}\n" for failure in failures), end="")
    if options.json is not None:
        found = {
            f"{case} {way}": {"without": each.without, "with": each.during, "grown": each.grown}
            for (case, way), each in samples.items()
        }
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if failures else 0
