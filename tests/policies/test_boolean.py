"""
Tests for L{ockam_twisted.policies.boolean}.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError, PolicyError
from ockam_twisted.policies.boolean import Postfix, encode, parse, read, toExpression, toText
from ockam_twisted.wire import cbor
from tests.policies.vectors import VECTORS

VECTOR = VECTORS["abac_boolean_expr"]


def postfix(ast: list[Any]) -> Postfix:
    """
    A tree of the vectors in postfix order.
    """
    operator, *operands = ast
    if operator == "name":
        return (("name", operands[0]),)
    return (*(each for operand in operands for each in postfix(operand)), (operator, ""))


class BooleanTests(SynchronousTestCase):
    """
    The short form.
    """

    def test_parse(self) -> None:
        """
        The samples parse to their trees.
        """
        for sample in VECTOR["parse"]:
            self.assertEqual(parse(sample["text"]), postfix(sample["ast"]), sample["text"])

    def test_parseErrors(self) -> None:
        """
        The samples that are none are refused, and so are names that are none.
        """
        for text in [*VECTOR["parse_errors"], *VECTOR["names_rejected"], "", "not", "(a", "a b", "a andor b"]:
            self.assertRaises(PolicyError, parse, text)

    def test_names(self) -> None:
        """
        Every kind of name is taken.
        """
        for name in VECTOR["names_accepted"]:
            self.assertEqual(parse(name), (("name", name),))

    def test_noWordBoundary(self) -> None:
        """
        Keywords end where they end.
        """
        self.assertEqual(parse("nota"), parse("not a"))
        self.assertEqual(parse("a orb"), parse("a or b"))
        self.assertEqual(parse("aorb"), (("name", "aorb"),))

    def test_text(self) -> None:
        """
        The samples print as they should.
        """
        for sample in VECTOR["to_string"]:
            self.assertEqual(toText(postfix(sample["ast"])), sample["text"])

    def test_expression(self) -> None:
        """
        The samples mean what they should in the full language.
        """
        for sample in VECTOR["to_expression"]:
            self.assertEqual(str(toExpression(postfix(sample["ast"]))), sample["expr"])
        self.assertEqual(
            str(toExpression(parse("a and not b"))), '(and (= subject.a "true") (not (= subject.b "true")))'
        )

    def test_deep(self) -> None:
        """
        Deep nesting is an error, not a crash; up to the limit it works.
        """
        self.assertRaises(PolicyError, parse, "not " * 10_000 + "a")
        self.assertRaises(PolicyError, parse, "(" * 10_000 + "a" + ")" * 10_000)
        deep = parse("not " * 4000 + "a")
        self.assertEqual(read(cbor.Reader(encode(deep))), deep)
        self.assertEqual(len(toExpression(deep).nodes), 8004)

    @given(
        st.recursive(
            st.from_regex(r"\A[b-m][a-z]{0,4}\Z").map(lambda name: ["name", name]),
            lambda inner: st.one_of(
                st.tuples(st.just("not"), inner).map(list),
                st.tuples(st.sampled_from(["and", "or"]), inner, inner).map(list),
            ),
            max_leaves=10,
        )
    )
    def test_roundTrip(self, tree: list[Any]) -> None:
        """
        Text and CBOR give back what was put in.
        """
        flat = postfix(tree)
        self.assertEqual(parse(toText(flat)), flat)
        self.assertEqual(read(cbor.Reader(encode(flat))), flat)

    @given(st.binary(max_size=40))
    def test_garbage(self, data: bytes) -> None:
        """
        Bytes that are none raise our own error only.
        """
        try:
            read(cbor.Reader(data))
        except DecodeError:
            pass
