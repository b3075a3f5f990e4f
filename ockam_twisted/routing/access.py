"""
Access control of mailboxes (spec messaging, section 12.1).
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from zope.interface import implementer

from ockam_twisted.interfaces import IAccessControl
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.local_message import LocalMessage


@implementer(IAccessControl)
class AllowAll:
    """
    Every message passes.
    """

    def permits(self, message: LocalMessage) -> bool:
        """
        See L{IAccessControl.permits}.
        """
        return True


@implementer(IAccessControl)
class DenyAll:
    """
    No message passes.
    """

    def permits(self, message: LocalMessage) -> bool:
        """
        See L{IAccessControl.permits}.
        """
        return False


@implementer(IAccessControl)
class AllowSources:
    """
    Messages truly sent from one of some workers of this node pass.
    """

    def __init__(self, *sources: Address) -> None:
        self._sources = frozenset(sources)

    def permits(self, message: LocalMessage) -> bool:
        """
        See L{IAccessControl.permits}.
        """
        return message.source in self._sources


@implementer(IAccessControl)
class AllowOnward:
    """
    Messages whose next hop is one of some addresses pass; later hops are not
    looked at.
    """

    def __init__(self, *addresses: Address) -> None:
        self._addresses = frozenset(addresses)

    def permits(self, message: LocalMessage) -> bool:
        """
        See L{IAccessControl.permits}.
        """
        return bool(message.onward_route) and message.onward_route[0] in self._addresses


@implementer(IAccessControl)
class AllowIdentities:
    """
    Messages pass that came through a secure channel of one of some
    identities.

    @param identifiers: In text; L{None} for any, so long as it is proven.
    """

    def __init__(self, identifiers: Container[str] | None = None) -> None:
        self._identifiers = identifiers

    def permits(self, message: LocalMessage) -> bool:
        """
        See L{IAccessControl.permits}.
        """
        peer = message.peerIdentity
        return peer is not None and (self._identifiers is None or peer.identifier in self._identifiers)


@implementer(IAccessControl)
class AllOf:
    """
    Messages pass that every one of some decisions lets pass.
    """

    def __init__(self, decisions: Iterable[IAccessControl]) -> None:
        self._decisions = tuple(decisions)

    def permits(self, message: LocalMessage) -> bool:
        """
        See L{IAccessControl.permits}.
        """
        return all(decision.permits(message) for decision in self._decisions)
