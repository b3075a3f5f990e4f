"""
The records of a secure channel: encryption, order, replay protection and
rekeying (spec identity, sections 6.5, 6.7 and 6.8).

A record is a nonce of 8 bytes, a ciphertext, and a tag of 16 bytes.  What is
inside is for L{ockam_twisted.wire}.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ockam_twisted.errors import LocalProtocolError, RecordRefused

if TYPE_CHECKING:
    from ockam_twisted.interfaces import Buffer

#: Bytes of a record that are not plaintext.
NONCE_SIZE = 8
OVERHEAD = NONCE_SIZE + 16

#: How many records a key is used for.
REKEY_INTERVAL = 32

#: How far a record may be ahead of or behind the latest one, where order is
#: not required.
WINDOW = 32

#: The nonce that makes the next key and is never used for a record.
LAST_NONCE = 2**64 - 1

_REKEY_NONCE = LAST_NONCE.to_bytes(12, "big")
_ZEROS_4 = bytes(4)
_ZEROS_32 = bytes(32)
_SEEN = (1 << (WINDOW + 1)) - 1


class NoncesExhausted(LocalProtocolError):
    """
    A channel has sent all the records it can.
    """


def rekey(aead: AESGCM) -> bytes:
    """
    @return: The 32 bytes of the key that follows the one of C{aead}.
    """
    return aead.encrypt(_REKEY_NONCE, _ZEROS_32, None)[:32]


def _aead(key: bytes) -> AESGCM:
    if len(key) != 32:
        raise LocalProtocolError(f"a record key has 32 bytes, not {len(key)}")
    return AESGCM(key)


class Encryptor:
    """
    The sending direction of a channel.

    @ivar nonce: The nonce of the next record, and so the number of records
        made.
    @ivar bytesSent: How many bytes these have together.
    """

    __slots__ = ("_aead", "_changeAt", "_encrypt", "bytesSent", "nonce")

    def __init__(self, key: bytes) -> None:
        """
        @param key: 32 bytes.
        @raise LocalProtocolError: It has another length.
        """
        self.nonce = 0
        self.bytesSent = 0
        self._aead = _aead(key)
        self._encrypt = self._aead.encrypt
        self._changeAt = REKEY_INTERVAL

    def __repr__(self) -> str:
        return f"<Encryptor nonce={self.nonce}>"

    def encrypt(self, plaintext: Buffer) -> tuple[bytes, bytes]:
        """
        Make the next record.

        @return: Its two pieces, nonce and ciphertext with tag, so that nobody
            has to copy.
        @raise NoncesExhausted: There is no next one.
        """
        n = self.nonce
        if n >= self._changeAt:
            self._changeKey()
        nonce = n.to_bytes(8, "big")
        ciphertext = self._encrypt(_ZEROS_4 + nonce, plaintext, None)
        self.nonce = n + 1
        self.bytesSent += NONCE_SIZE + len(ciphertext)
        return nonce, ciphertext

    def _changeKey(self) -> None:
        if self.nonce >= LAST_NONCE:
            raise NoncesExhausted("the channel has used all of its nonces")
        self._aead = AESGCM(rekey(self._aead))
        self._encrypt = self._aead.encrypt
        self._changeAt = min(self._changeAt + REKEY_INTERVAL, LAST_NONCE)


class NonceWindow:
    """
    Which nonces near the highest accepted one were seen (spec identity,
    section 6.7).

    @ivar current: The highest accepted nonce, initially 0.
    """

    __slots__ = ("_seen", "current")

    def __init__(self) -> None:
        self.current = 0
        # Bit i stands for the nonce current - i.
        self._seen = 0

    def accepts(self, nonce: int) -> bool:
        """
        Is this nonce near enough, and new?
        """
        behind = self.current - nonce
        if behind < 0:
            return behind >= -WINDOW
        return behind <= WINDOW and not (self._seen >> behind) & 1

    def add(self, nonce: int) -> None:
        """
        A record with this nonce, which is accepted, was authentic.
        """
        behind = self.current - nonce
        if behind < 0:
            self._seen = ((self._seen << -behind) | 1) & _SEEN
            self.current = nonce
        else:
            self._seen |= 1 << behind


class Generation(Enum):
    """
    Which key a record is made with, seen from the receiver.
    """

    PREVIOUS = "previous"
    CURRENT = "current"
    NEXT = "next"


class KeyTracker:
    """
    The keys a receiver needs when records come out of order (spec identity,
    section 6.8).

    @ivar start: The first nonce of the current key.
    """

    __slots__ = ("_current", "_interval", "_next", "_previous", "start")

    def __init__(self, key: bytes, interval: int = REKEY_INTERVAL) -> None:
        """
        @param key: The key of nonce 0, 32 bytes.
        @param interval: How many records a key is used for.
        @raise LocalProtocolError: The key has another length.
        """
        self.start = 0
        self._interval = interval
        self._previous: AESGCM | None = None
        self._current = _aead(key)
        # Made when first asked for, and kept: a forged nonce costs no rekeying each time.
        self._next: AESGCM | None = None

    def __repr__(self) -> str:
        return f"<KeyTracker start={self.start}>"

    def lookup(self, nonce: int) -> Generation | None:
        """
        @return: Whose nonce it is; L{None} if of no key at hand.
        """
        ahead = nonce - self.start
        if 0 <= ahead < self._interval:
            return Generation.CURRENT
        if self._interval <= ahead < 2 * self._interval:
            return Generation.NEXT
        if -self._interval <= ahead < 0 and self._previous is not None:
            return Generation.PREVIOUS
        return None

    def key(self, nonce: int) -> AESGCM:
        """
        @raise RecordRefused: The nonce is of no key at hand.
        """
        generation = self.lookup(nonce)
        if generation is Generation.CURRENT:
            return self._current
        if generation is Generation.NEXT:
            if self._next is None:
                self._next = AESGCM(rekey(self._current))
            return self._next
        if generation is None or self._previous is None:
            raise RecordRefused(f"there is no key for record {nonce}")
        return self._previous

    def add(self, nonce: int) -> None:
        """
        A record with this nonce was authentic: if it was made with the next
        key, that one is now the current one.

        @raise RecordRefused: The nonce is of no key at hand.
        """
        key = self.key(nonce)
        if key is self._next:
            self._previous, self._current, self._next = self._current, key, None
            self.start += self._interval


class Decryptor:
    """
    The receiving direction of a channel.

    In order, each record must be the one after the last; anything else is
    refused, and with it everything after it, since what is behind a gap could
    have been chosen by whoever made the gap.  Out of order, a record may be
    up to 32 ahead or behind, once; one that is refused changes nothing.
    """

    __slots__ = ("_aead", "_changeAt", "_decrypt", "_expected", "_iv", "_keys", "_nonce", "_window")

    def __init__(self, key: bytes, ordered: bool = True) -> None:
        """
        @param key: 32 bytes.
        @param ordered: Must records come complete and in order?
        @raise LocalProtocolError: The key has another length.
        """
        self._keys = None if ordered else KeyTracker(key)
        if self._keys is None:
            # Only then: nothing may keep a key that has been replaced.
            self._aead = _aead(key)
            self._decrypt = self._aead.decrypt
        self._window = NonceWindow()
        # Of the next record if ordered, else one more than that of the last one.
        self._nonce = 0
        self._iv = bytes(12)
        # Empty, and so equal to no nonce, once a record was refused.
        self._expected = bytes(NONCE_SIZE)
        self._changeAt = REKEY_INTERVAL

    def __repr__(self) -> str:
        return f"<Decryptor lastNonce={self.lastNonce} {'ordered' if self._keys is None else 'unordered'}>"

    @property
    def lastNonce(self) -> int:
        """
        The nonce of the record that was decrypted last; -1 before the first.
        """
        return self._nonce - 1

    def decrypt(self, record: Buffer) -> bytes:
        """
        @return: The plaintext.
        @raise RecordRefused: The record is too short, forged, repeated,
            missing its predecessor, or too far off; or, in order, an earlier
            one was refused.
        """
        if self._keys is not None:
            return self._decryptUnordered(self._keys, record)
        view = memoryview(record)
        if len(view) < OVERHEAD or view[:NONCE_SIZE] != self._expected:
            self._refuse(view)
        try:
            plaintext = self._decrypt(self._iv, view[NONCE_SIZE:], None)
        except InvalidTag:
            self._refuse(view)
        self._nonce = n = self._nonce + 1
        self._iv = iv = n.to_bytes(12, "big")
        self._expected = iv[4:]
        if n >= self._changeAt:
            self._changeKey()
        return plaintext

    def _changeKey(self) -> None:
        if self._nonce >= LAST_NONCE:
            self._expected = b""
            return
        aead = AESGCM(rekey(self._aead))
        self._aead, self._decrypt = aead, aead.decrypt
        self._changeAt = min(self._changeAt + REKEY_INTERVAL, LAST_NONCE)

    def _refuse(self, view: memoryview) -> NoReturn:
        """
        Say why, and never decrypt again.
        """
        expected, self._expected = self._expected, b""
        if not expected:
            reason = "no further record is accepted"
        elif len(view) < OVERHEAD:
            reason = f"a record has at least {OVERHEAD} bytes, not {len(view)}"
        elif view[:NONCE_SIZE] != expected:
            received = int.from_bytes(view[:NONCE_SIZE], "big")
            reason = f"record {received} came instead of record {self._nonce}"
        else:
            reason = f"record {self._nonce} does not authenticate"
        raise RecordRefused(reason) from None

    def _decryptUnordered(self, keys: KeyTracker, record: Buffer) -> bytes:
        view = memoryview(record)
        if len(view) < OVERHEAD:
            raise RecordRefused(f"a record has at least {OVERHEAD} bytes, not {len(view)}")
        nonce = int.from_bytes(view[:NONCE_SIZE], "big")
        if nonce >= LAST_NONCE or not self._window.accepts(nonce):
            raise RecordRefused(f"record {nonce} is repeated or too far from record {self._window.current}")
        try:
            plaintext = keys.key(nonce).decrypt(nonce.to_bytes(12, "big"), view[NONCE_SIZE:], None)
        except InvalidTag:
            raise RecordRefused(f"record {nonce} does not authenticate") from None
        keys.add(nonce)
        self._window.add(nonce)
        self._nonce = nonce + 1
        return plaintext
