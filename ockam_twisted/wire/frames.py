"""
How messages are cut out of a TCP stream (spec messaging, sections 6.1, 6.2):
one version byte, then frames of a 32-bit big-endian length and a body.
"""

from __future__ import annotations

from ockam_twisted.errors import DecodeError, EncodeError, FrameTooLarge, RemoteProtocolError, VersionMismatch

#: What each side sends first, once.
VERSION = b"\x01"

#: The largest body the protocol knows, in bytes.
MAX_FRAME = 16 * 1024 * 1024


def encodeFrame(body: bytes) -> bytes:
    """
    Put the length in front of C{body}.

    @raise EncodeError: The body is empty or larger than L{MAX_FRAME}.
    """
    size = len(body)
    if not 0 < size <= MAX_FRAME:
        raise EncodeError(f"a frame has 1 to {MAX_FRAME} bytes, not {size}")
    return size.to_bytes(4, "big") + body


class FrameDecoder:
    """
    Finds the frames in a stream that arrives in chunks of any size, in time
    linear in what arrives and holding no more than what arrived.

    @ivar failure: Why the stream cannot be read on, once that is so.
    """

    __slots__ = ("_held", "_maximum", "_needed", "_started", "failure")

    def __init__(self, maximum: int = MAX_FRAME) -> None:
        """
        @param maximum: The largest body to accept, in bytes.
        """
        self.failure: RemoteProtocolError | None = None
        self._maximum = maximum
        self._started = False
        # A frame of which a part has arrived, from its length on, and the
        # size it will have, which counts once the length is there.
        self._held: bytes | bytearray = b""
        self._needed = 4

    @property
    def pending(self) -> int:
        """
        How many bytes of an unfinished frame are held.
        """
        return len(self._held)

    def feed(self, data: bytes) -> list[tuple[bytes, int, int]]:
        """
        Take the next chunk.

        @return: Buffer, start and end of each body that is now complete.  The
            buffer is C{data} itself for all but a body that began earlier.
            If L{failure} is set, these are the last ones.
        """
        frames: list[tuple[bytes, int, int]] = []
        if self.failure is not None or not data:
            return frames
        position = 0
        if not self._started:
            if data[0] != VERSION[0]:
                error = VersionMismatch(f"the first byte is {data[0]}, not the protocol version {VERSION[0]}")
                error.found = data[0]
                self._fail(error)
                return frames
            self._started = True
            position = 1
        if self._held:
            position = self._resume(data, position, frames)
            if self._held or self.failure is not None:
                return frames
        size = len(data)
        maximum = self._maximum
        while size - position >= 4:
            length = int.from_bytes(data[position : position + 4], "big")
            if not 0 < length <= maximum:
                self._refuse(length)
                return frames
            stop = position + 4 + length
            if stop > size:
                self._needed = 4 + length
                break
            frames.append((data, position + 4, stop))
            position = stop
        if position < size:
            self._held = data[position:]
        return frames

    def _resume(self, data: bytes, position: int, frames: list[tuple[bytes, int, int]]) -> int:
        """
        Add to the frame that is held, up to its end.

        @return: How far C{data} is used up.
        """
        missing = 4 - len(self._held)
        if missing > 0:
            head = self._held + data[position : position + missing]
            position = min(position + missing, len(data))
            self._held = head
            if len(head) < 4:
                return position
            length = int.from_bytes(head, "big")
            if not 0 < length <= self._maximum:
                self._refuse(length)
                return position
            self._needed = 4 + length
        held = self._held
        stop = position + self._needed - len(held)
        if stop > len(data):
            if position < len(data):
                # The third piece at the latest: from here on grow in place.
                self._held = bytearray(held) if isinstance(held, bytes) else held
                self._held += data[position:] if position else data
            return len(data)
        # A bytearray takes the last piece in place too, then is copied once.
        held += data[position:stop]
        frames.append((bytes(held), 4, self._needed))
        self._held = b""
        return stop

    def _refuse(self, length: int) -> None:
        if length:
            self._fail(FrameTooLarge(f"a frame of {length} bytes is announced, at most {self._maximum} are accepted"))
        else:
            self._fail(DecodeError("a frame is empty"))

    def _fail(self, failure: RemoteProtocolError) -> None:
        self.failure = failure
        self._held = b""
