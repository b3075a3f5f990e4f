"""
Tests for L{ockam_twisted.services.uppercase}.
"""

from __future__ import annotations

from ockam_twisted.services.uppercase import UppercaseService
from ockam_twisted.wire import bare
from tests.services.common import ServiceTestCase


class UppercaseTests(ServiceTestCase):
    """
    Tests for L{UppercaseService}.
    """

    def setUp(self) -> None:
        """
        Bob has one.
        """
        super().setUp()
        UppercaseService(self.bob.router, consumerIds=self.ids).startService()

    def test_strings(self) -> None:
        """
        Unicode, as the Rust implementation has it.
        """
        for text, answer in (("", ""), ("hello", "HELLO"), ("Grüße", "GRÜSSE"), ("ŉ", "ʼN")):
            self.assertEqual(self.ask("uppercase", bare.string(text)), [bare.string(answer)])

    def test_nonsense(self) -> None:
        """
        Anything else gets no answer.
        """
        for payload in (b"", b"\x05abc", b"\x01\xff", b"\x01ab", b"\xff" * 20):
            self.assertEqual(self.ask("uppercase", payload), [])
        self.assertEqual(self.flushLoggedErrors(), [])
