"""
Dialling over TLS: nobody is connected before it is known who is there.

Twisted connects a protocol to TLS before the handshake.  An outlet would tell
its inlet that the target is there, and nobody would hear why it is not.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString, wrapClientTLS, wrapServerTLS
from twisted.internet.error import ConnectError, TimeoutError
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IReactorTime,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.routing.multiaddr import Component
from ockam_twisted.transports.dialing import dial
from ockam_twisted.transports.layered import LayeredEndpoint, LayerProtocol

#: Names, in the environment, a PEM file with a key and a certificate that say
#: who we are where a server asks.
CERTIFICATE = "OCKAM_TWISTED_CERTIFICATE"

#: Seconds the handshake may take.
PATIENCE = 10.0


def checkTLS() -> None:
    """
    Can this process do TLS?

    @raise ValueError: No: what calls back from OpenSSL is made at run time.
    """
    from OpenSSL import SSL

    try:
        SSL.Context(SSL.TLS_METHOD).set_info_callback(lambda *_: None)
    except MemoryError:
        raise ValueError(
            "TLS needs memory that is written and becomes code: MemoryDenyWriteExecute=no in the unit"
        ) from None


def _inWords(reason: Failure, host: str) -> Exception:
    """
    Why a handshake has failed, in one line.
    """
    error: Any = reason.value
    name = type(error).__name__
    if name == "VerificationError":
        return ConnectError(string=f"TLS: the certificate is not of {host}")
    if name == "Error" and type(error).__module__.startswith("OpenSSL"):
        parts = [str(each[-1]) for each in error.args[0]] if error.args else []
        text = ", ".join(each for each in parts if each) or "it has failed"
        if "certificate verify failed" in text:
            text += f" (who signed the certificate of {host} is not trusted here, or it has expired: see trustRoots=)"
        return ConnectError(string=f"TLS: {text}")
    return ConnectError(string="TLS: the connection was closed during the handshake")


@implementer(IHandshakeListener)
class _Handshake(LayerProtocol):
    """
    Waits for the handshake.
    """

    def __init__(self, host: str, clock: IReactorTime, factory: Any, address: Any, done: Deferred[Any]) -> None:
        super().__init__(clock, factory, address, done)
        self._host = host

    def connectionMade(self) -> None:
        """
        It begins.
        """
        self.wait(PATIENCE, TimeoutError("TLS: no answer"))

    def handshakeCompleted(self) -> None:
        """
        See C{IHandshakeListener}: the certificate is as it should be.
        """
        self.open()

    def whyLost(self, reason: Failure) -> Exception:
        """
        See L{LayerProtocol.whyLost}.
        """
        return _inWords(reason, self._host)


class SecuredEndpoint(LayeredEndpoint):
    """
    An endpoint whose connections are there once their handshake is.

    @ivar clock: For its deadline.
    @ivar host: Whose certificate it has to be, for people.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, clock: IReactorTime, host: str) -> None:
        """
        @param endpoint: One with TLS.
        """
        super().__init__(endpoint)
        self.clock = clock
        self.host = host

    def layer(self, behind: Any, address: IAddress | None, done: Deferred[Any]) -> _Handshake:
        """
        See L{LayeredEndpoint.layer}.
        """
        return _Handshake(self.host, self.clock, behind, address, done)


def securedEndpoint(endpoint: IStreamClientEndpoint, reactor: Any, host: str) -> SecuredEndpoint:
    """
    TLS over an endpoint: the certificate of the other end has to be of
    C{host}, and signed by somebody whom this system trusts, or whom
    C{SSL_CERT_FILE} or C{SSL_CERT_DIR} names.

    @raise ValueError: This process cannot do TLS, or its certificate cannot be
        read.
    """
    checkTLS()
    from twisted.internet.ssl import PrivateCertificate, optionsForClientTLS

    own = os.environ.get(CERTIFICATE)
    certificate = None if not own else PrivateCertificate.loadPEM(_pem(own))
    options = optionsForClientTLS(host, clientCertificate=certificate)
    return SecuredEndpoint(wrapClientTLS(options, endpoint), reactor, host)


def _pem(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None


def demandingEndpoint(reactor: Any, port: str, named: dict[str, str]) -> IStreamServerEndpoint:
    """
    Listen for TLS of those who have a certificate.

    @param named: C{privateKey}, a PEM file with the key and maybe C{certKey}
        with the certificate; C{clients}, a PEM file with those of who must have signed
        a client's; C{interface}.
    @raise ValueError: A file cannot be used.
    """
    checkTLS()
    from OpenSSL.SSL import Error
    from twisted.internet.ssl import Certificate, CertificateOptions, PrivateCertificate, trustRootFromCertificates

    key = _pem(named.get("privateKey", "server.pem"))
    certificate = _pem(named["certKey"]) if "certKey" in named else b""
    try:
        own = PrivateCertificate.loadPEM(key + certificate)
        trusted = re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", _pem(named["clients"]), re.S)
        roots = trustRootFromCertificates([Certificate.loadPEM(each) for each in trusted])
    except Error:
        raise ValueError("privateKey=, certKey= and clients= are files in PEM") from None
    if not trusted:
        raise ValueError(f"there is no certificate in {named['clients']}")
    below = serverFromString(reactor, f"tcp:{port}:interface={named.get('interface', '').replace(':', chr(92) + ':')}")
    options = CertificateOptions(privateKey=own.privateKey.original, certificate=own.original, trustRoot=roots)
    endpoint: IStreamServerEndpoint = wrapServerTLS(options, below)
    return endpoint


def clientEndpoint(reactor: Any, components: tuple[Component, ...]) -> SecuredEndpoint:
    """
    See L{ockam_twisted.transports.roads}: C{/tcp/PORT/tls}.
    """
    (_, host), (_, port), _ = components
    return securedEndpoint(dial(reactor, str(host), int(port)), reactor, str(host))
