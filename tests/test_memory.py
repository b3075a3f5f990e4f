"""
Tests of L{ockam_twisted.memory}: links behave as sockets do, and do what a
test says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IConsumer, IPushProducer, ITransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ockam_twisted.interfaces import IWay
from ockam_twisted.memory import MemoryLink, MemoryTransport, MemoryWay
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.testing import MemoryNetwork, MemoryNode
from ockam_twisted.wire.messages import decodeTransport


class Recorder(Protocol):
    """
    Keeps what happens to it.
    """

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.reason: Any = None

    def dataReceived(self, data: bytes) -> None:
        """
        Keep it.
        """
        self.got.append(data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        """
        Keep it.
        """
        assert self.reason is None and reason is not None
        self.reason = reason.value


class Producer:
    """
    Keeps what it is told.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.more: Callable[[], None] = lambda: None

    def pauseProducing(self) -> None:
        """
        See C{IPushProducer}.
        """
        self.told.append("pause")

    def resumeProducing(self) -> None:
        """
        See C{IPushProducer}.
        """
        self.told.append("resume")
        self.more()

    def stopProducing(self) -> None:
        """
        See C{IProducer}.
        """
        self.told.append("stop")


class LinkTestCase(SynchronousTestCase):
    """
    A link between two recorders.
    """

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.client, self.server = Recorder(), Recorder()
        self.link: MemoryLink = self.network.join(self.client, self.server)
        self.near: MemoryTransport = self.link.client
        self.far: MemoryTransport = self.link.server


class TransportTests(LinkTestCase):
    """
    The two ends.
    """

    def test_interfaces(self) -> None:
        """
        A transport is what it says it is, and knows both addresses.
        """
        for interface in (ITransport, IConsumer, IPushProducer):
            self.assertTrue(verifyObject(interface, self.near))
        self.assertTrue(verifyObject(IAddress, self.near.getHost()))
        self.assertEqual(self.near.getHost(), self.far.getPeer())
        self.assertEqual(self.near.getPeer(), self.far.getHost())

    def test_bytes(self) -> None:
        """
        What one writes the other gets, in order, when the network moves.
        """
        self.near.write(b"a")
        self.near.writeSequence([b"b", b"c"])
        self.near.write(b"")
        self.far.write(b"back")
        self.assertEqual((self.client.got, self.server.got), ([], []))
        self.network.pump()
        self.assertEqual((self.client.got, self.server.got), ([b"back"], [b"a", b"bc"]))

    def test_lose(self) -> None:
        """
        Losing the connection delivers what was written before, nothing that
        is written after, and tells both ends once.
        """
        self.near.write(b"last")
        self.near.loseConnection()
        self.near.loseConnection()
        self.near.write(b"too late")
        self.network.pump()
        self.assertEqual(self.server.got, [b"last"])
        self.assertIsInstance(self.client.reason, ConnectionDone)
        self.assertIsInstance(self.server.reason, ConnectionDone)
        self.assertFalse(self.link.isAlive)
        self.far.write(b"nobody")
        self.network.pump()
        self.assertEqual(self.client.got, [])

    def test_abort(self) -> None:
        """
        Aborting loses what is under way, and looks like a reset from afar.
        """
        self.near.write(b"lost")
        self.near.abortConnection()
        self.network.pump()
        self.assertEqual(self.server.got, [])
        self.assertIsInstance(self.client.reason, ConnectionAborted)
        self.assertIsInstance(self.server.reason, ConnectionLost)
        self.near.abortConnection()
        self.network.pump()

    def test_cut(self) -> None:
        """
        A cut loses what is under way in both directions.
        """
        self.near.write(b"lost")
        self.far.write(b"lost")
        self.link.cut()
        self.network.pump()
        self.assertEqual((self.client.got, self.server.got), ([], []))
        for end in (self.client, self.server):
            self.assertIsInstance(end.reason, ConnectionLost)

    def test_paused(self) -> None:
        """
        Like a socket a paused transport is deaf, to the end of the connection
        too.
        """
        self.far.pauseProducing()
        self.near.write(b"a")
        self.near.loseConnection()
        self.network.pump()
        self.assertEqual((self.server.got, self.server.reason), ([], None))
        self.far.resumeProducing()
        self.network.pump()
        self.assertEqual(self.server.got, [b"a"])
        self.assertIsInstance(self.server.reason, ConnectionDone)
        self.far.stopProducing()

    def test_pushProducer(self) -> None:
        """
        A producer is paused while too much is under way, and resumed when
        half of it has gone.
        """
        producer = Producer()
        self.near.registerProducer(producer, True)
        self.assertRaises(RuntimeError, self.near.registerProducer, producer, True)
        self.link.toServer.held = True
        for _ in range(3):
            self.near.write(bytes(self.near.bufferSize // 2))
        self.assertEqual(producer.told, ["pause"])
        self.network.pump()
        self.assertEqual(producer.told, ["pause"])
        self.link.toServer.held = False
        self.network.pump()
        self.assertEqual(producer.told, ["pause", "resume"])

    def test_producerEnds(self) -> None:
        """
        A producer holds back the end until it has finished, and is told of an
        end that does not wait.
        """
        producer = Producer()
        self.near.registerProducer(producer, True)
        self.near.loseConnection()
        self.network.pump()
        self.assertIsNone(self.client.reason)
        self.near.unregisterProducer()
        self.network.pump()
        self.assertIsInstance(self.client.reason, ConnectionDone)
        self.far.registerProducer(producer, True)
        self.assertEqual(producer.told, ["stop"])
        producer = Producer()
        link = self.network.join(Recorder(), Recorder())
        link.client.registerProducer(producer, True)
        link.client.abortConnection()
        self.network.pump()
        self.assertEqual(producer.told, ["stop"])

    def test_pullProducer(self) -> None:
        """
        A pull producer is asked each time that everything has gone.
        """
        producer = Producer()
        pieces = [b"a", b"b", b"c"]

        def more() -> None:
            if pieces:
                self.near.write(pieces.pop(0))
            else:
                self.near.unregisterProducer()
                self.near.loseConnection()

        producer.more = more
        self.near.registerProducer(producer, False)
        self.network.pump()
        self.assertEqual(self.server.got, [b"a", b"b", b"c"])
        self.assertIsInstance(self.server.reason, ConnectionDone)


class PipeTests(LinkTestCase):
    """
    What a test can do to what is under way.
    """

    def test_held(self) -> None:
        """
        What is held can be read, changed, reordered and dropped.
        """
        pipe = self.link.toServer
        pipe.held = True
        for each in (b"a", b"b", b"c"):
            self.near.write(each)
        self.network.pump()
        self.assertEqual((list(pipe.waiting), pipe.pending), ([b"a", b"b", b"c"], 3))
        pipe.waiting.reverse()
        pipe.waiting.pop()
        pipe.inject(b"injected")
        pipe.held = False
        self.network.pump()
        self.assertEqual(self.server.got, [b"c", b"b", b"injected"])
        self.assertEqual((pipe.delivered, pipe.pending), (10, 0))

    def test_intercept(self) -> None:
        """
        Who intercepts decides what goes on: nothing, the same, or more; what
        is recorded is what was sent.
        """
        pipe = self.link.toServer
        pipe.record = True
        pipe.intercept = lambda item: {b"a": [], b"b": [b"b"], b"c": [b"x", b"y"]}[item]
        for each in (b"a", b"b", b"c"):
            self.near.write(each)
        self.network.pump()
        self.assertEqual(self.server.got, [b"b", b"x", b"y"])
        self.assertEqual(pipe.recorded, [b"a", b"b", b"c"])

    def test_framed(self) -> None:
        """
        Between nodes, items are transport messages without their lengths, and
        the version byte is none of them.
        """
        network = MemoryNetwork()
        alice, bob = MemoryNode(network, "alice"), MemoryNode(network, "bob")
        link = alice.connect(bob)
        link.toServer.record = True
        inbox = bob.inbox("inbox", bob.transport.listenerId)
        alice.send(link.route("inbox"), b"hello", alice.inbox("from"))
        network.pump()
        self.assertEqual(inbox.payloads, [b"hello"])
        [item] = link.toServer.recorded
        self.assertEqual(decodeTransport(item).payload, b"hello")
        link.toServer.inject(item)
        network.pump()
        self.assertEqual(inbox.payloads, [b"hello", b"hello"])


class WayTests(SynchronousTestCase):
    """
    L{MemoryWay}.
    """

    def setUp(self) -> None:
        self.route = Route((Address.local("outlet"),))
        self.way = MemoryWay()

    def test_interface(self) -> None:
        """
        It is a way, down at first unless it is given a route.
        """
        self.assertTrue(verifyObject(IWay, self.way))
        self.assertEqual((self.way.route, self.way.why), (None, "it is not up yet"))
        up = MemoryWay(self.route)
        self.assertEqual((up.route, up.why), (self.route, ""))
        self.assertEqual(self.successResultOf(up.whenUp()), self.route)

    def test_changes(self) -> None:
        """
        Who waits hears of the next route, who listens of every change until
        they do not want to any more.
        """
        waiting = self.way.whenUp()
        heard: list[Route | None] = []
        forget, forgetToo = self.way.changed(heard.append), self.way.changed(heard.append)
        forgetToo()
        forgetToo()
        self.assertNoResult(waiting)
        self.way.change(self.route)
        self.assertEqual(self.successResultOf(waiting), self.route)
        self.way.change(None)
        self.assertEqual((self.way.route, self.way.why), (None, "it went down"))
        forget()
        self.way.change(self.route)
        self.assertEqual(heard, [self.route, None])

    def test_givenUp(self) -> None:
        """
        Who has given up is not told, also when the first one told makes the
        second one give up.
        """
        self.failureResultOf(self.canceled(self.way.whenUp()), CancelledError)
        first, second = self.way.whenUp(), self.way.whenUp()
        first.addCallback(lambda _: second.cancel())
        self.way.change(self.route)
        self.failureResultOf(second, CancelledError)

    def canceled(self, waiting: Deferred[Any]) -> Deferred[Any]:
        """
        Give up.
        """
        waiting.cancel()
        return waiting

    def test_suspected(self) -> None:
        """
        What it was suspected for is kept.
        """
        self.way.suspect("no answer")
        self.assertEqual(self.way.suspected, ["no answer"])
