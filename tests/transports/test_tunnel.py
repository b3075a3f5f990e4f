"""
Tests for L{ockam_twisted.transports.tunnel}, in memory.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, TimeoutError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.transports import tunnel
from ockam_twisted.transports.tunnel import PATIENCE, Proxy, TunnelEndpoint, proxyFor


class Behind(Protocol):
    """
    Keeps what it gets.
    """

    data = b""

    def dataReceived(self, data: bytes) -> None:
        self.data += data


class Dialled:
    """
    An endpoint that is connected with a test.
    """

    def connect(self, factory: Any) -> Deferred[Any]:
        self.protocol = factory.buildProtocol(None)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)
        done: Deferred[Any] = Deferred()
        done.callback(self.protocol)
        return done


class TunnelTests(SynchronousTestCase):
    """
    Tests for L{TunnelEndpoint}.
    """

    def connect(self, proxy: Proxy | None = None, host: str = "a.example") -> Deferred[Any]:
        """
        Dial something through a proxy.
        """
        self.clock = Clock()
        self.below = Dialled()
        self.patch(tunnel, "dial", lambda *_: self.below)
        endpoint = TunnelEndpoint(self.clock, proxy or Proxy("proxy", 3128), host, 443)
        return endpoint.connect(Factory.forProtocol(Behind))

    def says(self, *pieces: bytes) -> None:
        """
        The proxy says something.
        """
        for piece in pieces:
            self.below.protocol.dataReceived(piece)

    def test_through(self) -> None:
        """
        The proxy is asked, and what comes after its answer is for who waits,
        wherever that is cut.
        """
        answer = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nhello"
        for cut in (1, 30, len(answer) - 5, len(answer) - 2):
            done = self.connect()
            self.assertEqual(
                self.below.transport.value(), b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"
            )
            self.says(answer[:cut], answer[cut:], b" there")
            behind = self.successResultOf(done)
            self.assertEqual(behind.data, b"hello there")
            self.assertIs(behind.transport, self.below.transport)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_authorization(self) -> None:
        """
        A name and a password are sent, and not shown.
        """
        self.patch(os, "environ", {"https_proxy": "http://us%40er:se%3Acret@proxy.example:3128"})
        proxy = proxyFor("a.example", 443, True)
        assert proxy is not None
        self.assertEqual((proxy.host, proxy.port), ("proxy.example", 3128))
        self.assertNotIn(proxy.authorization[6:], repr(proxy))
        self.connect(proxy, "::1")
        sent = self.below.transport.value()
        self.assertIn(b"CONNECT [::1]:443 ", sent)
        self.assertIn(b"Proxy-Authorization: Basic dXNAZXI6c2U6Y3JldA==\r\n", sent)

    def test_refused(self) -> None:
        """
        Who waits hears in a word why not.
        """
        for answer, word in (
            (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "407"),
            (b"\x01\x00\x00\x00\x00", "does not speak HTTP"),
            (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, "does not speak HTTP"),
        ):
            done = self.connect()
            self.says(answer)
            error = self.failureResultOf(done, ConnectError).value
            self.assertIn(word, str(error))
            self.assertTrue(self.below.transport.disconnecting)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_silent(self) -> None:
        """
        A proxy that does not answer is given up, and so is one that hangs up.
        """
        done = self.connect()
        self.clock.advance(PATIENCE)
        self.failureResultOf(done, TimeoutError)
        done = self.connect()
        self.below.protocol.connectionLost(Failure(ConnectError()))
        self.assertIn("proxy", str(self.failureResultOf(done).value))

    def test_giveUp(self) -> None:
        """
        Who waits can give up.
        """
        done = self.connect()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @given(st.binary(max_size=200))
    def test_fuzz(self, data: bytes) -> None:
        """
        Whatever a proxy says, nothing is raised.
        """
        done = self.connect()
        done.addErrback(lambda failure: None)
        self.says(b"HTTP/1.1 " + data, data)


class ProxyTests(SynchronousTestCase):
    """
    Tests for L{proxyFor}.
    """

    def test_environment(self) -> None:
        """
        The environment says which proxy there is for what, and for what not.
        """
        self.patch(os, "environ", {"https_proxy": "http://s:1", "http_proxy": "p:2", "no_proxy": "localhost,.internal"})
        for host, isSecure, expected in (
            ("a", True, ("s", 1)),
            ("a", False, ("p", 2)),
            ("localhost", True, None),
            ("x.internal", False, None),
        ):
            found = proxyFor(host, 443, isSecure)
            self.assertEqual(found and (found.host, found.port), expected)
        self.patch(os, "environ", {"all_proxy": "http://all:9"})
        found = proxyFor("a", 1, True)
        self.assertEqual(found and found.port, 9)
        self.patch(os, "environ", {})
        self.assertIsNone(proxyFor("a", 1, True))

    def test_refused(self) -> None:
        """
        A proxy of another kind cannot be used.
        """
        for url in ("socks5://a:1", "https://a:1", "http://"):
            self.patch(os, "environ", {"https_proxy": url})
            self.assertRaises(ValueError, proxyFor, "a", 1, True)
