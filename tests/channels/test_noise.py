"""
Tests for L{ockam_twisted.channels.noise}.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from noise.connection import Keypair, NoiseConnection
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.channels.noise import (
    MAX_MESSAGE,
    HandshakeOutOfOrder,
    InitiatorHandshake,
    Keys,
    ResponderHandshake,
    SymmetricState,
)
from ockam_twisted.errors import EncodeError, HandshakeFailed, LocalProtocolError

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent.parent / "vectors" / "vectors.json").read_text("utf-8"))
NOISE_NAME = b"Noise_XX_25519_AESGCM_SHA256"

# The secrets of the vectors: initiator static, ephemeral, responder static, ephemeral.
IS, IE = bytes(range(0, 32)), bytes(range(32, 64))
RS, RE = bytes(range(1, 33)), bytes(range(65, 97))

agree = crypto_scalarmult


def initiator(protocolName: bytes = NOISE_NAME) -> InitiatorHandshake:
    return InitiatorHandshake(crypto_scalarmult_base(IS), crypto_scalarmult_base(IE), protocolName)


def responder(protocolName: bytes = NOISE_NAME) -> ResponderHandshake:
    return ResponderHandshake(crypto_scalarmult_base(RS), crypto_scalarmult_base(RE), protocolName)


def answer(side: ResponderHandshake, payload: bytes) -> bytes:
    """
    Message 2, after message 1 was read.
    """
    return side.writeMessage2(agree(RE, side.re), agree(RS, side.re), payload)


def read2(side: InitiatorHandshake, message: bytes | memoryview) -> bytes:
    """
    Take all the steps that message 2 asks for.
    """
    re = side.readMessage2Ephemeral(message)
    rs = side.readMessage2Static(agree(IE, re))
    return side.readMessage2Payload(agree(IE, rs))


def write3(side: InitiatorHandshake, payload: bytes) -> bytes:
    return side.writeMessage3(agree(IS, side.re), payload)


def read3(side: ResponderHandshake, message: bytes | memoryview) -> bytes:
    """
    Take all the steps that message 3 asks for.
    """
    return side.readMessage3Payload(agree(RE, side.readMessage3Static(message)))


def waitingFor2() -> tuple[InitiatorHandshake, bytes]:
    """
    An initiator that wants message 2, and that message.
    """
    left, right = initiator(), responder()
    right.readMessage1(left.writeMessage1())
    return left, answer(right, b"payload two")


def waitingFor3() -> tuple[ResponderHandshake, bytes]:
    """
    A responder that wants message 3, and that message.
    """
    left, right = initiator(), responder()
    right.readMessage1(left.writeMessage1())
    read2(left, answer(right, b"payload two"))
    return right, write3(left, b"payload three")


class SymmetricStateTests(SynchronousTestCase):
    """
    The part that both sides share.
    """

    def test_initialState(self) -> None:
        """
        The initial state under Noise's own name is that of the vector.
        """
        (vector,) = VECTORS["noise_initialize"]
        state = SymmetricState(vector["protocol_name"].encode("ascii"))
        self.assertEqual(
            (state.ck.hex(), state.h.hex(), state.n, state.k), (vector["ck"], vector["h"], vector["n"], None)
        )

    def test_ockamInitialState(self) -> None:
        """
        Unless told otherwise the name is Ockam's.
        """
        vector = VECTORS["derived"]["protocol_initial_state"]
        state = SymmetricState()
        self.assertEqual((state.ck.hex(), state.h.hex()), (vector["ck"], vector["h"]))

    def test_mixKey(self) -> None:
        """
        Mixing a key gives the two outputs of the vector's HKDF and starts counting anew.
        """
        (vector,) = VECTORS["hkdf_sha256"]
        state = SymmetricState()
        state.ck, state.n = bytes.fromhex(vector["salt"]), 9
        state.mixKey(bytes.fromhex(vector["ikm"]))
        self.assertEqual((state.ck.hex(), state.k, state.n), (vector["output_1"], bytes.fromhex(vector["output_2"]), 0))

    def test_aead(self) -> None:
        """
        A ciphertext is the one of the vector: counter as nonce, transcript as associated data.
        """
        (vector,) = VECTORS["aes_256_gcm"]
        writer, reader = SymmetricState(), SymmetricState()
        for state in (writer, reader):
            state.k, state.n = bytes.fromhex(vector["key"]), vector["nonce_u64"]
            state.h = vector["aad_utf8"].encode("utf-8")
        sealed = writer.encryptAndHash(vector["plaintext_utf8"].encode("utf-8"))
        self.assertEqual(sealed.hex(), vector["ciphertext_and_tag"])
        self.assertEqual(reader.decryptAndHash(sealed), vector["plaintext_utf8"].encode("utf-8"))
        self.assertEqual((writer.h, writer.n), (reader.h, vector["nonce_u64"] + 1))

    def test_longName(self) -> None:
        """
        A name above 32 bytes is refused, exactly 32 are fine.
        """
        SymmetricState(b"x" * 32)
        self.assertRaises(LocalProtocolError, SymmetricState, b"x" * 33)

    def test_forget(self) -> None:
        """
        Forgetting leaves no secret.
        """
        state = SymmetricState()
        state.mixKey(bytes(32))
        state.forget()
        self.assertEqual((state.ck, state.k), (b"", None))

    def test_repr(self) -> None:
        """
        Neither the state nor the keys it yields show a secret.
        """
        state = SymmetricState()
        state.mixKey(bytes(32))
        assert state.k is not None
        self.assertNotIn(state.k.hex(), repr(state))
        self.assertNotIn(state.ck.hex(), repr(state))
        self.assertEqual(repr(Keys(b"secret" * 5, b"hidden" * 5)), "Keys()")


class VectorTests(SynchronousTestCase):
    """
    Whole handshakes, byte for byte.
    """

    def secrets(self, vector: dict[str, Any]) -> None:
        """
        The vector's secrets are the ones this module uses.
        """
        self.assertEqual(
            [
                vector[f"{side}_{kind}_secret"]
                for side in ("initiator", "responder")
                for kind in ("static", "ephemeral")
            ],
            [secret.hex() for secret in (IS, IE, RS, RE)],
        )

    def test_noise(self) -> None:
        """
        Both transcripts under Noise's own name, and the keys after them.
        """
        for vector, split in zip(VECTORS["noise_xx_handshake"], VECTORS["derived"]["noise_split"], strict=True):
            self.secrets(vector)
            payloads = [bytes.fromhex(message["payload"]) for message in vector["messages"]]
            expected = [message["ciphertext"] for message in vector["messages"]]
            left, right = initiator(), responder()
            first = left.writeMessage1(payloads[0])
            self.assertEqual(right.readMessage1(first), payloads[0])
            second = answer(right, payloads[1])
            self.assertEqual(read2(left, second), payloads[1])
            third = write3(left, payloads[2])
            self.assertEqual(read3(right, third), payloads[2])
            self.assertEqual([first.hex(), second.hex(), third.hex()], expected)
            for side in (left, right):
                self.assertEqual(side._symmetric.h.hex(), split["final_h"])
                self.assertEqual(side._symmetric.ck.hex(), split["final_ck"])
            k1, k2 = bytes.fromhex(split["k1"]), bytes.fromhex(split["k2"])
            self.assertEqual(left.split(), Keys(send=k2, receive=k1))
            self.assertEqual(right.split(), Keys(send=k1, receive=k2))

    def test_ockam(self) -> None:
        """
        A handshake under Ockam's name, with identities as payloads.
        """
        vector = VECTORS["derived"]["ockam_handshake"]
        self.secrets(vector)
        payload2, payload3 = (bytes.fromhex(vector[f"message_{n}_payload"]) for n in (2, 3))
        left = InitiatorHandshake(crypto_scalarmult_base(IS), crypto_scalarmult_base(IE))
        right = ResponderHandshake(crypto_scalarmult_base(RS), crypto_scalarmult_base(RE))
        first = left.writeMessage1()
        self.assertEqual(right.readMessage1(first), b"")
        second = answer(right, payload2)
        self.assertEqual(read2(left, second), payload2)
        third = write3(left, payload3)
        self.assertEqual(read3(right, third), payload3)
        self.assertEqual([m.hex() for m in (first, second, third)], [vector[f"message_{n}"] for n in (1, 2, 3)])
        self.assertEqual((left.re, left.rs), (crypto_scalarmult_base(RE), crypto_scalarmult_base(RS)))
        self.assertEqual((right.re, right.rs), (crypto_scalarmult_base(IE), crypto_scalarmult_base(IS)))
        self.assertEqual(left._symmetric.h.hex(), vector["final_h"])
        send, receive = (
            bytes.fromhex(vector[name]) for name in ("initiator_to_responder_key", "responder_to_initiator_key")
        )
        self.assertEqual(left.split(), Keys(send, receive))
        self.assertEqual(right.split(), Keys(receive, send))


class OtherImplementationTests(SynchronousTestCase):
    """
    Handshakes with an independent implementation of Noise.
    """

    def other(self, static: bytes, ephemeral: bytes, start: str) -> Any:
        """
        The other implementation, in one of its roles.
        """
        connection = NoiseConnection.from_name(NOISE_NAME)
        connection.set_keypair_from_private_bytes(Keypair.STATIC, static)
        connection.set_keypair_from_private_bytes(Keypair.EPHEMERAL, ephemeral)
        getattr(connection, start)()
        with warnings.catch_warnings():
            # It warns that the ephemeral key was chosen beforehand.
            warnings.simplefilter("ignore", UserWarning)
            connection.start_handshake()
        return connection

    def checkKeys(self, keys: Keys, connection: Any) -> None:
        """
        The other side follows Noise, where each direction has the other key.
        """
        state = connection.noise_protocol
        self.assertEqual(keys.receive, state.cipher_state_encrypt.k)
        self.assertEqual(keys.send, state.cipher_state_decrypt.k)

    def test_asInitiator(self) -> None:
        """
        We start, it answers.
        """
        other = self.other(RS, RE, "set_as_responder")
        left = initiator()
        self.assertEqual(other.read_message(left.writeMessage1(b"one")), b"one")
        self.assertEqual(read2(left, bytes(other.write_message(b"two"))), b"two")
        self.assertEqual(other.read_message(write3(left, b"three")), b"three")
        self.assertEqual(left._symmetric.h, other.get_handshake_hash())
        keys = left.split()
        self.checkKeys(Keys(send=keys.receive, receive=keys.send), other)

    def test_asResponder(self) -> None:
        """
        It starts, we answer.
        """
        other = self.other(IS, IE, "set_as_initiator")
        right = responder()
        self.assertEqual(right.readMessage1(bytes(other.write_message(b"one"))), b"one")
        self.assertEqual(other.read_message(answer(right, b"two")), b"two")
        self.assertEqual(read3(right, bytes(other.write_message(b"three"))), b"three")
        self.assertEqual(right._symmetric.h, other.get_handshake_hash())
        keys = right.split()
        self.checkKeys(Keys(send=keys.receive, receive=keys.send), other)


class OrderTests(SynchronousTestCase):
    """
    Steps are taken once and in order, and an error is the end.
    """

    def test_everyStepOutOfOrder(self) -> None:
        """
        In each state each method but the next one is refused.
        """
        zeros = bytes(32)
        _, second = waitingFor2()
        _, third = waitingFor3()
        first = initiator().writeMessage1()
        steps: dict[type, list[tuple[str, Callable[[Any], Any]]]] = {
            InitiatorHandshake: [
                ("writeMessage1", lambda side: side.writeMessage1()),
                ("readMessage2Ephemeral", lambda side: side.readMessage2Ephemeral(second)),
                ("readMessage2Static", lambda side: side.readMessage2Static(agree(IE, side.re or first))),
                ("readMessage2Payload", lambda side: side.readMessage2Payload(agree(IE, side.rs or first))),
                ("writeMessage3", lambda side: side.writeMessage3(zeros, b"")),
                ("split", lambda side: side.split()),
            ],
            ResponderHandshake: [
                ("readMessage1", lambda side: side.readMessage1(first)),
                (
                    "writeMessage2",
                    lambda side: answer(side, b"payload two") if side.re else side.writeMessage2(zeros, zeros, b""),
                ),
                ("readMessage3Static", lambda side: side.readMessage3Static(third)),
                ("readMessage3Payload", lambda side: side.readMessage3Payload(agree(RE, side.rs or first))),
                ("split", lambda side: side.split()),
            ],
        }
        for make, sequence in ((initiator, steps[InitiatorHandshake]), (responder, steps[ResponderHandshake])):
            for done in range(len(sequence) + 1):
                for wrong, (_name, call) in enumerate(sequence):
                    if wrong == done:
                        continue
                    side: Any = make()
                    for _, earlier in sequence[:done]:
                        earlier(side)
                    self.assertRaises(HandshakeOutOfOrder, call, side)
                    if done < len(sequence):
                        # Not even what would have been next is possible now.
                        self.assertRaises(HandshakeOutOfOrder, sequence[done][1], side)

    def test_secretsForgotten(self) -> None:
        """
        The secrets are gone after a failure as well as after the keys were handed out.
        """
        left, second = waitingFor2()
        left.readMessage2Ephemeral(second)
        self.assertRaises(HandshakeFailed, left.readMessage2Static, bytes(32))
        right, third = waitingFor3()
        read3(right, third)
        right.split()
        for side in (left, right):
            self.assertEqual((side._symmetric.ck, side._symmetric.k, side._message), (b"", None, b""))

    def test_ownKeys(self) -> None:
        """
        Keys and agreements of a wrong length are the caller's fault.
        """
        good = bytes(32)
        for make in (InitiatorHandshake, ResponderHandshake):
            self.assertRaises(LocalProtocolError, make, good[1:], good)
            self.assertRaises(LocalProtocolError, make, good, good + b"\0")
        left, second = waitingFor2()
        left.readMessage2Ephemeral(second)
        self.assertRaises(LocalProtocolError, left.readMessage2Static, good[1:])
        right, third = waitingFor3()
        right.readMessage3Static(third)
        self.assertRaises(LocalProtocolError, right.readMessage3Payload, b"")

    def test_repr(self) -> None:
        """
        A handshake shows where it is and no key.
        """
        self.assertEqual(repr(initiator()), "<InitiatorHandshake next=writeMessage1>")
        right, _third = waitingFor3()
        self.assertEqual(repr(right), "<ResponderHandshake next=readMessage3Static>")


class SizeTests(SynchronousTestCase):
    """
    Bounds of messages and payloads.
    """

    def test_tooShort(self) -> None:
        """
        Each message has a minimum, which is itself accepted as far as its size goes.
        """
        for minimum, read in (
            (32, lambda data: responder().readMessage1(data)),
            (96, lambda data: waitingFor2()[0].readMessage2Ephemeral(data)),
            (64, lambda data: waitingFor3()[0].readMessage3Static(data)),
        ):
            for size in (0, minimum - 1, MAX_MESSAGE + 1):
                error = self.assertRaises(HandshakeFailed, read, bytes(size))
                self.assertIn(f"{minimum} to {MAX_MESSAGE} bytes, not {size}", str(error))
        self.assertEqual(responder().readMessage1(bytes(32)), b"")
        self.assertEqual(waitingFor2()[0].readMessage2Ephemeral(bytes(96)), bytes(32))

    def test_largest(self) -> None:
        """
        The largest payloads make messages of exactly 65535 bytes, which are read.
        """
        left, right = initiator(), responder()
        sizes = (65503, 65439, 65471)
        first = left.writeMessage1(bytes(sizes[0]))
        self.assertEqual(len(right.readMessage1(first)), sizes[0])
        second = answer(right, bytes(sizes[1]))
        self.assertEqual(len(read2(left, second)), sizes[1])
        third = write3(left, bytes(sizes[2]))
        self.assertEqual(len(read3(right, third)), sizes[2])
        self.assertEqual({len(first), len(second), len(third)}, {MAX_MESSAGE})

    def test_payloadTooLarge(self) -> None:
        """
        One byte more is refused before anything is sent.
        """
        self.assertRaises(EncodeError, initiator().writeMessage1, bytes(65504))
        right = responder()
        right.readMessage1(initiator().writeMessage1())
        self.assertRaises(EncodeError, answer, right, bytes(65440))
        left, second = waitingFor2()
        read2(left, second)
        self.assertRaises(EncodeError, write3, left, bytes(65472))

    def test_memoryviews(self) -> None:
        """
        Messages may be views, and later changes of what they view do not matter.
        """
        left, second = waitingFor2()
        buffer = bytearray(second)
        re = left.readMessage2Ephemeral(memoryview(buffer).toreadonly())
        buffer[:] = bytes(len(buffer))
        rs = left.readMessage2Static(agree(IE, re))
        self.assertEqual(left.readMessage2Payload(agree(IE, rs)), b"payload two")


class TamperTests(SynchronousTestCase):
    """
    Any change on the way is noticed.
    """

    def flipped(self, message: bytes) -> list[bytes]:
        """
        C{message} with one bit changed, for each of its bytes.
        """
        return [message[:i] + bytes([message[i] ^ 1]) + message[i + 1 :] for i in range(len(message))]

    def test_message1(self) -> None:
        """
        Message 1 is in clear: a change of any byte of it fails at the initiator with message 2.
        """
        for changed in self.flipped(initiator().writeMessage1(b"hello")):
            left, right = initiator(), responder()
            left.writeMessage1(b"hello")
            right.readMessage1(changed)
            self.assertRaises(HandshakeFailed, read2, left, answer(right, b""))

    def test_message2(self) -> None:
        """
        A change of any byte of message 2 is refused at once, and so is everything after it.
        """
        _, second = waitingFor2()
        for changed in self.flipped(second):
            left, _ = waitingFor2()
            self.assertRaises(HandshakeFailed, read2, left, changed)
            self.assertRaises(HandshakeOutOfOrder, read2, left, second)

    def test_message3(self) -> None:
        """
        A change of any byte of message 3 is refused at once, and so is everything after it.
        """
        _, third = waitingFor3()
        for changed in self.flipped(third):
            right, _ = waitingFor3()
            self.assertRaises(HandshakeFailed, read3, right, changed)
            self.assertRaises(HandshakeOutOfOrder, read3, right, third)

    def test_truncated(self) -> None:
        """
        Messages cut short or made longer are refused.
        """
        _, second = waitingFor2()
        for changed in [second[:size] for size in range(len(second))] + [second + b"\0"]:
            self.assertRaises(HandshakeFailed, read2, waitingFor2()[0], changed)
        _, third = waitingFor3()
        for changed in [third[:size] for size in range(len(third))] + [third + b"\0"]:
            self.assertRaises(HandshakeFailed, read3, waitingFor3()[0], changed)

    def test_wrongAgreement(self) -> None:
        """
        Who does not have the secret key of the static key it shows is refused.
        """
        left, second = waitingFor2()
        left.readMessage2Static(agree(IE, left.readMessage2Ephemeral(second)))
        self.assertRaises(HandshakeFailed, left.readMessage2Payload, agree(IS, left.rs))
        right, third = waitingFor3()
        right.readMessage3Static(third)
        self.assertRaises(HandshakeFailed, right.readMessage3Payload, agree(RS, right.rs))

    def test_otherName(self) -> None:
        """
        Sides of different protocol names fail at message 2.
        """
        left, right = initiator(NOISE_NAME), responder(b"OCKAM_XX_25519_AES256_GCM_SHA256")
        right.readMessage1(left.writeMessage1())
        self.assertRaises(HandshakeFailed, read2, left, answer(right, b""))

    def test_noCause(self) -> None:
        """
        The error is plain: it drags no error of the library along.
        """
        error = self.assertRaises(HandshakeFailed, read3, waitingFor3()[0], bytes(64))
        self.assertTrue(error.__cause__ is None and error.__suppress_context__)


class HostileTests(SynchronousTestCase):
    """
    Arbitrary bytes raise nothing but L{HandshakeFailed}.
    """

    @settings(deadline=None, max_examples=100, derandomize=True)
    @given(st.binary(max_size=200))
    def test_message1(self, data: bytes) -> None:
        """
        As message 1: whatever is long enough is accepted, since nothing is proven yet.
        """
        if len(data) < 32:
            self.assertRaises(HandshakeFailed, responder().readMessage1, data)
        else:
            side = responder()
            self.assertEqual((side.readMessage1(data), side.re), (data[32:], data[:32]))

    @settings(deadline=None, max_examples=100, derandomize=True)
    @given(st.binary(max_size=200), st.binary(min_size=32, max_size=32))
    def test_message2(self, data: bytes, agreed: bytes) -> None:
        """
        As message 2.
        """
        left, _ = waitingFor2()

        def read() -> None:
            left.readMessage2Ephemeral(data)
            left.readMessage2Static(agreed)

        self.assertRaises(HandshakeFailed, read)

    @settings(deadline=None, max_examples=100, derandomize=True)
    @given(st.binary(max_size=200))
    def test_message2Payload(self, data: bytes) -> None:
        """
        As the end of message 2, from a peer that knows C{ee}.
        """
        left, second = waitingFor2()
        left.readMessage2Ephemeral((second[:80] + data).ljust(96, b"\0"))
        rs = left.readMessage2Static(agree(IE, left.re))
        self.assertRaises(HandshakeFailed, left.readMessage2Payload, agree(IE, rs))

    @settings(deadline=None, max_examples=100, derandomize=True)
    @given(st.binary(max_size=200))
    def test_message3(self, data: bytes) -> None:
        """
        As message 3, and as its end.
        """
        right, third = waitingFor3()
        self.assertRaises(HandshakeFailed, right.readMessage3Static, data)
        right, third = waitingFor3()
        rs = right.readMessage3Static((third[:48] + data).ljust(64, b"\0"))
        self.assertRaises(HandshakeFailed, right.readMessage3Payload, agree(RE, rs))
