"""
Tests of L{ockam_twisted.configuration.example}, and of the files that the
documents show.
"""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from ockam_twisted.configuration.declared import paths
from ockam_twisted.configuration.document import readDocument
from ockam_twisted.configuration.example import example
from ockam_twisted.configuration.load import structure
from ockam_twisted.configuration.settings import NodeSettings
from tests.configuration.test_load import LoadTestCase
from tests.tap.common import TICKET

ROOT = Path(__file__).resolve().parent.parent.parent


class ExampleTests(LoadTestCase):
    """
    What C{ockam-twisted config example} writes.
    """

    def test_right(self) -> None:
        """
        It is a configuration, of an outlet that can be reached.
        """
        config = self.check(example())
        self.assertEqual((len(config.outlets), len(config.registrations)), (1, 1))

    def test_lines(self) -> None:
        """
        Its lines fit on a screen, and have no blanks at their ends.
        """
        lines = example().splitlines()
        # A MultiAddr is as long as it is.
        words = [each for each in lines if len(each) > 100 and "/dnsaddr" not in each]
        self.assertEqual(words, [])
        self.assertEqual([each for each in lines if each != each.rstrip()], [])

    def test_everything(self) -> None:
        """
        With all that is a comment in it, it has every key there is, and each
        has a value that can be read.
        """
        text = re.sub("(?m)^( *)#: ?", r"\1", example())
        document = readDocument(text, "example")
        structure(document)
        found = set(_paths(document.values))
        wanted = {path for path, _ in paths(NodeSettings)}
        self.assertEqual(found, wanted)


def _paths(values: Any, prefix: str = "") -> Any:
    for key, each in values.items():
        inner = each[0] if isinstance(each, list) and each and isinstance(each[0], dict) else each
        if isinstance(inner, dict):
            yield from _paths(inner, f"{prefix}{key}.")
        else:
            yield prefix + key


class PageTests(LoadTestCase):
    """
    Files in the documents.
    """

    def test_files(self) -> None:
        """
        Each block of YAML in README and the page about configuration is a
        file that is right.
        """
        page = ROOT / "docs" / "configuration.rst"
        if not page.exists():
            raise SkipTest("NO DOCUMENTS HERE: they are in the source tree")
        folder = self.path.with_suffix(".d")
        folder.mkdir()
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        os.chdir(folder)
        self.path = Path("node.yaml")
        Path("mail-ticket.txt").write_text(TICKET)
        found = 0
        for each in (page, ROOT / "README.rst"):
            text = each.read_text("utf-8")
            for block in re.findall(r"(?m)^\.\. code-block:: yaml\n(?:   :.*\n)*\n((?:   .*\n|\n)+)", text):
                self.check(textwrap.dedent(block))
                found += 1
        self.assertGreaterEqual(found, 4)
