"""
Tests for L{ockam_twisted.sessions.negotiation}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from ockam_twisted.errors import NoRoute, TimedOut
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.services.requests import requestRaw
from ockam_twisted.sessions import negotiation
from ockam_twisted.sessions.attempt import Parts
from ockam_twisted.sessions.negotiation import ADDRESS, AT_ONCE, TIMEOUT, openDirectly
from ockam_twisted.transports.puncture import PATIENCE, SILENCE
from ockam_twisted.wire.puncture import QUIC, Introduction, decodeIntroduction, encodeIntroduction
from tests.sessions.direct import DirectTestCase


class NegotiationTests(DirectTestCase):
    """
    Alice asks, and Bob answers.
    """

    def setUp(self) -> None:
        """
        There is a way.
        """
        super().setUp()
        self.parts = Parts()
        self.route = Route(self.way().route[:1])

    def openDirectly(self) -> Deferred[Any]:
        """
        Ask for a direct way.
        """
        opening = Deferred.fromCoroutine(openDirectly(self.punctures, self.walk, self.route, self.parts))
        self.network.advance(2)
        return opening

    def ask(self, payload: bytes, route: Route | None = None) -> Deferred[bytes]:
        """
        Say something to Bob.
        """
        asking = requestRaw(
            self.alice.router, self.network.clock, (route or self.route).append(ADDRESS), payload, TIMEOUT
        )
        self.network.advance(1)
        return asking

    def test_opens(self) -> None:
        """
        A connection comes to be that goes past everybody, and can be used.
        """
        self.assertEqual(self.successResultOf(self.openDirectly()), ("203.0.113.1", 1000))
        [hop] = self.parts.hops
        self.assertEqual(hop.peer, "203.0.113.1:1000")
        self.assertEqual(len(self.bob.transport.hops), 2)
        inbox = self.alice.inbox("mine")
        self.alice.send(Route((hop.address, Address.local("echo"))), b"hello", inbox)
        self.network.advance(1)
        self.assertEqual([each.payload for each in inbox.messages], [b"hello"])

    def test_closed(self) -> None:
        """
        When the connection is closed nothing of it is left, at neither end.
        """
        self.successResultOf(self.openDirectly())
        self.parts.close()
        self.network.advance(30)
        self.assertEqual((len(self.alice.transport.hops), len(self.bob.transport.hops)), (1, 1))
        self.assertEqual(self.negotiation.count, 0)

    def test_silent(self) -> None:
        """
        Who does not know of direct ways does not answer.
        """
        self.negotiation.stopService()
        opening = self.openDirectly()
        self.network.advance(TIMEOUT)
        self.failureResultOf(opening, TimedOut)
        self.assertEqual(self.parts.hops, [])
        self.network.advance(PATIENCE + 5)
        self.assertEqual(self.negotiation.count, 0)

    def test_noRendezvous(self) -> None:
        """
        Without a rendezvous nobody is asked.
        """
        self.punctures.rendezvous = None
        self.failureResultOf(self.openDirectly(), NoRoute)

    def test_theyHaveNone(self) -> None:
        """
        Nor does anybody answer who has none.
        """
        self.theirs.rendezvous = None
        asking = self.ask(encodeIntroduction(Introduction(("192.0.2.1", 1), b"w", QUIC)))
        self.network.advance(TIMEOUT)
        self.failureResultOf(asking, TimedOut)

    def test_noQUIC(self) -> None:
        """
        Who would send streams in datagrams gets no answer; nor does garbage.
        """
        for payload in (encodeIntroduction(Introduction(("192.0.2.1", 1), b"w")), b"", b"\x82\x61x\x80"):
            asking = self.ask(payload)
            self.network.advance(TIMEOUT)
            self.failureResultOf(asking, TimedOut)
            self.assertEqual(self.negotiation.count, 0)

    def test_otherEnd(self) -> None:
        """
        An answer that offers no QUIC, or is none, is an error of ours.
        """
        self.negotiation.stopService()
        router = self.bob.router
        router.flowControls.addConsumer(ADDRESS, self.listener.flowId)

        class Answering:
            answer = b""

            def messageReceived(self, message: LocalMessage) -> None:
                router.route(LocalMessage(message.return_route, Route((ADDRESS,)), self.answer), ADDRESS)

        answering = Answering()
        router.register(ADDRESS, answering)
        for answering.answer in (b"\x00", encodeIntroduction(Introduction(("192.0.2.1", 1), b"w"))):
            self.failureResultOf(self.openDirectly(), NoRoute)

    def test_strangers(self) -> None:
        """
        Who has proven nothing cannot ask.
        """
        self.bob.router.flowControls.addConsumer(ADDRESS, self.bob.transport.listenerId)
        [hop] = self.alice.transport.hops
        asking = self.ask(encodeIntroduction(Introduction(("192.0.2.1", 1), b"w", QUIC)), Route((hop.address,)))
        self.network.advance(TIMEOUT)
        self.failureResultOf(asking, TimedOut)
        self.assertEqual(self.negotiation.count, 0)

    def test_tooMany(self) -> None:
        """
        One peer has only a few, for as long as they are not given up.
        """
        self.patch(negotiation, "PEER_WAYS", 4)
        answered = []
        for _ in range(5):
            asking = self.ask(encodeIntroduction(Introduction(("192.0.2.1", 1), b"w", QUIC)))
            if asking.called:
                answered.append(decodeIntroduction(self.successResultOf(asking)))
            else:
                asking.addErrback(lambda failure: None)
        self.assertEqual([each.carries for each in answered], [QUIC] * 4)
        self.assertEqual(self.negotiation.count, 4)
        self.assertEqual(len([each for each in self.logged if each.get("event") == "direct-ways-too-many"]), 1)
        self.network.advance(PATIENCE + 1)
        self.assertEqual(self.negotiation.count, 0)

    def test_often(self) -> None:
        """
        One peer may ask a few times at once, and then once in a second.
        """
        place = ("2001:db8::1", 1)
        mine = self.alice.inbox("mine")
        for _ in range(12):
            self.alice.send(self.route.append(ADDRESS), encodeIntroduction(Introduction(place, b"w", QUIC)), mine)
        before = self.rendezvous.asked
        self.network.advance(1)
        self.assertEqual(self.rendezvous.asked - before, AT_ONCE)
        self.assertEqual(self.negotiation.count, 0)
        self.assertEqual(len([each for each in self.logged if each.get("event") == "direct-ways-too-many"]), 1)

    def test_stops(self) -> None:
        """
        When the node stops direct ways end.
        """
        self.successResultOf(self.openDirectly())
        self.negotiation.stopService()
        # Less than it takes to notice by itself.
        self.network.advance(SILENCE - 0.5)
        self.assertEqual((len(self.alice.transport.hops), len(self.bob.transport.hops)), (1, 1))
