"""
The arguments of endpoint strings, written as Twisted's are: between colons,
some with names, and with a backslash before a colon that is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from twisted.internet.abstract import isIPv6Address

_NAME = re.compile("[a-zA-Z]+")


def arguments(rest: str, positional: int, names: Iterable[str] = ()) -> tuple[list[str], dict[str, str]]:
    """
    @param rest: What follows the prefix and its colon.
    @param positional: How many arguments without a name there must be.
    @param names: The names that others may have.
    @return: Those without and those with a name.
    @raise ValueError: There is something else; the text says what.
    """
    plain: list[str] = []
    named: dict[str, str] = {}
    for each in re.split(r"(?<!\\):", rest):
        name, isNamed, value = each.partition("=")
        text = (value if isNamed and _NAME.fullmatch(name) else each).replace("\\:", ":").replace("\\=", "=")
        if isNamed and _NAME.fullmatch(name):
            if name not in names:
                raise ValueError(f"there is no {name}= here; known are {', '.join(names) or 'none'}")
            named[name] = text
        else:
            plain.append(text)
    if len(plain) != positional or "" in plain:
        raise ValueError(
            f"it has {positional} parts without a name, and not {len(plain) if all(plain) else 'an empty one'}"
        )
    return plain, named


def port(text: str, least: int = 0) -> int:
    """
    @param least: 0 where the system may choose one.
    @raise ValueError: It is no port.
    """
    if not re.fullmatch("[0-9]{1,5}", text) or not least <= int(text) <= 65535:
        raise ValueError(f"{text[:20]!a} is no port from {least} to 65535")
    return int(text)


def unbracketed(host: str) -> str:
    """
    @param host: A name or an address, that of IPv6 maybe in brackets.
    """
    if host.startswith("[") and host.endswith("]") and isIPv6Address(host[1:-1]):
        return host[1:-1]
    return host
