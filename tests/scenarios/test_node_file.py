"""
C{twist ockam-node}: several things in one process, from a file, as an
operator would.  Real processes, sockets and programs, in real time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.scenarios.processes import CURL, PATIENCE, ROOT, Program, ScenarioTestCase, freePort, require


class NodeFileTests(ScenarioTestCase):
    """
    Nodes from files, and a relay, each a process.
    """

    def node(self, name: str, text: str) -> Program:
        """
        Start a node from a file.
        """
        path = self.folder / f"{name}.yaml"
        path.write_text(f"state:\n  folder: {self.folder / name}\n{text}")
        return self.start(sys.executable, "-m", "twisted", "ockam-node", "--config", str(path))

    def relay(self) -> int:
        """
        Start a relay.

        @return: Its port.
        """
        port = freePort()
        self.twist("ockam-relay", "--listen", f"tcp:{port}:interface=127.0.0.1", state="relay").value("Identifier")
        return port

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
            check=False,
        )

    def got(self, port: int, path: str) -> bytes:
        """
        What curl gets.
        """
        return subprocess.run([*CURL, f"http://127.0.0.1:{port}/{path}"], capture_output=True, check=True).stdout

    def echoed(self, port: int, data: bytes) -> bytes:
        """
        What comes back through a port, until it is as much as was sent or the
        end.
        """
        got = b""
        # A reset may come before we have seen that we are connected.
        with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.settimeout(PATIENCE)
            client.sendall(data)
            while len(got) < len(data) and (more := client.recv(65536)):
                got += more
        return got

    def test_severalInOne(self) -> None:
        """
        Two outlets, an inlet and a registration in one process; its peer has
        as many.  Bytes pass each way, through one relay, and each outlet lets
        in whom its own keys name.
        """
        require("curl")
        relay = self.relay()
        web, folder = self.serveFolder()
        content = os.urandom(1 << 20) * 4
        (folder / "large").write_bytes(content)
        echo = self.target("echo")
        one, two, three = (self.identity(each) for each in ("one", "two", "three"))
        self.node(
            "one",
            f"""\
registrations:
  - relay: 127.0.0.1:{relay}
    name: one
outlets:
  - target: 127.0.0.1:{web}
    address: web
    authorized: [{two}, {three}]
  - target: 127.0.0.1:{echo}
    address: echoes
    authorized: {two}
inlets:
  - name: back
    listen: {(back := freePort())}
    to: {two}@/ip4/127.0.0.1/tcp/{relay}/service/forward_to_two/secure/api/service/outlet
""",
        ).value("Forwarding address")
        way = f"{one}@/ip4/127.0.0.1/tcp/{relay}/service/forward_to_one/secure/api/service/"
        self.node(
            "two",
            f"""\
registrations:
  - {{relay: "127.0.0.1:{relay}", name: two}}
outlets:
  - target: 127.0.0.1:{web}
    authorized: {one}
inlets:
  - {{name: web, listen: {(webAt := freePort())}, to: {way}web}}
  - {{name: echo, listen: {(echoAt := freePort())}, to: {way}echoes}}
""",
        ).value("Forwarding address")
        for port in (webAt, echoAt, back):
            self.waitForPort(port)
        for port in (webAt, back):
            self.assertEqual(hashlib.sha256(self.got(port, "large")).digest(), hashlib.sha256(content).digest())
        self.assertEqual(self.echoed(echoAt, content[:500_000]), content[:500_000])
        # Who may use one outlet of a node may not use the other.
        first, second = freePort(), freePort()
        self.node(
            "three",
            f"""\
inlets:
  - {{name: web, listen: {first}, to: {way}web}}
  - {{name: echo, listen: {second}, to: {way}echoes}}
""",
        )
        self.waitForPort(second)
        self.assertEqual(self.got(first, "large"), content)
        self.assertEqual(self.echoed(second, b"let me in"), b"")

    def test_tickets(self) -> None:
        """
        A node whose outlets nobody was let in to prints a ticket; an inlet is
        paired by it, from a file that its configuration names.
        """
        require("curl")
        relay = self.relay()
        web, folder = self.serveFolder()
        (folder / "small").write_bytes(b"behind")
        far = self.node(
            "far",
            f"""\
registrations:
  - relay: 127.0.0.1:{relay}
outlets:
  - target: 127.0.0.1:{web}
""",
        )
        (self.folder / "ticket.txt").write_text(far.value("Ticket") + "\n")
        port = freePort()
        text = f"""\
inlets:
  - name: web
    listen: {port}
    ticket: file:{self.folder / "ticket.txt"}
"""
        near = self.node("near", text)
        self.waitForPort(port)
        self.assertEqual(self.got(port, "small"), b"behind")
        near.end()
        self.assertNotIn("ockamticket", near.text())
        # From then on it knows whom it is paired with.
        self.node("near", text.replace(f"    ticket: file:{self.folder / 'ticket.txt'}\n", ""))
        self.waitForPort(port)
        self.assertEqual(self.got(port, "small"), b"behind")

    def test_wrong(self) -> None:
        """
        What is wrong with a file is said in lines, by the node itself and by
        C{config check}, and nothing is started.
        """
        text = f"state: {{folder: {self.folder / 'state'}}}\noutlet: []\nhop: maybe\n"
        path = self.folder / "bad.yaml"
        path.write_text(text)
        said = [
            f"{path}:2: there is no key 'outlet'; did you mean outlets?",
            f"{path}:3: hop is true or false, not 'maybe'",
        ]
        checked = self.command("config", "check", str(path))
        self.assertEqual((checked.returncode, checked.stderr.splitlines(), checked.stdout), (1, said, ""))
        node = self.start(sys.executable, "-m", "twisted", "ockam-node", "--config", str(path))
        self.assertEqual(node.process.wait(PATIENCE), 1)
        self.assertEqual(node.text().splitlines(), [f"ockam-node: {each}" for each in said])
        self.assertFalse((self.folder / "state").exists())

    def test_example(self) -> None:
        """
        The example is a file that is right, and starts.
        """
        written = self.command("config", "example")
        self.assertEqual((written.returncode, written.stderr), (0, ""))
        path = Path(self.folder / "node.yaml")
        path.write_text(written.stdout)
        checked = self.command("config", "check", str(path))
        self.assertEqual((checked.returncode, checked.stderr), (0, ""))
        self.assertIn("all right: 1 outlet", checked.stdout)

    def test_everythingAtOnce(self) -> None:
        """
        A node that is a relay and an authority, too, to which anybody may
        prove who they are: its outlet lets in who is authorized there, and
        nobody else; the relay relays.
        """
        listen = freePort()
        echo = self.target("echo")
        hub, friend, stranger = (self.identity(each) for each in ("hub", "friend", "stranger"))
        self.node(
            "hub",
            f"""\
listen: {listen}
relay:
authority-service:
authorized: {friend}
outlets:
  - target: 127.0.0.1:{echo}
""",
        ).value("Identifier")
        self.waitForPort(listen)
        direct = f"{hub}@/ip4/127.0.0.1/tcp/{listen}/secure/api/service/outlet"
        through = f"/ip4/127.0.0.1/tcp/{listen}/service/forward_to_{stranger}/secure/api/service/outlet"
        self.node(
            "stranger",
            f"""\
registrations:
  - relay: 127.0.0.1:{listen}
authorized: {friend}
outlets:
  - target: 127.0.0.1:{echo}
inlets:
  - {{listen: {(refused := freePort())}, to: {direct}}}
""",
        ).value("Forwarding address")
        self.node(
            "friend",
            f"""\
inlets:
  - {{name: hub, listen: {(first := freePort())}, to: {direct}}}
  - {{name: other, listen: {(second := freePort())}, to: {stranger}@{through}}}
""",
        )
        for port in (refused, first, second):
            self.waitForPort(port)
        for port in (first, second):
            self.assertEqual(self.echoed(port, b"hello" * 1000), b"hello" * 1000)
        self.assertEqual(self.echoed(refused, b"let me in"), b"")

    def test_reload(self) -> None:
        """
        A file that was changed to be wrong changes nothing and says what is
        wrong; once it is right, an outlet more can be reached, and the stream
        that was open all the time is as it was.
        """
        relay = self.relay()
        echo = self.target("echo")
        one, two = self.identity("one"), self.identity("two")
        text = f"""\
authorized: {two}
registrations:
  - {{relay: "127.0.0.1:{relay}", name: one}}
outlets:
  - {{target: "127.0.0.1:{echo}", address: first}}
"""
        self.node("one", text).value("Forwarding address")
        way = f"{one}@/ip4/127.0.0.1/tcp/{relay}/service/forward_to_one/secure/api/service/"
        ports = freePort(), freePort()
        self.node(
            "two",
            f"""\
inlets:
  - {{name: first, listen: {ports[0]}, to: {way}first}}
  - {{name: second, listen: {ports[1]}, to: {way}second}}
""",
        )
        for port in ports:
            self.waitForPort(port)
        reload = ("reload", "--state-dir", str(self.folder / "one"))
        path = self.folder / "one.yaml"
        right = path.read_text()
        with socket.create_connection(("127.0.0.1", ports[0]), PATIENCE) as client:
            client.settimeout(PATIENCE)
            client.sendall(b"before")
            self.assertEqual(client.recv(6), b"before")
            path.write_text(right + "outlet: []\n")
            done = self.command(*reload)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            number = len(right.splitlines()) + 1
            self.assertIn(f"{path}:{number}: there is no key 'outlet'; did you mean outlets?", done.stderr)
            self.assertEqual(self.echoed(ports[1], b"not there yet"), b"")
            path.write_text(right + f'  - {{target: "127.0.0.1:{echo}", address: second}}\n')
            done = self.command(*reload)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("added: outlet second\n", done.stdout)
            self.assertEqual(self.echoed(ports[1], b"now it is"), b"now it is")
            client.sendall(b"after")
            self.assertEqual(client.recv(5), b"after")
