"""
Tests for L{ockam_twisted.transports.message} and what hops have in common, in
memory.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ockam_twisted.interfaces import IHop
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.transports.allowance import BURST
from ockam_twisted.transports.message import MessageProtocol
from ockam_twisted.wire.codecs import BARE, CBOR, PATIENT, Codec
from tests.transports.carriers import MessageTransport
from tests.transports.test_stream import APP, FlowSink, Node

ECHO = Address.local("echo")


def encoded(codec: Codec, onward: str, back: str, payload: bytes) -> bytes:
    """
    A message as a peer sends it.
    """
    routes = [[(0, each.encode())] if each else [] for each in (onward, back)]
    return codec.prefix(*routes) + codec.head(len(payload)) + payload + codec.tail


class MessageTests(SynchronousTestCase):
    """
    Tests for L{MessageProtocol}.
    """

    def setUp(self) -> None:
        """
        A node with a hop.
        """
        self.node = Node(maxFrame=1000, highWater=300)
        self.router = self.node.router

    def hop(self, codec: Codec = BARE, spawnerId: str | None = None) -> tuple[MessageProtocol, MessageTransport]:
        """
        One more hop, and what carries it.
        """
        hop = MessageProtocol(self.node.settings, codec, spawnerId)
        return hop, MessageTransport(hop)

    def send(self, hop: MessageProtocol, payload: bytes, onward: str = "echo") -> None:
        """
        Send a message from the application through a hop.
        """
        route = Route((hop.address, Address.local(onward)))
        self.router.route(LocalMessage(route, Route((APP,)), payload), APP)

    def test_interface(self) -> None:
        """
        It is a hop, and ready at once.
        """
        hop, _ = self.hop()
        verifyObject(IHop, hop)
        self.assertIs(self.successResultOf(hop.ready), hop)
        self.assertEqual(hop.peer, "192.0.2.1:4000")

    def test_out(self) -> None:
        """
        What is routed to it leaves as one message, in its form.
        """
        for codec in (BARE, CBOR):
            hop, transport = self.hop(codec)
            for payload in (b"", b"one", b"x" * 300):
                self.send(hop, payload)
            self.assertEqual(
                transport.written, [encoded(codec, "echo", "app", each) for each in (b"", b"one", b"x" * 300)]
            )
            self.assertEqual(hop.carried, sum(map(len, transport.written)))

    def test_in(self) -> None:
        """
        What arrives is delivered, and can be answered.
        """
        for codec in (BARE, CBOR):
            hop, transport = self.hop(codec)
            self.router.flowControls.addConsumer(APP, hop.flowId)
            del self.node.app.messages[:]
            for payload in (b"one", b"", b"two"):
                hop.dataReceived(encoded(codec, "app", "them", payload))
            self.assertEqual([bytes(each.payload) for each in self.node.app.messages], [b"one", b"", b"two"])
            back = self.node.app.messages[0].return_route
            self.assertEqual(back, Route((hop.address, Address.local("them"))))
            self.router.route(LocalMessage(back, Route((APP,)), b"answer"), APP)
            self.assertEqual(transport.written, [encoded(codec, "them", "app", b"answer")])

    def test_proof(self) -> None:
        """
        A carrier on which anybody can write any address has a word that only who hears
        it can say: it is in front of return routes until it was said, goes no farther, and
        goes on to be understood.
        """

        class Carrier(MessageTransport):
            proof = Address.local("word")
            provenTimes = 0

            def proven(self) -> None:
                self.provenTimes += 1

        hop = MessageProtocol(self.node.settings, BARE)
        transport = Carrier(hop)
        self.router.flowControls.addConsumer(APP, hop.flowId)
        self.send(hop, b"", "them")
        self.router.route(LocalMessage(Route((hop.address, Address.local("them"))), Route(), b""), APP)
        hop.dataReceived(encoded(BARE, "app", "them", b"one"))
        back = self.node.app.messages[0].return_route
        self.router.route(LocalMessage(back, Route((APP,)), b"answer"), APP)
        word = ((0, b"word"), (0, b"app"))
        self.assertEqual(
            transport.written,
            [
                BARE.prefix([(0, b"them")], word) + b"\0",
                BARE.prefix([(0, b"them")], []) + b"\0",
                BARE.prefix([(0, b"them")], word) + b"\x06answer",
            ],
        )
        self.assertEqual(transport.provenTimes, 0)
        for payload in (b"two", b"three"):
            hop.dataReceived(BARE.prefix(word, [(0, b"them")]) + BARE.head(len(payload)) + payload)
        hop.dataReceived(encoded(BARE, "word", "them", b"for nobody"))
        self.assertEqual([bytes(each.payload) for each in self.node.app.messages], [b"one", b"two", b"three"])
        self.assertEqual(self.node.app.messages[1].onward_route, Route((APP,)))
        self.assertEqual(transport.provenTimes, 1)
        self.router.route(LocalMessage(back, Route((APP,)), b"more"), APP)
        self.assertEqual(transport.written[3], encoded(BARE, "them", "app", b"more"))
        self.assertEqual(transport.ending, "")

    def test_noDoor(self) -> None:
        """
        A worker that is no consumer of what arrives is not reached.
        """
        hop, _ = self.hop()
        hop.dataReceived(encoded(BARE, "app", "them", b"one"))
        self.assertEqual(self.node.app.messages, [])

    def test_unreadable(self) -> None:
        """
        What is no message is dropped, as is one that is too large and one
        for nobody; that is said once, and what comes next arrives.
        """
        hop, transport = self.hop()
        self.router.flowControls.addConsumer(APP, hop.flowId)
        with capturedLogs() as events:
            for garbage in (b"", b"\xff" * 20, encoded(BARE, "app", "them", b"x" * 1000), b"\x01\xff\xff\xff\xff\x0f"):
                hop.dataReceived(garbage)
        self.assertEqual([event["event"] for event in events], ["message-unreadable"])
        hop.dataReceived(encoded(BARE, "", "them", b"heartbeat"))
        hop.dataReceived(encoded(BARE, "app", "them", b"good"))
        self.assertEqual([bytes(each.payload) for each in self.node.app.messages], [b"good"])
        self.assertEqual(transport.ending, "")

    def test_manyRoutes(self) -> None:
        """
        However many routes come, few are remembered.
        """
        hop, _ = self.hop()
        self.router.flowControls.addConsumer(APP, hop.flowId)
        for number in range(2500):
            hop.dataReceived(encoded(BARE, "app", f"them{number}", b"x"))
        self.assertEqual(len(self.node.app.messages), 2500)
        self.assertLessEqual(len(hop._flows), 1024)

    def test_tooLarge(self) -> None:
        """
        A message that is too large is dropped, and that is said once.
        """
        hop, transport = self.hop()
        with capturedLogs() as events:
            self.send(hop, b"x" * 1000)
            self.send(hop, b"x" * 1000)
        self.assertEqual([event["event"] for event in events], ["message-too-large"])
        self.assertEqual(transport.written, [])

    def test_parts(self) -> None:
        """
        What is longer than a carrier takes at once goes in parts, which the
        other end puts together.
        """
        for codec in (BARE, CBOR):
            hop, transport = self.hop(codec)
            transport.maxMessage = 100  # type: ignore[attr-defined]
            sent = [b"a" * 50, b"b" * 100, b"c" * 900, b"d"]
            for payload in sent:
                self.send(hop, payload, "app")
            self.assertLessEqual(max(map(len, transport.written)), 100)
            other, _ = self.hop(codec)
            self.router.flowControls.addConsumer(APP, other.flowId)
            del self.node.app.messages[:]
            for message in transport.written:
                other.dataReceived(message)
            self.assertEqual([bytes(each.payload) for each in self.node.app.messages], sent)

    def test_full(self) -> None:
        """
        A carrier that is full gets no more until it has room; then messages
        leave one by one and in order.
        """
        hop, transport = self.hop()
        transport.fill()
        sent = [bytes([number]) * 50 for number in range(8)]
        for payload in sent:
            self.send(hop, payload)
        self.assertEqual(transport.written, [])
        self.assertTrue(hop.isBlocked)
        self.assertTrue(hop.output.full)
        transport.drain()
        self.assertEqual(transport.written, [encoded(BARE, "echo", "app", each) for each in sent])
        self.assertFalse(hop.isBlocked)
        self.assertEqual(hop.output.queued, 0)

    def test_fullAgain(self) -> None:
        """
        It may be full again in between.
        """
        hop, transport = self.hop()
        transport.fill()
        for number in range(4):
            self.send(hop, bytes([number]))
        plain = transport.write

        def write(data: bytes) -> None:
            plain(data)
            transport.fill()

        transport.write = write  # type: ignore[method-assign]
        for count in range(1, 5):
            transport.drain()
            self.assertEqual(len(transport.written), count)
        self.assertEqual(transport.written, [encoded(BARE, "echo", "app", bytes([each])) for each in range(4)])

    def test_lose(self) -> None:
        """
        What is queued leaves before the connection ends; then its address is
        nobody's.
        """
        hop, transport = self.hop()
        reasons: list[str] = []
        hop.whenLost().addCallback(reasons.append)
        transport.fill()
        self.send(hop, b"last")
        hop.loseConnection()
        self.assertEqual(transport.ending, "")
        transport.drain()
        self.assertEqual((len(transport.written), transport.ending), (1, "lost"))
        self.assertEqual(reasons, ["we have closed it"])
        self.assertNotIn(hop.address, self.router._mailboxes)
        self.assertEqual(self.successResultOf(hop.whenLost()), "we have closed it")

    def test_abort(self) -> None:
        """
        It can be ended at once, for a reason that is told.
        """
        hop, transport = self.hop(spawnerId="listener")
        with capturedLogs() as events:
            hop.abortConnection("for a reason")
        self.assertEqual(transport.ending, "aborted")
        self.assertEqual(events[0]["reason"], "for a reason")
        hop.dataReceived(encoded(BARE, "app", "them", b"late"))
        self.assertEqual(self.node.app.messages, [])

    def test_charge(self) -> None:
        """
        What goes the direct way and takes long all the same pauses a
        connection that we have accepted; one that we have made is read on.
        """
        turn = self.router.turn

        class Within(FlowSink):
            def flowOpened(self, message: LocalMessage) -> Any:
                return lambda pieces, size: turn.source.charge(BURST)

        for spawnerId in ("listener", None):
            hop, _ = self.hop(spawnerId=spawnerId)
            name = f"within {spawnerId}"
            self.router.register(Address.local(name), Within())
            self.router.flowControls.addConsumer(Address.local(name), hop.flowId)
            message = encoded(BARE, name, "them", b"x")
            # The first one is what is prepared for.
            hop.dataReceived(message)
            hop.dataReceived(message)
            self.assertFalse(hop.source.pauses)
            hop.dataReceived(message)
            self.assertEqual(bool(hop.source.pauses), spawnerId is not None)

    def test_patient(self) -> None:
        """
        A carrier that keeps messages for who is away says so, to all who would lose patience.
        """
        for codec, isPatient in ((BARE, False), (PATIENT, True)):
            hop, _ = self.hop(codec)
            self.assertIs(hop.isPatient, isPatient)
            self.assertIs(self.router.peers.isPatient(Route((hop.address, ECHO))), isPatient)
            self.assertIs(hop.output.patience == float("inf"), isPatient)

    def test_internalError(self) -> None:
        """
        A worker that fails ends no other connection than the one that the
        message came over.
        """

        class Broken:
            def messageReceived(self, message: Any) -> None:
                raise ZeroDivisionError

        hop, transport = self.hop()
        other, otherTransport = self.hop()
        broken = Address.local("broken")
        self.router.register(broken, Broken())
        self.router.flowControls.addConsumer(broken, hop.flowId)
        hop.dataReceived(encoded(BARE, "broken", "them", b"x"))
        self.flushLoggedErrors(ZeroDivisionError)
        self.assertEqual(otherTransport.ending, "")
        self.assertIn(transport.ending, ("", "aborted"))
        self.assertFalse(other.output.lost)
