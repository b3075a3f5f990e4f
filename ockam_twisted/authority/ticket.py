"""
The ticket: what one person gives another so that two nodes pair (design,
section 4).

It is one word of letters and digits, so that a double click selects all of
it: C{ockamticket1}, then in base 32 (RFC 4648, lower case, no padding) a CBOR
map and the first four bytes of its SHA-256::

    0 ways to the worker, binary MultiAddrs    1 the peer's identifier
    2 what else the peer must be, a policy     3 the authority's identifier
    4 ways to the authority                    5 the one-time code
    6 when it expires, epoch seconds           7 more outlets of the service

Each of field 7 is a map of fields 0 to 2.  Who does not know that field reads
a ticket for the first outlet.
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

#: Characters of a ticket, outlets in it, ways to each, bytes of a way.
MAX_TEXT = 8192
MAX_OUTLETS = 16
MAX_WAYS = 16
MAX_WAY = 1024

_CHECKSUM = 4

#: What programs print before one.
_LABEL = "ticket:"


@frozen
class PinnedOutlet:
    """
    One outlet that a ticket leads to.

    @ivar ways: To its worker.
    @ivar peer: Who must be there; L{None} if C{policy} says it.
    @ivar policy: What it must be, by the word of the authority.
    """

    ways: tuple[MultiAddr, ...]
    peer: Identifier | None
    policy: str = ""

    def __str__(self) -> str:
        return str(self.peer) if self.peer else f"an outlet with {self.policy}"

    def fields(self) -> dict[int, object]:
        """
        What is encoded.
        """
        return {
            0: [way.bytes for way in self.ways],
            1: self.peer and self.peer.digest,
            2: self.policy or None,
        }


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
    @ivar others: More outlets of the same service, attested or vouched for by
        the same C{authority}.
    """

    ways: tuple[MultiAddr, ...]
    peer: Identifier | None
    expiresAt: int
    code: bytes | None = field(default=None, repr=False)
    policy: str = ""
    authority: Identifier | None = None
    authorityWays: tuple[MultiAddr, ...] = ()
    others: tuple[PinnedOutlet, ...] = ()

    @property
    def outlets(self) -> tuple[PinnedOutlet, ...]:
        """
        Every outlet that it leads to; none if it only makes a member.
        """
        if self.peer is None and not self.policy:
            return ()
        return PinnedOutlet(self.ways, self.peer, self.policy), *self.others

    @property
    def isOfRelay(self) -> bool:
        """
        Does it lead to the listener of a relay, and not to an outlet?
        """
        return self.peer is not None and bool(self.ways) and self.ways[0].text.endswith("/secure/api")

    def encode(self) -> bytes:
        """
        Its CBOR.
        """
        fields = {
            **PinnedOutlet(self.ways, self.peer, self.policy).fields(),
            3: self.authority and self.authority.digest,
            4: [way.bytes for way in self.authorityWays] or None,
            5: self.code,
            6: self.expiresAt,
            7: [_present(each.fields()) for each in self.others] or None,
        }
        return cbor.encode(_present(fields))

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
        Read one, as it is or where it was printed: what comes before it and
        after it does not matter, nor does white space inside of it (a line
        that was wrapped).

        @raise InvalidTicket: It is none, or damaged; the text says which.
        """
        words = [word.removeprefix(_LABEL) for word in text.lower().split()]
        if not "".join(words).startswith(PREFIX):
            words = words[next((i for i, word in enumerate(words) if word.startswith(PREFIX)), len(words)) :]
        if not words:
            raise InvalidTicket(f"this is no ticket: a ticket begins with {PREFIX}")
        if not "".join(words).startswith(PREFIX + VERSION):
            raise InvalidTicket("this ticket is of another version: use a newer program")
        data = _unwrap(words)
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
                7: _readOutlets,
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
            fields.get(7, ()),
        )
        for outlet in ticket.outlets:
            if outlet.policy:
                Policy.fromText(outlet.policy)
        if ticket.peer is None and (ticket.authority is None or bool(ticket.ways) != bool(ticket.policy)):
            raise DecodeError("a ticket does not say who must be there")
        if ticket.others and (ticket.authority is None or not ticket.outlets):
            raise DecodeError("a ticket for several outlets is not of an authority")
        if any(bool(each.peer) == bool(each.policy) or not each.ways for each in ticket.others):
            raise DecodeError("a ticket does not say of each outlet who must be there")
        if any("secure" not in (name for name, _ in way) for each in ticket.outlets for way in each.ways):
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


def _unwrap(words: list[str]) -> bytes:
    """
    @param words: The first ones are pieces of a ticket.
    @return: What it is the text of; its checksum says how many they are.
    @raise InvalidTicket: They are no whole ticket.
    """
    text = ""
    for word in words:
        text += word
        if len(text) > MAX_TEXT:
            raise InvalidTicket("this ticket is too long")
        body = text.removeprefix(PREFIX + VERSION)
        try:
            whole = base64.b32decode(body.upper() + "=" * (-len(body) % 8))
        except (binascii.Error, ValueError):
            continue
        data, checksum = whole[:-_CHECKSUM], whole[-_CHECKSUM:]
        if data and hashlib.sha256(data).digest()[:_CHECKSUM] == checksum:
            return data
    raise InvalidTicket("this ticket is damaged: is it all there?")


def _exactly(reader: cbor.Reader, size: int) -> bytes:
    data = reader.readBytes(size)
    if len(data) != size:
        raise DecodeError(f"not {size} bytes")
    return data


def _readIdentifier(reader: cbor.Reader) -> Identifier:
    return Identifier.fromDigest(_exactly(reader, 32))


def _readWays(reader: cbor.Reader) -> tuple[MultiAddr, ...]:
    return tuple(MultiAddr.fromBytes(reader.readBytes(MAX_WAY)) for _ in range(reader.readArrayHead(MAX_WAYS)))


def _readOutlets(reader: cbor.Reader) -> tuple[PinnedOutlet, ...]:
    return tuple(_readOutlet(reader) for _ in range(reader.readArrayHead(MAX_OUTLETS - 1)))


def _readOutlet(reader: cbor.Reader) -> PinnedOutlet:
    fields = readFields(reader, {0: _readWays, 1: _readIdentifier, 2: lambda reader: reader.readText(MAX_TEXT)})
    return PinnedOutlet(fields.get(0, ()), fields.get(1), fields.get(2, ""))


def _present(fields: dict[int, object]) -> dict[int, object]:
    return {key: value for key, value in fields.items() if value is not None}
