"""
How many names there may be, and what both sides say about a registration
beyond the name (design, section 5).  Pure.
"""

from __future__ import annotations

from attrs import frozen

#: What follows the name when both sides are ours: this, and a byte of flags.
EXTENSION = b"otw1"

#: Forward over the connection that my channel's handshake came over.
DIRECT = 1

#: Tell me what there is to tell (L{ockam_twisted.relays.notices}).
NOTIFY = 2


@frozen
class RelayQuotas:
    """
    How many names there may be.

    @ivar perIdentity: That belong to one identity.
    @ivar perHost: That one source address (for IPv6: a /64) has taken, other
        than names that are identifiers.
    @ivar perConnection: That lead to one connection.
    @ivar total: In all, other than names that are identifiers.
    @ivar forgotten: Seconds after which a name not used is free again.
    """

    perIdentity: int = 4
    perHost: int = 16
    perConnection: int = 16
    total: int = 10_000
    forgotten: int = 30 * 24 * 3600


def extensionFlags(extension: bytes) -> int:
    """
    @return: The flags in what follows the name; 0 if the other side is none
        of ours.
    """
    return extension[len(EXTENSION)] if extension.startswith(EXTENSION) and len(extension) > len(EXTENSION) else 0
