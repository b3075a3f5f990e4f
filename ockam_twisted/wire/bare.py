"""
The subset of BARE that Ockam speaks (spec messaging, section 1.2).

Lengths and counts are ULEB128; unlike our CBOR, a ULEB128 that is longer than
it has to be is accepted, since every other implementation does.
"""

from __future__ import annotations

from ockam_twisted.errors import DecodeError, EncodeError

MAX_UINT = 2**64 - 1


def varint(n: int) -> bytes:
    """
    A C{uint}: ULEB128, shortest form, at most 10 bytes.

    @raise EncodeError: C{n} is negative or has more than 64 bits.
    """
    if not 0 <= n <= MAX_UINT:
        raise EncodeError("a BARE uint has at most 64 bits and no sign")
    encoded = bytearray()
    while n >= 0x80:
        encoded.append(n & 0x7F | 0x80)
        n >>= 7
    encoded.append(n)
    return bytes(encoded)


def data(b: bytes) -> bytes:
    """
    A C{data}: length and bytes.
    """
    return varint(len(b)) + b


def string(s: str) -> bytes:
    """
    A C{string}: length and UTF-8.

    @raise EncodeError: The text has no UTF-8 form (a lone surrogate).
    """
    try:
        return data(s.encode("utf-8"))
    except UnicodeEncodeError:
        raise EncodeError("a text has no UTF-8 form") from None


class Reader:
    """
    Reads values one after the other from C{data[position:end]}.

    Every method raises L{DecodeError} if there is no such value.

    @ivar position: The offset of what comes next.
    """

    __slots__ = ("_data", "_end", "position")

    def __init__(self, data: bytes | memoryview, position: int = 0, end: int | None = None) -> None:
        """
        @param data: What to read from; contiguous bytes.
        @param position: Where to begin.
        @param end: Where to stop, not beyond the end of C{data}.
        """
        self._data = data
        self._end = len(data) if end is None else end
        self.position = position

    @property
    def atEnd(self) -> bool:
        """
        Is nothing left?
        """
        return self.position >= self._end

    def expectEnd(self) -> None:
        """
        Raise L{DecodeError} if something is left.
        """
        if self.position < self._end:
            raise DecodeError("bytes follow the end of a message")

    def _take(self, size: int) -> int:
        """
        Go on by C{size} bytes.

        @return: Where they begin.
        """
        start = self.position
        if size > self._end - start:
            raise DecodeError("a message ends early")
        self.position = start + size
        return start

    def readVarint(self, maximum: int = MAX_UINT) -> int:
        """
        Read a C{uint} of at most C{maximum}.
        """
        n = 0
        for index in range(10):
            byte = self._data[self._take(1)]
            if index == 9 and byte != 1:
                break
            n |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if n > maximum:
                    raise DecodeError(f"a number is greater than {maximum}")
                return n
        raise DecodeError("a BARE uint has more than 64 bits")

    def readData(self, maximum: int) -> bytes:
        """
        Read a C{data} of at most C{maximum} bytes.
        """
        size = self.readVarint()
        if size > maximum:
            raise DecodeError(f"a string is longer than {maximum} bytes")
        start = self._take(size)
        return bytes(self._data[start : self.position])

    def readString(self, maximum: int) -> str:
        """
        Read a C{string} of at most C{maximum} bytes of UTF-8.
        """
        try:
            return self.readData(maximum).decode("utf-8")
        except UnicodeDecodeError:
            raise DecodeError("a string is not UTF-8") from None

    def readU8(self) -> int:
        """
        Read a C{u8}.
        """
        return self._data[self._take(1)]

    def readU16(self) -> int:
        """
        Read a C{u16}, which is little endian.
        """
        start = self._take(2)
        return self._data[start] | self._data[start + 1] << 8

    def readBool(self) -> bool:
        """
        Read a C{bool}; any byte but zero is true.
        """
        return self.readU8() != 0

    def readOptional(self) -> bool:
        """
        Read the first byte of an C{optional}.

        @return: Whether a value follows.
        """
        flag = self.readU8()
        if flag > 1:
            raise DecodeError("an optional value begins with neither 0 nor 1")
        return flag == 1

    def rest(self) -> bytes:
        """
        Read all that is left.
        """
        start = self._take(self._end - self.position)
        return bytes(self._data[start : self._end])
