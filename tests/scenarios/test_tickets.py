"""
Pairing by tickets, with real processes: what people copy and paste works, and
what an attacker copies does not.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.scenarios.processes import PATIENCE, ROOT, Program, ScenarioTestCase, Stopwatch, freePort


class TicketTestCase(ScenarioTestCase):
    """
    A relay, an outlet that nobody is authorized at, and a target.
    """

    def setUp(self) -> None:
        """
        Start them.
        """
        super().setUp()
        self.targetPort = self.target("echo")
        self.relayPort = freePort()
        self.relay = self.startRelay()
        self.relay.value("Identifier")

    def startRelay(self, *options: str) -> Program:
        """
        Start a relay.
        """
        listen = f"tcp:{self.relayPort}:interface=127.0.0.1"
        return self.twist("ockam-relay", "--listen", listen, *options, state="relay")

    def startOutlet(self, *options: str, state: str = "outlet") -> Program:
        """
        Start an outlet at the relay.
        """
        relay = f"127.0.0.1:{self.relayPort}"
        return self.twist(
            "ockam-outlet", "--target", f"127.0.0.1:{self.targetPort}", "--relay", relay, *options, state=state
        )

    def startInlet(self, *options: str, state: str = "inlet") -> tuple[int, Program]:
        """
        Start an inlet.
        """
        port = freePort()
        inlet = self.twist("ockam-inlet", "--listen", str(port), *options, state=state)
        self.waitForPort(port)
        return port, inlet

    def ask(self, *arguments: str, state: str = "outlet", status: int = 0) -> str:
        """
        Run C{ockam-twisted}.
        """
        done = subprocess.run(
            [sys.executable, "-m", "ockam_twisted.command", *arguments, "--state-dir", str(self.folder / state)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=self.folder,
            check=False,
        )
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        return done.stdout if status == 0 else done.stderr

    def newTicket(self, *options: str, state: str = "outlet") -> str:
        """
        A ticket from C{ockam-twisted ticket create}.
        """
        made: str = json.loads(self.ask("ticket", "create", "--json", *options, state=state))["ticket"]
        return made

    def echoes(self, port: int, patience: float = PATIENCE) -> bool:
        """
        Does the service answer through an inlet?
        """
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", port), 5) as client:
                    client.settimeout(5)
                    client.sendall(b"hello")
                    if client.recv(5) == b"hello":
                        return True
            except OSError:
                pass
            time.sleep(0.1)
        return False

    def assertRefused(self, port: int) -> None:
        """
        A client of an inlet is turned away.
        """
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.settimeout(15)
            try:
                client.sendall(b"hello")
                self.assertEqual(client.recv(5), b"")
            except ConnectionResetError:
                pass


class PairingTests(TicketTestCase):
    """
    Three commands and one paste.
    """

    def test_pairs(self) -> None:
        """
        The ticket that the outlet prints pairs an inlet; both start again
        without one; the terminal says when it was used, and by whom.
        """
        outlet = self.startOutlet()
        ticket = outlet.value("Ticket")
        self.assertRegex(ticket, "^ockamticket1[a-z0-9]+$")
        port, inlet = self.startInlet("--ticket", ticket)
        self.assertTrue(self.echoes(port))
        who = inlet.value("Identifier")
        self.assertEqual(outlet.value("Ticket used by"), who)
        self.assertEqual(inlet.value("Paired with"), outlet.value("Identifier"))
        self.assertIn("can be seen by other users", inlet.text())
        self.assertIn(who, self.ask("member", "list"))
        self.assertIn(who, self.ask("ticket", "list"))
        for program in (inlet, outlet):
            self.assertNotIn(ticket, program.text().replace(f"Ticket: {ticket}", ""))
            self.assertIn(program.end(), (0, -15))
        # Neither needs one again, and no new one is printed.
        outlet = self.startOutlet()
        port, inlet = self.startInlet()
        self.assertTrue(self.echoes(port))
        self.assertNotIn("Ticket:", outlet.text())
        inlet.end()
        # A start that still names the ticket does not mind either.
        port, inlet = self.startInlet("--ticket", ticket)
        self.assertTrue(self.echoes(port))

    def test_fileAndStandardInput(self) -> None:
        """
        A ticket in a file is not shown to other users; the order of starts
        does not matter.
        """
        outlet = self.startOutlet()
        place = self.folder / "ticket.txt"
        place.write_text(outlet.value("Ticket") + "\n")
        outlet.end()
        self.relay.end()
        port, inlet = self.startInlet("--ticket", f"@{place}")
        self.relay = self.startRelay()
        # A new start replaces the ticket of the last one only if it is asked
        # for another: this one is told not to.
        self.startOutlet("--no-ticket")
        self.assertTrue(self.echoes(port))
        self.assertNotIn("can be seen", inlet.text())

    def test_stolenAfterUse(self) -> None:
        """
        Who finds a used ticket gets nothing, and both sides are told; the
        log of the outlet names who had used it.
        """
        outlet = self.startOutlet()
        ticket = outlet.value("Ticket")
        port, inlet = self.startInlet("--ticket", ticket)
        self.assertTrue(self.echoes(port))
        self.newTicket("--expires", "1h")  # Keeps the door for codes open.
        theirs, thief = self.startInlet("--ticket", ticket, state="thief")
        self.assertRefused(theirs)
        thief.waitForText("the ticket was refused")
        outlet.waitForText(f"was used before, by {inlet.value('Identifier')}")
        self.assertNotIn(thief.value("Identifier"), self.ask("member", "list"))

    def test_closedDoor(self) -> None:
        """
        While no ticket is open a stranger with a used one does not even get a
        channel, and is told at once.
        """
        outlet = self.startOutlet()
        ticket = outlet.value("Ticket")
        port, _ = self.startInlet("--ticket", ticket)
        self.assertTrue(self.echoes(port))
        _, thief = self.startInlet("--ticket", ticket, state="thief")
        thief.waitForText("the ticket was refused")
        outlet.waitForText("is not trusted here")

    def test_expired(self) -> None:
        """
        A ticket ends when it says: the inlet does not even start.
        """
        self.startOutlet("--no-ticket").value("Forwarding address")
        ticket = self.newTicket("--expires", "1")
        time.sleep(2.2)
        inlet = self.twist("ockam-inlet", "--listen", str(freePort()), "--ticket", ticket, state="inlet")
        self.assertEqual(inlet.process.wait(PATIENCE), 1)
        self.assertIn("has expired", inlet.text())

    def test_removed(self) -> None:
        """
        A member that is removed in the middle of a stream loses it within a
        second, and does not come back with the same ticket.
        """
        outlet = self.startOutlet()
        outlet.value("Ticket")
        ticket = self.newTicket("--uses", "5")
        port, inlet = self.startInlet("--ticket", ticket)
        self.assertTrue(self.echoes(port))
        who = inlet.value("Identifier")
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.settimeout(10)
            client.sendall(b"hello")
            self.assertEqual(client.recv(5), b"hello")
            self.assertEqual(self.ask("member", "remove", who), f"Removed: {who}\n")
            watch = Stopwatch(outlet, inlet)
            try:
                self.assertEqual(client.recv(5), b"")
            except ConnectionResetError:
                pass
            self.assertLess(watch.seconds(), 1.0)
        inlet.waitForText("does not accept us")
        self.assertFalse(self.echoes(port, 2))
        self.assertIn("is no member", self.ask("member", "remove", who, status=1))

    def test_anotherOutlet(self) -> None:
        """
        A paired inlet takes no ticket of another outlet, before it is told to
        forget the first.
        """
        first = self.startOutlet()
        port, inlet = self.startInlet("--ticket", first.value("Ticket"))
        self.assertTrue(self.echoes(port))
        inlet.end()
        second = self.startOutlet(state="second")
        port = freePort()
        refused = self.twist("ockam-inlet", "--listen", str(port), "--ticket", second.value("Ticket"), state="inlet")
        self.assertEqual(refused.process.wait(PATIENCE), 1)
        self.assertIn("is paired with", refused.text())
        self.ask("unpair", state="inlet")
        port, inlet = self.startInlet("--ticket", second.value("Ticket"))
        self.assertTrue(self.echoes(port))

    def test_stopped(self) -> None:
        """
        Tickets can be made, listed and revoked while the outlet is stopped.
        """
        outlet = self.startOutlet("--no-ticket")
        outlet.value("Forwarding address")
        time.sleep(0.5)
        outlet.end()
        ticket = self.newTicket("--attribute", "team=web")
        other = json.loads(self.ask("ticket", "create", "--json"))
        self.ask("ticket", "revoke", other["id"])
        tickets = json.loads(self.ask("ticket", "list", "--json"))
        self.assertEqual(sorted(each["state"] for each in tickets), ["open", "revoked"])
        self.startOutlet("--no-ticket")
        port, _ = self.startInlet("--ticket", ticket)
        self.assertTrue(self.echoes(port))
        _, thief = self.startInlet("--ticket", other["ticket"], state="thief")
        thief.waitForText("the ticket was refused")
        self.assertIn("team=web", self.ask("member", "list"))

    def test_badInput(self) -> None:
        """
        What cannot be done is one line that says what to do.
        """
        self.startOutlet().value("Ticket")
        for arguments, says in (
            (("ticket", "create", "--attribute", "ockam-role=enroller"), "--enroller"),
            (("ticket", "create", "--uses", "0"), "uses"),
            (("ticket", "create", "--to", "/service/x", "--peer", "I1"), "ockam-authority"),
            (("ticket", "revoke", "nothing"), "no ticket"),
            (("member", "remove", "I12"), "identifier"),
        ):
            self.assertIn(says, self.ask(*arguments, status=1))
        self.assertIn("has the node ever run", self.ask("ticket", "list", state="nowhere", status=1))


class PolicyTests(TicketTestCase):
    """
    Attributes decide.
    """

    def test_allow(self) -> None:
        """
        A member without the attribute is turned away at once, with a line
        that says who, what and why; with it, it is let in without a restart;
        when it loses it, its streams end.
        """
        outlet = self.startOutlet("--allow", "dba and not guest or admin")
        outlet.value("Forwarding address")
        port, inlet = self.startInlet("--ticket", self.newTicket())
        who = inlet.value("Identifier")
        self.assertRefused(port)
        outlet.waitForText(f"{who} may not use outlet: the policy")
        self.ask("member", "add", who, "--attribute", "admin=true", "--attribute", "guest=", "--attribute", "dba=no")
        self.assertTrue(self.echoes(port))
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.settimeout(10)
            client.sendall(b"hello")
            self.assertEqual(client.recv(5), b"hello")
            self.ask("member", "add", who, "--attribute", "admin=false")
            try:
                self.assertEqual(client.recv(5), b"")
            except ConnectionResetError:
                pass


class PrivateRelayTests(TicketTestCase):
    """
    A relay that not everybody may use.
    """

    def setUp(self) -> None:
        """
        It is private.
        """
        super().setUp()
        # While it is not, nobody needs a ticket of it.
        self.assertIn("takes no tickets", self.ask("ticket", "create", state="relay", status=1))
        self.relay.end()
        self.relay = self.startRelay("--tickets", "--reached-at", f"127.0.0.1:{self.relayPort}")

    def test_privateRelay(self) -> None:
        """
        An outlet with the relay's ticket registers, also at its next start;
        one without does not; removed, it loses its name.
        """
        ticket = self.relay.value("Ticket")
        outlet = self.twist(
            "ockam-outlet", "--target", f"127.0.0.1:{self.targetPort}", "--relay-ticket", ticket, state="outlet"
        )
        port, _ = self.startInlet("--ticket", outlet.value("Ticket"))
        self.assertTrue(self.echoes(port))
        stranger = self.startOutlet(state="stranger")
        stranger.waitForText("the relay does not accept us: give --relay-ticket")
        self.assertNotIn("Forwarding address", stranger.text())
        who = outlet.value("Identifier")
        self.ask("member", "remove", who, "--command", "ockam-relay", state="relay")
        self.assertFalse(self.echoes(port, 2))


class IdentityTests(TicketTestCase):
    """
    Keys change, move and come back.
    """

    def test_rotation(self) -> None:
        """
        The key of a running outlet is replaced under a live stream; peers
        follow; the old key, from a backup, is of no use to anybody.
        """
        outlet = self.startOutlet()
        port, inlet = self.startInlet("--ticket", outlet.value("Ticket"))
        self.assertTrue(self.echoes(port))
        backup = str(self.folder / "old.backup")
        self.ask("identity", "backup", backup, "--command", "ockam-outlet")
        self.assertEqual(Path(backup).stat().st_mode & 0o777, 0o600)
        self.assertIn("exists already", self.ask("identity", "backup", backup, status=1))
        before = self.ask("identity", "export")
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.settimeout(10)
            client.sendall(b"hello")
            self.assertEqual(client.recv(5), b"hello")
            said = self.ask("identity", "rotate", "--command", "ockam-outlet")
            self.assertIn(f"Identifier: {outlet.value('Identifier')}\nKeys so far: 2", said)
            client.sendall(b"again")
            self.assertEqual(client.recv(5), b"again")
        after = self.ask("identity", "export")
        self.assertGreater(len(after), len(before))
        inlet.end()
        port, inlet = self.startInlet()
        self.assertTrue(self.echoes(port))
        # The thief of the backup stands where the outlet stood.
        outlet.end()
        self.ask("identity", "restore", backup, state="thief")
        self.assertIn("state in", self.ask("identity", "restore", backup, state="thief", status=1))
        self.startOutlet(state="thief").value("Identifier")
        inlet.waitForText("an older change history than before")
        self.assertFalse(self.echoes(port, 2))

    def test_backup(self) -> None:
        """
        A backup that is restored elsewhere is the same outlet, with its
        members.
        """
        outlet = self.startOutlet()
        port, inlet = self.startInlet("--ticket", outlet.value("Ticket"))
        self.assertTrue(self.echoes(port))
        self.ask("identity", "backup", str(self.folder / "b"))
        who = outlet.value("Identifier")
        outlet.end()
        self.assertIn(who, self.ask("identity", "restore", str(self.folder / "b"), state="moved"))
        moved = self.startOutlet(state="moved")
        self.assertEqual(moved.value("Identifier"), who)
        self.assertTrue(self.echoes(port))
        self.assertIn(inlet.value("Identifier"), self.ask("member", "list", state="moved"))

    def test_import(self) -> None:
        """
        A public history can be told beforehand; what is none is refused.
        """
        outlet = self.startOutlet()
        outlet.value("Identifier")
        place = self.folder / "public"
        place.write_text(self.ask("identity", "export"))
        self.identity("inlet")
        self.assertIn(outlet.value("Identifier"), self.ask("identity", "import", str(place), state="inlet"))
        place.write_text("nonsense")
        self.assertIn("no change history", self.ask("identity", "import", str(place), state="inlet", status=1))
