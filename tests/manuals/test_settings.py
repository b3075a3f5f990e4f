"""
Tests of L{ockam_twisted.manuals.settings}.
"""

from __future__ import annotations

import subprocess
import sys
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.command import main
from ockam_twisted.configuration.declared import paths
from ockam_twisted.configuration.settings import NodeSettings
from ockam_twisted.manuals.settings import EXAMPLE, groups, settingsPage
from tests.scenarios.processes import require


class SettingsTests(SynchronousTestCase):
    """
    The manual page of the file.
    """

    def test_everyKey(self) -> None:
        """
        Every setting that is declared is there, in its group, with a text.
        """
        found = {f"{each.name}.{key.name}".lstrip("."): key for each in groups() for key in each.keys}
        wanted = {path for path, _ in paths(NodeSettings)}
        self.assertGreater(len(wanted), 30)
        self.assertLessEqual(wanted, set(found))
        self.assertEqual([name for name, key in found.items() if not key.text], [])
        self.assertEqual((found["drain-timeout"].default, found["hop"].default), ("5", "false"))
        self.assertTrue(found["authorities.identifier"].isRequired)

    def test_page(self) -> None:
        """
        C{mandoc} has no warning about it, and shows what must be given.
        """
        require("mandoc")
        path = Path(self.mktemp())
        path.write_text(settingsPage(), "utf-8")
        done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", str(path)], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        shown = subprocess.run(["mandoc", "-Tutf8", "-Owidth=200", str(path)], capture_output=True, text=True).stdout
        self.assertIn("It must be given.", shown)
        for line in EXAMPLE.splitlines():
            self.assertIn(line, shown)

    def test_example(self) -> None:
        """
        Nothing is wrong with the example.
        """
        path = Path(self.mktemp())
        path.write_text(EXAMPLE)
        self.patch(sys, "stdout", StringIO())
        self.assertEqual(main(["config", "check", str(path)]), 0)
