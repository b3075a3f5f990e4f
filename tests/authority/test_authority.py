"""
Tests for L{ockam_twisted.authority.authority}.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.authority import authority as module
from ockam_twisted.authority.authority import Authority
from ockam_twisted.errors import EnrollmentRefused, LimitReached, LocalProtocolError, StateUnusable
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.members import EnrollmentToken, Member
from ockam_twisted.storage.memory import MemoryStore
from ockam_twisted.storage.sqlite import readState
from tests.decisions import decisions
from tests.storage.common import FailingDiskTestCase

A, B, C = (Identifier.fromDigest(bytes([number]) * 32) for number in range(3))


class LateStore(MemoryStore):
    """
    A store whose disk takes its time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Deferred[None]] = []

    def storeRedemption(self, token: EnrollmentToken, member: Member) -> Deferred[None]:
        super().storeRedemption(token, member)
        self.waiting.append(Deferred())
        return self.waiting[-1]


class AuthorityTests(SynchronousTestCase):
    """
    Members and tokens.
    """

    def setUp(self) -> None:
        self.time = 1000
        self.store: MemoryStore = MemoryStore()
        self.authority = Authority(self.store, lambda: self.time)
        self.changes: list[Identifier] = []
        self.authority.watchers.append(self.changes.append)

    def create(self, *arguments: Any, **options: Any) -> tuple[EnrollmentToken, bytes]:
        """
        Make a token.
        """
        return self.successResultOf(self.authority.createToken(*arguments, **options))

    def refused(self, code: bytes, identifier: Identifier) -> str:
        """
        Why a code does not count.
        """
        failure = self.failureResultOf(self.authority.redeem(code, identifier), EnrollmentRefused)
        return str(failure.value)

    def test_decisions(self) -> None:
        """
        What changes who may do what is said, by the id of a ticket, not by
        its code.
        """
        made = decisions(self)
        token, code = self.create()
        self.successResultOf(self.authority.redeem(code, A))
        other, _ = self.create()
        self.successResultOf(self.authority.revokeToken(other.id))
        self.successResultOf(self.authority.addMember(B, (), "command"))
        self.successResultOf(self.authority.removeMember(B, "command"))
        self.assertEqual(
            made,
            [
                ("ticket-made", "changed", token.id),
                ("ticket-made", "changed", other.id),
                ("ticket-revoked", "changed", other.id),
                ("member-added", "changed", str(B)),
                ("member-removed", "changed", str(B)),
            ],
        )

    def test_redeem(self) -> None:
        """
        Who redeems a token becomes a member with its attributes.
        """
        told: list[tuple[EnrollmentToken, Member]] = []
        self.authority.redeemed.append(lambda token, member: told.append((token, member)))
        token, code = self.create(((b"app", b"web"),))
        self.assertTrue(self.authority.hasOpenToken())
        member = self.successResultOf(self.authority.redeem(code, A))
        self.assertEqual((member.identifier, member.attributes), (A, ((b"app", b"web"),)))
        self.assertEqual(self.authority.member(A), member)
        self.assertEqual(self.changes, [A])
        self.assertEqual(told[0][0].id, token.id)
        self.assertFalse(self.authority.hasOpenToken())

    def test_codeIsNotKept(self) -> None:
        """
        What is stored does not let anybody redeem it.
        """
        token, code = self.create()
        self.assertNotIn(code, (token.codeHash, *self.store.tokens()))
        self.assertIn("unknown", self.refused(token.codeHash, A))

    def test_stolenAfterUse(self) -> None:
        """
        A used code is of no use to somebody else, and the log can name who
        has used it; the same one may repeat it.
        """
        token, code = self.create()
        first = self.successResultOf(self.authority.redeem(code, A))
        self.assertEqual(self.successResultOf(self.authority.redeem(code, A)), first)
        self.assertEqual(self.refused(code, B), f"ticket {token.id} was used before, by {A}")
        self.assertIsNone(self.authority.member(B))

    def test_removedMemberCannotReturn(self) -> None:
        """
        The code by which a removed member came does not let it in again.
        """
        _, code = self.create()
        self.successResultOf(self.authority.redeem(code, A))
        self.assertTrue(self.successResultOf(self.authority.removeMember(A)))
        self.assertIn("used before", self.refused(code, A))

    def test_removedMemberOfSeveral(self) -> None:
        """
        Nor does a code that others may still use: it is that member's no
        more.
        """
        _, code = self.create(uses=5)
        self.successResultOf(self.authority.redeem(code, A))
        self.successResultOf(self.authority.removeMember(A))
        self.assertIn("revoked", self.refused(code, A))
        self.assertIn("revoked", self.refused(code, B))

    def test_uses(self) -> None:
        """
        A token can be for several, and not for one more.
        """
        _, code = self.create(uses=2)
        self.successResultOf(self.authority.redeem(code, A))
        self.successResultOf(self.authority.redeem(code, B))
        self.assertIn("was used before", self.refused(code, C))

    def test_expired(self) -> None:
        """
        A token ends at its second.
        """
        _, code = self.create(lifetime=60)
        self.time = 1060
        self.assertIn("expired", self.refused(code, A))
        self.assertFalse(self.authority.hasOpenToken())

    def test_revoked(self) -> None:
        """
        A token that was taken back is of no use; who had redeemed it stays.
        """
        token, code = self.create(uses=2)
        self.successResultOf(self.authority.redeem(code, A))
        self.assertTrue(self.successResultOf(self.authority.revokeToken(token.id)))
        self.assertIn("revoked", self.refused(code, B))
        self.assertIsNotNone(self.authority.member(A))
        self.assertFalse(self.successResultOf(self.authority.revokeToken("nothing")))

    def test_clockSetBack(self) -> None:
        """
        Once the clock is not trusted no token counts, also if it seems young
        again.
        """
        _, code = self.create(lifetime=60)
        self.assertEqual(self.authority.expireTokens(), 1)
        self.time = 0
        self.assertIn("revoked", self.refused(code, A))

    def test_twoAtOnce(self) -> None:
        """
        Two who present a code at the same moment, while the disk is slow, get
        one membership between them; nobody is told before it is stored.
        """
        store = LateStore()
        authority = Authority(store, lambda: self.time)
        _, code = self.successResultOf(authority.createToken())
        first = authority.redeem(code, A)
        self.assertNoResult(first)
        self.failureResultOf(authority.redeem(code, B), EnrollmentRefused)
        store.waiting[0].callback(None)
        self.assertEqual(self.successResultOf(first).identifier, A)

    def test_alreadyMember(self) -> None:
        """
        A member cannot gather attributes with further codes.
        """
        self.successResultOf(self.authority.addMember(A, (), "config"))
        _, code = self.create(((b"admin", b"true"),))
        self.assertEqual(self.refused(code, A), "already a member")

    def test_startup(self) -> None:
        """
        The ticket of a start replaces the one of the start before, and
        nobody else's.
        """
        _, first = self.create(isStartup=True)
        _, other = self.create()
        _, second = self.create(isStartup=True)
        self.assertIn("unknown", self.refused(first, A))
        self.successResultOf(self.authority.redeem(second, A))
        self.successResultOf(self.authority.redeem(other, B))

    def test_members(self) -> None:
        """
        Members are listed in the order they came; changes are told.
        """
        self.successResultOf(self.authority.addMember(B, (), "config"))
        self.time += 1
        self.successResultOf(self.authority.addMember(A, (), "config"))
        self.assertEqual([each.identifier for each in self.authority.members()], [B, A])
        self.assertFalse(self.successResultOf(self.authority.removeMember(C)))
        self.successResultOf(self.authority.removeMember(B))
        self.assertEqual(self.changes, [B, A, B])

    def test_limits(self) -> None:
        """
        Members, tokens, uses, lifetimes and attributes are bounded.
        """
        self.patch(module, "MAX_TOKENS", 1)
        self.patch(module, "MAX_MEMBERS", 1)
        _, code = self.create(uses=5)
        self.failureResultOf(self.authority.createToken(), LimitReached)
        self.successResultOf(self.authority.addMember(A, (), "config"))
        self.failureResultOf(self.authority.addMember(B, (), "config"), LimitReached)
        self.assertIn("too many", self.refused(code, B))
        for options in ({"uses": 0}, {"uses": 10**6}, {"lifetime": 0}, {"lifetime": 10**9}):
            self.assertRaises(LocalProtocolError, self.authority.createToken, **options)
        many = tuple((b"%d" % number, b"") for number in range(65))
        for attributes in (many, ((b"", b""),), ((b"a", b"\xff"),), ((b"a", b""), (b"a", b"")), ((b"a", b"v" * 1025),)):
            self.assertRaises(LocalProtocolError, self.authority.createToken, attributes)

    def test_forgotten(self) -> None:
        """
        Tokens that are of no more use make room after a month.
        """
        self.patch(module, "MAX_TOKENS", 1)
        self.create()
        self.time += 600 + module.REMEMBERED + 1
        self.create()
        self.assertEqual(len(self.authority.tokens()), 1)

    def test_removalRevokes(self) -> None:
        """
        Who is removed does not come back by the same ticket as somebody else.
        """
        _, code = self.create(uses=3)
        self.successResultOf(self.authority.redeem(code, A))
        self.assertEqual(self.authority.openTokensOf(A), self.authority.tokens())
        self.successResultOf(self.authority.removeMember(A))
        self.assertIn("revoked", self.refused(code, B))
        self.assertFalse(self.authority.hasOpenToken())

    def test_startupTicketIsReplaced(self) -> None:
        """
        The next start takes the ticket of the last one back, also if somebody
        has used it.
        """
        _, code = self.create(uses=3, isStartup=True)
        self.successResultOf(self.authority.redeem(code, A))
        self.create(uses=3, isStartup=True)
        self.assertIn("revoked", self.refused(code, B))

    def test_watcherFails(self) -> None:
        """
        A watcher that fails does not keep the others from hearing of it.
        """

        def fails(identifier: Identifier) -> None:
            raise ZeroDivisionError

        self.authority.watchers.insert(0, fails)
        self.successResultOf(self.authority.addMember(A, (), "test"))
        self.assertEqual(self.changes, [A])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class FailingDiskTests(FailingDiskTestCase):
    """
    An authority whose disk is full for a while.
    """

    @inlineCallbacks
    def test_redeemed(self) -> Generator[Deferred[Any], Any, None]:
        """
        A redemption is acknowledged, and said, once it is on the disk, and
        not because it is in memory since the first attempt.
        """
        store = self.open()
        authority, told = Authority(store, lambda: 1000), []
        authority.redeemed.append(lambda token, member: told.append((token.id, member.identifier)))
        token, code = yield authority.createToken()
        self.failWrites()
        for _ in range(2):
            yield self.assertFailure(authority.redeem(code, A), StateUnusable)
            yield self.assertFailure(authority.whenStored(A), StateUnusable)
        self.assertEqual(told, [])
        self.mend()
        for _ in range(2):
            member = yield authority.redeem(code, A)
            self.assertEqual(told, [(token.id, A)])
        copy = readState(self.path)
        self.assertEqual(copy.members(), {A: member})
        self.assertTrue(copy.tokens()[token.codeHash].isRedeemedBy(A))

    @inlineCallbacks
    def test_removed(self) -> Generator[Deferred[Any], Any, None]:
        """
        The same for a removal: who asks again is not told that there was
        nobody, while there would be after a restart.
        """
        authority = Authority(self.open(), lambda: 1000)
        yield authority.addMember(A, (), "test")
        self.failWrites()
        for _ in range(2):
            yield self.assertFailure(authority.removeMember(A), StateUnusable)
        self.assertIsNone(authority.member(A))
        self.mend()
        self.assertFalse((yield authority.removeMember(A)))
        self.assertEqual(readState(self.path).members(), {})
