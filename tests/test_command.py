"""
Tests of L{ockam_twisted.command}: what can be found out without running
anything.
"""

from __future__ import annotations

import sys
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.command import main


class CommandTests(SynchronousTestCase):
    """
    Bad input is one line and status 64.
    """

    def refuse(self, *arguments: str) -> str:
        """
        Run it.

        @return: What it says.
        """
        said = StringIO()
        self.patch(sys, "stderr", said)
        self.assertEqual(main(arguments), 64)
        self.assertEqual(said.getvalue().count("\n"), 1)
        return said.getvalue()

    def test_nothing(self) -> None:
        """
        Without a task it says where the tasks are listed.
        """
        self.assertIn("--help", self.refuse())
        self.assertIn("identity show", self.refuse("identity"))

    def test_unknown(self) -> None:
        """
        Unknown commands and options are named.
        """
        self.assertIn("dance", self.refuse("dance"))
        self.assertIn("--colour", self.refuse("demo", "--colour"))
        self.assertIn("--command is one of", self.refuse("identity", "show", "--command", "ls"))
