"""
What leads to a direct way, between nodes of ours, in this process, and one of the newest Rust
release; over real sockets and in real time.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from ockam_twisted.errors import NoRoute
from ockam_twisted.routing.addresses import Route
from ockam_twisted.sessions.attempt import Parts
from ockam_twisted.sessions.negotiation import Punctures, openDirectly
from tests.interop.nodes import NodeTestCase

#: The older release has another layout of datagrams.
RELEASE = "newest"


class RendezvousTests(NodeTestCase):
    """
    Where one is seen, either side asking.
    """

    async def test_weAsk(self) -> None:
        """
        A Rust rendezvous tells us.
        """
        port = self.port()
        program = self.rust(RELEASE, "listener", "--udp-listen", f"127.0.0.1:{port}", "--rendezvous")
        await deferToThread(program.value, "Ready")
        puncture, (host, at) = await Punctures(reactor, ("127.0.0.1", port)).puncture()
        self.assertEqual((host, at), ("127.0.0.1", puncture.getHost().port))
        puncture.close("done")

    async def test_theyAsk(self) -> None:
        """
        We tell them; a ping of theirs is answered, too.
        """
        node, port = await self.node(), self.port()
        node.startRendezvous((node.transport.listenerId,))
        await node.listen(f"udp:{port}:interface=127.0.0.1")
        program = self.rust(RELEASE, "seen", "--to", f"127.0.0.1:{port}")
        host, _, at = (await deferToThread(program.value, "Seen at")).rpartition(":")
        self.assertEqual(host, "127.0.0.1")
        self.assertGreater(int(at), 0)
        await deferToThread(program.process.wait, 20)


class NegotiationTests(NodeTestCase):
    """
    The two implementations understand each other, as far as that goes.
    """

    async def test_weInitiate(self) -> None:
        """
        A Rust node understands what we say, although we say more, and answers; since it offers
        no QUIC the way that there is stays in use.
        """
        node, meeting, port = await self.node(), self.port(), self.port()
        node.startRendezvous((node.transport.listenerId,))
        await node.listen(f"udp:{meeting}:interface=127.0.0.1")
        place = f"127.0.0.1:{meeting}"
        program = self.rust(
            RELEASE, "listener", "--listen", f"127.0.0.1:{port}", "--secure", "api", "--negotiate", place
        )
        await deferToThread(program.value, "Ready")
        there = await deferToThread(program.value, "Identifier")
        connection = await node.connect(f"127.0.0.1:{port}")
        channel = await node.createSecureChannel([*connection, "api"], authorized=[there])
        punctures = Punctures(reactor, ("127.0.0.1", meeting))
        try:
            await openDirectly(punctures, node.walk, Route((channel.encryptor,)), Parts())
        except NoRoute as error:
            self.assertEqual(str(error), "the other end does not speak QUIC")
        else:
            self.fail("there is a way")
