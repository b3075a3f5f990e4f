"""
Tests for L{ockam_twisted.wire.messages}.
"""

from __future__ import annotations

from typing import Any

import bare as oracle
import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError, EncodeError
from ockam_twisted.routing.addresses import Route
from ockam_twisted.wire import cbor, messages
from ockam_twisted.wire.frames import encodeFrame
from ockam_twisted.wire.messages import (
    TAILED,
    TransportMessage,
    decodeBareTransport,
    decodeTransport,
    encodeBareTransport,
    encodeTransport,
    payloadBounds,
    payloadHead,
    readRoute,
    readTransportRoutes,
    routeBytes,
)

fuzz = settings(deadline=None, max_examples=200, derandomize=True, database=None)

routes = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=255)), max_size=32).map(tuple)
shortRoutes = st.lists(st.tuples(st.integers(0, 30), st.binary(max_size=30)), max_size=4).map(tuple)
payloads = st.one_of(st.binary(max_size=300), st.sampled_from([b"x" * 65535, b"x" * 65536, b"x" * 200000]))


def unhex(text: str) -> bytes:
    """
    Bytes from hexadecimal with blanks.
    """
    return bytes.fromhex("".join(text.split()))


def packed(route: messages.WireRoute) -> bytes:
    """
    A route, encoded by pybare.
    """
    hops = [oracle.U8(kind).pack() + oracle.Data(value).pack() for kind, value in route]
    return bytes(oracle.UInt(len(route)).pack()) + b"".join(hops)


def piecewise(message: bytes) -> TransportMessage:
    """
    Decode the way the data path does.
    """
    onward, return_, position = readTransportRoutes(message, 0, len(message))
    start, stop = payloadBounds(message, position, len(message), message[0] == TAILED)
    return TransportMessage(onward, return_, message[start:stop])


HELLO = unhex(
    """84 81 82 00 44 6563686f
    81 82 00 58 20 3030313132323333343435353636373738383939616162626363646465656666
    4d 0c48656c6c6f204f636b616d21 62 7b7d"""
)

ONWARD = ((0, b"onward"),)
RETURN = ((0, b"return"),)


class RouteTests(SynchronousTestCase):
    """
    Addresses and routes.
    """

    def test_specification(self) -> None:
        """
        The examples of the specification.
        """
        for route, encoded in (
            ([], "80"),
            ([(0, b"echo")], "81 82 00 44 6563686f"),
            ([(1, b"127.0.0.1:4000")], "81 82 01 4e 3132372e302e302e313a34303030"),
            ([(0, b"alice"), (0, b"bob")], "82 820045616c696365 820043626f62"),
        ):
            self.assertEqual(routeBytes(route), unhex(encoded))
            self.assertEqual(readRoute(unhex(encoded), 0, len(unhex(encoded))), (tuple(route), len(unhex(encoded))))

    def test_routesOfNodes(self) -> None:
        """
        The routes of the layer above encode as they are.
        """
        route = Route.of("alice", "1#h:1")
        decoded, _ = readRoute(routeBytes(route), 0, len(routeBytes(route)))
        self.assertEqual(Route.fromWire(decoded), route)

    def test_bounds(self) -> None:
        """
        32 addresses of 255 bytes are a route; more of either is none, in both
        directions.
        """
        largest = [(255, b"a" * 255)] * 32
        encoded = routeBytes(largest)
        self.assertEqual(readRoute(encoded, 0, len(encoded))[0], tuple(largest))
        for route in ([(0, b"a")] * 33, [(0, b"a" * 256)], [(256, b"a")], [(-1, b"a")]):
            self.assertRaises(EncodeError, routeBytes, route)
        malformed: Any
        for malformed in ([[0, b"a"]] * 33, [[0, b"a" * 256]], [[256, b"a"]], [[0]], [[0, "a"]], [[]], [0], [[0, [1]]]):
            encoded = cbor2.dumps(malformed)
            self.assertRaises(DecodeError, readRoute, encoded, 0, len(encoded))

    def test_strict(self) -> None:
        """
        Heads longer than they have to be are refused in each place, and
        indefinite lengths.
        """
        for encoded in (
            "98 01 820041 61",
            "81 9802 00 4161",
            "81 82 1800 4161",
            "81 82 00 580161",
            "81 82 00 590001 61",
            "9f 82004161 ff",
            "81 9f 00 4161 ff",
        ):
            data = unhex(encoded)
            self.assertRaises(DecodeError, readRoute, data, 0, len(data))

    def test_extraElements(self) -> None:
        """
        Newer fields of an address are skipped.
        """
        data = cbor2.dumps([[0, b"a", {1: [2]}, "x"], [1, b"b"]])
        self.assertEqual(readRoute(data, 0, len(data)), (((0, b"a"), (1, b"b")), len(data)))

    def test_tooManyElements(self) -> None:
        """
        What is skipped is bounded for a route, not for each of its addresses.
        """
        odd = cbor2.dumps([0, b"a", *[0] * (cbor.MAX_ITEMS // 2)])
        for count, fits in ((1, True), (2, True), (3, False)):
            # Plain addresses in between make no difference.
            data = cbor.arrayHead(2 * count) + (odd + cbor2.dumps([0, b"b"])) * count
            if fits:
                self.assertEqual(readRoute(data, 0, len(data)), (((0, b"a"), (0, b"b")) * count, len(data)))
            else:
                self.assertRaises(DecodeError, readRoute, data, 0, len(data))

    @fuzz
    @given(routes)
    def test_oracle(self, route: messages.WireRoute) -> None:
        """
        Encoding agrees with cbor2, decoding gives back what was encoded, and
        every end that comes too early is an error.
        """
        encoded = routeBytes(route)
        self.assertEqual(encoded, cbor2.dumps(route))
        padded = b"\xff" + encoded + b"\xff"
        self.assertEqual(readRoute(padded, 1, len(padded)), (route, len(padded) - 1))
        self.assertEqual(readRoute(memoryview(padded), 1, len(padded))[0], route)
        for end in {0, len(encoded) // 2, len(encoded) - 1}:
            self.assertRaises(DecodeError, readRoute, encoded, 0, end)


class TransportTests(SynchronousTestCase):
    """
    The CBOR form.
    """

    def test_specification(self) -> None:
        """
        The example of the specification, with and without tracing context.
        """
        message = TransportMessage(((0, b"echo"),), ((0, b"00112233445566778899aabbccddeeff"),), b"\x0cHello Ockam!")
        self.assertEqual((len(HELLO), encodeTransport(*message)), (63, HELLO))
        tailless = b"\x83" + HELLO[1:-3]
        self.assertEqual(len(tailless), 60)
        self.assertEqual(encodeFrame(HELLO)[:4], unhex("0000003f"))
        for encoded in (HELLO, tailless, b"\x84" + tailless[1:] + b"\xf6"):
            self.assertEqual(decodeTransport(encoded), message)
            self.assertEqual(piecewise(encoded), message)

    def test_frames(self) -> None:
        """
        The frames of a portal, a relay registration and a heartbeat.
        """
        for onward, return_, payload, frame in (
            (b"outlet", b"in1", "00", "00000017 84 81 8200466f75746c6574 81 820043696e31 4100 627b7d"),
            (b"in1", b"out1", "01", "00000015 84 81 820043696e31 81 8200446f757431 4101 627b7d"),
            (b"out1", b"in1", "0305 68656c6c6f", "0000001b 848182 00446f757431 81820043696e31 47030568656c6c6f 627b7d"),
            (b"out1", b"in1", "02", "00000015 84 81 8200446f757431 81 820043696e31 4102 627b7d"),
            (
                b"static_forwarding_service",
                b"rr1",
                "05616c696365",
                """00000030 84 81 8200 5819 7374617469635f666f7277617264696e675f73657276696365
                81 8200 43 727231 46 05616c696365 62 7b7d""",
            ),
            (
                b"rr1",
                b"forward_to_alice",
                "10666f72776172645f746f5f616c696365",
                """00000031 84 81 8200 43 727231 81 8200 50 666f72776172645f746f5f616c696365
                51 10666f72776172645f746f5f616c696365 62 7b7d""",
            ),
            (
                b"forwarding_service",
                b"rr1",
                "087265676973746572",
                """0000002b 84 81 8200 52 666f7277617264696e675f73657276696365 81 8200 43 727231
                49 087265676973746572 62 7b7d""",
            ),
        ):
            message = TransportMessage(((0, onward),), ((0, return_),), unhex(payload))
            self.assertEqual(encodeFrame(encodeTransport(*message)), unhex(frame))
            self.assertEqual(decodeTransport(unhex(frame), 4), message)
            self.assertEqual(piecewise(unhex(frame)[4:]), message)
        self.assertEqual(encodeFrame(encodeTransport((), (), b"")), unhex("00000007 84808040 627b7d"))
        self.assertEqual(decodeTransport(unhex("83808040")), TransportMessage((), (), b""))

    def test_accepted(self) -> None:
        """
        Null context, and room for newer fields, which is only for those who
        do not read piece by piece.
        """
        self.assertRaises(DecodeError, readTransportRoutes, unhex("85808040f601"), 0, 6)
        empty = TransportMessage((), (), b"")
        for encoded in ("84808040f6", "84808040 6178", "85808040f601", "868080 40 627b7d a10180 8100", "83808040"):
            self.assertEqual(decodeTransport(unhex(encoded)), empty)

    def test_tooMuchToSkip(self) -> None:
        """
        Newer fields have a bound: their items take time, as many as a frame may have of them.
        """
        start = TransportMessage(((0, b"a"),), (), b"x")
        most = cbor.MAX_ITEMS
        fields = [[[[0, b"a"]], [], b"x", None, *more] for more in ([0] * most, [[0] * (most - 1)])]
        for fits in fields:
            self.assertEqual(decodeTransport(cbor2.dumps(fits)), start)
            self.assertRaises(DecodeError, decodeTransport, cbor2.dumps([*fits, 0]))

    def test_refused(self) -> None:
        """
        What the reference refuses, and its lenient forms, which nobody sends.
        """
        for encoded in (
            *("828080", "8380805f4101ff", "838080820102", "838182006161 8040", "a0"),
            *("", "83", "84808040"),
            "848080 40 01",  # an integer as context
            "84808040 61ff",  # a context that is not UTF-8
            "84808040 791001" + "78" * 4097,
            "85808040f6",
            "85808040f6" + "81" * 17 + "00",
            "9f808040ff",
            "839fff8040",
            "838080400000",
            "84808040 627b7d 00",
            "8380805800",
            "838080580100",
            "8380805817" + "00" * 23,
            "8380805900ff" + "00" * 255,
            "8380805a0000ffff" + "00" * 65535,
            "8380805b0000000000010000" + "00" * 65536,
            *"83808041 838080590100 8380805a00010000 83808059 8380805a0001".split(),
        ):
            data = unhex(encoded)
            self.assertRaises(DecodeError, decodeTransport, data)
            self.assertRaises(DecodeError, piecewise, data)
            self.assertRaises(DecodeError, decodeTransport, memoryview(data))

    def test_payloadHead(self) -> None:
        """
        The head of a payload is the shortest, at each boundary.
        """
        for size in (0, 1, 23, 24, 255, 256, 65535, 65536, 2**24, 2**32 - 1):
            self.assertEqual(payloadHead(size), cbor.head(cbor.BYTES, size))

    def test_endWithinBuffer(self) -> None:
        """
        A message that would go on behind its end is refused, though the
        buffer goes on.
        """
        data = HELLO + HELLO
        self.assertEqual(decodeTransport(data, len(HELLO), len(data)), decodeTransport(HELLO))
        for end in range(len(HELLO)):
            self.assertRaises(DecodeError, decodeTransport, data, 0, end)
            self.assertRaises(DecodeError, payloadBounds, data, 46, end, True)
        self.assertEqual(payloadBounds(data, 46, len(HELLO), True), (47, 60))

    @fuzz
    @given(shortRoutes, shortRoutes, payloads)
    def test_oracle(self, onward: messages.WireRoute, return_: messages.WireRoute, payload: bytes) -> None:
        """
        Encoding agrees with cbor2, and both ways of decoding give back what
        was encoded.
        """
        encoded = encodeTransport(onward, return_, payload)
        self.assertEqual(encoded, cbor2.dumps([onward, return_, payload, "{}"]))
        for decoded in (decodeTransport(encoded), decodeTransport(memoryview(encoded)), piecewise(encoded)):
            self.assertEqual(decoded, (onward, return_, payload))

    @fuzz
    @given(shortRoutes, shortRoutes, st.binary(max_size=300), st.data())
    def test_mutated(
        self, onward: messages.WireRoute, return_: messages.WireRoute, payload: bytes, data: st.DataObject
    ) -> None:
        """
        With bytes changed or an end missing, both ways of decoding agree: the
        same message, which cbor2 sees too, or our error.
        """
        encoded = bytearray(encodeTransport(onward, return_, payload))
        for _ in range(data.draw(st.integers(0, 2))):
            encoded[data.draw(st.integers(1, len(encoded) - 1))] = data.draw(st.integers(0, 255))
        mutant = bytes(encoded[: len(encoded) - data.draw(st.sampled_from([0, 0, 1, 5]))])
        results: list[TransportMessage | None] = []
        for attempt in (decodeTransport, piecewise):
            try:
                results.append(attempt(mutant))
            except DecodeError:
                results.append(None)
        self.assertEqual(results[0], results[1])
        if results[0] is not None:
            self.assertEqual(cbor2.loads(mutant)[2], results[0].payload)

    @fuzz
    @given(st.binary(max_size=60))
    def test_arbitrary(self, data: bytes) -> None:
        """
        Any bytes are a message or our error.
        """
        for attempt in (decodeTransport, piecewise, decodeBareTransport):
            for prefix in (b"", b"\x84\x80\x80", b"\x84\x81\x82\x00", b"\x01\x01\x00"):
                try:
                    message = attempt(prefix + data)
                except DecodeError:
                    continue
                self.assertLessEqual(len(message.payload), len(data))


class BareTransportTests(SynchronousTestCase):
    """
    The BARE form.
    """

    def test_specification(self) -> None:
        """
        The examples of the specification.
        """
        tcp = (1, b"127.0.0.1:4000")
        for version, onward, return_, payload, encoded in (
            (
                1,
                ((0, b"echo"),),
                ((0, b"app"),),
                b"\x0cHello Ockam!",
                "0101 00046563686f 01 0003617070 0d 0c48656c6c6f204f636b616d21",
            ),
            (2, ONWARD, RETURN, b"", "02 01 00066f6e77617264 01 000672657475726e 00 00"),
            (1, (tcp,), (), b"", "01 01 010e3132372e302e302e313a34303030 00 00"),
            (
                1,
                (tcp, (0, b"printer")),
                ((1, b"127.0.0.1:3000"),),
                b"hello",
                """01 02 010e3132372e302e302e313a34303030 00077072696e746572
                01 010e3132372e302e302e313a33303030 05 68656c6c6f""",
            ),
        ):
            self.assertEqual(encodeBareTransport(onward, return_, payload, version), unhex(encoded))
            self.assertEqual(decodeBareTransport(unhex(encoded)), (onward, return_, payload))

    def test_tracing(self) -> None:
        """
        A tracing context may follow in both versions; in version 2 at least
        its place must be there.
        """
        base = unhex("01 00066f6e77617264 01 000672657475726e 00")
        for head, tail in (("01", "01027b7d"), ("01", "00"), ("01", ""), ("02", "01027b7d"), ("02", "00")):
            self.assertEqual(decodeBareTransport(unhex(head) + base + unhex(tail)), (ONWARD, RETURN, b""))
        for head, tail in (
            ("02", ""),
            ("01", "02"),
            ("01", "0000"),
            ("02", "01"),
            ("02", "0103ff"),
            ("03", "00"),
            ("00", ""),
        ):
            self.assertRaises(DecodeError, decodeBareTransport, unhex(head) + base + unhex(tail))

    def test_bounds(self) -> None:
        """
        The bounds of routes hold here too, before anything is allocated.
        """
        self.assertRaises(EncodeError, encodeBareTransport, [(0, b"a")] * 33, (), b"")
        self.assertRaises(EncodeError, encodeBareTransport, (), [(0, b"a" * 256)], b"")
        self.assertRaises(EncodeError, encodeBareTransport, (), (), b"", 3)
        for encoded in (
            "01 21" + "0000" * 33 + "00 00",
            "01 ffffffffffffffffff01",
            "01 01 00 8002" + "61" * 256 + "00 00",
            "",
        ):
            self.assertRaises(DecodeError, decodeBareTransport, unhex(encoded))

    @fuzz
    @given(shortRoutes, shortRoutes, st.binary(max_size=300), st.sampled_from([1, 2]))
    def test_oracle(
        self, onward: messages.WireRoute, return_: messages.WireRoute, payload: bytes, version: int
    ) -> None:
        """
        Encoding agrees with pybare, and decoding gives back what was encoded.
        """
        encoded = encodeBareTransport(onward, return_, payload, version)
        tail = b"\x00" if version == 2 else b""
        self.assertEqual(
            encoded, bytes((version,)) + packed(onward) + packed(return_) + oracle.Data(payload).pack() + tail
        )
        self.assertEqual(decodeBareTransport(encoded), (onward, return_, payload))
        self.assertEqual(decodeBareTransport(memoryview(encoded)), (onward, return_, payload))
