"""
Trust policies: who may complete a handshake with us (spec identity, section
6.15).
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field, frozen
from zope.interface import implementer

from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.interfaces import ITrustPolicy


@implementer(ITrustPolicy)
@frozen
class TrustEveryone:
    """
    Accept whoever proves an identity, whichever that is.
    """

    def accepts(self, identifier: Identifier) -> bool:
        """
        Always.
        """
        return True


@implementer(ITrustPolicy)
@frozen
class TrustIdentifier:
    """
    Accept one.
    """

    identifier: Identifier

    def accepts(self, identifier: Identifier) -> bool:
        """
        Is it that one?
        """
        return identifier == self.identifier


def _identifiers(them: Iterable[Identifier]) -> frozenset[Identifier]:
    return frozenset(them)


@implementer(ITrustPolicy)
@frozen
class TrustIdentifiers:
    """
    Accept several; nobody if there are none.
    """

    identifiers: frozenset[Identifier] = field(converter=_identifiers)

    def accepts(self, identifier: Identifier) -> bool:
        """
        Is it one of them?
        """
        return identifier in self.identifiers


@implementer(ITrustPolicy)
@frozen(init=False)
class AllTrust:
    """
    Accept whom all of several policies accept.
    """

    policies: tuple[ITrustPolicy, ...]

    def __init__(self, first: ITrustPolicy, *others: ITrustPolicy) -> None:
        self.__attrs_init__((first, *others))

    def accepts(self, identifier: Identifier) -> bool:
        """
        Does every policy accept it?  Stops at the first that does not.
        """
        return all(policy.accepts(identifier) for policy in self.policies)


@implementer(ITrustPolicy)
@frozen(init=False)
class AnyTrust:
    """
    Accept whom any of several policies accepts.
    """

    policies: tuple[ITrustPolicy, ...]

    def __init__(self, *policies: ITrustPolicy) -> None:
        self.__attrs_init__(policies)

    def accepts(self, identifier: Identifier) -> bool:
        """
        Does a policy accept it?  Stops at the first that does.
        """
        return any(policy.accepts(identifier) for policy in self.policies)
