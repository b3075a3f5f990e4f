"""
Tests of L{ockam_twisted.wire.proxy}, with two other implementations of the
PROXY protocol.
"""

from __future__ import annotations

from ipaddress import ip_address

from crc32c import crc32c as theirCRC32C
from proxyprotocol import ProxyProtocolChecksumError
from proxyprotocol.v2 import ProxyProtocolV2
from twisted.protocols.haproxy._v2parser import V2Parser
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError, EncodeError
from ockam_twisted.wire.proxy import IDENTIFIER, UNIQUE_ID, Endpoints, crc32c, proxyHeader

WHO = "I" + "0123456789abcdef" * 4
STREAM = bytes(range(16))

FOUR = Endpoints(("192.0.2.7", 41000), ("192.0.2.1", 443))
SIX = Endpoints(("2001:db8::7", 41000), ("2001:db8::1", 443))
MIXED = Endpoints(("192.0.2.7", 41000), ("2001:db8::1", 443))


class EndpointsTests(SynchronousTestCase):
    """
    L{Endpoints}.
    """

    def test_bothWays(self) -> None:
        """
        What was written is read.
        """
        for each, size in ((FOUR, 12), (SIX, 36)):
            encoded = each.encode()
            self.assertEqual((len(encoded), Endpoints.decode(encoded)), (size, each))

    def test_mixed(self) -> None:
        """
        Two families become one; IPv4 in the clothes of IPv6 takes them off,
        and a zone means nothing elsewhere.
        """
        self.assertEqual(Endpoints.decode(MIXED.encode()).source[0], "::ffff:c000:207")
        mapped = Endpoints(("::ffff:192.0.2.7", 41000), ("::ffff:192.0.2.1", 443))
        self.assertEqual(mapped.encode(), FOUR.encode())
        zoned = Endpoints(("fe80::1%eth0", 1), ("fe80::2%eth0", 2))
        self.assertEqual(Endpoints.decode(zoned.encode()).source, ("fe80::1", 1))

    def test_refused(self) -> None:
        """
        What is none is refused, both ways.
        """
        for source in (("relay.example", 1), ("192.0.2.7", 65536), ("192.0.2.7", -1), ("", 0)):
            self.assertRaises(EncodeError, Endpoints(source, ("192.0.2.1", 443)).encode)
        for size in (0, 11, 13, 35, 37):
            self.assertRaises(DecodeError, Endpoints.decode, bytes(size))


class HeaderTests(SynchronousTestCase):
    """
    L{proxyHeader}.
    """

    def test_checksum(self) -> None:
        """
        The checksum is that of RFC 3720, appendix B.4.
        """
        self.assertEqual(crc32c(bytes(32)), 0x8A9136AA)
        self.assertEqual(crc32c(b"\xff" * 32), 0x62A8AB43)
        self.assertEqual(crc32c(bytes(range(32))), 0x46DD794E)
        self.assertEqual(crc32c(b"123456789"), 0xE3069283)

    def test_others(self) -> None:
        """
        Others read what we have written, and find the checksum right.
        """
        for endpoints in (FOUR, SIX):
            header = proxyHeader(endpoints, WHO, STREAM)
            # Its checksum is verified here.
            result = ProxyProtocolV2().unpack(header)
            source, destination = result.source, result.dest
            self.assertEqual((source[0], source[1]), (ip_address(endpoints.source[0]), 41000))
            self.assertEqual((destination[0], destination[1]), (ip_address(endpoints.destination[0]), 443))
            self.assertEqual(result.tlv.unique_id, STREAM)
            self.assertEqual(dict(result.tlv)[IDENTIFIER], WHO.encode())
            self.assertEqual(dict(result.tlv)[UNIQUE_ID], STREAM)
            theirs = V2Parser.parse(header)
            self.assertEqual(theirs.source.port, 41000)
            self.assertEqual(ip_address(theirs.source.host), ip_address(endpoints.source[0]))

    def test_damaged(self) -> None:
        """
        A header with another byte has another checksum.
        """
        header = bytearray(proxyHeader(FOUR, WHO, STREAM))
        place = slice(16 + 12 + 3, 16 + 12 + 7)
        right = int.from_bytes(header[place], "big")
        header[place] = bytes(4)
        self.assertEqual(crc32c(bytes(header)), right)
        self.assertEqual(theirCRC32C(bytes(header)), right)
        header[20] ^= 1
        self.assertNotEqual(crc32c(bytes(header)), right)
        header[place] = right.to_bytes(4, "big")
        self.assertRaises(ProxyProtocolChecksumError, ProxyProtocolV2().unpack, bytes(header))

    def test_unknown(self) -> None:
        """
        Where nobody knows the client nothing is made up: the family is
        unknown, and the command is still PROXY: LOCAL would make it the
        target's own.
        """
        header = proxyHeader(None, WHO)
        self.assertEqual(header[12:14], b"\x21\x00")
        self.assertIsNone(V2Parser.parse(header).source)
        self.assertIn(WHO.encode(), header)
        self.assertEqual(int.from_bytes(header[14:16], "big"), len(header) - 16)

    def test_nothing(self) -> None:
        """
        Who has proven nothing is not named.
        """
        self.assertEqual(len(proxyHeader(FOUR)), 16 + 12 + 7)
