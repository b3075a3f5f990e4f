"""
Tests of L{ockam_twisted.places}.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
)
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import (
    ConfigurationError,
    InvalidAddress,
    InvalidIdentifier,
    InvalidMultiAddr,
    LocalProtocolError,
)
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.places import (
    asRoute,
    checkFree,
    checkRoad,
    checkSecure,
    checkWay,
    clientEndpoint,
    dial,
    now,
    serverEndpoint,
    trustPolicy,
)
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.transports.dialing import AddressEndpoint
from ockam_twisted.transports.listening import ListeningEndpoint
from ockam_twisted.transports.secured import SecuredEndpoint
from tests.memory_reactor import MemoryReactor

WHO = "I" + "0" * 64


class RouteTests(SynchronousTestCase):
    """
    L{asRoute}.
    """

    def test_forms(self) -> None:
        """
        A route, an address, its text and several of these mean the same.
        """
        echo = Address.local("echo")
        for place in (Route((echo,)), echo, "echo", ["echo"], (echo,), iter(["echo"])):
            self.assertEqual(asRoute(place), Route((echo,)))
        self.assertEqual(asRoute(["a", echo]), Route((Address.local("a"), echo)))
        self.assertEqual(asRoute([]), Route())

    def test_refused(self) -> None:
        """
        A text that is no address is refused.
        """
        self.assertRaises(InvalidAddress, asRoute, "x" * 300)

    def test_now(self) -> None:
        """
        The calendar time is in whole seconds, of this century.
        """
        self.assertIsInstance(now(), int)
        self.assertGreater(now(), 1_700_000_000)


class EndpointTests(SynchronousTestCase):
    """
    Text and endpoints.
    """

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactor()

    def test_dial(self) -> None:
        """
        Addresses are dialled as they are, by ourselves where the reactor can
        take over connections; names are looked up.
        """
        self.assertIsInstance(dial(self.reactor, "192.0.2.1", 4000), TCP4ClientEndpoint)
        self.assertIsInstance(clientEndpoint(self.reactor, "4000"), TCP4ClientEndpoint)
        self.assertIsInstance(clientEndpoint(self.reactor, "tcp:host=192.0.2.1:port=1"), TCP4ClientEndpoint)
        from twisted.internet import reactor

        self.assertIsInstance(dial(reactor, "::1", 4000), AddressEndpoint)
        self.assertIsInstance(dial(reactor, "192.0.2.1", 4000), AddressEndpoint)
        self.assertIsInstance(dial(reactor, "fe80::1%eth0", 4000), TCP6ClientEndpoint)
        for host in ("relay.example.com", "localhost", "1234"):
            self.assertIsInstance(dial(reactor, host, 4000), HostnameEndpoint, host)
        self.assertIsInstance(clientEndpoint(reactor, "relay.example.com:4000"), HostnameEndpoint)
        self.assertIsInstance(clientEndpoint(reactor, "unix:/run/x.sock"), UNIXClientEndpoint)
        for text in ("tls:relay.example.com:443", "ssl:relay.example.com:443:hostname=relay.example.com"):
            secured = clientEndpoint(reactor, text)
            assert isinstance(secured, SecuredEndpoint)
            self.assertEqual(secured.host, "relay.example.com")

    def test_anyCertificate(self) -> None:
        """
        What would not look whose certificate it is, is refused.
        """
        from twisted.internet import reactor

        error = self.assertRaises(ConfigurationError, clientEndpoint, reactor, "ssl:relay.example.com:443", "--relay")
        self.assertIn("--relay: ssl:relay.example.com:443 would accept any certificate", str(error))

    def test_listen(self) -> None:
        """
        Shorthands and endpoint strings are places to listen.
        """
        for text in ("4000", "tcp:4000"):
            endpoint = serverEndpoint(self.reactor, text)
            assert isinstance(endpoint, ListeningEndpoint)
            self.assertIsInstance(endpoint.endpoint, TCP4ServerEndpoint)

    def test_refused(self) -> None:
        """
        Whatever a parser of endpoint strings raises becomes one plain line
        that shows the text, without control characters.
        """
        for text in ("tcp:host=x:port=abc", "tcp:", "tls:", "fd:\n", "host", "tcp:host=192.0.2.1:port=x"):
            error = self.assertRaises(ConfigurationError, clientEndpoint, self.reactor, text)
            self.assertTrue(str(error).isprintable(), text)
        for text in ("tcp:abc", "ssl:443:privateKey=/nowhere/key.pem", "tcp:", "a b"):
            error = self.assertRaises(ConfigurationError, serverEndpoint, self.reactor, text)
            self.assertTrue(str(error).isprintable(), text)
        missing = self.assertRaises(ConfigurationError, serverEndpoint, self.reactor, "ssl:443:privateKey=/nowhere/key")
        self.assertIn("/nowhere/key", str(missing))

    def test_own_errors(self) -> None:
        """
        What our own endpoint strings say is not said twice.
        """
        error = self.assertRaises(ConfigurationError, serverEndpoint, self.reactor, "ockam:trust=everyone")
        self.assertTrue(str(error).startswith("nobody can reach it"))


class FreeTests(SynchronousTestCase):
    """
    L{checkFree}, with real sockets.
    """

    def test_taken(self) -> None:
        """
        A port that somebody has is named with the reason; afterwards it is
        free again for whoever asks.
        """
        reactor: Any = MemoryReactor()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            text = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            error = self.assertRaises(ConfigurationError, checkFree, reactor, text)
            self.assertEqual(str(error), f"cannot listen on {text}: Address already in use")
        for _ in range(2):
            checkFree(reactor, text)

    def test_impossible(self) -> None:
        """
        Interfaces and ports that cannot be had are refused likewise.
        """
        reactor: Any = MemoryReactor()
        for text in ("tcp:4000:interface=192.0.2.77", "tcp:4000:interface=no.such.name.invalid", "tcp:70000"):
            error = self.assertRaises(ConfigurationError, checkFree, reactor, text)
            self.assertTrue(str(error).startswith(f"cannot listen on {text}: "), error)

    def test_not_a_port(self) -> None:
        """
        Any free port, and what is no TCP port, cannot be in use.
        """
        from twisted.internet import reactor

        checkFree(reactor, "tcp:0")
        checkFree(reactor, "unix:/tmp/any")

    def test_noFolder(self) -> None:
        """
        A Unix socket needs a folder.
        """
        from twisted.internet import reactor

        error = self.assertRaises(ConfigurationError, checkFree, reactor, "unix:/nowhere/at/all")
        self.assertEqual(str(error), "cannot listen on unix:/nowhere/at/all: there is no folder /nowhere/at")


class WayTests(SynchronousTestCase):
    """
    MultiAddrs that lead somewhere.
    """

    def test_good(self) -> None:
        """
        Directly, through a relay, and for those who trust everyone without a
        channel.
        """
        for text in (
            "/ip4/192.0.2.1/tcp/4000/secure/api/service/outlet",
            "/dnsaddr/relay.example.com/tcp/4000/service/forward_to_a/secure/api/service/outlet",
            "/ip6/::1/tcp/4000/worker/a/secure/api/worker/outlet",
        ):
            checkWay(MultiAddr.fromText(text), trustPolicy([WHO]), "--to")
        checkWay(MultiAddr.fromText("/ip4/192.0.2.1/tcp/4000/service/outlet"), TrustEveryone(), "--to")
        checkRoad(MultiAddr.fromText("/ip4/192.0.2.1/tcp/4000"), "--relay")
        checkRoad(MultiAddr.fromText("/ip4/192.0.2.1/tcp/4000/secure/api"), "--relay")

    def test_losesMessages(self) -> None:
        """
        Streams go over no road that loses messages, datagrams do; both go
        over QUIC.
        """
        lossy = MultiAddr.fromText("/ip4/192.0.2.1/udp/4000/secure/api/service/outlet")
        error = self.assertRaises(InvalidMultiAddr, checkWay, lossy, TrustEveryone(), "--to")
        self.assertIn("/udp/PORT/quic", str(error))
        checkWay(lossy, TrustEveryone(), "--to", False)
        checkWay(MultiAddr.fromText("/ip4/192.0.2.1/udp/4000/quic/secure/api/service/outlet"), TrustEveryone(), "--to")

    def test_leadsNowhere(self) -> None:
        """
        What does not begin with a connection, goes where we cannot go, or
        ends before the outlet is refused before anything is dialled.
        """
        for text in (
            "/service/outlet",
            "/ip4/192.0.2.1/udp/4000/secure/api/service/outlet",
            "/ip4/192.0.2.1",
            "/ip4/192.0.2.1/tcp/1/ip4/192.0.2.1/tcp/2/secure/api/service/outlet",
            "/ip4/192.0.2.1/tcp/1/project/x/secure/api/service/outlet",
            "/ip4/192.0.2.1/tcp/1",
            "/ip4/192.0.2.1/tcp/1/secure/api",
        ):
            error = self.assertRaises(InvalidMultiAddr, checkWay, MultiAddr.fromText(text), TrustEveryone(), "--to")
            self.assertTrue(str(error).startswith("--to: "))
            self.assertTrue(str(error).isprintable())

    def test_unproven(self) -> None:
        """
        Where it matters who is there, a way without a secure channel is
        refused: nobody would prove anything, and nothing would be encrypted.
        """
        address = MultiAddr.fromText("/ip4/192.0.2.1/tcp/4000/service/outlet")
        error = self.assertRaises(LocalProtocolError, checkWay, address, trustPolicy([WHO]), "--to")
        self.assertIn("secure", str(error))
        self.assertRaises(LocalProtocolError, checkSecure, address, trustPolicy([WHO]))


class TrustTests(SynchronousTestCase):
    """
    L{trustPolicy}.
    """

    def test_identifiers(self) -> None:
        """
        Those who are listed are accepted, and nobody else.
        """
        policy = trustPolicy([WHO])
        self.assertTrue(policy.accepts(Identifier.parse(WHO)))
        self.assertFalse(policy.accepts(Identifier.parse("I" + "1" * 64)))

    def test_policy(self) -> None:
        """
        A policy is taken as it is.
        """
        everyone = TrustEveryone()
        self.assertIs(trustPolicy((), everyone), everyone)

    def test_refused(self) -> None:
        """
        Nobody is trusted by default, and a text must be an identifier.
        """
        self.assertRaises(LocalProtocolError, trustPolicy, ())
        self.assertRaises(InvalidIdentifier, trustPolicy, ["I123"])
