"""
Tests for L{ockam_twisted.wire.hosts}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.wire.hosts import network


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
        for other in ("a local socket", "", "/run/ockam.sock", "00:11:22:33:44:55", "192.0.2"):
            self.assertEqual(network(other), other)

    def test_bothFamilies(self) -> None:
        """
        Each IPv4 host is one also where it is seen through a socket of both families.
        """
        for host in ("::ffff:192.0.2.1", "::FFFF:c000:201", "::ffff:192.0.2.1%eth0"):
            self.assertEqual(network(host), "192.0.2.1")
        self.assertNotEqual(network("::ffff:192.0.2.1"), network("::ffff:192.0.2.2"))
        self.assertEqual(network("::1"), network("::2"))
