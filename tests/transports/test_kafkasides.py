"""
Tests for L{ockam_twisted.transports.kafkasides}; the broker is in memory, so that it does
what it is told.  A real one is in C{tests/kafka}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.transports import kafka, kafkasides
from ockam_twisted.transports.roads import clientEndpointOf, serverEndpointOf
from ockam_twisted.wire.kafka import CONNECTION, Kind, Record, decode, encode
from tests.transports.test_kafkalink import Behind


@define
class Memory:
    """
    A broker: topics, and who reads each.
    """

    topics: dict[str, list[bytes]] = field(factory=dict)
    clients: list[Client] = field(factory=list)
    isAway: bool = False

    def pump(self) -> None:
        """
        Everybody gets what is there for him.
        """
        moved = not self.isAway
        while moved:
            moved = False
            for client in list(self.clients):
                values = self.topics.setdefault(client.reads, [])[client.at :]
                if values and not client.isPaused and client.isReader:
                    client.at += len(values)
                    moved = True
                    client.side.received(values)


class Client:
    """
    Looks like L{ockam_twisted.transports.kafkaclient.KafkaClient}.
    """

    memory: Memory

    def __init__(self, reactor: Any, broker: str, writes: str, reads: str, group: str, side: Any) -> None:
        self.broker, self.writes, self.reads, self.group, self.side = broker, writes, reads, group, side
        self.isPaused = self.isClosed = self.isOpen = False
        self.isReader = not group
        self.at = 0

    def open(self) -> None:
        """
        Wait for L{begin}.
        """
        self.isOpen = True
        self.memory.clients.append(self)

    def begin(self) -> None:
        """
        The broker is there.
        """
        self.at = 0 if self.group else len(self.memory.topics.setdefault(self.reads, []))
        self.side.opened()

    def assign(self, isOurs: bool = True) -> None:
        """
        The group has agreed.
        """
        self.isReader = isOurs
        self.side.assigned(isOurs)

    def send(self, value: bytes, done: Callable[[str], object]) -> None:
        """
        Write a record.
        """
        self.memory.topics.setdefault(self.writes, []).append(value)
        done("")

    def pause(self) -> None:
        """
        Fetch no more.
        """
        self.isPaused = True

    def resume(self) -> None:
        """
        Fetch again.
        """
        self.isPaused = False

    def close(self) -> Deferred[None]:
        """
        End.
        """
        self.isClosed = True
        if self in self.memory.clients:
            self.memory.clients.remove(self)
        return succeed(None)


class Factory:
    """
    Makes what is behind links.
    """

    def __init__(self, most: int = 1000) -> None:
        self.made: list[Behind] = []
        self.most = most

    def buildProtocol(self, address: Any) -> Behind | None:
        """
        One more, if there may be.
        """
        if len(self.made) >= self.most:
            return None
        self.made.append(Behind())
        return self.made[-1]


class KafkaTestCase(SynchronousTestCase):
    """
    Both sides of a stream.
    """

    def setUp(self) -> None:
        """
        A broker in memory.
        """
        self.clock = Clock()
        self.memory = Memory()
        Client.memory = self.memory
        self.patch(kafkasides, "KafkaClient", Client)

    def listen(self, most: int = 1000, isOurs: bool = True) -> tuple[Any, Factory]:
        """
        Somebody listens.
        """
        factory = Factory(most)
        endpoint = serverEndpointOf(self.clock, "kafka:b.example:9092:blue")
        port = self.successResultOf(endpoint.listen(factory))  # type: ignore[union-attr,arg-type]
        port.client.begin()
        port.client.assign(isOurs)
        return port, factory

    def dial(self) -> tuple[Client, Behind]:
        """
        Somebody dials.
        """
        endpoint = clientEndpointOf(self.clock, "kafka:b.example:9092:blue")
        made = endpoint.connect(Factory())  # type: ignore[union-attr,arg-type]
        client = self.memory.clients[-1]
        client.begin()
        return client, self.successResultOf(made)

    def last(self, topic: str) -> Record:
        """
        What was written last.
        """
        return decode(self.memory.topics[f"blue.{topic}"][-1])


class StreamTests(KafkaTestCase):
    """
    Tests for both sides.
    """

    def test_both(self) -> None:
        """
        Several dial, and each talks to one at the other end.
        """
        _, factory = self.listen()
        near = [self.dial()[1] for _ in range(3)]
        for number, each in enumerate(near):
            each.transport.write(b"to %d" % number)
        self.memory.pump()
        self.assertEqual([each.messages for each in factory.made], [[b"to 0"], [b"to 1"], [b"to 2"]])
        for number, each in enumerate(factory.made):
            each.transport.write(b"from %d" % number)
        self.memory.pump()
        self.assertEqual([each.messages for each in near], [[b"from 0"], [b"from 1"], [b"from 2"]])

    def test_before(self) -> None:
        """
        Who dials before somebody listens is heard then.
        """
        _, near = self.dial()
        near.transport.write(b"hello")
        _, factory = self.listen()
        self.memory.pump()
        self.assertEqual(factory.made[0].messages, [b"hello"])
        self.assertIsNone(near.reason)

    def test_ends(self) -> None:
        """
        An end at one side is one at the other; who has dialed lets go of the broker.
        """
        _, factory = self.listen()
        for isNear in (True, False):
            client, near = self.dial()
            near.transport.write(b"x")
            self.memory.pump()
            far = factory.made[-1]
            (near if isNear else far).transport.loseConnection()
            self.memory.pump()
            self.assertTrue(near.reason and far.reason and client.isClosed)

    def test_restarted(self) -> None:
        """
        Who has listened is gone, and another one is there: who has dialed hears of it at
        once, and what is left of that connection is nobody's.
        """
        port, _ = self.listen()
        _, near = self.dial()
        near.transport.write(b"x")
        self.memory.pump()
        self.memory.topics["blue.back"].append(
            encode(Record(Kind.MESSAGE, near.transport.connection, port.incarnation, 0, b"y"))
        )
        self.memory.pump()
        self.memory.clients.remove(port.client)
        _, factory = self.listen()
        self.memory.pump()
        self.assertEqual(near.aborted, "another one listens now")
        # It reads all of the topic, and so what was there for the first one.
        self.assertEqual([each.reason is None for each in factory.made], [False])

    def test_helloBefore(self) -> None:
        """
        Who has not been answered yet waits for whoever listens.
        """
        _, near = self.dial()
        near.transport.write(b"x")
        self.listen()
        self.listen()
        self.memory.pump()
        self.assertIsNone(near.reason)

    def test_unknown(self) -> None:
        """
        What belongs to no connection that there is gets an end for an answer, but for an
        end.
        """
        port, factory = self.listen()
        connection = b"c" * CONNECTION
        there = self.memory.topics.setdefault("blue.there", [])
        there.append(encode(Record(Kind.MESSAGE, connection, b"i" * 8, 5, b"x")))
        self.memory.pump()
        self.assertEqual(self.last("back"), Record(Kind.END, connection, port.incarnation))
        count = len(self.memory.topics["blue.back"])
        there.append(encode(Record(Kind.END, connection, b"i" * 8)))
        there += [b"", b"nonsense", encode(Record(Kind.HELLO, connection, b"i" * 8))]
        self.memory.pump()
        self.assertEqual((len(self.memory.topics["blue.back"]), factory.made), (count, []))

    def test_again(self) -> None:
        """
        A group may read something again: neither is it heard twice, nor does a connection
        that has ended begin again.
        """
        port, factory = self.listen()
        _, first = self.dial()
        _, second = self.dial()
        for each in (first, second):
            each.transport.write(b"x")
        self.memory.pump()
        first.transport.loseConnection()
        self.memory.pump()
        port.client.at = 0
        self.memory.pump()
        self.assertEqual([each.messages for each in factory.made], [[b"x"], [b"x"]])
        self.assertIsNone(second.reason)

    def test_another(self) -> None:
        """
        Another one reads the stream now: who does not any more ends its connections, and
        who has dialed dials the other one.
        """
        port, factory = self.listen()
        other, others = self.listen(isOurs=False)
        _, near = self.dial()
        near.transport.write(b"x")
        self.memory.pump()
        factory.made[0].transport.write(b"y")
        self.memory.pump()
        self.assertIsNone(near.reason)
        port.client.assign(False)
        other.client.at = port.client.at
        other.client.assign(True)
        self.memory.pump()
        self.assertTrue(factory.made[0].reason and near.reason)
        _, again = self.dial()
        again.transport.write(b"z")
        self.memory.pump()
        self.assertEqual(others.made[0].messages, [b"z"])

    def test_broken(self) -> None:
        """
        What the library cannot mend ends connections; a listener goes on as another one.
        """
        port, factory = self.listen()
        client, near = self.dial()
        near.transport.write(b"x")
        self.memory.pump()
        before = port.incarnation
        port.lost("no permission")
        self.assertEqual(factory.made[0].aborted, "no permission")
        self.assertNotEqual(port.incarnation, before)
        client.side.lost("no permission")
        self.assertEqual(near.aborted, "no permission")

    def test_many(self) -> None:
        """
        There are only so many connections; the one that has been silent for longest has
        to go.
        """
        self.patch(kafkasides, "MAX_LINKS", 2)
        _, factory = self.listen()
        near = [self.dial()[1] for _ in range(2)]
        for number in (0, 1, 0):
            near[number].transport.write(b"x")
        self.memory.pump()
        self.dial()[1].transport.write(b"x")
        self.memory.pump()
        self.assertEqual([each.reason is None for each in factory.made], [True, False, True])
        self.assertEqual([each.reason is None for each in near], [True, False])

    def test_once(self) -> None:
        """
        However much there is of a connection that is not known, it is answered once.
        """
        self.listen()
        there = self.memory.topics.setdefault("blue.there", [])
        before = len(self.memory.topics["blue.back"])
        there += [encode(Record(Kind.MESSAGE, b"c" * CONNECTION, b"i" * 8, 5 + each, b"x")) for each in range(50)]
        self.memory.pump()
        self.assertEqual(len(self.memory.topics["blue.back"]), before + 1)

    def test_away(self) -> None:
        """
        Who is not heard of for a day is given up; who has said something is not.
        """
        port, factory = self.listen()
        near = [self.dial()[1] for _ in range(2)]
        for each in near:
            each.transport.write(b"x")
        self.memory.pump()
        for _ in range(23):
            self.clock.pump([60.0] * 60)
        near[0].transport.write(b"y")
        self.memory.pump()
        self.clock.pump([60.0] * 62)
        self.assertEqual([each.aborted for each in factory.made], ["", f"nothing has come for {kafka.AWAY} s"])
        self.memory.pump()
        self.assertEqual([each.reason is None for each in near], [True, False])
        factory.made[0].transport.loseConnection()
        port.stopListening()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused(self) -> None:
        """
        Who is one too many is told.
        """
        self.listen(most=0)
        _, near = self.dial()
        near.transport.write(b"x")
        self.memory.pump()
        self.assertIsNotNone(near.reason)

    def test_slow(self) -> None:
        """
        No more is fetched while one has too much that it does not want.
        """
        port, factory = self.listen()
        _, near = self.dial()
        near.transport.write(b"x")
        self.memory.pump()
        link = factory.made[0].transport
        link.pauseProducing()
        for _ in range(3):
            near.transport.write(bytes(200_000))
        self.memory.pump()
        self.assertTrue(port.client.isPaused)
        link.resumeProducing()
        self.assertFalse(port.client.isPaused)
        self.assertEqual(len(factory.made[0].messages), 4)

    def test_stop(self) -> None:
        """
        Who listens no more keeps what there is, and lets go of the broker with the last of
        it; nothing begins then.
        """
        port, factory = self.listen()
        _, near = self.dial()
        near.transport.write(b"x")
        self.memory.pump()
        self.successResultOf(port.stopListening())
        self.assertFalse(port.client.isClosed)
        _, late = self.dial()
        late.transport.write(b"x")
        self.memory.pump()
        self.assertIsNotNone(late.reason)
        near.transport.write(b"y")
        self.memory.pump()
        self.assertEqual(factory.made[0].messages, [b"x", b"y"])
        near.transport.loseConnection()
        self.memory.pump()
        self.assertTrue(port.client.isClosed)
        self.assertEqual(port.getHost().name, "kafka:b.example:9092:blue")


class DialingTests(KafkaTestCase):
    """
    Tests for one who dials.
    """

    def test_broken(self) -> None:
        """
        Without a broker there is no connection.
        """
        endpoint = kafka.KafkaEndpoint(self.clock, "b.example", 9092, "blue")
        made = endpoint.connect(Factory())
        self.memory.clients[-1].side.lost("nobody is there")
        error = self.failureResultOf(made, ConnectError).value
        self.assertIn("b.example:9092: nobody is there", str(error))

    def test_canceled(self) -> None:
        """
        Who is not waited for any more lets go of the broker.
        """
        endpoint = kafka.KafkaEndpoint(self.clock, "b.example", 9092, "blue")
        factory = Factory()
        made = endpoint.connect(factory)
        client = self.memory.clients[-1]
        made.cancel()
        self.failureResultOf(made)
        client.begin()
        self.assertTrue(client.isClosed)
        self.assertEqual(factory.made, [])

    def test_tooMany(self) -> None:
        """
        Nor is there one if there may be no more.
        """
        made = kafka.KafkaEndpoint(self.clock, "b.example", 9092, "blue").connect(Factory(0))
        client = self.memory.clients[-1]
        client.begin()
        self.failureResultOf(made, ConnectError)
        self.assertTrue(client.isClosed)
