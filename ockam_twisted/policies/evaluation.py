"""
What an expression comes to in an environment (spec identity, section 8.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from ockam_twisted.errors import PolicyError
from ockam_twisted.policies.expression import (
    BOOL,
    FLOAT,
    IDENT,
    INT,
    KINDS,
    LIST,
    SEQUENCE,
    STRING,
    Expression,
    floatOf,
)

#: A kind and what it holds: of sequences, a tuple of values.
Value = tuple[int, Any]

#: Names and what they stand for.
Environment = Mapping[str, Value]

TRUE: Value = (BOOL, True)
FALSE: Value = (BOOL, False)

_COMPARED = {"=": (0,), "<": (-1,), ">": (1,)}
_ARGUMENTS = {"not": (1, 1), "if": (3, 3), "=": (2, None), "<": (2, None), ">": (2, None), "member?": (2, 2)}


def string(text: str) -> Value:
    """
    A string for an environment.
    """
    return STRING, text


def boolean(value: bool) -> Value:
    """
    A boolean for an environment.
    """
    return TRUE if value else FALSE


def compare(one: Value, other: Value) -> int | None:
    """
    Compare two values: element by element, shorter ones first.

    @return: -1, 0 or 1; L{None} if they cannot be ordered (NaN).
    @raise PolicyError: They are of different types.
    """
    waiting = [(one, other)]
    while waiting:
        (kind, a), (otherKind, b) = waiting.pop()
        if kind == otherKind and kind in (SEQUENCE, LIST):
            if len(a) != len(b):
                return -1 if len(a) < len(b) else 1
            waiting.extend(reversed(list(zip(a, b, strict=True))))
            continue
        if {kind, otherKind} == {INT, FLOAT}:
            a, b = (floatOf(a), b) if kind == INT else (a, floatOf(b))
        elif kind != otherKind:
            raise PolicyError(f"{KINDS[kind]} cannot be compared with {KINDS[otherKind]}")
        if a != b:
            return -1 if a < b else 1 if a > b else None
    return 0


class _Evaluation:
    """
    Two stacks: what is to be done, and what came of it.
    """

    def __init__(self, expression: Expression, environment: Environment) -> None:
        self._nodes = expression.nodes
        self._ends = expression.ends()
        self._environment = environment
        self._work: list[tuple[Any, ...]] = [("eval", 0)]
        self._values: list[Value] = []

    def run(self) -> Value:
        while self._work:
            step = self._work.pop()
            getattr(self, f"_{step[0]}")(*step[1:])
        return self._values.pop()

    def _children(self, index: int) -> list[int]:
        children = []
        child = index + 1
        while child < self._ends[index]:
            children.append(child)
            child = self._ends[child]
        return children

    def _eval(self, index: int) -> None:
        kind, value = self._nodes[index]
        if kind == IDENT:
            self._values.append(self._lookUp(str(value)))
        elif kind == SEQUENCE:
            self._work.append(("sequence", value))
            self._evalAll(self._children(index))
        elif kind == LIST:
            self._operate(self._children(index))
        else:
            self._values.append((kind, value))

    def _lookUp(self, name: str) -> Value:
        found = self._environment.get(name)
        if found is None:
            raise PolicyError(f"{name} is unbound")
        return found

    def _evalAll(self, indices: list[int]) -> None:
        self._work.extend(("eval", each) for each in reversed(indices))

    def _operate(self, children: list[int]) -> None:
        if not children:
            self._values.append((LIST, ()))
            return
        kind, name = self._nodes[children[0]]
        if kind != IDENT:
            raise PolicyError(f"a list begins with {KINDS[kind]} where an operator should be")
        arguments = children[1:]
        least, most = _ARGUMENTS.get(str(name), (0, None))
        if len(arguments) < least or (most is not None and len(arguments) > most):
            raise PolicyError(f"{name} has {len(arguments)} arguments")
        if name in ("and", "or"):
            self._lazily(arguments, 0, name == "and")
        elif name == "not":
            self._work.append(("negate",))
            self._evalAll(arguments)
        elif name == "if":
            self._work += [("choose", arguments[1], arguments[2]), ("eval", arguments[0])]
        elif name in _COMPARED:
            self._work.append(("compare", len(arguments), _COMPARED[str(name)]))
            self._evalAll(arguments)
        elif name == "!=":
            self._work += [("negate",), ("compare", len(arguments), _COMPARED["="])]
            self._evalAll(arguments)
        elif name == "member?":
            self._work.append(("member",))
            self._evalAll(arguments)
        elif name == "exists?":
            self._exists(arguments)
        else:
            raise PolicyError(f"there is no operator {str(name)[:40]!a}")

    def _lazily(self, arguments: list[int], done: int, goesOnWith: bool) -> None:
        """
        C{and} and C{or}: stop at the first that decides; the last is returned
        as it is.
        """
        if done:
            value = self._popBoolean()
            if value is not goesOnWith:
                self._values.append(boolean(value))
                return
        if done == len(arguments):
            self._values.append(boolean(goesOnWith))
            return
        if done < len(arguments) - 1:
            self._work.append(("lazily", arguments, done + 1, goesOnWith))
        self._work.append(("eval", arguments[done]))

    def _popBoolean(self) -> bool:
        kind, value = self._values.pop()
        if kind != BOOL:
            raise PolicyError(f"{KINDS[kind]} where a boolean should be")
        return bool(value)

    def _negate(self) -> None:
        self._values.append(boolean(not self._popBoolean()))

    def _choose(self, then: int, otherwise: int) -> None:
        self._work.append(("eval", then if self._popBoolean() else otherwise))

    def _compare(self, count: int, wanted: tuple[int, ...]) -> None:
        start = len(self._values) - count
        values = self._values[start:]
        del self._values[start:]
        pairs = pairwise(values)
        self._values.append(boolean(all(compare(one, other) in wanted for one, other in pairs)))

    def _member(self) -> None:
        kind, items = self._values.pop()
        element = self._values.pop()
        if kind != SEQUENCE:
            raise PolicyError(f"member? has {KINDS[kind]} where a sequence should be")
        self._values.append(boolean(any(compare(element, item) == 0 for item in items)))

    def _exists(self, arguments: list[int]) -> None:
        exist = True
        for each in arguments:
            kind, name = self._nodes[each]
            if kind != IDENT:
                raise PolicyError(f"exists? has {KINDS[kind]} where a name should be")
            if str(name) not in self._environment:
                exist = False
                break
        self._values.append(boolean(exist))

    def _sequence(self, count: int) -> None:
        start = len(self._values) - count
        items = tuple(self._values[start:])
        del self._values[start:]
        self._values.append((SEQUENCE, items))


def evaluate(expression: Expression, environment: Environment) -> Value:
    """
    Evaluate an expression.

    @raise PolicyError: It has no value: an unbound name, an unknown operator,
        wrong arguments.
    """
    return _Evaluation(expression, environment).run()
