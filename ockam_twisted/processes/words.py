"""
What the processes of a relay say to one another.  Pure.

Both sides are the same version of the same program, so that there is nothing
to negotiate.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.wire import cbor


class Word(IntEnum):
    """
    In packets between the first process and another one.
    """

    #: First to other: maxFrame, budget, highest number of a process.
    SETTINGS = 0
    #: A link to another process, whose number this is; the descriptor.
    LINK = 1
    #: An accepted connection: its number, its family, what has been read; the
    #: descriptor.
    CONNECTION = 2
    #: A relay name: serial number, address, forward route, number of the
    #: process that it leads to, who is there.
    NAME = 3
    #: A relay name that nobody is behind any more: its address.
    NO_NAME = 4
    #: Drain and end.
    STOP = 5
    #: Say that you live.
    PING = 6

    #: Other to first: links may be made.
    READY = 16
    #: A connection has ended: its number.
    ENDED = 17
    #: A name is known: its serial number.
    KNOWN = 18
    #: A log event, as JSON: L{ockam_twisted.ops.records.asJSON}.
    LOG = 19
    #: I live.
    PONG = 20
    #: A connection of mine sends to a name: both addresses; is it over?
    SENDS = 21


class Told(IntEnum):
    """
    In frames of a link, each about an address.
    """

    #: This connection is mine: who is at the other end, for people.
    MINE = 0
    #: Say when it is gone.
    WATCH = 1
    #: It is gone.
    GONE = 2
    #: What goes there waits here: send no more.
    FULL = 3
    #: There is room again.
    ROOM = 4
    #: So many bytes have left since the last time.
    PROGRESS = 5
    #: Who keeps it full has to end.
    CLEAR = 6
    #: End it: at once?  And why?
    END = 7
    #: The numbers of flows that begin there were taken back.
    FORGET = 8


#: The first byte of a frame of a link: a message, a flow, what is L{Told}.
MESSAGE, FLOW, ASKED_FLOW, TOLD = 2, 3, 4, 1


def packet(word: Word, *values: Any) -> bytes:
    """
    Write one.
    """
    return cbor.encode([int(word), *values])


def unpack(data: bytes) -> list[Any]:
    """
    Read one.

    @raise DecodeError: It is none.
    """
    values: list[Any] = cbor.decode(data)
    return values


def route(values: Sequence[Sequence[Any]]) -> Route:
    """
    A route as it was sent.
    """
    return Route(Address(kind, value) for kind, value in values)


def told(what: Told, address: Address, *values: Any) -> bytes:
    """
    The body of a frame that says something about an address.
    """
    return bytes((TOLD,)) + cbor.encode([int(what), address, *values])
