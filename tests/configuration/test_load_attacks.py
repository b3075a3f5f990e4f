"""
Files that nobody would write: L{ockam_twisted.configuration.load} takes them,
or refuses them in lines that can be shown.
"""

from __future__ import annotations

import json
import os
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ockam_twisted.configuration.declared import paths
from ockam_twisted.configuration.example import example
from ockam_twisted.configuration.load import Refused
from ockam_twisted.configuration.settings import NodeSettings
from tests.configuration.bad import BAD, WHO
from tests.configuration.test_load import LoadTestCase

KEYS = sorted({part for path, _ in paths(NodeSettings) for part in path.split(".")} | {"outlets", "inlets", "x"})
SAMPLES = [
    "1",
    "true",
    "a b",
    WHO,
    "dba",
    "tcp:1",
    "unix:/x",
    "/ip4/1.2.3.4/tcp/1/secure/api",
    "10m",
    "file:/x",
    "@",
    "\x1b",
]

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(SAMPLES), st.text(max_size=8))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
files = st.dictionaries(st.sampled_from(KEYS), values, max_size=5)


class FuzzTests(LoadTestCase):
    """
    See the module.
    """

    def setUp(self) -> None:
        """
        Bytes, not text.
        """
        super().setUp()
        self.refusedCount = 0

    def take(self, content: bytes) -> None:
        """
        Read a file: what is said of it, if anything is, can be shown, a line
        each, and begins with where it is.
        """
        self.path.write_bytes(content)
        try:
            self.check(content.decode("utf-8"))
        except UnicodeDecodeError:
            pass
        except Refused as error:
            self.refusedCount += 1
            assert error.lines
            for line in error.lines:
                assert line.startswith(f"{self.path}:"), line
                assert line.isprintable(), ascii(line)
                assert len(line) < 1000, line

    def test_values(self) -> None:
        """
        Whatever stands behind a key.
        """

        @settings(deadline=None, max_examples=400, derandomize=True, database=None)
        @given(files)
        def run(file: Any) -> None:
            self.take(json.dumps(file).encode())

        run()
        self.assertGreater(self.refusedCount, 100)

    def test_changed(self) -> None:
        """
        The example, and files that are wrong, with some of their characters
        changed.
        """
        texts = [example(), *(text for _, text, _ in BAD if len(text) < 2000)]

        @settings(deadline=None, max_examples=300, derandomize=True, database=None)
        @given(
            st.sampled_from(texts),
            st.lists(st.tuples(st.integers(0, 10_000), st.characters(codec="utf-8")), max_size=4),
        )
        def run(text: str, changes: list[tuple[int, str]]) -> None:
            characters = list(text) or [" "]
            for at, new in changes:
                characters[at % len(characters)] = new
            self.take("".join(characters).encode())

        run()
        self.assertGreater(self.refusedCount, 100)

    def test_text(self) -> None:
        """
        No YAML at all.
        """

        @settings(deadline=None, max_examples=300, derandomize=True, database=None)
        @given(st.text(max_size=60) | st.text(alphabet=":-[]{}&*!|>'\"%@`#? \n\tab", max_size=60))
        def run(text: str) -> None:
            self.take(text.encode())

        run()
        self.assertGreater(self.refusedCount, 100)

    def test_noReadOfWhatIsNamed(self) -> None:
        """
        A secret that is wrong is not shown, whichever file has it.
        """
        secret = self.path.with_suffix(".secret")
        secret.write_text("hunter2 is no ticket")
        for text in (
            f"authority-ticket: file:{secret}\nlisten: 1\n",
            f"inlets:\n  - listen: 1\n    ticket: '@{secret}'\n",
            f"registrations:\n  - ticket: file:{secret}\n",
            "state: {passphrase: hunter2}\n",
            "authority-ticket: hunter2\n",
            "authority-ticket: [hunter2]\n",
        ):
            for line in self.wrong(text):
                self.assertNotIn("hunter2", line)
        os.unlink(secret)
