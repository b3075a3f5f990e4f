"""
Several relays and several outlets, with real processes that are killed, in
real time.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from ockam_twisted.authority.ticket import Ticket
from tests.scenarios.processes import PATIENCE, ROOT, Program, ScenarioTestCase, freePort

#: Seconds within which somebody else takes over: at once where a socket says
#: that one is gone, after it was asked in vain where none does.
SECONDS = 8.0


class Server:
    """
    A private service that says its name, then whatever it is asked for: so
    many random bytes, or silence.

    @ivar digest: Of all bytes that a C{large} client is sent.
    """

    def __init__(self, name: bytes, size: int = 0) -> None:
        self._content = os.urandom(1 << 20)
        self._count = size >> 20
        self._name = name
        self.digest = hashlib.sha256(self._content * self._count).hexdigest()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                client.sendall(self._name)
                for _ in range(self._count):
                    client.sendall(self._content)
                client.recv(1)
            except OSError:
                pass

    def close(self) -> None:
        """
        Accept nobody any more.
        """
        self.socket.close()


class WaysTestCase(ScenarioTestCase):
    """
    Nodes that have several ways.
    """

    def server(self, name: bytes = b"", size: int = 0) -> Server:
        """
        A private service.
        """
        server = Server(name, size)
        self.addCleanup(server.close)
        return server

    def relay(self, port: int, name: str) -> Program:
        """
        A relay.
        """
        relay = self.twist("ockam-relay", "--listen", f"tcp:{port}:interface=127.0.0.1", state=name)
        relay.value("Identifier")
        return relay

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """
        Run C{ockam-twisted}.
        """
        return subprocess.run(
            [sys.executable, "-m", "ockam_twisted.command", *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=self.folder,
        )

    def status(self, state: str) -> dict[str, Any]:
        """
        How a node is.
        """
        shown = self.command("status", "--state-dir", str(self.folder / state), "--json")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        status: dict[str, Any] = json.loads(shown.stdout)
        return status

    def waitFor(self, what: str, holds: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        """
        Wait until something holds.
        """
        deadline = time.monotonic() + seconds
        while not (result := holds()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {seconds:.0f} s")
            time.sleep(0.1)
        return result

    def inUse(self, state: str) -> dict[str, Any]:
        """
        The session of an inlet that new streams use.
        """

        def used() -> Any:
            return next((each for each in self.status(state)["sessions"] if each["inUse"]), None)

        found: dict[str, Any] = self.waitFor("a way that is up", used)
        return found

    def bothUp(self) -> dict[str, Any]:
        """
        Wait until all sessions of the inlet are up.

        @return: The one in use.
        """
        self.waitFor("both", lambda: all(each["state"] == "up" for each in self.status("inlet")["sessions"]))
        return self.inUse("inlet")

    def withOneStream(self) -> dict[str, Any] | None:
        """
        The session in use, if it has one stream.
        """
        session = self.inUse("inlet")
        return session if session["streams"] == 1 else None

    def whoAnswers(self, port: int, seconds: float = PATIENCE) -> bytes:
        """
        Which service a new client gets.
        """

        def answer() -> bytes:
            try:
                with socket.create_connection(("127.0.0.1", port), 5) as client:
                    client.settimeout(15)
                    return client.recv(3)
            except OSError:
                return b""

        got: bytes = self.waitFor("an answer", answer, seconds)
        return got

    def connect(self, port: int) -> socket.socket:
        """
        A client that stays, once it has an answer.
        """
        client = socket.create_connection(("127.0.0.1", port), 5)
        self.addCleanup(client.close)
        client.settimeout(PATIENCE)
        self.assertTrue(client.recv(3))
        return client


class RelayTests(WaysTestCase):
    """
    One outlet at two relays.
    """

    def test_relayKilled(self) -> None:
        """
        A download goes on, byte for byte, when the relay that it goes through
        is killed, and again when the other one is; C{status} shows which one
        is in use.
        """
        size = 96 << 20
        server = self.server(b"", size)
        ports = freePort(), freePort()
        relays = {port: self.relay(port, f"relay-{port}") for port in ports}
        outlet = self.twist(
            "ockam-outlet", "--target", str(server.port), *(f"--relay=127.0.0.1:{port}" for port in ports),
            state="outlet",
        )  # fmt: skip
        ticket = outlet.value("Ticket")
        for at, way in zip(ports, Ticket.fromText(ticket).ways, strict=True):
            self.assertIn(f"/tcp/{at}/", str(way))
        port = freePort()
        inlet = self.twist("ockam-inlet", "--listen", str(port), "--ticket", ticket, state="inlet")
        inlet.value("Paired with")
        self.waitForPort(port)
        self.inUse("inlet")
        client = socket.create_connection(("127.0.0.1", port), 5)
        self.addCleanup(client.close)
        client.settimeout(PATIENCE)
        digest, received, used = hashlib.sha256(), 0, []
        for part in (1, 2, 3):
            while received < size * part // 3:
                data = client.recv(65536)
                self.assertTrue(data, "closed early")
                digest.update(data)
                received += len(data)
            if part < 3:
                # Who has looked whether the port is there may still be on its way out.
                session = self.waitFor("one stream", self.withOneStream)
                [at] = [each for each in ports if f"/tcp/{each}/" in session["way"]]
                used.append(at)
                relays[at].process.kill()
                relays[at].process.wait()
                self.waitFor("another relay", lambda at=at: f"/tcp/{at}/" not in self.inUse("inlet")["way"], SECONDS)
                relays[at] = self.relay(at, f"relay-{at}")
                self.waitFor(
                    "both registrations",
                    lambda: all(each["state"] == "up" for each in self.status("outlet")["sessions"]),
                )
        self.assertEqual(digest.hexdigest(), server.digest)
        self.assertEqual(sorted(used), sorted(ports))
        self.assertIn(f"/tcp/{used[0]}/", self.inUse("inlet")["way"])
        shown = self.command("status", "--state-dir", str(self.folder / "inlet")).stdout
        self.assertIn("way to the outlet: up for", shown)
        self.assertIn("1 open stream", shown)

    def test_relayStopped(self) -> None:
        """
        A relay that is stopped says so: the inlet is at the other one before
        it goes, and a stream that is open hardly notices.
        """
        server = self.server(b"one")
        ports = freePort(), freePort()
        relays = {port: self.relay(port, f"relay-{port}") for port in ports}
        outlet = self.twist(
            "ockam-outlet", "--target", str(server.port), *(f"--relay=127.0.0.1:{port}" for port in ports),
            state="outlet",
        )  # fmt: skip
        port = freePort()
        inlet = self.twist("ockam-inlet", "--listen", str(port), "--ticket", outlet.value("Ticket"), state="inlet")
        inlet.value("Paired with")
        self.waitForPort(port)
        client = self.connect(port)
        before = self.inUse("inlet")
        used, other = ports if f"/tcp/{ports[0]}/" in before["way"] else ports[::-1]
        self.assertIn(f"/tcp/{used}/", before["way"])
        relays[used].process.terminate()
        relays[used].process.wait(PATIENCE)
        inlet.waitForText("moved to ")
        after = self.inUse("inlet")
        self.assertIn(f"/tcp/{other}/", after["way"])
        self.assertGreater(after["seconds"], before["seconds"])
        self.assertEqual(after["streams"], 1)
        client.sendall(b"!")
        self.assertEqual(client.recv(1), b"")

    def test_relayDownAtTheStart(self) -> None:
        """
        A relay that is down when the ticket is made is listed nevertheless,
        and is used when it is the only one; the inlet knows it after a
        restart, too.
        """
        server = self.server(b"one")
        ports = freePort(), freePort()
        first = self.relay(ports[0], "first")
        outlet = self.twist(
            "ockam-outlet", "--target", str(server.port), *(f"--relay=127.0.0.1:{port}" for port in ports),
            state="outlet",
        )  # fmt: skip
        ticket = outlet.value("Ticket")
        self.assertEqual(len(Ticket.fromText(ticket).ways), 2)
        port = freePort()
        inlet = self.twist("ockam-inlet", "--listen", str(port), "--ticket", ticket, state="inlet")
        self.waitForPort(port)
        self.assertEqual(self.whoAnswers(port), b"one")
        first.process.kill()
        self.relay(ports[1], "second")
        self.assertEqual(self.whoAnswers(port), b"one")
        inlet.end()
        again = self.twist("ockam-inlet", "--listen", str(port), state="inlet")
        self.waitForPort(port)
        self.assertEqual(self.whoAnswers(port), b"one")
        self.assertIn(f"/tcp/{ports[1]}/", self.inUse("inlet")["way"])
        again.end()
        shown = self.command("status", "--state-dir", str(self.folder / "inlet"))
        self.assertEqual(shown.returncode, 1)
        self.assertIn("does not run", shown.stderr)


class OutletTests(WaysTestCase):
    """
    Two outlets of one service, each with an identity of its own.
    """

    def setUp(self) -> None:
        super().setUp()
        self.servers = {name: self.server(name) for name in (b"one", b"two")}
        self.at = freePort()
        self.relay(self.at, "relay")

    def way(self, name: bytes) -> str:
        """
        The way to an outlet, and who it is.
        """
        who = self.identity(name.decode())
        return f"{who}@/ip4/127.0.0.1/tcp/{self.at}/service/forward_to_{who}/secure/api/service/outlet"

    def outlet(self, name: bytes, *options: str) -> Program:
        """
        Start an outlet.
        """
        outlet = self.twist(
            "ockam-outlet", "--target", str(self.servers[name].port), "--relay", f"127.0.0.1:{self.at}", *options,
            state=name.decode(),
        )  # fmt: skip
        outlet.value("Forwarding address")
        return outlet

    def checkTakingOver(self, port: int, start: Callable[[bytes], Program], outlets: dict[bytes, Program]) -> None:
        """
        Kill them in turn.
        """
        for one, other in ((b"one", b"two"), (b"two", b"one")):
            client = self.connect(port)
            self.assertEqual(self.whoAnswers(port), one)
            before = self.inUse("inlet")["peer"]
            self.assertEqual(before, self.identity(one.decode()))
            outlets[one].process.kill()
            outlets[one].process.wait()
            began = time.monotonic()
            self.assertEqual(self.whoAnswers(port, SECONDS), other)
            self.assertNotEqual(self.inUse("inlet")["peer"], before)
            # Its stream is held for it, and goes to nobody else.
            self.assertRaises(ConnectionResetError, client.recv, 1)
            self.assertGreater(time.monotonic() - began, 2)
            outlets[one] = start(one)
            self.bothUp()
            self.assertEqual(self.whoAnswers(port), other)

    def test_outletKilled(self) -> None:
        """
        New clients are served by the other outlet within seconds when one is
        killed; its streams end with a reset, after the time that they wait;
        it is used again when it is back and needed.
        """
        inlet = self.identity("inlet")

        def start(name: bytes) -> Program:
            return self.outlet(name, "--authorized", inlet)

        outlets = {name: start(name) for name in self.servers}
        port = freePort()
        self.twist(
            "ockam-inlet", "--listen", str(port), "--to", self.way(b"one"), "--to", self.way(b"two"),
            "--resume-timeout", "3", state="inlet",
        )  # fmt: skip
        self.waitForPort(port)
        # The first that is listed is taken where both come up together; this
        # one may have come first.
        self.waitFor("both", lambda: all(each["state"] == "up" for each in self.status("inlet")["sessions"]))
        if self.whoAnswers(port) == b"two":
            outlets[b"two"].process.kill()
            self.assertEqual(self.whoAnswers(port, SECONDS), b"one")
            outlets[b"two"] = start(b"two")
            self.waitFor("both", lambda: all(each["state"] == "up" for each in self.status("inlet")["sessions"]))
        self.checkTakingOver(port, start, outlets)

    def test_ticket(self) -> None:
        """
        A ticket of an authority names two outlets; the inlet remembers both,
        and uses the other one when one is killed.
        """
        at = freePort()
        authority = self.twist(
            "ockam-authority", "--listen", f"127.0.0.1:{at}", "--reached-at", f"127.0.0.1:{at}", state="authority",
        )  # fmt: skip
        trusted = authority.value("Authority")
        state = ("--command", "ockam-authority", "--state-dir", str(self.folder / "authority"))
        outlets = {name: self.outlet(name, "--authority", trusted, "--allow", "dba") for name in self.servers}
        made = self.command(
            "ticket", "create", *state, "--attribute", "dba=true", "--to", self.way(b"one"), "--to", self.way(b"two"),
        )  # fmt: skip
        ticket = made.stdout.removeprefix("Ticket: ").strip()
        port = freePort()
        inlet = self.twist("ockam-inlet", "--listen", str(port), "--ticket", ticket, state="inlet")
        self.waitForPort(port)
        self.assertIn(self.whoAnswers(port), self.servers)
        inlet.end()
        self.twist("ockam-inlet", "--listen", str(port), state="inlet")
        self.waitForPort(port)
        self.bothUp()
        one = self.whoAnswers(port)
        outlets[one].process.kill()
        [other] = set(self.servers) - {one}
        self.assertEqual(self.whoAnswers(port, SECONDS), other)
