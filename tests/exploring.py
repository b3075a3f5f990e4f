"""
How state machines are explored: the same examples each time, so that a run
says something about the change it is run for.

To look farther, by hand, set C{EXPLORE} to how many examples each machine
shall have; these are others each time.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def explore(machine: type[RuleBasedStateMachine], examples: int, steps: int) -> None:
    """
    Run a machine.

    @param examples: How many times, unless C{EXPLORE} says otherwise.
    @param steps: How many rules each time, at most.
    """
    farther = int(os.environ.get("EXPLORE", "0"))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=farther or examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=not farther,
            database=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
