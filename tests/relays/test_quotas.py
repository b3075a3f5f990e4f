"""
Tests for L{ockam_twisted.relays.quotas}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.relays.quotas import DIRECT, EXTENSION, extensionFlags


class ExtensionTests(SynchronousTestCase):
    """
    What may follow a name.
    """

    def test_flags(self) -> None:
        """
        Only what begins as ours does says anything; more may follow.
        """
        self.assertEqual(extensionFlags(EXTENSION + bytes((DIRECT,))), DIRECT)
        self.assertEqual(extensionFlags(EXTENSION + b"\x03more"), 3)
        for other in (b"", EXTENSION, b"other\x01", b"\x01"):
            self.assertEqual(extensionFlags(other), 0)
