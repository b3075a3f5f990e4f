"""
Identifiers: who somebody is, for ever (spec identity, section 3.3).
"""

from __future__ import annotations

import re

from ockam_twisted.errors import InvalidIdentifier

_CANONICAL = re.compile(r"I[0-9a-f]{64}", re.ASCII)

#: Longer texts are not looked at.
_MAX_TEXT = 1000


class Identifier(str):
    """
    The SHA-256 of the first change of an identity, in text form: C{I} and 64
    lower-case hexadecimal digits.  It compares and hashes as that text.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Identifier:
        """
        @param text: The text form, exactly.  What people typed goes through
            L{parse}.
        @raise InvalidIdentifier: It is something else.
        """
        if not _CANONICAL.fullmatch(text):
            raise InvalidIdentifier(_explain(text))
        return super().__new__(cls, text)

    @classmethod
    def parse(cls, text: str) -> Identifier:
        """
        Read what a person wrote: white space around it and upper-case digits
        are accepted.

        @raise InvalidIdentifier: It is no identifier; the text says why.
        """
        if len(text) > _MAX_TEXT:
            raise InvalidIdentifier("not an identifier: it is far too long")
        trimmed = text.strip()
        return cls(trimmed[:1] + trimmed[1:].lower())

    @classmethod
    def fromDigest(cls, digest: bytes) -> Identifier:
        """
        The identifier with the given 32 bytes.

        @raise InvalidIdentifier: There are not 32.
        """
        return cls("I" + digest.hex())

    @property
    def digest(self) -> bytes:
        """
        Its 32 bytes, as on the wire.
        """
        return bytes.fromhex(self[1:])


def _explain(text: str) -> str:
    """
    One line that says why C{text} is no identifier.
    """
    wanted = "an identifier is the letter I and 64 hexadecimal digits"
    if not text:
        return f"the identifier is empty: {wanted}"
    shown = ascii(text if len(text) <= 80 else text[:77] + "...")[1:-1]
    if text[0] != "I":
        return f"not an identifier: {shown}: it does not start with I ({wanted})"
    if not re.fullmatch("[0-9a-f]*", text[1:]):
        return f"not an identifier: {shown}: it has characters other than hexadecimal digits ({wanted})"
    return f"not an identifier: {shown}: it has {len(text) - 1} digits ({wanted})"
