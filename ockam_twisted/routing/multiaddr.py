"""
MultiAddr: what people write to say where something is and through which
channels it is reached (spec messaging, section 14), as in
C{/dnsaddr/relay.example.com/tcp/4000/service/forward_to_a/secure/api}.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, unquote

from attrs import field, frozen

from ockam_twisted.errors import DecodeError, InvalidMultiAddr
from ockam_twisted.routing.addresses import MAX_ADDRESS, printable
from ockam_twisted.wire import bare

#: A protocol's name, and its value: the port of C{tcp} and C{udp} is an
#: C{int}, everything else is text; of those that have no value, it is empty.
Component = tuple[str, str | int]

#: Protocols and their codes in the binary form.
CODES = {
    "ip4": 4,
    "tcp": 6,
    "ip6": 41,
    "dnsaddr": 56,
    "udp": 273,
    "unix": 400,
    "tls": 448,
    "quic": 460,
    "ws": 477,
    "wss": 478,
    "http-path": 481,
    "service": 62526,
    "node": 72526,
    "project": 82526,
    "space": 92526,
    "secure": 99526,
    "worker": 102526,
    # These two are ours.
    "ble": 112526,
    "kafka": 122526,
}
_NAMES = {code: name for name, code in CODES.items()}
_PORTS = ("tcp", "udp")
_HOSTS = ("dnsaddr", "ip4", "ip6")
#: Without a value.
_FLAGS = ("tls", "quic", "ws", "wss")
#: What may stand in the text of a value with a slash in it, as in a URL.
_QUOTED = ("unix", "http-path")
#: What one connection goes over, after a host, or by itself.
_CARRIERS = ("tcp", "udp", *_FLAGS, "http-path", "kafka")
_ALONE = ("unix", "ble")

#: Bounds of our own: components, and bytes of the binary form.
MAX_COMPONENTS = 64
MAX_BYTES = 8192

_EXAMPLE = "/dnsaddr/relay.example.com/tcp/4000/service/echo"
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")

_Bytes = bytes  # Inside the class the name is taken.


def _port(name: str, value: str | int) -> int:
    if isinstance(value, str) and re.fullmatch("[1-9][0-9]{0,4}", value):
        value = int(value)
    if not isinstance(value, int) or not 0 < value <= 65535:
        raise InvalidMultiAddr(
            f"a port is a number from 1 to 65535, as in /{name}/4000, not {printable(str(value), 40)}"
        )
    return value


def _ip(name: str, value: str) -> str:
    try:
        if name == "ip4":
            return str(ipaddress.IPv4Address(value))
        address = ipaddress.IPv6Address(value)
    except ValueError:
        pass
    else:
        # A zone has no binary form.
        if address.scope_id is None:
            return str(address)
    example = "/ip4/127.0.0.1" if name == "ip4" else "/ip6/::1"
    raise InvalidMultiAddr(f"not an address for {name}: {printable(value, 60)}; it looks like {example}")


def _hostName(value: str) -> str:
    if (
        len(value) > 253
        or not all(map(_LABEL.fullmatch, value.split(".")))
        or value.startswith("-")
        or value.endswith("-")
    ):
        raise InvalidMultiAddr(f"not a host name: {printable(value, 60)}; it looks like /dnsaddr/relay.example.com")
    return value


def _component(name: str, value: str | int) -> Component:
    """
    Check one component and give it its one form.
    """
    if name not in CODES:
        raise InvalidMultiAddr(f"unknown protocol /{printable(name, 40)}{_hint(name)}")
    if name in _PORTS:
        return name, _port(name, value)
    if name in _FLAGS:
        if value:
            raise InvalidMultiAddr(f"/{name} has no value, unlike /{name}/{printable(str(value), 40)}")
        return name, ""
    if not isinstance(value, str) or not value:
        raise InvalidMultiAddr(f"/{name} has no value; it looks like /{name}/{_SAMPLES.get(name, 'NAME')}")
    if name == "dnsaddr":
        return name, _hostName(value)
    if name in _HOSTS:
        return name, _ip(name, value)
    if ("/" in value and name not in _QUOTED) or not value.isprintable():
        raise InvalidMultiAddr(f"a value has a character that cannot be written: {printable(value, 60)}")
    if len(value.encode("utf-8")) > MAX_ADDRESS:
        raise InvalidMultiAddr(f"a value has at most {MAX_ADDRESS} bytes: {printable(value, 60)}")
    return name, value


_SAMPLES = {
    "dnsaddr": "relay.example.com",
    "ip4": "127.0.0.1",
    "ip6": "::1",
    "secure": "api",
    "service": "echo",
    "unix": "%2Frun%2Fockam.sock",
    "http-path": "ockam",
}


def _hint(name: str) -> str:
    near = difflib.get_close_matches(name[:40].lower(), CODES, 1)
    return f"; did you mean /{near[0]}?" if near else f"; known are {', '.join(sorted(CODES))}"


def _checked(components: Iterable[Component]) -> tuple[Component, ...]:
    checked = tuple(_component(name, value) for name, value in components)
    if not checked:
        raise InvalidMultiAddr(f"a MultiAddr is empty; it looks like {_EXAMPLE}")
    if len(checked) > MAX_COMPONENTS:
        raise InvalidMultiAddr(f"a MultiAddr has at most {MAX_COMPONENTS} parts, not {len(checked)}")
    return checked


@frozen
class MultiAddr:
    """
    A MultiAddr.  Iterating over one gives its components.

    Making one checks it: whatever is not as it should be is
    L{InvalidMultiAddr}.

    @ivar components: Pairs of protocol name and value, in order.
    """

    components: tuple[Component, ...] = field(converter=_checked)

    @classmethod
    def fromText(cls, text: str) -> MultiAddr:
        """
        Parse the form people write; C{self} means C{/secure/api}.

        @raise InvalidMultiAddr: It is none; the text says why, and shows what
            one looks like.
        """
        if text == "self":
            return cls((("secure", "api"),))
        if len(text) > MAX_BYTES:
            raise InvalidMultiAddr(f"a MultiAddr has at most {MAX_BYTES} characters")
        if not text:
            return cls(())
        if not text.startswith("/"):
            raise InvalidMultiAddr(
                f"a MultiAddr begins with a slash, as in {_suggestion(text)}, unlike {printable(text, 60)}"
            )
        parts = text.split("/")[1:]
        if parts[-1] == "":
            raise InvalidMultiAddr(f"a MultiAddr does not end with a slash; it looks like {_EXAMPLE}")
        components: list[Component] = []
        rest = iter(parts)
        for name in rest:
            if not name:
                raise InvalidMultiAddr(f"a MultiAddr has two slashes in a row; it looks like {_EXAMPLE}")
            value = "" if name in _FLAGS else next(rest, "")
            components.append((name, unquote(value) if name in _QUOTED else value))
        return cls(tuple(components))

    @classmethod
    def fromBytes(cls, data: _Bytes) -> MultiAddr:
        """
        Decode the binary form.

        @raise InvalidMultiAddr: It is none.
        """
        if len(data) > MAX_BYTES:
            raise InvalidMultiAddr(f"a MultiAddr has at most {MAX_BYTES} bytes")
        reader = bare.Reader(data)
        components: list[Component] = []
        try:
            while not reader.atEnd and len(components) <= MAX_COMPONENTS:
                components.append(_read(reader))
        except DecodeError as error:
            raise InvalidMultiAddr(f"not a MultiAddr in binary: {error}") from None
        return cls(tuple(components))

    @property
    def text(self) -> str:
        """
        The form people write.
        """
        return "".join(map(_written, self.components))

    @property
    def bytes(self) -> _Bytes:
        """
        The binary form.
        """
        return b"".join(bare.varint(CODES[name]) + _binary(name, value) for name, value in self.components)

    @property
    def road(self) -> tuple[Component, ...]:
        """
        The first components, as far as they say how to make one connection
        and over what: a host, C{tcp} or C{udp}, and what goes over that; empty
        if it does not begin so.
        """
        names = [name for name, _ in self.components]
        if names[0] in _ALONE:
            return self.components[:1]
        if names[0] not in _HOSTS or names[1:2] not in (["tcp"], ["udp"]):
            return ()
        end = 2
        while end < len(names) and names[end] in _CARRIERS:
            end += 1
        return self.components[:end]

    def __iter__(self) -> Iterator[Component]:
        return iter(self.components)

    def __len__(self) -> int:
        return len(self.components)

    def __str__(self) -> str:
        return self.text


def _written(component: Component) -> str:
    name, value = component
    if name in _FLAGS:
        return f"/{name}"
    return f"/{name}/{quote(str(value), safe='') if name in _QUOTED else value}"


def _suggestion(text: str) -> str:
    """
    @return: A MultiAddr like what C{text} may have been meant to be.
    """
    if "/" in text:
        candidates = ["/" + text]
    else:
        host, _, port = text.rpartition(":")
        candidates = [f"/{kind}/{host.strip('[]')}/tcp/{port}" for kind in ("ip4", "ip6", "dnsaddr")]
    for candidate in candidates:
        try:
            return MultiAddr.fromText(candidate).text
        except InvalidMultiAddr:
            continue
    return _EXAMPLE


def _binary(name: str, value: str | int) -> bytes:
    if name in _FLAGS:
        return b""
    if isinstance(value, int):
        return value.to_bytes(2, "big")
    if name in ("ip4", "ip6"):
        return ipaddress.ip_address(value).packed
    return bare.string(value)


def _read(reader: bare.Reader) -> Component:
    name = _NAMES.get(_readVarint(reader))
    if name is None:
        raise DecodeError("a protocol is unknown")
    if name in _FLAGS:
        return name, ""
    if name in _PORTS:
        high = reader.readU8()
        return name, high << 8 | reader.readU8()
    if name == "ip4":
        return name, str(ipaddress.IPv4Address(bytes(reader.readU8() for _ in range(4))))
    if name == "ip6":
        return name, str(ipaddress.IPv6Address(bytes(reader.readU8() for _ in range(16))))
    start = reader.position
    _readVarint(reader)
    reader.position = start
    return name, reader.readString(MAX_ADDRESS)


def _readVarint(reader: bare.Reader) -> int:
    """
    Unlike elsewhere in BARE, only the shortest form will do.
    """
    start = reader.position
    n = reader.readVarint()
    if reader.position - start != len(bare.varint(n)):
        raise DecodeError("a number is longer than it has to be")
    return n
