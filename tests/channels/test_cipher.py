"""
Tests for L{ockam_twisted.channels.cipher}.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_aead_aes256gcm_encrypt
from nacl.exceptions import UnavailableError
from noise.connection import NoiseConnection
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from ockam_twisted.channels.cipher import (
    LAST_NONCE,
    OVERHEAD,
    Decryptor,
    Encryptor,
    KeyTracker,
    NoncesExhausted,
    NonceWindow,
    rekey,
)
from ockam_twisted.errors import LocalProtocolError, RecordRefused

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent.parent / "vectors" / "vectors.json").read_text("utf-8"))
KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))


def records(count: int, key: bytes = KEY) -> list[bytes]:
    """
    The first records of a channel; the plaintext of record I{n} is L{plain}.
    """
    encryptor = Encryptor(key)
    return [b"".join(encryptor.encrypt(plain(n))) for n in range(count)]


def plain(n: int) -> bytes:
    return b"record %d" % n


def sealed(key: bytes, nonce: int, plaintext: bytes = b"forged") -> bytes:
    """
    A record made by hand, with any nonce.
    """
    return nonce.to_bytes(8, "big") + AESGCM(key).encrypt(nonce.to_bytes(12, "big"), plaintext, None)


def flipped(record: bytes, position: int) -> bytes:
    return record[:position] + bytes([record[position] ^ 1]) + record[position + 1 :]


class RekeyTests(SynchronousTestCase):
    """
    The next key.
    """

    def test_vector(self) -> None:
        """
        Two keys in a row are those of the vector.
        """
        vector = VECTORS["derived"]["rekey"]
        following = rekey(AESGCM(bytes.fromhex(vector["key"])))
        self.assertEqual(following.hex(), vector["next_key"])
        self.assertEqual(rekey(AESGCM(following)).hex(), vector["next_next_key"])

    def test_otherImplementation(self) -> None:
        """
        It is the REKEY of an independent implementation of Noise.
        """
        cipher = NoiseConnection.from_name(b"Noise_XX_25519_AESGCM_SHA256").noise_protocol.cipher_class()
        cipher.initialize(KEY)
        self.assertEqual(rekey(AESGCM(KEY)), cipher.rekey(KEY))


class EncryptorTests(SynchronousTestCase):
    """
    The sending direction.
    """

    def test_vectors(self) -> None:
        """
        Records of both directions, before and after changes of the key, byte for byte.
        """
        for name in ("records_initiator_to_responder", "records_responder_to_initiator"):
            vector = VECTORS["derived"][name]
            encryptor = Encryptor(bytes.fromhex(vector["key_at_nonce_0"]))
            for record in vector["records"]:
                while encryptor.nonce < record["nonce"]:
                    encryptor.encrypt(b"")
                nonce, ciphertext = encryptor.encrypt(bytes.fromhex(record["plaintext"]))
                self.assertEqual((nonce + ciphertext).hex(), record["record"])

    def test_boundaries(self) -> None:
        """
        Records 32 and 64 are the first of a new key; 31, 33 and 63 are not.
        """
        made = records(66)
        second = rekey(AESGCM(KEY))
        third = rekey(AESGCM(second))
        for n, key in ((0, KEY), (31, KEY), (32, second), (33, second), (63, second), (64, third), (65, third)):
            self.assertEqual(made[n], sealed(key, n, plain(n)))

    def test_otherLibrary(self) -> None:
        """
        libsodium's AES-GCM makes the same records.
        """
        for n, record in enumerate(records(32)):
            try:
                expected = crypto_aead_aes256gcm_encrypt(plain(n), None, n.to_bytes(12, "big"), KEY)
            except UnavailableError:
                raise SkipTest("THE CPU HAS NO AES INSTRUCTIONS: records were NOT compared with libsodium's") from None
            self.assertEqual(record[8:], expected)

    def test_counts(self) -> None:
        """
        Nonce and bytes grow with each record; a view is as good as bytes.
        """
        encryptor = Encryptor(KEY)
        self.assertEqual((encryptor.nonce, encryptor.bytesSent), (0, 0))
        self.assertEqual(b"".join(encryptor.encrypt(memoryview(plain(0)))), records(1)[0])
        encryptor.encrypt(b"")
        self.assertEqual((encryptor.nonce, encryptor.bytesSent), (2, 2 * OVERHEAD + len(plain(0))))

    def test_exhausted(self) -> None:
        """
        The last nonce but one is used, the last one never.
        """
        encryptor = Encryptor(KEY)
        encryptor.nonce, encryptor._changeAt = LAST_NONCE - 32, LAST_NONCE - 31
        for n in range(LAST_NONCE - 32, LAST_NONCE):
            self.assertEqual(encryptor.encrypt(b"x")[0], n.to_bytes(8, "big"))
        for _ in range(2):
            self.assertRaises(NoncesExhausted, encryptor.encrypt, b"x")
        self.assertEqual(encryptor.nonce, LAST_NONCE)

    def test_keySize(self) -> None:
        """
        AES-128 is not in use, so its keys are refused, as are all but 32 bytes.
        """
        for make in (Encryptor, Decryptor, KeyTracker):
            for size in (0, 16, 31, 33):
                self.assertRaises(LocalProtocolError, make, bytes(size))

    def test_repr(self) -> None:
        """
        What holds keys shows counters only.
        """
        self.assertEqual(repr(Encryptor(KEY)), "<Encryptor nonce=0>")
        self.assertEqual(repr(Decryptor(KEY)), "<Decryptor lastNonce=-1 ordered>")
        self.assertEqual(repr(Decryptor(KEY, ordered=False)), "<Decryptor lastNonce=-1 unordered>")
        self.assertEqual(repr(KeyTracker(KEY)), "<KeyTracker start=0>")


class OrderedDecryptorTests(SynchronousTestCase):
    """
    The receiving direction where records come complete and in order.
    """

    def received(self, count: int) -> Decryptor:
        """
        A decryptor that has taken C{count} records.
        """
        decryptor = Decryptor(KEY)
        for n, record in enumerate(records(count)):
            self.assertEqual(decryptor.decrypt(record), plain(n))
        return decryptor

    def assertDead(self, decryptor: Decryptor, next: int) -> None:
        """
        Not even the record that was to come is taken now.
        """
        for record in (records(next + 1)[next], b""):
            error = self.assertRaises(RecordRefused, decryptor.decrypt, record)
            self.assertEqual(str(error), "no further record is accepted")

    def test_inOrder(self) -> None:
        """
        Many records across changes of the key, as bytes and as views.
        """
        decryptor = Decryptor(KEY)
        for n, record in enumerate(records(200)):
            self.assertEqual(decryptor.decrypt(memoryview(record) if n % 2 else record), plain(n))
            self.assertEqual(decryptor.lastNonce, n)

    def test_vectors(self) -> None:
        """
        The records of the vectors, with those in between made by the encryptor.
        """
        vector = VECTORS["derived"]["records_initiator_to_responder"]
        key = bytes.fromhex(vector["key_at_nonce_0"])
        stated = {entry["nonce"]: entry for entry in vector["records"]}
        between = records(max(stated) + 1, key)
        decryptor = Decryptor(key)
        for n, record in enumerate(between):
            if n in stated:
                entry = stated[n]
                self.assertEqual(decryptor.decrypt(bytes.fromhex(entry["record"])).hex(), entry["plaintext"])
            else:
                self.assertEqual(decryptor.decrypt(record), plain(n))

    def test_dropped(self) -> None:
        """
        1 to 33 missing records are noticed with the next one, at any place near a change of the key.
        """
        made = records(100)
        for at in (0, 1, 30, 31, 32, 33, 63, 64):
            for missing in range(1, 34):
                decryptor = self.received(at)
                error = self.assertRaises(RecordRefused, decryptor.decrypt, made[at + missing])
                self.assertEqual(str(error), f"record {at + missing} came instead of record {at}")
                self.assertDead(decryptor, at)

    def test_swapped(self) -> None:
        """
        Two records in the other order.
        """
        made = records(66)
        for at in (0, 5, 31, 32, 63, 64):
            decryptor = self.received(at)
            self.assertRaises(RecordRefused, decryptor.decrypt, made[at + 1])
            self.assertDead(decryptor, at)

    def test_repeated(self) -> None:
        """
        Any record a second time.
        """
        for count in (1, 2, 31, 32, 33, 64, 65):
            for again in {0, count // 2, count - 1}:
                decryptor = self.received(count)
                self.assertRaises(RecordRefused, decryptor.decrypt, records(count)[again])
                self.assertDead(decryptor, count)

    def test_tampered(self) -> None:
        """
        A change of any byte.
        """
        for at in (0, 31, 32, 33, 64):
            record = records(at + 1)[at]
            for position in range(len(record)):
                decryptor = self.received(at)
                self.assertRaises(RecordRefused, decryptor.decrypt, flipped(record, position))
                self.assertDead(decryptor, at)

    def test_truncated(self) -> None:
        """
        A record cut short anywhere, or made longer.
        """
        record = records(1)[0]
        for changed in [record[:size] for size in range(len(record))] + [record + b"\0"]:
            decryptor = Decryptor(KEY)
            error = self.assertRaises(RecordRefused, decryptor.decrypt, changed)
            if len(changed) < OVERHEAD:
                self.assertEqual(str(error), f"a record has at least 24 bytes, not {len(changed)}")
            self.assertDead(decryptor, 0)

    def test_spliced(self) -> None:
        """
        The same record of another channel.
        """
        for at in (0, 3, 32):
            decryptor = self.received(at)
            error = self.assertRaises(RecordRefused, decryptor.decrypt, records(at + 1, OTHER_KEY)[at])
            self.assertEqual(str(error), f"record {at} does not authenticate")
            self.assertDead(decryptor, at)

    def test_oldKey(self) -> None:
        """
        A peer that does not change its key is refused at record 32.
        """
        decryptor = self.received(32)
        self.assertRaises(RecordRefused, decryptor.decrypt, sealed(KEY, 32))

    def test_empty(self) -> None:
        """
        A record of 24 bytes is one of nothing.
        """
        self.assertEqual(Decryptor(KEY).decrypt(sealed(KEY, 0, b"")), b"")

    def test_exhausted(self) -> None:
        """
        The last nonce but one is taken, the last one never, though it authenticates.
        """
        decryptor = Decryptor(KEY)
        decryptor._nonce = LAST_NONCE - 1
        decryptor._iv = decryptor._nonce.to_bytes(12, "big")
        decryptor._expected, decryptor._changeAt = decryptor._iv[4:], LAST_NONCE
        self.assertEqual(decryptor.decrypt(sealed(KEY, LAST_NONCE - 1)), b"forged")
        error = self.assertRaises(RecordRefused, decryptor.decrypt, sealed(KEY, LAST_NONCE))
        self.assertEqual(str(error), "no further record is accepted")

    def test_noCause(self) -> None:
        """
        The error is plain: it drags no error of the library along.
        """
        error = self.assertRaises(RecordRefused, Decryptor(KEY).decrypt, bytes(OVERHEAD))
        self.assertTrue(error.__cause__ is None and error.__suppress_context__)

    @settings(deadline=None, max_examples=200, derandomize=True)
    @given(st.binary(max_size=100), st.booleans(), st.booleans())
    def test_hostile(self, data: bytes, ordered: bool, numbered: bool) -> None:
        """
        Arbitrary bytes, with the right nonce or not, raise nothing but L{RecordRefused}.
        """
        record = bytes(8) + data if numbered else data
        self.assertRaises(RecordRefused, Decryptor(KEY, ordered).decrypt, record)


class NonceWindowTests(SynchronousTestCase):
    """
    Replay protection where order is not required.
    """

    def test_vector(self) -> None:
        """
        The sequence of the vector.
        """
        window = NonceWindow()
        for step in VECTORS["nonce_tracker"]["steps"]:
            self.assertEqual(window.accepts(step["nonce"]), step["accepted"], step)
            if step["accepted"]:
                window.add(step["nonce"])

    def test_table(self) -> None:
        """
        After nonce 100: 32 either way and no farther, not the same one again.
        """
        window = NonceWindow()
        for nonce in (32, 64, 96, 100):
            self.assertTrue(window.accepts(nonce))
            window.add(nonce)
        accepted = {nonce for nonce in range(200) if window.accepts(nonce)}
        self.assertEqual(accepted, set(range(68, 133)) - {96, 100})
        self.assertFalse(window.accepts(LAST_NONCE))
        window.add(68)
        self.assertFalse(window.accepts(68))
        self.assertEqual(window.current, 100)

    def test_bounded(self) -> None:
        """
        What it remembers does not grow.
        """
        window = NonceWindow()
        for nonce in range(1000):
            window.add(nonce)
        self.assertEqual(window._seen.bit_length(), 33)

    @settings(deadline=None, max_examples=200, derandomize=True)
    @given(st.lists(st.integers(min_value=0, max_value=150), max_size=100))
    def test_model(self, nonces: list[int]) -> None:
        """
        It does what a set of all nonces ever seen would do.
        """
        window, seen, current = NonceWindow(), set[int](), 0
        for nonce in nonces:
            expected = abs(nonce - current) <= 32 and nonce not in seen
            self.assertEqual(window.accepts(nonce), expected)
            if expected:
                window.add(nonce)
                seen.add(nonce)
                current = max(current, nonce)


class KeyTrackerTests(SynchronousTestCase):
    """
    Which key a record was made with.
    """

    def test_vector(self) -> None:
        """
        The lookups of the vectors.
        """
        for case in VECTORS["key_tracker"]["cases"]:
            interval = case["renewal_interval"]
            tracker = KeyTracker(KEY, interval)
            for number in range(1, case["number_of_rekeys"] + 1):
                tracker.add(number * interval)
            for nonce, expected in case["lookups"]:
                generation = tracker.lookup(nonce)
                self.assertEqual("error" if generation is None else generation.value, expected, (case, nonce))
                if generation is None:
                    self.assertRaises(RecordRefused, tracker.key, nonce)

    def test_add(self) -> None:
        """
        Only an authentic record of the next key moves on; asking for it does not.
        """
        tracker = KeyTracker(KEY)
        current, following = tracker.key(0), tracker.key(32)
        self.assertIs(tracker.key(63), following)
        tracker.add(31)
        self.assertEqual(tracker.start, 0)
        tracker.add(40)
        self.assertEqual(tracker.start, 32)
        self.assertIs(tracker.key(31), current)
        self.assertIs(tracker.key(32), following)
        tracker.add(5)
        self.assertEqual(tracker.start, 32)


class UnorderedDecryptorTests(SynchronousTestCase):
    """
    The receiving direction over unordered transports.
    """

    def test_vectors(self) -> None:
        """
        The records of the vectors that are within reach of each other, with those in between left out.
        """
        vector = VECTORS["derived"]["records_initiator_to_responder"]
        decryptor = Decryptor(bytes.fromhex(vector["key_at_nonce_0"]), ordered=False)
        for entry in vector["records"]:
            self.assertEqual(decryptor.decrypt(bytes.fromhex(entry["record"])).hex(), entry["plaintext"])
            self.assertEqual(decryptor.lastNonce, entry["nonce"])

    def test_reordered(self) -> None:
        """
        Blocks of 32 backwards, each across a change of the key; then each record is a repetition.
        """
        made = records(112)
        decryptor = Decryptor(KEY, ordered=False)
        for first, last in ((0, 15), (16, 47), (48, 79), (80, 111)):
            for n in range(last, first - 1, -1):
                self.assertEqual(decryptor.decrypt(memoryview(made[n])), plain(n))
                self.assertEqual(decryptor.lastNonce, n)
        for n in range(112):
            self.assertRaises(RecordRefused, decryptor.decrypt, made[n])

    def test_refusedChangesNothing(self) -> None:
        """
        Forged records with any nonce leave the decryptor as it was, near a change of the key too.
        """
        made = records(70)
        decryptor = Decryptor(KEY, ordered=False)
        for n in range(66):
            for nonce in (n, n + 1, n + 31, n + 32, n + 33, max(0, n - 32), LAST_NONCE - 1, LAST_NONCE):
                self.assertRaises(RecordRefused, decryptor.decrypt, sealed(OTHER_KEY, nonce))
            for position in (0, 7, 8, len(made[n]) - 1):
                self.assertRaises(RecordRefused, decryptor.decrypt, flipped(made[n], position))
            error = self.assertRaises(RecordRefused, decryptor.decrypt, made[n][:23])
            self.assertEqual(str(error), "a record has at least 24 bytes, not 23")
            self.assertEqual(decryptor.lastNonce, n - 1)
            self.assertEqual(decryptor.decrypt(made[n]), plain(n))

    def test_tooFar(self) -> None:
        """
        33 ahead or behind is refused though it is authentic; 32 is not.
        """
        made = records(70)
        decryptor = Decryptor(KEY, ordered=False)
        self.assertRaises(RecordRefused, decryptor.decrypt, made[33])
        self.assertEqual(decryptor.decrypt(made[32]), plain(32))
        self.assertEqual(decryptor.decrypt(made[33]), plain(33))
        self.assertRaises(RecordRefused, decryptor.decrypt, made[0])
        self.assertEqual(decryptor.decrypt(made[1]), plain(1))

    def test_wrongGeneration(self) -> None:
        """
        A record within the window but made with the key before or after its own is refused.
        """
        second = rekey(AESGCM(KEY))
        decryptor = Decryptor(KEY, ordered=False)
        self.assertRaises(RecordRefused, decryptor.decrypt, sealed(KEY, 32))
        self.assertRaises(RecordRefused, decryptor.decrypt, sealed(second, 31))
        self.assertEqual(decryptor.decrypt(sealed(second, 32)), b"forged")

    def test_lastNonce(self) -> None:
        """
        The last nonce is refused though it is authentic and near.
        """
        decryptor = Decryptor(KEY, ordered=False)
        assert decryptor._keys is not None
        decryptor._window.current = LAST_NONCE - 2
        decryptor._keys.start = 2**64 - 32
        self.assertRaises(RecordRefused, decryptor.decrypt, sealed(KEY, LAST_NONCE))
        self.assertEqual(decryptor.decrypt(sealed(KEY, LAST_NONCE - 1)), b"forged")
