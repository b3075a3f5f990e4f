"""
A policy: an expression in either form, and what it says of somebody (spec
identity, sections 8.3 to 8.5).
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from ockam_twisted.errors import DecodeError, PolicyError
from ockam_twisted.policies import boolean as short
from ockam_twisted.policies.evaluation import Environment, Value, boolean, evaluate, string
from ockam_twisted.policies.expression import BOOL, IDENT, LIST, Expression
from ockam_twisted.policies.parser import parse
from ockam_twisted.wire import cbor

#: Names that no attribute can have.
BUILT_IN = ("identifier", "has_credential")


@frozen
class Policy:
    """
    Who may.

    @ivar expression: In the full language.
    @ivar shortForm: As it was given, if it was in the short form.
    """

    expression: Expression
    shortForm: short.Postfix | None = None

    @classmethod
    def fromText(cls, text: str) -> Policy:
        """
        Read one: the short form first, then the full language.

        @raise PolicyError: It is neither.
        """
        try:
            postfix = short.parse(text)
        except PolicyError as shortError:
            try:
                return cls(parse(text))
            except PolicyError as error:
                raise PolicyError(f"{shortError if not text.lstrip().startswith('(') else error}") from None
        return cls(short.toExpression(postfix), postfix)

    def __str__(self) -> str:
        return str(self.expression) if self.shortForm is None else short.toText(self.shortForm)

    def encode(self) -> bytes:
        """
        Its CBOR.
        """
        inner = self.expression.encode() if self.shortForm is None else short.encode(self.shortForm)
        return b"".join((cbor.arrayHead(2), cbor.uint(0 if self.shortForm is None else 1), cbor.arrayHead(1), inner))

    @classmethod
    def decode(cls, data: bytes) -> Policy:
        """
        Decode one.

        @raise DecodeError: It is none, or out of bounds.
        """
        reader = cbor.Reader(data)
        if reader.readArrayHead(2) != 2:
            raise DecodeError("a policy is not of two items")
        kind = reader.readUint(1)
        if reader.readArrayHead(1) != 1:
            raise DecodeError("a policy is not of one expression")
        if kind == 0:
            policy = cls(Expression.read(reader))
        else:
            postfix = short.read(reader)
            policy = cls(short.toExpression(postfix), postfix)
        reader.expectEnd()
        return policy

    @property
    def isOfConnections(self) -> bool:
        """
        Does it ask about the connection?
        """
        return any(kind == IDENT and str(value).startswith("connection.") for kind, value in self.expression.nodes)

    def refusal(self, environment: Environment) -> str:
        """
        Why somebody may not; empty if they may.  What has no value, or one
        that is not boolean, is a refusal.
        """
        try:
            kind, value = evaluate(self.expression, environment)
        except PolicyError as error:
            return f"the policy {self} has no answer: {error}"
        if kind != BOOL:
            return f"the policy {self} has no boolean answer"
        return "" if value else f"the policy {self} says no"


#: What holds for every service where an authority is configured.
HAS_CREDENTIAL = Policy(
    Expression(((LIST, 3), (IDENT, "="), (IDENT, "subject.has_credential"), (BOOL, True))),
)


def environment(
    identifier: str,
    attributes: Iterable[tuple[bytes, bytes]] | None,
    hasAuthority: bool,
    resource: str,
    connection: Iterable[tuple[str, str]] = (),
) -> dict[str, Value]:
    """
    What an expression can ask about (spec identity, section 8.4).

    @param identifier: The peer's, in text.
    @param attributes: What an authority says of it; L{None}: nothing.
    @param hasAuthority: Is there one that could?
    @param resource: The name of what is asked for.
    @param connection: What is known of who has connected: C{connection.uid}
        and the like.  That is of ours.
    """
    bound: dict[str, Value] = {}
    for key, value in attributes or ():
        try:
            bound[f"subject.{key.decode()}"] = string(value.decode())
        except UnicodeDecodeError:
            continue
    for name, fact in connection:
        bound[f"connection.{name}"] = string(fact)
    bound["resource.id"] = string(resource)
    bound["action.id"] = string("handle_message")
    bound["subject.identifier"] = string(identifier)
    # An attribute of that name counts no more than none.
    bound.pop("subject.has_credential", None)
    if hasAuthority:
        bound["subject.has_credential"] = boolean(attributes is not None)
    return bound
