"""
Tests for L{ockam_twisted.relays.quotas}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.relays.quotas import DIRECT, EXTENSION, extensionFlags, network


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


class NetworkTests(SynchronousTestCase):
    """
    What counts as one source.
    """

    def test_addresses(self) -> None:
        """
        An IPv4 address is one, an IPv6 network of 64 bits is one, and
        anything else is what it is.
        """
        self.assertEqual(network("192.0.2.1"), "192.0.2.1")
        self.assertEqual(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2:ffff::1"))
        self.assertNotEqual(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"))
        self.assertEqual(network("fe80::1%eth0"), network("fe80::2%eth0"))
        self.assertEqual(network("a local socket"), "a local socket")
