"""
Transport messages in datagrams (spec messaging, section 7, as newer nodes have
it): each part says which one of how many it is, and they come in any order.

C{[version, number, index, total, payload]} in CBOR.  Nothing is acknowledged:
a message of which a part is lost is lost.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from ockam_twisted.errors import DecodeError, EncodeError
from ockam_twisted.wire import cbor

#: What is sent; what comes is not looked at.
VERSION = 1

#: Bytes of a message in one part, but for the last one: with what is around it
#: a datagram has 508 at most, which get through everywhere, and are as much as the Rust
#: implementation reads.
PART = 493

#: Parts of one message, at most.
MAX_PARTS = 65535

#: Seconds in which all parts of a message have to come, and how many unfinished
#: messages of a peer there may be.
PATIENCE, MAX_UNFINISHED = 5.0, 32

#: So many numbers of messages that were finished lately are remembered: their parts
#: may come twice.
_REMEMBERED = 256


def split(number: int, message: bytes) -> Iterator[bytes]:
    """
    Make the datagrams of a message.

    @param number: Of the message; only its last 16 bits count.
    @raise EncodeError: It is too long.
    """
    total = max(1, -(-len(message) // PART))
    if total > MAX_PARTS:
        raise EncodeError(f"a message has more than {MAX_PARTS} parts")
    head = cbor.arrayHead(5) + cbor.uint(VERSION) + cbor.uint(number & 0xFFFF)
    for index in range(total):
        part = message[index * PART : (index + 1) * PART]
        yield b"".join((head, cbor.uint(index), cbor.uint(total), cbor.byteString(part)))


def readPart(datagram: bytes) -> tuple[int, int, int, bytes]:
    """
    @return: Number of the message, index of the part, how many there are, and
        what is in it.
    @raise DecodeError: It is no part of a message.
    """
    reader = cbor.Reader(datagram)
    if reader.readArrayHead(5) != 5:
        raise DecodeError("a datagram is not of five items")
    reader.readUint(0xFF)
    number, index, total = reader.readUint(0xFFFF), reader.readUint(0xFFFF), reader.readUint(MAX_PARTS)
    part = reader.readBytes(len(datagram))
    reader.expectEnd()
    if index >= total:
        raise DecodeError("a datagram is of a part that there is not")
    return number, index, total, bytes(part)


class _Unfinished:
    """
    A message of which parts are missing.
    """

    __slots__ = ("missing", "parts", "since", "size")

    def __init__(self, total: int, now: float) -> None:
        self.parts: dict[int, bytes] = {}
        self.missing = total
        self.since = now
        self.size = 0


class Reassembly:
    """
    Puts the messages of one peer together.

    @ivar lost: How many messages were given up.
    """

    def __init__(self, maximum: int) -> None:
        """
        @param maximum: Bytes of a message; and of all unfinished ones twice as
            many.
        """
        self.lost = 0
        self._maximum = maximum
        self._unfinished: OrderedDict[int, _Unfinished] = OrderedDict()
        self._size = 0
        self._finished: OrderedDict[int, None] = OrderedDict()

    def add(self, datagram: bytes, now: float) -> bytes | None:
        """
        One more datagram has come.

        @param now: Seconds, of any clock that does not go back.
        @return: A message, if that makes it whole.
        @raise DecodeError: It is none that could be a part.
        """
        number, index, total, part = readPart(datagram)
        if number in self._finished:
            return None
        if total == 1:
            self._finish(number)
            return part
        unfinished = self._unfinished.get(number)
        if unfinished is None or now - unfinished.since > PATIENCE:
            if unfinished is not None:
                self._giveUp(number)
            # However short the parts are, they are not cheaper.
            if total * PART > self._maximum + PART:
                raise DecodeError("a message in datagrams is too long")
            unfinished = self._begin(number, total, now)
        if index in unfinished.parts or unfinished.missing + len(unfinished.parts) != total:
            return None
        unfinished.parts[index] = part
        unfinished.missing -= 1
        unfinished.size += len(part)
        self._size += len(part)
        if unfinished.size > self._maximum:
            self._giveUp(number)
            raise DecodeError("a message in datagrams is too long")
        if unfinished.missing:
            while self._size > 2 * self._maximum:
                self._giveUp(next(iter(self._unfinished)))
            return None
        self._forget(number)
        self._finish(number)
        return b"".join(unfinished.parts[each] for each in range(total))

    def _begin(self, number: int, total: int, now: float) -> _Unfinished:
        while self._unfinished:
            oldest, its = next(iter(self._unfinished.items()))
            if len(self._unfinished) < MAX_UNFINISHED and now - its.since <= PATIENCE:
                break
            self._giveUp(oldest)
        unfinished = self._unfinished[number] = _Unfinished(total, now)
        return unfinished

    def _finish(self, number: int) -> None:
        self._finished[number] = None
        if len(self._finished) > _REMEMBERED:
            self._finished.popitem(last=False)

    def _giveUp(self, number: int) -> None:
        self.lost += 1
        self._forget(number)

    def _forget(self, number: int) -> None:
        self._size -= self._unfinished.pop(number).size
