"""
From text to expressions (spec identity, section 8.2): the tokens are those of
the WebAssembly text format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ockam_twisted.errors import PolicyError
from ockam_twisted.policies.expression import (
    BOOL,
    FLOAT,
    IDENT,
    INT,
    KINDS,
    LIST,
    MAX_NESTING,
    MAX_SIZE,
    SEQUENCE,
    STRING,
    Expression,
    Node,
    checkInt,
)

#: What a list may begin with.
OPERATORS = ("and", "or", "not", "if", "<", ">", "=", "!=", "member?", "exists?")

_IDENTIFIER = re.compile(r"[a-zA-Z!$%&*/<=>?~_^][a-zA-Z0-9!$%&*/<=>?~_^.+-@]*")
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+|;;[^\r\n]*)
    | (?P<comment>\(;)
    | (?P<bracket>[()\[\]])
    | (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<word>[a-zA-Z0-9!#$%&'*+./:<=>?@\\^_`|~-]+)""",
    re.VERBOSE | re.DOTALL,
)
_INTEGER = re.compile(r"[+-]?(?:0x[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*|[0-9]+(?:_[0-9]+)*)")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+(?:_[0-9]+)*(?:\.(?:[0-9]+(?:_[0-9]+)*)?)?(?:[eE][+-]?[0-9]+(?:_[0-9]+)*)?)")
_SPECIAL_FLOAT = re.compile(r"([+-]?)(inf|nan(?::0x[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*)?)")
_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]+(?:_[0-9a-fA-F]+)*)\}|([0-9a-fA-F]{2})|(.))", re.DOTALL)
_SIMPLE_ESCAPES = {"t": b"\t", "n": b"\n", "r": b"\r", '"': b'"', "'": b"'", "\\": b"\\"}


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """
    @return: Brackets, strings (with their quotes) and words.
    """
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise PolicyError(f"cannot read {text[position : position + 20]!a} in an expression")
        kind = str(match.lastgroup)
        position = _afterComment(text, match.end()) if kind == "comment" else match.end()
        if kind not in ("space", "comment"):
            yield kind, match[0]


def _afterComment(text: str, position: int) -> int:
    depth = 1
    for mark in re.compile(r"\(;|;\)").finditer(text, position):
        depth += 1 if mark[0] == "(;" else -1
        if not depth:
            return mark.end()
    raise PolicyError("a comment of an expression has no end")


def _string(token: str) -> str:
    pieces: list[bytes] = []
    position = 1
    for match in _ESCAPE.finditer(token, 1, len(token) - 1):
        pieces.append(token[position : match.start()].encode("utf-8", "surrogatepass"))
        position = match.end()
        code, byte, simple = match.groups()
        if code is not None:
            number = int(code.replace("_", "")[-8:], 16)
            if number > 0x10FFFF or 0xD800 <= number < 0xE000:
                raise PolicyError("a string of an expression has an impossible character")
            pieces.append(chr(number).encode())
        elif byte is not None:
            pieces.append(bytes.fromhex(byte))
        elif simple in _SIMPLE_ESCAPES:
            pieces.append(_SIMPLE_ESCAPES[simple])
        else:
            raise PolicyError(f"a string of an expression has an unknown escape {match[0]!a}")
    pieces.append(token[position:-1].encode("utf-8", "surrogatepass"))
    try:
        return b"".join(pieces).decode("utf-8")
    except UnicodeDecodeError:
        raise PolicyError("a string of an expression is not UTF-8") from None


def _word(word: str) -> Node:
    if word in ("true", "false"):
        return BOOL, word == "true"
    if _INTEGER.fullmatch(word):
        digits = word.replace("_", "")
        if len(digits) > 80:
            raise PolicyError("an integer has more than 64 bits")
        return INT, checkInt(int(digits, 16 if "x" in digits else 10))
    special = _SPECIAL_FLOAT.fullmatch(word)
    if special:
        number = float(special[2][:3])
        return FLOAT, -number if special[1] == "-" else number
    if _FLOAT.fullmatch(word):
        return FLOAT, float(word.replace("_", ""))
    name = word[1:] if word.startswith("$") and len(word) > 1 else word
    if _IDENTIFIER.fullmatch(name):
        return IDENT, name
    raise PolicyError(f"{word[:40]!a} is no name in an expression")


def parse(text: str) -> Expression:
    """
    Parse an expression.  Several in a row are a list.

    @raise PolicyError: It is none, or out of bounds, or begins with no
        operator.
    """
    if len(text) > MAX_SIZE:
        raise PolicyError("an expression is too long")
    nodes: list[Node] = []
    # Of each open bracket: where its node is, its children, and the kind of
    # the last of them.
    open: list[list[int]] = [[-1, 0, 0]]
    for kind, token in _tokens(text):
        if token in ("(", "[") and kind == "bracket":
            open.append([len(nodes), 0, 0])
            if len(open) > MAX_NESTING:
                raise PolicyError("an expression is nested too deeply")
            nodes.append((LIST if token == "(" else SEQUENCE, 0))
            continue
        if kind == "bracket":
            index, count, _ = open.pop()
            if index < 0 or nodes[index][0] != (LIST if token == ")" else SEQUENCE):
                raise PolicyError(f"{token!a} without its counterpart in an expression")
            nodes[index] = (nodes[index][0], count)
            made = nodes[index][0]
        else:
            nodes.append((STRING, _string(token)) if kind == "string" else _word(token))
            made = nodes[-1][0]
        _count(nodes, open[-1], made)
    if len(open) > 1:
        raise PolicyError("a bracket is not closed in an expression")
    if not nodes:
        raise PolicyError("an expression is empty")
    if open[0][1] > 1:
        nodes.insert(0, (LIST, open[0][1]))
    expression = Expression(tuple(nodes))
    _checkOperation(expression)
    return expression


def _count(nodes: list[Node], bracket: list[int], kind: int) -> None:
    """
    One more child in a bracket.
    """
    index, _, before = bracket
    if index >= 0 and nodes[index][0] == SEQUENCE and before and not _alike(before, kind):
        raise PolicyError(f"a sequence has {KINDS[before]} and {KINDS[kind]}")
    bracket[1] += 1
    bracket[2] = kind


def _alike(one: int, other: int) -> bool:
    return one == other or IDENT in (one, other) or {one, other} == {INT, FLOAT}


def _checkOperation(expression: Expression) -> None:
    """
    The first thing in an expression has to be an operator.
    """
    for kind, value in expression.nodes:
        if kind == LIST and value:
            continue
        if kind == IDENT and value in OPERATORS:
            return
        break
    raise PolicyError(f"an expression begins with one of {' '.join(OPERATORS)}")
