"""
Tests for L{ockam_twisted.identity.identifiers}.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import InvalidIdentifier
from ockam_twisted.identity.identifiers import Identifier

TEXT = "I923829d0397a06fa862be5a87b7966959b8ef99ab6455b843ca9131a747b4819"


class IdentifierTests(SynchronousTestCase):
    """
    L{Identifier}.
    """

    def test_roundTrip(self) -> None:
        """
        Text and bytes become each other; it is its text.
        """
        identifier = Identifier.parse(TEXT)
        self.assertEqual(identifier, TEXT)
        self.assertEqual(f"{identifier}", TEXT)
        self.assertEqual(identifier.digest.hex(), TEXT[1:])
        self.assertEqual(Identifier.fromDigest(identifier.digest), identifier)
        self.assertEqual({identifier: 1}[TEXT], 1)  # type: ignore[index]

    def test_people(self) -> None:
        """
        White space around it and upper-case digits are accepted of people,
        not inside the program.
        """
        self.assertEqual(Identifier.parse(f" \tI{TEXT[1:].upper()}\n"), TEXT)
        self.assertRaises(InvalidIdentifier, Identifier, TEXT + "\n")
        self.assertRaises(InvalidIdentifier, Identifier, "I" + TEXT[1:].upper())

    def test_refused(self) -> None:
        """
        What is no identifier is refused with one line that says why.
        """
        for text, why in (
            ("", "empty"),
            ("   ", "empty"),
            (TEXT[1:], "does not start with I"),
            ("i" + TEXT[1:], "does not start with I"),
            (TEXT[:-1], "63 digits"),
            (TEXT + "0", "65 digits"),
            (TEXT[:-1] + "g", "other than hexadecimal"),
            (TEXT[:30] + "\n" + TEXT[31:], "other than hexadecimal"),
            (TEXT[:-1] + "\N{ARABIC-INDIC DIGIT ONE}", "other than hexadecimal"),
            ("I" * 100000, "far too long"),
        ):
            error = self.assertRaises(InvalidIdentifier, Identifier.parse, text)
            self.assertIn(why, str(error))
            self.assertTrue(str(error).isprintable() and str(error).isascii())
            self.assertTrue(len(str(error)) < 300)

    def test_digestSize(self) -> None:
        """
        A digest has 32 bytes.
        """
        self.assertRaises(InvalidIdentifier, Identifier.fromDigest, bytes(20))

    @given(st.text(max_size=80))
    @settings(deadline=None, max_examples=200, derandomize=True)
    def test_fuzz(self, text: str) -> None:
        """
        Any text is parsed or refused.
        """
        try:
            Identifier.parse(text)
        except InvalidIdentifier:
            pass
