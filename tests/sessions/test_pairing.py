"""
Tests for L{ockam_twisted.sessions.pairing}.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, fail, inlineCallbacks
from twisted.python.failure import Failure

from ockam_twisted.authority.ticket import PinnedOutlet, Ticket
from ockam_twisted.errors import (
    EnrollmentRefused,
    InvalidTicket,
    NoRoute,
    PeerNotTrusted,
    StateUnusable,
)
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import TrustCredential, TrustIdentifier
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.destination import Destination
from ockam_twisted.sessions.pairing import (
    PAIRING,
    PairedAttempt,
    Pairing,
    checkTicket,
    storedPairing,
    trustOf,
    trustOfOutlet,
)
from ockam_twisted.sessions.retriever import redeemedSetting
from ockam_twisted.sessions.session import Established
from ockam_twisted.storage.sqlite import readState
from ockam_twisted.testing import EPOCH
from ockam_twisted.wire import cbor
from tests.authority.common import AuthorityTestCase
from tests.storage.common import FailingDiskTestCase

WAY = MultiAddr.fromText("/dnsaddr/bob/tcp/4000/secure/api/service/outlet")
NOWHERE = MultiAddr.fromText("/dnsaddr/nowhere/tcp/1/secure/api/service/outlet")
AT = MultiAddr.fromText("/dnsaddr/authority/tcp/4100/secure/api")
OTHER = Identifier.fromDigest(b"\x07" * 32)


class PairingTests(AuthorityTestCase):
    """
    Alice is an inlet, Bob an outlet.
    """

    def setUp(self) -> None:
        super().setUp()
        self.bob.inbox("echo", self.listener.flowId, echo=True)
        self.told: list[str] = []

    def ticket(self, code: bytes | None = None, peer: Identifier | None = None) -> Ticket:
        """
        A ticket of Bob's.
        """
        return Ticket((WAY,), peer or self.bob.identifier, EPOCH + 600, self.code() if code is None else code)

    def attempt(self, ticket: Ticket | None, ways: tuple[MultiAddr, ...] = ()) -> object:
        """
        One attempt of an inlet that was just started.
        """
        pairing = Pairing(self.alice.store, ticket, [(None, way) for way in ways])
        self.paired = PairedAttempt(self.walk(self.alice), pairing, 0, self.told.append)
        return self.again()

    def again(self) -> object:
        """
        The next attempt.
        """
        result: Deferred[Established] = self.paired.start()
        return self.settle(result)

    def assertFailed(self, outcome: object, error: type[Exception]) -> str:
        """
        It has failed.
        """
        assert isinstance(outcome, Failure), outcome
        outcome.trap(error)
        return outcome.getErrorMessage()

    def test_pairs(self) -> None:
        """
        With a ticket it becomes a member and is up; from then on without.
        """
        ticket = self.ticket()
        made = self.attempt(ticket)
        assert isinstance(made, Established)
        self.assertEqual(made.route[1], Address.local("outlet"))
        self.assertEqual(self.told, [str(self.bob.identifier)])
        self.assertEqual(storedPairing(self.alice.store.setting(PAIRING)), evolve(ticket, code=None))
        self.assertNotIn(ticket.code or b"", self.alice.store.setting(PAIRING) or b"")
        made.close()
        self.network.pump()
        for again in (None, ticket):
            made = self.attempt(again)
            assert isinstance(made, Established)
            made.close()
            self.network.pump()
        self.assertEqual(len(self.told), 1)

    def test_pinnedBeforeTheCode(self) -> None:
        """
        The pin is kept before anybody hears of the code: an impostor in
        place of the outlet hears nothing, and later starts know whom to look
        for.
        """
        ticket = self.ticket()
        self.bob.transport.stopService()
        mallory = self.node("bob")
        listener = mallory.listen(TrustIdentifier(self.alice.identifier))
        inbox = mallory.inbox("enrollment_token_acceptor", listener.flowId)
        self.assertFailed(self.attempt(ticket), PeerNotTrusted)
        self.assertEqual(inbox.messages, [])
        self.assertEqual(storedPairing(self.alice.store.setting(PAIRING)), evolve(ticket, code=None))

    def test_notPinned(self) -> None:
        """
        While the pin is not on the disk nobody hears of the code, however
        often it is tried.
        """
        ticket, store = self.ticket(), self.alice.store
        self.patch(store, "whenStored", lambda what: fail(StateUnusable(what)))
        self.successResultOf(Deferred.fromCoroutine(Pairing(store, ticket).keep()))
        self.assertEqual(self.assertFailed(self.attempt(ticket), StateUnusable), PAIRING)
        self.assertIsNone(self.authority.member(self.alice.identifier))

    def test_issuerCannot(self) -> None:
        """
        The outlet could not make a member of us: the code is presented again.
        """
        ticket = self.ticket()
        cannot = self.patch(self.authority, "redeem", lambda *_: fail(StateUnusable("full")))
        self.assertFailed(self.attempt(ticket), NoRoute)
        self.flushLoggedErrors(StateUnusable)
        cannot.restore()
        self.assertIsInstance(self.again(), Established)

    def test_answerLost(self) -> None:
        """
        The member is stored, and the answer lost: the next attempt succeeds
        with the same code.
        """
        ticket = self.ticket()
        self.successResultOf(self.authority.redeem(ticket.code or b"", self.alice.identifier))
        self.assertIsInstance(self.attempt(ticket), Established)

    def test_answerLostForLong(self) -> None:
        """
        The same when the ticket has expired meanwhile; who never used it is
        told that it has.
        """
        ticket = self.ticket()
        self.network.advance(700)
        self.assertIn("has expired", self.assertFailed(self.attempt(ticket), EnrollmentRefused))
        self.successResultOf(self.authority.addMember(self.alice.identifier, (), "test"))
        self.assertIsInstance(self.again(), Established)

    def test_refused(self) -> None:
        """
        A code that was refused is not presented again: that would be
        guessing.
        """
        outcome = self.attempt(self.ticket(os.urandom(32)))
        self.assertIn("ask for a new one", self.assertFailed(outcome, EnrollmentRefused))
        self.code()
        refusals = self.logged().count("was refused")
        self.assertFailed(self.again(), EnrollmentRefused)
        self.assertEqual(self.logged().count("was refused"), refusals)

    def test_memberAnyway(self) -> None:
        """
        A refused ticket does not matter to who is a member anyway.
        """
        self.successResultOf(self.authority.addMember(self.alice.identifier, (), "test"))
        self.code()
        self.assertIsInstance(self.attempt(self.ticket(os.urandom(32))), Established)

    def test_notPaired(self) -> None:
        """
        Without a ticket, never paired, it says what is missing.
        """
        self.assertIn("--ticket", self.assertFailed(self.attempt(None), InvalidTicket))

    def test_ticketOfRelay(self) -> None:
        """
        The ticket of a relay is kept for whom it is for.
        """
        ticket = evolve(self.ticket(), ways=(MultiAddr.fromText("/dnsaddr/bob/tcp/4000/secure/api"),))
        self.assertIn("--relay-ticket", self.assertFailed(self.attempt(ticket), InvalidTicket))
        self.assertEqual(self.authority.members(), [])

    def test_otherWay(self) -> None:
        """
        The way may be another than the ticket says: who is there may not.
        """
        gone = evolve(self.ticket(), ways=(MultiAddr.fromText("/dnsaddr/nowhere/tcp/1/secure/api/service/outlet"),))
        self.assertIsInstance(self.attempt(gone, (WAY,)), Established)
        self.assertIn("--to", self.assertFailed(self.attempt(evolve(gone, ways=())), InvalidTicket))

    def test_check(self) -> None:
        """
        Which tickets are taken.
        """
        ticket = self.ticket()
        pinned = evolve(ticket, code=None)
        checkTicket(ticket, None, False, EPOCH)
        checkTicket(ticket, pinned, False, EPOCH)
        self.assertRaises(InvalidTicket, checkTicket, ticket, None, False, EPOCH + 601)
        checkTicket(ticket, pinned, True, EPOCH + 601)
        other = evolve(pinned, peer=OTHER)
        self.assertIn(str(OTHER), str(self.assertRaises(InvalidTicket, checkTicket, ticket, other, False, EPOCH)))
        self.assertRaises(InvalidTicket, storedPairing, b"nonsense")
        self.assertIsNone(storedPairing(None))
        self.assertTrue(redeemedSetting(ticket.digest).startswith("redeemed-ticket:"))

    def test_trust(self) -> None:
        """
        A ticket names one outlet, or what an authority has to say of it.
        """
        self.assertEqual(trustOf(self.ticket()), TrustIdentifier(self.bob.identifier))
        by = Ticket((WAY,), None, 5, None, '(= subject.ockam-outlet "db")', OTHER)
        trust = trustOf(by)
        assert isinstance(trust, TrustCredential)
        self.assertEqual(trust.authority, OTHER)

    def test_trustOfSeveral(self) -> None:
        """
        Of several outlets each is pinned by itself.
        """
        ticket = self.several(self.bob.identifier)
        for who in (self.bob.identifier, OTHER):
            self.assertTrue(trustOf(ticket).accepts(who))
        for outlet, who in zip(ticket.outlets, (OTHER, self.bob.identifier), strict=True):
            self.assertEqual(trustOfOutlet(ticket, outlet), TrustIdentifier(who))

    # ------------------------------------------------------ several outlets

    def several(self, *peers: Identifier) -> Ticket:
        """
        A ticket of an authority for an outlet that nobody reaches, and more.
        """
        others = tuple(PinnedOutlet((NOWHERE, WAY), each) for each in peers)
        return Ticket((NOWHERE,), OTHER, EPOCH + 600, bytes(32), "", OTHER, (AT,), others)

    def reach(self, pairing: Pairing, number: int) -> object:
        """
        Try to get to one of the outlets.
        """
        self.paired = PairedAttempt(self.walk(self.alice), pairing, number, self.told.append)
        return self.again()

    def test_severalOutlets(self) -> None:
        """
        Each attempt goes to one outlet, over one of its ways, and takes
        nobody else for it; what is kept has all of them.
        """
        self.successResultOf(self.authority.addMember(self.alice.identifier, (), "test"))
        ticket = self.several(self.bob.identifier, Identifier.fromDigest(b"\x08" * 32))
        pairing = Pairing(self.alice.store, ticket)
        self.assertEqual(len(pairing.outlets()), 3)
        made = self.reach(pairing, 1)
        assert isinstance(made, Established)
        self.assertEqual(made.peer, str(self.bob.identifier))
        self.assertIn("nowhere:1: Connection was refused", self.assertFailed(self.reach(pairing, 0), NoRoute))
        self.assertFailed(self.reach(pairing, 2), NoRoute)
        kept = storedPairing(self.alice.store.setting(PAIRING))
        self.assertEqual(kept, evolve(ticket, code=None))
        later = Pairing(self.alice.store, None)
        self.assertEqual(later.destinations(), pairing.destinations())
        self.assertIsInstance(self.reach(later, 1), Established)

    def test_waysOfOne(self) -> None:
        """
        A ticket is redeemed over whichever of its ways there is, and the next
        attempt begins with that one.
        """
        ticket = evolve(self.ticket(), ways=(NOWHERE, WAY))
        made = self.attempt(ticket)
        assert isinstance(made, Established)
        self.assertEqual(self.told, [str(self.bob.identifier)])
        self.assertIn("; nowhere:1: ", made.description)
        made = self.again()
        assert isinstance(made, Established)
        self.assertNotIn("nowhere", made.description)
        self.paired.moveOn()
        made = self.again()
        assert isinstance(made, Established)
        self.assertIn("; nowhere:1: ", made.description)

    def test_otherPins(self) -> None:
        """
        A later ticket with one outlet more, or less, leads to others; in
        another order, or over other ways, it does not.
        """
        bob = self.bob.identifier
        paired = evolve(self.several(bob), code=None)
        for changed in (
            evolve(paired, peer=bob, others=(PinnedOutlet((WAY,), OTHER),)),
            evolve(paired, ways=(WAY, WAY)),
        ):
            checkTicket(changed, paired, False, EPOCH)
        for changed in (
            self.several(bob, Identifier.fromDigest(b"\x08" * 32)),
            self.several(),
            self.several(Identifier.fromDigest(b"\x08" * 32)),
            evolve(self.several(bob), authority=bob),
        ):
            why = str(self.assertRaises(InvalidTicket, checkTicket, changed, paired, False, EPOCH))
            self.assertIn(f"is paired with {OTHER} and {bob}", why)

    def test_waysOfTheOperator(self) -> None:
        """
        Ways that the operator gives lead to whom the ticket pins, and to
        nobody else.
        """
        bob = self.bob.identifier
        pairing = Pairing(self.alice.store, self.several(bob), [(bob, WAY), (None, NOWHERE)])
        named, open = pairing.destinations()
        self.assertEqual((named.ways, named.whom, open.ways, open.whom), ((WAY,), str(bob), (NOWHERE,), ""))
        self.assertEqual([named.trust.accepts(each) for each in (bob, OTHER)], [True, False])
        self.assertEqual([open.trust.accepts(each) for each in (bob, OTHER)], [True, True])
        stranger = Identifier.fromDigest(b"\x08" * 32)
        pairing = Pairing(self.alice.store, self.several(bob), [(stranger, WAY)])
        self.assertIn(str(stranger), str(self.assertRaises(InvalidTicket, pairing.destinations)))
        self.assertFailed(self.reach(pairing, 0), InvalidTicket)

    def test_keptBefore(self) -> None:
        """
        What was kept by a version that knew of one outlet only is read as
        that outlet.
        """
        ticket = evolve(self.ticket(), code=None)
        kept = cbor.encode({0: [WAY.bytes], 1: self.bob.identifier.digest, 6: ticket.expiresAt})
        self.successResultOf(self.authority.addMember(self.alice.identifier, (), "test"))
        self.alice.store.storeSetting(PAIRING, kept)
        self.assertEqual(ticket.encode(), kept)
        pairing = Pairing(self.alice.store, None)
        self.assertEqual(
            pairing.destinations(),
            (Destination((WAY,), TrustIdentifier(self.bob.identifier), str(self.bob.identifier)),),
        )
        self.assertIsInstance(self.reach(pairing, 0), Established)


class FailingDiskTests(FailingDiskTestCase):
    """
    An inlet whose disk is full for a while.
    """

    @inlineCallbacks
    def test_keep(self) -> Generator[Deferred[Any], Any, None]:
        """
        What a ticket pins is kept when it is on the disk, and not because it
        is in memory since the first attempt.
        """
        ticket = Ticket((WAY,), OTHER, EPOCH + 600, bytes(32))
        pairing = Pairing(self.open(), ticket)
        self.failWrites()
        for _ in range(2):
            yield self.assertFailure(Deferred.fromCoroutine(pairing.keep()), StateUnusable)
        self.mend()
        yield Deferred.fromCoroutine(pairing.keep())
        self.assertEqual(storedPairing(readState(self.path).setting(PAIRING)), evolve(ticket, code=None))
