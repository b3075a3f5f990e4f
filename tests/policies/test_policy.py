"""
Tests for L{ockam_twisted.policies.policy}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError, PolicyError
from ockam_twisted.policies.policy import HAS_CREDENTIAL, Policy, environment
from tests.policies.vectors import VECTORS


class PolicyTests(SynchronousTestCase):
    """
    Policies and what they say of somebody.
    """

    def test_vectors(self) -> None:
        """
        Each sample is read as the form it is in, or refused.
        """
        vectors = VECTORS["abac_policy_expression"]
        for text in vectors["classified_as_full_expression"]:
            self.assertIsNone(Policy.fromText(text).shortForm)
        for text in vectors["classified_as_boolean_expression"]:
            self.assertIsNotNone(Policy.fromText(text).shortForm)
        for text in vectors["rejected"]:
            self.assertRaises(PolicyError, Policy.fromText, text)

    def test_roundTrip(self) -> None:
        """
        Both forms survive text and CBOR.
        """
        for text in ('(= subject.app "web")', "admin and (not guest)"):
            policy = Policy.fromText(text)
            self.assertEqual(str(policy), text)
            self.assertEqual(Policy.decode(policy.encode()), policy)
        for data in (b"", b"\x80", b"\x82\x02\x81\x80", b"\x82\x00\x80", b"\x82\x00\x82\x00\x00"):
            self.assertRaises(DecodeError, Policy.decode, data)

    def test_refusal(self) -> None:
        """
        Only what comes to true is no refusal.
        """
        attributes = ((b"app", b"web"), (b"admin", b"true"))
        bound = environment("I" + "0" * 64, attributes, True, "outlet")
        for text in (
            "admin",
            '(= subject.app "web")',
            '(= resource.id "outlet")',
            f'(= subject.identifier "I{"0" * 64}")',
        ):
            self.assertEqual(Policy.fromText(text).refusal(bound), "", text)
        self.assertIn("says no", Policy.fromText("not admin").refusal(bound))
        self.assertIn("unbound", Policy.fromText("other").refusal(bound))
        self.assertIn("no boolean answer", Policy.fromText("(and 5)").refusal(bound))

    def test_credential(self) -> None:
        """
        Whether there is a credential can be asked where there is an
        authority.
        """
        self.assertEqual(HAS_CREDENTIAL.refusal(environment("I", (), True, "x")), "")
        self.assertIn("says no", HAS_CREDENTIAL.refusal(environment("I", None, True, "x")))
        self.assertIn("unbound", HAS_CREDENTIAL.refusal(environment("I", None, False, "x")))

    def test_builtInNames(self) -> None:
        """
        No attribute overrides what the node itself knows.
        """
        evil = ((b"identifier", b"somebody else"), (b"has_credential", b"true"), (b"\xff", b"x"), (b"y", b"\xff"))
        bound = environment("me", evil, False, "x")
        self.assertEqual(bound["subject.identifier"][1], "me")
        self.assertNotIn("subject.has_credential", bound)
        self.assertNotIn("subject.y", bound)
