"""
UDP portals: nodes in this process, over real sockets and in real time.
"""

from __future__ import annotations

import random
import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import deferLater

from ockam_twisted.authority.admission import Admission
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.policies.policy import Policy
from tests.scenarios.nodes import RoadTestCase


class Upper(DatagramProtocol):
    """
    A service that says what it hears in capitals, and to how many it has.
    """

    def __init__(self) -> None:
        self.clients: set[Any] = set()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.clients.add(addr)
        transport: Any = self.transport
        transport.write(datagram.upper(), addr)


class Client(DatagramProtocol):
    """
    Keeps what it hears, and from whom.
    """

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.sources: set[Any] = set()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.got.append(datagram)
        self.sources.add(addr)


class DatagramTests(RoadTestCase):
    """
    A service, and clients of an inlet.
    """

    def bind(self, protocol: Any) -> Any:
        """
        A socket that is closed after the test, and has room for what comes at once.
        """
        port: Any = reactor.listenUDP(0, protocol, "127.0.0.1", maxPacketSize=65536)  # type: ignore[attr-defined]
        port.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.addCleanup(port.stopListening)
        return port

    def client(self, inlet: Any) -> Client:
        """
        One more client.
        """
        client = Client()
        self.bind(client).connect("127.0.0.1", inlet.port.getHost().port)
        return client

    async def portal(self, kind: str = "tcp", **options: Any) -> Any:
        """
        A service behind a portal, over a channel over a relay.

        @param kind: Over which transport.
        """
        self.service = Upper()
        at = self.bind(self.service).getHost()
        self.relay, self.outlet, self.inlet = [await self.node() for _ in range(3)]
        place = self.places.place(kind)
        await self.relay.listen(self.places.listen(kind, place))
        self.relay.createRelayService()
        listener = self.outlet.createSecureChannelListener(TrustEveryone())
        self.there = self.outlet.createDatagramOutlet(
            "outlet", ("127.0.0.1", at.port), consumerOf=[listener.flowId], **options
        )
        to = self.places.to(kind, place)
        registration = await self.outlet.createRelay(await self.outlet.connect(to), reachable=["api"])
        name = registration.address.value.decode()
        self.way = self.inlet.createWay(
            f"{to}/service/{name}/secure/api/service/outlet", authorized=[str(self.outlet.identifier)]
        )
        return self.inlet.createDatagramInlet(("127.0.0.1", 0), self.way, options.get("idle", 60.0))

    async def heard(self, client: Client, count: int) -> list[bytes]:
        """
        Wait for so many datagrams.
        """
        await self.until(lambda: len(client.got) >= count, f"{count} datagrams")
        return client.got

    async def test_flows(self) -> None:
        """
        Datagrams of all sizes keep their bounds; each client has a flow, and
        is answered from where it has sent to.
        """
        inlet = await self.portal()
        clients = [self.client(inlet) for _ in range(5)]
        sizes = (0, 1, 1400, 9000, 65_507)
        for number, client in enumerate(clients):
            for size in sizes:
                client.transport.write(bytes([97 + number]) * size)  # type: ignore[union-attr]
                await self.heard(client, sizes.index(size) + 1)
        for number, client in enumerate(clients):
            self.assertEqual(client.got, [bytes([65 + number]) * size for size in sizes])
            self.assertEqual(client.sources, {("127.0.0.1", inlet.port.getHost().port)})
        self.assertEqual((len(self.service.clients), len(inlet.flows), len(self.there.flows)), (5, 5, 5))
        self.assertEqual((inlet.totals.sent, inlet.totals.received, inlet.totals.dropped), (25, 25, 0))

    async def test_overUDP(self) -> None:
        """
        The same when the nodes have nothing but UDP between them.
        """
        inlet = await self.portal("udp")
        client = self.client(inlet)
        for size in (1, 1400, 30_000):
            for _ in range(5):
                before = len(client.got)
                client.transport.write(b"x" * size)  # type: ignore[union-attr]
                for _ in range(100):
                    if len(client.got) > before:
                        break
                    await deferLater(reactor, 0.02)
                else:
                    # It may have been lost.
                    continue
                break
            self.assertEqual(client.got[-1:], [b"X" * size])

    async def test_burst(self) -> None:
        """
        What comes at once arrives, in order.
        """
        inlet = await self.portal()
        client = self.client(inlet)
        client.transport.write(b"first")  # type: ignore[union-attr]
        await self.heard(client, 1)
        sent = [number.to_bytes(4, "big") + random.Random(number).randbytes(1000).lower() for number in range(100)]
        for each in sent:
            client.transport.write(each)  # type: ignore[union-attr]
        got = await self.heard(client, 101)
        self.assertEqual(got[1:], [each.upper() for each in sent])

    async def test_idle(self) -> None:
        """
        A flow that nobody uses ends at both ends, and begins anew when
        somebody does.
        """
        inlet = await self.portal(idle=1.0)
        client = self.client(inlet)
        client.transport.write(b"one")  # type: ignore[union-attr]
        await self.heard(client, 1)
        await self.until(lambda: not inlet.flows and not self.there.flows, "the end of the flow")
        client.transport.write(b"two")  # type: ignore[union-attr]
        self.assertEqual(await self.heard(client, 2), [b"ONE", b"TWO"])
        self.assertEqual(len(self.service.clients), 2)

    async def test_wayLost(self) -> None:
        """
        Datagrams that come while there is no way wait, the oldest are
        dropped, and the flow goes on over another way.
        """
        inlet = await self.portal()
        client = self.client(inlet)
        client.transport.write(b"one")  # type: ignore[union-attr]
        await self.heard(client, 1)
        for hop in list(self.inlet.transport.hops):
            hop.abortConnection("the test")
        await self.until(lambda: self.way.route is None, "the end of the way")
        client.transport.write(b"two")  # type: ignore[union-attr]
        self.assertEqual(await self.heard(client, 2), [b"ONE", b"TWO"])

    async def test_denied(self) -> None:
        """
        Whom a policy does not permit has no flow, and that is said.
        """
        inlet = await self.portal(admission=Admission(Policy.fromText("dba"), "outlet"))
        client = self.client(inlet)
        client.transport.write(b"one")  # type: ignore[union-attr]
        await self.until(lambda: inlet.flows, "the flow of the client")
        self.assertEqual((client.got, self.there.flows), ([], set()))

    async def test_noTarget(self) -> None:
        """
        Where nobody listens datagrams are lost, and nothing else happens.
        """
        inlet = await self.portal()
        client = self.client(inlet)
        client.transport.write(b"one")  # type: ignore[union-attr]
        await self.heard(client, 1)
        service: Any = self.service.transport
        number = service.getHost().port
        await service.stopListening()
        for _ in range(3):
            client.transport.write(b"lost")  # type: ignore[union-attr]
        await self.until(lambda: self.there.totals.received >= 4, "what is lost")
        again = Upper()
        port: Any = reactor.listenUDP(number, again, "127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        client.transport.write(b"back")  # type: ignore[union-attr]
        self.assertIn(b"BACK", await self.heard(client, 2))

    async def test_stop(self) -> None:
        """
        Who stops tells the other end, and nothing is left.
        """
        inlet = await self.portal()
        client = self.client(inlet)
        client.transport.write(b"one")  # type: ignore[union-attr]
        await self.heard(client, 1)
        await self.inlet.removeDatagramPortal(inlet)
        await self.until(lambda: not self.there.flows, "the end of the flow")
