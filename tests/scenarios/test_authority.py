"""
An authority that many nodes go by, with real processes.
"""

from __future__ import annotations

import json
import time

from tests.scenarios.processes import Program, freePort
from tests.scenarios.test_tickets import TicketTestCase


class AuthorityTests(TicketTestCase):
    """
    Authority, relay, outlets and inlets.
    """

    def setUp(self) -> None:
        """
        Start the authority, too.
        """
        super().setUp()
        self.authorityPort = freePort()
        self.authority = self.startAuthority()

    def startAuthority(self, *options: str) -> Program:
        """
        Start an authority.
        """
        listen = f"tcp:{self.authorityPort}:interface=127.0.0.1"
        return self.twist("ockam-authority", "--listen", listen, *options, state="authority")

    def grant(self, *options: str) -> str:
        """
        A ticket of the authority.
        """
        arguments = ("ticket", "create", "--json", "--command", "ockam-authority", *options)
        return str(json.loads(self.ask(*arguments, state="authority"))["ticket"])

    def test_company(self) -> None:
        """
        Two tickets of an authority make an outlet and an inlet that have
        never heard of each other's identifiers; who lacks the attribute is
        turned away; a member is not taken for an outlet.
        """
        self.authority.value("Authority")
        outlet = self.startOutlet("--ticket", self.grant("--outlet", "db"), "--allow", "dba")
        address = outlet.value("Forwarding address")
        to = f"/ip4/127.0.0.1/tcp/{self.relayPort}/service/{address}/secure/api/service/outlet"
        where = ("--to", to, "--peer-policy", '(= subject.ockam-outlet "db")')
        port, inlet = self.startInlet("--ticket", self.grant("--attribute", "dba=true", *where))
        self.assertTrue(self.echoes(port))
        other, _ = self.startInlet("--ticket", self.grant(*where), state="other")
        self.assertFalse(self.echoes(other, 3))
        outlet.waitForText("may not use outlet")
        # The next starts need no tickets.
        inlet.end()
        outlet.end()
        outlet = self.startOutlet("--allow", "dba")
        port, inlet = self.startInlet()
        self.assertTrue(self.echoes(port))
        # Somebody who is a member only stands where the outlet stood.
        outlet.end()
        name = ("--name", "elsewhere")
        poser = self.startOutlet(
            "--ticket", self.grant("--attribute", "dba=true"), "--allow", "dba", *name, state="poser"
        )
        theirs = poser.value("Forwarding address")
        way = f"/ip4/127.0.0.1/tcp/{self.relayPort}/service/{theirs}/secure/api/service/outlet"
        inlet.end()
        port, inlet = self.startInlet("--to", way)
        inlet.waitForText("no credential that says so")
        self.assertFalse(self.echoes(port, 2))

    def test_expiry(self) -> None:
        """
        A member that is removed is let in for as long as its credential
        lasts, and not a moment longer; where it is refreshed it goes on.
        """
        self.authority.end()
        self.authority = self.startAuthority("--credential-lifetime", "6")
        who = self.authority.value("Authority")
        outlet = self.startOutlet("--authority", who)
        address = outlet.value("Forwarding address")
        to = f"/ip4/127.0.0.1/tcp/{self.relayPort}/service/{address}/secure/api/service/outlet"
        inlets = {}
        for name in ("stays", "goes"):
            trust = ("--to", to, "--authorized", outlet.value("Identifier"))
            member = self.identity(name)
            self.ask("member", "add", member, "--command", "ockam-authority", state="authority")
            inlets[name] = self.startInlet("--authority", who, *trust, state=name)
            self.assertTrue(self.echoes(inlets[name][0]))
        self.ask("member", "remove", self.identity("goes"), "--command", "ockam-authority", state="authority")
        time.sleep(8)
        self.assertTrue(self.echoes(inlets["stays"][0], 5))
        self.assertFalse(self.echoes(inlets["goes"][0], 1))
        outlet.waitForText("has expired")

    def test_relayNames(self) -> None:
        """
        A relay that goes by the word of an authority gives each its name,
        and no other.
        """
        who = self.authority.value("Authority")
        self.relay.end()
        self.relay = self.startRelay("--authority", who)
        self.relay.value("Identifier")
        granted = self.startOutlet("--ticket", self.grant("--relay-name", "blue"), "--name", "blue")
        self.assertEqual(granted.value("Forwarding address"), "forward_to_blue")
        thief = self.startOutlet("--ticket", self.grant("--relay-name", "red"), "--name", "green", state="thief")
        self.relay.waitForText("its attribute ockam-relay is for another name")
        self.assertNotIn("Forwarding address", thief.text())
