"""
Members and enrollment tokens in memory, and as rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from ockam_twisted.identity.credentials import Attributes
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.members import EnrollmentToken, Member, Redemption
from ockam_twisted.interfaces import IMemberStore
from ockam_twisted.wire import cbor


@implementer(IMemberStore)
class MemberRecords:
    """
    Everything in memory; writes have been carried out when they return.
    """

    def __init__(self) -> None:
        self._members: dict[Identifier, Member] = {}
        self._tokens: dict[bytes, EnrollmentToken] = {}

    def whenStored(self, what: str | bytes) -> Deferred[None]:
        """
        See L{IMemberStore.whenStored}.
        """
        return succeed(None)

    def members(self) -> Mapping[Identifier, Member]:
        """
        See L{IMemberStore.members}.
        """
        return self._members

    def storeMember(self, member: Member) -> Deferred[None]:
        """
        See L{IMemberStore.storeMember}.
        """
        self._members[member.identifier] = member
        return succeed(None)

    def deleteMember(self, identifier: Identifier) -> Deferred[None]:
        """
        See L{IMemberStore.deleteMember}.
        """
        self._members.pop(identifier, None)
        return succeed(None)

    def tokens(self) -> Mapping[bytes, EnrollmentToken]:
        """
        See L{IMemberStore.tokens}.
        """
        return self._tokens

    def storeToken(self, token: EnrollmentToken) -> Deferred[None]:
        """
        See L{IMemberStore.storeToken}.
        """
        self._tokens[token.codeHash] = token
        return succeed(None)

    def storeRedemption(self, token: EnrollmentToken, member: Member) -> Deferred[None]:
        """
        See L{IMemberStore.storeRedemption}.
        """
        self._tokens[token.codeHash] = token
        self._members[member.identifier] = member
        return succeed(None)

    def deleteTokens(self, codeHashes: Iterable[bytes]) -> Deferred[None]:
        """
        See L{IMemberStore.deleteTokens}.
        """
        for each in codeHashes:
            self._tokens.pop(each, None)
        return succeed(None)


def encodeAttributes(attributes: Attributes) -> bytes:
    """
    Attributes as one value of the database.
    """
    return cbor.encode([each for pair in attributes for each in pair])


def _attributes(data: bytes) -> Attributes:
    flat = cbor.decode(data)
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def memberRow(member: Member) -> tuple[Any, ...]:
    """
    A member as a row.
    """
    return str(member.identifier), encodeAttributes(member.attributes), member.added, member.addedBy


def memberOf(row: tuple[Any, ...]) -> Member:
    """
    A row as a member.
    """
    identifier, attributes, added, addedBy = row
    return Member(Identifier(identifier), _attributes(attributes), added, addedBy)


def tokenRow(token: EnrollmentToken) -> tuple[Any, ...]:
    """
    A token as a row.
    """
    redemptions = cbor.encode([[str(each.identifier), each.at] for each in token.redemptions])
    return (
        token.codeHash,
        encodeAttributes(token.attributes),
        token.createdAt,
        token.expiresAt,
        token.uses,
        redemptions,
        int(token.isRevoked),
        int(token.isStartup),
    )


def tokenOf(row: tuple[Any, ...]) -> EnrollmentToken:
    """
    A row as a token.
    """
    codeHash, attributes, createdAt, expiresAt, uses, redemptions, isRevoked, isStartup = row
    return EnrollmentToken(
        codeHash,
        _attributes(attributes),
        createdAt,
        expiresAt,
        uses,
        tuple(Redemption(Identifier(identifier), at) for identifier, at in cbor.decode(redemptions, 2_000_000)),
        bool(isRevoked),
        bool(isStartup),
    )
