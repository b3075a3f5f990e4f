"""
Tests for L{ockam_twisted.services.hop}.
"""

from __future__ import annotations

from ockam_twisted.routing.addresses import Address
from ockam_twisted.services.hop import HopService
from tests.services.common import ServiceTestCase


class HopTests(ServiceTestCase):
    """
    Tests for L{HopService}.
    """

    def setUp(self) -> None:
        """
        Bob has one.
        """
        super().setUp()
        HopService(self.bob.router, consumerIds=self.ids).startService()

    def test_through(self) -> None:
        """
        What goes through it gets there, and the answer comes back the same
        way.
        """
        echo = self.bob.inbox("far", *self.ids, echo=True)
        self.assertEqual(self.ask("far", b"x", False, "hop", "hop"), [b"x"])
        [message] = echo.messages
        self.assertEqual([str(each) for each in message.return_route[:2]], ["0#hop", "0#hop"])
        self.assertEqual(self.ask("far", b"y", True, "hop"), [b"y"])

    def test_opensNoDoor(self) -> None:
        """
        What may not be reached directly may not be reached through it.
        """
        private = self.bob.inbox("private")
        secureOnly = self.bob.inbox("secure only", self.listener.flowId)
        self.ask("private", b"x", False, "hop")
        self.ask("private", b"x", True, "hop")
        self.ask("secure only", b"x", False, "hop")
        self.assertEqual((private.payloads, secureOnly.payloads), ([], []))
        self.ask("secure only", b"x", True, "hop")
        self.assertEqual(secureOnly.payloads, [b"x"])
        [message] = secureOnly.messages
        assert message.peerIdentity is not None
        self.assertEqual(message.peerIdentity.identifier, self.alice.identifier)

    def test_loops(self) -> None:
        """
        A route that only leads through it ends, and so does one that is as
        long as a route can be.
        """
        self.assertEqual(self.ask("hop", b"x"), [])
        self.assertEqual(self.ask("hop", b"x", False, *["hop"] * 29), [])
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertIn(Address.local("hop"), self.bob.router)
