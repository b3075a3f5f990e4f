"""
The main job with real programs at both ends, in real time.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from tests.scenarios.processes import CURL, ROOT, ScenarioTestCase, freePort, require


def _listening(pid: int) -> list[str]:
    """
    The listening TCP sockets of a process, from the system's socket table.
    """
    own = {os.readlink(f"/proc/{pid}/fd/{each}") for each in os.listdir(f"/proc/{pid}/fd")}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                found.append(fields[1])
    return found


class _EchoServer:
    """
    Echoes in threads, so that the test can block.
    """

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(client,), daemon=True).start()

    def _echo(self, client: socket.socket) -> None:
        with client:
            try:
                while data := client.recv(65536):
                    client.sendall(data)
            except OSError:
                pass

    def close(self) -> None:
        self.socket.close()


class _Recorder:
    """
    Stands where the relay's wire is, records both directions, and may change
    what passes.
    """

    def __init__(self, target: int) -> None:
        self.seen = bytearray()
        self.flip = False
        self._target = target
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.socket.accept()
                far = socket.create_connection(("127.0.0.1", self._target), 10)
            except OSError:
                return
            far.settimeout(None)
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := bytearray(one.recv(65536)):
                self.seen += data
                if self.flip and len(data) > 2000:
                    self.flip = False
                    data[1500] ^= 1
                other.sendall(data)
        except OSError:
            pass
        for each in (one, other):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        self.socket.close()


class MainJobTests(ScenarioTestCase):
    """
    Inlet, relay and outlet, each a process.
    """

    def test_curl(self) -> None:
        """
        A large file arrives unchanged, and the outlet listens nowhere.
        """
        require("curl")
        target, folder = self.serveFolder()
        content = os.urandom(1 << 20) * 128
        (folder / "large").write_bytes(content)
        port, inlet, relay, outlet = self.portal(target)
        got = self.folder / "got"
        subprocess.run([*CURL, "-o", str(got), f"http://127.0.0.1:{port}/large"], check=True)
        self.assertEqual(hashlib.sha256(got.read_bytes()).digest(), hashlib.sha256(content).digest())
        self.assertEqual(_listening(outlet.pid), [])
        self.assertNotEqual(_listening(relay.pid), [])
        for program in (inlet, outlet, relay):
            self.assertEqual(program.end(), -15 if program.process.returncode == -15 else 0)
            self.assertNotIn("Traceback", program.text())

    def test_both_directions_and_many(self) -> None:
        """
        200 clients at once, each of which gets back what it sent.
        """
        server = _EchoServer()
        self.addCleanup(server.close)
        port, *_ = self.portal(server.port)
        clients = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(200)]
        for number, client in enumerate(clients):
            client.settimeout(30)
            client.sendall(b"%06d" % number * 1000)
        for number, client in enumerate(clients):
            expected = b"%06d" % number * 1000
            got = b""
            while len(got) < len(expected):
                data = client.recv(65536)
                self.assertTrue(data, "closed early")
                got += data
            self.assertEqual(got, expected)
            client.close()

    def test_relay_sees_nothing(self) -> None:
        """
        Who records the wire of the relay finds no plaintext in it.
        """
        server = _EchoServer()
        self.addCleanup(server.close)
        relayPort = freePort()
        recorder = _Recorder(relayPort)
        self.addCleanup(recorder.close)
        port = self._throughRecorder(server.port, relayPort, recorder)
        secret = b"attack at dawn, the password is swordfish"
        with socket.create_connection(("127.0.0.1", port), 20) as client:
            client.settimeout(20)
            client.sendall(secret * 100)
            got = b""
            while len(got) < len(secret) * 100:
                got += client.recv(65536)
        self.assertEqual(got, secret * 100)
        self.assertGreater(len(recorder.seen), len(got))
        self.assertNotIn(b"swordfish", recorder.seen)

    def test_relay_changes_a_byte(self) -> None:
        """
        A byte changed on the way ends the channel: a wrong one never arrives,
        and over the next channel the right one does.
        """
        server = _EchoServer()
        self.addCleanup(server.close)
        relayPort = freePort()
        recorder = _Recorder(relayPort)
        self.addCleanup(recorder.close)
        port = self._throughRecorder(server.port, relayPort, recorder)
        with socket.create_connection(("127.0.0.1", port), 20) as client:
            client.settimeout(20)
            client.sendall(b"good")
            self.assertEqual(client.recv(100), b"good")
            recorder.flip = True
            client.sendall(b"z" * 20000)
            got = b""
            while len(got) < 20000:
                data = client.recv(65536)
                self.assertTrue(data, "closed early")
                got += data
        self.assertFalse(recorder.flip)
        self.assertEqual(got, b"z" * 20000)

    def _throughRecorder(self, target: int, relayPort: int, recorder: _Recorder) -> int:
        """
        The inlet reaches the relay through the recorder.
        """
        inlet, outlet, port = self.identity("inlet"), self.identity("outlet"), freePort()
        self.twist("ockam-relay", "--listen", f"tcp:{relayPort}:interface=127.0.0.1").value("Identifier")
        out = self.twist(
            "ockam-outlet", "--target", f"127.0.0.1:{target}", "--relay", str(relayPort), "--authorized", inlet,
            state="outlet",
        )  # fmt: skip
        to = f"/ip4/127.0.0.1/tcp/{recorder.port}/service/{out.value('Forwarding address')}/secure/api/service/outlet"
        self.twist("ockam-inlet", "--listen", str(port), "--authorized", outlet, "--to", to, state="inlet")
        self.waitForPort(port)
        return port

    def test_any_order_and_restart(self) -> None:
        """
        The relay may come last, and come back: everything finds together
        again, under the same forwarding address.
        """
        server = _EchoServer()
        self.addCleanup(server.close)
        relayPort, port = freePort(), freePort()
        inlet, outlet = self.identity("inlet"), self.identity("outlet")
        to = f"/ip4/127.0.0.1/tcp/{relayPort}/service/forward_to_{outlet}/secure/api/service/outlet"
        into = self.twist("ockam-inlet", "--listen", str(port), "--authorized", outlet, "--to", to, state="inlet")
        out = self.twist(
            "ockam-outlet", "--target", f"127.0.0.1:{server.port}", "--relay", str(relayPort), "--authorized", inlet,
            state="outlet",
        )  # fmt: skip
        into.waitForText("next try in")
        out.waitForText("next try in")
        for _ in range(2):
            relay = self.twist("ockam-relay", "--listen", f"tcp:{relayPort}:interface=127.0.0.1", state="relay")
            out.value("Forwarding address")
            self.assertEqual(self._echoed(port), b"hello")
            relay.end()

    def _echoed(self, port: int) -> bytes:
        for _ in range(20):
            try:
                with socket.create_connection(("127.0.0.1", port), 5) as client:
                    client.settimeout(15)
                    client.sendall(b"hello")
                    data = client.recv(5)
                    if data:
                        return data
            except ConnectionError:
                pass
        return b""

    def test_wrong_identifier(self) -> None:
        """
        An outlet that is not who it should be gets no client; the client is
        told by a reset, the log by one line.
        """
        server = _EchoServer()
        self.addCleanup(server.close)
        at, port, inlet = freePort(), freePort(), self.identity("inlet")
        out = self.twist(
            "ockam-outlet", "--target", f"127.0.0.1:{server.port}", "--listen", str(at), "--authorized", inlet
        )
        out.value("Identifier")
        into = self.twist(
            "ockam-inlet", "--listen", str(port), "--authorized", self.identity("somebody"), "--connect-timeout", "2",
            "--to", f"/ip4/127.0.0.1/tcp/{at}/secure/api/service/outlet", state="inlet",
        )  # fmt: skip
        self.waitForPort(port)
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.settimeout(15)
            self.assertRaises(ConnectionResetError, client.recv, 1)
        into.waitForText("is not trusted here")
        self.assertNotIn("Traceback", into.text() + out.text())

    def test_target_refused(self) -> None:
        """
        A target that refuses closes the client; the log says so.
        """
        port, *_, outlet = self.portal(freePort())
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.settimeout(15)
            try:
                self.assertEqual(client.recv(1), b"")
            except ConnectionResetError:
                pass
        outlet.waitForText("does not answer")
        self.assertNotIn("Traceback", outlet.text())

    def test_demo(self) -> None:
        """
        The demo runs, shows the page, and cleans up.
        """
        demo = subprocess.run(
            [sys.executable, "-m", "ockam_twisted.command", "demo", "--check"],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=self.folder,
        )
        self.assertEqual(demo.returncode, 0, demo.stdout + demo.stderr)
        self.assertIn("The page came through", demo.stdout)
