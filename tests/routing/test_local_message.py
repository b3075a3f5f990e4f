"""
Tests for L{ockam_twisted.routing.local_message}.
"""

from __future__ import annotations

from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalInfo, LocalMessage, PeerIdentity


class LocalMessageTests(SynchronousTestCase):
    """
    Tests for L{LocalMessage} and L{PeerIdentity}.
    """

    def test_peerIdentity(self) -> None:
        """
        A message has a peer identity only if its local info holds one.
        """
        peer = PeerIdentity("I1", Address.local("encryptor"), Address.local("hop"))
        routes = Route.of("a"), Route.of("b")
        self.assertIsNone(LocalMessage(*routes, b"").peerIdentity)
        self.assertIsNone(LocalMessage(*routes, b"", (LocalInfo(),)).peerIdentity)
        self.assertIs(LocalMessage(*routes, b"", (LocalInfo(), peer)).peerIdentity, peer)

    def test_source(self) -> None:
        """
        A new message has no source until the router knows it.
        """
        self.assertIsNone(LocalMessage(Route.of("a"), Route.of("b"), b"").source)

    def test_immutable(self) -> None:
        """
        Nobody changes an identity that was proven.
        """
        peer = PeerIdentity("I1", Address.local("e"), Address.local("h"))
        self.assertEqual(peer, PeerIdentity("I1", Address.local("e"), Address.local("h")))
        with self.assertRaises(FrozenInstanceError):
            peer.identifier = "I2"  # type: ignore[misc]
