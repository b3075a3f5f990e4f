"""
Tests of L{ockam_twisted.transports.listening}, with real sockets.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint, UNIXServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from ockam_twisted.transports.listening import ListeningEndpoint, listeningEndpoint
from tests.certificates import makeCertificate


class Greeting(Protocol):
    """
    Says hello.
    """

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(b"hello")
        transport.loseConnection()


class ListeningTests(TestCase):
    """
    L{listeningEndpoint}.
    """

    timeout = 30

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.folder = Path(tempfile.mkdtemp(prefix="ockam-twisted-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def endpoint(self, text: str) -> ListeningEndpoint:
        """
        Read one.
        """
        return listeningEndpoint(self.reactor, text)

    def refuses(self, text: str, says: str) -> None:
        """
        It is none, and the error says why.
        """
        error = self.assertRaises(ValueError, self.endpoint, text)
        self.assertIn(says, str(error))

    def test_kinds(self) -> None:
        """
        Twisted's endpoint strings are what they are; C{haproxy:} is a mark on
        the one behind it.
        """
        self.assertIsInstance(self.endpoint("tcp:0").endpoint, TCP4ServerEndpoint)
        self.assertFalse(self.endpoint("tcp:0").isProxied)
        proxied = self.endpoint(f"haproxy:unix:{self.folder}/x")
        self.assertIsInstance(proxied.endpoint, UNIXServerEndpoint)
        self.assertTrue(proxied.isProxied)

    def test_haproxyOfTLS(self) -> None:
        """
        The header of the PROXY protocol comes before TLS, never inside of it.
        """
        self.refuses("haproxy:ssl:443", "is not encrypted")
        self.refuses("haproxy:tls:/etc/certificates", "is not encrypted")

    def test_codec(self) -> None:
        """
        What its connections are like is known of a wrapped endpoint, too:
        whether they keep messages, and their order.
        """
        self.assertIsNone(self.endpoint("tcp:0").codec)
        self.assertTrue(self.endpoint("ws:0").codec.isOrdered)
        self.assertFalse(self.endpoint("udp:0").codec.isOrdered)

    def test_certificates(self) -> None:
        """
        A folder for C{tls:} that is not there, or has nothing in it, is named.
        """
        self.refuses("tls:/nowhere/at/all:443", "/nowhere/at/all is no folder")
        self.refuses(f"tls:{self.folder}:443", "no file *.pem in")
        makeCertificate(self.folder, "localhost")
        self.assertIsInstance(self.endpoint(f"tls:{self.folder}:0"), ListeningEndpoint)

    def test_systemd(self) -> None:
        """
        Where systemd has given no socket, that is said.
        """
        self.refuses("systemd:domain=INET:index=0", "systemd has given no such socket")
        self.refuses("systemd:domain=INET:name=x", "systemd has given no such socket")

    def test_descriptors(self) -> None:
        """
        C{fd:} takes the number of a socket that listens, and nothing else.
        """
        self.refuses("fd:x", "as in fd:3")
        self.refuses("fd:99999", "is no socket: Bad file descriptor")
        with open(os.devnull) as file, socket.socket() as idle:
            self.refuses(f"fd:{file.fileno()}", "is no socket")
            self.refuses(f"fd:{idle.fileno()}", "does not listen")

    def test_inherited(self) -> Deferred[None]:
        """
        A socket that this process was started with is listened on.
        """

        async def run() -> None:
            given = socket.create_server(("127.0.0.1", 0))
            at = given.getsockname()
            port = await self.endpoint(f"fd:{given.detach()}").listen(Factory.forProtocol(Greeting))
            try:
                client = Deferred[bytes]()

                class Client(Protocol):
                    data = b""

                    def dataReceived(self, data: bytes) -> None:
                        self.data += data

                    def connectionLost(self, reason: Any = None) -> None:
                        client.callback(self.data)

                factory = Factory.forProtocol(Client)
                from twisted.internet.endpoints import TCP4ClientEndpoint

                await TCP4ClientEndpoint(self.reactor, *at).connect(factory)
                self.assertEqual(await client, b"hello")
            finally:
                stopping: Any = port.stopListening
                await stopping()

        return ensureDeferred(run())
