"""
Tests for L{ockam_twisted.administration} and, through a real socket,
L{ockam_twisted.control}.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.administration import WAYS, Administration, decodeWays, encodeWays
from ockam_twisted.authority.authority import Authority
from ockam_twisted.authority.ticket import PinnedOutlet, Ticket
from ockam_twisted.errors import ConfigurationError
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.storage.memory import MemoryStore

A, B = Identifier.fromDigest(bytes(32)), Identifier.fromDigest(b"\x01" * 32)
WAY = MultiAddr.fromText("/dnsaddr/relay/tcp/4000/service/forward_to_x/secure/api/service/outlet")
AUTHORITY = MultiAddr.fromText("/dnsaddr/authority/tcp/4100/secure/api")


class AdministrationTests(SynchronousTestCase):
    """
    What an operator asks for.
    """

    def make(self, command: str = "ockam-outlet") -> Administration:
        """
        Of a node that was reached at some time.
        """
        self.store = MemoryStore()
        self.store.storeSetting(WAYS, encodeWays((WAY,)))
        self.authority = Authority(self.store, lambda: 1000)
        return Administration(self.authority, self.store, A, command, lambda: 1000)

    def ask(self, task: str, **arguments: Any) -> Any:
        """
        Something that works.
        """
        return self.successResultOf(self.administration.run(task, arguments))

    def refused(self, task: str, **arguments: Any) -> str:
        """
        Something that does not.
        """
        return str(self.failureResultOf(self.administration.run(task, arguments)).value)

    def setUp(self) -> None:
        self.administration = self.make()

    def test_ticket(self) -> None:
        """
        A ticket leads to this node, and its code makes a member.
        """
        made = self.ask("ticket create", attributes={"team": "web"}, uses=2, expires=60)
        ticket = Ticket.fromText(made["ticket"])
        self.assertEqual((ticket.ways, ticket.peer, ticket.expiresAt, ticket.authority), ((WAY,), A, 1060, None))
        self.successResultOf(self.authority.redeem(ticket.code or b"", B))
        [listed] = self.ask("ticket list")
        self.assertEqual((listed["id"], listed["state"], listed["uses"]), (made["id"], "open", 2))
        self.assertEqual(listed["usedBy"], [{"identifier": str(B), "at": 1000}])
        self.assertNotIn(ticket.code.hex() if ticket.code else "", str(listed))
        self.ask("ticket revoke", id=made["id"])
        self.assertEqual(self.ask("ticket list")[0]["state"], "revoked")
        [member] = self.ask("member list")
        self.assertEqual((member["identifier"], member["attributes"]), (str(B), {"team": "web"}))
        self.ask("member remove", identifier=str(B))
        self.assertEqual(self.ask("member list"), [])

    def test_takesNone(self) -> None:
        """
        A node that would never accept a ticket makes none.
        """
        self.administration.takesTickets = lambda: False
        self.assertIn("--tickets", self.refused("ticket create"))
        self.assertEqual(self.ask("ticket list"), [])

    def test_doors(self) -> None:
        """
        Attributes that open doors are granted by their own options only.
        """
        for name in ("ockam-role", "ockam-relay", "ockam-outlet"):
            self.assertIn("opens doors", self.refused("ticket create", attributes={name: "x"}))
            self.assertIn("opens doors", self.refused("member add", identifier=str(B), attributes={name: "x"}))
        self.ask("member add", identifier=str(B), enroller=True, relay="*", outlet="db")
        [member] = self.ask("member list")
        self.assertEqual(member["attributes"], {"ockam-outlet": "db", "ockam-relay": "*", "ockam-role": "enroller"})

    def test_authority(self) -> None:
        """
        The ticket of an authority says where the outlet is and what it must
        be, or nothing of it.
        """
        self.administration = self.make("ockam-authority")
        self.successResultOf(self.store.storeSetting(WAYS, encodeWays((AUTHORITY,))))
        ticket = Ticket.fromText(
            self.ask("ticket create", to=WAY.text, policy='(= subject.ockam-outlet "db")')["ticket"]
        )
        self.assertEqual((ticket.ways, ticket.peer, ticket.authority), ((WAY,), None, A))
        self.assertEqual(ticket.policy, '(= subject.ockam-outlet "db")')
        ticket = Ticket.fromText(self.ask("ticket create", to=WAY.text, peer=str(B))["ticket"])
        self.assertEqual((ticket.peer, ticket.authority, ticket.authorityWays), (B, A, (AUTHORITY,)))
        ticket = Ticket.fromText(self.ask("ticket create")["ticket"])
        self.assertEqual((ticket.ways, ticket.peer, ticket.authority), ((), None, A))
        for options in ({"to": WAY.text}, {"peer": str(B)}, {"to": WAY.text, "peer": str(B), "policy": "x"}):
            self.assertIn("--to", self.refused("ticket create", **options))
        bare = "/ip4/127.0.0.1/tcp/4000/service/outlet"
        self.assertIn("secure", self.refused("ticket create", to=bare, peer=str(B)))
        # What is refused leaves no open code behind.
        self.assertEqual(len(self.ask("ticket list")), 3)

    def test_severalOutlets(self) -> None:
        """
        The ticket of an authority may lead to several outlets, each with its
        identity; ways with one identifier are of one outlet.
        """
        self.administration = self.make("ockam-authority")
        self.successResultOf(self.store.storeSetting(WAYS, encodeWays((AUTHORITY,))))
        other = MultiAddr.fromText("/dnsaddr/other/tcp/4000/secure/api/service/outlet")

        def outlets(**options: Any) -> tuple[PinnedOutlet, ...]:
            return Ticket.fromText(self.ask("ticket create", **options)["ticket"]).outlets

        named = [f"{A}@{WAY.text}", f"{B}@{WAY.text}", f"{A}@{other.text}"]
        self.assertEqual(outlets(to=named), (PinnedOutlet((WAY, other), A), PinnedOutlet((WAY,), B)))
        self.assertEqual(
            outlets(to=[WAY.text, other.text, named[0]], peer=str(B)),
            (PinnedOutlet((WAY, other), B), PinnedOutlet((WAY,), A)),
        )
        # Whether it is one outlet or two nobody can tell.
        self.assertEqual(
            outlets(to=[WAY.text, other.text], policy="db"),
            (PinnedOutlet((WAY,), None, "db"), PinnedOutlet((other,), None, "db")),
        )
        for options, says in (
            ({"to": [*named, WAY.text]}, "IDENTIFIER@MULTIADDR"),
            ({"to": named, "peer": str(B)}, "IDENTIFIER@MULTIADDR"),
            ({"to": ["I12@" + WAY.text]}, "identifier"),
            ({"to": [f"{A}@/ip4/127.0.0.1/tcp/4000/service/outlet"]}, "secure"),
            ({"to": [f"{Identifier.fromDigest(bytes([each] * 32))}@{WAY.text}" for each in range(17)]}, "at most 16"),
            ({"to": [f"{A}@{WAY.text}"] * 17}, "too much"),
        ):
            self.assertIn(says, self.refused("ticket create", **options))
        self.assertEqual(len(self.ask("ticket list")), 3)

    def test_refused(self) -> None:
        """
        What cannot be done is said in a line.
        """
        self.assertIn("ockam-authority", self.refused("ticket create", peer=str(B)))
        self.assertIn("has no task", self.refused("launch"))
        self.assertIn("other arguments", self.refused("ticket list", x=1))
        self.assertIn("no ticket", self.refused("ticket revoke", id="x"))
        self.assertIn("is no member", self.refused("member remove", identifier=str(B)))
        self.store.deleteSetting(WAYS)
        self.assertIn("has it ever run", self.refused("ticket create"))

    def test_ways(self) -> None:
        """
        Ways are read as they were written; what is damaged is none.
        """
        self.assertEqual(decodeWays(encodeWays((WAY, WAY))), (WAY, WAY))
        for data in (None, b"", b"\x01", b"\x81\x01", b"\x81\x41\x00"):
            self.assertEqual(decodeWays(data), ())
        self.assertTrue(issubclass(ConfigurationError, ValueError))
