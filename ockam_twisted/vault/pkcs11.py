"""
A vault whose signing keys are in a token: a hardware security module, a smart
card, or SoftHSM, through PKCS#11.

The keys that identities and credentials are signed with are made in the
token (P-256, the one curve that all tokens have) and cannot be taken out.
X25519, which channels are made with, is not in tokens: these keys stay in
software, and a thief of the disk gets no further with them than until the
identity's key, which only the token has, attests another.

Needs the package C{python-pkcs11}, which C{ockam_twisted[pkcs11]} installs.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qs, unquote

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from ockam_twisted.errors import ConfigurationError, LocalProtocolError, StateUnusable
from ockam_twisted.interfaces import IVault
from ockam_twisted.vault.primitives import P256, Signature, VerifyingKey, sha256
from ockam_twisted.vault.software import SecretStore, SoftwareVault

#: What handles of keys in the token begin with.
IN_TOKEN = b"pkcs11:"
_ID_SIZE = 16
_LABEL = "ockam_twisted"


@frozen
class TokenURI:
    """
    Where a token is (RFC 7512).

    @ivar token: Its label.
    @ivar module: The path of the library that talks to it.
    @ivar pinSource: The path of the file that has the PIN.
    """

    token: str
    module: str
    pinSource: str

    @classmethod
    def fromText(cls, text: str) -> TokenURI:
        """
        Read C{pkcs11:token=LABEL?module-path=FILE&pin-source=FILE}.

        @raise ConfigurationError: It is none.
        """
        path, _, query = text.removeprefix("pkcs11:").partition("?")
        attributes = dict(part.partition("=")[::2] for part in path.split(";"))
        options = {name: values[0] for name, values in parse_qs(query).items()}
        token, module = unquote(attributes.get("token", "")), options.get("module-path", "")
        pin = options.get("pin-source", "").removeprefix("file:")
        if not text.startswith("pkcs11:") or not (token and module and pin):
            raise ConfigurationError(
                "--vault is pkcs11:token=LABEL?module-path=LIBRARY&pin-source=FILE, as in RFC 7512"
            )
        return cls(token, module, pin)

    def pin(self) -> str:
        """
        @raise ConfigurationError: It cannot be read.
        """
        try:
            with open(self.pinSource, encoding="utf-8") as file:
                return file.readline().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise ConfigurationError(f"cannot read the PIN in {self.pinSource}: {why}") from None


@implementer(IVault)
class PKCS11Vault(SoftwareVault):
    """
    See the module.  What the token does takes place in a thread of its own:
    one after the other, as tokens like it.
    """

    signingKind = P256

    def __init__(self, reactor: Any, uri: TokenURI, store: SecretStore | None = None) -> None:
        """
        @param store: For the keys that are not in the token.
        """
        super().__init__(store)
        self._reactor = reactor
        self._uri = uri
        self._session: Any = None
        self._pool = ThreadPool(0, 1, "ockam-token")
        self._pool.start()
        self._atEnd = reactor.addSystemEventTrigger("after", "shutdown", self._pool.stop)

    def close(self) -> None:
        """
        Use the token no more; otherwise that ends with the reactor.
        """
        self._reactor.removeSystemEventTrigger(self._atEnd)
        self._pool.stop()

    def __repr__(self) -> str:
        return f"<PKCS11Vault {self._uri.token}>"

    def _inToken(self, call: Any, *arguments: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._pool, self._run, call, *arguments)

    def _run(self, call: Any, *arguments: Any) -> Any:
        """
        In the thread.
        """
        try:
            import pkcs11
        except ImportError:
            raise ConfigurationError("--vault needs: pip install 'ockam_twisted[pkcs11]'") from None
        try:
            if self._session is None:
                token = pkcs11.lib(self._uri.module).get_token(token_label=self._uri.token)
                pin = self._uri.pin()
                try:
                    self._session = token.open(rw=True, user_pin=pin)
                except pkcs11.UserAlreadyLoggedIn:
                    # A process logs in to a token once, for all its sessions.
                    self._session = token.open(rw=True)
            return call(pkcs11, self._session, *arguments)
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            self._session = None
            why = " ".join(str(error).split()) or type(error).__name__
            raise StateUnusable(f"the token {self._uri.token} cannot be used: {why}") from None

    def generateSigningKey(self, kind: int = P256) -> Deferred[bytes]:
        """
        See L{IVault.generateSigningKey}.  There is one kind.
        """
        if kind != P256:
            raise LocalProtocolError("a token makes P-256 keys only")
        return self._inToken(_generate)

    def verifyingKey(self, handle: bytes) -> Deferred[VerifyingKey]:
        """
        See L{IVault.verifyingKey}.
        """
        if not handle.startswith(IN_TOKEN):
            return super().verifyingKey(handle)
        return self._inToken(_publicKey, handle)

    def sign(self, handle: bytes, data: bytes) -> Deferred[Signature]:
        """
        See L{IVault.sign}.
        """
        if not handle.startswith(IN_TOKEN):
            return super().sign(handle, data)
        # The signature scheme hashes what is to be signed, which is a hash.
        return self._inToken(_sign, handle, sha256(sha256(data)))

    def deleteKey(self, handle: bytes) -> Deferred[None]:
        """
        See L{IVault.deleteKey}.
        """
        if not handle.startswith(IN_TOKEN):
            return super().deleteKey(handle)
        return self._inToken(_delete, handle)


def _generate(pkcs11: Any, session: Any) -> bytes:
    from pkcs11.util.ec import encode_named_curve_parameters

    identity = os.urandom(_ID_SIZE)
    curve = session.create_domain_parameters(
        pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True
    )
    curve.generate_keypair(
        id=identity,
        label=_LABEL,
        store=True,
        private_template={pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False},
    )
    return IN_TOKEN + identity


def _find(pkcs11: Any, session: Any, handle: bytes, kind: Any) -> Any:
    try:
        return session.get_key(object_class=kind, id=handle.removeprefix(IN_TOKEN))
    except pkcs11.NoSuchKey:
        raise LocalProtocolError("there is no such key in the token") from None


def _publicKey(pkcs11: Any, session: Any, handle: bytes) -> VerifyingKey:
    point = bytes(_find(pkcs11, session, handle, pkcs11.ObjectClass.PUBLIC_KEY)[pkcs11.Attribute.EC_POINT])
    # An OCTET STRING around the uncompressed point.
    if len(point) != 67 or point[:3] != b"\x04\x41\x04":
        raise StateUnusable("a public key in the token is in an unknown form")
    return VerifyingKey(P256, point[2:])


def _sign(pkcs11: Any, session: Any, handle: bytes, digest: bytes) -> Signature:
    key = _find(pkcs11, session, handle, pkcs11.ObjectClass.PRIVATE_KEY)
    return Signature(P256, bytes(key.sign(digest, mechanism=pkcs11.Mechanism.ECDSA)))


def _delete(pkcs11: Any, session: Any, handle: bytes) -> None:
    for kind in (pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.ObjectClass.PUBLIC_KEY):
        try:
            _find(pkcs11, session, handle, kind).destroy()
        except LocalProtocolError:
            continue
