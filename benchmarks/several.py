"""
What several processes of one relay are worth: C{python benchmarks/several.py}.

Pairs of a sender and a receiver, each a process of its own, send through C{twist ockam-relay --processes N}.  They
speak plain transport messages, written once and sent again and again.  Printed are the medians over the rounds: MB
(10^6 bytes) per second in all, CPU seconds of all processes of the relay per GB, and both as ratios to one process.

With large payloads most of the work is the kernel's, and half of that is the senders' and receivers', on the same
cores: two cores cannot show much more than that the work is shared.  With small ones (C{--payload 256}) nearly all of
it is the relay's, and two processes can do twice as much as one.

"together" is what an operator gets: a sender is led to the process that has the receiver.  "apart" is the worst case:
each sender is at another process than its receiver, because it was slow to say where it is bound for.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

from processes import Program, cpuSeconds, freePort, stop  # noqa: E402

from ockam_twisted.wire.frames import VERSION, encodeFrame  # noqa: E402
from ockam_twisted.wire.messages import encodeTransport  # noqa: E402
from ockam_twisted.wire.relay import encodeRegistration  # noqa: E402

#: The relay waits for one second until it decides for a connection.
LATE = 1.3


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 30)
    connection.sendall(VERSION)
    if connection.recv(1) != VERSION:
        raise ConnectionError("no version byte from the relay")
    return connection


def receive(port: int, name: str, ready: Event, total: Any) -> None:
    """Be a receiver: register a name, then read for ever, and count."""
    connection = _connect(port)
    ask = encodeTransport([(0, b"static_forwarding_service")], [(0, b"me")], encodeRegistration(name, b""))
    connection.sendall(encodeFrame(ask))
    connection.recv(65536)
    ready.set()
    buffer = bytearray(1024 * 1024)
    # The echo that the relay asks for is not answered; it counts as nothing.
    while size := connection.recv_into(buffer):
        total.value += size


def send(port: int, name: str, payload: int, late: bool, ready: Event, go: Event) -> None:
    """Be a sender, for ever."""
    connection = _connect(port)
    if late:
        time.sleep(LATE)
    frame = encodeFrame(encodeTransport([(0, b"forward_to_" + name.encode()), (0, b"x")], [(0, b"me")], bytes(payload)))
    connection.sendall(frame)
    time.sleep(0.3)
    ready.set()
    go.wait()
    block = frame * max(1, 400_000 // len(frame))
    while True:
        connection.sendall(block)


class Measurement:
    """One relay, and its pairs."""

    def __init__(self, processes: int, pairs: int, payload: int, apart: bool, seconds: float) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="benchmark-several-"))
        self.pairs, self.payload, self.apart, self.seconds = pairs, payload, apart, seconds
        self.port = freePort()
        self.workers: list[multiprocessing.Process] = []
        listen = f"tcp:{self.port}:interface=127.0.0.1"
        command = [sys.executable, "-m", "twisted", "ockam-relay", "--ephemeral", "--listen", listen]
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        self.relay = Program("relay", [*command, "--processes", str(processes)], self.folder, environment)
        self.relay.waitForLine("Identifier")
        self.relay.wait(lambda: len(self.relay.pids()) == processes, "processes")
        time.sleep(1.0)

    def _start(self, target: Any, *arguments: Any) -> None:
        worker = multiprocessing.Process(target=target, args=arguments, daemon=True)
        self.workers.append(worker)
        worker.start()

    def run(self) -> tuple[float, float]:
        """Returns bytes per second, and CPU seconds per byte."""
        totals = [multiprocessing.Value("q", 0, lock=False) for _ in range(self.pairs)]
        go = multiprocessing.Event()
        for number, total in enumerate(totals):
            ready = multiprocessing.Event()
            self._start(receive, self.port, f"name{number}", ready, total)
            ready.wait(30)
        # In the reverse order the late ones end up at another process than their receivers.
        for number in reversed(range(self.pairs)):
            ready = multiprocessing.Event()
            self._start(send, self.port, f"name{number}", self.payload, self.apart, ready, go)
            ready.wait(30)
        go.set()
        time.sleep(0.5)
        before, cpu, since = sum(each.value for each in totals), cpuSeconds(self.relay.pids()), time.monotonic()
        time.sleep(self.seconds)
        moved = sum(each.value for each in totals) - before
        spent, lasted = cpuSeconds(self.relay.pids()) - cpu, time.monotonic() - since
        if not all(each.value for each in totals):
            raise RuntimeError("a pair moved nothing")
        return moved / lasted, spent / moved

    def close(self) -> None:
        """End everything."""
        for worker in self.workers:
            worker.kill()
            worker.join()
        stop([self.relay])
        shutil.rmtree(self.folder, ignore_errors=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0].strip())
    parser.add_argument("--processes", type=int, default=2, help="compared with one process [2]")
    parser.add_argument("--pairs", type=int, default=2, help="senders and receivers [2]")
    parser.add_argument("--payload", type=int, default=48 * 1024, help="bytes of a message [49152]")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement [3]")
    parser.add_argument("--rounds", type=int, default=3, help="[3]")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    kinds = {
        "1 process": (1, False),
        f"{options.processes} processes, together": (options.processes, False),
        f"{options.processes} processes, apart": (options.processes, True),
    }
    samples: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for _ in range(options.rounds):
        for kind, (processes, apart) in kinds.items():
            measurement = Measurement(processes, options.pairs, options.payload, apart, options.seconds)
            try:
                samples[kind].append(measurement.run())
            finally:
                measurement.close()
    one = [statistics.median(values) for values in zip(*samples["1 process"], strict=True)]
    print(f"{options.pairs} pairs, payloads of {options.payload} bytes, {os.cpu_count()} cores")
    print(f"{'':30}{'MB/s':>10}{'ratio':>8}{'CPU s/GB':>10}{'ratio':>8}")
    for kind, values in samples.items():
        speed, cpu = (statistics.median(each) for each in zip(*values, strict=True))
        print(f"{kind:30}{speed / 1e6:10.0f}{speed / one[0]:8.2f}{cpu * 1e9:10.2f}{cpu / one[1]:8.2f}")


if __name__ == "__main__":
    main()
