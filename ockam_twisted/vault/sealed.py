"""
Secrets encrypted with a passphrase on their way into the store.

The key is scrypt (RFC 7914) of the passphrase and a random salt; each secret
is AES-256-GCM under a random nonce, bound to its handle and kind.
"""

from __future__ import annotations

import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from twisted.internet.defer import Deferred

from ockam_twisted.errors import DecodeError, StateUnusable
from ockam_twisted.interfaces import IIdentityStore
from ockam_twisted.wire import cbor

#: Where salt, cost and a check are kept.
SETTING = "passphrase"

#: The cost of new ones: 64 MiB for a fifth of a second.
COST = 2**16
_MAX_COST = 2**20
_BLOCK = 8
_NONCE = 12
_PREFIX = "sealed:"
_CHECK = b"ockam_twisted"


class _Key:
    """
    What a passphrase comes to.
    """

    def __init__(self, passphrase: bytes, salt: bytes, cost: int) -> None:
        memory = 128 * _BLOCK * cost + 2**20
        self._aead = AESGCM(hashlib.scrypt(passphrase, salt=salt, n=cost, r=_BLOCK, p=1, maxmem=memory, dklen=32))

    def seal(self, data: bytes, context: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._aead.encrypt(nonce, data, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        try:
            return self._aead.decrypt(sealed[:_NONCE], sealed[_NONCE:], context)
        except (InvalidTag, ValueError):
            raise StateUnusable("the passphrase is wrong, or a stored secret is damaged") from None


def unlock(setting: bytes, passphrase: bytes) -> _Key:
    """
    Check a passphrase.

    @param setting: What is kept under L{SETTING}.
    @raise StateUnusable: It is not the one.
    """
    try:
        salt, cost, check = cbor.decode(setting)
        if not (isinstance(salt, bytes) and isinstance(check, bytes) and isinstance(cost, int) and cost <= _MAX_COST):
            raise DecodeError("it is something else")
        key = _Key(passphrase, salt, cost)
    except (DecodeError, ValueError, TypeError):
        raise StateUnusable("what is kept of the passphrase is damaged") from None
    if key.open(check, b"check") != _CHECK:
        raise StateUnusable("the passphrase is wrong")
    return key


class SealedSecrets:
    """
    The part of a store that a vault uses, with everything in it encrypted.
    """

    def __init__(self, store: IIdentityStore, key: _Key) -> None:
        self._store = store
        self._key = key

    def __repr__(self) -> str:
        return "<SealedSecrets>"

    @classmethod
    async def open(cls, store: IIdentityStore, passphrase: bytes) -> SealedSecrets:
        """
        Unlock a store; the first time, encrypt what is in it.

        @raise StateUnusable: The passphrase is not the one.
        """
        setting = store.setting(SETTING)
        if setting is None:
            salt = os.urandom(16)
            key = _Key(passphrase, salt, COST)
            await store.storeSetting(SETTING, cbor.encode((salt, COST, key.seal(_CHECK, b"check"))))
        else:
            key = unlock(setting, passphrase)
        sealed = cls(store, key)
        for handle in store.secretHandles():
            # Also those that an interruption has left as they were.
            found = store.secret(handle)
            if found is not None and not found[0].startswith(_PREFIX):
                await sealed.storeSecret(handle, *found)
        return sealed

    def secret(self, handle: bytes) -> tuple[str, bytes] | None:
        """
        See L{IIdentityStore.secret}.

        @raise StateUnusable: It is damaged.
        """
        found = self._store.secret(handle)
        if found is None:
            return None
        kind, data = found
        if not kind.startswith(_PREFIX):
            return found
        kind = kind.removeprefix(_PREFIX)
        return kind, self._key.open(data, _context(handle, kind))

    def storeSecret(self, handle: bytes, kind: str, secret: bytes) -> Deferred[None]:
        """
        See L{IIdentityStore.storeSecret}.
        """
        return self._store.storeSecret(handle, _PREFIX + kind, self._key.seal(secret, _context(handle, kind)))

    def deleteSecret(self, handle: bytes) -> Deferred[None]:
        """
        See L{IIdentityStore.deleteSecret}.
        """
        return self._store.deleteSecret(handle)


def _context(handle: bytes, kind: str) -> bytes:
    return kind.encode("ascii") + b":" + handle
