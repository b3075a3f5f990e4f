"""
C{twist}, which tells how many objects it has: C{python counted.py OPTIONS}.

At each SIGUSR2 it counts its objects of each class of this package and of the
reactor, and writes them to C{counts-PID.json} in its working directory.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

from twisted.application.twist._twist import Twist

_COUNTED = ("ockam_twisted.", "twisted.internet.")


def count(*_: object) -> None:
    """
    Write the numbers.
    """
    gc.collect()
    numbers: Counter[str] = Counter()
    for each in gc.get_objects():
        kind = type(each)
        module = kind.__module__
        if isinstance(module, str) and module.startswith(_COUNTED):
            numbers[f"{module}.{kind.__qualname__}"] += 1
    made = Path(f"counts-{os.getpid()}.new")
    made.write_text(json.dumps(numbers))
    made.rename(f"counts-{os.getpid()}.json")


if __name__ == "__main__":
    # Nothing that lies beside this file is a module of its own.
    del sys.path[0]
    signal.signal(signal.SIGUSR2, count)
    Twist.main()
