"""
Records of a stream through Apache Kafka: what the value of each one is, in both
topics of a stream.

C{kind (u8) | connection (16 bytes) | incarnation (8 bytes) | number (u64) | message}

A connection is made by who dials, and named by him at random.  Its messages are
numbered from 0 in each direction: what comes again is known by that, and so is
what is missing.  An incarnation is one run of who writes, random too, so that what
an earlier run has left in a topic is known for what it is.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

from attrs import frozen

from ockam_twisted.errors import DecodeError, EncodeError

#: Bytes of a connection's name, and of that of an incarnation.
CONNECTION, INCARNATION = 16, 8

#: Bytes of a message.  Brokers take records of 1 MiB unless told otherwise.
MAX_MESSAGE = 512 * 1024

_head = Struct(f">B{CONNECTION}s{INCARNATION}sQ")


class Kind(IntEnum):
    """
    What a record is.
    """

    #: A message of a connection.
    MESSAGE = 1
    #: The connection is over, or was never there.
    END = 2
    #: Who listens has begun: it knows no connection of other incarnations.
    HELLO = 3


#: The connection of a record that is of none.
NONE = bytes(CONNECTION)


@frozen
class Record:
    """
    One record.

    @ivar connection: See the module.
    @ivar incarnation: Of who wrote it.
    @ivar number: Of the message.
    @ivar message: It; empty in other kinds.
    """

    kind: Kind
    connection: bytes
    incarnation: bytes
    number: int = 0
    message: bytes = b""


def encode(record: Record) -> bytes:
    """
    @return: The value of it.
    @raise EncodeError: It is too long.
    """
    if len(record.message) > MAX_MESSAGE:
        raise EncodeError(f"a message over Kafka has at most {MAX_MESSAGE} bytes, not {len(record.message)}")
    return _head.pack(record.kind, record.connection, record.incarnation, record.number) + record.message


def decode(data: bytes) -> Record:
    """
    @raise DecodeError: It is none.
    """
    if not _head.size <= len(data) <= _head.size + MAX_MESSAGE:
        raise DecodeError("a record is out of bounds")
    number, connection, incarnation, count = _head.unpack_from(data)
    try:
        kind = Kind(number)
    except ValueError:
        raise DecodeError(f"there is no kind {number} of records") from None
    message = data[_head.size :]
    if (kind is Kind.MESSAGE) != bool(message):
        raise DecodeError("a record has a message if it is one, and otherwise none")
    return Record(kind, connection, incarnation, count, message)
