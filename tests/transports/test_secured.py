"""
Tests of L{ockam_twisted.transports.secured}, with real sockets and
certificates.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import ConnectError, ConnectionRefusedError, NoProtocol, TimeoutError
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from ockam_twisted.transports import secured
from ockam_twisted.transports.secured import SecuredEndpoint
from tests.certificates import makeCertificate


class Recorder(Protocol):
    """
    Keeps what it is told.
    """

    def __init__(self) -> None:
        self.data = b""
        self.isMade = False
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.isMade = True

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Any = None) -> None:
        self.lost.callback(None)


class Greeter(Recorder):
    """
    Speaks first, and last.
    """

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(b"hello")
        transport.loseConnection()


class SecuredTests(TestCase):
    """
    L{SecuredEndpoint}.
    """

    timeout = 30

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.folder = Path(tempfile.mkdtemp(prefix="ockam-twisted-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.roots = self.folder / "roots"
        self.roots.mkdir()
        self.made: list[Recorder] = []

    def build(self) -> Recorder:
        """
        A client's protocol.
        """
        self.made.append(Recorder())
        return self.made[-1]

    async def connect(self, *names: str, expired: bool = False, trusted: bool = True, kind: str = "ssl") -> Recorder:
        """
        Connect to somebody with a certificate.
        """
        pem = makeCertificate(self.folder, *names, expired=expired)
        if trusted:
            shutil.copy(pem, self.roots)
        text = f"ssl:0:interface=127.0.0.1:privateKey={pem}" if kind == "ssl" else "tcp:0:interface=127.0.0.1"
        server: Any = serverFromString(self.reactor, text)
        listening = await server.listen(Factory.forProtocol(Greeter if kind != "mute" else Recorder))
        self.addCleanup(listening.stopListening)
        return await self.dial(listening.getHost().port)

    async def dial(self, port: int) -> Any:
        """
        Connect to a port.
        """
        text = f"tls:localhost:443:trustRoots={self.roots}:endpoint=tcp\\:127.0.0.1\\:{port}"
        factory = Factory()
        factory.buildProtocol = lambda addr: self.build()  # type: ignore[method-assign]
        self.connecting = SecuredEndpoint(clientFromString(self.reactor, text), self.reactor, "localhost").connect(
            factory
        )
        return await self.connecting

    def fails(self, kind: type[Exception], says: str, attempt: Any) -> Deferred[None]:
        """
        It fails, nothing has been built, and the error says why.
        """

        async def run() -> None:
            error = await self.assertFailure(ensureDeferred(attempt), kind)
            self.assertIn(says, str(error))
            self.assertEqual([each for each in self.made if each.isMade], [])

        return ensureDeferred(run())

    def test_good(self) -> Deferred[None]:
        """
        Who has the certificate is connected to, and is heard from the first
        byte to the last.
        """

        async def run() -> None:
            client = await self.connect("localhost")
            self.assertTrue(client.isMade)
            await client.lost
            self.assertEqual(client.data, b"hello")

        return ensureDeferred(run())

    def test_unknown(self) -> Deferred[None]:
        """
        Who has signed it has to be known.
        """
        return self.fails(
            ConnectError, "certificate of localhost is not trusted", self.connect("localhost", trusted=False)
        )

    def test_expired(self) -> Deferred[None]:
        """
        A certificate that has expired does not count.
        """
        return self.fails(ConnectError, "TLS: certificate verify failed", self.connect("localhost", expired=True))

    def test_somebodyElse(self) -> Deferred[None]:
        """
        A certificate of another host does not count.
        """
        return self.fails(ConnectError, "the certificate is not of localhost", self.connect("other.example"))

    def test_noTLS(self) -> Deferred[None]:
        """
        Who does not speak TLS gets no byte.
        """
        return self.fails(ConnectError, "TLS: ", self.connect("localhost", kind="plain"))

    def test_silent(self) -> Deferred[None]:
        """
        Who says nothing is not waited for for ever.
        """
        self.patch(secured, "PATIENCE", 0.1)
        return self.fails(TimeoutError, "no answer", self.connect("localhost", kind="mute"))

    def test_refused(self) -> Deferred[None]:
        """
        Where nobody listens, that is the error.
        """
        makeCertificate(self.roots, "localhost")
        return self.fails(ConnectionRefusedError, "", self.dial(1))

    def test_canceled(self) -> Deferred[None]:
        """
        Whoever gives up during the handshake leaves nothing behind.
        """
        attempt = self.connect("localhost", kind="mute")
        self.reactor.callLater(0.2, lambda: self.connecting.cancel())
        return self.fails(CancelledError, "", attempt)

    def test_noProtocol(self) -> Deferred[None]:
        """
        Who is not wanted after all is let go.
        """
        self.build = lambda: None  # type: ignore[method-assign,assignment,return-value]
        return self.fails(NoProtocol, "", self.connect("localhost"))
