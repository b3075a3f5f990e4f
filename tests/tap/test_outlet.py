"""
Tests of L{ockam_twisted.tap.outlet}.
"""

from __future__ import annotations

from ockam_twisted.authority.ticket import Ticket
from ockam_twisted.config import AuthorityConfig, OutletConfig, RegistrationConfig, TicketsConfig, TrustConfig
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.tap import outlet
from tests.tap.common import OTHER, TICKET, WHO, OptionsTestCase


class OptionsTests(OptionsTestCase):
    """
    C{twist ockam-outlet}.
    """

    module = outlet
    needed = ("--target", "127.0.0.1:5432", "--relay", "relay.example.com:4000", "--authorized", WHO)

    def test_needed(self) -> None:
        """
        A target, a relay and somebody to trust make an outlet without an open
        port.
        """
        config = self.parse(*self.needed)
        self.assertEqual(config.command, "ockam-outlet")
        self.assertEqual(config.listeners, ())
        self.assertEqual(config.outlets, (OutletConfig("tcp:host=127.0.0.1:port=5432", "127.0.0.1:5432"),))
        self.assertEqual(
            config.registrations,
            (RegistrationConfig("tcp:host=relay.example.com:port=4000", "relay.example.com:4000"),),
        )
        self.assertEqual(config.trust, TrustConfig((WHO,)))
        self.assertIsNone(config.relayService)

    def test_missing(self) -> None:
        """
        What is missing is named, with an example of it.
        """
        target, relay, trust = self.needed[:2], self.needed[2:4], self.needed[4:]
        self.refused("--target 127.0.0.1:5432", *relay, *trust)
        self.refused("did you mean --target 127.0.0.1:80?", "127.0.0.1:80", *relay, *trust)
        self.refused("--relay HOST:PORT", *target, *trust)

    def test_tickets(self) -> None:
        """
        Without anybody to trust it prints a ticket at its start, unless it is
        told not to; how long that lives and whom it pairs is a choice.
        """
        plain = self.needed[:4]
        tickets = self.parse(*plain).tickets
        self.assertEqual(tickets, TicketsConfig(True, 1, 600))
        more = (
            "--ticket-uses",
            "5",
            "--ticket-expires",
            "2h",
            "--reached-at",
            "example.com:1",
            "--reached-at",
            "[::1]:2",
        )
        self.assertEqual(
            self.parse(*plain, *more).tickets, TicketsConfig(True, 5, 7200, (("example.com", 1), ("::1", 2)))
        )
        for options in (
            ("--no-ticket",),
            ("--authorized", WHO),
            ("--allow", "dba"),
            ("--trust-everyone",),
            ("--authority", f"{OTHER}@/ip4/127.0.0.1/tcp/1/secure/api"),
        ):
            tickets = self.parse(*plain, *options).tickets
            assert tickets is not None
            self.assertFalse(tickets.atStart, options)
        for option, value in (("--ticket-uses", "0"), ("--ticket-expires", "soon"), ("--ticket-expires", "400d")):
            self.refused(option, *plain, option, value)

    def test_authority(self) -> None:
        """
        An authority is an identifier and the way to its listener.
        """
        config = self.more("--authority", f"{OTHER}@/ip4/127.0.0.1/tcp/1/secure/api", "--allow", "dba and not guest")
        self.assertEqual(config.authorities, (AuthorityConfig(OTHER, "/ip4/127.0.0.1/tcp/1/secure/api"),))
        self.assertEqual(config.trust.allow, "dba and not guest")
        self.refused("IDENTIFIER@MULTIADDR", *self.needed, "--authority", OTHER)
        self.refused("/secure/api", *self.needed, "--authority", f"{OTHER}@/ip4/127.0.0.1/tcp/1")
        self.refused("begins with one of", *self.needed, "--allow", "(launch 1)")
        self.refused("not made by an ockam-authority", *self.needed, "--ticket", TICKET)

    def test_relayTicket(self) -> None:
        """
        A ticket of a relay says where it is.
        """
        way = MultiAddr.fromText("/ip4/127.0.0.1/tcp/4000/secure/api")
        ticket = str(Ticket((way,), Identifier(OTHER), 2**40, bytes(32)))
        [registration] = self.parse(*self.needed[:2], "--relay-ticket", ticket).registrations
        self.assertEqual((registration.relay, registration.ticket), ("/ip4/127.0.0.1/tcp/4000", ticket))
        self.refused("not made by an ockam-relay", *self.needed[:2], "--relay-ticket", TICKET)

    def test_relays(self) -> None:
        """
        C{--relay} is repeatable, may be a MultiAddr, and all have the same
        name.
        """
        road = "/dnsaddr/relay.example.com/tcp/4000"
        config = self.more("--relay", road, "--relay", "unix:/run/relay.sock", "--name", "blue")
        self.assertEqual(
            [(each.relay, each.label, each.name) for each in config.registrations],
            [
                ("tcp:host=relay.example.com:port=4000", "relay.example.com:4000", "blue"),
                (road, road, "blue"),
                ("unix:/run/relay.sock", "unix:/run/relay.sock", "blue"),
            ],
        )
        self.refused("--relay", *self.needed, "--relay", "/ip4/127.0.0.1")
        self.refused("--relay", *self.needed, "--relay", "relay.example.com")
        self.refused("name", *self.needed, "--name", "not a name")

    def test_listen(self) -> None:
        """
        It may listen itself, on loopback unless it is told otherwise; then a
        relay name means nothing.
        """
        direct = (*self.needed[:2], "--listen", "4000", "--authorized", WHO)
        config = self.parse(*direct, "--listen", "0.0.0.0:4001")
        self.assertEqual(config.listeners, ("tcp:4000:interface=127.0.0.1", "tcp:4001:interface=0.0.0.0"))
        self.assertEqual(config.registrations, ())
        self.refused("--relay", *direct, "--name", "blue")

    def test_trust(self) -> None:
        """
        C{--authorized} is repeatable; C{--trust-everyone} excludes it.
        """
        self.assertEqual(self.more("--authorized", OTHER).trust, TrustConfig((WHO, OTHER)))
        self.assertEqual(self.parse(*self.needed[:4], "--trust-everyone").trust, TrustConfig(everyone=True))
        self.refused("excludes --authorized", *self.needed, "--trust-everyone")
        self.refused("identifier", *self.needed[:4], "--authorized", "I123")

    def test_target(self) -> None:
        """
        Targets are ports of this machine, hosts with ports, or endpoints.
        """
        for text, meant in (
            ("5432", "tcp:host=127.0.0.1:port=5432"),
            ("[::1]:5432", "tcp:host=\\:\\:1:port=5432"),
            ("unix:/run/postgresql/.s.PGSQL.5432", "unix:/run/postgresql/.s.PGSQL.5432"),
        ):
            [made] = self.parse(*self.needed[2:], "--target", text).outlets
            self.assertEqual((made.target, made.label), (meant, text))
        for text in ("localhost", "host:0", "tcp:host=x"):
            self.refused("", *self.needed[2:], "--target", text)

    def test_address(self) -> None:
        """
        The outlet's address is a choice, but for those of the node itself.
        """
        [made] = self.more("--address", "web").outlets
        self.assertEqual(made.address, "web")
        for address in ("echo", "api", ""):
            self.refused("--address", *self.needed, "--address", address)

    def test_drainTimeout(self) -> None:
        """
        Streams have five seconds to end, or as long as it is said.
        """
        self.assertEqual(self.parse(*self.needed).drainTimeout, 5.0)
        self.assertEqual(self.parse(*self.needed, "--drain-timeout", "600").drainTimeout, 600.0)
        self.refused("drain-timeout", *self.needed, "--drain-timeout", "soon")

    def test_common(self) -> None:
        """
        What all plugins have: help, version, state and limits.
        """
        self.checkHelp()
        self.checkVersion()
        self.checkState()
        self.checkFrame()
