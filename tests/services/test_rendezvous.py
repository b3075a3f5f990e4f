"""
Tests for L{ockam_twisted.services.rendezvous}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.router import Router
from ockam_twisted.services.rendezvous import ADDRESS, RendezvousService
from ockam_twisted.wire.puncture import Question, decodeAnswer, encodeQuestion

HOP = Address.local("hop")


class Hop:
    """
    A connection that others ask over.
    """

    def __init__(self, kind: Any) -> None:
        self.transport = self
        self.kind = kind
        self.said: list[tuple[str, bytes]] = []

    def getPeer(self) -> Any:
        return IPv4Address(self.kind, "192.0.2.7", 5001)

    def messageReceived(self, message: LocalMessage) -> None:
        self.said.append((str(message.onward_route), message.payload))


class RendezvousTests(SynchronousTestCase):
    """
    Tests for L{RendezvousService}.
    """

    def ask(self, payload: bytes, kind: str = "UDP", back: str = "client") -> list[bytes]:
        """
        Ask over a connection of some kind.
        """
        router, hop = Router(), Hop(kind)
        router.register(HOP, hop)
        RendezvousService(router).startService()
        router.route(LocalMessage(Route((ADDRESS,)), Route((HOP, Address.local(back))), payload), HOP)
        return [each for _, each in hop.said]

    def test_place(self) -> None:
        """
        Who comes over UDP learns where he is seen.
        """
        [answer] = self.ask(encodeQuestion(Question.GET_MY_ADDRESS))
        self.assertEqual(decodeAnswer(answer), ("192.0.2.7", 5001))

    def test_ping(self) -> None:
        """
        Whether it is there can be asked, too.
        """
        [answer] = self.ask(encodeQuestion(Question.PING))
        self.assertIsNone(decodeAnswer(answer))

    def test_others(self) -> None:
        """
        Others, and what is no question, get no answer; nor does another rendezvous.
        """
        question = encodeQuestion(Question.GET_MY_ADDRESS)
        self.assertEqual(self.ask(question, "TCP"), [])
        self.assertEqual(self.ask(b"\x82\x07\x80"), [])
        self.assertEqual(self.ask(question, back="rendezvous"), [])

    def test_nobody(self) -> None:
        """
        A question without a way back is dropped.
        """
        service = RendezvousService(Router())
        service.messageReceived(LocalMessage(Route((ADDRESS,)), Route(), encodeQuestion(Question.PING)))
