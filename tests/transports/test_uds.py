"""
Tests for L{ockam_twisted.transports.uds}; those of the endpoints use real
sockets.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import inlineCallbacks
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ockam_twisted.transports import uds
from ockam_twisted.transports.factory import MessageFactory
from ockam_twisted.transports.uds import FramedProtocol
from ockam_twisted.wire.codecs import BARE
from tests.transports.test_stream import Node

#: Spec messaging, section 10.
FRAME = bytes.fromhex("001c010100046563686f0100036170700d0c48656c6c6f204f636b616d21")


class Behind(Protocol):
    """
    Keeps messages.
    """

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.isLost = False

    def dataReceived(self, data: bytes) -> None:
        self.messages.append(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.isLost = True


class FramedTests(SynchronousTestCase):
    """
    Tests for L{FramedProtocol}.
    """

    def setUp(self) -> None:
        """
        One end.
        """
        self.behind = Behind()
        self.carrier = FramedProtocol(self.behind)
        self.transport = StringTransport()
        self.carrier.makeConnection(self.transport)

    def test_example(self) -> None:
        """
        The example of the specification is a message, and nothing is said
        before it.
        """
        self.assertEqual(self.transport.value(), b"")
        self.carrier.dataReceived(FRAME)
        [message] = self.behind.messages
        self.assertEqual(BARE.decode(message).payload, b"\x0cHello Ockam!")
        self.carrier.write(message)
        self.assertEqual(self.transport.value(), FRAME)

    @given(st.lists(st.binary(max_size=2000), max_size=6), st.lists(st.integers(0, 12000), max_size=6))
    def test_cut(self, messages: list[bytes], cuts: list[int]) -> None:
        """
        Wherever the stream is cut, the messages are the same.
        """
        self.setUp()
        for each in messages:
            self.carrier.write(each)
        data = self.transport.value()
        edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
        for start, stop in pairwise(edges):
            self.carrier.dataReceived(data[start:stop])
        self.assertEqual(self.behind.messages, messages)

    def test_end(self) -> None:
        """
        After the end nothing comes and nothing goes.
        """
        self.carrier.loseConnection()
        self.carrier.write(b"x")
        self.carrier.dataReceived(FRAME)
        self.assertEqual((self.transport.value(), self.behind.messages), (b"", []))
        self.carrier.connectionLost()
        self.assertTrue(self.behind.isLost)


class EndpointTests(TestCase):
    """
    Tests for the endpoints, with real sockets.
    """

    timeout = 30

    def setUp(self) -> None:
        """
        A folder.
        """
        from twisted.internet import reactor

        self.reactor = reactor
        self.folder = Path(tempfile.mkdtemp(prefix="ockam-twisted-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    @inlineCallbacks
    def test_connect(self) -> Any:
        """
        Two ends connect; the socket is for its owner, or as was said.
        """
        path = f"{self.folder}/a.sock"
        for mode, expected in (("", 0o600), (":mode=660", 0o660)):
            server = uds.serverEndpoint(self.reactor, "uds", path + mode)
            servers = MessageFactory(Node().settings, BARE, "listener")
            port = yield server.listen(servers)
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), expected)
            client = uds.clientEndpoint(self.reactor, uds.components("uds", path))
            hop = yield client.connect(MessageFactory(Node().settings, BARE))
            hop.loseConnection()
            yield hop.whenLost()
            yield port.stopListening()

    @inlineCallbacks
    def test_nobody(self) -> Any:
        """
        Where nobody listens, that is said.
        """
        client = uds.clientEndpoint(self.reactor, (("unix", f"{self.folder}/none"),))
        yield self.assertFailure(client.connect(MessageFactory(Node().settings, BARE)), ConnectError)

    def test_refused(self) -> None:
        """
        What is no mode is refused.
        """
        self.assertRaises(ValueError, uds.serverEndpoint, self.reactor, "uds", "/a:mode=9")
        self.assertRaises(ValueError, uds.serverEndpoint, self.reactor, "uds", "/a:b")
