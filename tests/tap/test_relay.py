"""
Tests of L{ockam_twisted.tap.relay}.
"""

from __future__ import annotations

from twisted.python import usage

from ockam_twisted.config import RelayServiceConfig, TicketsConfig
from ockam_twisted.tap import options, relay
from tests.tap.common import OTHER, WHO, OptionsTestCase


class OptionsTests(OptionsTestCase):
    """
    C{twist ockam-relay}.
    """

    module = relay

    def test_default(self) -> None:
        """
        Without options it relays for everybody on all interfaces, and offers
        nothing else.
        """
        config = self.parse()
        self.assertEqual(config.command, "ockam-relay")
        self.assertEqual(config.listeners, ("tcp:4000",))
        self.assertEqual(config.relayService, RelayServiceConfig())
        self.assertFalse(config.uppercase or config.hop)
        self.assertEqual((config.outlets, config.inlets, config.registrations), ((), (), ()))

    def test_listen(self) -> None:
        """
        C{--listen} is repeatable; a bare port is on all interfaces.
        """
        config = self.parse("--listen", "4000", "--listen", "127.0.0.1:4001", "--listen", "unix:/run/relay.sock")
        self.assertEqual(config.listeners, ("tcp:4000", "tcp:4001:interface=127.0.0.1", "unix:/run/relay.sock"))
        self.refused("--listen", "--listen", "a b")
        self.refused("tcp:abc", "--listen", "tcp:abc")

    def test_authorized(self) -> None:
        """
        C{--authorized} is repeatable, and takes identifiers only.
        """
        config = self.parse("--authorized", WHO, "--authorized", OTHER)
        self.assertEqual(config.relayService, RelayServiceConfig((WHO, OTHER)))
        self.refused("identifier", "--authorized", "I123")

    def test_drainTimeout(self) -> None:
        """
        Those who are there have five seconds to move on, or as long as it is
        said.
        """
        self.assertEqual(self.parse().drainTimeout, 5.0)
        self.assertEqual(self.parse("--drain-timeout", "0").drainTimeout, 0.0)
        self.refused("drain-timeout", "--drain-timeout", "-1")
        self.refused("drain-timeout", "--drain-timeout", "soon")

    def test_tickets(self) -> None:
        """
        A private relay prints a ticket; one that goes by the word of an
        authority prints none.
        """
        config = self.parse("--tickets", "--reached-at", "relay.example.com:4000")
        self.assertEqual(config.relayService, RelayServiceConfig(tickets=True))
        self.assertEqual(config.tickets, TicketsConfig(True, 1, 600, (("relay.example.com", 4000),)))
        config = self.parse("--authority", f"{OTHER}@/ip4/127.0.0.1/tcp/1/secure/api")
        assert config.tickets is not None and config.relayService is not None
        self.assertEqual((config.tickets.atStart, config.relayService.tickets), (False, True))
        self.assertIsNone(self.parse().tickets)
        self.assertEqual(self.parse("--tickets", "--allow", "team").relayService.allow, "team")
        self.assertEqual(self.parse("--allow-echo", "team").allowEcho, "team")
        self.refused("--allow is about members", "--allow", "team")

    def test_workers(self) -> None:
        """
        The workers for trying out are there on request.
        """
        self.assertTrue(self.parse("--uppercase").uppercase)
        self.assertTrue(self.parse("--hop").hop)

    def test_processes(self) -> None:
        """
        It is one process unless told otherwise; what cannot be several is
        refused before anything starts.
        """
        config = self.parse("--processes", "4")
        self.assertEqual(config.relayService, RelayServiceConfig(processes=4))
        for wrong in ("0", "65", "two"):
            self.refused("--processes is a whole number from 1 to 64", "--processes", wrong)
        self.patch(options, "isSupported", lambda: False)
        self.refused("this system does not have what several processes need", "--processes", "2")
        self.assertEqual(self.parse("--processes", "1").relayService, RelayServiceConfig())

    def test_chroot(self) -> None:
        """
        In a root of its own there is no Python to start.
        """
        made = relay.Options()
        made.parent = {"chroot": "/srv/relay"}
        with self.assertRaises(usage.UsageError) as caught:
            made.parseOptions(["--processes", "2"])
        self.assertIn("--chroot", str(caught.exception))

    def test_unknown(self) -> None:
        """
        Arguments that are no options are refused.
        """
        self.refused("'4000' belongs to no option; did you mean --listen 4000?", "4000")
        self.refused("--lisen", "--lisen", "4000")

    def test_common(self) -> None:
        """
        What all plugins have: help, version, state and limits.
        """
        self.checkHelp()
        self.checkVersion()
        self.checkState()
        self.checkFrame()
