"""
Tests of L{ockam_twisted.checks}: what is found out before a node starts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.authority.ticket import Ticket
from ockam_twisted.checks import check, checkNames, checkState, stateFolder
from ockam_twisted.config import (
    AuthorityConfig,
    InletConfig,
    NodeConfig,
    OutletConfig,
    RegistrationConfig,
    RelayServiceConfig,
    StateConfig,
    TrustConfig,
)
from ockam_twisted.errors import ConfigurationError, OckamError, StateUnusable
from ockam_twisted.identity.creation import IDENTITY
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.retriever import redeemedSetting
from ockam_twisted.storage.folder import StateFolder
from ockam_twisted.storage.sqlite import SQLiteStore
from tests.configs import EVERYONE, INLET, OUTLET, RELAY, TO
from tests.memory_reactor import MemoryReactor

WHO = "I" + "0" * 64
AT = "/ip4/127.0.0.1/tcp/4100/secure/api"


class CheckTests(SynchronousTestCase):
    """
    L{checkNames} and L{check}.
    """

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactor()

    def refused(self, config: NodeConfig, says: str) -> None:
        """
        It is refused in one plain line.
        """
        error = str(self.assertRaises(OckamError, checkNames, config, self.reactor))
        self.assertIn(says, error)
        self.assertTrue(error.isprintable(), error)

    def test_good(self) -> None:
        """
        What can be carried out passes, and nothing is opened.
        """
        for config in (RELAY, OUTLET, INLET):
            checkNames(config, self.reactor)
        check(evolve(OUTLET, outlets=()), self.reactor)
        self.assertEqual(self.reactor.network.ports, {})

    def test_identifiers(self) -> None:
        """
        Identifiers are looked at wherever they stand, and where somebody has
        to be trusted there has to be one.
        """
        bad = TrustConfig(("I123",))
        self.refused(evolve(RELAY, relayService=RelayServiceConfig(("I123",))), "identifier")
        self.refused(evolve(OUTLET, trust=bad), "identifier")
        self.refused(evolve(INLET, inlets=(InletConfig("tcp:1", TO, bad),)), "identifier")
        self.refused(evolve(INLET, inlets=(InletConfig("tcp:1", TO, TrustConfig()),)), "no pairing is kept")

    def test_rendezvous(self) -> None:
        """
        Direct ways need QUIC: where that is not installed it is said how it can be.
        """
        checkNames(evolve(INLET, rendezvous=("relay.example.com", 4000)), self.reactor)
        script = (
            "import sys; sys.modules['aioquic'] = None\n"
            "from ockam_twisted.checks import checkNames\n"
            "from ockam_twisted.config import NodeConfig\n"
            "try: checkNames(NodeConfig('ockam-inlet', rendezvous=('relay.example.com', 4000)), None)\n"
            "except ValueError as error: print(error)"
        )
        said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        self.assertIn("QUIC needs: pip install 'ockam_twisted[quic]'", said.stdout + said.stderr)

    def test_ownAddresses(self) -> None:
        """
        No outlet has an address of the node's own services.
        """
        for address in ("udp", "rendezvous", "echo"):
            self.refused(evolve(OUTLET, outlets=(evolve(OUTLET.outlets[0], address=address),)), "taken")

    def test_ways(self) -> None:
        """
        Ways must lead to an outlet, and prove who is there.
        """
        for to, says in (
            ("127.0.0.1:4000", "/ip4/127.0.0.1/tcp/4000"),
            ("/service/outlet", "begin"),
            ("/ip4/127.0.0.1/tcp/4000/secure/api", "end"),
            ("/ip4/127.0.0.1/tcp/4000/service/outlet", "secure"),
        ):
            self.refused(evolve(INLET, inlets=(InletConfig("tcp:1", to, TrustConfig((WHO,))),)), says)

    def test_pinnedWays(self) -> None:
        """
        A way to whom a ticket or an authority names must prove who is there,
        too.
        """
        bare = "/ip4/127.0.0.1/tcp/4000/service/outlet"
        kept = evolve(INLET, state=StateConfig("/nowhere"))
        self.refused(evolve(kept, inlets=(InletConfig("tcp:1", bare, TrustConfig()),)), "secure")
        allow = InletConfig("tcp:1", bare, TrustConfig(allow="dba"))
        self.refused(evolve(INLET, inlets=(allow,), authorities=(AuthorityConfig(WHO, AT),)), "secure")

    def test_outletsTicketAndTrust(self) -> None:
        """
        The ticket of an outlet says who the outlet is: nothing else may.
        """
        ticket = str(Ticket((MultiAddr.fromText(TO),), Identifier.parse(WHO), 1, bytes(32)))
        for trust in (TrustConfig((WHO,)), TrustConfig(allow="dba"), EVERYONE):
            self.refused(evolve(INLET, inlets=(InletConfig("tcp:1", TO, trust, 10.0, ticket),)), "leave out")
        self.assertNotIn(ticket, repr(InletConfig("tcp:1", TO, EVERYONE, 10.0, ticket)))

    def test_ticketOfRelay(self) -> None:
        """
        The ticket of a relay is for an outlet; nobody uses it up at an inlet.
        """
        ticket = str(Ticket((MultiAddr.fromText(AT),), Identifier.parse(WHO), 2**40, bytes(32)))
        for to in ("", TO):
            inlet = InletConfig("tcp:1", to, TrustConfig(), 10.0, ticket)
            self.refused(evolve(INLET, inlets=(inlet,)), "--relay-ticket")

    def test_registrations(self) -> None:
        """
        Relays and the names there are looked at.
        """
        for relay, name, says in (
            ("/ip4/127.0.0.1", "", "--relay"),
            ("/nonsense", "", "nonsense"),
            ("tcp:host=x", "", "not an endpoint"),
            ("tcp:host=x:port=1", "a name", "name"),
        ):
            self.refused(evolve(OUTLET, registrations=(RegistrationConfig(relay, relay, name),)), says)

    def test_addresses(self) -> None:
        """
        An outlet's address is its own, and no two have the same.
        """
        for address in ("", "api", "secure_channel_listener", "echo", "hop", "uppercase", "x" * 300):
            self.refused(evolve(OUTLET, outlets=(OutletConfig("tcp:host=x:port=1", "x", address),)), "address")
        twice = OutletConfig("tcp:host=x:port=1", "x", "web")
        self.refused(evolve(OUTLET, outlets=(twice, twice)), "'web' is taken")

    def test_endpoints(self) -> None:
        """
        Places to listen and targets are looked at.
        """
        self.refused(evolve(RELAY, listeners=("tcp:abc",)), "tcp:abc")
        self.refused(evolve(OUTLET, outlets=(OutletConfig("tcp:abc", "x"),)), "tcp:abc")
        self.refused(evolve(INLET, inlets=(InletConfig("tcp:abc", TO, EVERYONE),)), "tcp:abc")

    def test_instance(self) -> None:
        """
        An instance has to be a name for a folder, where there is one.
        """
        self.refused(evolve(RELAY, state=StateConfig(instance="a/b")), "--instance")
        checkNames(evolve(RELAY, state=StateConfig(instance="a/b", ephemeral=True)), self.reactor)

    def test_saysWho(self) -> None:
        """
        A ticket that only makes a member goes with ways that say who must be
        there.
        """
        at = (MultiAddr.fromText("/ip4/127.0.0.1/tcp/1/secure/api"),)
        member = str(Ticket((), None, 2**40, bytes(32), "", Identifier(WHO), at))
        to = (f"{WHO}@{TO}", f"I{'1' * 64}@{TO}")
        checkNames(evolve(INLET, inlets=(InletConfig("tcp:1", to, TrustConfig(), ticket=member),)), self.reactor)
        self.refused(
            evolve(INLET, inlets=(InletConfig("tcp:1", (*to, TO), TrustConfig(), ticket=member),)),
            "does not say who the outlet is",
        )

    def kept(self, **settings: bytes) -> NodeConfig:
        """
        An inlet with a ticket or without, whose state has these settings.
        """
        folder = Path(self.mktemp())
        place = StateFolder(folder)
        place.open()
        store = SQLiteStore(place.database, self.reactor)
        store.open()
        for name, value in settings.items():
            store.storeSetting(name, value)
        self.reactor.wait(store.close())
        place.close()
        return evolve(INLET, inlets=(InletConfig("tcp:4001", "", TrustConfig()),), state=StateConfig(str(folder)))

    def ticket(self, peer: str = WHO, expires: int = 2**40, **options: Any) -> Ticket:
        """
        A ticket.
        """
        return Ticket((MultiAddr.fromText(TO),), Identifier(peer), expires, bytes(32), **options)

    def refusedState(self, config: NodeConfig, says: str) -> None:
        """
        The state does not permit this start.
        """
        error = str(self.assertRaises(OckamError, checkState, config))
        self.assertIn(says, error)
        self.assertTrue(error.isprintable())

    def test_pairing(self) -> None:
        """
        An inlet that was never paired needs a ticket; one that was needs
        none, ignores the one it has used, and takes none of another outlet.
        """
        other = "I" + "1" * 64
        ticket = self.ticket()

        def given(config: NodeConfig, ticket: Ticket) -> NodeConfig:
            return evolve(config, inlets=(evolve(config.inlets[0], ticket=str(ticket)),))

        fresh = self.kept()
        self.refusedState(fresh, "never paired")
        checkState(given(fresh, ticket))
        self.refusedState(given(fresh, self.ticket(expires=5)), "has expired")
        paired = self.kept(pairing=evolve(ticket, code=None).encode())
        checkState(paired)
        checkState(given(paired, ticket))
        self.refusedState(given(paired, self.ticket(other)), f"paired with {WHO}")
        old = self.ticket(expires=5)
        used = self.kept(pairing=evolve(old, code=None).encode(), **{redeemedSetting(old.digest): b""})
        checkState(given(used, old))
        self.refusedState(self.kept(pairing=b"nonsense"), "damaged")

    def test_authorityTicket(self) -> None:
        """
        A ticket that makes a member only does not say who the outlet is.
        """
        ticket = Ticket((), None, 2**40, bytes(32), authority=Identifier(WHO), authorityWays=(MultiAddr.fromText(AT),))
        config = evolve(INLET, inlets=(InletConfig("tcp:1", "", TrustConfig(), ticket=str(ticket)),))
        self.refused(config, "does not say who the outlet is")
        self.refused(evolve(OUTLET, authorities=(AuthorityConfig("I123", AT),)), "identifier")
        self.refused(evolve(OUTLET, authorities=(AuthorityConfig(WHO, TO),)), "/secure/api")
        checkNames(evolve(OUTLET, authorities=(AuthorityConfig(WHO, AT),), authorityTicket=str(ticket)), self.reactor)
        self.refused(evolve(OUTLET, trust=TrustConfig(allow="(launch 1)")), "begins with one of")

    def test_folder(self) -> None:
        """
        A state folder is absolute, since a daemon goes elsewhere; by default
        it is that of the command and the instance.
        """
        given = stateFolder(evolve(RELAY, state=StateConfig("here")))
        self.assertEqual(given.path, Path.cwd() / "here")
        self.patch(os, "environ", {"XDG_STATE_HOME": "/s"})
        default = stateFolder(evolve(RELAY, state=StateConfig(instance="blue")))
        self.assertEqual(default.path, Path("/s/ockam-twisted/ockam-relay/blue"))

    def test_state(self) -> None:
        """
        The state is checked, down to the identity in it, and a folder that is
        not there is not made.
        """
        folder = Path(self.mktemp()).absolute()
        config = evolve(RELAY, listeners=("tcp:0",), state=StateConfig(str(folder)))
        check(config, self.reactor)
        self.assertFalse(folder.exists())
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
        self.assertIn("chmod 700", str(self.assertRaises(StateUnusable, check, config, self.reactor)))
        folder.chmod(0o700)
        store = SQLiteStore(folder / "state.sqlite", self.reactor)
        store.open()
        self.reactor.wait(store.storeSetting(IDENTITY, b"nonsense"))
        self.reactor.wait(store.close())
        error = str(self.assertRaises(StateUnusable, check, config, self.reactor))
        self.assertIn("the stored identity is damaged", error)

    def test_port(self) -> None:
        """
        A port in use is found out, with a real socket.
        """
        import socket

        with socket.create_server(("127.0.0.1", 0)) as taken:
            text = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            for config in (
                evolve(RELAY, listeners=("tcp:0", text)),
                evolve(INLET, inlets=(InletConfig(text, TO, EVERYONE),)),
            ):
                error = self.assertRaises(ConfigurationError, check, config, self.reactor)
                self.assertEqual(str(error), f"cannot listen on {text}: Address already in use")
