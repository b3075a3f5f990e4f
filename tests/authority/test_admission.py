"""
Tests for L{ockam_twisted.authority.admission}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ockam_twisted.authority.admission import Admission, MembersOnly, RelayAdmission, outletDemand
from ockam_twisted.authority.authority import Authority
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.interfaces import IAccessControl, IAdmission
from ockam_twisted.policies.policy import Policy
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage, PeerIdentity
from ockam_twisted.storage.memory import MemoryStore

A, B = Identifier.fromDigest(bytes(32)), Identifier.fromDigest(b"\x01" * 32)
HERE = Address.local("x")
DBA = Policy.fromText("dba")


def peer(attributes: tuple[tuple[bytes, bytes], ...] | None = None, authority: str = "") -> PeerIdentity:
    """
    A as it comes through a channel.
    """
    return PeerIdentity(A, HERE, HERE, attributes, authority)


class AdmissionTests(SynchronousTestCase):
    """
    Who may use one service.
    """

    def setUp(self) -> None:
        self.members = Authority(MemoryStore(), lambda: 1000)

    def test_interfaces(self) -> None:
        """
        It decides about peers, and about messages.
        """
        admission = Admission(DBA, "outlet")
        verifyObject(IAdmission, admission)
        verifyObject(IAccessControl, admission)
        message = LocalMessage(Route((HERE,)), Route(), b"")
        self.assertFalse(admission.permits(message))

    def test_withoutChannel(self) -> None:
        """
        Whoever came without a channel is nobody.
        """
        self.assertIn("secure channel", Admission(None, "outlet").refusal(None))
        self.assertEqual(Admission(None, "outlet").refusal(peer()), "")

    def test_credential(self) -> None:
        """
        Attributes count if attested by the one authority, on this channel.
        """
        admission = Admission(DBA, "outlet", authorities=[str(B)])
        self.assertEqual(admission.refusal(peer(((b"dba", b"true"),), str(B))), "")
        self.assertIn("says no", admission.refusal(peer(((b"dba", b"false"),), str(B))))
        self.assertIn("unbound", admission.refusal(peer(((b"dba", b"true"),), str(A))))
        self.assertIn("unbound", admission.refusal(peer()))

    def test_members(self) -> None:
        """
        What this node knows of its own members comes first: a credential
        cannot say otherwise.
        """
        admission = Admission(DBA, "outlet", self.members, [str(B)])
        self.successResultOf(self.members.addMember(A, ((b"dba", b"false"),), "test"))
        self.assertIn("says no", admission.refusal(peer(((b"dba", b"true"),), str(B))))
        self.successResultOf(self.members.addMember(A, ((b"dba", b"true"),), "test"))
        self.assertEqual(admission.refusal(peer()), "")

    def test_relayNames(self) -> None:
        """
        A member may have any name unless it was granted one; by the word of
        an authority only what it says.
        """
        admission = RelayAdmission(None, "relay", self.members, [str(B)])

        def refusal(name: str, granted: bytes | None, isMember: bool = False) -> str:
            attributes = None if granted is None else ((b"ockam-relay", granted),)
            return admission.refusalOfName(peer(attributes, str(B)), name, isMember)

        self.assertEqual(refusal("blue", None, isMember=True), "")
        self.assertIn("no attribute", refusal("blue", None))
        self.assertEqual(refusal("blue", b"blue"), "")
        self.assertEqual(refusal("blue", b"*"), "")
        self.assertIn("another name", refusal("blue", b"red"))
        self.assertEqual(refusal(str(A), b"red"), "")
        self.assertIn("no attribute", admission.refusalOfName(peer(((b"ockam-relay", b"*"),), str(A)), "blue", False))

    def test_membersOnly(self) -> None:
        """
        Messages of members pass, and of nobody else.
        """
        control = MembersOnly(self.members)
        message = LocalMessage(Route((HERE,)), Route(), b"", (peer(),))
        self.assertFalse(control.permits(message))
        self.successResultOf(self.members.addMember(A, (), "test"))
        self.assertTrue(control.permits(message))
        self.assertFalse(control.permits(LocalMessage(Route((HERE,)), Route(), b"")))

    def test_outletDemand(self) -> None:
        """
        A member that nobody made an outlet is none, whatever the policy says.
        """
        everybody = outletDemand(Policy.fromText("(= subject.has_credential true)"), "outlet")
        self.assertIn("ockam-outlet", everybody(A, ((b"team", b"web"),)))
        self.assertIn("ockam-outlet", everybody(A, ((b"ockam-outlet", b""),)))
        self.assertEqual(everybody(A, ((b"ockam-outlet", b"db"),)), "")
        db = outletDemand(Policy.fromText('(= subject.ockam-outlet "db")'), "outlet")
        self.assertIn("says no", db(A, ((b"ockam-outlet", b"web"),)))
