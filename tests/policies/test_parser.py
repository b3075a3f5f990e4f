"""
Tests for L{ockam_twisted.policies.parser}.
"""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import PolicyError
from ockam_twisted.policies.evaluation import evaluate
from ockam_twisted.policies.expression import BOOL, FLOAT, IDENT, INT, STRING, Expression
from ockam_twisted.policies.parser import OPERATORS, parse
from tests.policies.vectors import VECTORS


def argument(text: str) -> tuple[int, object]:
    """
    What a text is as the argument of an operator.
    """
    return parse(f"(and {text})").nodes[2]


class ParserTests(SynchronousTestCase):
    """
    From text to expressions.
    """

    def test_vectors(self) -> None:
        """
        The samples are taken and refused as they should be, and there are as
        many operators.
        """
        vectors = VECTORS["abac_policy_expression"]
        for text in vectors["classified_as_full_expression"]:
            self.assertEqual(parse(text).nodes[1], (IDENT, "="))
        for text in vectors["full_expression_parser_rejects"] + vectors["rejected"]:
            self.assertRaises(PolicyError, parse, text)
        self.assertEqual(list(OPERATORS), vectors["operators"])

    def test_deepNesting(self) -> None:
        """
        The sample parses, has a value, prints, and parses again to the same.
        """
        text = VECTORS["abac_deep_nesting"]["text"]
        expression = parse(f"(= {text} {text})")
        self.assertEqual(evaluate(expression, {}), (BOOL, True))
        self.assertEqual(parse(str(expression)), expression)

    def test_tooDeep(self) -> None:
        """
        Deeper nesting is an error, not a crash.
        """
        for open in ("(and ", "[", "(if [("):
            self.assertRaises(PolicyError, parse, "(and " + open * 100_000)
            self.assertRaises(PolicyError, parse, open * 20_000)

    def test_numbers(self) -> None:
        """
        Integers and floats in all their forms.
        """
        for text, value in {"0": 0, "-1_000": -1000, "+7": 7, "0xFF": 255, "-0x1_0": -16}.items():
            self.assertEqual(argument(text), (INT, value), text)
        for text, number in {"1.5": 1.5, "1.": 1.0, "-2e3": -2000.0, "1_0.0_1E-2": 0.1001, "inf": math.inf}.items():
            self.assertEqual(argument(text), (FLOAT, number), text)
        self.assertEqual(argument("-inf"), (FLOAT, -math.inf))
        kind, nan = argument("nan:0x7")
        self.assertEqual(kind, FLOAT)
        self.assertTrue(math.isnan(float(str(nan))))
        for text in (str(2**63), "0x" + "f" * 17, "1" * 500, "1_", "0x"):
            self.assertRaises(PolicyError, argument, text)

    def test_strings(self) -> None:
        """
        Strings with their escapes.
        """
        for text, value in {
            r'"a\"b\\c"': 'a"b\\c',
            r'"\t\n\r\'"': "\t\n\r'",
            r'"\c3\a4\u{1f600}"': "ä\U0001f600",
            '"(; no comment ;) ;;"': "(; no comment ;) ;;",
        }.items():
            self.assertEqual(argument(text), (STRING, value), text)
        for text in (r'"\x"', r'"\ff"', r'"\u{d800}"', r'"\u{110000}"', '"open', '"\\"'):
            self.assertRaises(PolicyError, argument, text)

    def test_comments(self) -> None:
        """
        Comments count as white space, also nested ones.
        """
        self.assertEqual(parse("(and ;; a line\n (; a (; b ;) c ;) true)"), parse("(and true)"))
        self.assertRaises(PolicyError, parse, "(and (; no end")

    def test_names(self) -> None:
        """
        Names are of the permitted characters.
        """
        for text in ("subject.ockam-role", "a:b", "x@y", "$name"):
            self.assertEqual(argument(text), (IDENT, text.removeprefix("$")))
        for text in ("#a", "'a", "a|b", "a`", "1a"):
            self.assertRaises(PolicyError, argument, text)

    def test_brackets(self) -> None:
        """
        Brackets have to match, and a sequence is of one type.
        """
        for text in ("(and", "and)", "(and [)]", "(and ])", "[1 2", '(and [1 "a"])', "", "  ", "(and {})"):
            self.assertRaises(PolicyError, parse, text)
        parse("(and [1 2.5])")

    def test_severalInARow(self) -> None:
        """
        What has no bracket around it is a list.
        """
        self.assertEqual(parse("= subject.a subject.b"), parse("(= subject.a subject.b)"))

    @given(st.text(alphabet='()[]"\\;and =truex1.-_ \n', max_size=60))
    def test_garbage(self, text: str) -> None:
        """
        A text that is no expression raises our own error only.
        """
        try:
            self.assertIsInstance(parse(text), Expression)
        except PolicyError:
            pass
