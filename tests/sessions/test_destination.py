"""
Tests for L{ockam_twisted.sessions.destination}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import ConfigurationError, InvalidIdentifier, InvalidMultiAddr, LocalProtocolError
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import AllTrust, TrustEveryone, TrustIdentifier, TrustIdentifiers
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.destination import (
    MAX_DESTINATIONS,
    MAX_WAYS,
    Destination,
    destinations,
    labels,
    readPinnedWay,
    sessionsTo,
)
from tests.sessions.common import Attempts

A, B = Identifier.fromDigest(bytes(32)), Identifier.fromDigest(b"\x01" * 32)
ONE, TWO, THREE = (
    MultiAddr.fromText(f"/dnsaddr/{name}/tcp/4000/secure/api/service/outlet") for name in ("one", "two", "three")
)


class DestinationTests(SynchronousTestCase):
    """
    What operators write, and what it means.
    """

    def test_read(self) -> None:
        """
        An identifier may stand before the way; an C{@} further on is a part
        of the way.
        """
        self.assertEqual(readPinnedWay(ONE.text), (None, ONE))
        self.assertEqual(readPinnedWay(f"{A}@{ONE.text}"), (A, ONE))
        odd = "/dnsaddr/one/tcp/1/secure/api/service/a@b"
        self.assertEqual(readPinnedWay(odd), (None, MultiAddr.fromText(odd)))
        self.assertRaises(InvalidIdentifier, readPinnedWay, f"I123@{ONE.text}")
        self.assertRaises(InvalidMultiAddr, readPinnedWay, f"{A}@one:4000")

    def test_sameIdentifier(self) -> None:
        """
        Ways with one identifier lead to one outlet, in the order that they
        are in; others to others, each pinned.
        """
        found = destinations([(A, ONE), (B, TWO), (A, THREE)], None)
        self.assertEqual(
            found,
            (Destination((ONE, THREE), TrustIdentifier(A), str(A)), Destination((TWO,), TrustIdentifier(B), str(B))),
        )

    def test_sole(self) -> None:
        """
        If only one is authorized, ways that say nothing lead to that one.
        """
        for trust in (TrustIdentifier(A), TrustIdentifiers([A])):
            [found] = destinations([(None, ONE), (A, TWO)], trust)
            self.assertEqual((found.ways, found.whom), ((ONE, TWO), str(A)))
            self.assertFalse(found.trust.accepts(B))

    def test_unknown(self) -> None:
        """
        Where several would do, or everybody, each way is an outlet of its
        own.
        """
        for trust in (TrustIdentifiers([A, B]), TrustEveryone()):
            found = destinations([(None, ONE), (None, TWO)], trust)
            self.assertEqual(found, (Destination((ONE,), trust), Destination((TWO,), trust)))

    def test_nobody(self) -> None:
        """
        Without anything that says who must be there it is refused.
        """
        error = self.assertRaises(LocalProtocolError, destinations, [(A, ONE), (None, TWO)], None)
        self.assertIn("IDENTIFIER@MULTIADDR", str(error))

    def test_within(self) -> None:
        """
        Who is named must also be what else is asked for.
        """
        [found] = destinations([(A, ONE)], TrustIdentifier(B), TrustIdentifier(B))
        self.assertEqual(found.trust, AllTrust(TrustIdentifier(A), TrustIdentifier(B)))
        self.assertFalse(found.trust.accepts(A) or found.trust.accepts(B))

    def test_bounds(self) -> None:
        """
        There are limits.
        """
        many = [(Identifier.fromDigest(bytes([each] * 32)), ONE) for each in range(MAX_DESTINATIONS + 1)]
        self.assertEqual(len(destinations(many[1:], None)), MAX_DESTINATIONS)
        self.assertRaises(ConfigurationError, destinations, many, None)
        self.assertRaises(ConfigurationError, destinations, [(A, ONE)] * (MAX_WAYS + 1), None)

    def test_sessions(self) -> None:
        """
        Each has a session, named after who is there as far as that is known.
        """
        found = [Destination((ONE,), TrustIdentifier(A), str(A)), Destination((TWO,), TrustEveryone())]
        numbers: list[int] = []

        def attempt(number: int, destination: Destination) -> Attempts:
            numbers.append(number)
            self.assertIs(destination, found[number])
            return Attempts()

        sessions = sessionsTo(Clock(), found, attempt)
        self.assertEqual([each.label for each in sessions], [f"way to outlet {A}", "way to outlet 2"])
        self.assertEqual(numbers, [0, 1])
        self.assertEqual(labels(found[:1]), ["way to the outlet"])
        [named] = sessionsTo(Clock(), found[:1], attempt, "db")
        self.assertEqual(named.label, "way to the outlet (db)")
