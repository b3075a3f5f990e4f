"""
Tests for L{ockam_twisted.relays.names}.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import InvalidRelayName
from ockam_twisted.relays.names import (
    REGISTER,
    SERVICES,
    checkRelayName,
    identifierShaped,
    isReserved,
    relayAddress,
)

_IDENTIFIER = "I" + "0123456789abcdef" * 4


class NameTests(SynchronousTestCase):
    """
    Which names there may be.
    """

    def test_accepted(self) -> None:
        """
        Letters, digits, dots, underscores and hyphens, up to 64; identifiers
        have one more.
        """
        for name in ("a", "shop", "Shop_2.example-com", "x" * 64, _IDENTIFIER, _IDENTIFIER.upper()):
            checkRelayName(name)

    def test_refused(self) -> None:
        """
        What would crash or hijack a relay, and what is no name at all.
        """
        for name in ("", "a#b", "0#zz", "a b", "a/b", "é", "x" * 65, "a\n", "a\0", REGISTER, *SERVICES, "API", "Echo"):
            self.assertRaises(InvalidRelayName, checkRelayName, name)

    def test_identifierShaped(self) -> None:
        """
        An identifier is one in whatever case, and has one form.
        """
        for text in (_IDENTIFIER, _IDENTIFIER.upper(), "i" + _IDENTIFIER[1:]):
            self.assertEqual(identifierShaped(text), _IDENTIFIER)
        for text in (_IDENTIFIER[:-1], _IDENTIFIER + "0", "X" + _IDENTIFIER[1:], _IDENTIFIER[:-1] + "g", "", "shop"):
            self.assertIsNone(identifierShaped(text))

    def test_reserved(self) -> None:
        """
        Names of services are, in whatever case.
        """
        self.assertTrue(isReserved("Forwarding_Service"))
        self.assertFalse(isReserved("shop"))

    def test_address(self) -> None:
        """
        The address says that it is a relay's.
        """
        self.assertEqual(str(relayAddress("shop")), "0#forward_to_shop")

    @given(st.text(max_size=80))
    @settings(deadline=None, max_examples=200, derandomize=True)
    def test_any(self, name: str) -> None:
        """
        Whatever is accepted can be an address of printable ASCII without
        C{#}.
        """
        try:
            checkRelayName(name)
        except InvalidRelayName:
            return
        self.assertTrue(name.isascii() and name.isprintable() and "#" not in name and 0 < len(name) <= 65)
