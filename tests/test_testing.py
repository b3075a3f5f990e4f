"""
Tests of L{ockam_twisted.testing}: the network and the nodes that tests of
other programs may use.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IListeningPort, IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ockam_twisted import testing
from ockam_twisted.errors import PeerNotTrusted
from ockam_twisted.identity.trust import TrustEveryone, TrustIdentifiers
from ockam_twisted.routing.addresses import Route
from ockam_twisted.testing import EPOCH, MemoryNetwork, MemoryNode, loadVectors
from tests.test_memory import Recorder


class NetworkTests(SynchronousTestCase):
    """
    L{MemoryNetwork} and its endpoints.
    """

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.made: list[Recorder] = []

    def factory(self) -> Factory:
        """
        A factory of recorders.
        """

        def build() -> Recorder:
            self.made.append(Recorder())
            return self.made[-1]

        factory = Factory.forProtocol(Protocol)
        factory.noisy = False
        factory.buildProtocol = lambda addr: build()  # type: ignore[method-assign]
        return factory

    def test_all(self) -> None:
        """
        What it promises is there.
        """
        for name in testing.__all__:
            self.assertTrue(hasattr(testing, name), name)

    def test_endpoints(self) -> None:
        """
        Who listens at a name is connected to by that name, until it stops.
        """
        endpoint = self.network.endpoint("somewhere")
        for interface in (IStreamClientEndpoint, IStreamServerEndpoint):
            self.assertTrue(verifyObject(interface, endpoint))
        port = self.successResultOf(endpoint.listen(self.factory()))
        self.assertTrue(verifyObject(IListeningPort, port))
        self.assertEqual(port.getHost().host, "somewhere")
        client: Any = self.successResultOf(endpoint.connect(self.factory()))
        server, same = self.made
        self.assertIs(client, same)
        client.transport.write(b"hello")
        self.network.pump()
        self.assertEqual(server.got, [b"hello"])
        self.successResultOf(port.stopListening())
        self.successResultOf(port.stopListening())
        self.failureResultOf(endpoint.connect(self.factory()), ConnectionRefusedError)
        port.startListening()
        self.successResultOf(endpoint.connect(self.factory()))
        self.assertEqual([link.isAlive for link in self.network.links], [True, True])

    def test_refused(self) -> None:
        """
        A factory without a protocol refuses: as a server after the
        connection, as a client instead of it.
        """
        endpoint = self.network.endpoint("somewhere")
        none = Factory.forProtocol(Protocol)
        none.buildProtocol = lambda addr: None  # type: ignore[method-assign]
        self.successResultOf(endpoint.listen(none))
        client: Any = self.successResultOf(endpoint.connect(self.factory()))
        self.network.pump()
        self.assertIsNotNone(client.reason)
        self.failureResultOf(endpoint.connect(none), ConnectionRefusedError)

    def test_time(self) -> None:
        """
        Time passes in small steps, with everything moving in between; calls
        that are due without time passing are made by pumping.
        """
        seen: list[float] = []

        def tick() -> None:
            seen.append(self.network.clock.seconds())
            if len(seen) < 5:
                self.network.clock.callLater(0.5, tick)

        self.network.clock.callLater(0, tick)
        self.network.pump()
        self.assertEqual(seen, [0.0])
        self.network.advance(1.3)
        self.assertEqual(seen, [0.0, 0.5, 1.0])
        self.assertAlmostEqual(self.network.clock.seconds(), 1.3)

    def test_result(self) -> None:
        """
        The result of what has fired is returned or raised; nothing is an
        error, too.
        """
        later: Deferred[int] = Deferred()
        self.network.clock.callLater(0, later.callback, 3)
        self.assertEqual(self.network.result(later), 3)
        self.assertRaises(ZeroDivisionError, self.network.result, fail(ZeroDivisionError()))
        self.assertRaises(RuntimeError, self.network.result, Deferred())

    def test_restless(self) -> None:
        """
        A network that never comes to rest is an error, not an endless test.
        """
        self.patch(testing, "_MAX_ROUNDS", 50)

        class Restless(Recorder):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(data)

        link = self.network.join(Restless(), Restless())
        link.client.write(b"x")
        self.assertRaises(RuntimeError, self.network.pump)


class NodeTests(SynchronousTestCase):
    """
    L{MemoryNode}.
    """

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.alice, self.bob = MemoryNode(self.network, "alice"), MemoryNode(self.network, "bob")

    def test_example(self) -> None:
        """
        The example of the module: a channel over a link, whose carrier sees
        no plain text.
        """
        self.bob.listen(TrustIdentifiers([self.alice.identifier]))
        link = self.alice.connect(self.bob)
        link.toServer.record = True
        made = self.alice.createChannel(link.route("api"), TrustIdentifiers([self.bob.identifier]))
        channel = self.network.result(made)
        self.assertEqual(channel.peerIdentifier, self.bob.identifier)
        listener = self.bob.listen(TrustEveryone(), channel.flowId, name="other")
        inbox = self.bob.inbox("inbox", listener.flowId, *self.flowIds(), echo=True)
        here = self.alice.inbox("here", channel.flowId)
        self.assertTrue(self.alice.send(Route.of(channel.encryptor, "inbox"), b"a secret", here))
        self.network.pump()
        self.assertEqual(inbox.payloads, [b"a secret"])
        self.assertEqual(here.payloads, [b"a secret"])
        self.assertTrue(link.toServer.recorded)
        self.assertFalse([each for each in link.toServer.recorded if b"a secret" in each])

    def flowIds(self) -> tuple[str, ...]:
        """
        Of everything that reaches bob through a channel.
        """
        controls: Any = self.bob.router.flowControls
        worker: Any = self.bob.router.worker(testing.Address.local("api"))
        return (worker.flowId,) if controls is not None else ()

    def test_trust(self) -> None:
        """
        Who is not trusted gets no channel.
        """
        self.bob.listen(TrustEveryone())
        link = self.alice.connect(self.bob)
        made = self.alice.createChannel(link.route("api"), TrustIdentifiers([self.alice.identifier]))
        self.assertRaises(PeerNotTrusted, self.network.result, made)

    def test_unreachable(self) -> None:
        """
        An inbox is reached from where it was said, and from nowhere else.
        """
        hidden, open_ = self.bob.inbox("hidden"), self.bob.inbox("open", self.bob.transport.listenerId)
        link = self.alice.connect(self.bob)
        source = self.alice.inbox("here")
        for name in ("hidden", "open"):
            self.alice.send(link.route(name), b"x", source)
        self.network.pump()
        self.assertEqual((hidden.payloads, open_.payloads), ([], [b"x"]))
        self.assertFalse(self.alice.send(Route.of("nowhere"), b"x", source))

    def test_time(self) -> None:
        """
        The calendar of a node follows the clock of the network.
        """
        self.assertEqual(self.alice.now(), EPOCH)
        self.network.advance(90.5)
        self.assertEqual(self.alice.now(), EPOCH + 90)

    def test_identities(self) -> None:
        """
        Each node is somebody else; one with the vault of another one and no
        memory is, too.
        """
        third = MemoryNode(self.network, "third", self.alice.vault)
        self.assertEqual(len({self.alice.identifier, self.bob.identifier, third.identifier}), 3)


class VectorTests(SynchronousTestCase):
    """
    L{loadVectors}.
    """

    def test_load(self) -> None:
        """
        A file of vectors is read as it is.
        """
        path = Path(self.mktemp())
        path.write_text(json.dumps({"a": [1, "\N{GREEK SMALL LETTER ALPHA}"]}), "utf-8")
        self.assertEqual(loadVectors(path), {"a": [1, "\N{GREEK SMALL LETTER ALPHA}"]})
        self.assertEqual(loadVectors(str(path)), loadVectors(path))
