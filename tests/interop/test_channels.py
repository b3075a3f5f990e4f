"""
Secure channels between a node of ours, in this process, and Rust nodes of two
releases; over real sockets and in real time.
"""

from __future__ import annotations

from twisted.internet.threads import deferToThread

from ockam_twisted.errors import OckamError, PeerNotTrusted
from ockam_twisted.identity.creation import rotateStored
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import TrustEveryone, TrustIdentifier
from ockam_twisted.node import Node
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.services.requests import requestRaw
from ockam_twisted.storage.memory import MemoryStore
from tests.interop.nodes import NodeTestCase, eachRelease
from tests.scenarios.processes import Program

#: More than six keys of a direction are used for.
MANY = 200
#: Larger than any Payload.
LARGE = 150_000


@eachRelease
class ChannelTests(NodeTestCase):
    """
    Channels, either side beginning.
    """

    async def listener(self, *arguments: str, state: str = "rust") -> tuple[Program, int]:
        """
        A Rust node with a secure channel listener and an echo worker.
        """
        port = self.port()
        program = self.rust(self.release, "listener", "--listen", f"127.0.0.1:{port}", *arguments, state=state)
        await deferToThread(program.value, "Ready")
        return program, port

    async def initiator(self, to: str, *arguments: str, state: str = "rust") -> Program:
        """
        A Rust node that makes a channel to us and uses it.
        """
        return self.rust(self.release, "initiator", "--to", to, *arguments, state=state)

    async def echoed(self, node: Node, route: Route, count: int = MANY) -> None:
        """
        Messages of all sizes come back over a channel, in order.
        """
        for number in range(count):
            payload = bytes([number % 256]) * (LARGE if number == count // 2 else 10 + number)
            with node.router.turn:
                reply = requestRaw(node.router, node.reactor, route, payload, 20)
            self.assertEqual(await reply, payload)

    async def test_weInitiate(self) -> None:
        """
        We begin, trusting one identifier; messages pass over many keys.
        """
        program, port = await self.listener("--secure", "api")
        node = await self.node()
        there = await deferToThread(program.value, "Identifier")
        connection = await node.connect(f"127.0.0.1:{port}")
        channel = await node.createSecureChannel([*connection, "api"], authorized=[there])
        self.assertEqual(str(channel.peerIdentifier), there)
        await self.echoed(node, Route((channel.encryptor, Address.local("echo"))))

    async def test_theyInitiate(self) -> None:
        """
        They begin, each side trusting one identifier; messages pass over many
        keys, small and large.
        """
        node = await self.node()
        who = await deferToThread(self.who, self.release, "rust")
        listener = node.createSecureChannelListener(TrustIdentifier(Identifier.parse(who)))
        port = await self.listening(node)
        at = f"/dnsaddr/127.0.0.1/tcp/{port}/secure/api/service/echo"
        for size, count in (("50", MANY), (str(LARGE), 20)):
            program = await self.initiator(
                at, "--count", str(count), "--size", size, "--window", "10", "--authorized", str(node.identifier)
            )
            self.assertEqual(await deferToThread(program.value, "Echoed"), str(count))
            self.assertEqual(await deferToThread(program.value, "Channel with"), str(node.identifier))
            # They close it when they are done.
            await deferToThread(program.process.wait, 20)
            await self.until(lambda: not listener.channels, "the end of the channel that they have closed")

    async def test_theyAreNotTrusted(self) -> None:
        """
        Somebody else than expected gets no channel, whoever begins; we say so
        when we know.
        """
        program, port = await self.listener("--secure", "api")
        node = await self.node()
        connection = await node.connect(f"127.0.0.1:{port}")
        await self.assertFailure(
            node.createSecureChannel([*connection, "api"], authorized=["I" + "0" * 64]), PeerNotTrusted
        )
        listener = node.createSecureChannelListener(TrustIdentifier(Identifier.parse("I" + "0" * 64)))
        at = f"/dnsaddr/127.0.0.1/tcp/{await self.listening(node)}/secure/api/service/echo"
        program = await self.initiator(at, "--timeout", "3")
        self.assertNotEqual(await deferToThread(program.process.wait, 20), 0)
        self.assertNotIn("Echoed", program.text())
        self.assertEqual(len(listener.channels), 0)

    async def test_weAreNotTrusted(self) -> None:
        """
        A Rust node that expects somebody else gives us no channel: as
        initiators we believe in it until nothing comes back (the protocol has
        no answer to message 3); as responders we do not answer for ever.
        """
        program, port = await self.listener("--secure", "api", "--authorized", "I" + "0" * 64)
        node = await self.node()
        connection = await node.connect(f"127.0.0.1:{port}")
        try:
            channel = await node.createSecureChannel([*connection, "api"], trust=TrustEveryone())
        except OckamError:
            pass
        else:
            with node.router.turn:
                route = Route((channel.encryptor, Address.local("echo")))
                reply = requestRaw(node.router, node.reactor, route, b"x", 2)
            await self.assertFailure(reply, OckamError)
        node.createSecureChannelListener(TrustEveryone())
        at = f"/dnsaddr/127.0.0.1/tcp/{await self.listening(node)}/secure/api/service/echo"
        program = await self.initiator(at, "--timeout", "3", "--authorized", "I" + "0" * 64)
        self.assertNotEqual(await deferToThread(program.process.wait, 20), 0)
        self.assertNotIn("Echoed", program.text())

    async def test_nested(self) -> None:
        """
        A channel inside a channel, made by either side.
        """
        program, port = await self.listener("--secure", "api", "--secure", "inner")
        node = await self.node()
        there = await deferToThread(program.value, "Identifier")
        connection = await node.connect(f"127.0.0.1:{port}")
        outer = await node.createSecureChannel([*connection, "api"], authorized=[there])
        inner = await node.createSecureChannel([outer.encryptor, "inner"], authorized=[there])
        await self.echoed(node, Route((inner.encryptor, Address.local("echo"))), 70)
        mine = node.createSecureChannelListener(TrustEveryone())
        node.createSecureChannelListener(TrustEveryone(), ("inner",), (mine.flowId,))
        at = f"/dnsaddr/127.0.0.1/tcp/{await self.listening(node)}/secure/api/secure/inner/service/echo"
        program = await self.initiator(at, "--count", "70", "--size", "1000")
        self.assertEqual(await deferToThread(program.value, "Echoed"), "70")

    async def test_theirKeyIsRotated(self) -> None:
        """
        An identity of theirs whose key was rotated is still itself, also for
        who has seen its older history.
        """
        who = await deferToThread(self.who, self.release, "rust")
        node = await self.node()
        for arguments in ((), ("--rotate",)):
            if arguments:
                said = await deferToThread(
                    self.ask, self.release, "identity", *arguments, "--state", str(self.folder / "rust")
                )
                self.assertEqual(said["Identifier"], who)
            program, port = await self.listener("--secure", "api")
            connection = await node.connect(f"127.0.0.1:{port}")
            channel = await node.createSecureChannel([*connection, "api"], authorized=[who])
            await self.echoed(node, Route((channel.encryptor, Address.local("echo"))), 3)
            await deferToThread(program.end)

    async def test_ourKeyIsRotated(self) -> None:
        """
        An identity of ours whose key was rotated is still itself.
        """
        store = MemoryStore()
        before = await self.node(store)
        who = before.identifier
        party = before.requireParty()
        await rotateStored(party.vault, store, party.identity, party.now())
        await before.stopService()
        node = await self.node(store)
        self.assertEqual(node.identifier, who)
        self.assertEqual(len(node.requireParty().identity.history.changes), 2)
        program, port = await self.listener("--secure", "api", "--authorized", str(who))
        connection = await node.connect(f"127.0.0.1:{port}")
        there = await deferToThread(program.value, "Identifier")
        channel = await node.createSecureChannel([*connection, "api"], authorized=[there])
        await self.echoed(node, Route((channel.encryptor, Address.local("echo"))), 3)

    async def test_theirKeyIsP256(self) -> None:
        """
        An identity of theirs with a P-256 key, on either side.
        """
        who = await deferToThread(self.who, self.release, "p256", "--p256")
        program, port = await self.listener("--secure", "api", "--p256", state="p256")
        self.assertEqual(await deferToThread(program.value, "Identifier"), who)
        node = await self.node()
        connection = await node.connect(f"127.0.0.1:{port}")
        channel = await node.createSecureChannel([*connection, "api"], authorized=[who])
        await self.echoed(node, Route((channel.encryptor, Address.local("echo"))), 3)
        await deferToThread(program.end)
        node.createSecureChannelListener(TrustIdentifier(Identifier.parse(who)))
        at = f"/dnsaddr/127.0.0.1/tcp/{await self.listening(node)}/secure/api/service/echo"
        program = await self.initiator(at, "--p256", state="p256")
        self.assertEqual(await deferToThread(program.value, "Echoed"), "1")

    async def test_ourKeyIsP256(self) -> None:
        """
        An identity of ours with a P-256 key is accepted by them.
        """
        store = MemoryStore()
        node = await self.node(store, kind=1)
        program, port = await self.listener("--secure", "api", "--authorized", str(node.identifier))
        there = await deferToThread(program.value, "Identifier")
        connection = await node.connect(f"127.0.0.1:{port}")
        channel = await node.createSecureChannel([*connection, "api"], authorized=[there])
        await self.echoed(node, Route((channel.encryptor, Address.local("echo"))), 3)

    async def test_weClose(self) -> None:
        """
        A channel that we close is gone for them: what comes later is not
        answered, and a new one is made over the same connection.
        """
        program, port = await self.listener("--secure", "api")
        node = await self.node()
        there = await deferToThread(program.value, "Identifier")
        connection = await node.connect(f"127.0.0.1:{port}")
        for _ in range(3):
            channel = await node.createSecureChannel([*connection, "api"], authorized=[there])
            await self.echoed(node, Route((channel.encryptor, Address.local("echo"))), 2)
            channel.close()
            with node.router.turn:
                route = Route((channel.encryptor, Address.local("echo")))
                late = requestRaw(node.router, node.reactor, route, b"late", 1)
            await self.assertFailure(late, OckamError)
