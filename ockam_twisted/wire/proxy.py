"""
The header of the PROXY protocol, version 2, that a target gets before the
first byte of a stream (C{docs/proxy-protocol.rst} has what is in it).
"""

from __future__ import annotations

import ipaddress
from struct import Struct

from attrs import frozen

from ockam_twisted.errors import DecodeError, EncodeError

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"

#: Version 2, a connection made for somebody else.
_PROXY = 0x21

_UNKNOWN, _TCP4, _TCP6 = 0x00, 0x11, 0x21

#: Types of what may follow the addresses; the last one is of our own, from the
#: range for applications.
CRC32C, UNIQUE_ID, IDENTIFIER = 0x03, 0x05, 0xE0

_HEAD = Struct("!12sBBH")
_PORTS = Struct("!HH")

#: Bytes of the addresses of a connection, of IPv4 and of IPv6.
SIZES = (12, 36)

_TABLE: list[int] = []


@frozen
class Endpoints:
    """
    Whose connection it is.

    @ivar source: The address and port of the client.
    @ivar destination: Where the client has connected to; likewise.
    """

    source: tuple[str, int]
    destination: tuple[str, int]

    def encode(self) -> bytes:
        """
        As they are in the header: both of IPv4, or both of IPv6.

        @raise EncodeError: One is no IP address, or no port.
        """
        try:
            pair = [ipaddress.ip_address(host.partition("%")[0]) for host, _ in (self.source, self.destination)]
            plain = [getattr(each, "ipv4_mapped", None) or each for each in pair]
            if plain[0].version != plain[1].version:
                plain = [ipaddress.IPv6Address(f"::ffff:{each}") if each.version == 4 else each for each in plain]
            return b"".join(each.packed for each in plain) + _PORTS.pack(self.source[1], self.destination[1])
        except Exception as error:
            raise EncodeError(f"no addresses of a connection: {error}") from None

    @classmethod
    def decode(cls, data: bytes) -> Endpoints:
        """
        Read what L{encode} has written.

        @raise DecodeError: It is of no size that it can have.
        """
        if len(data) not in SIZES:
            raise DecodeError("addresses of a connection have 12 or 36 bytes")
        size = (len(data) - _PORTS.size) // 2
        first, second = _PORTS.unpack_from(data, 2 * size)
        return cls(
            (str(ipaddress.ip_address(data[:size])), first),
            (str(ipaddress.ip_address(data[size : 2 * size])), second),
        )


def crc32c(data: bytes) -> int:
    """
    The checksum of Castagnoli, as in RFC 9260, appendix A.
    """
    if not _TABLE:
        for value in range(256):
            for _ in range(8):
                value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
            _TABLE.append(value)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def proxyHeader(endpoints: Endpoints | None, identifier: str = "", stream: bytes = b"") -> bytes:
    """
    A header with its checksum.

    @param endpoints: L{None}: nobody knows them, and the target does not take
        anything for them.
    @param identifier: Who is at the other end, proven by a secure channel;
        empty: nobody has proven it.
    @param stream: The name of the stream; empty: it has none.
    @raise EncodeError: There are no such endpoints.
    """
    addresses = b"" if endpoints is None else endpoints.encode()
    family = {0: _UNKNOWN, SIZES[0]: _TCP4, SIZES[1]: _TCP6}[len(addresses)]
    fields = b""
    for kind, value in ((UNIQUE_ID, stream), (IDENTIFIER, identifier.encode("ascii"))):
        if value:
            fields += kind.to_bytes(1, "big") + len(value).to_bytes(2, "big") + value
    # First, since others expect it there; over all of it, with zeros in its
    # own place.
    head = CRC32C.to_bytes(1, "big") + b"\x00\x04"
    size = len(addresses) + len(head) + 4 + len(fields)
    begin = _HEAD.pack(_SIGNATURE, _PROXY, family, size) + addresses + head
    return begin + crc32c(begin + bytes(4) + fields).to_bytes(4, "big") + fields
