"""
What nodes log, and what strangers can make of it; real processes, sockets and
time.
"""

from __future__ import annotations

import json
import socket
import stat
import subprocess
import time
from typing import Any

from ockam_twisted.wire import bare
from ockam_twisted.wire.frames import VERSION, encodeFrame
from ockam_twisted.wire.messages import encodeTransport
from tests.scenarios.processes import CURL, PATIENCE, Program, ScenarioTestCase, freePort, require

KEYS = {"time", "level", "layer", "event", "message", "fields"}

JSON = ("--log-format", "json")

#: What ends a line, begins another that is forged, and clears the screen.
FORGED = '{"time": "now", "level": "info", "layer": "tap", "event": "forged", "message": "", "fields": {}}'
HOSTILE = f"x\r\n{FORGED}\n\x1b[2J\u2028"


def registration(name: bytes) -> bytes:
    """
    A frame that asks a relay for a name, whatever that is.
    """
    onward, back = [(0, b"forwarding_service")], [(0, b"me")]
    return encodeFrame(encodeTransport(onward, back, bare.data(name)))


class LogTestCase(ScenarioTestCase):
    """
    Reads logs.
    """

    def records(self, program: Program) -> list[Any]:
        """
        The lines of a log, each of which is JSON or is what people copy.
        """
        found = []
        for line in program.text().split("\n")[:-1]:
            if line.startswith(("Identifier: ", "Forwarding address: ", "Ticket: ", "Ticket used by: ")):
                continue
            record = json.loads(line)
            self.assertTrue(record.keys() >= KEYS, line)
            self.assertTrue(line.isascii() and line.isprintable(), line)
            found.append(record)
        return found

    def waitFor(self, program: Program, event: str) -> Any:
        """
        Wait for an event.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for each in self.records(program):
                if each["event"] == event:
                    return each
            time.sleep(0.05)
        raise AssertionError(f"no {event}:\n{program.text()[-3000:]}")

    def audit(self, name: str) -> list[Any]:
        """
        What is in an audit log.
        """
        return [json.loads(line) for line in (self.folder / name).read_text("ascii").splitlines()]


class StrangerTests(LogTestCase):
    """
    Who is no friend of the relay.
    """

    def relay(self, *options: str) -> tuple[Program, int]:
        """
        Start a relay.

        @return: It, and its port.
        """
        port = freePort()
        relay = self.twist(
            "ockam-relay", "--listen", f"tcp:{port}:interface=127.0.0.1", "--audit-log", str(self.folder / "audit"),
            *JSON, *options,
        )  # fmt: skip
        relay.value("Identifier")
        return relay, port

    def test_forged(self) -> None:
        """
        What a stranger sends is part of a line, in the log and in the audit
        log, and cut.
        """
        relay, port = self.relay()
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            stranger.sendall(VERSION)
            stranger.sendall(registration(HOSTILE.encode()) + registration(HOSTILE.encode() * 8))
            stranger.sendall(registration(b"\xff\xfe") + registration(b""))
            self.waitFor(relay, "name-refused")
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            stranger.sendall(HOSTILE.encode())
        self.waitFor(relay, "connection-broken")
        relay.end()
        records = self.records(relay)
        self.assertNotIn("forged", [each["event"] for each in records])
        self.assertTrue(all(len(json.dumps(each)) < 4000 for each in records))
        self.assertIn("x\\r\\n", next(each for each in records if each["event"] == "name-refused")["fields"]["name"])
        audit = self.audit("audit")
        refused = [each for each in audit if each["event"] == "name-refused"]
        self.assertTrue(refused)
        self.assertEqual({each["outcome"] for each in refused}, {"refused"})
        self.assertEqual(stat.S_IMODE((self.folder / "audit").stat().st_mode), 0o600)

    def test_processes(self) -> None:
        """
        The other processes of a relay log through the first one, in the same
        way.
        """
        relay, port = self.relay("--processes", "2")
        self.waitFor(relay, "process-started")
        time.sleep(1)
        echo = encodeFrame(encodeTransport([(0, b"echo")], [(0, b"me")], b"hello"))
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            stranger.settimeout(PATIENCE)
            stranger.sendall(VERSION + echo)
            heard = b""
            # The version is the first process's, and may come with the answer in one piece.
            while b"hello" not in heard:
                more = stranger.recv(65536)
                self.assertTrue(more, heard)
                heard += more
            stranger.sendall(b"\xff" * 100)
            broken = self.waitFor(relay, "connection-broken")
        self.assertEqual((broken["layer"], broken["fields"]["process"]), ("transports", 1))
        self.assertTrue(broken["message"].startswith("Process 1: Losing the connection"))

    def test_flood(self) -> None:
        """
        Thousands who are refused, each with another name, are a few dozen
        lines, and it is said how many there were; nobody else is held up.
        """
        relay, port = self.relay()
        count = 3000
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            stranger.settimeout(PATIENCE)
            stranger.sendall(VERSION)
            for number in range(count):
                stranger.sendall(registration(b"no/name/%d" % number))
            # Who asks for much is read slowly; what is behind it is answered
            # when all was.
            stranger.sendall(encodeFrame(encodeTransport([(0, b"echo")], [(0, b"me")], b"all of them")))
            heard = b""
            while b"all of them" not in heard:
                heard += stranger.recv(65536)
        relay.end()
        records = self.records(relay)
        refused = [each for each in records if each["event"] == "name-refused"]
        left = [each for each in records if each["event"] == "left-out"]
        self.assertLess(len(records), 150)
        # Each line that says how many is followed by one of them.
        self.assertEqual(len(refused) - len(left) + sum(each["fields"]["count"] for each in left), count)
        audit = [each for each in self.audit("audit") if each["event"] in ("name-refused", "left-out")]
        said = sum(each["fields"]["count"] for each in audit if each["event"] == "left-out")
        self.assertEqual(sum(each["event"] == "name-refused" for each in audit) + said, count)

    def test_handshakes(self) -> None:
        """
        So are thousands of handshakes that are none.
        """
        relay, port = self.relay()
        frame = encodeFrame(encodeTransport([(0, b"api")], [(0, b"me")], bytes(7)))
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port)) as stranger:
                stranger.settimeout(PATIENCE)
                stranger.sendall(VERSION + frame * 100)
        self.waitFor(relay, "handshake-failed")
        time.sleep(1)
        relay.end()
        self.assertLess(len(self.records(relay)), 150)


class PortalTests(LogTestCase):
    """
    Relay, outlet and inlet.
    """

    def test_decisions(self) -> None:
        """
        Who is accepted and who is refused is in the audit logs of both ends,
        and each stream; logs rotate; at level C{warn} nothing is in the log
        that is none.
        """
        require("curl")
        web, private = self.serveFolder()
        (private / "page").write_text("hello")
        at, port = freePort(), freePort()
        inlet = self.identity("inlet")
        relay = self.twist(
            "ockam-relay", "--listen", f"tcp:{at}:interface=127.0.0.1", "--log-level", "warn,relays=info", *JSON
        )
        relay.value("Identifier")
        out = self.twist(
            "ockam-outlet", "--target", f"127.0.0.1:{web}", "--relay", f"127.0.0.1:{at}", "--authorized", inlet,
            "--audit-log", "out.audit", "--log-format", "text", state="outlet",
        )  # fmt: skip
        address, outlet = out.value("Forwarding address"), out.value("Identifier")
        to = f"/ip4/127.0.0.1/tcp/{at}/service/{address}/secure/api/service/outlet"

        def inlets(state: str, port: int) -> Program:
            return self.twist(
                "ockam-inlet", "--listen", str(port), "--authorized", outlet, "--to", to,
                "--audit-log", f"{state}.audit", *JSON, state=state,
            )  # fmt: skip

        into = inlets("inlet", port)
        self.waitForPort(port)
        fetch = [*CURL, f"http://127.0.0.1:{port}/page"]
        self.assertEqual(subprocess.run(fetch, capture_output=True, check=True).stdout, b"hello")
        (self.folder / "out.audit").rename(self.folder / "out.audit.1")
        self.assertEqual(subprocess.run(fetch, capture_output=True, check=True).stdout, b"hello")
        stranger = inlets("stranger", freePort())
        self.waitFor(stranger, "session-waiting")
        who = stranger.value("Identifier")
        out.waitForText("channel-refused")
        # It is in the audit log after that.
        deadline = time.monotonic() + PATIENCE
        while '"channel-refused"' not in (self.folder / "out.audit").read_text("ascii").rpartition("\n")[0]:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        first = {each["event"]: each for each in self.audit("out.audit.1")}
        self.assertEqual(first["channel-accepted"]["fields"]["peer"], inlet)
        self.assertEqual(first["stream-allowed"]["outcome"], "allowed")
        self.assertEqual(first["stream-allowed"]["fields"], {"peer": inlet, "outlet": "outlet", "request": "open"})
        second = self.audit("out.audit")
        self.assertEqual(second[0]["event"], "stream-allowed")
        refused = next(each for each in second if each["event"] == "channel-refused")
        self.assertEqual((refused["outcome"], refused["fields"]["peer"]), ("refused", who))
        self.assertIn(
            ("peer-accepted", outlet),
            [(each["event"], each["fields"].get("peer")) for each in self.audit("inlet.audit")],
        )
        # In the text of the outlet nobody sees the streams; its lines are of one form.
        self.assertNotIn("stream-allowed", out.text())
        self.assertRegex(out.text(), r"(?m)^\S+ \[channels warn channel-refused\] A channel was refused: ")
        self.assertEqual(self.waitFor(into, "session-up")["layer"], "sessions")
        self.assertEqual({each["level"] for each in self.records(relay) if each["layer"] != "relays"} - {"warn"}, set())
        self.waitFor(relay, "name-given")

    def test_mistakes(self) -> None:
        """
        A node whose audit log cannot be written does not begin.
        """
        relay = self.twist("ockam-relay", "--listen", "tcp:0:interface=127.0.0.1", "--audit-log", "/nonexistent/audit")
        relay.process.wait(PATIENCE)
        self.assertEqual(
            relay.text(), "ockam-relay: cannot write the audit log /nonexistent/audit: No such file or directory\n"
        )
