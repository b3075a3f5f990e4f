"""
C{ockam-twisted ping}: the round trip to each node on a way.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from typing import Any

from tests.scenarios.connecting import ConnectTestCase
from tests.scenarios.processes import PATIENCE, freePort


class PingTests(ConnectTestCase):
    """
    A relay and an outlet.
    """

    def run_(self, *options: str, status: int = 0, state: str = "mine") -> str:
        """
        Run it.
        """
        done = subprocess.run(
            self.command(*options, state=state, task="ping"),
            env=self.environ(), capture_output=True, text=True, timeout=60, cwd=self.folder,
        )  # fmt: skip
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        if status != 64 and "--instance" not in options:
            self.assertEqual(done.stderr, "")
        return done.stdout + done.stderr

    def pinged(self, *options: str, status: int = 0, state: str = "mine") -> Any:
        """
        Run it for a program.

        @return: What came of the one way.
        """
        out = self.run_("--json", "-c", "3", "-i", "0.15", *options, status=status, state=state)
        [way] = json.loads(out)["ways"]
        self.assertEqual(way["ok"], status == 0)
        return way

    def test_hops(self) -> None:
        """
        Each hop is timed: the relay, the node behind its name, and the same
        inside of the channel.
        """
        self.offer(self.target("echo"))
        who = self.identity("outlet")
        way = self.pinged(*self.way)
        self.assertEqual(
            [each["hop"] for each in way["hops"]],
            [
                f"127.0.0.1:{self.relayPort}",
                f"{self.address}, outside of the channel",
                f"{who}, inside of the channel",
            ],
        )
        for hop in way["hops"]:
            self.assertEqual((hop["sent"], hop["answered"], len(hop["times"])), (3, 3, 3))
            self.assertEqual((hop["min"], hop["median"], hop["max"]), tuple(sorted(hop["times"])))
            self.assertGreater(hop["min"], 0)
        self.assertEqual([each["identifier"] for each in way["handshakes"]], [who])
        self.assertGreater(way["handshakes"][0]["seconds"], 0)
        self.assertGreater(way["connect"], 0)
        self.assertGreater(way["greeting"], 0)

    def test_text(self) -> None:
        """
        The same for people.
        """
        self.offer(self.target("echo"))
        out = self.run_("-c", "2", "-i", "0.2", *self.way)
        self.assertRegex(out, r"^The way /ip4/127.0.0.1/")
        self.assertRegex(out, r"\n  handshake     [0-9.]+ ms, I")
        self.assertEqual(len(re.findall(r"\n  [12]: hop 1 [0-9.]+ ms, hop 2 [0-9.]+ ms, hop 3 [0-9.]+ ms", out)), 2)
        self.assertEqual(len(re.findall(r"2 of 2 answered  min [0-9.]+ ms  median [0-9.]+ ms  max [0-9.]+ ms", out)), 3)

    def test_partly(self) -> None:
        """
        A way may end at the relay, or in a channel; who must be there may be
        said, and is shown anyhow; no state is made for it.
        """
        self.offer(self.target("echo"), "--trust-everyone", authorized="")
        who = self.identity("outlet")
        relay = f"/ip4/127.0.0.1/tcp/{self.relayPort}"
        way = self.pinged(relay, state="none")
        self.assertEqual([each["answered"] for each in way["hops"]], [3])
        through = f"{relay}/service/{self.address}/secure/api"
        for goal in (through, f"{who}@{through}", f"{through}/service/outlet"):
            way = self.pinged(goal, state="none")
            self.assertEqual(way["handshakes"][0]["identifier"], who)
            self.assertEqual([each["answered"] for each in way["hops"]], [3, 3, 3])
        other = self.identity("other")
        self.assertIn("is not trusted", self.pinged(f"{other}@{through}", status=1, state="none")["error"])
        self.assertFalse((self.folder / "none").exists())

    def test_fails(self) -> None:
        """
        Nobody there, or nobody who answers us: why, and status 1.
        """
        way = self.pinged(f"/ip4/127.0.0.1/tcp/{freePort()}", status=1)
        self.assertIn("Connection was refused", way["error"])
        self.offer(self.target("echo"))
        way = self.pinged(*self.way, status=1, state="stranger")
        self.assertIn("does not accept us", way["error"])
        self.assertIn("does not begin with", self.run_("/service/x", status=64))
        self.assertIn("it excludes --to", self.run_(f"/ip4/127.0.0.1/tcp/{self.relayPort}", *self.way, status=64))
        self.assertIn("no pairing", self.run_("--instance", "x", status=1, state="none"))

    def test_silentHop(self) -> None:
        """
        A hop without an echo is asked once, and holds up nobody after that.
        """
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        # A node that says its version, and nothing else.
        process = subprocess.Popen(
            self.command("-c", "2", "-i", "0.2", f"/ip4/127.0.0.1/tcp/{server.getsockname()[1]}", task="ping"),
            env=self.environ(), stdout=subprocess.PIPE, text=True, cwd=self.folder,
        )  # fmt: skip
        self.addCleanup(process.kill)
        node, _ = server.accept()
        self.addCleanup(node.close)
        node.sendall(b"\x01")
        out, _ = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 1)
        self.assertIn("hop 1: 2 sent, none answered: there is no echo, or not for us", out)

    def test_interrupted(self) -> None:
        """
        Ctrl-C shows what there is so far.
        """
        self.offer(self.target("echo"))
        process = subprocess.Popen(
            self.command("-c", "1000", "-i", "0.2", *self.way, task="ping"),
            env=self.environ(), stdout=subprocess.PIPE, text=True, cwd=self.folder,
        )  # fmt: skip
        self.addCleanup(process.kill)
        assert process.stdout is not None
        while not process.stdout.readline().startswith("  2: "):
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(len(re.findall(r"answered  min", out)), 3)
