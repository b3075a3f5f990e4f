"""
Tests of L{ockam_twisted.attestation}: nodes and authorities on a reactor in
memory.
"""

from __future__ import annotations

from attrs import evolve

from ockam_twisted.assembly import NodeService
from ockam_twisted.attestation import authorityOf, inletTrust
from ockam_twisted.authority.ticket import Ticket
from ockam_twisted.config import (
    AuthorityConfig,
    AuthorityServiceConfig,
    InletConfig,
    NodeConfig,
    OutletConfig,
    TicketsConfig,
    TrustConfig,
)
from ockam_twisted.errors import ConfigurationError
from ockam_twisted.identity.credentials import Attributes
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import TrustCredential, TrustEveryone, TrustIdentifiers
from ockam_twisted.routing.multiaddr import MultiAddr
from tests.configs import MEMORY
from tests.test_assembly import WHO, ServiceTestCase

AT = "/ip4/127.0.0.1/tcp/1/secure/api"
OTHER = "I" + "1" * 64
TO_OUTLET = "/ip4/127.0.0.1/tcp/4000/secure/api/service/"


class InletTrustTests(ServiceTestCase):
    """
    Who the outlet of an inlet must be.
    """

    def test_trust(self) -> None:
        """
        What is attested is by the authority of the inlet, or the first one.
        """
        config = NodeConfig("n", authorities=(AuthorityConfig(WHO, AT, "a"), AuthorityConfig(OTHER, AT, "b")))
        inlet = InletConfig("tcp:1", "x", TrustConfig(everyone=True))
        self.assertEqual(inletTrust(config, inlet), TrustEveryone())
        inlet = evolve(inlet, trust=TrustConfig((WHO,)))
        self.assertEqual(inletTrust(config, inlet), TrustIdentifiers([Identifier(WHO)]))
        for name, who in (("", WHO), ("a", WHO), ("b", OTHER)):
            trust = inletTrust(config, evolve(inlet, trust=TrustConfig(allow="db"), authority=name))
            assert isinstance(trust, TrustCredential)
            self.assertEqual(trust.authority, Identifier(who))
        self.assertRaises(ConfigurationError, authorityOf, config, "c")


class SeveralTestCase(ServiceTestCase):
    """
    Two authorities, and nodes that go by the word of both.
    """

    def setUp(self) -> None:
        super().setUp()
        self.serve(5000)
        self.authorities = {name: self.authority(port) for name, port in (("a", 4100), ("b", 4200))}
        self.known = tuple(
            AuthorityConfig(str(each.node.identifier), f"/ip4/127.0.0.1/tcp/{port}/secure/api", name)
            for (name, each), port in zip(self.authorities.items(), (4100, 4200), strict=True)
        )
        outlets = tuple(
            OutletConfig("tcp:host=127.0.0.1:port=5000", "x", name, TrustConfig(allow="dba"), name) for name in "ab"
        )
        self.outlet = self.start(
            NodeConfig(
                "ockam-node",
                MEMORY,
                listeners=("tcp:4000",),
                outlets=outlets,
                authorities=self.known,
                tickets=TicketsConfig(),
            )
        )
        who = self.outlet.node.identifier
        self.config = NodeConfig(
            "ockam-node",
            MEMORY,
            inlets=tuple(
                InletConfig(
                    f"tcp:{port}",
                    f"{who}@/ip4/127.0.0.1/tcp/4000/secure/api/service/{name}",
                    TrustConfig(),
                    name=name,
                    authority=name,
                )
                for name, port in (("a", 4001), ("b", 4002))
            ),
            authorities=self.known,
        )

    def authority(self, port: int) -> NodeService:
        """
        An authority.
        """
        return self.start(
            NodeConfig(
                "ockam-authority",
                MEMORY,
                listeners=(f"tcp:{port}",),
                authorityService=AuthorityServiceConfig(),
                tickets=TicketsConfig(),
            )
        )

    def begin(self, *attesting: str) -> NodeService:
        """
        Start the inlets, as a member of some authorities.
        """
        service = self.start(self.config)
        for name in attesting:
            adding = self.authorities[name].node.authority.addMember(service.node.identifier, ((b"dba", b"true"),), "x")
            self.reactor.wait(adding)
        for _ in range(6):
            self.network.advance(1)
        return service


class SeveralTests(SeveralTestCase):
    """
    What each of them attests.
    """

    def test_both(self) -> None:
        """
        Each inlet presents the credential that its outlet asks for.
        """
        self.begin("a", "b")
        self.assertEqual([self.says(self.client(port)) for port in (4001, 4002)], [b"HELLO", b"HELLO"])

    def test_one(self) -> None:
        """
        What one of them attests does not count where the other one is asked.
        """
        service = self.begin("b")
        self.assertEqual([self.says(self.client(port)) for port in (4001, 4002)], [b"", b"HELLO"])
        # An authority whose word counts no more: what it has attested is nothing.
        config = evolve(
            self.outlet._config,
            authorities=self.known[:1],
            outlets=(self.outlet._config.outlets[0],),
        )
        self.reactor.wait(self.outlet.apply(config))
        self.network.advance(1)
        self.assertEqual(self.says(self.client(4002)), b"")
        self.assertEqual(len(service.node.sessions()), 2)

    def test_rotated(self) -> None:
        """
        A new key of the identity is that of each credential.
        """
        service = self.begin("a", "b")
        self.reactor.wait(service._rotate())
        for _ in range(3):
            self.network.advance(1)
        self.assertEqual([self.says(self.client(port)) for port in (4001, 4002)], [b"HELLO", b"HELLO"])


class ReloadTests(SeveralTestCase):
    """
    A node with inlets, whose authorities come and go.
    """

    def ticket(self, name: str, attributes: Attributes = ((b"dba", b"true"),)) -> str:
        """
        A ticket of an authority, for the outlet that goes by its word.
        """
        authority = self.authorities[name].node
        _, code = self.reactor.wait(authority.authority.createToken(attributes))
        way = MultiAddr.fromText(f"/ip4/127.0.0.1/tcp/4000/secure/api/service/{name}")
        at = MultiAddr.fromText(self.known["ab".index(name)].address)
        peer = self.outlet.node.identifier
        return str(Ticket((way,), peer, 2**33, code, "", authority.identifier, (at,)))

    def paired(self, name: str, port: int, ticket: str | None = None) -> InletConfig:
        """
        An inlet that comes with a ticket.
        """
        given = self.ticket(name) if ticket is None else ticket
        return InletConfig(f"tcp:{port}", (), TrustConfig(), name=name, ticket=given)

    def apply(self, service: NodeService, config: NodeConfig, seconds: int = 3) -> None:
        """
        Reload, and let time pass.
        """
        self.reactor.wait(service.apply(config))
        self.pass_(seconds)

    def pass_(self, seconds: int) -> None:
        """
        Let time pass.
        """
        for _ in range(seconds):
            self.network.advance(1)

    def heard(self, *ports: int) -> list[bytes]:
        """
        What new clients hear.
        """
        return [self.says(self.client(port)) for port in ports]

    def test_new(self) -> None:
        """
        An inlet that comes with the ticket of an authority is enrolled there
        at once.
        """
        empty = NodeConfig("ockam-node", MEMORY)
        service = self.start(empty)
        self.apply(service, evolve(empty, inlets=(self.paired("a", 4001),)))
        self.assertIsNotNone(self.authorities["a"].node.authority.member(service.node.identifier))
        self.assertEqual(self.heard(4001), [b"HELLO"])

    def test_known(self) -> None:
        """
        So is one whose authority the node has already.
        """
        config = NodeConfig("ockam-node", MEMORY, authorities=self.known)
        service = self.start(config)
        self.pass_(2)
        before, parties = dict(service._attestation.retrievers), dict(service._attestation._parties)
        self.apply(service, evolve(config, inlets=(self.paired("b", 4002),)))
        self.assertEqual(self.heard(4002), [b"HELLO"])
        a, b = map(Identifier.parse, (each.identifier for each in self.known))
        self.assertIs(service._attestation.retrievers[a], before[a])
        self.assertIsNot(service._attestation.retrievers[b], before[b])
        # Channels that there are hear of the new credential.
        self.assertIs(service._attestation._parties[b], parties[b])

    def test_oldTicketStays(self) -> None:
        """
        A ticket that was redeemed does not hide a new one, wherever in the
        file that is.
        """
        old = self.ticket("a")
        config = NodeConfig("ockam-node", MEMORY, inlets=(self.paired("a", 4001, old),))
        service = self.start(config)
        self.pass_(3)
        who = service.node.identifier
        authority = self.authorities["a"].node.authority
        self.reactor.wait(authority.removeMember(who))
        new = evolve(self.paired("a", 4003), name="new")
        self.apply(service, evolve(config, inlets=(new, *config.inlets)))
        self.assertIsNotNone(authority.member(who))

    def test_untouched(self) -> None:
        """
        What attests us as before goes on, through everything that comes and
        goes beside it: the stream of an inlet outlives its first credential.
        """
        a, b = self.paired("a", 4001), self.paired("b", 4002)
        service = self.start(NodeConfig("ockam-node", MEMORY, inlets=(a,)))
        self.pass_(3)
        client, attestation = self.client(4001), service._attestation
        self.assertEqual(self.says(client), b"HELLO")
        retriever = attestation.retriever
        config = service._config
        self.apply(service, evolve(config, inlets=(b, a)))
        self.assertEqual(self.heard(4001, 4002), [b"HELLO", b"HELLO"])
        # Without the ticket what is kept of it says the same.
        for inlets in ((b, a), (b, evolve(a, ticket="")), (evolve(a, ticket=""), b)):
            attestation.change(evolve(config, inlets=inlets))
            self.assertIs(attestation.retriever, retriever)
            self.assertEqual(len(attestation.retrievers), 2)
        self.pass_(700)
        self.assertEqual(self.says(client), b"HELLO")
        self.apply(service, evolve(config, inlets=(a,)))
        self.assertEqual(list(attestation.retrievers.values()), [retriever])
        self.assertEqual(self.heard(4001), [b"HELLO"])

    def test_ended(self) -> None:
        """
        What is not there any more attests nothing any more.
        """
        service = self.begin("a", "b")
        party = service.node.requireParty()
        others = service._attestation._parties
        self.assertEqual((len(party.authorities), len(others)), (2, 1))
        second = Identifier.parse(self.known[1].identifier)
        self.apply(service, evolve(self.config, authorities=self.known[1:], inlets=self.config.inlets[1:]))
        # It is the one of the node itself now.
        self.assertEqual((list(party.authorities), others), ([second], {}))
        self.assertTrue(party.credential)
        self.assertEqual(self.heard(4002), [b"HELLO"])
        self.apply(service, evolve(self.config, authorities=(), inlets=()))
        self.assertEqual((party.authorities, party.credential, service._attestation.retriever), ({}, b"", None))

    def test_waiting(self) -> None:
        """
        Who waits for the first attempt of one that is replaced waits for the
        next one's; if there is none, for nobody.
        """
        config = NodeConfig("ockam-node", MEMORY, authorities=self.known[:1])
        elsewhere = evolve(self.known[0], address="/ip4/127.0.0.1/tcp/9/secure/api")
        attestation = self.start(config)._attestation
        attestation.change(evolve(config, authorities=(elsewhere,)))
        assert attestation.retriever is not None
        waiting = attestation.retriever.whenTried()
        attestation.change(config)
        self.assertNoResult(waiting)
        self.pass_(1)
        self.assertIsNone(self.successResultOf(waiting))
        attestation.change(evolve(config, authorities=(elsewhere,)))
        waiting = attestation.retriever.whenTried()
        self.assertNoResult(waiting)
        attestation.change(evolve(config, authorities=()))
        self.assertIsNone(self.successResultOf(waiting))

    def test_attestedOutlet(self) -> None:
        """
        An inlet whose outlet is attested stays connected while that counts as
        before; where another authority takes the name of the one whose word
        counted, what is in use ends.
        """
        attributes = ((b"dba", b"true"), (b"ockam-outlet", b"db"))
        authority = self.authorities["a"].node.authority
        self.reactor.wait(authority.addMember(self.outlet.node.identifier, attributes, "x"))
        self.pass_(40)
        inlet = InletConfig("tcp:4001", f"{TO_OUTLET}a", TrustConfig(allow="dba"), name="a", authority="a")
        config = NodeConfig("ockam-node", MEMORY, inlets=(inlet,), authorities=self.known[:1])
        service = self.start(config)
        self.reactor.wait(authority.addMember(service.node.identifier, attributes, "x"))
        self.pass_(10)
        client = self.client(4001)
        self.assertEqual(self.says(client), b"HELLO")
        [(session, _)] = service.node.sessions()
        established = session.established
        self.apply(service, evolve(config, authorities=self.known))
        self.assertIs(session.established, established)
        self.assertEqual(self.says(client), b"HELLO")
        self.apply(service, evolve(config, authorities=(evolve(self.known[1], name="a"),)))
        self.assertIsNone(session.established)
        self.assertEqual([self.says(client), *self.heard(4001)], [b"", b""])
