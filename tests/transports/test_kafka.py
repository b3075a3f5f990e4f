"""
Tests for L{ockam_twisted.transports.kafka}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.transports.roads import clientEndpointOf, componentsOfString, dialRoad, serverEndpointOf


class NameTests(SynchronousTestCase):
    """
    Tests for what is written for it.
    """

    def test_said(self) -> None:
        """
        An endpoint string and a MultiAddr say the same.
        """
        for text, address in (
            ("kafka:b.example:9092:blue", "/dnsaddr/b.example/tcp/9092/kafka/blue"),
            ("kafka:192.0.2.1:1:a.b-c_d", "/ip4/192.0.2.1/tcp/1/kafka/a.b-c_d"),
            (r"kafka:[2001\:db8\:\:1]:9092:blue", "/ip6/2001:db8::1/tcp/9092/kafka/blue"),
        ):
            self.assertEqual(MultiAddr(componentsOfString(text) or ()).text, address)
            endpoint: Any = dialRoad(Clock(), MultiAddr.fromText(address).road)
            self.assertEqual(endpoint.stream, address.rpartition("/")[2])
        self.assertEqual(endpoint.broker, "[2001:db8::1]:9092")
        self.assertTrue(endpoint.codec.isPatient and endpoint.codec.isOrdered)

    def test_away(self) -> None:
        """
        Who listens may say how long he waits; that is nothing for a MultiAddr.
        """
        text = "kafka:b.example:9092:blue:away=7200"
        self.assertEqual(serverEndpointOf(None, text).away, 7200)  # type: ignore[union-attr]
        self.assertEqual(MultiAddr(componentsOfString(text) or ()).text, "/dnsaddr/b.example/tcp/9092/kafka/blue")
        for each in ("0", "", "x", "1h", "-1"):
            self.assertRaises(ValueError, serverEndpointOf, None, f"kafka:b:9092:blue:away={each}")

    def test_impossible(self) -> None:
        """
        What is no stream is refused.
        """
        for text in ("kafka:b", "kafka:b:9092", "kafka:b:0:blue", "kafka:b:9092:a b", "kafka:b:9092:" + "a" * 201):
            self.assertRaises(ValueError, serverEndpointOf, None, text)
            self.assertRaises(ValueError, clientEndpointOf, None, text)
