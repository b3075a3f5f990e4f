"""
Tests for L{ockam_twisted.transports.kafkaclient} with a real broker; the reactor is one
that the test turns.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka.admin import AdminClient
from twisted.internet.task import Clock

from ockam_twisted.transports.kafkaclient import KafkaClient
from tests.kafka.brokers import KafkaTestCase
from tests.scenarios.processes import PATIENCE


class Turned(Clock):
    """
    A reactor whose turns are the test's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.told: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def callFromThread(self, call: Callable[..., object], *arguments: object) -> None:
        self.told.put((call, arguments))

    def addSystemEventTrigger(self, *arguments: object) -> str:
        return "it"

    def removeSystemEventTrigger(self, trigger: object) -> None:
        assert trigger == "it"

    def until(self, condition: Callable[[], object], patience: float = PATIENCE, told: object = "in vain") -> None:
        """
        Turn until C{condition()} holds.

        @param told: What to say if it does not.
        """
        deadline = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < deadline, told
            self.turn(0.05)

    def turn(self, seconds: float) -> None:
        """
        Do what comes within so many seconds.
        """
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                call, arguments = self.told.get(timeout=left)
            except queue.Empty:
                break
            call(*arguments)
        self.advance(0)


class Side:
    """
    Notes what it is told.
    """

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.isOpen = False
        self.isOurs: bool | None = None
        self.reasons: list[str] = []

    def opened(self) -> None:
        self.isOpen = True

    def received(self, values: list[bytes]) -> None:
        self.values += values

    def assigned(self, isOurs: bool) -> None:
        self.isOurs = isOurs

    def lost(self, why: str) -> None:
        self.reasons.append(why)


class ClientTests(KafkaTestCase):
    """
    Both sides of a stream.
    """

    def setUp(self) -> None:
        """
        A reactor.
        """
        super().setUp()
        self.reactor = Turned()

    def client(self, *, listens: bool) -> tuple[KafkaClient, Side]:
        """
        One side, which has begun.
        """
        side = Side()
        names = ("back", "there") if listens else ("there", "back")
        client = KafkaClient(self.reactor, f"127.0.0.1:{self.broker.port}", *names, "group" if listens else "", side)
        client.open()
        self.addCleanup(self.close, client)
        self.reactor.until(lambda: side.isOpen and (side.isOurs is not None or not listens), told=side.reasons)
        return client, side

    def close(self, client: KafkaClient) -> None:
        """
        End one.
        """
        closed = client.close()
        self.reactor.until(lambda: closed.called)

    def send(self, client: KafkaClient, values: list[bytes]) -> None:
        """
        Send some, and wait until the broker has them.
        """
        done: list[str] = []
        for each in values:
            client.send(each, done.append)
        self.reactor.until(lambda: len(done) == len(values))
        self.assertEqual(set(done), {""})

    def test_pause(self) -> None:
        """
        Who wants nothing gets nothing, for longer than a group waits; then all of it, in order
        and once.
        """
        dials, _ = self.client(listens=False)
        listens, side = self.client(listens=True)
        values = [b"%d" % number for number in range(20_000)]
        self.send(dials, values[:100])
        self.reactor.until(lambda: len(side.values) == 100)
        listens.pause()
        self.reactor.turn(1)
        sender = threading.Thread(target=lambda: [dials.send(each, lambda why: None) for each in values[100:]])
        sender.start()
        self.reactor.turn(15)
        self.assertEqual(len(side.values), 100)
        listens.resume()
        self.reactor.until(lambda: len(side.values) >= len(values))
        self.reactor.turn(1)
        self.assertEqual(side.values, values)
        sender.join()

    def test_saved(self) -> None:
        """
        Who listens anew goes on where the last one was; who dials begins at the end.
        """
        dials, _ = self.client(listens=False)
        first, side = self.client(listens=True)
        self.send(dials, [b"1", b"2"])
        self.reactor.until(lambda: side.values == [b"1", b"2"])
        self.send(first, [b"a"])
        self.close(first)
        self.send(dials, [b"3"])
        second, side = self.client(listens=True)
        _, late = self.client(listens=False)
        self.send(second, [b"b"])
        self.reactor.until(lambda: side.values and late.values)
        self.assertEqual((side.values, late.values), ([b"3"], [b"b"]))

    def test_madeAnew(self) -> None:
        """
        Topics that are deleted under way: who has written is told, and whoever dials then
        makes them anew; who listens reads them.
        """
        dials, _ = self.client(listens=False)
        _, side = self.client(listens=True)
        self.send(dials, [b"%d" % number for number in range(10)])
        self.reactor.until(lambda: len(side.values) == 10)
        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{self.broker.port}"})
        for each in admin.delete_topics(["there", "back"]).values():
            each.result(PATIENCE)
        # It is decided before the broker has done it.
        self.reactor.until(lambda: not {"there", "back"} & admin.list_topics(timeout=PATIENCE).topics.keys())
        told: list[str] = []
        dials.send(b"x", told.append)
        self.reactor.until(lambda: told, 90)
        self.assertNotEqual(told, [""])
        again, _ = self.client(listens=False)
        self.send(again, [b"new"])
        self.reactor.until(lambda: b"new" in side.values, 90)
