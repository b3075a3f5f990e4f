"""
Secure channels over WebSocket and over Unix sockets, between a node of ours, in
this process, and Rust nodes; over real sockets and in real time.

The newest release hears what comes over these two, but cannot answer: its
router hands a message for C{3#HOST:PORT} to a worker that is registered by
another address, and so does not take it.  That is why channels are made with
the older one.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.threads import deferToThread

from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import TrustIdentifier
from ockam_twisted.node import Node
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.services.requests import requestRaw
from tests.interop.nodes import NodeTestCase
from tests.scenarios.processes import eachVariant

#: The release that can send over these carriers.
RELEASE = "v0_139"

#: How many messages go each way; and bytes of the longest one: less than a
#: frame of a Unix socket, and more than a WebSocket's own small lengths.
MANY, LARGE = 200, 60_000


@eachVariant("ws", "uds")
class CarrierTests(NodeTestCase):
    """
    Channels over each carrier, either side beginning.
    """

    def place(self, kind: str) -> tuple[str, str]:
        """
        Somewhere to listen: for Rust and as an endpoint string of ours to
        dial.
        """
        if kind == "ws":
            at = f"127.0.0.1:{self.port()}"
            return at, f"ws:{at}"
        path = f"{self.folder}/rust.sock"
        return path, f"uds:{path}"

    async def echoed(self, node: Node, route: Route) -> None:
        """
        Messages of all sizes come back over a channel, in order.
        """
        for number in range(MANY):
            payload = bytes([number % 256]) * (LARGE if number == MANY // 2 else 10 + number)
            with node.router.turn:
                reply = requestRaw(node.router, node.reactor, route, payload, 20)
            self.assertEqual(await reply, payload)

    async def test_newestHears(self, kind: str) -> None:
        """
        What we send to a worker of the newest release arrives there, with a
        return route that begins with the connection.
        """
        theirs, ours = self.place(kind)
        program = self.rust("newest", "listener", f"--{kind}-listen", theirs, "--verbose")
        await deferToThread(program.value, "Ready")
        node = await self.node()
        connection = await node.connect(ours)
        with node.router.turn:
            reply = requestRaw(node.router, node.reactor, Route((*connection, Address.local("echo"))), b"\x05hello", 60)
        self.assertEqual(await deferToThread(program.value, "Received"), "6")
        back = await deferToThread(program.value, "Return route")
        self.assertTrue(back.startswith("3#127.0.0.1:" if kind == "ws" else f"5#{theirs}"), back)
        reply.cancel()
        await self.assertFailure(reply, CancelledError)

    async def test_weInitiate(self, kind: str) -> None:
        """
        We connect and begin, trusting one identifier.
        """
        theirs, ours = self.place(kind)
        program = self.rust(RELEASE, "listener", f"--{kind}-listen", theirs, "--secure", "api")
        await deferToThread(program.value, "Ready")
        there = await deferToThread(program.value, "Identifier")
        node = await self.node()
        connection = await node.connect(ours)
        channel = await node.createSecureChannel([*connection, "api"], authorized=[there])
        self.assertEqual(str(channel.peerIdentifier), there)
        await self.echoed(node, Route((channel.encryptor, Address.local("echo"))))

    async def test_theyInitiate(self, kind: str) -> None:
        """
        They connect and begin, each side trusting one identifier.
        """
        node = await self.node()
        who = await deferToThread(self.who, RELEASE, "rust")
        node.createSecureChannelListener(TrustIdentifier(Identifier.parse(who)))
        if kind == "ws":
            port = await node.listen("ws:0:interface=127.0.0.1")
            at = f"/ws/127.0.0.1:{port.getHost().port}"
        else:
            path = f"{self.folder}/ours.sock"
            await node.listen(f"uds:{path}")
            at = f"/uds/{path.replace('/', '!')}"
        for size, count in (("50", MANY), (str(LARGE), 20)):
            program = self.rust(
                RELEASE, "initiator", "--to", f"{at}/secure/api/service/echo", "--count", str(count), "--size", size,
                "--window", "10", "--authorized", str(node.identifier), state="rust",
            )  # fmt: skip
            self.assertEqual(await deferToThread(program.value, "Echoed"), str(count))
            await deferToThread(program.process.wait, 20)
