"""
C{python benchmarks ablation}: what each technique of the fast path is worth, by leaving it out. See README.rst.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from statistics import quantiles

from processes import BenchmarkError, Program, note
from report import circumstances, simpleTable
from topologies import Portal, Topology, probeEcho, probeHttp
from without import TECHNIQUES
from workloads import HTTP_WORKLOADS, SOCKET_WORKLOADS

Target = Callable[[], AbstractContextManager[int]]

ROWS = {
    "round-trip": ("cpu-round-trip", "round trips"),
    "connections": ("cpu-connections", "connections"),
    "up": ("cpu-up", "up"),
    "down": ("cpu-down", "down"),
    "up-4": ("cpu-up-4", "up, four"),
    "http": ("cpu-http", "HTTP"),
}
"""Which number of each workload is compared: CPU time, which says more than rates on a machine that is not at rest."""


class Without(Portal):
    """A portal of ours without one technique."""

    name = "without"
    technique = ""

    def start(self, role: str, name: str, *command: str) -> Program:
        """Start a program in a role."""
        if self.technique:
            # What comes before --log-format is the way to `twist`.
            rest = command[[each.startswith("--log-format") for each in command].index(True) :]
            command = (sys.executable, str(Path(__file__).with_name("without.py")), self.technique, *rest)
        return super().start(role, name, *command)


def _low(samples: list[float]) -> float:
    """The low fifth: what else the machine does only ever adds."""
    return quantiles(samples, n=5)[0] if len(samples) > 1 else samples[0]


def main(arguments: list[str], socketTarget: Target, webServer: Target) -> int:
    """Run, print, and say by the exit status whether everything could be measured."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks ablation", description="CPU time for each unit of work without one technique."
    )
    parser.add_argument("--rounds", type=int, default=10, help="rounds to take the low fifth of (default 10)")
    parser.add_argument("--seconds", type=float, default=0.5, help="about so long per measurement (default 0.5)")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[*ROWS], help=", ".join(ROWS))
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the table to a file, too")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.only if name not in ROWS]:
        parser.error(f"unknown: {', '.join(unknown)}")
    samples: dict[str, dict[str, list[float]]] = {}
    failed = False
    for workloads, target, probe in (
        (SOCKET_WORKLOADS, socketTarget, probeEcho),
        (HTTP_WORKLOADS, webServer, probeHttp),
    ):
        chosen = [name for name in options.only if name in workloads]
        if not chosen:
            continue
        with ExitStack() as stack:
            port = stack.enter_context(target())
            portals: dict[str, Topology] = {}
            for technique in ("", *TECHNIQUES):
                portal = Without(port, probe)
                portal.technique = technique
                portals[technique] = stack.enter_context(portal)
            for number in range(options.rounds):
                # Who comes first pays for what was before it.
                order = list(portals.items())[:: -1 if number % 2 else 1]
                for name in chosen:
                    for technique, each in order:
                        try:
                            numbers = workloads[name](each, options.seconds, None)
                        except (BenchmarkError, OSError, EOFError) as problem:
                            failed = True
                            note(f"*** {name} without {technique or 'nothing'}: {problem}")
                            continue
                        samples.setdefault(name, {}).setdefault(technique, []).append(numbers[ROWS[name][0]])
                note(f"round {number + 1}/{options.rounds}")
    head = ["without", *(ROWS[name][1] for name in options.only)]
    rows = [head]
    for technique in ("", *TECHNIQUES):
        cells = []
        for name in options.only:
            by = samples.get(name, {})
            if technique not in by or "" not in by:
                cells.append("-")
            elif technique:
                cells.append(f"{100 * (_low(by[technique]) / _low(by['']) - 1):+.0f} %")
            else:
                cells.append(f"{_low(by['']):.2f}")
        rows.append([technique or "(nothing)", *cells])
    facts = "\n".join(f":{name}: {value}" for name, value in circumstances().items())
    text = f"{facts}\n\n{simpleTable(rows)}"
    print(text, end="")
    if options.output is not None:
        options.output.write_text(text)
    return failed
