"""
Tests for L{ockam_twisted.channels.handshake}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.channels.handshake import initiate, respond
from ockam_twisted.channels.noise import Keys
from ockam_twisted.channels.party import Party
from ockam_twisted.errors import ConnectionClosed, HandshakeFailed, LocalProtocolError, PeerNotTrusted, TimedOut
from ockam_twisted.identity.creation import Identity, PurposeKey, attestCredentialKey
from ockam_twisted.identity.history import ChangeHistory
from ockam_twisted.identity.payload import IdentityPayload, VerifiedPeer
from ockam_twisted.identity.trust import AllTrust, AnyTrust, TrustEveryone, TrustIdentifier
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.router import Router
from ockam_twisted.storage.memory import MemoryStore
from ockam_twisted.testing import EPOCH, Inbox
from ockam_twisted.vault.software import SoftwareVault
from ockam_twisted.wire.channel import CLOSE
from tests.channels.common import ChannelTestCase, changed
from tests.decisions import decisions
from tests.identity.samples import VECTORS

VECTOR: dict[str, Any] = VECTORS["derived"]["ockam_handshake"]
Change = Callable[[bytes], bytes]


def inVector(name: str) -> bytes:
    """
    A byte string of the vector.
    """
    return bytes.fromhex(VECTOR[name])


class _VectorVault(SoftwareVault):
    """
    Its next key for an agreement is the one of the vector.
    """

    ephemeral = b""

    def generateAgreementKey(self, persistent: bool = False) -> Deferred[bytes]:
        return self.importAgreementKey(self.ephemeral)


class _VectorParty(Party):
    """
    Presents exactly the payload of the vector, with its credential.
    """

    presented: bytes

    def payload(self) -> bytes:
        return self.presented


class VectorTests(ChannelTestCase):
    """
    The handshake in the vectors, through the router.
    """

    def party(self, role: str, message: str) -> Party:
        """
        The party of one side.
        """
        vault = _VectorVault()
        vault.ephemeral = inVector(f"{role}_ephemeral_secret")
        handle = self.successResultOf(vault.importAgreementKey(inVector(f"{role}_static_secret")))
        public = self.successResultOf(vault.agreementPublicKey(handle))
        payload = IdentityPayload.decode(inVector(message))
        party = _VectorParty(
            vault,
            MemoryStore(),
            Identity(ChangeHistory.fromBytes(payload.history.encode()), b""),
            PurposeKey(handle, public, payload.attestation.encode(), 0, 0),
            lambda: EPOCH,
        )
        object.__setattr__(party, "presented", inVector(message))
        return party

    def test_messages(self) -> None:
        """
        Both sides send the messages, and derive the keys, of the vector.
        """
        router = Router()
        said: list[bytes] = []
        keys: list[Keys] = []
        initiator = self.party("initiator", "message_3_payload")
        responder = self.party("responder", "message_2_payload")

        class Wire:
            """
            Writes down what passes.
            """

            def permits(self, message: LocalMessage) -> bool:
                said.append(message.payload)
                return True

        class Listener:
            """
            The responder's.
            """

            def messageReceived(self, message: LocalMessage) -> None:
                said.append(message.payload)
                done.append(
                    Deferred.fromCoroutine(
                        respond(router, responder, message, TrustIdentifier(initiator.identity.identifier), make)
                    )
                )

        done: list[Deferred[SecureChannel]] = []
        sniffed: list[Address] = []
        register = router.register

        def sniff(address: Address, worker: Any, incoming: Any = None, outgoing: Any = None) -> None:
            sniffed.append(address)
            register(address, worker, Wire() if type(worker).__name__ == "Exchange" else incoming, outgoing)

        router.register = sniff  # type: ignore[method-assign]
        register(Address.local("api"), Listener())  # type: ignore[arg-type]

        def make(remote: Address, route: Route, peer: VerifiedPeer, derived: Keys) -> SecureChannel:
            keys.append(derived)
            return SecureChannel(router, remote, route, peer.identifier, derived, len(keys) == 1)

        trust = TrustIdentifier(responder.identity.identifier)
        done.append(Deferred.fromCoroutine(initiate(router, initiator, Route.of("api"), trust, make)))
        for each in done:
            self.successResultOf(each)
        self.assertEqual(said, [inVector("message_1"), inVector("message_2"), inVector("message_3")])
        there, back = inVector("initiator_to_responder_key"), inVector("responder_to_initiator_key")
        self.assertEqual(keys, [Keys(send=there, receive=back), Keys(send=back, receive=there)])


class TrustTests(ChannelTestCase):
    """
    Who refuses whom.
    """

    def test_initiatorRefuses(self) -> None:
        """
        An initiator that does not trust the responder never sends message 3.
        """
        self.hop.toServer.record = True
        opening = self.create(TrustIdentifier(self.alice.identifier))
        self.assertRaises(PeerNotTrusted, self.network.result, opening)
        self.assertEqual(len(self.hop.toServer.recorded), 1)
        self.assertEqual(self.listener.channels, {})
        self.assertIsNone(self.alice.store.changeHistory(self.bob.identifier))

    def test_responderRefuses(self) -> None:
        """
        A responder that does not trust the initiator lets nothing of it
        reach a worker, and the log says who it was.
        """
        mallory = type(self.alice)(self.network, "mallory")
        hop = mallory.connect(self.bob)
        source, inbox = mallory.inbox("mallory's"), self.bob.inbox("bob's", self.listener.flowId)
        trust = TrustIdentifier(self.bob.identifier)
        channel = self.network.result(mallory.createChannel(hop.route("api"), trust))
        mallory.send(Route((channel.encryptor, inbox.address)), b"let me in", source)
        self.network.pump()
        self.assertEqual(inbox.messages, [])
        self.assertEqual(self.listener.channels, {})
        self.assertEqual(self.lines(), [f"A channel was refused: the peer {mallory.identifier} is not trusted here"])
        self.assertIsNone(self.bob.store.changeHistory(mallory.identifier))

    def test_decisions(self) -> None:
        """
        Both ends say whom they have accepted, and whom not.
        """
        made = decisions(self)
        alice, bob = str(self.alice.identifier), str(self.bob.identifier)
        self.network.result(self.create())
        self.assertEqual(sorted(made), [("channel-accepted", "allowed", alice), ("peer-accepted", "allowed", bob)])
        made.clear()
        self.assertRaises(PeerNotTrusted, self.network.result, self.create(TrustIdentifier(self.alice.identifier)))
        self.assertEqual(made, [("peer-refused", "refused", bob)])
        made.clear()
        mallory = type(self.alice)(self.network, "mallory")
        hop = mallory.connect(self.bob)
        self.network.result(mallory.createChannel(hop.route("api"), TrustIdentifier(self.bob.identifier)))
        self.network.pump()
        self.assertIn(("channel-refused", "refused", str(mallory.identifier)), made)

    def test_historiesOfTheTrusted(self) -> None:
        """
        The change histories of those who are trusted by name are kept; those
        of strangers are not, though everybody is trusted.
        """
        self.network.result(self.create())
        self.assertEqual(
            self.bob.store.changeHistory(self.alice.identifier), self.alice.party.identity.history.encode()
        )
        self.assertIsNotNone(self.alice.store.changeHistory(self.bob.identifier))
        self.bob.listen(TrustEveryone(), name="open")
        mallory = type(self.alice)(self.network, "mallory")
        hop = mallory.connect(self.bob)
        self.network.result(mallory.createChannel(hop.route("open"), TrustEveryone()))
        self.assertIsNone(self.bob.store.changeHistory(mallory.identifier))
        self.assertIsNone(mallory.store.changeHistory(self.bob.identifier))

    def test_policies(self) -> None:
        """
        Policies are asked with the identifier that was proven.
        """
        bob, alice = TrustIdentifier(self.bob.identifier), TrustIdentifier(self.alice.identifier)
        self.network.result(self.create(AnyTrust(alice, bob)))
        self.assertRaises(PeerNotTrusted, self.network.result, self.create(AllTrust(alice, bob)))

    def test_credentialKeyIsNoChannelKey(self) -> None:
        """
        A purpose key of the other kind is a mistake of the program.
        """
        party = self.alice.party
        made = attestCredentialKey(party.vault, party.identity, EPOCH)
        key = self.successResultOf(Deferred.fromCoroutine(made))
        wrong = Party(party.vault, party.store, party.identity, key, party.now)
        self.assertRaises(LocalProtocolError, wrong.staticKey)


class GarbageTests(ChannelTestCase):
    """
    Handshakes that somebody on the way meddles with.
    """

    def assertNothingLeft(self) -> None:
        """
        The ephemeral keys and the addresses of the handshakes are gone.
        """
        self.assertEqual(self.vault.real._secrets.keys() - self.kept, set())
        self.assertEqual(set(self.bob.router._mailboxes), self.addresses)
        self.assertEqual(self.listener._unfinished, {})
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def setUp(self) -> None:
        super().setUp()
        self.kept = set(self.vault.real._secrets)
        self.addresses = set(self.bob.router._mailboxes)

    def test_message1(self) -> None:
        """
        A message 1 that is too short, or a key that contributes nothing, ends
        the attempt with a line; the initiator times out.
        """
        changes: list[tuple[Change, str]] = [
            (lambda payload: b"", "handshake message 1 has 32 to 65535 bytes, not 0"),
            (lambda payload: payload[:31], "handshake message 1 has 32 to 65535 bytes, not 31"),
            (lambda payload: bytes(32), "an X25519 public key contributes nothing"),
        ]
        for change, reason in changes:
            self.logged.clear()
            self.hop.toServer.intercept = lambda frame, change=change: [changed(frame, change)]
            opening = self.create()
            self.network.advance(10)
            self.failureResultOf(opening, TimedOut)
            self.assertEqual(self.lines(), [f"A handshake failed: {reason}"])
            self.assertNothingLeft()

    def test_message1WithPayload(self) -> None:
        """
        Message 1 may carry a payload, which is mixed in: added on the way it
        spoils the handshake, at message 2.
        """
        self.hop.toServer.intercept = lambda frame: [changed(frame, lambda payload: payload + b"more")]
        self.assertRaises(HandshakeFailed, self.network.result, self.create())

    def test_message2(self) -> None:
        """
        Any change of message 2 fails the initiator at once, and message 3 is
        never sent.
        """
        self.hop.toServer.record = True
        [size] = {len(self._second()) for _ in range(2)}
        positions = [*range(0, 112, 7), size // 2, size - 17, size - 1]
        changes: list[Change] = [lambda payload, at=at: _flipped(payload, at) for at in positions]
        changes += [lambda payload: payload[:-1], lambda payload: payload + b"\x00"]
        changes += [lambda payload: b"", lambda payload: payload[:95], lambda payload: bytes(len(payload))]
        for change in changes:
            self.hop.toServer.recorded.clear()
            self.hop.toClient.intercept = lambda frame, change=change: [changed(frame, change)]
            self.assertRaises(HandshakeFailed, self.network.result, self.create())
            self.assertEqual(len(self.hop.toServer.recorded), 1)
        self.network.advance(10)
        self.assertNothingLeft()
        self.assertEqual(self.lines(), [])

    def _second(self) -> bytes:
        seen: list[bytes] = []

        def look(payload: bytes) -> bytes:
            seen.append(payload)
            return b""

        self.hop.toClient.intercept = lambda frame: [changed(frame, look)]
        self.assertRaises(HandshakeFailed, self.network.result, self.create())
        return seen[0]

    def test_message3(self) -> None:
        """
        Any change of message 3 fails the responder, with one line; there is
        no channel at its side.
        """
        changes: list[Change] = [lambda payload, at=at: _flipped(payload, at) for at in (*range(0, 64, 5), -17, -1)]
        changes += [lambda payload: payload[:63], lambda payload: b"", lambda payload: payload + b"\x00"]
        for change in changes:
            self.logged.clear()
            frames = iter([lambda payload: payload, change])
            self.hop.toServer.intercept = lambda frame, frames=frames: [changed(frame, next(frames))]
            channel = self.network.result(self.create())
            self.hop.toServer.intercept = lambda frame: []
            channel.close()
            self.assertEqual(self.listener.channels, {})
            [line] = self.lines()
            self.assertTrue(line.startswith("A handshake failed: handshake message 3 ") or "authenticate" in line)
        self.hop.toServer.intercept = None
        self.assertNothingLeft()

    def test_wrongStatic(self) -> None:
        """
        A payload of somebody else, over one's own key, proves nothing.
        """

        class Thief(Party):
            def payload(self) -> bytes:
                return victim

        victim = self.alice.party.payload()
        mallory = type(self.alice)(self.network, "mallory")
        its = mallory.party
        mallory.party = Thief(its.vault, its.store, its.identity, its.purposeKey, its.now)
        hop = mallory.connect(self.bob)
        self.network.result(mallory.createChannel(hop.route("api"), TrustEveryone()))
        self.assertEqual(self.listener.channels, {})
        self.assertIn("attests another key", self.lines()[0])

    def test_answerWithoutReturnRoute(self) -> None:
        """
        A message 2 that cannot be answered fails the initiator.
        """
        source = self.alice.inbox("trickster", echo=False)
        route = Route((source.address,))
        opening = self.alice.createChannel(route, TrustEveryone())
        [first] = source.messages
        self.alice.router.route(LocalMessage(first.return_route, Route(), bytes(96)), source.address)
        self.failureResultOf(opening, HandshakeFailed)


class LifeTests(ChannelTestCase):
    """
    Time and ends.
    """

    def test_nobodyThere(self) -> None:
        """
        No listener: the initiator gives up in time, and forgets its key.
        """
        kept = set(self.alice.router._mailboxes)
        opening = self.alice.createChannel(self.hop.route("nobody"), TrustEveryone(), timeout=3)
        self.network.advance(2.9)
        self.assertNoResult(opening)
        self.network.advance(0.2)
        error = self.failureResultOf(opening, TimedOut).value
        self.assertEqual(str(error), "no answer to a handshake within 3 s from 0#nobody")
        self.assertEqual(set(self.alice.router._mailboxes), kept)

    def test_cancel(self) -> None:
        """
        An attempt can be given up at any step, also while the vault works.
        """
        for delay, wait in ((0.0, 0.0), (1.0, 0.5), (1.0, 1.5), (1.0, 3.5)):
            vault = type(self.vault)(self.network.clock)
            node = type(self.alice)(self.network, f"node {delay} {wait}", vault)
            hop = node.connect(self.bob)
            kept = set(node.router._mailboxes)
            vault.delay = delay
            self.hop.toClient.held = True
            self.network.links[-1].toClient.held = not delay
            opening = node.createChannel(hop.route("api"), TrustEveryone())
            self.network.advance(wait)
            opening.cancel()
            self.failureResultOf(opening, CancelledError)
            self.network.advance(20)
            self.assertEqual(set(node.router._mailboxes), kept)

    def test_connectionLost(self) -> None:
        """
        The loss of the connection ends the attempt at once.
        """
        self.hop.toClient.held = True
        opening = self.create()
        self.network.pump()
        self.hop.toClient.held = False
        self.hop.cut()
        self.network.pump()
        self.failureResultOf(opening, ConnectionClosed)
        self.assertEqual(self.listener._unfinished, {})
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_noConnection(self) -> None:
        """
        So does one that was lost before.
        """
        self.hop.cut()
        self.network.pump()
        opening = self.create()
        self.failureResultOf(opening, ConnectionClosed)

    def test_lateVault(self) -> None:
        """
        A responder whose vault takes its time loses nothing of what the
        initiator sends meanwhile, in order.
        """
        inbox = self.bob.inbox("bob's", self.listener.flowId)
        source = self.alice.inbox("alice's")
        self.vault.delay = 0.25
        opening = self.create()
        self.network.advance(1)
        channel = self.successResultOf(opening)
        self.assertEqual(self.listener.channels, {})
        for number in range(60):
            self.alice.send(Route((channel.encryptor, inbox.address)), b"%d" % number, source)
        self.network.pump()
        self.assertEqual(inbox.messages, [])
        self.network.advance(1)
        self.alice.send(Route((channel.encryptor, inbox.address)), b"60", source)
        self.network.pump()
        self.assertEqual(inbox.payloads, [b"%d" % number for number in range(61)])
        self.assertEqual(self.lines(), [])

    def test_tooManyEarlyRecords(self) -> None:
        """
        Only so many are kept: with more the channel ends, rather than with a
        hole in what it delivers.
        """
        inbox = self.bob.inbox("bob's", self.listener.flowId)
        source = self.alice.inbox("alice's")
        self.vault.delay = 0.25
        opening = self.create()
        self.network.advance(1)
        channel = self.successResultOf(opening)
        for number in range(65):
            self.alice.send(Route((channel.encryptor, inbox.address)), b"%d" % number, source)
        self.network.advance(1)
        self.assertEqual(len(inbox.messages), 64)
        self.alice.send(Route((channel.encryptor, inbox.address)), b"65", source)
        self.network.pump()
        self.assertEqual(len(inbox.messages), 64)
        self.assertEqual(len(self.lines()), 1)
        self.assertTrue(channel.hasEnded)

    def early(self) -> tuple[SecureChannel, Inbox]:
        """
        @return: A channel whose responder's vault is still working, and a
            worker at its far end.
        """
        inbox = self.bob.inbox("bob's", self.listener.flowId)
        self.vault.delay = 0.25
        opening = self.create()
        self.network.advance(1)
        return self.successResultOf(opening), inbox

    def test_closeAmongEarlyRecords(self) -> None:
        """
        A Close that came early is one, and nothing after it counts.
        """
        channel, inbox = self.early()
        source = self.alice.inbox("alice's")
        self.alice.send(Route((channel.encryptor, inbox.address)), b"before", source)
        channel.sendPlaintext(CLOSE)
        self.alice.send(Route((channel.encryptor, inbox.address)), b"after", source)
        self.network.advance(1)
        self.assertEqual(inbox.payloads, [b"before"])
        self.assertEqual(self.listener.channels, {})
        self.assertEqual(self.lines(), [])

    def test_forgedAmongEarlyRecords(self) -> None:
        """
        A forged one is the end, with one line however many follow.
        """
        channel, inbox = self.early()
        source = self.alice.inbox("alice's")
        self.hop.toServer.intercept = lambda frame: [changed(frame, lambda payload: _flipped(payload, -1))]
        for _ in range(5):
            self.alice.send(Route((channel.encryptor, inbox.address)), b"x", source)
        self.network.advance(1)
        self.assertEqual((inbox.messages, len(self.lines())), ([], 1))
        self.assertTrue(channel.hasEnded)

    def test_flowAfterEarlyRecords(self) -> None:
        """
        Once the early ones are dealt with, records take the direct way.
        """
        channel, inbox = self.early()
        source = self.alice.inbox("alice's")
        route = Route((channel.encryptor, inbox.address))
        self.alice.send(route, b"early", source)
        self.network.advance(1)
        [theirs] = self.listener.channels
        theirs.receiver.messageReceived = None  # type: ignore[assignment, method-assign]
        self.alice.send(route, b"late", source)
        self.network.pump()
        self.assertEqual(inbox.payloads, [b"early", b"late"])


def _flipped(data: bytes, at: int) -> bytes:
    """
    C{data} with one bit changed.
    """
    copy = bytearray(data)
    copy[at] ^= 0x10
    return bytes(copy)
