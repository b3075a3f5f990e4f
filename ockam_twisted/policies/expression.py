"""
Expressions of the policy language: the tree, its text, its CBOR (spec
identity, section 8.2).

A tree is kept flat, each node before its children, so that nothing here
recurses however deep somebody nests.
"""

from __future__ import annotations

import math
import re
import struct

from attrs import frozen

from ockam_twisted.errors import DecodeError, PolicyError
from ockam_twisted.wire import cbor

#: What a node is; the numbers are those of the CBOR form.
STRING, INT, FLOAT, BOOL, IDENT, SEQUENCE, LIST = range(1, 8)

#: What they are called.
KINDS = {
    STRING: "a string",
    INT: "an integer",
    FLOAT: "a float",
    BOOL: "a boolean",
    IDENT: "a name",
    SEQUENCE: "a sequence",
    LIST: "a list",
}

#: The least and the greatest integer.
MIN_INT, MAX_INT = -(2**63), 2**63 - 1

#: Bytes of an expression in either form, and how deep it may be nested.
MAX_SIZE = 256 * 1024
MAX_NESTING = 4096

#: A kind and a value; of a sequence or list, how many children follow.
Node = tuple[int, str | int | float | bool]

_ESCAPES = {"\t": "\\t", "\n": "\\n", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


@frozen
class Expression:
    """
    One expression.

    @ivar nodes: Each node, before its children.
    """

    nodes: tuple[Node, ...]

    def ends(self) -> list[int]:
        """
        @return: For each node the index after its last descendant.
        """
        ends = [0] * len(self.nodes)
        open: list[list[int]] = []  # Index and children to come, per level.
        for index, (kind, value) in enumerate(self.nodes):
            if kind in (SEQUENCE, LIST) and value:
                open.append([index, int(value)])
                continue
            ends[index] = index + 1
            while open:
                open[-1][1] -= 1
                if open[-1][1]:
                    break
                ends[open.pop()[0]] = index + 1
        return ends

    def __str__(self) -> str:
        pieces: list[str] = []
        open: list[list[int]] = []  # Kind and children to come, per level.
        for kind, value in self.nodes:
            if open and pieces[-1] not in ("(", "["):
                pieces.append(" ")
            if kind in (SEQUENCE, LIST):
                pieces.append("[" if kind == SEQUENCE else "(")
                open.append([kind, int(value)])
            else:
                pieces.append(_text(kind, value))
                if open:
                    open[-1][1] -= 1
            while open and not open[-1][1]:
                pieces.append("]" if open.pop()[0] == SEQUENCE else ")")
                if open:
                    open[-1][1] -= 1
        return "".join(pieces)

    def encode(self) -> bytes:
        """
        Its CBOR.
        """
        pieces = []
        for kind, value in self.nodes:
            pieces.append(cbor.arrayHead(2) + cbor.uint(kind) + cbor.arrayHead(1))
            pieces.append(cbor.arrayHead(int(value)) if kind in (SEQUENCE, LIST) else cbor.encode(value))
        return b"".join(pieces)

    @classmethod
    def decode(cls, data: bytes) -> Expression:
        """
        Decode one.

        @raise DecodeError: It is none, or out of bounds.
        """
        if len(data) > MAX_SIZE:
            raise DecodeError("an expression is too long")
        reader = cbor.Reader(data)
        expression = cls.read(reader)
        reader.expectEnd()
        return expression

    @classmethod
    def read(cls, reader: cbor.Reader) -> Expression:
        """
        Read one; see L{decode}.
        """
        nodes: list[Node] = []
        open: list[int] = []
        while True:
            node = _readNode(reader)
            nodes.append(node)
            if node[0] in (SEQUENCE, LIST) and node[1]:
                open.append(int(node[1]))
                if len(open) > MAX_NESTING:
                    raise DecodeError("an expression is nested too deeply")
                continue
            while open:
                open[-1] -= 1
                if open[-1]:
                    break
                open.pop()
            if not open:
                return cls(tuple(nodes))


def _readNode(reader: cbor.Reader) -> Node:
    if reader.readArrayHead(2) != 2:
        raise DecodeError("an expression is not of two items")
    kind = reader.readUint(LIST)
    if kind not in KINDS or reader.readArrayHead(1) != 1:
        raise DecodeError("an expression is of no known kind")
    if kind in (STRING, IDENT):
        return kind, reader.readText(MAX_SIZE)
    if kind == BOOL:
        return kind, reader.readBool()
    if kind in (SEQUENCE, LIST):
        return kind, reader.readArrayHead(MAX_SIZE)
    value = reader.readValue(1, 0)
    if kind == INT and type(value) is int and MIN_INT <= value <= MAX_INT:
        return kind, value
    if kind == FLOAT and type(value) is float:
        return kind, value
    raise DecodeError("a number of an expression is none")


def _text(kind: int, value: str | int | float | bool) -> str:
    if kind == STRING:
        return quoted(str(value))
    if kind == BOOL:
        return "true" if value else "false"
    if kind == FLOAT:
        return _floatText(float(value))
    return str(value)


def quoted(text: str) -> str:
    """
    A string as the language writes it.
    """
    return '"' + "".join(_ESCAPES.get(c) or (c if c.isprintable() else f"\\u{{{ord(c):x}}}") for c in text) + '"'


def _floatText(number: float) -> str:
    if math.isnan(number):
        return "nan"
    if math.isinf(number):
        return "+inf" if number > 0 else "-inf"
    return re.sub(r"e([+-])0*", lambda match: "e" + match[1].removeprefix("+"), repr(number))


def checkInt(value: int) -> int:
    """
    @raise PolicyError: It has more than 64 bits.
    """
    if not MIN_INT <= value <= MAX_INT:
        raise PolicyError("an integer has more than 64 bits")
    return value


def floatOf(number: int) -> float:
    """
    An integer of at most 64 bits as a float.
    """
    return float(struct.unpack(">d", struct.pack(">d", number))[0])
