"""
Trust policies: who may complete a handshake with us (spec identity, section
6.15).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import field, frozen
from zope.interface import implementer

from ockam_twisted.identity.credentials import Attributes, VerifiedCredential
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.interfaces import ITrustPolicy


class _ByIdentifier:
    """
    Policies that are about nothing but who it is.
    """

    def accepts(self, identifier: Identifier) -> bool:
        """
        See L{ITrustPolicy.accepts}.
        """
        raise NotImplementedError

    def confirms(self, identifier: Identifier, credential: VerifiedCredential | None) -> bool:
        """
        Nothing else counts.
        """
        return self.accepts(identifier)


@implementer(ITrustPolicy)
@frozen
class TrustEveryone(_ByIdentifier):
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
class TrustIdentifier(_ByIdentifier):
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
class TrustIdentifiers(_ByIdentifier):
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

    def confirms(self, identifier: Identifier, credential: VerifiedCredential | None) -> bool:
        """
        Does every policy confirm it?
        """
        return all(policy.confirms(identifier, credential) for policy in self.policies)


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

    def confirms(self, identifier: Identifier, credential: VerifiedCredential | None) -> bool:
        """
        Does a policy that accepts it confirm it?
        """
        return any(policy.accepts(identifier) and policy.confirms(identifier, credential) for policy in self.policies)


@implementer(ITrustPolicy)
@frozen
class TrustCredential:
    """
    Accept who has a credential of an authority; whoever that is.

    @ivar demand: Says of a subject and its attributes why it is refused;
        L{None}: any credential will do.
    """

    authority: Identifier
    demand: Callable[[Identifier, Attributes], str] | None = None

    def accepts(self, identifier: Identifier) -> bool:
        """
        It cannot be told yet.
        """
        return True

    def confirms(self, identifier: Identifier, credential: VerifiedCredential | None) -> bool:
        """
        Is its credential one that we ask for?
        """
        if credential is None or credential.authority != self.authority or credential.subject != identifier:
            return False
        return self.demand is None or not self.demand(identifier, credential.attributes)


@implementer(ITrustPolicy)
@frozen
class TrustIf(_ByIdentifier):
    """
    Accept whom a function accepts, now.
    """

    decide: Callable[[Identifier], bool]

    def accepts(self, identifier: Identifier) -> bool:
        """
        Ask it.
        """
        return self.decide(identifier)


def isForAnybody(trust: ITrustPolicy) -> bool:
    """
    Does a policy accept whoever proves an identity, whichever that is?
    """
    if isinstance(trust, AnyTrust):
        return any(map(isForAnybody, trust.policies))
    if isinstance(trust, AllTrust):
        return all(map(isForAnybody, trust.policies))
    return isinstance(trust, TrustEveryone)
