"""
Tests of L{ockam_twisted.transports.guests}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.transports.guests import Guests


class GuestsTests(SynchronousTestCase):
    """
    Tests of L{Guests}.
    """

    def test_sources(self) -> None:
        """
        The hosts of an IPv6 network are counted together, IPv4 hosts each by itself.
        """
        guests = Guests()
        hosts = ("2001:db8::1", "2001:db8::2", "192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2", "")
        leave = [guests.enter(host) for host in hosts]
        self.assertEqual([guests.near(host) for host in hosts], [2, 2, 2, 2, 1, 1])
        self.assertEqual((guests.near("2001:db8::3"), guests.near("192.0.2.3"), guests.total()), (2, 0, 6))
        for each in leave:
            each()
            each()
        self.assertEqual(dict(guests), {})
