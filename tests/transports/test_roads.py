"""
Tests for L{ockam_twisted.transports.roads}.
"""

from __future__ import annotations

import subprocess
import sys

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.config import ENDPOINT_PREFIXES
from ockam_twisted.errors import InvalidMultiAddr
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.transports.roads import (
    HOST,
    ROADS,
    clientEndpointOf,
    dialRoad,
    findRoad,
    hostComponents,
    roadOfString,
    serverEndpointOf,
)

_SAMPLES = {HOST: "/ip4/127.0.0.1", "tcp": "/tcp/4000", "udp": "/udp/4000"}
_FLAGS = ("tls", "quic", "ws", "wss")


class RoadsTests(SynchronousTestCase):
    """
    Tests for the table.
    """

    def test_patterns(self) -> None:
        """
        What a row says of MultiAddrs can be written, is the road of one, and
        leads to that row.
        """
        for road in ROADS:
            for pattern in road.patterns:
                text = "".join(
                    _SAMPLES.get(name, f"/{name}" if name in _FLAGS else f"/{name}/value") for name in pattern
                )
                found = MultiAddr.fromText(text + "/service/x").road
                self.assertEqual(MultiAddr(found).text, text)
                self.assertIs(findRoad(found), road)

    def test_modules(self) -> None:
        """
        Each row has its module, with what is asked of it.
        """
        for road in ROADS:
            module = road.load()
            self.assertTrue(callable(module.clientEndpoint))
            for prefix in road.prefixes:
                self.assertIn(prefix, ENDPOINT_PREFIXES)
                self.assertTrue(callable(module.serverEndpoint))
                self.assertTrue(callable(module.components))

    def test_notInstalled(self) -> None:
        """
        Where a library is missing, one line says what to install.
        """
        script = (
            "import sys; sys.modules['aioquic'] = None\n"
            "from ockam_twisted.transports.roads import clientEndpointOf\n"
            "try: clientEndpointOf(None, 'quic:192.0.2.1:4000')\n"
            "except ValueError as error: print(error)\n"
        )
        said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        self.assertEqual(said.stdout, "QUIC needs: pip install 'ockam_twisted[quic]'\n", said.stderr)

    def test_unknown(self) -> None:
        """
        A connection that nobody makes is refused by name.
        """
        road = MultiAddr.fromText("/dnsaddr/a/tcp/1/quic").road
        error = self.assertRaises(InvalidMultiAddr, findRoad, road)
        self.assertIn("/dnsaddr/a/tcp/1/quic", str(error))
        self.assertRaises(InvalidMultiAddr, dialRoad, MemoryReactorClock(), road)

    def test_tcp(self) -> None:
        """
        Twisted's own endpoint strings are none of ours, and TCP is a row.
        """
        self.assertIsNone(roadOfString("tcp:4000"))
        self.assertIsNone(clientEndpointOf(None, "tcp:a:4000"))
        self.assertIsNone(serverEndpointOf(None, "tcp:4000"))
        reactor = MemoryReactorClock()
        dialRoad(reactor, MultiAddr.fromText("/ip4/192.0.2.1/tcp/4000/service/x").road)

    def test_hosts(self) -> None:
        """
        A host is a name, or an address of one kind or the other.
        """
        self.assertEqual(hostComponents("a.example", 1), (("dnsaddr", "a.example"), ("tcp", 1)))
        self.assertEqual(hostComponents("192.0.2.1", 1, "udp"), (("ip4", "192.0.2.1"), ("udp", 1)))
        self.assertEqual(hostComponents("::1", 1), (("ip6", "::1"), ("tcp", 1)))
        self.assertRaises(InvalidMultiAddr, hostComponents, "a b", 1)
