"""
C{ockam-twisted check}: each step is made to fail by a real fault.
"""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from typing import Any

from tests.scenarios.connecting import ConnectTestCase
from tests.scenarios.processes import freePort, require

LAST = ["name", "dial", "version", "relay", "channel", "identity", "trust", "outlet", "policy", "target"]


class CheckTestCase(ConnectTestCase):
    """
    What a check says.
    """

    def run_(self, *options: str, state: str = "mine") -> tuple[int, str, str]:
        """
        Run it.

        @return: Exit status, output, errors.
        """
        command = self.command(*options, state=state, task="check")
        done = subprocess.run(command, env=self.environ(), capture_output=True, text=True, timeout=60, cwd=self.folder)
        return done.returncode, done.stdout, done.stderr

    def check(self, *options: str, state: str = "mine") -> dict[str, Any]:
        """
        Run it for a program.

        @return: The steps, by name: those that all ways have in common, and
            those of the one way.
        """
        status, out, err = self.run_("--json", *(options or self.way), state=state)
        self.assertEqual(err, "")
        said = json.loads(out)
        self.assertEqual(status, 0 if said["ok"] else 1)
        return {step["step"]: step for each in said["checks"] for step in each["steps"]}

    def assertFails(self, step: str, found: str, whose: str, advice: str, *options: str, state: str = "mine") -> None:
        """
        One step fails, those before it do not, and those after it are not
        reached.
        """
        steps = self.check(*options, state=state)
        self.assertEqual([name for name, each in steps.items() if each["state"] == "failed"], [step], steps)
        its = steps[step]
        self.assertIn(found, its["found"])
        self.assertIn(whose, its["whose"])
        self.assertIn(advice, its["advice"])
        if step in LAST:
            later = [each for each in LAST[LAST.index(step) + 1 :] if each != "relay"]
            self.assertEqual({steps[each]["state"] for each in later} - {"skipped"}, set())


class NetworkTests(CheckTestCase):
    """
    Faults before the first byte of ours is understood; no node is needed.
    """

    def way_(self, port: int, host: str = "ip4/127.0.0.1") -> list[str]:
        """
        Options that lead there.
        """
        return ["--trust-everyone", "--to", f"/{host}/tcp/{port}/service/forward_to_x/secure/api/service/outlet"]

    def serve(self, *says: bytes) -> int:
        """
        Say something to whoever connects; nothing: keep silent.
        """
        server = socket.create_server(("127.0.0.1", 0))
        kept: list[socket.socket] = []
        self.addCleanup(lambda: [each.close() for each in (server, *kept)])

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                kept.append(connection)
                for each in says:
                    connection.sendall(each)

        threading.Thread(target=accept, daemon=True).start()
        return int(server.getsockname()[1])

    def test_badName(self) -> None:
        """
        There is no such host.
        """
        way = self.way_(4000, "dnsaddr/no-such-host.invalid")
        steps = self.check(*way)
        self.assertEqual(steps["name"]["state"], "failed")
        self.assertIn("no-such-host.invalid", steps["name"]["found"])
        self.assertIn("network", steps["name"]["whose"])
        self.assertEqual({steps[each]["state"] for each in LAST[1:] if each != "relay"}, {"skipped"})

    def test_closedPort(self) -> None:
        """
        Nobody listens there.
        """
        self.assertFails(
            "dial", "nobody listens on", "the relay's operator", "start the node there", *self.way_(freePort())
        )

    def test_firewalled(self) -> None:
        """
        Something swallows what is sent: here a queue of connections that is
        full.
        """
        full = socket.socket()
        self.addCleanup(full.close)
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            self.addCleanup(each.close)
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        self.assertFails(
            "dial", "no answer at all", "the network", "firewall", *self.way_(full.getsockname()[1])
        )  # fmt: skip

    def test_webServer(self) -> None:
        """
        It is something else.
        """
        require("nginx")
        port = freePort()
        config = self.folder / "nginx.conf"
        config.write_text(
            f"daemon off; pid {self.folder}/nginx.pid; error_log {self.folder}/nginx.txt; events {{}} "
            f"http {{ access_log off; server {{ listen 127.0.0.1:{port}; return 200; }} }}"
        )
        self.start("nginx", "-c", str(config), "-e", str(self.folder / "nginx.txt"))
        self.waitForPort(port)
        self.assertFails(
            "version",
            "no Ockam node: it seems to be a web server",
            "your options",
            "mend the host or",
            *self.way_(port),
        )
        for says, seems in (
            (b"SSH-2.0-x\r\n", "an ssh server"),
            (b"\x15\x03\x01\x00\x02\x02\x46", "a server that wants TLS"),
        ):
            self.assertFails(
                "version", f"seems to be {seems}", "your options", "mend the host", *self.way_(self.serve(says))
            )

    def test_patientWebServer(self) -> None:
        """
        It is one that waits for the whole of a question.
        """
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)

        def answer() -> None:
            kept = []
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                kept.append(connection)
                if connection.recv(1) == b"G":
                    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        way = self.way_(int(server.getsockname()[1]))
        self.assertFails("version", "seems to be a web server", "your options", "mend the host or", *way)

    def test_otherVersion(self) -> None:
        """
        It speaks another version of the protocol.
        """
        way = self.way_(self.serve(b"\x02"))
        self.assertFails(
            "version", "version 2 of the protocol, and we version 1", "the relay's operator", "newer", *way
        )

    def test_silent(self) -> None:
        """
        It takes connections and keeps silent.
        """
        self.assertFails("version", "says nothing", "your options", "hung up", *self.way_(self.serve()))


class NodeTests(CheckTestCase):
    """
    Faults behind a relay that works.
    """

    def test_good(self) -> None:
        """
        Everything is done, and said in plain words; the state is left alone.
        """
        self.offer(self.target("echo"))
        steps = self.check()
        self.assertEqual([*steps], ["options", *LAST])
        self.assertEqual({each["state"] for each in steps.values()}, {"ok"})
        self.assertIn(self.identity("mine"), steps["options"]["found"])
        status, out, err = self.run_(*self.way)
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(
            [line.split()[:2] for line in out.splitlines() if line.startswith("  ")],
            [["ok", each] for each in ("options", *LAST)],
        )
        before = (self.folder / "mine" / "state.sqlite").read_bytes()
        self.check()
        self.assertEqual((self.folder / "mine" / "state.sqlite").read_bytes(), before)

    def test_fails(self) -> None:
        """
        Names, identities, addresses and the target, one after the other.
        """
        target = freePort()
        self.offer(target)
        who, other = self.identity("outlet"), self.identity("other")
        name = "forward_to_nobody"
        self.assertFails(
            "relay", f"nobody with the name {name}", "the far side", "start the outlet", "--authorized", who,
            "--to", self.wayTo(name),
        )  # fmt: skip
        way = self.wayTo(self.address)
        self.assertFails(
            "identity",
            f"the peer {who} is not trusted",
            "your options",
            "identity show",
            "--authorized",
            other,
            "--to",
            way,
        )
        self.assertFails(
            "channel", "no listener called door", "your options", "/secure/api", "--authorized", who,
            "--to", way.replace("/api/", "/door/"),
        )  # fmt: skip
        self.assertFails("trust", "is not accepted", "the far side", "--authorized I", *self.way, state="other")
        self.assertFails("trust", "is not accepted", "your options", "--instance", *self.way, state="none")
        self.assertFails(
            "outlet", "no outlet at the address shop", "your options", "--address", "--authorized", who,
            "--to", self.wayTo(self.address, worker="shop"),
        )  # fmt: skip
        self.assertFails("target", "the target refuses the connection", "the target", "start the service")

    def test_outletGone(self) -> None:
        """
        The outlet was there, and is not any more; or hangs.
        """
        self.offer(self.target("echo"))
        self.outlet.process.send_signal(19)
        try:
            self.assertFails("channel", "answers a handshake", "the far side", "see that the outlet runs")
        finally:
            self.outlet.process.send_signal(18)
        self.outlet.end()
        self.assertFails("relay", "nobody with the name", "the far side", "start the outlet")

    def test_options(self) -> None:
        """
        What cannot be a way is not gone; nothing is paired here.
        """
        status, out, err = self.run_("--to", "/ip4/127.0.0.1/tcp/1/service/x", "--trust-everyone=1")
        self.assertEqual((status, out, err.count("\n")), (64, "", 1))
        self.assertFails("options", "there is no pairing in", "your options", "mend", "--instance", "x")
        self.assertFalse((self.folder / "mine").exists())


class AuthorityTests(CheckTestCase):
    """
    What an authority attests, or not.
    """

    def ask(self, *arguments: str) -> str:
        """
        Run a task of the authority.
        """
        command = self.command(*arguments[1:], "--command", "ockam-authority", state="authority", task=arguments[0])
        done = subprocess.run(command, env=self.environ(), check=True, timeout=60, capture_output=True, text=True)
        return done.stdout

    def test_credentials(self) -> None:
        """
        We are no member; then we are, and the policy asks for more; then we
        have that, too; then the authority is gone, and what it had attested
        has expired.
        """
        at = f"tcp:{freePort()}:interface=127.0.0.1"
        authority = self.twist("ockam-authority", "--listen", at, state="authority")
        who = authority.value("Authority")
        self.offer(self.target("echo"), "--authority", who, "--allow", "dba", authorized="")
        way = [*self.way, "--authority", who]
        mine = self.identity("mine")
        steps = self.check(*way)
        self.assertEqual((steps["credential"]["state"], steps["trust"]["state"]), ("failed", "failed"), steps)
        self.assertIn(f"{mine} is no member there", steps["credential"]["found"])
        self.assertEqual(steps["credential"]["whose"], "the authority's operator")
        self.ask("member", "add", mine)
        self.assertFails("policy", "does not let us in", "the far side", "--allow", *way)
        self.ask("member", "add", mine, "--attribute", "dba=true")
        steps = self.check(*way)
        self.assertEqual({each["state"] for each in steps.values()}, {"ok"}, steps)
        # The inlet keeps what it is given, for a while.
        authority.end()
        authority = self.twist("ockam-authority", "--listen", at, "--credential-lifetime", "4", state="authority")
        authority.value("Authority")
        port = freePort()
        inlet = self.twist("ockam-inlet", "--listen", str(port), *way, state="mine")
        inlet.waitForText("attests who we are")
        inlet.end()
        authority.end()
        time.sleep(5)
        steps = self.check(*way)
        self.assertEqual((steps["credential"]["state"], steps["trust"]["state"]), ("failed", "failed"), steps)
        self.assertIn("Connection was refused", steps["credential"]["found"])
        self.assertIn("see that the authority runs", steps["credential"]["advice"])


class TicketTests(CheckTestCase):
    """
    Pairings, policies and credentials.
    """

    def test_ticket(self) -> None:
        """
        A check does not use up a ticket, unless it is told to; then it is
        paired, and looks at that while the inlet runs, too.
        """
        self.offer(self.target("echo"), authorized="")
        ticket = self.outlet.value("Ticket")
        for _ in range(2):
            steps = self.check("--ticket", ticket)
            self.assertEqual((steps["ticket"]["state"], steps["identity"]["state"]), ("unknown", "ok"))
            self.assertIn("--redeem", steps["ticket"]["found"])
            self.assertEqual((steps["trust"]["state"], steps["outlet"]["state"]), ("unknown", "skipped"))
        self.assertFalse((self.folder / "mine").exists())
        steps = self.check("--ticket", ticket, "--redeem")
        self.assertEqual({each["state"] for each in steps.values()}, {"ok"}, steps)
        self.assertFails(
            "trust", "no ticket is open there", "the far side", "new ticket", "--ticket", ticket, state="late"
        )
        port = freePort()
        inlet = self.twist("ockam-inlet", "--listen", str(port), state="mine")
        self.waitForPort(port)
        steps = self.check("--instance", "x")
        self.assertEqual({each["state"] for each in steps.values()}, {"ok"}, steps)
        self.assertNotIn("is down", inlet.text())
        # Out again.
        remove = self.command("--command", "ockam-outlet", state="outlet", task="member")
        remove[remove.index("member") + 1 : 0] = ["remove", self.identity("mine")]
        subprocess.run(remove, env=self.environ(), check=True, timeout=60, stdout=subprocess.DEVNULL)
        self.assertFails("trust", "is not accepted", "the far side", "member list", "--instance", "x")

    def test_damaged(self) -> None:
        """
        A ticket that is not all there is no ticket.
        """
        status, _, err = self.run_("--ticket", "ockamticket1abc")
        self.assertEqual((status, err), (64, "ockam-twisted: this ticket is damaged: is it all there?\n"))
