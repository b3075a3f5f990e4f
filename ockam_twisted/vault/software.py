"""
A vault in software: secrets lie in memory, or in the store of the node.
"""

from __future__ import annotations

import os
from typing import Protocol

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from zope.interface import implementer

from ockam_twisted.errors import HandshakeFailed, LocalProtocolError
from ockam_twisted.interfaces import IVault
from ockam_twisted.vault.primitives import ED25519, P256, Signature, VerifyingKey, sha256

#: How kinds of secrets are called in the store.
_SIGNING = {ED25519: "ed25519", P256: "p256"}
_AGREEMENT = "x25519"
_KINDS = {name: kind for kind, name in _SIGNING.items()}
_SECRET_SIZE = 32


@frozen
class _Secret:
    """
    A secret key of a known kind.
    """

    kind: str
    data: bytes = field(repr=False)

    def __attrs_post_init__(self) -> None:
        if len(self.data) != _SECRET_SIZE:
            raise LocalProtocolError(f"a secret key has {_SECRET_SIZE} bytes, not {len(self.data)}")

    def p256(self) -> ec.EllipticCurvePrivateKey:
        """
        The key in the form of the library.
        """
        try:
            return ec.derive_private_key(int.from_bytes(self.data, "big"), ec.SECP256R1())
        except ValueError:
            raise LocalProtocolError("a secret key is out of the range of its curve") from None

    def public(self) -> bytes:
        """
        The bytes of the public key.
        """
        if self.kind == _AGREEMENT:
            return crypto_scalarmult_base(self.data)
        if self.kind == _SIGNING[ED25519]:
            return bytes(SigningKey(self.data).verify_key)
        return self.p256().public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def sign(self, data: bytes) -> Signature:
        """
        Sign the SHA-256 of C{data} (spec identity, section 2.3).
        """
        digest = sha256(data)
        if self.kind == _SIGNING[ED25519]:
            return Signature(ED25519, SigningKey(self.data).sign(digest).signature)
        r, s = decode_dss_signature(self.p256().sign(digest, ec.ECDSA(SHA256())))
        return Signature(P256, r.to_bytes(32, "big") + s.to_bytes(32, "big"))


class SecretStore(Protocol):
    """
    The part of L{IIdentityStore} that a vault uses.
    """

    def secret(self, handle: bytes) -> tuple[str, bytes] | None:
        """
        See L{IIdentityStore.secret}.
        """

    def storeSecret(self, handle: bytes, kind: str, secret: bytes) -> Deferred[None]:
        """
        See L{IIdentityStore.storeSecret}.
        """

    def deleteSecret(self, handle: bytes) -> Deferred[None]:
        """
        See L{IIdentityStore.deleteSecret}.
        """


@implementer(IVault)
class SoftwareVault:
    """
    Secrets in this process.  A handle is the SHA-256 of the public key (spec
    identity, section 2.2).

    Every Deferred it returns has already fired, other than those that wait
    for the store.
    """

    signingKind = ED25519

    def __init__(self, store: SecretStore | None = None) -> None:
        """
        @param store: Where persistent keys are kept; L{None}: they live as
            long as this vault.
        """
        self._store = store
        self._secrets: dict[bytes, _Secret] = {}

    def __repr__(self) -> str:
        return f"<SoftwareVault with {'a store' if self._store else 'no store'}>"

    def generateSigningKey(self, kind: int = ED25519) -> Deferred[bytes]:
        """
        See L{IVault.generateSigningKey}.
        """
        if kind == P256:
            number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
            return self.importSigningKey(kind, number.to_bytes(_SECRET_SIZE, "big"))
        return self.importSigningKey(kind, os.urandom(_SECRET_SIZE))

    def importSigningKey(self, kind: int, secret: bytes) -> Deferred[bytes]:
        """
        Take over a signing key made elsewhere.

        @param kind: 0 Ed25519, 1 P-256.
        @param secret: The seed, or the scalar big-endian: 32 bytes.
        @return: Fires with its handle, once it is stored; fails with
            L{LocalProtocolError} for what is no secret key.
        """
        return maybeDeferred(self._importSigningKey, kind, secret)

    def _importSigningKey(self, kind: int, secret: bytes) -> Deferred[bytes]:
        if kind not in _SIGNING:
            raise LocalProtocolError(f"there is no kind {kind} of signing key")
        return self._keep(_Secret(_SIGNING[kind], secret), persistent=True)

    def importAgreementKey(self, secret: bytes) -> Deferred[bytes]:
        """
        Take over an X25519 key made elsewhere, persistently.

        @param secret: 32 bytes.
        @return: Fires with its handle, once it is stored; fails with
            L{LocalProtocolError} for what is no secret key.
        """
        return maybeDeferred(lambda: self._keep(_Secret(_AGREEMENT, secret), persistent=True))

    def generateAgreementKey(self, persistent: bool = False) -> Deferred[bytes]:
        """
        See L{IVault.generateAgreementKey}.
        """
        return self._keep(_Secret(_AGREEMENT, os.urandom(_SECRET_SIZE)), persistent)

    def _keep(self, secret: _Secret, persistent: bool) -> Deferred[bytes]:
        handle = sha256(secret.public())
        if persistent and self._store is not None:
            return self._store.storeSecret(handle, secret.kind, secret.data).addCallback(lambda _: handle)
        self._secrets[handle] = secret
        return succeed(handle)

    def _find(self, handle: bytes, agreement: bool) -> _Secret:
        secret = self._secrets.get(handle)
        if secret is None and self._store is not None:
            stored = self._store.secret(handle)
            secret = None if stored is None else _Secret(*stored)
        if secret is None or (secret.kind == _AGREEMENT) != agreement:
            purpose = "agreement" if agreement else "signing"
            raise LocalProtocolError(f"the vault has no {purpose} key {handle.hex()}")
        return secret

    def verifyingKey(self, handle: bytes) -> Deferred[VerifyingKey]:
        """
        See L{IVault.verifyingKey}.
        """

        def answer() -> VerifyingKey:
            secret = self._find(handle, agreement=False)
            return VerifyingKey(_KINDS[secret.kind], secret.public())

        return maybeDeferred(answer)

    def sign(self, handle: bytes, data: bytes) -> Deferred[Signature]:
        """
        See L{IVault.sign}.

        @param data: The encoded C{VersionedData}; hashing it is part of
            signing.
        """
        return maybeDeferred(lambda: self._find(handle, agreement=False).sign(data))

    def agreementPublicKey(self, handle: bytes) -> Deferred[bytes]:
        """
        See L{IVault.agreementPublicKey}.
        """
        return maybeDeferred(lambda: self._find(handle, agreement=True).public())

    def agree(self, handle: bytes, publicKey: bytes) -> Deferred[bytes]:
        """
        See L{IVault.agree}.
        """

        def answer() -> bytes:
            secret = self._find(handle, agreement=True)
            # PyNaCl itself does not look at the length.
            if len(publicKey) != _SECRET_SIZE:
                raise HandshakeFailed(f"an X25519 public key has {len(publicKey)} bytes, not {_SECRET_SIZE}")
            try:
                return crypto_scalarmult(secret.data, publicKey)
            except CryptoError:
                raise HandshakeFailed("an X25519 public key contributes nothing") from None

        return maybeDeferred(answer)

    def deleteKey(self, handle: bytes) -> Deferred[None]:
        """
        See L{IVault.deleteKey}.
        """
        self._secrets.pop(handle, None)
        return succeed(None) if self._store is None else self._store.deleteSecret(handle)
