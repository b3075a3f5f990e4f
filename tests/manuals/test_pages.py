"""
Tests of L{ockam_twisted.manuals.pages}, by the programs that show the pages.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.command import Options
from ockam_twisted.manuals.outline import Command, Option, plugins, program
from ockam_twisted.manuals.pages import escape, manualPage, manualPages
from tests.scenarios.processes import require


class PagesTests(SynchronousTestCase):
    """
    The manual pages of all commands.
    """

    def pages(self) -> dict[Path, str]:
        """
        Write all.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        found = {folder / name: text for name, text in manualPages(plugins(), program(Options)).items()}
        for path, text in found.items():
            path.write_text(text, "utf-8")
        return found

    def run_(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """
        Run a program, which must succeed.
        """
        environ = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "100", "MANROFFOPT": "", "MAN_KEEP_FORMATTING": ""}
        done = subprocess.run([str(each) for each in command], capture_output=True, text=True, env=environ)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done

    def test_mandoc(self) -> None:
        """
        C{mandoc} has no warning about any.
        """
        require("mandoc")
        found = self.pages()
        self.assertGreater(len(found), 15)
        self.assertEqual(self.run_("mandoc", "-Tlint", "-W", "warning", *found).stdout, "")

    def test_man(self) -> None:
        """
        C{man} has none either, and shows every option.
        """
        require("man", "groff")
        for path in self.pages():
            self.assertEqual(self.run_("man", "--warnings", "-Tutf8", "-Z", "-l", path).stderr, "")
        page = next(each for each in self.pages() if each.name == "ockam-outlet.1")
        shown = self.run_("man", "-P", "cat", "-l", page).stdout
        for option in next(each for each in plugins() if each.name == "ockam-outlet").options:
            self.assertIn(f" --{option.name}", shown)
        self.assertIn("twist ockam-outlet --target 127.0.0.1:5432 --relay relay.example.com:4000", shown)

    def test_escapes(self) -> None:
        """
        Nothing in a text is taken for a request or an escape.
        """
        require("mandoc")
        odd = ".TH is 'no' request\\, nor \\fBbold\\fR; `a-b` ~^"
        command = Command("odd", "odd", "[options]", odd, f"  {odd}\n    {odd}\n", (Option("o", "", "", odd),))
        path = Path(self.mktemp())
        path.write_text(manualPage(command, ()), "utf-8")
        self.assertEqual(self.run_("mandoc", "-Tlint", "-W", "warning", path).stdout, "")
        shown = self.run_("mandoc", "-Tutf8", "-Owidth=200", path).stdout
        self.assertEqual(shown.count(odd), 4, shown)
        self.assertEqual(escape(".x"), "\\&.x")
