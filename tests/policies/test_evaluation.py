"""
Tests for L{ockam_twisted.policies.evaluation}.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import PolicyError
from ockam_twisted.policies.evaluation import FALSE, TRUE, Value, boolean, compare, evaluate, string
from ockam_twisted.policies.expression import FLOAT, INT, LIST, SEQUENCE
from ockam_twisted.policies.parser import parse
from tests.policies.vectors import VECTORS


def value(python: Any) -> Value:
    """
    A value of an environment.
    """
    if isinstance(python, bool):
        return boolean(python)
    if isinstance(python, str):
        return string(python)
    return INT, python


class EvaluationTests(SynchronousTestCase):
    """
    What expressions come to.
    """

    def check(self, text: str, expected: Value, **environment: Any) -> None:
        """
        Evaluate with values for names of the subject.
        """
        bound = {f"subject.{name}": value(each) for name, each in environment.items()}
        self.assertEqual(evaluate(parse(text), bound), expected, text)

    def refuse(self, text: str, why: str, **environment: Any) -> None:
        """
        It has no value.
        """
        bound = {f"subject.{name}": value(each) for name, each in environment.items()}
        self.assertIn(why, str(self.assertRaises(PolicyError, evaluate, parse(text), bound)))

    def test_vectors(self) -> None:
        """
        The samples come to what they should.
        """
        for sample in VECTORS["abac_eval"]:
            environment = {name: value(each) for name, each in sample["env"].items()}
            expression = parse(sample["expr"])
            if isinstance(sample["result"], bool):
                self.assertEqual(evaluate(expression, environment), boolean(sample["result"]))
            else:
                self.assertIn("unbound", str(self.assertRaises(PolicyError, evaluate, expression, environment)))

    def test_elixirRules(self) -> None:
        """
        The rules of the other implementation's tests mean the same here.
        """
        for sample in VECTORS["abac_elixir_rules"]["match"]:
            self.check(sample["rule"], boolean(sample["result"]), **sample["subject"])

    def test_andOr(self) -> None:
        """
        They stop at the first argument that decides, and return the last as
        it is.
        """
        self.check("(and)", TRUE)
        self.check("(or)", FALSE)
        self.check("(and false nowhere)", FALSE)
        self.check("(or true nowhere)", TRUE)
        self.check("(and true true 5)", (INT, 5))
        self.check("(or false 5)", (INT, 5))
        self.refuse("(and 1 true)", "an integer where a boolean should be")
        self.refuse("(or (and) true nowhere) (or 1 true)", "begins with")

    def test_ifNot(self) -> None:
        """
        Only the branch that is chosen is looked at.
        """
        self.check("(if true 1 nowhere)", (INT, 1))
        self.check("(if (not true) nowhere 2)", (INT, 2))
        self.refuse("(if 1 2 3)", "boolean")
        self.refuse("(if true 2)", "arguments")
        self.refuse("(not true false)", "arguments")

    def test_comparisons(self) -> None:
        """
        Every adjacent pair has to satisfy them.
        """
        self.check("(< 1 2 3)", TRUE)
        self.check("(< 1 3 2)", FALSE)
        self.check("(> 3 2.5 1)", TRUE)
        self.check('(= "a" "a" "b")', FALSE)
        self.check('(!= "a" "b")', TRUE)
        self.check("(!= 1)", FALSE)
        self.check("(= nan nan)", FALSE)
        self.refuse("(= 1)", "arguments")
        self.refuse('(= 1 "a")', "cannot be compared")
        self.refuse("(= [[1]] [[true]])", "cannot be compared")

    def test_sequences(self) -> None:
        """
        They are ordered by length first, and hold what their elements come
        to.
        """
        self.check("(< [9] [1 1])", TRUE)
        self.check("(< [1 2] [1 3])", TRUE)
        self.check('(member? "b" [subject.x "a"])', TRUE, x="b")
        self.check("(member? 1 [])", FALSE)
        self.refuse("(member? 1 2)", "where a sequence should be")
        self.check("(= () ())", TRUE)

    def test_exists(self) -> None:
        """
        Names are looked up without their values.
        """
        self.check("(exists? subject.a subject.b)", TRUE, a=1, b="")
        self.check("(exists? subject.a subject.c)", FALSE, a=1)
        self.refuse("(exists? 5)", "where a name should be")

    def test_unknown(self) -> None:
        """
        What is no operator has no value.
        """
        self.refuse("(and (launch 1))", "there is no operator")
        self.refuse("(and (1 2))", "where an operator should be")
        self.refuse("(and subject.nobody)", "unbound")

    def test_deep(self) -> None:
        """
        Four thousand levels are evaluated without recursion.
        """
        self.check("(not " * 4000 + "true" + ")" * 4000, TRUE)

    @given(st.recursive(st.integers(-3, 3), lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=8))
    def test_compareIsReflexive(self, tree: Any) -> None:
        """
        Everything equals itself.
        """

        def build(each: Any) -> Value:
            return (INT, each) if isinstance(each, int) else (SEQUENCE, tuple(map(build, each)))

        self.assertEqual(compare(build(tree), build(tree)), 0)

    def test_mixedNumbers(self) -> None:
        """
        Integers and floats are compared as floats, also large ones.
        """
        self.assertEqual(compare((INT, 2**53 + 1), (FLOAT, float(2**53))), 0)
        self.assertEqual(compare((FLOAT, 0.5), (INT, 1)), -1)
        self.assertEqual(compare((LIST, ()), (LIST, ())), 0)
