"""
The boolean short form: names joined by C{and}, C{or} and C{not} (spec
identity, section 8.3).
"""

from __future__ import annotations

import re
from typing import Any

from ockam_twisted.errors import DecodeError, PolicyError
from ockam_twisted.policies.expression import IDENT, LIST, MAX_NESTING, MAX_SIZE, STRING, Expression, Node
from ockam_twisted.wire import cbor

_NAME = re.compile(r"[A-Za-z_-][A-Za-z0-9._-]*")
_SPACE = re.compile(r"\s*")

#: How strongly they bind.
_PRECEDENCE = {"or": 1, "and": 2, "not": 3}
_OPERANDS = {"or": 2, "and": 2, "not": 1, "name": 0}
_CBOR = {"name": 0, "or": 1, "and": 2, "not": 3}

#: In postfix order: C{("name", x)} and C{("and", "")}, which no depth of
#: nesting makes recursive.
Postfix = tuple[tuple[str, str], ...]


def parse(text: str) -> Postfix:
    """
    Parse the short form.

    @raise PolicyError: It is none.
    """
    if len(text) > MAX_SIZE:
        raise PolicyError("an expression is too long")
    output: list[tuple[str, str]] = []
    waiting: list[str] = []
    position = 0
    operand = True
    while True:
        position = _SPACE.match(text, position).end()  # type: ignore[union-attr]
        if len(waiting) > MAX_NESTING:
            raise PolicyError("an expression is nested too deeply")
        if operand:
            # Keywords have no word boundary: "notx" is the negation of "x".
            if text.startswith("not", position):
                waiting.append("not")
                position += 3
            elif text.startswith("(", position):
                waiting.append("(")
                position += 1
            else:
                name = _NAME.match(text, position)
                if name is None:
                    raise PolicyError(f"a name is missing in {text[:100]!a}")
                output.append(("name", name[0]))
                position = name.end()
                operand = False
        elif position == len(text):
            break
        elif text.startswith(")", position):
            while waiting and waiting[-1] != "(":
                output.append((waiting.pop(), ""))
            if not waiting:
                raise PolicyError(f"')' without '(' in {text[:100]!a}")
            waiting.pop()
            position += 1
        else:
            operator = next((each for each in ("and", "or") if text.startswith(each, position)), None)
            if operator is None:
                raise PolicyError(f"'and' or 'or' is missing in {text[:100]!a}")
            while waiting and _PRECEDENCE.get(waiting[-1], 0) >= _PRECEDENCE[operator]:
                output.append((waiting.pop(), ""))
            waiting.append(operator)
            position += len(operator)
            operand = True
    while waiting:
        operator = waiting.pop()
        if operator == "(":
            raise PolicyError(f"'(' without ')' in {text[:100]!a}")
        output.append((operator, ""))
    return tuple(output)


def _folded(postfix: Postfix, fold: Any) -> Any:
    """
    Combine from the leaves on: C{fold(operator, name, operands)}.
    """
    values: list[Any] = []
    for operator, name in postfix:
        count = _OPERANDS[operator]
        operands = values[len(values) - count :] if count else []
        del values[len(values) - count :]
        values.append(fold(operator, name, operands))
    [value] = values
    return value


def toText(postfix: Postfix) -> str:
    """
    The short form as text.
    """

    def fold(operator: str, name: str, operands: list[tuple[str, bool]]) -> tuple[str, bool]:
        if operator == "name":
            return name, True
        shown = [text if isName else f"({text})" for text, isName in operands]
        return (f"not {shown[0]}" if operator == "not" else f" {operator} ".join(shown)), False

    text: str = _folded(postfix, fold)[0]
    return text


def toExpression(postfix: Postfix) -> Expression:
    """
    The same in the full language: C{x} stands for C{(= subject.x "true")}.
    """

    def fold(operator: str, name: str, operands: list[list[Node]]) -> list[Node]:
        if operator == "name":
            return [(LIST, 3), (IDENT, "="), (IDENT, f"subject.{name}"), (STRING, "true")]
        made: list[Node] = [(LIST, 1 + len(operands)), (IDENT, operator)]
        for each in operands:
            made += each
        return made

    return Expression(tuple(_folded(postfix, fold)))


def encode(postfix: Postfix) -> bytes:
    """
    Its CBOR.
    """

    def fold(operator: str, name: str, operands: list[bytes]) -> bytes:
        inside = [cbor.textString(name)] if operator == "name" else operands
        return b"".join((cbor.arrayHead(2), cbor.uint(_CBOR[operator]), cbor.arrayHead(len(inside)), *inside))

    return bytes(_folded(postfix, fold))


def read(reader: cbor.Reader) -> Postfix:
    """
    Read the CBOR of one.

    @raise DecodeError: It is none, or nested too deeply.
    """
    output: list[tuple[str, str]] = []
    open: list[list[Any]] = []  # Operator and operands to come, per level.
    while True:
        if reader.readArrayHead(2) != 2:
            raise DecodeError("a boolean expression is not of two items")
        kind = reader.readUint()
        operator = next((name for name, number in _CBOR.items() if number == kind), None)
        if operator is None or reader.readArrayHead(2) != max(1, _OPERANDS[operator]):
            raise DecodeError("a boolean expression is of no known kind")
        if operator != "name":
            open.append([operator, _OPERANDS[operator]])
            if len(open) > MAX_NESTING:
                raise DecodeError("an expression is nested too deeply")
            continue
        name = reader.readText(MAX_SIZE)
        if not _NAME.fullmatch(name):
            raise DecodeError("a name of a boolean expression is none")
        output.append(("name", name))
        while open:
            open[-1][1] -= 1
            if open[-1][1]:
                break
            output.append((open.pop()[0], ""))
        if not open:
            return tuple(output)
