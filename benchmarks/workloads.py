"""
The load generators. Each uses a port of 127.0.0.1 that leads to L{targets} (C{http}: to a web server) like a client
would, for about the seconds it is told, and returns numbers by the keys of L{report.METRICS}.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.synchronize
import re
import select
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from statistics import median, quantiles

from processes import BenchmarkError, findProgram, note
from targets import PING, STALL, drain, fill, patient, receiveExactly
from topologies import Topology

WARM_UP = 32 * 1024 * 1024
AT_ONCE = 32
OPEN = 500
MOST_CONNECTIONS = 10_000
"""Per measurement: closed connections keep their port for a minute, and there are 28,000 ports."""
HTTP_CONNECTIONS = 64
MANY = 64
REST = 0.1
"""Seconds after which a connection finds nothing of the one before it still under way."""
LONGEST = 10 * STALL
"""Seconds after which a transfer is given up even if bytes trickle."""

_fork = multiprocessing.get_context("fork")

Numbers = dict[str, float]


def openConnection(port: int) -> socket.socket:
    """A connection for blocking calls."""
    return patient(socket.create_connection(("127.0.0.1", port), timeout=STALL))


def _stream(port: int, mode: bytes, count: int, barrier: multiprocessing.synchronize.Barrier) -> None:
    """One stream of a transfer, in a process of its own. Two waits: all are ready, all are done."""
    with openConnection(port) as connection:
        connection.sendall(mode + struct.pack(">Q", count))
        receiveExactly(connection, 1)
        barrier.wait(STALL)
        if mode == b"u":
            fill(connection, count)
            receiveExactly(connection, 1)
        else:
            connection.sendall(b"g")
            drain(connection, count)
        barrier.wait(LONGEST)


def transfer(port: int, mode: bytes, count: int, streams: int) -> float:
    """
    Move that many bytes, to (C{u}) or from (C{d}) the target, over that many connections together.

    @return: seconds from the first byte until the last one has arrived at the other end.
    @raise BenchmarkError: a stream failed.
    """
    # Streams that fail break the barrier for everybody, so that nobody waits for them.
    barrier = _fork.Barrier(streams + 1)

    def run() -> None:
        # The terminal sends Ctrl-C to this process as well; the parent is the one to act on it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            _stream(port, mode, count // streams, barrier)
        except (OSError, EOFError, threading.BrokenBarrierError) as problem:
            barrier.abort()
            note(f"    stream: {problem!r}")

    workers = [_fork.Process(target=run, daemon=True) for _ in range(streams)]
    try:
        for worker in workers:
            worker.start()
        barrier.wait(STALL)
        begun = time.perf_counter()
        # Streams give up by themselves when no byte has come for a while.
        barrier.wait(LONGEST)
        taken = time.perf_counter() - begun
        for worker in workers:
            worker.join(STALL)
        return taken
    except threading.BrokenBarrierError:
        raise BenchmarkError(f"transfer of {count} bytes failed") from None
    finally:
        for worker in workers:
            if worker.pid is not None:
                worker.kill()
                worker.join(STALL)


def bulk(topology: Topology, mode: bytes, streams: int, seconds: float, size: int | None) -> Numbers:
    """
    Throughput in MB/s and the CPU seconds of every role per GB.

    @param size: bytes to move; C{None}: as many as the warm-up says take that many seconds.
    """
    warm = transfer(topology.port, mode, WARM_UP, streams)
    count = size if size is not None else max(WARM_UP, int(WARM_UP / warm * seconds))
    key = ("up" if mode == b"u" else "down") + ("" if streams == 1 else f"-{streams}")
    before = topology.cpu()
    taken = transfer(topology.port, mode, count, streams)
    cpu = spent(topology, before, key, count / 1e9)
    numbers = {key: count / 1e6 / taken}
    return numbers | cpu


def spent(topology: Topology, before: dict[str, float], key: str, count: float) -> Numbers:
    """CPU seconds of each role and of all since C{before}, for each of C{count} units."""
    after = topology.cpu()
    numbers = {f"cpu-{key}-{role}": (after[role] - before[role]) / count for role in before}
    return numbers | {f"cpu-{key}": sum(numbers.values())} if numbers else {}


def roundTrip(topology: Topology, seconds: float) -> Numbers:
    """Microseconds from sending 64 bytes until they are back, over one open connection, one at a time."""
    with openConnection(topology.port) as connection:
        before = topology.cpu()
        samples = pings(connection, seconds)
        cpu = spent(topology, before, "round-trip", len(samples) / 1e5)
    samples = samples[len(samples) // 20 :]
    return {
        "round-trip-p50": median(samples) / 1e3,
        "round-trip-p99": quantiles(samples, n=100)[98] / 1e3,
    } | cpu


def pings(connection: socket.socket, seconds: float, least: int = 300) -> list[int]:
    """Send 64 bytes and wait until they are back, again and again: nanoseconds of each, of so many at least."""
    block = bytes(PING)
    samples: list[int] = []
    clock = time.perf_counter_ns
    connection.sendall(b"p")
    end = clock() + int(seconds * 1e9)
    while (begun := clock()) < end or len(samples) < least:
        connection.sendall(block)
        receiveExactly(connection, PING)
        samples.append(clock() - begun)
    return samples


def connect(topology: Topology, seconds: float) -> Numbers:
    """
    Milliseconds to connect, send one byte, have it back and close: on a way at rest, and each at once after the other,
    where a tunnel that leaves small messages to Nagle's algorithm waits for late acknowledgements.
    """
    numbers = {}
    for key, rest in (("connect", REST), ("connect-next", 0.0)):
        samples: list[float] = []
        end = time.perf_counter() + seconds
        while (time.perf_counter() < end or len(samples) < 10) and len(samples) < MOST_CONNECTIONS:
            time.sleep(rest)
            begun = time.perf_counter()
            oneByte(topology.port).close()
            samples.append(time.perf_counter() - begun)
        numbers[key] = median(samples) * 1e3
    return numbers


def oneByte(port: int) -> socket.socket:
    """A new connection over which one byte has gone to the target and back."""
    connection = socket.socket()
    try:
        patient(connection)
        connection.connect(("127.0.0.1", port))
        connection.sendall(b"e")
        receiveExactly(connection, 1)
    except BaseException:
        connection.close()
        raise
    return connection


def connections(topology: Topology, seconds: float) -> Numbers:
    """New connections per second, each with one byte there and back, 32 at any time."""
    poll = select.epoll()
    open: dict[int, socket.socket] = {}
    address = ("127.0.0.1", topology.port)

    def begin() -> None:
        connection = socket.socket()
        open[connection.fileno()] = connection
        connection.settimeout(STALL)
        connection.connect(address)  # loopback: done by the kernel at once
        connection.setblocking(False)
        connection.send(b"e")
        poll.register(connection.fileno(), select.EPOLLIN)

    finished = 0
    try:
        for _ in range(AT_ONCE):
            begin()
        before = topology.cpu()
        begun = time.perf_counter()
        while (now := time.perf_counter()) < begun + seconds and finished < MOST_CONNECTIONS:
            ready = poll.poll(STALL)
            if not ready:
                raise BenchmarkError(f"no connection was answered for {STALL} s")
            for number, _ in ready:
                with open.pop(number) as connection:
                    if connection.recv(1) != b"e":
                        raise BenchmarkError("a connection was closed without an answer")
                finished += 1
                begin()
        return {"connections": finished / (now - begun)} | spent(topology, before, "connections", finished / 1e3)
    finally:
        for connection in open.values():
            connection.close()
        poll.close()


def fairness(topology: Topology, mode: bytes, seconds: float) -> Numbers:
    """Jain's index of the shares of 64 streams at once: 1 if all are equal."""
    poll = select.epoll()
    moved: dict[int, int] = {}
    streams: dict[int, socket.socket] = {}
    block = bytearray(256 * 1024)
    try:
        for _ in range(MANY):
            stream = openConnection(topology.port)
            streams[stream.fileno()] = stream
            stream.sendall(mode + struct.pack(">Q", 1 << 60))
        for number, stream in streams.items():
            receiveExactly(stream, 1)
            if mode == b"d":
                stream.sendall(b"g")
            stream.setblocking(False)
            poll.register(number, select.EPOLLIN if mode == b"d" else select.EPOLLOUT)
        begun = time.perf_counter()
        # What fills queues at first says nothing.
        counted = begun + max(1.0, seconds / 4)
        while (now := time.perf_counter()) < counted + seconds:
            if now < counted:
                moved = dict.fromkeys(streams, 0)
            for number, _ in poll.poll(STALL):
                stream = streams[number]
                size = stream.recv_into(block) if mode == b"d" else stream.send(block)
                if not size:
                    raise BenchmarkError("a stream has ended")
                moved[number] += size
    finally:
        for stream in streams.values():
            stream.close()
        poll.close()
    shares = moved.values()
    key = "fairness-" + ("up" if mode == b"u" else "down")
    return {key: sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))}


def beside(topology: Topology, seconds: float) -> Numbers:
    """The round trip of 64 bytes beside two streams up and two down that never pause, in milliseconds."""

    def flood(mode: bytes) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with openConnection(topology.port) as connection:
            connection.sendall(mode + struct.pack(">Q", 1 << 60))
            receiveExactly(connection, 1)
            if mode == b"u":
                fill(connection, 1 << 60)
            else:
                connection.sendall(b"g")
                drain(connection, 1 << 60)

    floods = [_fork.Process(target=flood, args=(mode,), daemon=True) for mode in (b"u", b"d", b"u", b"d")]
    try:
        for each in floods:
            each.start()
        with openConnection(topology.port) as connection:
            time.sleep(1)
            samples = pings(connection, seconds, 20)
        if any(each.exitcode is not None for each in floods):
            raise BenchmarkError("a stream has ended")
    finally:
        for each in floods:
            each.kill()
            each.join(STALL)
    return {"beside-p50": median(samples) / 1e6, "beside-p99": quantiles(samples, n=100)[98] / 1e6}


def memory(topology: Topology, seconds: float) -> Numbers:
    """MB of all processes before any load, and with 500 connections open over which one byte has come back."""
    if not topology.roles:
        return {}
    time.sleep(0.5)
    idle = topology.memory()
    held: list[socket.socket] = []
    try:
        for _ in range(OPEN):
            held.append(oneByte(topology.port))
        time.sleep(0.5)
        loaded = topology.memory()
    finally:
        for connection in held:
            connection.close()
    return {f"memory-{kind}": idle[kind] for kind in idle} | {f"memory-{kind}-500": loaded[kind] for kind in loaded}


def http(topology: Topology, seconds: float) -> Numbers:
    """Requests per second over 64 kept connections, by wrk with one thread."""
    duration = max(1, round(seconds))
    before = topology.cpu()
    command = [findProgram("wrk"), "-t1", f"-c{HTTP_CONNECTIONS}", f"-d{duration}s"]
    try:
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{topology.port}/"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            timeout=duration + STALL,
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError("wrk did not end") from None
    rate = re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)
    count = re.search(r"(\d+) requests in", done.stdout)
    if done.returncode or rate is None or count is None:
        raise BenchmarkError(f"wrk: {done.stdout[-400:]}{done.stderr[-400:]}")
    if "Non-2xx" in done.stdout:
        raise BenchmarkError("wrk: answers other than 2xx")
    if wrong := re.search(r"Socket errors:.*", done.stdout):
        note(f"*** wrk through {topology.name}: {wrong[0]}")
    return {"http": float(rate[1])} | spent(topology, before, "http", int(count[1]) / 1e5)


Workload = Callable[[Topology, float, int | None], Numbers]

SOCKET_WORKLOADS: dict[str, Workload] = {
    # Memory comes first: what a transfer has once needed is not given back.
    "memory": lambda topology, seconds, size: memory(topology, seconds),
    "round-trip": lambda topology, seconds, size: roundTrip(topology, seconds),
    "connect": lambda topology, seconds, size: connect(topology, seconds),
    "connections": lambda topology, seconds, size: connections(topology, seconds),
    "up": lambda topology, seconds, size: bulk(topology, b"u", 1, seconds, size),
    "down": lambda topology, seconds, size: bulk(topology, b"d", 1, seconds, size),
    "up-4": lambda topology, seconds, size: bulk(topology, b"u", 4, seconds, size),
    "down-4": lambda topology, seconds, size: bulk(topology, b"d", 4, seconds, size),
    "fairness": lambda topology, seconds, size: fairness(topology, b"u", seconds) | fairness(topology, b"d", seconds),
    "beside": lambda topology, seconds, size: beside(topology, seconds),
}
"""Workloads that lead to L{targets}, in the order they are run."""

HTTP_WORKLOADS: dict[str, Workload] = {"http": lambda topology, seconds, size: http(topology, seconds)}
"""Workloads that lead to a web server."""
