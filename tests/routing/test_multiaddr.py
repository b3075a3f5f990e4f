"""
Tests for L{ockam_twisted.routing.multiaddr}.
"""

from __future__ import annotations

from attrs.exceptions import FrozenInstanceError
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import InvalidMultiAddr
from ockam_twisted.routing.multiaddr import CODES, MAX_COMPONENTS, MultiAddr
from ockam_twisted.wire import bare

fuzz = settings(deadline=None, max_examples=200, derandomize=True, database=None)

names = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="/"), min_size=1, max_size=20
)
components = st.one_of(
    st.tuples(
        st.sampled_from(["service", "node", "project", "space", "secure", "worker"]), names.filter(str.isprintable)
    ),
    st.tuples(st.sampled_from(["tcp", "udp"]), st.integers(1, 65535)),
    st.tuples(st.just("ip4"), st.ip_addresses(v=4).map(str)),
    st.tuples(st.just("ip6"), st.ip_addresses(v=6).map(str)),
    st.tuples(st.just("dnsaddr"), st.from_regex(r"[a-z0-9]{1,9}(\.[a-z0-9]{1,9}){0,3}", fullmatch=True)),
)


class MultiAddrTests(SynchronousTestCase):
    """
    Text, bytes and components.
    """

    def assertRefused(self, text: str, *words: str) -> None:
        """
        C{text} is refused in one line that contains C{words}.
        """
        said = str(self.assertRaises(InvalidMultiAddr, MultiAddr.fromText, text))
        self.assertTrue(said.isprintable(), said)
        self.assertLess(len(said), 400)
        for word in words:
            self.assertIn(word, said)

    def test_specification(self) -> None:
        """
        The examples of the specification.
        """
        for text, encoded in (
            ("/ip4/127.0.0.1/tcp/4000", "047f000001060fa0"),
            ("/secure/api", "c6890603617069"),
            ("/dnsaddr/localhost/tcp/4000/service/api", "38096c6f63616c686f7374060fa0bee80303617069"),
            (
                "/project/p1/service/forward_to_n1/secure/api/service/echo",
                "de8405027031bee8030d666f72776172645f746f5f6e31c6890603617069bee803046563686f",
            ),
        ):
            address = MultiAddr.fromText(text)
            self.assertEqual((address.text, str(address), address.bytes.hex()), (text, text, encoded))
            self.assertEqual(MultiAddr.fromBytes(bytes.fromhex(encoded)), address)

    def test_codes(self) -> None:
        """
        The codes of the specification, as they are on the wire.
        """
        expected = {
            "ip4": "04",
            "ip6": "29",
            "tcp": "06",
            "dnsaddr": "38",
            "udp": "9102",
            "service": "bee803",
            "node": "ceb604",
            "project": "de8405",
            "space": "eed205",
            "secure": "c68906",
            "worker": "fea006",
            "unix": "9003",
            "tls": "c003",
            "quic": "cc03",
            "ws": "dd03",
            "wss": "de03",
            "http-path": "e103",
            "ble": "8eef06",
            "kafka": "9ebd07",
        }
        self.assertEqual({name: bare.varint(code).hex() for name, code in CODES.items()}, expected)

    def test_self(self) -> None:
        """
        C{self}, alone, is the secure channel listener of this node.
        """
        self.assertEqual(MultiAddr.fromText("self"), MultiAddr.fromText("/secure/api"))
        self.assertRefused("/self", "unknown protocol /self")

    def test_components(self) -> None:
        """
        Components come in order, ports as numbers, and one MultiAddr equals
        another of the same components.
        """
        address = MultiAddr.fromText("/ip6/0:0::1/udp/9/worker/w")
        self.assertEqual(list(address), [("ip6", "::1"), ("udp", 9), ("worker", "w")])
        self.assertEqual(len(address), 3)
        self.assertEqual(address, MultiAddr(address.components))
        self.assertEqual(hash(address), hash(MultiAddr.fromBytes(address.bytes)))
        self.assertRaises(FrozenInstanceError, setattr, address, "components", ())

    def test_road(self) -> None:
        """
        The road is what comes first, as far as it is about one connection.
        """
        for text, expected in (
            ("/ip4/127.0.0.1/tcp/4000/service/x", "/ip4/127.0.0.1/tcp/4000"),
            ("/dnsaddr/a/tcp/443/wss/http-path/a%2Fb/secure/api", "/dnsaddr/a/tcp/443/wss/http-path/a%2Fb"),
            ("/dnsaddr/a/tcp/443/tls/ws/worker/w", "/dnsaddr/a/tcp/443/tls/ws"),
            ("/ip6/::1/udp/2/quic/service/x/ip4/127.0.0.1/tcp/1", "/ip6/::1/udp/2/quic"),
            ("/unix/%2Frun%2Fx/secure/api", "/unix/%2Frun%2Fx"),
            ("/ble/ockam/secure/api", "/ble/ockam"),
            ("/dnsaddr/broker/tcp/9092/kafka/blue/secure/api", "/dnsaddr/broker/tcp/9092/kafka/blue"),
        ):
            self.assertEqual(MultiAddr(MultiAddr.fromText(text).road).text, expected)
        for text in ("/service/tcp/tcp/5", "/service/x", "/dnsaddr/a", "/dnsaddr/a/service/x/tcp/1", "/ws/tcp/5"):
            self.assertEqual(MultiAddr.fromText(text).road, ())

    def test_flags(self) -> None:
        """
        Some protocols have no value.
        """
        address = MultiAddr.fromText("/dnsaddr/a/tcp/443/tls/ws/service/x")
        self.assertEqual(address.components[2:4], (("tls", ""), ("ws", "")))
        self.assertEqual(MultiAddr.fromBytes(address.bytes), address)
        self.assertRaises(InvalidMultiAddr, MultiAddr, (("ws", "x"),))

    def test_quoted(self) -> None:
        """
        A path is written as in a URL.
        """
        address = MultiAddr.fromText("/unix/%2Frun%2Fa%20b.sock/service/x")
        self.assertEqual(address.components[0], ("unix", "/run/a b.sock"))
        self.assertEqual(address.text, "/unix/%2Frun%2Fa%20b.sock/service/x")
        self.assertEqual(MultiAddr.fromBytes(address.bytes), address)
        self.assertRefused("/unix/%0A", "cannot be written")

    def test_slashes(self) -> None:
        """
        A slash begins a MultiAddr, none ends it, and no two are adjacent.
        """
        self.assertRefused("", "empty", "/dnsaddr/")
        self.assertRefused("service/echo", "begins with a slash", "as in /service/echo")
        self.assertRefused("/", "does not end with a slash", "/dnsaddr/")
        self.assertRefused("/service/echo/", "does not end with a slash")
        self.assertRefused("//service/echo", "two slashes")
        self.assertRefused("/service//secure/api", "/service has no value", "/service/echo")
        self.assertRefused("/service", "/service has no value")
        self.assertRefused(" /service/x", "begins with a slash")

    def test_hostAndPortInstead(self) -> None:
        """
        Who writes host and port is shown the right form of just that.
        """
        self.assertRefused("127.0.0.1:4000", "/ip4/127.0.0.1/tcp/4000,")
        self.assertRefused("[::1]:4000", "/ip6/::1/tcp/4000,")
        self.assertRefused("relay.example.org:4000", "/dnsaddr/relay.example.org/tcp/4000,")

    def test_unknownProtocol(self) -> None:
        """
        An unknown protocol is refused with the nearest known one, or all.
        """
        self.assertRefused("/servce/echo", "unknown protocol /servce", "did you mean /service?")
        self.assertRefused("/TCP/5", "did you mean /tcp?")
        self.assertRefused("/ws/5", "known are")
        self.assertRefused("/\x1b[31m/x", "unknown protocol")

    def test_ports(self) -> None:
        """
        A port is a decimal number from 1 to 65535.
        """
        self.assertEqual(MultiAddr.fromText("/tcp/65535").bytes, b"\x06\xff\xff")
        for port in ("0", "65536", "x", "-1", "+1", "04000", "1_0", " 1", "\u0663", "9" * 5000):
            self.assertRefused(f"/tcp/{port}", "from 1 to 65535", "/tcp/4000")
            self.assertRefused(f"/udp/{port}", "/udp/4000")

    def test_hosts(self) -> None:
        """
        Addresses and host names are checked.
        """
        for host in ("1.2.3", "1.2.3.256", "01.2.3.4", "::1", "x"):
            self.assertRefused(f"/ip4/{host}", "/ip4/127.0.0.1")
        for host in ("1.2.3.4", "::g", "fe80::1%eth0", "x"):
            self.assertRefused(f"/ip6/{host}", "/ip6/::1")
        for host in ("a b", "a..b", ".a", "a.", "-a", "a-", "h\xe9", "a:1", "a" * 64, ".".join(["a" * 60] * 5)):
            self.assertRefused(f"/dnsaddr/{host}", "not a host name")

    def test_values(self) -> None:
        """
        Names are printable and of at most 255 bytes.
        """
        self.assertEqual(MultiAddr.fromText("/service/" + "a" * 255).components[0][1], "a" * 255)
        self.assertRefused("/service/" + "a" * 256, "at most 255")
        self.assertRefused("/service/" + "\xe9" * 128, "at most 255")
        self.assertRefused("/service/a\nb", "cannot be written")
        self.assertRefused("/service/\ud800", "cannot be written")
        self.assertRaises(InvalidMultiAddr, MultiAddr, (("service", "a/b"),))
        self.assertRaises(InvalidMultiAddr, MultiAddr, (("service", 5),))
        self.assertRaises(InvalidMultiAddr, MultiAddr, ())

    def test_size(self) -> None:
        """
        Components are counted, and so are characters and bytes.
        """
        self.assertEqual(len(MultiAddr.fromText("/service/a" * MAX_COMPONENTS)), MAX_COMPONENTS)
        self.assertRefused("/service/a" * (MAX_COMPONENTS + 1), "at most 64 parts")
        self.assertRefused("/service/a" * 10000, "at most 8192")
        for data in (bytes.fromhex("0601") * 10000, bytes.fromhex("060001") * (MAX_COMPONENTS + 1)):
            self.assertRaises(InvalidMultiAddr, MultiAddr.fromBytes, data)

    def test_refusedBytes(self) -> None:
        """
        Bytes that are cut short, of unknown protocols, of numbers longer than
        they have to be, or without a text form, are refused.
        """
        for encoded in (
            "",
            "05",
            "8600",
            "860006",
            "06",
            "0600",
            "060000",
            "047f0000",
            "29" + "00" * 15,
            "bee80303617",
            "bee803",
            "bee80300",
            "bee8038100" + "61",
            "bee80302c328",
            "bee80301" + "2f",
            "bee80301" + "0a",
            "3801" + "20",
            "ff" * 11,
        ):
            self.assertRaises(InvalidMultiAddr, MultiAddr.fromBytes, bytes.fromhex(encoded[: len(encoded) // 2 * 2]))

    @fuzz
    @given(st.lists(components, min_size=1, max_size=6))
    def test_roundTrip(self, parts: list[tuple[str, str | int]]) -> None:
        """
        Text and bytes give back the same MultiAddr.
        """
        address = MultiAddr(tuple(parts))
        self.assertEqual(MultiAddr.fromText(address.text), address)
        self.assertEqual(MultiAddr.fromBytes(address.bytes), address)

    @fuzz
    @given(st.one_of(st.text(max_size=40), st.text("/:.1atcpipserv6", max_size=40)), st.binary(max_size=40))
    def test_arbitrary(self, text: str, data: bytes) -> None:
        """
        Any text and any bytes are a MultiAddr, with both forms, or our error.
        """
        for parse, source in ((MultiAddr.fromText, text), (MultiAddr.fromText, "/" + text)):
            try:
                address = parse(source)
            except InvalidMultiAddr:
                continue
            self.assertEqual(MultiAddr.fromBytes(address.bytes), address)
        for octets in (data, b"\xbe\xe8\x03" + data, b"\x38" + data):
            try:
                address = MultiAddr.fromBytes(octets)
            except InvalidMultiAddr:
                continue
            self.assertEqual((address.bytes, MultiAddr.fromText(address.text)), (octets, address))
