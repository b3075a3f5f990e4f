"""
What two nodes behind NATs say to each other, and to a third one that both can
reach, to find a direct way (spec messaging, section 8).  All of it is CBOR.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from ipaddress import IPv6Address, ip_address

from attrs import frozen

from ockam_twisted.errors import DecodeError, EncodeError
from ockam_twisted.wire import cbor

#: The addresses of the workers that are asked: where one is seen, and for a way.
RENDEZVOUS, NEGOTIATION = b"rendezvous", b"udp"

#: The longest text of an address and a port, and the longest value of a worker's
#: address, bytes.
MAX_PLACE, MAX_WORKER = 64, 64

#: An extension of ours, which others skip: what can be had over the way.
QUIC = 1

#: So many other places one may say that one can be reached at.
MAX_PLACES = 4

#: A public place: address and port.
Place = tuple[str, int]

_PLACE = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15})):([0-9]{1,5})")


def placeText(place: Place) -> str:
    """
    An address and a port, as it is written on the wire.
    """
    host, port = place
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def readPlace(text: str) -> Place:
    """
    Read C{ADDRESS:PORT}.

    @raise DecodeError: It is something else, or no single one can be there.
    """
    match = _PLACE.fullmatch(text)
    if match is None or not 0 < int(match[3]) < 65536:
        raise DecodeError("it is no address with a port")
    host = match[1] or match[2]
    try:
        address = ip_address(host)
    except ValueError:
        raise DecodeError("it is no address with a port") from None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        # Who listens at both families sees the first one so.
        address = address.ipv4_mapped
    if address.is_multicast or address.is_unspecified or address.is_link_local or str(address) == "255.255.255.255":
        raise DecodeError("that is nobody's address")
    return str(address), int(match[3])


# ------------------------------------------------------------ rendezvous --


class Question(Enum):
    """
    What a rendezvous is asked.
    """

    PING = 0
    GET_MY_ADDRESS = 1


def encodeQuestion(question: Question) -> bytes:
    """
    Encode a request to a rendezvous.
    """
    return b"".join((cbor.arrayHead(2), cbor.uint(question.value), cbor.arrayHead(0)))


def _variant(reader: cbor.Reader, last: int) -> int:
    if reader.readArrayHead(2) != 2:
        raise DecodeError("a variant is a pair")
    return reader.readUint(last)


def decodeQuestion(data: bytes | memoryview) -> Question:
    """
    Decode a request to a rendezvous.

    @raise DecodeError: It is none.
    """
    reader = cbor.Reader(data)
    question = Question(_variant(reader, 1))
    reader.readArrayHead(0)
    reader.expectEnd()
    return question


def encodeAnswer(place: Place | None) -> bytes:
    """
    Encode what a rendezvous answers.

    @param place: Where the one who asks is seen; L{None}: that is answered
        which answers a ping.
    """
    if place is None:
        return encodeQuestion(Question.PING)
    return b"".join((cbor.arrayHead(2), cbor.uint(1), cbor.arrayHead(1), cbor.textString(placeText(place))))


def decodeAnswer(data: bytes | memoryview) -> Place | None:
    """
    Decode what a rendezvous answers.

    @return: L{None} if it answers a ping.
    @raise DecodeError: It is no answer.
    """
    reader = cbor.Reader(data)
    place: Place | None = None
    if _variant(reader, 1):
        if reader.readArrayHead(1) != 1:
            raise DecodeError("the answer of a rendezvous is empty")
        place = readPlace(reader.readText(MAX_PLACE))
    else:
        reader.readArrayHead(0)
    reader.expectEnd()
    return place


# ----------------------------------------------------------- negotiation --


@frozen
class Introduction:
    """
    Initiate, or Acknowledge: they look alike.

    @ivar place: Where the one who says it is seen.
    @ivar worker: The value of the local address of its puncture.
    @ivar carries: What it offers beyond that: L{QUIC}, or 0.
    @ivar others: Where else it may be reached, from the same side of a NAT.
    """

    place: Place
    worker: bytes
    carries: int = 0
    others: tuple[Place, ...] = ()


def _byteArray(data: bytes) -> bytes:
    # As the Rust implementation has it: an array of numbers.
    return cbor.arrayHead(len(data)) + b"".join(map(cbor.uint, data))


def _readByteArray(reader: cbor.Reader, maximum: int) -> bytes:
    return bytes(reader.readUint(255) for _ in range(reader.readArrayHead(maximum)))


def encodeIntroduction(introduction: Introduction) -> bytes:
    """
    Encode Initiate or Acknowledge.

    @raise EncodeError: The worker's address is longer than L{MAX_WORKER}.
    """
    if len(introduction.worker) > MAX_WORKER:
        raise EncodeError("the address of a puncture is too long")
    pieces = [cbor.textString(placeText(introduction.place)), _byteArray(introduction.worker)]
    if introduction.carries:
        others = [cbor.textString(placeText(each)) for each in introduction.others[:MAX_PLACES]]
        pieces += [cbor.uint(introduction.carries), cbor.arrayHead(len(others)) + b"".join(others)]
    return cbor.arrayHead(len(pieces)) + b"".join(pieces)


def decodeIntroduction(data: bytes | memoryview) -> Introduction:
    """
    Decode Initiate or Acknowledge; more may follow in later versions.

    @raise DecodeError: It is neither.
    """
    reader = cbor.Reader(data)
    count = reader.readArrayHead(8)
    if count < 2:
        raise DecodeError("an introduction has at least two fields")
    place = readPlace(reader.readText(MAX_PLACE))
    worker = _readByteArray(reader, MAX_WORKER)
    # It goes to where the other says, in the clear: let it be nothing but a name.
    if not re.fullmatch(rb"[0-9A-Za-z_.-]+", worker):
        raise DecodeError("that is no address of a puncture")
    carries = reader.readUint(255) if count > 2 else 0
    number = reader.readArrayHead(MAX_PLACES) if count > 3 else 0
    others = tuple(readPlace(reader.readText(MAX_PLACE)) for _ in range(number))
    for _ in range(count - 4):
        reader.skip()
    reader.expectEnd()
    return Introduction(place, worker, carries, others)


# -------------------------------------------------------------- puncture --

#: The two that open a way and keep it open.  (The third of the specification carries
#: messages: two of ours speak QUIC instead, which loses none.)
PING, PONG = b"\x82\x00\x80", b"\x82\x01\x80"


#: Decodes one kind of message; for tests of hostile input.
DECODERS: tuple[Callable[[bytes], object], ...] = (decodeQuestion, decodeAnswer, decodeIntroduction)
