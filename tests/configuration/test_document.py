"""
Tests of L{ockam_twisted.configuration.document}: YAML, as far as a
configuration needs it.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.configuration.document import MAX_BYTES, MAX_VALUES, pathText, readDocument
from ockam_twisted.errors import ConfigurationError


class DocumentTests(SynchronousTestCase):
    """
    See the module.
    """

    def values(self, text: str) -> Any:
        """
        What is in a file.
        """
        return readDocument(text, "f").values

    def refused(self, text: str) -> str:
        """
        Why one is refused.
        """
        error = str(self.assertRaises(ConfigurationError, readDocument, text, "f"))
        self.assertTrue(error.startswith("f:"), error)
        self.assertTrue(error.isprintable(), error)
        return error.removeprefix("f:")

    def test_values(self) -> None:
        """
        Groups, lists, text, flags and nothing; numbers stay as they were
        written, and so do words that other versions of YAML take for flags.
        """
        text = "a: {b: [1, 0x10, 007, 1.50, 1e3, .inf]}\nc: true\nd:\ne: 'true'\nf: yes\ng: 2001-01-01\nh: |\n  x\n"
        self.assertEqual(
            self.values(text),
            {
                "a": {"b": ["1", "0x10", "007", "1.50", "1e3", ".inf"]},
                "c": True,
                "d": None,
                "e": "true",
                "f": "yes",
                "g": "2001-01-01",
                "h": "x\n",
            },
        )

    def test_lines(self) -> None:
        """
        Each value has its line: of its key, or its dash; what is not there
        has that of the group around it.
        """
        document = readDocument("# one\na:\n  - b: 1\n    c:\n      2\n  - b: 3\n", "f")
        lines = {"a": ("a",), "a[0]": ("a", 0), "a[0].c": ("a", 0, "c"), "a[1].b": ("a", 1, "b")}
        found = {name: document.line(path) for name, path in lines.items()}
        self.assertEqual(found, {"a": 2, "a[0]": 3, "a[0].c": 4, "a[1].b": 6})
        self.assertEqual([pathText(path) for path in lines.values()], list(lines))
        self.assertEqual(document.line(("a", 1, "missing", "x")), 6)
        self.assertEqual(document.line(("missing",)), 2)
        self.assertEqual(document.error(("a", 0), "wrong"), "f:3: wrong")

    def test_bomb(self) -> None:
        """
        References are refused where they begin: nothing is multiplied.
        """
        text = "a: &a [x, x, x, x, x, x, x, x, x]\n"
        for one, other in zip("abcdefgh", "bcdefghi", strict=True):
            text += f"{other}: &{other} [{', '.join([f'*{one}'] * 9)}]\n"
        self.assertEqual(self.refused(text), "1: references (& and *) are not taken: write it out")
        self.assertEqual(self.refused("a: &a\n  b: *a\n"), "1: references (& and *) are not taken: write it out")
        self.assertIn("references", self.refused("a: *b\n"))
        self.assertIn("references", self.refused("a: &a {b: 1}\nc:\n  <<: *a\n"))

    def test_bounded(self) -> None:
        """
        Length, depth and the number of values have a bound.
        """
        self.assertIn(f"at most {MAX_BYTES} characters", self.refused("#" * (MAX_BYTES + 1)))
        self.assertIn("nested too deeply", self.refused("a: " + "{b: " * 50 + "1" + "}" * 50))
        for opening in ("[", "{a: ", "- "):
            self.refused("a:\n  " + opening * 40_000)
        self.assertIn(f"at most {MAX_VALUES} values", self.refused(f"a: [{'1,' * (MAX_VALUES + 1)}]\n"))

    def test_tags(self) -> None:
        """
        Nothing is made that a file names; whatever is said to be a number is
        text.
        """
        for tag in ("!!python/name:os.system", "!x", "!!set", "!!binary"):
            self.assertIn("is not taken", self.refused(f"a: {tag} x\n"))
        self.assertEqual(self.values("a: !!int ²\nb: !!float x\nc: !!str 1\n"), {"a": "²", "b": "x", "c": "1"})
        self.assertEqual(self.values(f"a: {'9' * 10_000}\n"), {"a": "9" * 10_000})

    def test_unprintable(self) -> None:
        """
        What a terminal would take for a command is not in an error.
        """
        for text in ("a: \x1b[2J\n", "a: \x00\n", '"\\x1b": 1\n"\\x1b": 2\n', "\ufffe: 1\n", "a: '\\e'\n---\n"):
            self.refused(text)
