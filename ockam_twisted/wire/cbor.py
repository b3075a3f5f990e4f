"""
The subset of CBOR that Ockam speaks (spec messaging, section 1.1).

What we emit is what the reference implementation emits: definite lengths and
shortest-form heads.  We accept nothing else: an indefinite length, a head
longer than it has to be, or a count above what is left of the input is a
L{DecodeError}.  No count allocates anything before the items are there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

from ockam_twisted.errors import DecodeError, EncodeError

UINT, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)

FALSE = b"\xf4"
TRUE = b"\xf5"
NULL = b"\xf6"

#: How deep arrays and maps may be nested.
MAX_DEPTH = 16

#: How many items a value may have, and how many may be skipped.
MAX_ITEMS = 10000

MAX_UINT = 2**64 - 1


def head(major: int, n: int) -> bytes:
    """
    The shortest head of major type C{major} with argument C{n}.

    @raise EncodeError: C{n} is negative or has more than 64 bits.
    """
    if n < 24:
        if n < 0:
            raise EncodeError("a CBOR head has no negative argument")
        return bytes((major << 5 | n,))
    if n < 0x100:
        return bytes((major << 5 | 24, n))
    if n < 0x10000:
        return bytes((major << 5 | 25,)) + n.to_bytes(2, "big")
    if n < 0x100000000:
        return bytes((major << 5 | 26,)) + n.to_bytes(4, "big")
    if n <= MAX_UINT:
        return bytes((major << 5 | 27,)) + n.to_bytes(8, "big")
    raise EncodeError("a CBOR integer has at most 64 bits")


def uint(n: int) -> bytes:
    """
    An unsigned integer.

    @raise EncodeError: C{n} is negative or has more than 64 bits.
    """
    return head(UINT, n)


def byteString(b: bytes) -> bytes:
    """
    A byte string.
    """
    return head(BYTES, len(b)) + b


def textString(s: str) -> bytes:
    """
    A text string.

    @raise EncodeError: The text has no UTF-8 form (a lone surrogate).
    """
    try:
        encoded = s.encode("utf-8")
    except UnicodeEncodeError:
        raise EncodeError("a text has no UTF-8 form") from None
    return head(TEXT, len(encoded)) + encoded


def arrayHead(n: int) -> bytes:
    """
    What precedes the C{n} items of an array.
    """
    return head(ARRAY, n)


def mapHead(n: int) -> bytes:
    """
    What precedes the C{n} pairs of a map.
    """
    return head(MAP, n)


def encode(value: Any) -> bytes:
    """
    Encode a control-plane value: L{None}, C{bool}, C{int}, C{float} (as 64
    bits), C{bytes}, C{str}, lists and tuples (also named ones), and dicts in
    the order they are in.

    @raise EncodeError: Anything else, an integer of more than 64 bits, or
        more than L{MAX_DEPTH} levels.
    """
    pieces: list[bytes] = []
    _encode(value, pieces, MAX_DEPTH)
    return b"".join(pieces)


def _encode(value: Any, pieces: list[bytes], depth: int) -> None:
    if value is None:
        pieces.append(NULL)
    elif isinstance(value, bool):
        pieces.append(TRUE if value else FALSE)
    elif isinstance(value, int):
        pieces.append(head(UINT, value) if value >= 0 else head(NEGATIVE, -1 - value))
    elif isinstance(value, (bytes, bytearray, memoryview)):
        pieces.append(byteString(bytes(value)))
    elif isinstance(value, str):
        pieces.append(textString(value))
    elif isinstance(value, float):
        pieces.append(b"\xfb" + struct.pack(">d", value))
    elif isinstance(value, (list, tuple, dict)):
        if depth == 0:
            raise EncodeError("a value is nested too deeply")
        items: Iterable[Any] = value
        if isinstance(value, dict):
            pieces.append(mapHead(len(value)))
            items = (part for pair in value.items() for part in pair)
        else:
            pieces.append(arrayHead(len(value)))
        for item in items:
            _encode(item, pieces, depth - 1)
    else:
        raise EncodeError(f"a {type(value).__name__} has no CBOR form")


class Reader:
    """
    Reads items one after the other from C{data[position:end]}.

    Every method raises L{DecodeError} if what comes next is not what it
    reads, and then leaves the reader of no further use.

    @ivar position: The offset of what comes next.
    """

    __slots__ = ("_data", "_end", "_skippable", "position")

    def __init__(
        self, data: bytes | memoryview, position: int = 0, end: int | None = None, skippable: int = MAX_ITEMS
    ) -> None:
        """
        @param data: What to read from; contiguous bytes.
        @param position: Where to begin.
        @param end: Where to stop, not beyond the end of C{data}.
        @param skippable: How many items L{skip} may read in all.
        """
        self._data = data
        self._skippable = skippable
        self._end = len(data) if end is None else end
        self.position = position

    @property
    def atEnd(self) -> bool:
        """
        Is nothing left?
        """
        return self.position >= self._end

    @property
    def major(self) -> int:
        """
        The major type of what comes next.
        """
        return self._initial() >> 5

    def expectEnd(self) -> None:
        """
        Raise L{DecodeError} if something is left.
        """
        if self.position < self._end:
            raise DecodeError("bytes follow the end of a message")

    def _initial(self) -> int:
        """
        @return: The next byte, which stays.
        """
        if self.position >= self._end:
            raise DecodeError("a message ends early")
        return self._data[self.position]

    def _head(self) -> tuple[int, int, int]:
        """
        @return: Major type, additional information, argument.
        """
        initial = self._initial()
        position = self.position + 1
        info = initial & 0x1F
        if info < 24:
            self.position = position
            return initial >> 5, info, info
        if info > 27:
            raise DecodeError("a CBOR head is of indefinite length or reserved")
        size = 1 << (info - 24)
        stop = position + size
        if stop > self._end:
            raise DecodeError("a message ends early")
        argument = int.from_bytes(self._data[position:stop], "big")
        major = initial >> 5
        # For floats the argument is the number itself, in the size it came.
        if major != SIMPLE and argument < (24 if size == 1 else 1 << (4 * size)):
            raise DecodeError("a CBOR head is longer than it has to be")
        self.position = stop
        return major, info, argument

    def _argument(self, wanted: int, what: str) -> int:
        major, _, argument = self._head()
        if major != wanted:
            raise DecodeError(f"not {what}")
        return argument

    def readUint(self, maximum: int = MAX_UINT) -> int:
        """
        Read an unsigned integer of at most C{maximum}.
        """
        n = self._argument(UINT, "an unsigned integer")
        if n > maximum:
            raise DecodeError(f"a number is greater than {maximum}")
        return n

    def _read(self, size: int, maximum: int) -> bytes:
        if size > maximum:
            raise DecodeError(f"a string is longer than {maximum} bytes")
        start = self.position
        stop = start + size
        if stop > self._end:
            raise DecodeError("a message ends early")
        self.position = stop
        return bytes(self._data[start:stop])

    def readBytes(self, maximum: int) -> bytes:
        """
        Read a byte string of at most C{maximum} bytes.
        """
        return self._read(self._argument(BYTES, "a byte string"), maximum)

    def readText(self, maximum: int) -> str:
        """
        Read a text string of at most C{maximum} bytes of UTF-8.
        """
        return self._text(self._argument(TEXT, "a text string"), maximum)

    def _text(self, size: int, maximum: int) -> str:
        try:
            return self._read(size, maximum).decode("utf-8")
        except UnicodeDecodeError:
            raise DecodeError("a text string is not UTF-8") from None

    def _count(self, n: int, maximum: int, size: int) -> int:
        # Each item takes a byte at least, so that no count promises more
        # than there is.
        if n > maximum or n * size > self._end - self.position:
            raise DecodeError("an array or map has too many items")
        return n

    def readArrayHead(self, maximum: int) -> int:
        """
        Read the head of an array.

        @return: How many items follow, at most C{maximum}.
        """
        return self._count(self._argument(ARRAY, "an array"), maximum, 1)

    def readMapHead(self, maximum: int) -> int:
        """
        Read the head of a map.

        @return: How many pairs follow, at most C{maximum}.
        """
        return self._count(self._argument(MAP, "a map"), maximum, 2)

    def readBool(self) -> bool:
        """
        Read a boolean.
        """
        initial = self._initial()
        if initial not in (0xF4, 0xF5):
            raise DecodeError("not a boolean")
        self.position += 1
        return initial == 0xF5

    def readNull(self) -> bool:
        """
        Read a null, if that is what comes next.

        @return: Whether it was.
        """
        if self._initial() != 0xF6:
            return False
        self.position += 1
        return True

    def skip(self, depth: int = MAX_DEPTH) -> None:
        """
        Read one item of any kind, with at most C{depth} levels of arrays,
        maps and tags, and forget it.  Each item in it counts, since each
        takes time.
        """
        levels: list[int] = []  # How many items are still to come, per level.
        while True:
            self._skippable -= 1
            if self._skippable < 0:
                raise DecodeError("there are too many items to skip")
            major, info, argument = self._head()
            if major in (BYTES, TEXT):
                if argument > self._end - self.position:
                    raise DecodeError("a message ends early")
                self.position += argument
            elif major in (ARRAY, MAP, TAG):
                if len(levels) >= depth:
                    raise DecodeError("a value is nested too deeply")
                size = 2 if major == MAP else 1
                levels.append(1 if major == TAG else size * self._count(argument, argument, size))
            elif major == SIMPLE and info == 24 and argument < 32:
                raise DecodeError("a CBOR head is longer than it has to be")
            while levels and levels[-1] == 0:
                levels.pop()
            if not levels:
                return
            levels[-1] -= 1

    def readValue(self, maximum_items: int = MAX_ITEMS, depth: int = MAX_DEPTH) -> Any:
        """
        Read one item as L{decode} has it.

        @param maximum_items: How many items there may be in it, itself and
            keys included.
        @param depth: How many levels of arrays and maps there may be.
        """
        return self._value([maximum_items], depth)

    def _value(self, budget: list[int], depth: int) -> Any:
        budget[0] -= 1
        if budget[0] < 0:
            raise DecodeError("a value has too many items")
        major, info, argument = self._head()
        if major == UINT:
            return argument
        if major == NEGATIVE:
            return -1 - argument
        if major == BYTES:
            return self._read(argument, argument)
        if major == TEXT:
            return self._text(argument, argument)
        if major == ARRAY or major == MAP:
            if depth == 0:
                raise DecodeError("a value is nested too deeply")
            self._count(argument, budget[0], 2 if major == MAP else 1)
            if major == ARRAY:
                return [self._value(budget, depth - 1) for _ in range(argument)]
            pairs: dict[int | str | bytes, Any] = {}
            for _ in range(argument):
                key = self._value(budget, 0)
                # Not bool or float: True and 1.0 are the key 1 to a dict.
                if type(key) not in (int, str, bytes):
                    raise DecodeError("a map key is no integer or string")
                if key in pairs:
                    raise DecodeError("a map has a key twice")
                pairs[key] = self._value(budget, depth - 1)
            return pairs
        if major == SIMPLE:
            if info in _SIMPLE:
                return _SIMPLE[info]
            if info in _FLOATS:
                layout, size = _FLOATS[info]
                (number,) = struct.unpack(layout, argument.to_bytes(size, "big"))
                return number
        raise DecodeError("a CBOR tag or simple value is not expected")


_SIMPLE = {20: False, 21: True, 22: None}
_FLOATS = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}


def decode(data: bytes | memoryview, maximum_items: int = MAX_ITEMS, depth: int = MAX_DEPTH) -> Any:
    """
    Decode the one value that C{data} is, as what L{encode} takes; arrays
    become lists.  For control-plane values.

    @param maximum_items: How many items there may be in all, keys included.
    @param depth: How many levels of arrays and maps there may be.
    @raise DecodeError: It is none, or it is out of bounds, has a tag, a key
        twice or a key other than an integer or string, or bytes follow it.
    """
    reader = Reader(data)
    value = reader.readValue(maximum_items, depth)
    reader.expectEnd()
    return value
