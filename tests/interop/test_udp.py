"""
Secure channels over UDP, between a node of ours, in this process, and one of
the newest Rust release; over real sockets and in real time.
"""

from __future__ import annotations

from twisted.internet.threads import deferToThread

from ockam_twisted.errors import TimedOut
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import TrustIdentifier
from ockam_twisted.node import Node
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.services.requests import requestRaw
from tests.interop.nodes import NodeTestCase

#: The older release has another layout of datagrams.
RELEASE = "newest"

#: How many messages; and bytes of the longest ones.
MANY, LARGE = 200, 60_000


class UDPTests(NodeTestCase):
    """
    Channels, either side beginning.
    """

    async def echoed(self, node: Node, route: Route) -> None:
        """
        Messages of all sizes come back over a channel; what is lost is sent
        again.
        """
        for number in range(MANY):
            payload = bytes([number % 256]) * (LARGE if number % 50 == 25 else 1 + 7 * number)
            for attempt in range(4):
                with node.router.turn:
                    reply = requestRaw(node.router, node.reactor, route, payload, 3)
                try:
                    self.assertEqual(await reply, payload)
                    break
                except TimedOut:
                    self.assertLess(attempt, 3)

    async def test_weInitiate(self) -> None:
        """
        We send first, trusting one identifier; messages pass over many keys.
        """
        port = self.port()
        program = self.rust(RELEASE, "listener", "--udp-listen", f"127.0.0.1:{port}", "--secure", "api")
        await deferToThread(program.value, "Ready")
        there = await deferToThread(program.value, "Identifier")
        node = await self.node()
        connection = await node.connect(f"/ip4/127.0.0.1/udp/{port}")
        channel = await node.createSecureChannel([*connection, "api"], authorized=[there])
        self.assertEqual(str(channel.peerIdentifier), there)
        await self.echoed(node, Route((channel.encryptor, Address.local("echo"))))

    async def test_theyInitiate(self) -> None:
        """
        They send first, each side trusting one identifier.
        """
        node = await self.node()
        who = await deferToThread(self.who, RELEASE, "rust")
        node.createSecureChannelListener(TrustIdentifier(Identifier.parse(who)))
        port = self.port()
        await node.listen(f"udp:{port}:interface=127.0.0.1")
        at = f"/udp/127.0.0.1:{port}/secure/api/service/echo"
        for size, count in (("1", MANY), (str(LARGE), 20)):
            program = self.rust(
                RELEASE, "initiator", "--to", at, "--count", str(count), "--size", size,
                "--window", "1", "--authorized", str(node.identifier), state="rust",
            )  # fmt: skip
            self.assertEqual(await deferToThread(program.value, "Echoed"), str(count))
            await deferToThread(program.process.wait, 20)
        # They have said what only who hears us can say.
        self.assertEqual(node.transport.servers.census.counted, 2)
