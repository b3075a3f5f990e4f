"""
Addresses and routes (spec messaging, section 2).

Both are immutable tuples, so that they hash and compare at C speed, and are
what L{ockam_twisted.wire.messages} encodes as they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from ockam_twisted.errors import InvalidAddress

#: Transport types (spec messaging, section 2.1).
LOCAL, TCP, UDP, WEBSOCKET, BLE, UDS = 0, 1, 2, 3, 4, 5

#: Bounds of our own; the wire has none (design, section 5).
MAX_ADDRESS = 255
MAX_HOPS = 32


def printable(text: str | bytes, limit: int = 200) -> str:
    """
    Make text from outside fit for a log line: ASCII, no control characters,
    cut at C{limit} characters.
    """
    if isinstance(text, bytes):
        text = text[: limit + 1].decode("ascii", "backslashreplace")
    shown = "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode("ascii") for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


class Address(NamedTuple):
    """
    The name of a worker, or of a place a transport can reach.

    @ivar transport_type: 0 for a worker of this node, 1 TCP, 2 UDP, ...
    @ivar value: Any bytes; by convention UTF-8.
    """

    transport_type: int
    value: bytes

    @classmethod
    def local(cls, name: str | bytes) -> Address:
        """
        The address of a worker by name.
        """
        value = name.encode("utf-8") if isinstance(name, str) else name
        if len(value) > MAX_ADDRESS:
            raise InvalidAddress(f"an address has at most {MAX_ADDRESS} bytes, not {len(value)}")
        return cls(LOCAL, value)

    @classmethod
    def random(cls) -> Address:
        """
        A fresh address that nobody can guess: 16 random bytes in hexadecimal.
        """
        return cls(LOCAL, os.urandom(16).hex().encode("ascii"))

    @classmethod
    def fromText(cls, text: str) -> Address:
        """
        Parse C{type#value}; without C{#} the type is 0.

        @raise InvalidAddress: There are several C{#}, the type is no decimal
            number up to 255, or the value is too long.
        """
        head, mark, value = text.partition("#")
        if not mark:
            return cls.local(head)
        if "#" in value or not (head.isascii() and head.isdigit()) or len(head) > 3 or int(head) > 255:
            raise InvalidAddress(f"not an address: {printable(text)}")
        return cls(int(head), cls.local(value).value)

    @property
    def isLocal(self) -> bool:
        """
        Does it name a worker of this node?
        """
        return self.transport_type == LOCAL

    def __str__(self) -> str:
        return f"{self.transport_type}#{printable(self.value)}"


#: Without the call of Python that a named tuple is made with.
_toAddress: Callable[[tuple[int, bytes]], Address] = partial(tuple.__new__, Address)


class Route(tuple[Address, ...]):
    """
    Addresses in the order a message visits them.
    """

    __slots__ = ()

    @classmethod
    def of(cls, *hops: Address | str | bytes) -> Route:
        """
        Build a route; text is parsed as L{Address.fromText}, bytes name a
        local worker.

        @raise InvalidAddress: A text is no address.
        """
        return cls(
            hop if isinstance(hop, Address) else Address.fromText(hop) if isinstance(hop, str) else Address.local(hop)
            for hop in hops
        )

    @classmethod
    def fromText(cls, text: str) -> Route:
        """
        Parse addresses joined by C{=>}.

        @raise InvalidAddress: The text is empty or a part is no address.
        """
        parts = [part.strip() for part in text.split("=>")]
        if not all(parts):
            raise InvalidAddress(f"not a route: {printable(text)}")
        return cls.of(*parts)

    @classmethod
    def fromWire(cls, hops: Iterable[tuple[int, bytes]]) -> Route:
        """
        Take over what L{ockam_twisted.wire.messages} decoded.
        """
        return cls(map(_toAddress, hops))

    def step(self) -> Route:
        """
        The route without its first address.
        """
        return Route(self[1:])

    def prepend(self, *hops: Address) -> Route:
        """
        The route with C{hops} in front.
        """
        return Route((*hops, *self))

    def append(self, *hops: Address) -> Route:
        """
        The route with C{hops} at the end.
        """
        return Route((*self, *hops))

    def __str__(self) -> str:
        return " => ".join(map(str, self))


EMPTY = Route()
