"""
Tests of L{ockam_twisted.attestation}: nodes and authorities on a reactor in
memory.
"""

from __future__ import annotations

from attrs import evolve

from ockam_twisted.assembly import NodeService
from ockam_twisted.attestation import authorityOf, inletTrust
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
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import TrustCredential, TrustEveryone, TrustIdentifiers
from tests.configs import MEMORY
from tests.test_assembly import WHO, ServiceTestCase

AT = "/ip4/127.0.0.1/tcp/1/secure/api"
OTHER = "I" + "1" * 64


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


class SeveralTests(ServiceTestCase):
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
