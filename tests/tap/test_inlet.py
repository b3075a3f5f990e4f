"""
Tests of L{ockam_twisted.tap.inlet}.
"""

from __future__ import annotations

import sys
from io import StringIO
from pathlib import Path

from ockam_twisted.authority.ticket import Ticket
from ockam_twisted.config import InletConfig, TrustConfig
from ockam_twisted.tap import inlet
from tests.tap.common import OTHER, TICKET, WHO, OptionsTestCase

TO = "/dnsaddr/relay.example.com/tcp/4000/service/forward_to_blue/secure/api/service/outlet"


class OptionsTests(OptionsTestCase):
    """
    C{twist ockam-inlet}.
    """

    module = inlet
    needed = ("--listen", "5432", "--to", TO, "--authorized", WHO)

    def test_needed(self) -> None:
        """
        A port, which is on loopback, a way and who is there make an inlet,
        which takes no connections of other nodes.
        """
        config = self.parse(*self.needed)
        self.assertEqual(config.command, "ockam-inlet")
        self.assertEqual(config.inlets, (InletConfig("tcp:5432:interface=127.0.0.1", TO, TrustConfig((WHO,)), 10.0),))
        self.assertEqual((config.listeners, config.outlets, config.registrations), ((), (), ()))
        self.assertIsNone(config.relayService)

    def test_missing(self) -> None:
        """
        What is missing is named, with an example of it.
        """
        listen, to, trust = self.needed[:2], self.needed[2:4], self.needed[4:]
        self.refused("--listen 5432", *to, *trust)
        self.refused("--to says where the outlet is", *listen, *trust)
        self.refused("no pairing is kept", *listen, "--ephemeral")
        self.refused("no option --relay: the ticket says which relay", *listen, "--relay", "relay.example.com:4000")

    def test_ticket(self) -> None:
        """
        A ticket is given as text, in a file, or on standard input; only the
        first can be seen by others.
        """
        place = Path(self.mktemp())
        place.write_text(f"  {TICKET}\n")
        self.patch(sys, "stdin", StringIO(TICKET + "\n"))
        for text, shown in ((TICKET, True), (f"@{place}", False), ("-", False)):
            options = self.module.Options()
            options.parseOptions(["-l", "1", "--ticket", text])
            [made] = options.nodeConfig.inlets
            self.assertEqual((made.ticket, made.to, made.isPaired, options.shownTickets), (TICKET, (), True, shown))
        self.refused("cannot read", "-l", "1", "--ticket", "@/nowhere")
        self.refused("a ticket begins with ockamticket", "-l", "1", "--ticket", "Ticket:")
        self.refused("is it all there?", "-l", "1", "--ticket", TICKET[:-3])

    def test_printed(self) -> None:
        """
        What a program has printed is a ticket as it is.
        """
        printed = f"Identifier: {OTHER}\nTicket: {TICKET}\n"
        place = Path(self.mktemp())
        place.write_text(printed)
        for text in (printed.splitlines()[1], f"@{place}", "-"):
            self.patch(sys, "stdin", StringIO(printed))
            [made] = self.parse("-l", "1", "--ticket", text).inlets
            self.assertEqual(Ticket.fromText(made.ticket), Ticket.fromText(TICKET))

    def test_paired(self) -> None:
        """
        Later starts need a port only.
        """
        [made] = self.parse("-l", "1").inlets
        self.assertTrue(made.isPaired)

    def test_allow(self) -> None:
        """
        What an outlet must be is by the word of an authority.
        """
        authority = ("--authority", f"{OTHER}@/ip4/127.0.0.1/tcp/1/secure/api")
        [made] = self.parse("-l", "1", "--to", TO, "--allow", "db", *authority).inlets
        self.assertEqual((made.trust.allow, made.isPaired), ("db", False))
        self.refused("give --authority", "-l", "1", "--to", TO, "--allow", "db")

    def test_listen(self) -> None:
        """
        C{-l} is short for C{--listen}; other forms are taken as they are.
        """
        for text, meant in (("0.0.0.0:1", "tcp:1:interface=0.0.0.0"), ("unix:/run/x.sock", "unix:/run/x.sock")):
            [made] = self.parse("-l", text, *self.needed[2:]).inlets
            self.assertEqual(made.listen, meant)
        self.refused("--listen", "-l", "a b", *self.needed[2:])

    def test_to(self) -> None:
        """
        The way must be a MultiAddr that leads to an outlet; a plain host and
        port is answered with how to write it.
        """
        for to, says in (
            ("relay.example.com:4000", "/dnsaddr/relay.example.com/tcp/4000"),
            ("/service/outlet", "--to"),
            (TO.removesuffix("/service/outlet"), "--to"),
        ):
            self.refused(says, "-l", "1", "--to", to, "--authorized", WHO)

    def test_several(self) -> None:
        """
        C{--to} is repeatable, and may say who must be there; if each does,
        nothing else has to.
        """
        one, two = f"{WHO}@{TO}", f"{OTHER}@{TO}"
        [made] = self.parse("-l", "1", "--to", one, "--to", two).inlets
        self.assertEqual((made.to, made.isPaired, made.saysWho), ((one, two), False, True))
        [made] = self.parse("-l", "1", "--to", one, "--to", TO).inlets
        self.assertEqual((made.isPaired, made.saysWho), (True, False))
        [made] = self.parse("-l", "1", "--to", one, "--to", TO, "--authorized", OTHER).inlets
        self.assertEqual((made.isPaired, made.trust), (False, TrustConfig((OTHER,))))
        self.refused("identifier", "-l", "1", "--to", f"I123@{TO}")
        self.refused("no secure channel", "-l", "1", "--to", f"{WHO}@/ip4/192.0.2.1/tcp/4000/service/outlet")
        self.refused("--to", "-l", "1", "--to", one, "--to", f"{OTHER}@/service/outlet")
        self.refused("leave out", "-l", "1", "--to", one, "--ticket", TICKET)
        many = [f"--to=I{each:064x}@{TO}" for each in range(17)]
        self.refused("at most 16", "-l", "1", *many)

    def test_encrypted(self) -> None:
        """
        Whoever is authorized has to prove it: a way without a secure channel
        is taken with C{--trust-everyone} only.
        """
        plain = ("-l", "1", "--to", "/ip4/192.0.2.1/tcp/4000/service/outlet")
        self.refused("no secure channel", *plain, "--authorized", WHO)
        self.assertEqual(len(self.parse(*plain, "--trust-everyone").inlets), 1)

    def test_trust(self) -> None:
        """
        C{--authorized} is repeatable; C{--trust-everyone} excludes it.
        """
        [made] = self.more("--authorized", OTHER).inlets
        self.assertEqual(made.trust, TrustConfig((WHO, OTHER)))
        self.refused("excludes --authorized", *self.needed, "--trust-everyone")
        self.refused("identifier", *self.needed[:4], "--authorized", "I123")

    def test_patience(self) -> None:
        """
        How long a client is held is a choice within bounds.
        """
        [made] = self.more("--connect-timeout", "2.5").inlets
        self.assertEqual(made.connectTimeout, 2.5)
        for text in ("0", "-1", "3601", "soon", "nan", "inf"):
            self.refused("--connect-timeout is a number from 0.1 to 3600", *self.needed, "--connect-timeout", text)

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
