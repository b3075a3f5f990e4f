"""
C{python benchmarks growth}: how the cost of a portal of ours grows with what there is of it. See README.rst.
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from statistics import median

from processes import BenchmarkError, Program, cpuSeconds, freePort, memory, note
from report import circumstances, simpleTable
from targets import receiveExactly
from topologies import Portal, probeEcho
from workloads import bulk, connections, oneByte, openConnection, pings, transfer

Row = tuple[float, ...]
Target = Callable[[], AbstractContextManager[int]]

CONNECTIONS = (1, 10, 100, 500, 1000)
STREAMS = (1, 4, 16, 64)
SIZES = (64, 1024, 16 * 1024, 256 * 1024, 1024 * 1024)
HOPS = (1, 2, 4, 8)
OUTLETS = (1, 10, 50, 200)


def _crowd(folder: Path, name: str, *arguments: object) -> Program:
    program = Program(name, [sys.executable, str(Path(__file__).with_name("crowd.py")), *map(str, arguments)], folder)
    program.waitForLine("Ready")
    return program


def _roundTrip(port: int, seconds: float) -> float:
    with openConnection(port) as connection:
        samples = pings(connection, seconds)
    return median(samples[len(samples) // 20 :]) / 1e3


class Chain(Portal):
    """
    A portal through several relays, each registered at the one before it.

    @ivar count: how many relays.
    """

    name = "chain"
    count = 1

    def _startRelay(self, port: int) -> None:
        self._names = [f"relay{number}" for number in range(1, self.count)]
        previous, first = 0, freePort()
        ports = [first, *(freePort() for _ in self._names)]
        for number, name in enumerate(["", *self._names]):
            more = (previous, name) if name else ()
            program = _crowd(self.folder, f"crowd{number}", "relay", ports[number], *more)
            self.roles.setdefault("relay", []).append(program)
            previous = ports[number]
        self._first, self._last = first, previous

    def _startOutlet(self, relay: int, client: str) -> str:
        return super()._startOutlet(self._last, client)

    def way(self, relay: int, address: str) -> str:
        """Where the outlet is, for the inlet."""
        through = "".join(f"/service/forward_to_{name}" for name in self._names)
        return f"/ip4/127.0.0.1/tcp/{self._first}{through}/service/{address}/secure/api/service/outlet"


def openConnections(topology: Portal, seconds: float) -> Iterator[Row]:
    """Memory, round trip and the price of one more connection beside so many open ones."""
    held: list[socket.socket] = []
    try:
        for count in CONNECTIONS:
            while len(held) < count:
                held.append(oneByte(topology.port))
            time.sleep(0.5)
            pss = topology.memory()["pss"]
            trip = _roundTrip(topology.port, seconds)
            numbers = connections(topology, seconds)
            yield count, pss, trip, numbers["connections"], 1e3 * numbers["cpu-connections"]
    finally:
        for each in held:
            each.close()


def parallelStreams(topology: Portal, seconds: float) -> Iterator[Row]:
    """Throughput of so many streams together."""
    for count in STREAMS:
        row: list[float] = [count]
        for mode, key in ((b"u", "up"), (b"d", "down")):
            key += "" if count == 1 else f"-{count}"
            numbers = bulk(topology, mode, count, seconds, None)
            row += numbers[key], numbers[f"cpu-{key}"]
        yield tuple(row)


def writeSizes(topology: Portal, seconds: float) -> Iterator[Row]:
    """Throughput of a client that writes so many bytes at once."""
    for size in SIZES:
        block = bytes(size)
        with openConnection(topology.port) as connection:
            # More than there will ever be: the target reads until the connection ends.
            connection.sendall(b"u" + struct.pack(">Q", 1 << 60))
            receiveExactly(connection, 1)
            before, begun, sent = topology.cpu(), time.perf_counter(), 0
            while time.perf_counter() < begun + seconds:
                connection.sendall(block)
                sent += size
            taken, after = time.perf_counter() - begun, topology.cpu()
        spent = sum(after.values()) - sum(before.values())
        yield size, sent / 1e6 / taken, spent / (sent / 1e9), spent / (sent / size) * 1e6
        time.sleep(0.5)


def hops(target: int, seconds: float) -> Iterator[Row]:
    """A way through so many relays."""
    for count in HOPS:
        chain = Chain(target, probeEcho)
        chain.count = count
        with chain:
            trip = _roundTrip(chain.port, seconds)
            transfer(chain.port, b"d", 32 * 1024 * 1024, 1)
            numbers = bulk(chain, b"d", 1, seconds, None)
            yield count, trip, numbers["down"], numbers["cpu-down"]


def outlets(target: int, seconds: float) -> Iterator[Row]:
    """A relay with so many outlets, all but one idle."""
    with Portal(target, probeEcho) as portal:
        relay = portal.roles["relay"][0]
        crowd: list[Program] = []
        there = 1
        for count in OUTLETS:
            if count > there:
                crowd.append(_crowd(portal.folder, f"crowd{count}", "outlets", count - there, portal.relay))
                portal.roles.setdefault("crowd", []).append(crowd[-1])
                there = count
            time.sleep(0.5)
            before = cpuSeconds(relay.pids())
            time.sleep(seconds)
            idle = (cpuSeconds(relay.pids()) - before) / seconds
            yield count, memory(relay.pids())["pss"], 1e3 * idle, _roundTrip(portal.port, seconds)


SERIES: dict[str, tuple[str, tuple[str, ...], Callable[..., Iterator[Row]]]] = {
    "connections": (
        "Open connections",
        ("open", "memory, MB", "round trip, µs", "new connections / s", "CPU ms per 1,000"),
        openConnections,
    ),
    "streams": (
        "Parallel streams",
        ("streams", "up, MB/s", "CPU s per GB", "down, MB/s", "CPU s per GB"),
        parallelStreams,
    ),
    "sizes": ("Bytes per write", ("bytes", "up, MB/s", "CPU s per GB", "CPU µs per write"), writeSizes),
    "hops": ("Relays on the way", ("relays", "round trip, µs", "down, MB/s", "CPU s per GB"), hops),
    "outlets": (
        "Outlets of one relay",
        ("outlets", "memory of the relay, MB", "its CPU ms per idle s", "round trip, µs"),
        outlets,
    ),
}
"""Title, head and measurement of each series. The last two start topologies of their own."""


@contextmanager
def _subject(name: str, target: Target) -> Iterator[Portal | int]:
    with ExitStack() as stack:
        port = stack.enter_context(target())
        yield port if name in ("hops", "outlets") else stack.enter_context(Portal(port, probeEcho))


def _cell(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.2f}"


def main(arguments: list[str], target: Target) -> int:
    """
    Run, print, and say by the exit status whether everything could be measured.

    @param target: makes the context of a running L{targets}.
    """
    parser = argparse.ArgumentParser(
        prog="python benchmarks growth", description="How the cost of a portal grows with what there is of it."
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="about so long per measurement (default 2)")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[*SERIES], help=", ".join(SERIES))
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the tables to a file, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to a file")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.only if name not in SERIES]:
        parser.error(f"unknown: {', '.join(unknown)}")
    facts = circumstances()
    parts = ["\n".join(f":{name}: {value}" for name, value in facts.items()) + "\n"]
    rows: dict[str, list[Row]] = {}
    failed = False
    for name in options.only:
        title, head, series = SERIES[name]
        rows[name] = []
        try:
            with _subject(name, target) as subject:
                for row in series(subject, options.seconds):
                    rows[name].append(row)
                    note(f"{name}: " + ", ".join(map(_cell, row)))
        except (BenchmarkError, OSError, EOFError, subprocess.SubprocessError) as problem:
            failed = True
            note(f"*** {name}: {problem}")
            title += " (not all could be measured)"
        parts.append(f"{title}\n\n{simpleTable([head, *([_cell(each) for each in row] for row in rows[name])])}")
    text = "\n".join(parts)
    print(text, end="")
    if options.output is not None:
        options.output.write_text(text)
    if options.json is not None:
        options.json.write_text(json.dumps({"circumstances": facts, "series": rows}, indent=1) + "\n")
    return failed
