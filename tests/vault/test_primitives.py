"""
Tests for L{ockam_twisted.vault.primitives}.
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError, EncodeError, IdentityRefused, OckamError
from ockam_twisted.vault.primitives import ED25519, P256, Signature, VerifyingKey, hkdf, sha256, verify
from ockam_twisted.wire.cbor import Reader
from tests.identity.samples import VECTORS


def p256Pair(data: bytes) -> tuple[VerifyingKey, Signature]:
    """
    A P-256 key and its signature of C{data}, made with the library alone.
    """
    private = ec.generate_private_key(ec.SECP256R1())
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    r, s = decode_dss_signature(private.sign(hashlib.sha256(data).digest(), ec.ECDSA(SHA256())))
    return VerifyingKey(P256, point), Signature(P256, r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def ed25519Pair(data: bytes) -> tuple[VerifyingKey, Signature]:
    """
    An Ed25519 key and its signature of C{data}, made with the library alone.
    """
    private = SigningKey(bytes(range(32)))
    signature = private.sign(hashlib.sha256(data).digest()).signature
    return VerifyingKey(ED25519, bytes(private.verify_key)), Signature(ED25519, signature)


class DerivationTests(SynchronousTestCase):
    """
    Hashing and key derivation.
    """

    def test_vectors(self) -> None:
        """
        The known answers of the reference implementation come out.
        """
        vectors = VECTORS["hkdf_sha256"]
        for vector in vectors if isinstance(vectors, list) else [vectors]:
            outputs = hkdf(bytes.fromhex(vector["salt"]), bytes.fromhex(vector["ikm"]), 2)
            self.assertEqual([o.hex() for o in outputs], [vector["output_1"], vector["output_2"]])

    def test_oracle(self) -> None:
        """
        Any number of pieces agrees with another implementation of RFC 5869.
        """
        for count in (1, 2, 3, 255):
            oracle = HKDF(SHA256(), 32 * count, salt=b"s" * 32, info=b"").derive(b"ikm")
            self.assertEqual(b"".join(hkdf(b"s" * 32, b"ikm", count)), oracle)

    def test_bounds(self) -> None:
        """
        There are between 1 and 255 pieces.
        """
        for count in (0, 256):
            self.assertRaises(EncodeError, hkdf, b"", b"", count)

    def test_sha256(self) -> None:
        """
        The hash is SHA-256.
        """
        self.assertEqual(sha256(b"abc").hex()[:16], "ba7816bf8f01cfea")


class EncodingTests(SynchronousTestCase):
    """
    Keys and signatures as CBOR.
    """

    def test_forms(self) -> None:
        """
        A key and a signature are C{[kind, [bytes]]} and come back.
        """
        key, signature = ed25519Pair(b"")
        self.assertEqual(key.encode().hex()[:10], "8200815820")
        self.assertEqual(signature.encode().hex()[:10], "8200815840")
        self.assertEqual(VerifyingKey.read(Reader(key.encode())), key)
        self.assertEqual(Signature.read(Reader(signature.encode())), signature)
        point, _ = p256Pair(b"")
        self.assertEqual(point.encode().hex()[:12], "820181584104")
        self.assertEqual(VerifyingKey.read(Reader(point.encode())), point)

    def test_wrongSizes(self) -> None:
        """
        Other lengths and kinds are refused, when read and when made.
        """
        for text in (
            "820081581f" + "00" * 31,
            "8200815821" + "00" * 33,
            "8202815820" + "00" * 32,
            "8201815820" + "00" * 32,
        ):
            self.assertRaises(DecodeError, VerifyingKey.read, Reader(bytes.fromhex(text)))
        self.assertRaises(DecodeError, Signature.read, Reader(bytes.fromhex("820081583f" + "00" * 63)))
        self.assertRaises(EncodeError, VerifyingKey, P256, b"\x04" * 32)
        self.assertRaises(EncodeError, Signature, 2, bytes(64))

    @given(st.binary(max_size=120))
    @settings(deadline=None, max_examples=200, derandomize=True)
    def test_fuzz(self, data: bytes) -> None:
        """
        Any bytes are read or refused with an error of ours.
        """
        for kind in (VerifyingKey, Signature):
            try:
                kind.read(Reader(data))
            except DecodeError:
                pass


class VerifyTests(SynchronousTestCase):
    """
    L{verify}.
    """

    def test_right(self) -> None:
        """
        What other code signed over the hash verifies, of both kinds.
        """
        for pair in (ed25519Pair, p256Pair):
            key, signature = pair(b"data")
            self.assertTrue(verify(key, signature, b"data"))
            self.assertFalse(verify(key, signature, b"date"))

    def test_everyBit(self) -> None:
        """
        A signature with any one bit changed is wrong.
        """
        for pair in (ed25519Pair, p256Pair):
            key, signature = pair(b"data")
            for bit in range(0, 512):
                changed = bytearray(signature.data)
                changed[bit // 8] ^= 1 << bit % 8
                self.assertFalse(verify(key, Signature(key.kind, bytes(changed)), b"data"))

    def test_kinds(self) -> None:
        """
        A key and a signature of different kinds is an error, not a no.
        """
        key, _ = ed25519Pair(b"")
        _, signature = p256Pair(b"")
        self.assertRaises(IdentityRefused, verify, key, signature, b"")

    def test_badPoints(self) -> None:
        """
        A P-256 key off the curve, or in another form, is refused.
        """
        key, signature = p256Pair(b"")
        for data in (b"\x04" + bytes(64), b"\x06" + key.data[1:], b"\x02" + key.data[1:], bytes(65)):
            self.assertRaises(IdentityRefused, verify, VerifyingKey(P256, data), signature, b"")

    def test_smallOrder(self) -> None:
        """
        An Ed25519 key of small order signs nothing.
        """
        for point in (bytes(32), b"\x01" + bytes(31), b"\xff" * 32):
            try:
                accepted = verify(VerifyingKey(ED25519, point), Signature(ED25519, bytes(64)), b"")
            except OckamError:
                accepted = False
            self.assertFalse(accepted)

    def test_edges(self) -> None:
        """
        Zero and the largest numbers as P-256 signature are wrong, not errors.
        """
        key, _ = p256Pair(b"")
        for data in (bytes(64), b"\xff" * 64):
            self.assertFalse(verify(key, Signature(P256, data), b""))
