"""
Tests for L{ockam_twisted.identity.members}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.members import EnrollmentToken, Member, Redemption, hashCode

A, B = Identifier.fromDigest(bytes(32)), Identifier.fromDigest(b"\x01" * 32)


class MemberTests(SynchronousTestCase):
    """
    What is kept.
    """

    def test_isOpen(self) -> None:
        """
        A token is open until it is used up, expires, or is revoked.
        """
        used = (Redemption(A, 5),)
        self.assertTrue(EnrollmentToken(b"x", (), 0, 10).isOpen(9))
        self.assertFalse(EnrollmentToken(b"x", (), 0, 10).isOpen(10))
        self.assertFalse(EnrollmentToken(b"x", (), 0, 10, 1, used).isOpen(9))
        self.assertTrue(EnrollmentToken(b"x", (), 0, 10, 2, used).isOpen(9))
        self.assertFalse(EnrollmentToken(b"x", (), 0, 10, isRevoked=True).isOpen(9))

    def test_isRedeemedBy(self) -> None:
        """
        It is known who has redeemed it.
        """
        token = EnrollmentToken(b"x", (), 0, 10, 1, (Redemption(A, 5),))
        self.assertTrue(token.isRedeemedBy(A))
        self.assertFalse(token.isRedeemedBy(B))

    def test_isEnroller(self) -> None:
        """
        Only the one value of the one attribute makes an enroller.
        """
        self.assertTrue(Member(A, ((b"ockam-role", b"enroller"),), 0, "").isEnroller)
        self.assertFalse(Member(A, ((b"ockam-role", b"member"), (b"role", b"enroller")), 0, "").isEnroller)

    def test_id(self) -> None:
        """
        The id of a token shows nothing of its code.
        """
        code = bytes(range(32))
        token = EnrollmentToken(hashCode(code), (), 0, 10)
        self.assertEqual(len(token.id), 12)
        self.assertNotIn(code.hex()[:12], token.id)
