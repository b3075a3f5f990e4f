"""
Tests for L{ockam_twisted.channels.bundle}, and for channels that use it.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ockam_twisted.channels.bundle import LARGEST, MOST, Bundle
from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.interfaces import IBundle, IWorker
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.turn import Turn
from ockam_twisted.testing import Inbox
from ockam_twisted.wire.channel import (
    BUNDLE_HEAD,
    CLOSE,
    MAX_BUNDLED,
    PLAINTEXT_TAIL,
    READS_BUNDLES,
    bundleBounds,
    encodeBundle,
    plaintextPrefix,
)
from ockam_twisted.wire.messages import payloadHead
from tests.channels.common import ChannelTestCase


def message(address: Address, payload: bytes) -> bytes:
    """
    A user message, as a record has it.
    """
    return plaintextPrefix((address,), ()) + payloadHead(len(payload)) + payload + PLAINTEXT_TAIL


class BundleTests(SynchronousTestCase):
    """
    Tests for L{Bundle}.
    """

    def setUp(self) -> None:
        """
        A bundle, and the records that it sends.
        """
        self.turn = Turn()
        self.records: list[bytes] = []
        self.bundle = Bundle(self.turn, self.records.append)

    def test_interface(self) -> None:
        """
        It is one.
        """
        verifyObject(IBundle, self.bundle)

    def test_outside(self) -> None:
        """
        Outside of a pass nothing waits.
        """
        self.assertFalse(self.bundle.add(b"1"))

    def test_pass(self) -> None:
        """
        What comes in a pass leaves at its end; one message is a record as any
        other.
        """
        for messages in ((b"1", b"22", b"333"), (b"4",)):
            self.turn.beginPass()
            for each in messages:
                self.assertTrue(self.bundle.add(each))
            self.assertEqual(self.records, [])
            self.turn.endPass()
            self.assertEqual(self.records, [encodeBundle(messages) if len(messages) > 1 else messages[0]])
            self.records.clear()
        self.turn.beginPass()
        self.turn.endPass()
        self.assertEqual(self.records, [])

    def test_large(self) -> None:
        """
        What is large goes alone, after what came before.
        """
        self.turn.beginPass()
        self.bundle.add(b"1")
        self.bundle.add(b"2")
        self.assertFalse(self.bundle.add(bytes(LARGEST + 1)))
        self.assertEqual(self.records, [encodeBundle((b"1", b"2"))])

    def test_much(self) -> None:
        """
        A record has so much at most.
        """
        self.turn.beginPass()
        for _ in range(20):
            self.assertTrue(self.bundle.add(bytes(LARGEST)))
        for _ in range(MAX_BUNDLED + 1):
            self.assertTrue(self.bundle.add(bytes(9)))
        self.turn.endPass()
        self.assertEqual(sum(len(bundleBounds(each)) for each in self.records), 20 + MAX_BUNDLED + 1)
        for each in self.records:
            self.assertLessEqual(sum(end - start for start, end in bundleBounds(each)), MOST)

    def test_clear(self) -> None:
        """
        What is left of an ended channel is not sent.
        """
        self.turn.beginPass()
        self.bundle.add(b"1")
        self.bundle.clear()
        self.turn.endPass()
        self.assertEqual(self.records, [])


class ChannelTests(ChannelTestCase):
    """
    Channels whose messages are put together.
    """

    def introduced(self) -> tuple[SecureChannel, SecureChannel, Inbox]:
        """
        A channel either end of which has said something.

        @return: Alice's end, Bob's end, and a place at Bob's.
        """
        mine, theirs = self.channel()
        inbox = self.bob.inbox("bob's", self.listener.flowId, echo=True)
        self.alice.send(Route((mine.encryptor, inbox.address)), b"hello", self.alice.inbox("alice's"))
        self.network.pump()
        inbox.messages.clear()
        self.hop.toServer.record = True
        return mine, theirs, inbox

    def records(self) -> int:
        """
        How many records Alice has sent since then.
        """
        self.network.pump()
        return len(self.hop.toServer.recorded)

    def test_together(self) -> None:
        """
        Messages of one pass, to whomever, are one record; they arrive in order.
        """
        mine, theirs, inbox = self.introduced()
        other = self.bob.inbox("other", self.listener.flowId)
        turn = self.alice.router.turn
        turn.beginPass()
        for number in range(20):
            with turn:
                mine.sendPlaintext(message((inbox, other)[number % 2].address, b"%d" % number))
        turn.endPass()
        self.assertEqual(self.records(), 1)
        self.assertEqual(inbox.payloads, [b"%d" % number for number in range(0, 20, 2)])
        self.assertEqual(other.payloads, [b"%d" % number for number in range(1, 20, 2)])
        self.assertEqual(theirs.heard, 2)

    def test_order(self) -> None:
        """
        What goes alone overtakes nothing; nor does the end.
        """
        mine, theirs, inbox = self.introduced()
        turn = self.alice.router.turn
        turn.beginPass()
        with turn:
            for each in (b"1", b"2", bytes(LARGEST), b"3", b"4"):
                mine.sendPlaintext(message(inbox.address, each))
            mine.presentCredential(b"\x80", b"")
            mine.sendPlaintext(message(inbox.address, b"5"))
            mine.close()
        turn.endPass()
        self.assertEqual(self.records(), 6)
        self.assertEqual(inbox.payloads, [b"1", b"2", bytes(LARGEST), b"3", b"4", b"5"])
        self.assertTrue(theirs.hasEnded)

    def test_ended(self) -> None:
        """
        A channel that ends in a pass sends nothing more.
        """
        mine, _, inbox = self.introduced()
        turn = self.alice.router.turn
        turn.beginPass()
        with turn:
            mine.sendPlaintext(message(inbox.address, b"1"))
        self.hop.client.protocol.abortConnection("cut")
        self.network.pump()
        turn.endPass()
        self.assertTrue(mine.hasEnded)
        self.assertEqual(self.records(), 0)

    def test_unannounced(self) -> None:
        """
        Who has not said that it reads them is sent none: Alice, before Bob has
        said anything.
        """
        mine, _ = self.channel()
        inbox = self.bob.inbox("bob's", self.listener.flowId)
        self.hop.toServer.record = True
        turn = self.alice.router.turn
        turn.beginPass()
        with turn:
            for each in (b"1", b"2"):
                mine.sendPlaintext(message(inbox.address, each))
        turn.endPass()
        self.assertEqual((self.records(), inbox.payloads), (2, [b"1", b"2"]))

    def test_unordered(self) -> None:
        """
        Over a road that loses records each message has one of its own, and nobody says that
        he reads anything else.
        """
        mine, _ = self.channel(ordered=False)
        inbox = self.bob.inbox("bob's", self.listener.flowId)
        plaintexts: list[bytes] = []
        encrypt = mine._encrypt.encrypt

        class Spy:
            nonce = 0

            def encrypt(self, plaintext: bytes) -> tuple[bytes, bytes]:
                plaintexts.append(plaintext)
                return encrypt(plaintext)

        mine._encrypt = Spy()  # type: ignore[assignment]
        mine.sendPlaintext(message(inbox.address, b"1"))
        self.assertEqual(plaintexts, [message(inbox.address, b"1")])

    def test_announced(self) -> None:
        """
        It is said once, in the padding of the first record, and only there it counts.
        """
        mine, theirs = self.channel()
        inbox = self.bob.inbox("bob's", self.listener.flowId)
        said = message(inbox.address, b"1")[:-1] + READS_BUNDLES
        mine.sendPlaintext(message(inbox.address, b"0")[:-1] + b"\x41x")
        mine.sendPlaintext(said)
        self.network.pump()
        self.assertEqual((inbox.payloads, theirs._bundle.isWelcome), ([b"0", b"1"], False))
        other, its = self.channel()
        other.sendPlaintext(said)
        self.network.pump()
        self.assertTrue(its._bundle.isWelcome)

    def test_hostile(self) -> None:
        """
        What is no user message in a bundle is dropped, with one line, and with what follows
        it; nothing else happens.
        """
        mine, theirs, inbox = self.introduced()
        good = message(inbox.address, b"good")
        inside = encodeBundle((good, good))
        cut = message(inbox.address, bytes(64))
        for bad in (bytes(9), CLOSE + bytes(9), inside, good[:-1], cut[:20], good + b"x", b"\x83" + good[1:] + b"\xf6"):
            inbox.messages.clear()
            mine.sendPlaintext(encodeBundle((good, bad, good)))
            self.network.pump()
            self.assertEqual((inbox.payloads, theirs.hasEnded), ([b"good"], False), bad)
        for bad in (BUNDLE_HEAD, encodeBundle((good, CLOSE)), BUNDLE_HEAD + b"\x82" + inside):
            mine.sendPlaintext(bad)
        self.network.pump()
        self.assertEqual((inbox.payloads, theirs.hasEnded), ([b"good"], False))
        self.assertEqual(len([line for line in self.lines() if "dropped" in line]), 1)

    def test_endsWithin(self) -> None:
        """
        Nothing is delivered of what follows the message that has ended the channel.
        """
        mine, theirs, inbox = self.introduced()

        @implementer(IWorker)
        class Ends:
            def messageReceived(self, message: object) -> None:
                theirs.close()

        self.bob.router.register(ends := Address.local("ends"), Ends())
        self.bob.router.flowControls.addConsumer(ends, self.listener.flowId)
        good = message(inbox.address, b"good")
        mine.sendPlaintext(encodeBundle((good, message(ends, b""), good)))
        self.network.pump()
        self.assertEqual((inbox.payloads, theirs.hasEnded), ([b"good"], True))
