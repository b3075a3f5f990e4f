"""
Tests for L{ockam_twisted.tap.process}; that it does its work is in
L{tests.scenarios.test_processes}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.processes.child import MODULE
from ockam_twisted.tap import process
from tests.test_architecture import isWithin, runPython


class ProcessTests(SynchronousTestCase):
    """
    The program.
    """

    def test_nothingSecret(self) -> None:
        """
        It has no part of the package in which there could be anything to
        hide.
        """
        self.assertEqual(process.__name__, MODULE)
        result = runPython("import importlib\nimportlib.import_module(sys.argv[1])\nprint(*sys.modules)", MODULE)
        self.assertEqual(result.returncode, 0, result.stderr)
        rooms = ("vault", "identity", "channels", "authority", "storage", "sessions", "node")
        loaded = result.stdout.split()
        self.assertIn("ockam_twisted.processes.other", loaded)
        self.assertEqual([each for each in loaded if isWithin(each, *(f"ockam_twisted.{room}" for room in rooms))], [])
