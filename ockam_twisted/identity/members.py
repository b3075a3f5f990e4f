"""
What an authority keeps of its members and of the enrollment tokens it has
given out (spec identity, section 7.2).
"""

from __future__ import annotations

import hashlib

from attrs import frozen

from ockam_twisted.identity.credentials import Attributes
from ockam_twisted.identity.identifiers import Identifier

#: The attribute whose value says that a member may manage members, and that
#: value.
ROLE, ENROLLER = b"ockam-role", b"enroller"

#: The attribute that names relay names its holder may have, and the one that
#: its holder is an outlet.
RELAY, OUTLET = b"ockam-relay", b"ockam-outlet"

#: Attributes that open doors: granted by explicit option only.
RESERVED = (ROLE, RELAY, OUTLET)


@frozen
class Member:
    """
    Somebody whom an authority knows.

    @ivar attributes: What it has, in ascending order of the keys.
    @ivar added: Epoch seconds.
    @ivar addedBy: How it came: the id of a token, an identifier, or C{config}.
    """

    identifier: Identifier
    attributes: Attributes
    added: int
    addedBy: str

    @property
    def isEnroller(self) -> bool:
        """
        May it manage members?
        """
        return (ROLE, ENROLLER) in self.attributes


@frozen
class Redemption:
    """
    That somebody has redeemed a token.

    @ivar at: Epoch seconds.
    """

    identifier: Identifier
    at: int


@frozen
class EnrollmentToken:
    """
    A one-time code that was given out.  The code itself is not kept.

    @ivar codeHash: Its SHA-256.
    @ivar attributes: What whoever redeems it will have.
    @ivar createdAt: Epoch seconds.
    @ivar expiresAt: Epoch seconds.
    @ivar uses: How many may redeem it.
    @ivar redemptions: Who has.
    @ivar isRevoked: It was taken back.
    @ivar isStartup: It was printed at a start, and the next start replaces
        it.
    """

    codeHash: bytes
    attributes: Attributes
    createdAt: int
    expiresAt: int
    uses: int = 1
    redemptions: tuple[Redemption, ...] = ()
    isRevoked: bool = False
    isStartup: bool = False

    @property
    def id(self) -> str:
        """
        What people call it by.
        """
        return self.codeHash.hex()[:12]

    def isOpen(self, now: int) -> bool:
        """
        Could somebody new redeem it?

        @param now: Epoch seconds.
        """
        return not self.isRevoked and now < self.expiresAt and len(self.redemptions) < self.uses

    def isRedeemedBy(self, identifier: Identifier) -> bool:
        """
        Has it been redeemed by this one?
        """
        return any(each.identifier == identifier for each in self.redemptions)


def hashCode(code: bytes) -> bytes:
    """
    What is kept of a one-time code: it is random, so that no salt is needed.
    """
    return hashlib.sha256(code).digest()
