"""
What a registrant and a relay service say to each other (spec portals, section
8.2): the request is the wanted name, the reply the name that was given.  Both
are a BARE string; what follows it is room for extensions.  And what a relay
tells its neighbours unasked, where they are known to understand it.
"""

from __future__ import annotations

from attrs import frozen

from ockam_twisted.errors import EncodeError
from ockam_twisted.wire import bare

#: The longest name there may be, in bytes of UTF-8.
MAX_NAME = 1024


def encodeRegistration(name: str, extension: bytes = b"") -> bytes:
    """
    Encode a registration, or the reply to one.

    @raise EncodeError: The name is longer than L{MAX_NAME}.
    """
    encoded = bare.string(name)
    if len(encoded) > MAX_NAME + 2:
        raise EncodeError(f"a relay name has at most {MAX_NAME} bytes")
    return encoded + extension


def decodeRegistration(body: bytes | memoryview) -> tuple[str, bytes]:
    """
    Decode a registration, or the reply to one.

    @return: The name, which may be any text, and what follows it.
    @raise DecodeError: There is no name, or it is longer than L{MAX_NAME}.
    """
    reader = bare.Reader(body)
    name = reader.readString(MAX_NAME)
    return name, reader.rest()


#: Begins every notice: nobody else says so (C{docs/relay-extension.rst}).
NOTICE = b"otw1"

#: The kinds of notices: I send to an address of yours; I am about to stop;
#: what is behind an address is gone, or has come.
SENDING, LEAVING, GONE, COME = 1, 2, 3, 4

#: The longest address in a notice.
_MAX_ADDRESS = 255


@frozen
class Notice:
    """
    What a relay of ours and its neighbours tell each other, unproven.

    @ivar kind: L{SENDING}, L{LEAVING}, L{GONE} or L{COME}.
    @ivar address: The address at the relay that it is about; empty for
        L{LEAVING}.
    """

    kind: int
    address: bytes = b""


def encodeNotice(notice: Notice) -> bytes:
    """
    Encode a notice.
    """
    return b"".join((NOTICE, bytes((notice.kind,)), bare.data(notice.address)))


def decodeNotice(body: bytes | memoryview) -> Notice | None:
    """
    Decode a notice; more may follow it in later versions.

    @return: L{None} if it is none, or of an unknown kind.
    @raise DecodeError: It is damaged.
    """
    head = len(NOTICE)
    if bytes(body[:head]) != NOTICE or len(body) <= head or not SENDING <= body[head] <= COME:
        return None
    return Notice(body[head], bytes(bare.Reader(body[head + 1 :]).readData(_MAX_ADDRESS)))
