"""
Tests for L{ockam_twisted.identity.trust}.
"""

from __future__ import annotations

from attrs import define
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import (
    AllTrust,
    AnyTrust,
    TrustCredential,
    TrustEveryone,
    TrustIdentifier,
    TrustIdentifiers,
    isForAnybody,
)
from ockam_twisted.interfaces import ITrustPolicy

A, B, C = (Identifier.fromDigest(bytes([n]) * 32) for n in range(3))


@implementer(ITrustPolicy)
@define
class Asked:
    """
    Notes that it was asked.
    """

    times: int = 0

    def accepts(self, identifier: Identifier) -> bool:
        """
        No.
        """
        self.times += 1
        return False


class TrustTests(SynchronousTestCase):
    """
    Each policy.
    """

    def test_interface(self) -> None:
        """
        All provide what they say.
        """
        one = TrustIdentifier(A)
        for policy in (one, TrustEveryone(), TrustIdentifiers([A]), AllTrust(one), AnyTrust(one)):
            self.assertTrue(verifyObject(ITrustPolicy, policy))

    def test_accepts(self) -> None:
        """
        Each accepts whom it should and nobody else.
        """
        for policy, accepted in (
            (TrustEveryone(), [A, B, C]),
            (TrustIdentifier(A), [A]),
            (TrustIdentifiers([A, B]), [A, B]),
            (TrustIdentifiers([]), []),
            (AllTrust(TrustIdentifiers([A, B]), TrustIdentifiers([B, C])), [B]),
            (AnyTrust(TrustIdentifier(A), TrustIdentifier(C)), [A, C]),
            (AnyTrust(), []),
            (AnyTrust(AllTrust(TrustEveryone(), TrustIdentifier(A)), TrustIdentifier(B)), [A, B]),
        ):
            self.assertEqual([i for i in (A, B, C) if policy.accepts(i)], accepted)

    def test_shortCircuit(self) -> None:
        """
        No policy is asked after the decision has been made.
        """
        last = Asked()
        self.assertTrue(AnyTrust(TrustEveryone(), last).accepts(A))
        self.assertFalse(AllTrust(TrustIdentifier(B), last).accepts(A))
        self.assertEqual(last.times, 0)

    def test_forAnybody(self) -> None:
        """
        It can be told which policies let everybody in.
        """
        one, everyone = TrustIdentifier(A), TrustEveryone()
        for policy in (everyone, AnyTrust(one, everyone), AllTrust(everyone, AnyTrust(everyone))):
            self.assertTrue(isForAnybody(policy))
        for policy in (one, TrustIdentifiers([A]), AnyTrust(), AnyTrust(one), AllTrust(everyone, one)):
            self.assertFalse(isForAnybody(policy))
        # Who that is, is asked of an authority.
        self.assertFalse(isForAnybody(TrustCredential(A)))
