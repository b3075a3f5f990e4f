"""
Tests for L{ockam_twisted.sessions.enrolment}.
"""

from __future__ import annotations

import os

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from ockam_twisted.errors import ConnectionClosed, EnrollmentRefused, PeerNotTrusted, RequestFailed, StateUnusable
from ockam_twisted.routing.addresses import printable
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.enrolment import REFUSED, enrol, fetchCredential
from tests.authority.common import BOB, VIA, AuthorityTestCase


class EnrolmentTests(AuthorityTestCase):
    """
    One code, for one identity.
    """

    def enrol(self, code: bytes, way: MultiAddr = BOB) -> object:
        """
        Alice presents a code.

        @return: What came of it.
        """
        doing = Deferred.fromCoroutine(enrol(self.walk(self.alice), way, self.bob.identifier, code))
        return self.settle(doing)

    def assertRefused(self, outcome: object) -> None:
        """
        It was refused, in words for a person.
        """
        assert isinstance(outcome, Failure)
        outcome.trap(EnrollmentRefused)
        self.assertEqual(outcome.getErrorMessage(), REFUSED)

    def test_enrols(self) -> None:
        """
        The right code makes a member, and leaves nothing open.
        """
        way = MultiAddr([*BOB, ("service", "outlet")])
        self.assertIsNone(self.enrol(self.code(), way))
        self.assertIsNotNone(self.authority.member(self.alice.identifier))
        self.assertEqual(self.alice.transport.hops, set())

    def test_refused(self) -> None:
        """
        A wrong code is refused.
        """
        self.code()
        self.assertRefused(self.enrol(os.urandom(32)))
        self.assertEqual(self.alice.transport.hops, set())

    def test_cannot(self) -> None:
        """
        An issuer that cannot make a member, as its disk is full, has not
        refused the code.
        """
        code = self.code()
        self.patch(self.authority, "redeem", lambda *_: fail(StateUnusable("full")))
        outcome = self.enrol(code)
        assert isinstance(outcome, Failure)
        outcome.trap(RequestFailed)
        self.flushLoggedErrors(StateUnusable)

    def test_shown(self) -> None:
        """
        What to do about a refusal comes before a log line is cut, also where
        the place comes first.
        """
        at = "relay-1.internal.example.com:4000: "
        self.assertEqual(printable(at + REFUSED), at + REFUSED)
        self.assertIn("ask for a new one", REFUSED[:80])

    def test_closedDoor(self) -> None:
        """
        Where no token is open, strangers are not listened to: that is a
        refusal, and not a silence.
        """
        self.assertRefused(self.enrol(os.urandom(32)))

    def test_impostor(self) -> None:
        """
        The code is shown to the identity that it is for, and to nobody else:
        a machine in the middle with an identity of its own gets nothing.
        """
        self.bob.transport.stopService()
        mallory = self.node("bob")
        heard: list[object] = []
        from ockam_twisted.identity.trust import TrustEveryone

        listener = mallory.listen(TrustEveryone())
        inbox = mallory.inbox("enrollment_token_acceptor", listener.flowId)
        outcome = self.enrol(self.code())
        assert isinstance(outcome, Failure)
        outcome.trap(PeerNotTrusted)
        self.assertEqual((inbox.messages, heard), ([], []))

    def test_fetch(self) -> None:
        """
        A member fetches its credential; who is none is refused.
        """
        fetching = Deferred.fromCoroutine(fetchCredential(self.walk(self.alice), BOB, self.bob.identifier))
        outcome = self.settle(fetching, 15)
        assert isinstance(outcome, Failure)
        self.successResultOf(self.authority.addMember(self.alice.identifier, (), "test"))
        fetching = Deferred.fromCoroutine(fetchCredential(self.walk(self.alice), BOB, self.bob.identifier))
        both = self.settle(fetching)
        self.assertEqual(both.credential.subject, self.alice.identifier)
        self.membership.stopService()
        self.listener.stopService()
        self.successResultOf(self.authority.removeMember(self.alice.identifier))
        self.answer(isOpen=True)
        fetching = Deferred.fromCoroutine(fetchCredential(self.walk(self.alice), BOB, self.bob.identifier))
        outcome = self.settle(fetching)
        assert isinstance(outcome, Failure)
        outcome.trap(RequestFailed)

    def test_relayLost(self) -> None:
        """
        Who waits at a relay for the issuer to come ends with the relay.
        """
        self.relay()
        walk, bob = self.walk(self.alice), self.bob.identifier
        asking = [
            Deferred.fromCoroutine(enrol(walk, VIA, bob, os.urandom(32))),
            Deferred.fromCoroutine(fetchCredential(walk, VIA, bob)),
        ]
        self.network.advance(15)
        for each, link in zip(asking, self.network.links, strict=True):
            self.assertNoResult(each)
            link.cut()
            self.network.pump()
            self.failureResultOf(each, ConnectionClosed)
        self.assertEqual(self.alice.transport.hops, set())
