"""
Tests for L{ockam_twisted.upkeep}.
"""

from __future__ import annotations

from ockam_twisted.errors import InvalidTicket, LocalProtocolError
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.node import Node
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.pairing import PAIRING
from ockam_twisted.sessions.session import State
from tests.test_node import NodeTestCase

TO = "/ip4/127.0.0.1/tcp/{}/secure/api/service/outlet"


class WayTests(NodeTestCase):
    """
    Ways to one outlet, and to several.
    """

    def server(self, *ports: int) -> Node:
        """
        A node that listens at some ports.
        """
        server = self.node("server")
        for port in ports:
            self.network.result(server.listen(str(port)))
        server.createSecureChannelListener(TrustEveryone())
        return server

    def test_severalWays(self) -> None:
        """
        Ways to one identifier are one session, which goes on to the next when
        its own is lost.
        """
        server, client = self.server(4000), self.node("client")
        who = str(server.identifier)
        way = client.createWay([TO.format(4009), f"{who}@{TO.format(4000)}"], [who])
        self.network.advance(1)
        [session] = way.sessions
        assert session.established is not None
        self.assertIn("; 127.0.0.1:4009: ", session.established.description)
        self.assertEqual(session.established.peer, who)

    def test_severalOutlets(self) -> None:
        """
        Each outlet is pinned: who is found elsewhere than he should be is not
        taken.
        """
        one, two, client = self.server(4000), self.server(4001), self.node("client")
        ways = [f"{one.identifier}@{TO.format(4001)}", f"{two.identifier}@{TO.format(4001)}"]
        way = client.createWay(ways)
        self.network.advance(1)
        self.assertEqual([each.state for each in way.sessions], [State.WAITING, State.UP])
        self.assertEqual([used for _, used in client.sessions()], [False, True])
        self.assertIn("not trusted", way.sessions[0].why)
        before = [session.since for session in way.sessions]
        self.network.clock.advance(0.01)
        client._networkChanged()
        self.assertNotEqual(way.sessions[0].since, before[0])

    def test_nobody(self) -> None:
        """
        Without a word of who must be there nothing is begun.
        """
        client = self.node("client")
        self.assertRaises(LocalProtocolError, client.createWay, TO.format(4000))
        self.assertRaises(LocalProtocolError, client.createWay, [MultiAddr.fromText(TO.format(4000))])
        who = str(client.identifier)
        plain = f"{who}@/ip4/127.0.0.1/tcp/4000/service/outlet"
        self.assertIn("no secure channel", str(self.assertRaises(LocalProtocolError, client.createWay, plain)))
        self.assertEqual(client.sessions(), [])

    def test_neverPaired(self) -> None:
        """
        Where nothing says who the outlet is, or what is kept is damaged, the
        attempts say so.
        """
        client = self.node("client")
        way = client.createPairedWay(None)
        self.network.advance(0)
        self.assertIn("never paired", way.why)
        self.network.result(client.store.storeSetting(PAIRING, b"nonsense"))
        way = client.createPairedWay(None)
        self.network.advance(0)
        self.assertIn("damaged", way.why)
        self.assertTrue(issubclass(InvalidTicket, LocalProtocolError))
