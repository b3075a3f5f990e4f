"""
Tests of L{ockam_twisted.portals.announced}: two nodes, a client and a target
over real sockets.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from proxyprotocol.v2 import ProxyProtocolV2
from twisted.internet import reactor as globalReactor
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.node import Node
from ockam_twisted.places import clientEndpoint
from ockam_twisted.portals.announced import clientOf, endpointsOf
from ockam_twisted.portals.outlet import SocketTarget
from ockam_twisted.wire.proxy import IDENTIFIER, Endpoints
from tests.portals.common import Program, Programs

reactor: Any = globalReactor
MIB = 1024 * 1024


class AddressTests(SynchronousTestCase):
    """
    Addresses of Twisted.
    """

    def test_known(self) -> None:
        """
        IP addresses are told.
        """
        source, destination = IPv4Address("TCP", "192.0.2.7", 41000), IPv6Address("TCP", "2001:db8::1", 443)
        endpoints = endpointsOf(source, destination)
        self.assertEqual(endpoints, Endpoints(("192.0.2.7", 41000), ("2001:db8::1", 443)))
        told = clientOf(source, source)
        assert told is not None
        self.assertEqual(Endpoints.decode(told).source, ("192.0.2.7", 41000))

    def test_unknown(self) -> None:
        """
        Of others nothing is.
        """
        known = IPv4Address("TCP", "192.0.2.7", 41000)
        self.assertIsNone(endpointsOf(known, UNIXAddress("/run/x")))
        self.assertIsNone(clientOf(UNIXAddress(None), known))
        self.assertIsNone(clientOf(None, None))
        self.assertIsNone(clientOf(IPv4Address("TCP", "no address", 1), known))


class AnnouncedTests(TestCase):
    """
    What a target hears first, and that credit does not count it.
    """

    timeout = 60

    async def portal(self, tells: bool, secure: bool = True) -> None:
        """
        Make one.
        """
        self.targets = Programs()
        target = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(self.targets)
        at = target.getHost().port  # type: ignore[attr-defined]
        self.far, self.near = await Node.create(reactor), await Node.create(reactor)
        listener = self.far.createSecureChannelListener(TrustEveryone())
        port: Any = await self.far.listen("0")
        endpoint = clientEndpoint(reactor, f"127.0.0.1:{at}")
        announced = SocketTarget(self.far.router, self.far.sockets, endpoint, "the target", announces=True)
        self.far.createOutlet("outlet", announced, (listener.flowId, self.far.transport.listenerId))
        road: Any = await self.near.connect(f"127.0.0.1:{port.getHost().port}")
        if secure:
            channel = await self.near.createSecureChannel([*road, "api"], trust=TrustEveryone())
            road = [channel.encryptor]
        inlet = await self.near.createInlet("0", [*road, "outlet"])
        inlet.tellsClient = tells
        factory = Programs()
        listening: Any = inlet.port
        self.at = listening.getHost().port
        self.client: Any = await TCP4ClientEndpoint(reactor, "127.0.0.1", self.at).connect(factory)
        self.addCleanup(self.finish, target)

    async def _finish(self, target: Any) -> None:
        for program in (self.client, *self.targets.made):
            program.transport.abortConnection()
        await target.stopListening()
        await self.near.stopService()
        await self.far.stopService()
        await deferLater(reactor, 0.05)

    def finish(self, target: Any) -> Deferred[None]:
        """
        End all of it.
        """
        return Deferred.fromCoroutine(self._finish(target))

    async def until(self, condition: Any) -> None:
        """
        Wait until something is so.
        """
        while not condition():
            await deferLater(reactor, 0.005)

    async def header(self) -> Any:
        """
        What the target has heard, and cut it off.
        """
        await self.until(lambda: self.targets.made and len(self.targets.made[0].received) >= 16)
        received = self.targets.made[0].received
        size = 16 + int.from_bytes(received[14:16], "big")
        header = bytes(received[:size])
        del received[:size]
        return ProxyProtocolV2().unpack(header)

    async def exchange(self) -> None:
        """
        More than any window, in both directions.
        """
        target: Program = self.targets.made[0]
        data = bytes(range(256)) * (6 * MIB // 256)
        target.send(data)
        self.client.send(data)
        await self.until(lambda: len(target.received) >= len(data) and len(self.client.received) >= len(data))
        self.assertEqual(bytes(target.received), data)
        self.assertEqual(bytes(self.client.received), data)

    def test_told(self) -> Deferred[None]:
        """
        The client's own address, if the inlet tells it; who the inlet is; and
        the name of the stream.
        """

        async def run() -> None:
            await self.portal(True)
            result = await self.header()
            host = self.client.transport.getHost()
            self.assertEqual((result.source[0], result.source[1]), (ip_address("127.0.0.1"), host.port))
            self.assertEqual(result.dest[1], self.at)
            self.assertEqual(dict(result.tlv)[IDENTIFIER], str(self.near.identifier).encode())
            self.assertEqual(len(result.tlv.unique_id), 16)
            await self.exchange()

        return Deferred.fromCoroutine(run())

    def test_notTold(self) -> Deferred[None]:
        """
        Otherwise the outlet's own connection, never the client's.
        """

        async def run() -> None:
            await self.portal(False)
            result = await self.header()
            transport: Any = self.targets.made[0].transport
            self.assertEqual(result.source[1], transport.getPeer().port)
            self.assertEqual(result.dest[1], transport.getHost().port)
            self.assertEqual(dict(result.tlv)[IDENTIFIER], str(self.near.identifier).encode())
            await self.exchange()

        return Deferred.fromCoroutine(run())

    def test_withoutChannel(self) -> Deferred[None]:
        """
        Who has proven nothing is not named, and tells nothing.
        """

        async def run() -> None:
            await self.portal(True, secure=False)
            result = await self.header()
            self.assertNotIn(IDENTIFIER, dict(result.tlv))
            self.assertIsNone(result.tlv.unique_id or None)
            await self.exchange()

        return Deferred.fromCoroutine(run())
