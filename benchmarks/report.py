"""
What was measured, as a table in reStructuredText and as JSON.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from topologies import ROLES


class Metric(NamedTuple):
    """
    One row of the table.

    @ivar key: what the workloads call it; cells are medians over the rounds.
    @ivar digits: after the decimal point.
    @ivar rising: more is better.
    """

    key: str
    label: str
    digits: int
    rising: bool


def _cpu() -> list[Metric]:
    rows = []
    for way in ("up", "down"):
        rows.append(Metric(f"cpu-{way}", f"CPU s per GB, one stream {way}, all", 2, False))
        rows += [Metric(f"cpu-{way}-{role}", f"CPU s per GB, one stream {way}, {role}", 2, False) for role in ROLES]
    return rows


METRICS = [
    Metric("up", "one stream up, MB/s", 0, True),
    Metric("down", "one stream down, MB/s", 0, True),
    Metric("up-4", "four streams up, MB/s", 0, True),
    Metric("down-4", "four streams down, MB/s", 0, True),
    *_cpu(),
    Metric("round-trip-p50", "64-byte round trip p50, µs", 0, False),
    Metric("round-trip-p99", "64-byte round trip p99, µs", 0, False),
    Metric("connect", "connect, one byte, close, ms", 2, False),
    Metric("connect-next", "the same, at once after the last, ms", 2, False),
    Metric("connections", "connections per second, 32 at once", 0, True),
    Metric("http", "HTTP requests per second, 64 connections", 0, True),
    Metric("memory-pss", "memory idle, MB (PSS)", 0, False),
    Metric("memory-pss-500", "memory with 500 connections, MB (PSS)", 0, False),
    Metric("memory-rss", "memory idle, MB (RSS)", 0, False),
    Metric("memory-rss-500", "memory with 500 connections, MB (RSS)", 0, False),
]
"""The rows of the table, in order."""


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "missing"
    return (done.stdout or done.stderr).strip().split("\n")[0]


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "missing"


def circumstances() -> dict[str, str]:
    """What the numbers depend on besides the code."""
    processor = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{processor}, {os.cpu_count()} cores",
        "kernel": platform.release(),
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "twisted": _version("twisted"),
        "cryptography": _version("cryptography"),
        "ssh": _output("ssh", "-V"),
    }


class Results:
    """
    Samples of every metric and topology.

    @ivar topologies: their names, in the order of the columns.
    """

    def __init__(self, topologies: Sequence[str], facts: dict[str, str]) -> None:
        self.topologies = list(topologies)
        self.facts = facts
        self._samples: dict[str, dict[str, list[float]]] = {}

    def add(self, topology: str, numbers: dict[str, float]) -> None:
        """Record one round's numbers of one workload."""
        for key, number in numbers.items():
            self._samples.setdefault(key, {}).setdefault(topology, []).append(number)

    def median(self, key: str, topology: str) -> float | None:
        """The median over the rounds; C{None} when nothing was measured."""
        samples = self._samples.get(key, {}).get(topology)
        return median(samples) if samples else None

    def _cell(self, metric: Metric, topology: str) -> str:
        number = self.median(metric.key, topology)
        return "-" if number is None else f"{number:,.{metric.digits}f}"

    def _ratio(self, metric: Metric, topology: str) -> str:
        number, base = self.median(metric.key, topology), self.median(metric.key, "ssh")
        if not number or not base:
            return "-"
        return f"{number / base if metric.rising else base / number:.2f}x"

    def table(self) -> str:
        """A simple table of reStructuredText, with what is needed to read it."""
        compared = [name for name in self.topologies if name != "ssh"] if "ssh" in self.topologies else []
        head = ["metric", *self.topologies, *(f"{name} to ssh" for name in compared)]
        rows = [head]
        for metric in METRICS:
            cells = [self._cell(metric, name) for name in self.topologies]
            if any(cell != "-" for cell in cells):
                rows.append([metric.label, *cells, *(self._ratio(metric, name) for name in compared)])
        if len(rows) == 1:
            rows.append(["nothing was measured", *["-"] * (len(head) - 1)])
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        rule = "  ".join("=" * width for width in widths)
        lines = [
            "  ".join(
                cell.rjust(width) if column else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        facts = "\n".join(f":{name}: {value}" for name, value in self.facts.items())
        table = "\n".join([rule, lines[0], rule, *lines[1:], rule])
        return f"{facts}\n\nA ratio above 1 is better than ssh, whichever way the metric goes.\n\n{table}\n"

    def json(self) -> str:
        """Circumstances, medians and all samples."""
        metrics: dict[str, Any] = {
            key: {name: {"median": median(samples), "samples": samples} for name, samples in by.items()}
            for key, by in self._samples.items()
        }
        return json.dumps({"circumstances": self.facts, "metrics": metrics}, indent=1) + "\n"
