"""
Tests for L{ockam_twisted.routing.access}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ockam_twisted.interfaces import IAccessControl
from ockam_twisted.routing.access import AllOf, AllowAll, AllowIdentities, AllowOnward, AllowSources, DenyAll
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage, PeerIdentity

A, B, C = map(Address.local, "abc")


def message(identifier: str | None = None) -> LocalMessage:
    """
    A message from A, truly, by way of B to C, which claims to be from B.
    """
    info = () if identifier is None else (PeerIdentity(identifier, A, B),)
    return LocalMessage(Route((B, C)), Route((B,)), b"", info, A)


class AccessTests(SynchronousTestCase):
    """
    Tests for all decisions.
    """

    def test_interface(self) -> None:
        """
        All are L{IAccessControl}.
        """
        for each in (AllowAll(), DenyAll(), AllowSources(), AllowOnward(), AllowIdentities(), AllOf(())):
            self.assertTrue(verifyObject(IAccessControl, each))

    def test_all(self) -> None:
        """
        L{AllowAll} always permits, L{DenyAll} never.
        """
        self.assertTrue(AllowAll().permits(message()))
        self.assertFalse(DenyAll().permits(message()))

    def test_sources(self) -> None:
        """
        L{AllowSources} goes by the true source, not by the return route.
        """
        self.assertTrue(AllowSources(A).permits(message()))
        self.assertFalse(AllowSources(B, C).permits(message()))
        self.assertFalse(AllowSources().permits(message()))

    def test_onward(self) -> None:
        """
        L{AllowOnward} goes by the first hop only.
        """
        self.assertTrue(AllowOnward(A, B).permits(message()))
        self.assertFalse(AllowOnward(C).permits(message()))
        self.assertFalse(AllowOnward(A).permits(LocalMessage(Route(), Route(), b"", (), A)))

    def test_identities(self) -> None:
        """
        L{AllowIdentities} wants a proven identity, of a set if there is one.
        """
        self.assertTrue(AllowIdentities({"I1"}).permits(message("I1")))
        self.assertFalse(AllowIdentities({"I1"}).permits(message("I2")))
        self.assertFalse(AllowIdentities({"I1"}).permits(message()))
        self.assertFalse(AllowIdentities(()).permits(message("I1")))
        self.assertTrue(AllowIdentities().permits(message("I2")))
        self.assertFalse(AllowIdentities().permits(message()))

    def test_changingSet(self) -> None:
        """
        The set may change afterwards.
        """
        members: set[str] = set()
        decision = AllowIdentities(members)
        self.assertFalse(decision.permits(message("I1")))
        members.add("I1")
        self.assertTrue(decision.permits(message("I1")))

    def test_allOf(self) -> None:
        """
        L{AllOf} permits what every one permits.
        """
        self.assertTrue(AllOf((AllowAll(), AllowSources(A))).permits(message()))
        self.assertFalse(AllOf(iter((AllowAll(), DenyAll()))).permits(message()))
        self.assertTrue(AllOf(()).permits(message()))
