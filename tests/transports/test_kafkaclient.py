"""
Tests for L{ockam_twisted.transports.kafkaclient} where there is no broker; with one they
are in C{tests/kafka}.
"""

from __future__ import annotations

import threading
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from ockam_twisted.transports import kafkaclient, kafkatopics
from ockam_twisted.transports.kafkaclient import KafkaClient
from tests.scenarios.processes import freePort


class Side:
    """
    Notes what it is told.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.next: Deferred[str] = Deferred()

    def opened(self) -> None:
        self.told.append("opened")

    def received(self, values: list[bytes]) -> None:
        self.told.append("received")

    def assigned(self, isOurs: bool) -> None:
        self.told.append("assigned")

    def lost(self, why: str) -> None:
        self.told.append(why)
        if not self.next.called:
            self.next.callback(why)


class NobodyTests(TestCase):
    """
    Nobody listens where the broker should be.
    """

    def setUp(self) -> None:
        """
        Nobody waits for long.
        """
        self.patch(kafkatopics, "PATIENCE", 0.5)
        self.patch(kafkaclient, "AGAIN", 0.1)
        self.side = Side()

    def client(self, group: str = "") -> KafkaClient:
        """
        One that has begun.
        """
        client = KafkaClient(reactor, f"127.0.0.1:{freePort()}", "a", "b", group, self.side)
        client.open()
        return client

    def threads(self) -> list[str]:
        """
        Those that are left.
        """
        return [each.name for each in threading.enumerate() if each.name.startswith("kafka ")]

    async def test_once(self) -> None:
        """
        Who dials is told, once, and nothing is left.
        """
        client = self.client()
        self.assertIn("Connection refused", await self.side.next)
        await client.close()
        self.assertEqual(len(self.side.told), 1)
        self.assertEqual(self.threads(), [])
        await client.close()

    async def test_again(self) -> None:
        """
        Who listens is told, too, and goes on trying.
        """
        client = self.client("group")
        await self.side.next
        while len(self.side.told) < 3:
            await deferLater(reactor, 0.05)  # type: ignore[arg-type]
        await client.close()
        self.assertNotIn("opened", self.side.told)
        self.assertEqual(self.threads(), [])

    async def test_send(self) -> None:
        """
        What cannot be sent is said to be so, but not at once.
        """
        client = self.client()
        done: Deferred[Any] = Deferred()
        client.send(b"x", done.callback)
        self.assertNoResult(done)
        self.assertIn("no connection", await done)
        await client.close()

    async def test_closeAtOnce(self) -> None:
        """
        Who is closed while he looks for the broker ends then.
        """
        self.patch(kafkatopics, "PATIENCE", 60.0)
        client = self.client()
        await client.close()
        self.assertEqual(self.side.told, [])
        self.assertEqual(self.threads(), [])
