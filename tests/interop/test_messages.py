"""
Messages between workers of ours, in this process, and of Rust nodes of two
releases: the small services, extensions and sizes; over real sockets.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from zope.interface import implementer

from ockam_twisted.errors import OckamError
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.interfaces import IWorker
from ockam_twisted.node import Node
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.services.requests import requestRaw
from ockam_twisted.wire import bare
from ockam_twisted.wire.portal import DISCONNECT, PING, PONG, encodePortalPayload, readPortal
from tests.interop.nodes import NodeTestCase, eachRelease
from tests.interop.peers import RELEASES, Target, receiveExactly
from tests.scenarios.processes import freePort

#: Of five seconds each: two minutes.
PINGS = 24


@implementer(IWorker)
class Collector:
    """
    Keeps what it gets, and may answer.
    """

    def __init__(self, node: Node, name: str, consumerOf: tuple[str, ...] = ()) -> None:
        self.node = node
        self.address = Address.local(name)
        self.messages: list[LocalMessage] = []
        self._waiting: list[Deferred[LocalMessage]] = []
        node.router.register(self.address, self)
        for flowId in consumerOf:
            node.router.flowControls.addConsumer(self.address, flowId)

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        if self._waiting:
            self._waiting.pop(0).callback(message)
        else:
            self.messages.append(message)

    def next(self, seconds: float = 15) -> Deferred[LocalMessage]:
        """
        The message that comes next.
        """
        waiting: Deferred[LocalMessage] = Deferred()
        if self.messages:
            waiting.callback(self.messages.pop(0))
        else:
            self._waiting.append(waiting)
        return waiting.addTimeout(seconds, self.node.reactor)

    def send(self, route: Route, payload: bytes) -> None:
        """
        Send a message from here.
        """
        with self.node.router.turn:
            self.node.router.route(LocalMessage(route, Route((self.address,)), payload), self.address)


def bareString(text: str) -> bytes:
    """
    A string as the workers of Rust nodes take it.
    """
    return bare.varint(len(text.encode())) + text.encode()


@eachRelease
class ServiceTests(NodeTestCase):
    """
    Echo, uppercase and hop, both ways.
    """

    async def rustNode(self, *arguments: str) -> int:
        """
        @return: The port of a Rust node with all services.
        """
        port = self.port()
        program = self.rust(self.release, "listener", "--listen", f"127.0.0.1:{port}", *arguments)
        await deferToThread(program.value, "Ready")
        return port

    async def test_theirs(self) -> None:
        """
        Their workers answer us, also through their hop, twice.
        """
        port = await self.rustNode()
        node = await self.node()
        connection = await node.connect(f"127.0.0.1:{port}")
        for names, text, answer in (
            (("echo",), "Hello", "Hello"),
            (("uppercase",), "Grüße, hello", "GRÜSSE, HELLO"),
            (("hop", "uppercase"), "hop", "HOP"),
            (("hop", "hop", "echo"), "hop hop", "hop hop"),
        ):
            route = Route((*connection, *(Address.local(name) for name in names)))
            with node.router.turn:
                reply = requestRaw(node.router, node.reactor, route, bareString(text), 10)
            self.assertEqual(await reply, bareString(answer))

    async def test_ours(self) -> None:
        """
        Our workers answer them, also through our hop.
        """
        node = await self.node()
        port = await self.listening(node)
        node.makeReachable("echo", (node.transport.listenerId,))
        node.startUppercase((node.transport.listenerId,))
        node.startHop((node.transport.listenerId,))
        for names in ("echo", "uppercase", "hop/service/echo", "hop/service/hop/service/uppercase"):
            to = f"/dnsaddr/127.0.0.1/tcp/{port}/service/{names}"
            program = self.rust(self.release, "initiator", "--to", to, "--count", "5", "--size", "20")
            self.assertEqual(await deferToThread(program.value, "Echoed"), "5")

    async def test_throughEachOther(self) -> None:
        """
        A channel of ours through a hop of theirs, and one of theirs through a
        hop of ours, to a listener on the hop's own node.
        """
        port = await self.rustNode("--secure", "api")
        node = await self.node()
        connection = await node.connect(f"127.0.0.1:{port}")
        channel = await node.createSecureChannel([*connection, "hop", "api"], trust=TrustEveryone())
        with node.router.turn:
            route = Route((channel.encryptor, Address.local("echo")))
            reply = requestRaw(node.router, node.reactor, route, b"through", 10)
        self.assertEqual(await reply, b"through")
        node.startHop((node.transport.listenerId,))
        node.createSecureChannelListener(TrustEveryone())
        to = f"/dnsaddr/127.0.0.1/tcp/{await self.listening(node)}/service/hop/secure/api/service/echo"
        program = self.rust(self.release, "initiator", "--to", to, "--count", "40")
        self.assertEqual(await deferToThread(program.value, "Echoed"), "40")

    async def test_nobody(self) -> None:
        """
        A message for a worker that is not there is no answer, and harms no
        other one.
        """
        port = await self.rustNode()
        node = await self.node()
        connection = await node.connect(f"127.0.0.1:{port}")
        with node.router.turn:
            lost = requestRaw(node.router, node.reactor, Route((*connection, Address.local("nobody"))), b"x", 1)
            reply = requestRaw(node.router, node.reactor, Route((*connection, Address.local("echo"))), b"x", 10)
        self.assertEqual(await reply, b"x")
        await self.assertFailure(lost, OckamError)


#: What might be said with a Ping or a Pong some day.
OFFERS = (b"", b"\x00otw1" + b"\xa0", bytes(60_000))


@eachRelease
class ExtensionTests(NodeTestCase):
    """
    Bytes after Ping and Pong, and Payloads larger than usual.
    """

    async def test_ping(self) -> None:
        """
        A Rust outlet answers a Ping with more bytes as any other, and takes
        and sends large Payloads.
        """
        target = Target()
        self.addCleanup(target.close)
        port = self.port()
        program = self.rust(
            self.release, "outlet", "--target", f"127.0.0.1:{target.port}", "--listen", f"127.0.0.1:{port}",
            "--secure", "api",
        )  # fmt: skip
        await deferToThread(program.value, "Ready")
        node = await self.node()
        connection = await node.connect(f"127.0.0.1:{port}")
        channel = await node.createSecureChannel([*connection, "api"], trust=TrustEveryone())
        for number, offer in enumerate(OFFERS):
            inlet = Collector(node, f"inlet{number}", (channel.flowId,))
            inlet.send(Route((channel.encryptor, Address.local("outlet"))), PING + offer)
            pong = await inlet.next()
            self.assertEqual(pong.payload, PONG)
            # Ask for 300,000 bytes, with 600,000 in one Payload.
            request = b"x" + (600_000).to_bytes(8, "big") + (300_000).to_bytes(8, "big") + bytes(600_000)
            inlet.send(pong.return_route, encodePortalPayload(request, 0))
            size = 0
            largest = 0
            while size < 32 + 300_000:
                kind, start, stop, _ = readPortal((await inlet.next()).payload)
                self.assertEqual(kind, 3)
                size += stop - start
                largest = max(largest, stop - start)
            self.assertEqual(size, 32 + 300_000)
            # What live nodes of this release send at most in one Payload.
            self.assertLessEqual(largest, 48 * 1024 if self.release == "v0_139" else 128 * 1024)
            inlet.send(pong.return_route, DISCONNECT)

    async def test_pong(self) -> None:
        """
        A Rust inlet takes a Pong with more bytes as any other.
        """
        node = await self.node()
        listener = node.createSecureChannelListener(TrustEveryone())
        outlet = Collector(node, "outlet", (listener.flowId,))
        port, at = freePort(), await self.listening(node)
        program = self.rust(
            self.release, "inlet", "--listen", f"127.0.0.1:{port}",
            "--to", f"/dnsaddr/127.0.0.1/tcp/{at}/secure/api/service/outlet",
        )  # fmt: skip
        await deferToThread(program.value, "Ready")
        for number, offer in enumerate(OFFERS):
            client = self.connect(port)
            ping = await outlet.next()
            self.assertEqual(ping.payload, PING)
            stream = Collector(node, f"stream{number}", (listener.flowId,))
            stream.send(ping.return_route, PONG + offer)
            client.sendall(b"hello")
            message = await stream.next()
            kind, start, stop, counter = readPortal(message.payload)
            self.assertEqual((kind, bytes(message.payload[start:stop])), (3, b"hello"))
            self.assertIn(counter, (0, None))
            stream.send(message.return_route, encodePortalPayload(bytes(400_000), 0))
            await deferToThread(receiveExactly, client, 400_000)
            client.close()
            self.assertEqual((await stream.next()).payload[:1], DISCONNECT)


@eachRelease
class GarbageTests(NodeTestCase):
    """
    What a broken peer sends costs it its stream or connection at most.
    """

    async def test_atTheirInlet(self) -> None:
        """
        Nonsense of ours ends nothing but the stream: the Rust inlet's next
        client is served.
        """
        node = await self.node()
        listener = node.createSecureChannelListener(TrustEveryone())
        outlet = Collector(node, "outlet", (listener.flowId,))
        port, at = freePort(), await self.listening(node)
        program = self.rust(
            self.release, "inlet", "--listen", f"127.0.0.1:{port}",
            "--to", f"/dnsaddr/127.0.0.1/tcp/{at}/secure/api/service/outlet",
        )  # fmt: skip
        await deferToThread(program.value, "Ready")
        for number, junk in enumerate((b"", b"\x0a", b"\x03\xff", bytes([3, 5, 1]), DISCONNECT)):
            client = self.connect(port)
            ping = await outlet.next()
            stream = Collector(node, f"stream{number}", (listener.flowId,))
            stream.send(ping.return_route, junk)
            stream.send(ping.return_route, PONG)
            stream.send(ping.return_route, junk)
            client.close()
        self.assertIsNone(program.process.poll())
        outlet.messages.clear()
        client = self.connect(port)
        ping = await outlet.next()
        stream = Collector(node, "good", (listener.flowId,))
        stream.send(ping.return_route, PONG)
        client.sendall(b"good")
        self.assertIn(b"good", bytes((await stream.next()).payload))


class SkipTests(NodeTestCase):
    """
    Inlets that do not wait for Pong; only newer releases have them.
    """

    async def test_refused(self) -> None:
        """
        Such an inlet's client is told, and our log says why.
        """
        self.release = "newest"
        target = self.target()
        who = await deferToThread(self.who, "newest", "inlet")
        outlet, address = await deferToThread(self.outlet, "ours", target.port, who)
        here = await deferToThread(self.identity, "outlet")
        _, port = await deferToThread(self.inlet, "newest", address, here, "--skip-handshake")
        client = self.connect(port)
        client.sendall(b"early")
        self.assertEqual(await deferToThread(client.recv, 1), b"")
        self.assertIn("skip_handshake", outlet.text())


class PingTests(NodeTestCase):
    """
    What keeps the sessions of Rust nodes alive.
    """

    timeout = 5 * PINGS + 90

    async def test_minutes(self) -> None:
        """
        Our echo answers what Rust nodes of both releases send every five
        seconds to learn that we live, for minutes, in the clear and inside a
        channel.
        """
        node = await self.node()
        node.createSecureChannelListener(TrustEveryone())
        node.makeReachable("echo", (node.transport.listenerId,))
        to = f"/dnsaddr/127.0.0.1/tcp/{await self.listening(node)}"
        pings = ("--bytes", "--size", "9", "--count", str(PINGS), "--pause", "5", "--timeout", "5")
        programs = [
            self.rust(release, "initiator", "--to", to + way, *pings)
            for release in RELEASES
            for way in ("/service/echo", "/secure/api/service/echo")
        ]
        await deferLater(reactor, 5 * PINGS)  # type: ignore[arg-type]
        for program in programs:
            self.assertEqual(await deferToThread(program.value, "Echoed"), str(PINGS))
