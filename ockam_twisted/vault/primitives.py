"""
Hashes, key derivation, public keys and signatures (spec identity, sections
2.3 and 2.4).  Nothing here holds a secret for longer than a call.
"""

from __future__ import annotations

import hashlib
import hmac

from attrs import frozen
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from ockam_twisted.errors import DecodeError, EncodeError, IdentityRefused
from ockam_twisted.wire import cbor

#: Kinds of signing keys and of signatures (spec identity, section 1.2).
ED25519, P256 = 0, 1

#: Bytes of a hash, of an X25519 key and of a piece of key derivation.
HASH_SIZE = 32

_KEY_SIZES = {ED25519: 32, P256: 65}
_SIGNATURE_SIZE = 64
_CURVE = ec.SECP256R1()


def sha256(data: bytes) -> bytes:
    """
    The SHA-256 of C{data}, 32 bytes.
    """
    return hashlib.sha256(data).digest()


def hkdf(salt: bytes, ikm: bytes, outputs: int) -> tuple[bytes, ...]:
    """
    HKDF of RFC 5869 with SHA-256 and empty info, which is also the HKDF of
    Noise (spec identity, section 2.4).

    @param ikm: The input keying material; may be empty.
    @param outputs: How many pieces, 1 to 255.
    @return: That many pieces of 32 bytes.
    """
    if not 1 <= outputs <= 255:
        raise EncodeError(f"key derivation gives 1 to 255 pieces, not {outputs}")
    key = hmac.digest(salt, ikm, "sha256")
    pieces: list[bytes] = []
    piece = b""
    for number in range(1, outputs + 1):
        piece = hmac.digest(key, piece + bytes([number]), "sha256")
        pieces.append(piece)
    return tuple(pieces)


def encodeTagged(kind: int, data: bytes) -> bytes:
    """
    The CBOR of C{[kind, [data]]}, the form of all keys and signatures (spec
    identity, section 1.1).
    """
    return cbor.arrayHead(2) + cbor.uint(kind) + cbor.arrayHead(1) + cbor.byteString(data)


def readTagged(reader: cbor.Reader, sizes: dict[int, int]) -> tuple[int, bytes]:
    """
    Read C{[kind, [data]]}.

    @param sizes: How long C{data} is for each kind there is.
    @raise DecodeError: It is something else.
    """
    expectArray(reader, 2)
    kind = reader.readUint(max(sizes))
    if kind not in sizes:
        raise DecodeError(f"there is no kind {kind} of key or signature")
    expectArray(reader, 1)
    return kind, readExactly(reader, sizes[kind])


def expectArray(reader: cbor.Reader, count: int) -> None:
    """
    Read the head of an array of exactly C{count} elements.

    @raise DecodeError: It is something else.
    """
    found = reader.readArrayHead(count)
    if found != count:
        raise DecodeError(f"an array has {found} elements where {count} belong")


def readExactly(reader: cbor.Reader, size: int) -> bytes:
    """
    Read a byte string of exactly C{size} bytes.

    @raise DecodeError: It is something else.
    """
    data = bytes(reader.readBytes(size))
    if len(data) != size:
        raise DecodeError(f"a byte string has {len(data)} bytes where {size} belong")
    return data


@frozen
class VerifyingKey:
    """
    The public half of a signing key.

    @ivar kind: 0 Ed25519, 1 P-256.
    @ivar data: 32 bytes, or 65 bytes of an uncompressed point.
    """

    kind: int
    data: bytes

    def __attrs_post_init__(self) -> None:
        if len(self.data) != _KEY_SIZES.get(self.kind):
            raise EncodeError(f"no verifying key: kind {self.kind}, {len(self.data)} bytes")

    def encode(self) -> bytes:
        """
        Its CBOR.
        """
        return encodeTagged(self.kind, self.data)

    @classmethod
    def read(cls, reader: cbor.Reader) -> VerifyingKey:
        """
        Read one.

        @raise DecodeError: It is something else.
        """
        return cls(*readTagged(reader, _KEY_SIZES))


@frozen
class Signature:
    """
    A signature.

    @ivar kind: 0 Ed25519, 1 P-256.
    @ivar data: 64 bytes: R and S, or r and s big-endian.
    """

    kind: int
    data: bytes

    def __attrs_post_init__(self) -> None:
        if self.kind not in _KEY_SIZES or len(self.data) != _SIGNATURE_SIZE:
            raise EncodeError(f"no signature: kind {self.kind}, {len(self.data)} bytes")

    def encode(self) -> bytes:
        """
        Its CBOR.
        """
        return encodeTagged(self.kind, self.data)

    @classmethod
    def read(cls, reader: cbor.Reader) -> Signature:
        """
        Read one.

        @raise DecodeError: It is something else.
        """
        return cls(*readTagged(reader, dict.fromkeys(_KEY_SIZES, _SIGNATURE_SIZE)))


def verify(key: VerifyingKey, signature: Signature, data: bytes) -> bool:
    """
    Is this the signature of C{data}?  What is signed is the SHA-256 of
    C{data}; ECDSA hashes that once more (spec identity, section 2.3).

    @raise IdentityRefused: Key and signature are of different kinds, or the
        key is not a point of the curve.
    """
    if key.kind != signature.kind:
        raise IdentityRefused("a key and a signature are of different kinds")
    digest = sha256(data)
    if key.kind == ED25519:
        try:
            VerifyKey(key.data).verify(digest, signature.data)
        except (CryptoError, ValueError):
            return False
        return True
    if key.data[0] != 4:
        raise IdentityRefused("a P-256 key is not in uncompressed form")
    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, key.data)
    except ValueError:
        raise IdentityRefused("a P-256 key is not a point of the curve") from None
    r = int.from_bytes(signature.data[:32], "big")
    s = int.from_bytes(signature.data[32:], "big")
    try:
        point.verify(encode_dss_signature(r, s), digest, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True
