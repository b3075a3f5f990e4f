"""
Tests for L{ockam_twisted.transports.kafkalink}; in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.transports.kafkalink import HIGH, KEPT, LAST, MANY, KafkaAddress, KafkaLink
from ockam_twisted.wire.kafka import Kind, Record

HERE, THERE = b"here here here h", b"incarna1"


class Behind:
    """
    What is behind a link: keeps what comes.
    """

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.reason: Failure | None = None
        self.pauses: list[str] = []
        self.aborted = ""

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        self.messages.append(data)

    def abortConnection(self, reason: str) -> None:
        self.aborted = reason
        self.transport.abortConnection()

    def pauseProducing(self) -> None:
        self.pauses.append("pause")

    def resumeProducing(self) -> None:
        self.pauses.append("resume")

    def connectionLost(self, reason: Failure) -> None:
        self.reason = reason


class LinkTests(SynchronousTestCase):
    """
    One link, whose records go nowhere.
    """

    def setUp(self) -> None:
        """
        It has begun.
        """
        self.clock = Clock()
        self.sent: list[Record] = []
        self.waiting: list[Callable[[str], object]] = []
        self.calls: list[str] = []
        self.link = KafkaLink(self.clock, KafkaAddress("kafka:b:9092:blue"), HERE, b"incarna0", self)
        self.behind = Behind()
        self.link.begin(self.behind)

    def send(self, record: Record, done: Callable[[str], object]) -> None:
        """
        Keep a record.
        """
        self.sent.append(record)
        self.waiting.append(done)

    def hold(self, link: KafkaLink) -> None:
        """
        Note it.
        """
        self.calls.append("hold")

    def release(self, link: KafkaLink) -> None:
        """
        Note it.
        """
        self.calls.append("release")

    def over(self, link: KafkaLink) -> None:
        """
        Note it.
        """
        self.calls.append("over")

    def acknowledge(self, why: str = "") -> None:
        """
        The broker has all, or will not.
        """
        waiting, self.waiting = self.waiting, []
        for done in waiting:
            done(why)

    def come(self, number: int, message: bytes = b"x", incarnation: bytes = THERE) -> None:
        """
        A message comes.
        """
        self.link.recordReceived(Record(Kind.MESSAGE, HERE, incarnation, number, message))

    def end(self) -> None:
        """
        The peer has ended it.
        """
        self.link.recordReceived(Record(Kind.END, HERE, THERE))

    def test_numbers(self) -> None:
        """
        Messages are numbered as they leave.
        """
        for message in (b"a", b"b"):
            self.link.write(message)
        self.assertEqual(
            self.sent,
            [Record(Kind.MESSAGE, HERE, b"incarna0", number, each) for number, each in enumerate((b"a", b"b"))],
        )

    def test_repeats(self) -> None:
        """
        What comes again is dropped, however much of it.
        """
        for number in (0, 1, 0, 1, 1, 2):
            self.come(number, b"%d" % number)
        self.assertEqual(self.behind.messages, [b"0", b"1", b"2"])

    def test_missing(self) -> None:
        """
        What is missing ends it, and the peer is told.
        """
        self.come(0)
        self.come(2)
        self.assertEqual(self.behind.aborted, "messages are missing")
        self.assertEqual(self.behind.messages, [b"x"])
        self.assertEqual(self.sent[-1].kind, Kind.END)
        self.assertIsInstance(self.behind.reason.value, ConnectionLost)  # type: ignore[union-attr]
        self.come(1)
        self.assertEqual((self.behind.messages, self.calls), ([b"x"], ["over"]))

    def test_incarnations(self) -> None:
        """
        Another run of the peer is another peer.
        """
        self.come(0)
        self.come(1, incarnation=b"incarna2")
        self.assertEqual((self.behind.messages, self.calls), ([b"x"], ["over"]))

    def test_output(self) -> None:
        """
        Whoever writes is held back by what the broker has not, in bytes and in messages.
        """
        self.link.write(bytes(HIGH))
        self.assertEqual(self.behind.pauses, [])
        self.link.write(b"x")
        self.assertEqual(self.behind.pauses, ["pause"])
        self.acknowledge()
        self.assertEqual(self.behind.pauses, ["pause", "resume"])
        for _ in range(MANY + 1):
            self.link.write(b"x")
        self.assertEqual(self.behind.pauses, ["pause", "resume", "pause"])

    def test_input(self) -> None:
        """
        A hop that wants nothing gets nothing; when that has become much, no more is
        fetched, until it has gone on.
        """
        self.link.pauseProducing()
        size = KEPT // 4
        for number in range(4):
            self.come(number, bytes(size))
        self.assertEqual((self.behind.messages, self.calls), ([], []))
        self.come(4)
        self.assertEqual(self.calls, ["hold"])
        self.link.resumeProducing()
        self.assertEqual((len(self.behind.messages), self.calls), (5, ["hold", "release"]))

    def test_heldAtTheEnd(self) -> None:
        """
        What was held is released when it ends.
        """
        self.link.pauseProducing()
        self.come(0, bytes(KEPT + 1))
        self.link.abortConnection()
        self.assertEqual(self.calls, ["hold", "release", "over"])

    def test_peerEnds(self) -> None:
        """
        What the peer has said before its end is heard before it.
        """
        self.link.pauseProducing()
        self.come(0)
        self.end()
        self.assertIsNone(self.behind.reason)
        self.link.resumeProducing()
        self.assertEqual(self.behind.messages, [b"x"])
        self.assertIsInstance(self.behind.reason.value, ConnectionDone)  # type: ignore[union-attr]

    def test_lose(self) -> None:
        """
        An end comes after all that was written, and is one once the broker has it.
        """
        self.link.write(b"x")
        self.link.loseConnection()
        self.link.loseConnection()
        self.link.write(b"y")
        self.assertEqual([each.kind for each in self.sent], [Kind.MESSAGE, Kind.END])
        self.assertIsNone(self.behind.reason)
        self.acknowledge()
        self.assertIsInstance(self.behind.reason.value, ConnectionDone)  # type: ignore[union-attr]
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_loseInVain(self) -> None:
        """
        A broker that is away is not waited for when it is to end.
        """
        self.link.loseConnection()
        self.clock.advance(LAST)
        self.assertIsInstance(self.behind.reason.value, ConnectionLost)  # type: ignore[union-attr]
        self.acknowledge("too late")
        self.assertEqual(self.calls, ["over"])

    def test_refused(self) -> None:
        """
        What the broker will never have ends it.
        """
        self.link.write(b"x")
        self.acknowledge("the topic is gone")
        self.assertEqual(self.behind.aborted, "the topic is gone")
        self.assertEqual(self.calls, ["over"])
        self.link.fail("again")
        self.assertEqual(self.calls, ["over"])
