"""
Tests of L{ockam_twisted.subcommands.config}.
"""

from __future__ import annotations

import json
import sys
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.command import main
from ockam_twisted.configuration.example import example
from ockam_twisted.configuration.schema import schema


class ConfigTests(SynchronousTestCase):
    """
    C{ockam-twisted config}
    """

    def run_(self, *arguments: str) -> tuple[int, str, str]:
        """
        Run it.

        @return: Its status, its output, and its errors.
        """
        out, err = StringIO(), StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        return main(["config", *arguments]), out.getvalue(), err.getvalue()

    def check(self, text: str) -> tuple[int, str, str]:
        """
        Check a file.
        """
        self.path = Path(self.mktemp())
        self.path.write_text(text)
        return self.run_("check", str(self.path))

    def test_right(self) -> None:
        """
        Of a file that is right it says what is in it.
        """
        text = "listen: [1, 2]\nrelay:\nauthority-service:\noutlets: [{target: 1}]\n"
        status, out, err = self.check(text)
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(out, f"{self.path}: all right: 2 listeners, 1 outlet, a relay, an authority\n")

    def test_wrong(self) -> None:
        """
        Of one that is not, all that is wrong, and the status is 1.
        """
        status, out, err = self.check("hop: 2\noutlet: []\nlisten: x\n")
        self.assertEqual((status, out), (1, ""))
        lines = err.splitlines()
        self.assertEqual([each.split(": ")[0] for each in lines], [f"{self.path}:{n}" for n in (1, 2, 3)])

    def test_missing(self) -> None:
        """
        A file that is not there, none at all, and two.
        """
        status, _, err = self.run_("check", "/nowhere/f")
        self.assertEqual((status, err), (1, "cannot read '/nowhere/f': No such file or directory\n"))
        for arguments, says in ((("check",), "say which file"), (("check", "a", "b"), "'b' belongs to no option")):
            status, _, err = self.run_(*arguments)
            self.assertEqual(status, 64)
            self.assertIn(says, err)

    def test_written(self) -> None:
        """
        The example is right; the schema is JSON.
        """
        status, out, err = self.run_("example")
        self.assertEqual((status, out, err), (0, example(), ""))
        self.assertEqual(self.check(out)[0], 0)
        status, out, err = self.run_("schema")
        self.assertEqual((status, json.loads(out), err), (0, schema(), ""))
