"""
Tests for L{ockam_twisted.routing.peers}.
"""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.local_message import PeerIdentity
from ockam_twisted.routing.peers import Peers

A, B, HOP = (Address.local(name) for name in "abh")


class PeersTests(SynchronousTestCase):
    """
    Who is behind which channel.
    """

    def test_found(self) -> None:
        """
        Peers are found by their channel and by who they are, until it ends.
        """
        peers = Peers()
        one, two = PeerIdentity("I1", A, HOP), PeerIdentity("I1", B, HOP)
        peers.add(one)
        peers.add(two)
        self.assertEqual((peers.find(A), peers.ofIdentifier("I1"), len(peers)), (one, [one, two], 2))
        peers.remove(A)
        peers.remove(A)
        self.assertEqual((peers.find(A), peers.ofIdentifier("I1")), (None, [two]))

    def test_watched(self) -> None:
        """
        Watchers are told of changes of channels there are, until they do not
        watch any more.
        """
        peers, told = Peers(), list[Address]()
        peer = PeerIdentity("I1", A, HOP)
        unwatch = peers.watch(told.append)
        peers.add(peer)
        self.assertEqual(told, [])
        peers.update(evolve(peer, attributes=()))
        self.assertEqual(told, [A])
        self.assertEqual(peers.find(A), evolve(peer, attributes=()))
        peers.update(PeerIdentity("I1", B, HOP))
        self.assertIsNone(peers.find(B))
        unwatch()
        unwatch()
        peers.changed(A)
        self.assertEqual(told, [A])

    def test_refused(self) -> None:
        """
        Watchers hear that somebody is refused while the channel is still
        there; nothing of it is remembered after that.
        """
        peers, told = Peers(), list[tuple[Address, bool]]()
        peers.add(PeerIdentity("I1", A, HOP))
        peers.watch(lambda encryptor: told.append((encryptor, peers.isRefused(encryptor))))
        peers.changed(A)
        peers.refuse(A)
        self.assertEqual(told, [(A, False), (A, True)])
        peers.remove(A)
        self.assertFalse(peers.isRefused(A))
