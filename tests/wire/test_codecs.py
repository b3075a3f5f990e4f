"""
Tests for L{ockam_twisted.wire.codecs}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError
from ockam_twisted.wire.codecs import BARE, CBOR
from ockam_twisted.wire.messages import encodeBareTransport, encodeTransport

routes = st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=40)), max_size=4)


class CodecTests(SynchronousTestCase):
    """
    Tests for the two forms.
    """

    @given(routes, routes, st.binary(max_size=400))
    def test_whole(self, onward: list[tuple[int, bytes]], back: list[tuple[int, bytes]], payload: bytes) -> None:
        """
        In pieces it is the same as in one, and it can be read.
        """
        for codec, whole in ((BARE, encodeBareTransport), (CBOR, encodeTransport)):
            data = codec.prefix(onward, back) + codec.head(len(payload)) + payload + codec.tail
            self.assertEqual(data, whole(onward, back, payload))
            message = codec.decode(data)
            self.assertEqual(
                (list(message.onward_route), list(message.return_route), bytes(message.payload)),
                (onward, back, payload),
            )

    @given(st.binary(max_size=100))
    def test_garbage(self, data: bytes) -> None:
        """
        What cannot be read is an error of ours.
        """
        for codec in (BARE, CBOR):
            try:
                codec.decode(data)
            except DecodeError:
                pass
