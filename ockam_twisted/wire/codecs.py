"""
The two forms of a transport message (spec messaging, section 5): CBOR, over
TCP and UDP, and BARE, over WebSocket, Unix sockets, Bluetooth and streams.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve, frozen

from ockam_twisted.wire import bare
from ockam_twisted.wire.messages import (
    TRANSPORT_TAIL,
    AnyRoute,
    TransportMessage,
    decodeBareTransport,
    decodeTransport,
    encodeBareTransport,
    payloadHead,
    transportPrefix,
)


@frozen
class Codec:
    """
    One form of a transport message: C{prefix + head + payload + tail}.

    @ivar name: What it is called.
    @ivar prefix: Encodes what comes before the payload and is the same for
        all messages with these two routes, onward and return; raises
        C{EncodeError} if one is out of bounds.
    @ivar head: Encodes the length of the payload, bytes.
    @ivar tail: What comes after it.
    @ivar decode: Decodes a whole message; raises C{DecodeError}.
    @ivar isOrdered: Do the carriers that it is for keep all messages, and
        their order?
    @ivar isPatient: Do they keep them for somebody who is away, so that silence
        says nothing?
    """

    name: str
    prefix: Callable[[AnyRoute, AnyRoute], bytes]
    head: Callable[[int], bytes]
    tail: bytes
    decode: Callable[[bytes], TransportMessage]
    isOrdered: bool = True
    isPatient: bool = False


def _barePrefix(onward: AnyRoute, return_: AnyRoute) -> bytes:
    # Without the length of its payload, which is none.
    return encodeBareTransport(onward, return_, b"")[:-1]


#: Spec messaging, section 5.1.
CBOR = Codec("CBOR", transportPrefix, payloadHead, TRANSPORT_TAIL, lambda data: decodeTransport(data, 0, len(data)))

#: The same over datagrams, which may be lost (spec messaging, section 7).
DATAGRAMS = evolve(CBOR, isOrdered=False)

#: Spec messaging, section 5.2; version 1, without a tracing context.
BARE = Codec("BARE", _barePrefix, bare.varint, b"", decodeBareTransport)

#: The same through a broker, which keeps them.
PATIENT = evolve(BARE, isPatient=True)
