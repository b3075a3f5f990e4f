"""
Tests for L{ockam_twisted.transports.factory}.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.transports.factory import HopCensus, MessageFactory, MessageStreamFactory
from ockam_twisted.transports.stream import MessageStreamProtocol
from ockam_twisted.wire.codecs import BARE, DATAGRAMS
from tests.transports.carriers import PEER, MessageTransport
from tests.transports.test_stream import Node


class FactoryTests(SynchronousTestCase):
    """
    Tests for L{MessageStreamFactory}.
    """

    def build(self, factory: MessageStreamFactory, host: str) -> MessageStreamProtocol | None:
        """
        One connection from a host.
        """
        address = IPv4Address("TCP", host, 1)
        hop = factory.buildProtocol(address)
        if hop is not None:
            hop.makeConnection(StringTransport(peerAddress=address))
        return hop

    def test_perAddress(self) -> None:
        """
        Too many connections from one address are refused, from others not,
        until one of them has ended.
        """
        factory = MessageStreamFactory(Node(perAddress=2).settings, "listener")
        hops = [self.build(factory, "192.0.2.1") for _ in range(2)]
        with capturedLogs() as events:
            self.assertIsNone(self.build(factory, "192.0.2.1"))
        self.assertEqual(len(events), 1)
        self.assertIsNotNone(self.build(factory, "192.0.2.2"))
        hops[0].connectionLost()
        self.assertIsNotNone(self.build(factory, "192.0.2.1"))
        self.assertIsNone(self.build(factory, "192.0.2.1"))

    def test_networks(self) -> None:
        """
        Who has an IPv6 network is one, as is an IPv4 host however it is seen; where there is no
        address it counts as one.
        """
        for hosts, other in (
            (("2001:db8::1", "2001:db8::2:1"), "2001:db8:0:1::1"),
            (("192.0.2.1", "::ffff:192.0.2.1"), "::ffff:192.0.2.2"),
            (("", ""), "00:11:22:33:44:55"),
        ):
            factory = MessageStreamFactory(Node(perAddress=2).settings, "listener")
            hops = [self.build(factory, host) for host in hosts]
            for host in hosts:
                self.assertIsNone(self.build(factory, host))
            self.assertIsNotNone(self.build(factory, other))
            for hop in hops:
                hop.connectionLost()
            for host in hosts:
                self.assertIsNotNone(self.build(factory, host))

    def test_total(self) -> None:
        """
        Too many connections in all are refused.
        """
        factory = MessageStreamFactory(Node(total=2).settings, "listener")
        hops = [self.build(factory, f"192.0.2.{n}") for n in range(3)]
        self.assertIsNone(hops[2])
        hops[0].connectionLost()
        self.assertIsNotNone(self.build(factory, "192.0.2.3"))

    def test_ours(self) -> None:
        """
        Connections that we make are not limited.
        """
        factory = MessageStreamFactory(Node(perAddress=1, total=1).settings)
        self.assertIsNotNone(self.build(factory, "192.0.2.1"))
        self.assertIsNotNone(self.build(factory, "192.0.2.1"))

    def test_datagrams(self) -> None:
        """
        Who comes in datagrams counts, together with all others, once he is proven; one
        too many is let go then.
        """
        settings, census = Node(total=2).settings, HopCensus()
        factory = MessageFactory(settings, DATAGRAMS, "listener", census)
        hops = [factory.buildProtocol(PEER) for _ in range(4)]
        carriers = [MessageTransport(hop) for hop in hops]
        self.assertEqual((len(factory.hops), census.counted, dict(census.perAddress)), (4, 0, {}))
        for hop in hops[:3]:
            hop.proven()
        self.assertEqual((census.counted, dict(census.perAddress)), (2, {PEER.host: 2}))
        self.assertEqual([carrier.ending for carrier in carriers], ["", "", "lost", ""])
        others = MessageFactory(settings, BARE, "listener", census)
        self.assertIsNone(others.buildProtocol(UNIXAddress("/run/x")))
        for carrier in carriers:
            carrier.loseConnection()
        self.assertEqual((factory.hops, census.counted, dict(census.perAddress)), (set(), 0, {}))
        self.assertIsNotNone(others.buildProtocol(UNIXAddress("/run/x")))

    def test_nothingLeft(self) -> None:
        """
        When all have ended nothing is counted any more, and nobody complains
        that an accepted connection never became ready.
        """
        factory = MessageStreamFactory(Node().settings, "listener")
        for hop in [self.build(factory, f"192.0.2.{n}") for n in range(5)]:
            hop.connectionLost()
        self.assertEqual((factory.hops, dict(factory.census.perAddress)), (set(), {}))
