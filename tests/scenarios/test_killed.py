"""
State on disk survives a kill at any instant: real processes, real time.
"""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path

from tests.scenarios.processes import ScenarioTestCase


class KilledTests(ScenarioTestCase):
    """
    L{tests.scenarios.killed}.
    """

    def test_killed(self) -> None:
        """
        A node under load is killed three hundred times at random instants:
        nothing that it had acknowledged is lost, and nothing is half-written.
        """
        seed = random.SystemRandom().randrange(10**9)
        script = str(Path(__file__).with_name("killed.py"))
        killed = self.start(sys.executable, script, str(self.folder / "state"), "300", str(seed))
        self.assertEqual(killed.process.wait(180), 0, f"with seed {seed}:\n{killed.text()[-3000:]}")
        match = re.fullmatch(r"300 times, (\d+) before .*, (\d+) acknowledgements kept", killed.value("Killed"))
        assert match is not None
        self.assertLess(int(match[1]), 290)
        self.assertGreater(int(match[2]), 300)
