"""
Tests for L{ockam_twisted.wire.frames}.
"""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError, EncodeError, FrameTooLarge, VersionMismatch
from ockam_twisted.wire.frames import MAX_FRAME, VERSION, FrameDecoder, encodeFrame

fuzz = settings(deadline=None, max_examples=200, derandomize=True, database=None)


def feed(decoder: FrameDecoder, chunks: Iterable[bytes]) -> list[bytes]:
    """
    Feed C{chunks} and cut out the bodies.
    """
    return [buffer[start:end] for chunk in chunks for buffer, start, end in decoder.feed(chunk)]


def drip(data: bytes) -> list[bytes]:
    """
    Cut C{data} into single bytes.
    """
    return [data[index : index + 1] for index in range(len(data))]


class FrameTests(SynchronousTestCase):
    """
    Cutting a stream into frames.
    """

    def test_encode(self) -> None:
        """
        A frame is its length and the body; the protocol's limit holds.
        """
        self.assertEqual(encodeFrame(bytes.fromhex("84808040627b7d")), bytes.fromhex("0000000784808040627b7d"))
        self.assertEqual(len(encodeFrame(bytes(MAX_FRAME))), MAX_FRAME + 4)
        self.assertRaises(EncodeError, encodeFrame, b"")
        self.assertRaises(EncodeError, encodeFrame, bytes(MAX_FRAME + 1))

    def test_wholeFramesAreNotCopied(self) -> None:
        """
        Whole frames are given as offsets into the very chunk they came in.
        """
        data = VERSION + encodeFrame(b"one") + encodeFrame(b"two")
        frames = FrameDecoder(100).feed(data)
        self.assertEqual([(start, end) for _, start, end in frames], [(5, 8), (12, 15)])
        self.assertTrue(all(buffer is data for buffer, _, _ in frames))

    def test_anyChunking(self) -> None:
        """
        Two cuts at any two places make no difference.
        """
        bodies = [b"a", b"bcd" * 3, b"e" * 5]
        data = VERSION + b"".join(map(encodeFrame, bodies))
        for first in range(len(data) + 1):
            for second in range(first, len(data) + 1):
                decoder = FrameDecoder(100)
                self.assertEqual(feed(decoder, [data[:first], data[first:second], data[second:]]), bodies)
                self.assertEqual((decoder.pending, decoder.failure), (0, None))

    @fuzz
    @given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.binary(max_size=9), st.data())
    def test_randomChunking(self, bodies: list[bytes], rest: bytes, data: st.DataObject) -> None:
        """
        Whatever the chunks, also single bytes, the result is that of one
        chunk: frames, failure, and what is held.
        """
        stream = VERSION + b"".join(map(encodeFrame, bodies)) + rest
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
        chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        whole, random, single = FrameDecoder(64), FrameDecoder(64), FrameDecoder(64)
        expected = feed(whole, [stream])
        self.assertEqual(expected[: len(bodies)], bodies)
        for decoder, pieces in ((random, chunks), (single, drip(stream))):
            self.assertEqual(feed(decoder, pieces), expected)
            self.assertEqual(repr(decoder.failure), repr(whole.failure))
            self.assertEqual(decoder.pending, whole.pending)

    def test_version(self) -> None:
        """
        A stream of another version fails at its first byte.
        """
        for first in (b"\x00", b"\x02", b"G"):
            decoder = FrameDecoder(100)
            self.assertEqual(decoder.feed(first + encodeFrame(b"x")), [])
            self.assertIsInstance(decoder.failure, VersionMismatch)

    def test_tooLarge(self) -> None:
        """
        The limit itself is allowed; one more fails as soon as the length is
        there, whole or in pieces.
        """
        self.assertEqual(feed(FrameDecoder(5), [VERSION + encodeFrame(b"12345")]), [b"12345"])
        head = VERSION + b"\x00\x00\x00\x06"
        for chunks in ([head], drip(head)):
            decoder = FrameDecoder(5)
            feed(decoder, chunks[:-1])
            self.assertIsNone(decoder.failure)
            feed(decoder, chunks[-1:])
            self.assertIsInstance(decoder.failure, FrameTooLarge)
            self.assertEqual(decoder.pending, 0)

    def test_empty(self) -> None:
        """
        An empty frame fails, whole or in pieces.
        """
        data = VERSION + bytes(4)
        for chunks in ([data], drip(data)):
            decoder = FrameDecoder(5)
            feed(decoder, chunks)
            self.assertIs(type(decoder.failure), DecodeError)

    def test_goodFramesBeforeFailure(self) -> None:
        """
        Frames before a bad one in the same chunk are not lost; after it there
        are none.
        """
        decoder = FrameDecoder(5)
        self.assertEqual(
            feed(decoder, [VERSION + b"\x00\x00", b"\x00\x01a" + encodeFrame(b"b") + b"\xff" * 9]), [b"a", b"b"]
        )
        failure = decoder.failure
        self.assertIsInstance(failure, FrameTooLarge)
        self.assertEqual(decoder.feed(encodeFrame(b"c")), [])
        self.assertIs(decoder.failure, failure)

    def test_holdsOnlyWhatArrived(self) -> None:
        """
        The announced length of a frame allocates nothing.
        """
        decoder = FrameDecoder(MAX_FRAME)
        decoder.feed(VERSION + MAX_FRAME.to_bytes(4, "big") + b"abc")
        self.assertEqual(decoder.pending, 7)
        decoder.feed(b"def")
        self.assertEqual(decoder.pending, 10)
        self.assertLess(decoder._held.__sizeof__(), 200)

    def test_growsInPlace(self) -> None:
        """
        A frame in many pieces is gathered in one growing buffer, so that the
        time is linear in what arrives, and given out once as bytes.
        """
        body = bytes(range(256)) * 1024
        decoder = FrameDecoder(MAX_FRAME)
        data = VERSION + encodeFrame(body)
        feed(decoder, [data[:10], data[10:20]])
        held = decoder._held
        self.assertIsInstance(held, bytearray)
        for position in range(20, len(data) - 7, 7):
            self.assertEqual(decoder.feed(data[position : position + 7]), [])
            self.assertIs(decoder._held, held)
        ((buffer, start, end),) = decoder.feed(data[5 + decoder.pending - 4 :] + encodeFrame(b"next"))[:1]
        self.assertIsInstance(buffer, bytes)
        self.assertEqual(buffer[start:end], body)
        self.assertEqual(decoder.pending, 0)

    @fuzz
    @given(st.lists(st.binary(max_size=20), max_size=8))
    def test_arbitrary(self, chunks: list[bytes]) -> None:
        """
        On any bytes nothing is raised, and what is held stays below a frame.
        """
        decoder = FrameDecoder(64)
        for chunk in [VERSION, *chunks]:
            for buffer, start, end in decoder.feed(chunk):
                self.assertTrue(4 <= start < end <= len(buffer))
            self.assertLess(decoder.pending, 68)
