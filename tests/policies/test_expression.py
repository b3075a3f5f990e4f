"""
Tests for L{ockam_twisted.policies.expression}.
"""

from __future__ import annotations

import cbor2
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError
from ockam_twisted.policies.expression import (
    BOOL,
    FLOAT,
    IDENT,
    INT,
    LIST,
    MAX_NESTING,
    SEQUENCE,
    STRING,
    Expression,
)
from ockam_twisted.policies.parser import parse
from tests.policies.vectors import VECTORS

SCALARS = st.one_of(
    st.tuples(st.just(STRING), st.text(max_size=8)),
    st.tuples(st.just(INT), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(FLOAT), st.floats(allow_nan=False)),
    st.tuples(st.just(BOOL), st.booleans()),
    st.tuples(st.just(IDENT), st.from_regex(r"\A[a-hj-m_][a-z0-9.]{0,5}\Z")),
)


def _list(inside: list[tuple[object, ...]]) -> tuple[object, ...]:
    return ((LIST, len(inside)), *(node for each in inside for node in each))


TREES = st.recursive(
    SCALARS.filter(lambda node: node[1] not in ("true", "false")).map(lambda node: (node,)),
    lambda inner: st.lists(inner, max_size=4).map(_list),
    max_leaves=12,
)


class ExpressionTests(SynchronousTestCase):
    """
    Text and CBOR of expressions.
    """

    def test_vectors(self) -> None:
        """
        The samples decode, print as they should, and encode to the same
        bytes.
        """
        for sample in VECTORS["abac_expr_cbor"]:
            data = bytes.fromhex(sample["cbor"])
            expression = Expression.decode(data)
            self.assertEqual(str(expression), sample["text"])
            self.assertEqual(expression.encode(), data)

    @given(TREES)
    def test_roundTrip(self, nodes: tuple[tuple[int, str], ...]) -> None:
        """
        CBOR gives back what was put in, and another implementation reads it.
        """
        expression = Expression(nodes)
        self.assertEqual(Expression.decode(expression.encode()), expression)
        cbor2.loads(expression.encode())

    @given(TREES)
    def test_text(self, nodes: tuple[tuple[int, str], ...]) -> None:
        """
        What is printed parses to the same.
        """
        expression = Expression(((LIST, 2), (IDENT, "and"), *nodes))
        self.assertEqual(parse(str(expression)), expression)

    @given(st.binary(max_size=64))
    def test_garbage(self, data: bytes) -> None:
        """
        Bytes that are no expression raise our own error only.
        """
        try:
            Expression.decode(data)
        except DecodeError:
            pass

    def test_nesting(self) -> None:
        """
        Deep nesting is an error, not a crash, and up to the limit it works.
        """
        level = bytes.fromhex("82078181")
        inside = bytes.fromhex("820481f5")
        deep = Expression.decode(level * MAX_NESTING + inside)
        self.assertEqual(deep.ends()[0], MAX_NESTING + 1)
        self.assertEqual(str(deep).count("("), MAX_NESTING)
        self.assertRaises(DecodeError, Expression.decode, level * (MAX_NESTING + 1) + inside)

    def test_numbers(self) -> None:
        """
        As many numbers as there is room for are read, and nothing that is none.
        """
        many = Expression(((LIST, 20000), *((INT, 1), (FLOAT, 0.5)) * 10000))
        self.assertEqual(Expression.decode(many.encode()), many)
        for inside in ("8100", "a0", "c100", "f5", "f6", "4100", "6130", "1bffffffffffffffff", "18"):
            self.assertRaises(DecodeError, Expression.decode, bytes((0x82, INT, 0x81)) + bytes.fromhex(inside))

    def test_sequence(self) -> None:
        """
        Brackets of both kinds are printed where they belong.
        """
        text = '(member? subject.x ["a" "b"] () [])'
        self.assertEqual(str(parse(text)), text)
        self.assertIn((SEQUENCE, 2), parse(text).nodes)
