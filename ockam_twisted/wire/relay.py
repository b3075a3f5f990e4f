"""
What a registrant and a relay service say to each other (spec portals, section
8.2): the request is the wanted name, the reply the name that was given.  Both
are a BARE string; what follows it is room for extensions.
"""

from __future__ import annotations

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
