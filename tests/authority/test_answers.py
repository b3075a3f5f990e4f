"""
Tests for L{ockam_twisted.authority.answers}: through real channels, as
whoever asks sees them; attacks are written as the attacker.
"""

from __future__ import annotations

import os

from twisted.internet.defer import fail

from ockam_twisted.authority.answers import (
    CREDENTIAL_ISSUER,
    DIRECT_AUTHENTICATOR,
    GUESSES,
    TOKEN_ACCEPTOR,
    TOKEN_ISSUER,
)
from ockam_twisted.errors import ConnectionClosed, StateUnusable, TimedOut
from ockam_twisted.identity.credentials import CredentialAndPurposeKey
from ockam_twisted.identity.history import ChangeHistory
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.wire.api import (
    BAD_REQUEST,
    DELETE,
    FORBIDDEN,
    GET,
    INTERNAL_ERROR,
    METHOD_NOT_ALLOWED,
    OK,
    decodeApiError,
)
from ockam_twisted.wire.authority import (
    TokenRequest,
    decodeCode,
    decodeMemberIds,
    decodeMembers,
    encodeCode,
    encodeMember,
    encodeTokenRequest,
)
from tests.authority.common import AuthorityTestCase

STRANGER = Identifier.fromDigest(b"\x05" * 32)


class EnrolmentTests(AuthorityTestCase):
    """
    L{TOKEN_ACCEPTOR}.
    """

    def test_enrols(self) -> None:
        """
        A right code makes a member; asking again does no harm.
        """
        body = encodeCode(self.code(((b"team", b"web"),)))
        channel = self.channel()
        for _ in range(2):
            self.assertEqual(self.successResultOf(self.ask(channel, TOKEN_ACCEPTOR, body)).status, OK)
        member = self.authority.member(self.alice.identifier)
        assert member is not None
        self.assertEqual(member.attributes, ((b"team", b"web"),))

    def test_guesses(self) -> None:
        """
        Who guesses is told nothing but that, and loses the channel after a
        few; the right code still counts in a new one.
        """
        code = self.code()
        channel = self.channel()
        for _ in range(GUESSES - 1):
            response = self.successResultOf(self.ask(channel, TOKEN_ACCEPTOR, encodeCode(os.urandom(32))))
            self.assertEqual(response.status, FORBIDDEN)
            self.assertEqual(decodeApiError(response.body or b"").message, "refused")
        self.ask(channel, TOKEN_ACCEPTOR, encodeCode(os.urandom(32))).addErrback(lambda failure: None)
        self.assertTrue(channel.hasEnded)
        self.assertEqual(self.successResultOf(self.ask(self.channel(), TOKEN_ACCEPTOR, encodeCode(code))).status, OK)

    def test_guessesOfOneDoNotBlockAnother(self) -> None:
        """
        Somebody else's guesses never block a right code.
        """
        code, mallory = self.code(), self.node("mallory")
        for _ in range(5):
            channel = self.channel(mallory)
            for _ in range(GUESSES):
                asked = self.ask(channel, TOKEN_ACCEPTOR, encodeCode(os.urandom(32)), node=mallory)
                asked.addErrback(lambda failure: None)
        self.assertEqual(self.successResultOf(self.ask(self.channel(), TOKEN_ACCEPTOR, encodeCode(code))).status, OK)

    def test_nothingElse(self) -> None:
        """
        Who may only enrol reaches nothing else: the first attempt ends the
        channel, with the word that it is not accepted.
        """
        self.code()
        outlet = self.bob.inbox("outlet", self.listener.flowId, self.bob.transport.listenerId)
        for worker in ("outlet", "echo", "api", TOKEN_ISSUER, DIRECT_AUTHENTICATOR, "forwarding_service"):
            channel = self.channel()
            self.failureResultOf(self.ask(channel, worker), ConnectionClosed)
            self.assertTrue(channel.wasRefused, worker)
        self.assertEqual(outlet.messages, [])

    def test_credentialOnlyAfterwards(self) -> None:
        """
        The issuer answers in the channel of an enrolment only after it has
        succeeded.
        """
        code, channel = self.code(), self.channel()
        asked = self.ask(channel, CREDENTIAL_ISSUER)
        self.network.advance(6)
        self.failureResultOf(asked, TimedOut)
        self.ask(channel, TOKEN_ACCEPTOR, encodeCode(code))
        self.assertEqual(self.successResultOf(self.ask(channel, CREDENTIAL_ISSUER)).status, OK)

    def test_endsSoon(self) -> None:
        """
        A channel for enrolment does not live on, used or not.
        """
        self.code()
        channel = self.channel()
        self.network.advance(9)
        self.assertFalse(channel.hasEnded)
        self.network.advance(2)
        self.assertTrue(channel.hasEnded)
        self.assertEqual(len(self.bob.router.peers), 0)

    def test_nothingKept(self) -> None:
        """
        Of a stranger who does not succeed nothing is kept.
        """
        self.code()
        self.ask(self.channel(), TOKEN_ACCEPTOR, encodeCode(os.urandom(32)))
        self.assertIsNone(self.bob.store.changeHistory(self.alice.identifier))

    def test_bad(self) -> None:
        """
        Wrong methods, paths and bodies are answered with what is wrong.
        """
        self.code()
        channel = self.channel()
        self.assertEqual(self.successResultOf(self.ask(channel, TOKEN_ACCEPTOR, method=GET)).status, METHOD_NOT_ALLOWED)
        self.assertEqual(self.successResultOf(self.ask(channel, TOKEN_ACCEPTOR, path="/x")).status, BAD_REQUEST)
        self.assertEqual(self.successResultOf(self.ask(channel, TOKEN_ACCEPTOR, b"\x05")).status, FORBIDDEN)

    def test_forgedLogLine(self) -> None:
        """
        Nothing that a guesser sends begins a line of the log.
        """
        self.code()
        self.ask(self.channel(), TOKEN_ACCEPTOR, path="/x\nTicket: ockamticket1evil")
        self.assertNotIn("\nTicket:", self.logged())


class MemberTests(AuthorityTestCase):
    """
    What members get, and what enrollers may.
    """

    def setUp(self) -> None:
        super().setUp()
        self.successResultOf(self.authority.addMember(self.alice.identifier, ((b"team", b"web"),), "test"))
        self.channel_ = self.channel()

    def test_credential(self) -> None:
        """
        A member is attested what it has, and nothing else verifies.
        """
        response = self.successResultOf(self.ask(self.channel_, CREDENTIAL_ISSUER))
        both = CredentialAndPurposeKey.decode(response.body or b"")
        history = ChangeHistory.fromBytes(self.bob.party.identity.history.encode())
        verified = both.verify({self.bob.identifier: history}, self.bob.now(), self.alice.identifier)
        self.assertEqual(verified.attributes, ((b"team", b"web"),))
        self.assertEqual(verified.expiresAt - verified.createdAt, 600)
        self.assertEqual(
            self.successResultOf(self.ask(self.channel_, CREDENTIAL_ISSUER, method=GET)).status, METHOD_NOT_ALLOWED
        )
        self.assertEqual(
            self.successResultOf(self.ask(self.channel_, CREDENTIAL_ISSUER, path="/v0")).status, BAD_REQUEST
        )

    def test_notStored(self) -> None:
        """
        Nothing is attested of somebody whom a restart would make a stranger.
        """
        channel = self.channel()
        self.patch(self.bob.store, "whenStored", lambda what: fail(StateUnusable(what)))
        response = self.successResultOf(self.ask(channel, CREDENTIAL_ISSUER))
        self.assertEqual(response.status, INTERNAL_ERROR)
        [failure] = self.flushLoggedErrors(StateUnusable)
        self.assertEqual(failure.getErrorMessage(), self.alice.identifier)

    def test_notEnroller(self) -> None:
        """
        A member that is no enroller makes no tokens and manages nobody, not
        itself either.
        """
        raise_ = encodeMember(self.alice.identifier.digest, ((b"ockam-role", b"enroller"),))
        for worker, body in ((TOKEN_ISSUER, encodeTokenRequest(TokenRequest(()))), (DIRECT_AUTHENTICATOR, raise_)):
            self.assertEqual(self.successResultOf(self.ask(self.channel_, worker, body)).status, FORBIDDEN)

    def test_enroller(self) -> None:
        """
        An enroller makes tokens, and adds, lists and removes members.
        """
        self.successResultOf(self.authority.addMember(self.alice.identifier, ((b"ockam-role", b"enroller"),), "test"))
        channel = self.channel_

        def status(path: str, method: int, body: bytes | None = None) -> int | None:
            return self.successResultOf(self.ask(channel, DIRECT_AUTHENTICATOR, body, path, method)).status

        token = encodeTokenRequest(TokenRequest(((b"a", b"b"),), 60, 2))
        made = self.successResultOf(self.ask(channel, TOKEN_ISSUER, token))
        self.assertEqual(len(decodeCode(made.body or b"")), 32)
        self.assertEqual(
            self.successResultOf(self.ask(channel, TOKEN_ISSUER, encodeTokenRequest(TokenRequest((), 0)))).status,
            BAD_REQUEST,
        )
        self.assertEqual(self.successResultOf(self.ask(channel, TOKEN_ISSUER, b"\x00")).status, BAD_REQUEST)
        self.assertEqual(status("/members", 1, encodeMember(STRANGER.digest, ((b"x", b"y"),))), OK)
        listed = self.successResultOf(self.ask(channel, DIRECT_AUTHENTICATOR, None, "/members", GET))
        entries = decodeMembers(listed.body or b"")
        self.assertEqual(entries[STRANGER.digest].attributes, ((b"x", b"y"),))
        self.assertEqual(entries[STRANGER.digest].attestedBy, self.bob.identifier.digest)
        ids = self.successResultOf(self.ask(channel, DIRECT_AUTHENTICATOR, None, "/member_ids", GET))
        self.assertEqual(set(decodeMemberIds(ids.body or b"")), set(entries))
        self.assertEqual(status(f"/members/{STRANGER}", GET), OK)
        self.assertEqual(status(f"/{STRANGER}", DELETE), OK)
        self.assertEqual(status(f"/members/{STRANGER}", GET), FORBIDDEN)
        self.assertIsNone(self.authority.member(STRANGER))
        self.assertEqual(status("/members/nobody", GET), BAD_REQUEST)
        self.assertEqual(status("/member_ids", 1), METHOD_NOT_ALLOWED)
        self.assertEqual(status("/members", 1, b"\x00"), BAD_REQUEST)
        # Whoever removes everybody stays.
        self.assertEqual(status("/members", DELETE), OK)
        self.assertEqual([each.identifier for each in self.authority.members()], [self.alice.identifier])

    def test_removed(self) -> None:
        """
        Whoever is removed loses the channel at once.
        """
        self.successResultOf(self.authority.removeMember(self.alice.identifier))
        self.network.pump()
        self.assertTrue(self.channel_.wasRefused)


class OpenTests(AuthorityTestCase):
    """
    An authority that everybody may talk to.
    """

    def test_noMember(self) -> None:
        """
        Who is no member is told so.
        """
        self.membership.stopService()
        self.listener.stopService()
        self.answer(isOpen=True)
        channel = self.channel()
        self.assertEqual(self.successResultOf(self.ask(channel, CREDENTIAL_ISSUER)).status, FORBIDDEN)
        self.assertEqual(self.successResultOf(self.ask(channel, TOKEN_ISSUER, b"\xa0")).status, FORBIDDEN)
        code = self.code()
        self.assertEqual(self.successResultOf(self.ask(channel, TOKEN_ACCEPTOR, encodeCode(code))).status, OK)
        self.assertEqual(self.successResultOf(self.ask(channel, CREDENTIAL_ISSUER)).status, OK)
