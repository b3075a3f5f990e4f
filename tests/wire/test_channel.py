"""
Tests for L{ockam_twisted.wire.channel}.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError
from ockam_twisted.wire import cbor
from ockam_twisted.wire.channel import (
    BUNDLE_HEAD,
    CLOSE,
    MAX_BUNDLED,
    PLAINTEXT_TAIL,
    READS_BUNDLES,
    ChannelClose,
    ChannelPayload,
    ChannelRefresh,
    bundleBounds,
    decodeChannelMessage,
    encodeBundle,
    encodeRefresh,
    plaintextBounds,
    plaintextPrefix,
    readPlaintextRoutes,
)
from ockam_twisted.wire.messages import WireRoute, payloadHead

fuzz = settings(deadline=None, max_examples=200, derandomize=True, database=None)

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "vectors.json").read_text())["derived"]
HELLO = bytes.fromhex("8282008183818200446563686f81820043617070460568656c6c6f40")
MESSAGE = ChannelPayload(((0, b"echo"),), ((0, b"app"),), b"\x05hello")

routes = st.lists(st.tuples(st.integers(0, 30), st.binary(max_size=30)), max_size=4).map(tuple)


def encode(onward: WireRoute, return_: WireRoute, payload: bytes) -> bytes:
    """
    Encode the way the data path does.
    """
    return plaintextPrefix(onward, return_) + payloadHead(len(payload)) + payload + PLAINTEXT_TAIL


def piecewise(plaintext: bytes) -> ChannelPayload:
    """
    Decode the way the data path does.
    """
    onward, return_, position = readPlaintextRoutes(plaintext, 0, len(plaintext))
    start, stop = plaintextBounds(plaintext, position, len(plaintext))
    return ChannelPayload(onward, return_, plaintext[start:stop])


class ChannelMessageTests(SynchronousTestCase):
    """
    The plaintext of records.
    """

    def test_specification(self) -> None:
        """
        The example of the specification.
        """
        self.assertEqual(encode(((0, b"echo"),), ((0, b"app"),), b"\x05hello"), HELLO)
        self.assertEqual(decodeChannelMessage(HELLO), MESSAGE)
        self.assertEqual(decodeChannelMessage(memoryview(HELLO)), MESSAGE)
        self.assertEqual(piecewise(HELLO), MESSAGE)

    def test_vectors(self) -> None:
        """
        Every plaintext of the vectors decodes, and encodes to the same bytes.
        """
        kinds = set()
        for direction in ("records_initiator_to_responder", "records_responder_to_initiator"):
            for record in VECTORS[direction]["records"]:
                plaintext = bytes.fromhex(record["plaintext"])
                message = decodeChannelMessage(plaintext)
                kinds.add(type(message))
                if isinstance(message, ChannelPayload):
                    encoded = encode(message.onward_route, message.return_route, message.payload)
                elif isinstance(message, ChannelRefresh):
                    self.assertIsInstance(cbor2.loads(message.change_history), list)
                    credentials = [cbor2.dumps(item) for item in cbor2.loads(message.credentials)]
                    encoded = encodeRefresh(message.change_history, credentials)
                else:
                    encoded = CLOSE
                self.assertEqual(encoded, plaintext)
        self.assertEqual(kinds, {ChannelPayload, ChannelRefresh, ChannelClose})

    def test_extensions(self) -> None:
        """
        Newer fields and padding, at each level, are tolerated.
        """
        hop: Any = [[[0, b"echo"]], [[0, b"app"]], b"\x05hello"]
        for plaintext in (
            [[0, [hop]], b"", 7],
            [[0, [[*hop, {1: 2}]]], b""],
            [[0, [hop, "more"]], b""],
            [[0, [hop]], b"p" * 100],
            [[0, [hop]], b"p" * 70000],
            [[0, [[[[0, b"echo", None]], *hop[1:]]]], b""],
        ):
            self.assertEqual(decodeChannelMessage(cbor2.dumps(plaintext)), MESSAGE)
        self.assertEqual(decodeChannelMessage(cbor2.dumps([[2, [1]], b"pad", 1])), ChannelClose())
        refresh = decodeChannelMessage(cbor2.dumps([[1, [[[1], [[2]], 3], 4]], b"pad", 1]))
        self.assertEqual(refresh, ChannelRefresh(cbor2.dumps([1]), cbor2.dumps([[2]])))

    def test_tooMuchToSkip(self) -> None:
        """
        What newer fields hold is bounded for a record as a whole, and so is what a refresh holds.
        """
        many = [0] * (cbor.MAX_ITEMS // 2)
        hop: Any = [[[0, b"echo"]], [[0, b"app"]], b"\x05hello"]
        self.assertEqual(decodeChannelMessage(cbor2.dumps([[0, [[*hop, *many], *many]], b""])), MESSAGE)
        for plaintext in (
            [[0, [[*hop, *many], *many]], b"", 0],
            [[2, many], b"", *many, 0],
            [[1, [[many], [many]]], b""],
        ):
            self.assertRaises(DecodeError, decodeChannelMessage, cbor2.dumps(plaintext))

    def test_paddingPiecewise(self) -> None:
        """
        Padding of any size is accepted where messages are read piece by
        piece, but nothing behind it, nor none at all.
        """
        for size in (1, 23, 24, 100, 300, 70000):
            padding = payloadHead(size) + bytes(size)
            self.assertEqual(piecewise(HELLO[:-1] + padding), MESSAGE)
            self.assertRaises(DecodeError, piecewise, HELLO[:-1] + padding + b"\x00")
            self.assertRaises(DecodeError, piecewise, HELLO[:-1] + padding[:-1])
        self.assertRaises(DecodeError, piecewise, HELLO[:-1])
        self.assertRaises(DecodeError, piecewise, HELLO[:-1] + b"\x60")
        self.assertRaises(DecodeError, piecewise, HELLO + b"\x40")

    def test_onlyPlainFormPiecewise(self) -> None:
        """
        Other plaintexts are not read piece by piece.
        """
        for plaintext in (CLOSE, b"", HELLO[:4], b"\x83" + HELLO[1:] + b"\x00"):
            self.assertRaises(DecodeError, piecewise, plaintext)
        self.assertRaises(DecodeError, readPlaintextRoutes, HELLO, 0, 4)

    def test_refused(self) -> None:
        """
        Unknown variants, missing fields and other types are refused.
        """
        hop: Any = [[[0, b"echo"]], [[0, b"app"]], b""]
        for plaintext in (
            [[9, []], b""],
            [[3, [hop]], b""],
            [[0, [hop]]],
            [[0, [hop]], "padding"],
            [[0, [hop[:2]]], b""],
            [[0, []], b""],
            [[0, hop], b""],
            [[0, [hop], 1], b""],
            [[0], b""],
            [[0, [[*hop[:2], "text"]]], b""],
            [[1, [[[1]]]], b""],
            [[1, [[1, []]]], b""],
            [[1, [[[1], b"x"]]], b""],
            [[2, 0], b""],
            [[-1, []], b""],
            {0: 1},
            7,
        ):
            self.assertRaises(DecodeError, decodeChannelMessage, cbor2.dumps(plaintext))
        for encoded in (b"", CLOSE + b"\x00", HELLO + b"\x00", b"\x9f\x82\x02\x80\x40\xff", CLOSE[:-1]):
            self.assertRaises(DecodeError, decodeChannelMessage, encoded)

    def test_close(self) -> None:
        """
        Close is the five bytes of the specification.
        """
        self.assertEqual(CLOSE.hex(), "8282028040")
        self.assertEqual(decodeChannelMessage(CLOSE), ChannelClose())

    @fuzz
    @given(routes, routes, st.one_of(st.binary(max_size=300), st.just(bytes(70000))))
    def test_oracle(self, onward: WireRoute, return_: WireRoute, payload: bytes) -> None:
        """
        Encoding agrees with cbor2, and both ways of decoding give back what
        was encoded.
        """
        encoded = encode(onward, return_, payload)
        self.assertEqual(encoded, cbor2.dumps([[0, [[onward, return_, payload]]], b""]))
        message = ChannelPayload(onward, return_, payload)
        self.assertEqual(decodeChannelMessage(encoded), message)
        self.assertEqual(piecewise(encoded), message)

    @fuzz
    @given(st.sampled_from([HELLO, CLOSE, encodeRefresh(b"\x81\x01", [b"\x81\x02", b"\x80"])]), st.data())
    def test_mutated(self, plaintext: bytes, data: st.DataObject) -> None:
        """
        With bytes changed or an end missing it is a message or our error, and
        what is read piece by piece is what is read whole.
        """
        mutant = bytearray(plaintext)
        for _ in range(data.draw(st.integers(1, 2))):
            mutant[data.draw(st.integers(0, len(mutant) - 1))] = data.draw(st.integers(0, 255))
        cut = bytes(mutant[: len(mutant) - data.draw(st.sampled_from([0, 0, 1, 3]))])
        whole: object = None
        try:
            whole = decodeChannelMessage(cut)
        except DecodeError:
            self.assertRaises(DecodeError, piecewise, cut)
        try:
            self.assertEqual(piecewise(cut), whole)
        except DecodeError:
            self.assertFalse(isinstance(whole, ChannelPayload) and cut.startswith(HELLO[:5]))

    @fuzz
    @given(st.binary(max_size=60))
    def test_arbitrary(self, data: bytes) -> None:
        """
        Any bytes are a message or our error.
        """
        for prefix in (b"", b"\x82\x82\x00\x81\x83", b"\x82\x82\x01\x81\x82", b"\x82\x82\x02"):
            try:
                message = decodeChannelMessage(prefix + data)
            except DecodeError:
                continue
            self.assertIsInstance(message, (ChannelPayload, ChannelRefresh, ChannelClose))


class BundleTests(SynchronousTestCase):
    """
    Several user messages in one plaintext.
    """

    def test_example(self) -> None:
        """
        As C{docs/bundles.rst} has it.
        """
        nothing = bytes.fromhex("8282008183818200446563686f804040")
        bundle = encodeBundle((HELLO, nothing))
        self.assertEqual(bundle, bytes.fromhex("82820382581c") + HELLO + b"\x50" + nothing + b"\x40")
        self.assertEqual(cbor2.loads(bundle), [[3, [HELLO, nothing]], b""])
        self.assertEqual(cbor2.loads(HELLO[:-1] + READS_BUNDLES)[1], b"otwb")

    @fuzz
    @given(st.lists(st.binary(min_size=9, max_size=300), min_size=1, max_size=40))
    def test_roundTrip(self, plaintexts: list[bytes]) -> None:
        """
        What was put together comes apart again, and a reader of CBOR sees the same.
        """
        bundle = encodeBundle(plaintexts)
        self.assertEqual([bundle[start:end] for start, end in bundleBounds(bundle)], plaintexts)
        self.assertEqual(cbor2.loads(bundle), [[3, plaintexts], b""])

    @fuzz
    @given(st.binary(max_size=100), st.integers(0, 60))
    def test_damaged(self, garbage: bytes, cut: int) -> None:
        """
        Anything else is refused, or has its parts within it, one after the other.
        """
        whole = encodeBundle((HELLO, HELLO))
        for damaged in (
            BUNDLE_HEAD + garbage,
            whole[:cut] if cut >= 3 else whole + garbage + b"x",
            whole[:20] + garbage,
        ):
            try:
                bounds = bundleBounds(damaged)
            except DecodeError:
                continue
            before = 0
            for start, end in bounds:
                self.assertTrue(before < start < end < len(damaged))
                before = end

    def test_tooMany(self) -> None:
        """
        A count that there is no room for costs nothing; nor do messages that cannot be any.
        """
        self.assertRaises(DecodeError, bundleBounds, encodeBundle((HELLO,) * (MAX_BUNDLED + 1)))
        self.assertEqual(len(bundleBounds(encodeBundle((HELLO,) * MAX_BUNDLED))), MAX_BUNDLED)
        self.assertRaises(DecodeError, bundleBounds, encodeBundle((HELLO, HELLO[:8])))
        self.assertRaises(DecodeError, bundleBounds, BUNDLE_HEAD + b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff" + b"\x40")

    def test_notAlone(self) -> None:
        """
        It is nothing that the general decoder knows: there are none within others.
        """
        self.assertRaises(DecodeError, decodeChannelMessage, encodeBundle((HELLO,)))
