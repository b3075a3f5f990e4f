"""
Tests for C{benchmarks/}, as far as there is something to go wrong unnoticed; with
programs, in real time.
"""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


class WithoutTests(SynchronousTestCase):
    """
    What takes techniques of the fast path out.
    """

    def test_techniques(self) -> None:
        """
        Each is found where it is taken out, and the program says so much about itself without it.
        """
        program = FOLDER / "without.py"
        if not program.exists():
            raise SkipTest("only where the benchmarks are")
        techniques = runpy.run_path(str(program))["TECHNIQUES"]
        self.assertGreater(len(techniques), 10)
        running = {
            each: subprocess.Popen(
                [sys.executable, str(program), each, "ockam-relay", "--help"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for each in techniques
        }
        for technique, process in running.items():
            output, _ = process.communicate(timeout=120)
            self.assertEqual((technique, process.returncode), (technique, 0), output)
            self.assertIn("--listen", output)
