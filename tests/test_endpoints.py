"""
Tests of L{ockam_twisted.endpoints}: an unmodified Twisted web server and
client over a portal, with real sockets and real time.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from ockam_twisted.endpoints import InletEndpoint, OutletEndpoint
from ockam_twisted.errors import ConfigurationError
from ockam_twisted.node import Node

reactor: Any = _reactor


class _Page(Resource):
    isLeaf = True

    def render_GET(self, request: object) -> bytes:
        """
        One page.
        """
        return b"a private page " * 10000


class _Get(Protocol):
    """
    Asks for the page and collects the answer.
    """

    def __init__(self) -> None:
        self.got = b""
        self.done: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        """
        Ask.
        """
        assert self.transport is not None
        self.transport.write(b"GET / HTTP/1.0\r\n\r\n")

    def dataReceived(self, data: bytes) -> None:
        """
        Collect.
        """
        self.got += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        """
        That was all.
        """
        self.done.callback(self.got)


class EndpointTests(TestCase):
    """
    C{ockam:} for servers and clients.
    """

    async def test_web(self) -> None:
        """
        A page comes through a relay to a client; neither side has a port.
        """
        relay = await Node.create(reactor)
        port: Any = await relay.listen("tcp:0:interface=127.0.0.1")
        listener = relay.createSecureChannelListener(_everyone())
        relay.createRelayService(listener=listener)
        at = port.getHost().port
        try:
            server = serverFromString(reactor, f"ockam:relay=127.0.0.1\\:{at}:trust=everyone")
            self.assertIsInstance(server, OutletEndpoint)
            listening: Any = await server.listen(Site(_Page()))
            host = listening.getHost()
            to = f"/ip4/127.0.0.1/tcp/{at}/service/{host.label}/secure/api/service/outlet"
            client = clientFromString(reactor, f"ockam:to={to}:authorized={host.identifier}")
            self.assertIsInstance(client, InletEndpoint)
            # Twice, so that the node is stopped and started again.
            for _ in range(2):
                protocol: Any = await client.connect(Factory.forProtocol(_Get))
                got = await protocol.done
                self.assertTrue(got.endswith(b"a private page " * 10000), got[-100:])
            await listening.stopListening()
            await _turns(20)
        finally:
            await relay.stopService()

    def test_refused(self) -> None:
        """
        What is missing or in conflict is a plain error.
        """
        who = "I" + "0" * 64
        for text in ("ockam:trust=everyone", f"ockam:relay=a\\:1:trust=everyone:authorized={who}", "ockam:relay=a\\:1"):
            self.assertRaises(ConfigurationError, serverFromString, reactor, text)
        for text in ("ockam:to=/service/outlet", "ockam:to=/service/outlet:trust=nobody"):
            self.assertRaises(ConfigurationError, clientFromString, reactor, text)


def _everyone() -> Any:
    from ockam_twisted.identity.trust import TrustEveryone

    return TrustEveryone()


async def _turns(count: int) -> None:
    """
    Let what is closing close.
    """
    for _ in range(count):
        turn: Deferred[None] = Deferred()
        reactor.callLater(0.02, turn.callback, None)
        await turn
