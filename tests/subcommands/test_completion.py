"""
Tests of L{ockam_twisted.subcommands.completion}.
"""

from __future__ import annotations

import sys
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.command import main
from ockam_twisted.manuals.shells import SHELLS
from ockam_twisted.subcommands import completion


class CompletionTests(SynchronousTestCase):
    """
    C{ockam-twisted completion}
    """

    def setUp(self) -> None:
        self.out, self.err = StringIO(), StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)

    def test_shells(self) -> None:
        """
        Each shell that can be asked for is one that is written for.
        """
        self.assertEqual(set(completion.SHELLS), set(SHELLS))
        for shell in SHELLS:
            self.out.truncate(0)
            self.assertEqual(main(["completion", shell]), 0)
            self.assertIn(f"Written by `ockam-twisted completion {shell}`", self.out.getvalue())
            self.assertIn("peer-policy", self.out.getvalue())

    def test_other(self) -> None:
        """
        For another one, or none, one line says which there are.
        """
        self.assertEqual(main(["completion", "csh"]), 64)
        self.assertIn("bash, zsh, fish, not 'csh'", self.err.getvalue())
        self.assertEqual(main(["completion"]), 64)
