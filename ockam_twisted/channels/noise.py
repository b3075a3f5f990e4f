"""
The Noise XX handshake of secure channels (spec identity, section 6.2): bytes
in, bytes out.

Secret keys live in a vault that may answer late, so nothing here agrees on
anything: each method hands out the public key to agree with, and the next
one is given the result.  In the order of the calls::

    initiator                              responder
    writeMessage1()                 ->     readMessage1(): re
                                           ee = agree(e, re), es = agree(s, re)
    readMessage2Ephemeral(): re     <-     writeMessage2(ee, es, payload)
    ee = agree(e, re)
    readMessage2Static(ee): rs
    es = agree(e, rs)
    readMessage2Payload(es)
    se = agree(s, re)
    writeMessage3(se, payload)      ->     readMessage3Static(): rs
                                           se = agree(e, rs)
                                           readMessage3Payload(se)
    split()                                split()

C{e} and C{s} are one's own ephemeral and static key, C{re} and C{rs} the
peer's.  What the payloads mean, and whether C{rs} is who it should be, is for
the caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ockam_twisted.errors import EncodeError, HandshakeFailed, LocalProtocolError
from ockam_twisted.vault.primitives import hkdf, sha256

#: The only suite in use; both sides must name the same (spec identity, section 2.5).
PROTOCOL_NAME = b"OCKAM_XX_25519_AES256_GCM_SHA256"

#: Sizes in bytes (spec identity, sections 6.2 and 6.14).
KEY_SIZE = 32
TAG_SIZE = 16
SEALED_KEY_SIZE = KEY_SIZE + TAG_SIZE
MIN_MESSAGE_1 = KEY_SIZE
MIN_MESSAGE_2 = KEY_SIZE + SEALED_KEY_SIZE + TAG_SIZE
MIN_MESSAGE_3 = SEALED_KEY_SIZE + TAG_SIZE
MAX_MESSAGE = 65535


class HandshakeOutOfOrder(LocalProtocolError):
    """
    A handshake was asked for a step that is not its next one, or it has
    failed or ended before.
    """


@frozen
class Keys:
    """
    What a handshake yields: 32 bytes each way.
    """

    send: bytes = field(repr=False)
    receive: bytes = field(repr=False)


def _key(name: str, value: bytes) -> bytes:
    if len(value) != KEY_SIZE:
        raise LocalProtocolError(f"{name} has {KEY_SIZE} bytes, not {len(value)}")
    return value


class SymmetricState:
    """
    What both sides compute alike during a handshake.

    @ivar ck: The chaining key.
    @ivar k: The key of the next ciphertext; L{None} before the first
        agreement.
    @ivar n: How many ciphertexts were made with it.
    @ivar h: The hash of the transcript; no secret.
    """

    __slots__ = ("ck", "h", "k", "n")

    def __init__(self, protocolName: bytes = PROTOCOL_NAME) -> None:
        """
        @raise LocalProtocolError: The name has more than 32 bytes.
        """
        if len(protocolName) > 32:
            raise LocalProtocolError(f"a protocol name has at most 32 bytes, not {len(protocolName)}")
        self.ck = protocolName.ljust(32, b"\0")
        self.k: bytes | None = None
        self.n = 0
        # The second half of Noise's initialisation, MixHash of an empty prologue.
        self.h = sha256(self.ck)

    def __repr__(self) -> str:
        return f"<SymmetricState n={self.n} h={self.h.hex()}>"

    def mixHash(self, data: bytes) -> None:
        """
        Add to the transcript.
        """
        self.h = sha256(self.h + data)

    def mixKey(self, secret: bytes) -> None:
        """
        Add the result of an agreement.
        """
        self.ck, self.k = hkdf(self.ck, secret, 2)
        self.n = 0

    def _nonce(self) -> bytes:
        # Four zero bytes, then the counter (spec identity, section 2.4).
        return self.n.to_bytes(12, "big")

    def encryptAndHash(self, plaintext: bytes) -> bytes:
        """
        @return: The ciphertext and its tag, or C{plaintext} itself while
            there is no key.
        """
        ciphertext = plaintext
        if self.k is not None:
            ciphertext = AESGCM(self.k).encrypt(self._nonce(), plaintext, self.h)
            self.n += 1
        self.mixHash(ciphertext)
        return ciphertext

    def decryptAndHash(self, ciphertext: bytes) -> bytes:
        """
        The reverse of L{encryptAndHash}.

        @raise HandshakeFailed: The ciphertext does not authenticate; nothing
            was changed.
        """
        plaintext = ciphertext
        if self.k is not None:
            try:
                plaintext = AESGCM(self.k).decrypt(self._nonce(), ciphertext, self.h)
            except InvalidTag:
                raise HandshakeFailed("a handshake message does not authenticate") from None
            self.n += 1
        self.mixHash(ciphertext)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        """
        @return: C{k1} and C{k2}.
        """
        k1, k2 = hkdf(self.ck, b"", 2)
        return k1, k2

    def forget(self) -> None:
        """
        Drop the secrets.
        """
        self.ck = b""
        self.k = None


class _Handshake:
    """
    What the two roles share: keys, the order of steps, and sizes.

    @ivar re: The peer's ephemeral public key, once read.
    @ivar rs: The peer's static public key, once read; proven only when the
        payload that follows it has been read.
    """

    __slots__ = ("_ephemeral", "_message", "_next", "_static", "_symmetric", "re", "rs")

    def __init__(self, staticPublic: bytes, ephemeralPublic: bytes, protocolName: bytes = PROTOCOL_NAME) -> None:
        """
        @param staticPublic: One's own X25519 public key, 32 bytes.
        @param ephemeralPublic: Another one, made for this handshake alone.
        @param protocolName: Differs from Ockam's only to be tested against
            other implementations of Noise.

        @raise LocalProtocolError: One of them has another length.
        """
        self._static = _key("a static key", staticPublic)
        self._ephemeral = _key("an ephemeral key", ephemeralPublic)
        self._symmetric = SymmetricState(protocolName)
        self._next = self._FIRST
        self._message = b""
        self.re = b""
        self.rs = b""

    #: The first step.
    _FIRST = ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} next={self._next or 'nothing'}>"

    @contextmanager
    def _step(self, name: str, then: str) -> Iterator[SymmetricState]:
        """
        Take one step: only in its turn, and if it fails it was the last.
        """
        expected, self._next = self._next, ""
        try:
            if name != expected:
                raise HandshakeOutOfOrder(f"the handshake expects {expected or 'nothing more'}, not {name}")
            yield self._symmetric
            self._next = then
        finally:
            if not self._next:
                self._symmetric.forget()
                self._message = b""

    def _receive(self, number: int, message: bytes | memoryview, minimum: int) -> bytes:
        size = len(message)
        if not minimum <= size <= MAX_MESSAGE:
            raise HandshakeFailed(f"handshake message {number} has {minimum} to {MAX_MESSAGE} bytes, not {size}")
        return bytes(message)

    def _write(self, number: int, overhead: int, payload: bytes) -> None:
        if len(payload) > MAX_MESSAGE - overhead:
            raise EncodeError(
                f"the payload of handshake message {number} has at most {MAX_MESSAGE - overhead} bytes, "
                f"not {len(payload)}"
            )


class InitiatorHandshake(_Handshake):
    """
    The side that writes the first message.

    Every method raises L{HandshakeFailed} for what the peer did wrong and a
    L{LocalProtocolError} for what the caller did (L{HandshakeOutOfOrder} for
    a call out of order, L{EncodeError} for too large a payload).  After any
    error the handshake is over.
    """

    __slots__ = ()

    _FIRST = "writeMessage1"

    def writeMessage1(self, payload: bytes = b"") -> bytes:
        """
        @param payload: At most 65503 bytes, which everybody can read.
        """
        with self._step("writeMessage1", "readMessage2Ephemeral") as symmetric:
            self._write(1, MIN_MESSAGE_1, payload)
            symmetric.mixHash(self._ephemeral)
            return self._ephemeral + symmetric.encryptAndHash(payload)

    def readMessage2Ephemeral(self, message: bytes | memoryview) -> bytes:
        """
        @param message: The whole of message 2.
        @return: C{re}; C{ee = agree(e, re)} is wanted next.
        """
        with self._step("readMessage2Ephemeral", "readMessage2Static") as symmetric:
            self._message = self._receive(2, message, MIN_MESSAGE_2)
            self.re = self._message[:KEY_SIZE]
            symmetric.mixHash(self.re)
            return self.re

    def readMessage2Static(self, ee: bytes) -> bytes:
        """
        @return: C{rs}; C{es = agree(e, rs)} is wanted next.
        """
        with self._step("readMessage2Static", "readMessage2Payload") as symmetric:
            symmetric.mixKey(_key("ee", ee))
            self.rs = symmetric.decryptAndHash(self._message[KEY_SIZE : KEY_SIZE + SEALED_KEY_SIZE])
            return self.rs

    def readMessage2Payload(self, es: bytes) -> bytes:
        """
        @return: The payload; C{se = agree(s, re)} is wanted next.
        """
        with self._step("readMessage2Payload", "writeMessage3") as symmetric:
            symmetric.mixKey(_key("es", es))
            payload = symmetric.decryptAndHash(self._message[KEY_SIZE + SEALED_KEY_SIZE :])
            self._message = b""
            return payload

    def writeMessage3(self, se: bytes, payload: bytes) -> bytes:
        """
        @param payload: At most 65471 bytes.
        """
        with self._step("writeMessage3", "split") as symmetric:
            self._write(3, MIN_MESSAGE_3, payload)
            _key("se", se)
            sealed = symmetric.encryptAndHash(self._static)
            symmetric.mixKey(se)
            return sealed + symmetric.encryptAndHash(payload)

    def split(self) -> Keys:
        """
        @return: The keys of the channel.  The initiator sends with the second
            one, unlike in Noise (spec identity, section 0, rule 1).
        """
        with self._step("split", "") as symmetric:
            k1, k2 = symmetric.split()
            return Keys(send=k2, receive=k1)


class ResponderHandshake(_Handshake):
    """
    The side that reads the first message.

    Errors are those of L{InitiatorHandshake}.
    """

    __slots__ = ()

    _FIRST = "readMessage1"

    def readMessage1(self, message: bytes | memoryview) -> bytes:
        """
        @return: The payload, which nobody vouches for.  C{ee = agree(e, re)}
            and C{es = agree(s, re)} are wanted next.
        """
        with self._step("readMessage1", "writeMessage2") as symmetric:
            received = self._receive(1, message, MIN_MESSAGE_1)
            self.re = received[:KEY_SIZE]
            symmetric.mixHash(self.re)
            return symmetric.decryptAndHash(received[KEY_SIZE:])

    def writeMessage2(self, ee: bytes, es: bytes, payload: bytes) -> bytes:
        """
        @param payload: At most 65439 bytes.
        """
        with self._step("writeMessage2", "readMessage3Static") as symmetric:
            self._write(2, MIN_MESSAGE_2, payload)
            _key("ee", ee)
            _key("es", es)
            symmetric.mixHash(self._ephemeral)
            symmetric.mixKey(ee)
            sealed = symmetric.encryptAndHash(self._static)
            symmetric.mixKey(es)
            return self._ephemeral + sealed + symmetric.encryptAndHash(payload)

    def readMessage3Static(self, message: bytes | memoryview) -> bytes:
        """
        @param message: The whole of message 3.
        @return: C{rs}; C{se = agree(e, rs)} is wanted next.
        """
        with self._step("readMessage3Static", "readMessage3Payload") as symmetric:
            self._message = self._receive(3, message, MIN_MESSAGE_3)
            self.rs = symmetric.decryptAndHash(self._message[:SEALED_KEY_SIZE])
            return self.rs

    def readMessage3Payload(self, se: bytes) -> bytes:
        """
        @return: The payload.
        """
        with self._step("readMessage3Payload", "split") as symmetric:
            symmetric.mixKey(_key("se", se))
            payload = symmetric.decryptAndHash(self._message[SEALED_KEY_SIZE:])
            self._message = b""
            return payload

    def split(self) -> Keys:
        """
        @return: The keys of the channel.  The responder sends with the first
            one, unlike in Noise (spec identity, section 0, rule 1).
        """
        with self._step("split", "") as symmetric:
            k1, k2 = symmetric.split()
            return Keys(send=k1, receive=k2)
