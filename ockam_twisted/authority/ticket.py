"""
The ticket: what one person gives another so that two nodes pair (design,
section 4).

It is one word of letters and digits, so that a double click selects all of
it: C{ockamticket1}, then in base 32 (RFC 4648, lower case, no padding) a CBOR
map and the first four bytes of its SHA-256::

    0 ways to the worker, binary MultiAddrs    1 the peer's identifier
    2 what else the peer must be, a policy     3 the authority's identifier
    4 ways to the authority                    5 the one-time code
    6 when it expires, epoch seconds
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from attrs import field, frozen

from ockam_twisted.errors import DecodeError, InvalidMultiAddr, InvalidTicket, PolicyError
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.policies.policy import Policy
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.wire import cbor
from ockam_twisted.wire.api import readFields
from ockam_twisted.wire.authority import CODE_SIZE

PREFIX = "ockamticket"
VERSION = "1"

#: Characters of a ticket, ways in it, bytes of each.
MAX_TEXT = 8192
MAX_WAYS = 16
MAX_WAY = 1024

_CHECKSUM = 4


@frozen
class Ticket:
    """
    See the module.

    @ivar ways: To the worker that is to be reached: the outlet, or the
        listener of a relay.
    @ivar peer: Who must be there; L{None} if C{policy} says it, or if the
        ticket is for no more than to become a member of C{authority}.
    @ivar policy: What the peer must be, by the word of C{authority}.
    @ivar authority: Whom the code is for, if not for C{peer}.
    @ivar authorityWays: To the authority's listener.
    @ivar code: The one-time code; L{None} for a ticket that only pins.
    @ivar expiresAt: Epoch seconds.
    """

    ways: tuple[MultiAddr, ...]
    peer: Identifier | None
    expiresAt: int
    code: bytes | None = field(default=None, repr=False)
    policy: str = ""
    authority: Identifier | None = None
    authorityWays: tuple[MultiAddr, ...] = ()

    def encode(self) -> bytes:
        """
        Its CBOR.
        """
        fields = {
            0: [way.bytes for way in self.ways],
            1: self.peer and self.peer.digest,
            2: self.policy or None,
            3: self.authority and self.authority.digest,
            4: [way.bytes for way in self.authorityWays] or None,
            5: self.code,
            6: self.expiresAt,
        }
        return cbor.encode({key: value for key, value in fields.items() if value is not None})

    def __str__(self) -> str:
        data = self.encode()
        whole = data + hashlib.sha256(data).digest()[:_CHECKSUM]
        return PREFIX + VERSION + base64.b32encode(whole).decode("ascii").rstrip("=").lower()

    @property
    def digest(self) -> bytes:
        """
        Tells tickets apart without keeping their codes.
        """
        return hashlib.sha256(self.encode()).digest()

    @property
    def issuer(self) -> Identifier | None:
        """
        Whom the code is for.
        """
        return self.authority or self.peer

    @classmethod
    def fromText(cls, text: str) -> Ticket:
        """
        Read one; white space around and inside of it (a line that was
        wrapped) does not matter.

        @raise InvalidTicket: It is none, or damaged; the text says which.
        """
        word = "".join(text.split())
        if not word.lower().startswith(PREFIX):
            raise InvalidTicket(f"this is no ticket: it begins with {PREFIX}")
        word = word.lower()
        rest = word[len(PREFIX) :]
        if not rest.startswith(VERSION):
            raise InvalidTicket("this ticket is of another version: use a newer program")
        body = rest[len(VERSION) :]
        if len(word) > MAX_TEXT:
            raise InvalidTicket("this ticket is too long")
        try:
            whole = base64.b32decode(body.upper() + "=" * (-len(body) % 8))
        except (binascii.Error, ValueError):
            raise InvalidTicket("this ticket is damaged: is it all there?") from None
        data, checksum = whole[:-_CHECKSUM], whole[-_CHECKSUM:]
        if not data or hashlib.sha256(data).digest()[:_CHECKSUM] != checksum:
            raise InvalidTicket("this ticket is damaged: is it all there?")
        try:
            return cls.decode(data)
        except (DecodeError, InvalidMultiAddr, PolicyError):
            raise InvalidTicket("this ticket cannot be read: was it made by a newer program?") from None

    @classmethod
    def decode(cls, data: bytes) -> Ticket:
        """
        Read what L{encode} has made.

        @raise DecodeError: It is none.
        @raise LocalProtocolError: Something in it is none.
        """
        reader = cbor.Reader(data)
        fields = readFields(
            reader,
            {
                0: _readWays,
                1: _readIdentifier,
                2: lambda reader: reader.readText(MAX_TEXT),
                3: _readIdentifier,
                4: _readWays,
                5: lambda reader: _exactly(reader, CODE_SIZE),
                6: cbor.Reader.readUint,
            },
        )
        reader.expectEnd()
        ticket = cls(
            fields.get(0, ()),
            fields.get(1),
            fields.get(6, 0),
            fields.get(5),
            fields.get(2, ""),
            fields.get(3),
            fields.get(4, ()),
        )
        if ticket.policy:
            Policy.fromText(ticket.policy)
        if ticket.peer is None and (ticket.authority is None or bool(ticket.ways) != bool(ticket.policy)):
            raise DecodeError("a ticket does not say who must be there")
        if any("secure" not in (name for name, _ in way) for way in ticket.ways):
            raise DecodeError("a way in a ticket has no secure channel: nobody there could prove who they are")
        if ticket.authority is not None and not ticket.authorityWays:
            raise DecodeError("a ticket does not say where the authority is")
        if any([*way][-1][0] != "secure" for way in ticket.authorityWays):
            raise DecodeError("a way to the authority does not end with its listener")
        return ticket

    def checkTime(self, now: int) -> None:
        """
        @param now: Epoch seconds.
        @raise InvalidTicket: It has expired.
        """
        if now >= self.expiresAt:
            ago = (now - self.expiresAt) // 60
            since = f"{ago} minutes ago" if ago < 120 else f"{ago // 60} hours ago"
            raise InvalidTicket(f"this ticket has expired {since}: ask for a new one (or is a clock wrong?)")


def _exactly(reader: cbor.Reader, size: int) -> bytes:
    data = reader.readBytes(size)
    if len(data) != size:
        raise DecodeError(f"not {size} bytes")
    return data


def _readIdentifier(reader: cbor.Reader) -> Identifier:
    return Identifier.fromDigest(_exactly(reader, 32))


def _readWays(reader: cbor.Reader) -> tuple[MultiAddr, ...]:
    return tuple(MultiAddr.fromBytes(reader.readBytes(MAX_WAY)) for _ in range(reader.readArrayHead(MAX_WAYS)))
