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
    @ivar goal: what the quotient of ours and Rust's should be, at least or at most.
    """

    key: str
    label: str
    digits: int
    rising: bool
    goal: float | None = None

    def meets(self, quotient: float) -> bool:
        """Is that as good as it should be?"""
        return self.goal is None or (quotient >= self.goal if self.rising else quotient <= self.goal)


def _cpu(key: str, what: str, goal: float | None = None) -> list[Metric]:
    rows = [Metric(f"cpu-{key}", f"CPU s per {what}, all", 2, False, goal)]
    return rows + [Metric(f"cpu-{key}-{role}", f"CPU s per {what}, {role}", 2, False) for role in ROLES]


METRICS = [
    Metric("up", "one stream up, MB/s", 0, True, 1.8),
    Metric("down", "one stream down, MB/s", 0, True, 1.8),
    Metric("up-4", "four streams up, MB/s", 0, True, 1.8),
    Metric("down-4", "four streams down, MB/s", 0, True, 1.8),
    *_cpu("up", "GB, one stream up", 0.5),
    *_cpu("down", "GB, one stream down", 0.5),
    Metric("cpu-up-4", "CPU s per GB, four streams up, all", 2, False, 0.5),
    Metric("cpu-down-4", "CPU s per GB, four streams down, all", 2, False, 0.5),
    Metric("round-trip-p50", "64-byte round trip p50, µs", 0, False, 0.85),
    Metric("round-trip-p99", "64-byte round trip p99, µs", 0, False, 0.85),
    *_cpu("round-trip", "100,000 round trips"),
    Metric("connect", "connect, one byte, close, at rest, ms", 2, False),
    Metric("connect-next", "connect, one byte, close, at once, ms", 2, False, 0.9),
    Metric("connections", "connections per second, 32 at once", 0, True, 1.6),
    *_cpu("connections", "1,000 connections"),
    Metric("http", "HTTP requests per second, 64 connections", 0, True, 2.0),
    *_cpu("http", "100,000 HTTP requests"),
    Metric("fairness-up", "Jain's index of 64 streams up", 3, True),
    Metric("fairness-down", "Jain's index of 64 streams down", 3, True),
    Metric("beside-p50", "round trip beside four streams p50, ms", 2, False),
    Metric("beside-p99", "round trip beside four streams p99, ms", 2, False),
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


def simpleTable(rows: Sequence[Sequence[str]]) -> str:
    """A simple table of reStructuredText; the first row is its head, the first column is aligned left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rule = "  ".join("=" * width for width in widths)
    lines = [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule]) + "\n"


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

    def quotient(self, key: str, topology: str, base: str) -> float | None:
        """A median divided by that of another topology."""
        number, divisor = self.median(key, topology), self.median(key, base)
        return number / divisor if number and divisor else None

    def _ratio(self, metric: Metric, topology: str, base: str) -> str:
        quotient = self.quotient(metric.key, topology, base)
        return "-" if quotient is None else f"{quotient:.2f}"

    def _goal(self, metric: Metric) -> str:
        quotient = self.quotient(metric.key, "ours", "rust")
        if quotient is None or metric.goal is None:
            return "-"
        bound = f"{'at least' if metric.rising else 'at most'} {metric.goal}"
        return f"{bound}: {'met' if metric.meets(quotient) else 'missed'}"

    def table(self) -> str:
        """A simple table of reStructuredText, with what is needed to read it."""
        names = self.topologies
        compared = [
            (name, base)
            for base in ("rust", "ssh")
            for name in names
            if base in names
            and (name == "ours" or (base == "rust" and name in ROLES) or (base, name) == ("ssh", "rust"))
        ]
        goals = ["goal"] if {"ours", "rust"} <= {*names} else []
        head = ["metric", *names, *(f"{name} / {base}" for name, base in compared), *goals]
        rows = [head]
        for metric in METRICS:
            cells = [self._cell(metric, name) for name in names]
            if any(cell != "-" for cell in cells):
                ratios = [self._ratio(metric, name, base) for name, base in compared]
                rows.append([metric.label, *cells, *ratios, *(self._goal(metric) for _ in goals)])
        if len(rows) == 1:
            rows.append(["nothing was measured", *["-"] * (len(head) - 1)])
        facts = "\n".join(f":{name}: {value}" for name, value in self.facts.items())
        return f"{facts}\n\n{simpleTable(rows)}"

    def json(self) -> str:
        """Circumstances, medians and all samples."""
        metrics: dict[str, Any] = {
            key: {name: {"median": median(samples), "samples": samples} for name, samples in by.items()}
            for key, by in self._samples.items()
        }
        return json.dumps({"circumstances": self.facts, "metrics": metrics}, indent=1) + "\n"
