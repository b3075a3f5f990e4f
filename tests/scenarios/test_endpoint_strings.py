"""
Every kind of endpoint string, with bytes through a portal; real processes and
sockets, and somebody who listens on the wire.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import struct
import sys
import threading
from pathlib import Path

from tests.certificates import makeCertificate
from tests.scenarios.processes import PATIENCE, Program, ScenarioTestCase, canConnect, freePort, require
from tests.scenarios.tap import Tap

#: What nobody on the wire may see.
SECRET = b"a word that nobody else may read " * 4

#: Somebody who does as systemd does: the first descriptor is the socket.
_ACTIVATE = """
import os, socket, sys
given = socket.socket(fileno=int(sys.argv[1]))
os.dup2(given.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="inlet.socket")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class EndpointTestCase(ScenarioTestCase):
    """
    An outlet that listens by itself, and inlets.
    """

    def setUp(self) -> None:
        super().setUp()
        self.who = {each: self.identity(each) for each in ("inlet", "outlet")}
        self.nodeAt = freePort()

    def makeRoots(self, *names: str) -> tuple[Path, Path]:
        """
        A certificate, and the folder of those who are trusted.
        """
        folder, roots = self.folder / "certificates", self.folder / "roots"
        folder.mkdir(exist_ok=True)
        roots.mkdir(exist_ok=True)
        pem = makeCertificate(folder, *names)
        shutil.copy(pem, roots)
        return pem, roots

    def outlet(self, target: str, *options: str, listen: str = "") -> Program:
        """
        Start an outlet that listens for its inlet.
        """
        listen = listen or f"tcp:{self.nodeAt}:interface=127.0.0.1"
        outlet = self.twist(
            "ockam-outlet", "--target", target, "--listen", listen, "--authorized", self.who["inlet"], *options,
            state="outlet",
        )  # fmt: skip
        outlet.value("Identifier")
        return outlet

    def inlet(self, listen: str, *options: str, way: str = "") -> Program:
        """
        Start an inlet.
        """
        inlet = self.twist(*self.inletOptions(listen, *options, way=way), state="inlet")
        inlet.value("Identifier")
        return inlet

    def inletOptions(self, listen: str, *options: str, way: str = "") -> tuple[str, ...]:
        """
        What an inlet is started with.
        """
        way = way or f"/ip4/127.0.0.1/tcp/{self.nodeAt}/secure/api/service/outlet"
        return "ockam-inlet", "--listen", listen, "--authorized", self.who["outlet"], "--to", way, *options

    def tap(self, to: int) -> Tap:
        """
        Listen on the wire.
        """
        tap = Tap(to)
        self.addCleanup(tap.close)
        return tap

    def echoed(self, client: socket.socket, data: bytes = SECRET) -> None:
        """
        What is said comes back, and the end, too.
        """
        client.settimeout(PATIENCE)
        client.sendall(data)
        got = b""
        while len(got) < len(data):
            more = client.recv(65536)
            self.assertTrue(more, f"it ended after {len(got)} of {len(data)} bytes")
            got += more
        self.assertEqual(got, data)

    def connect(self, port: int) -> socket.socket:
        """
        Be a client.
        """
        client = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(client.close)
        return client

    def connectUnix(self, path: Path) -> socket.socket:
        """
        Be a client on a Unix socket.
        """
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.settimeout(PATIENCE)
        client.connect(str(path))
        return client

    def secured(self, client: socket.socket, roots: Path, name: str = "localhost") -> ssl.SSLSocket:
        """
        Speak TLS.
        """
        context = ssl.create_default_context()
        for each in roots.iterdir():
            context.load_verify_locations(each)
        wrapped = context.wrap_socket(client, server_hostname=name)
        self.addCleanup(wrapped.close)
        return wrapped


class TLSTests(EndpointTestCase):
    """
    C{ssl:} and C{tls:}; whatever way bytes take inside of a node, none leaves
    without TLS.
    """

    def check(self, listen: str, roots: Path) -> None:
        """
        An inlet speaks TLS with its clients, whatever the size of what they
        send, and nothing else.
        """
        inletAt = freePort()
        self.outlet(f"127.0.0.1:{self.target('echo')}")
        inlet = self.inlet(listen.format(inletAt))
        self.waitForPort(inletAt)
        tap = self.tap(inletAt)
        client = self.secured(self.connect(tap.port), roots)
        self.echoed(client)
        self.echoed(client, SECRET * 20_000)
        self.assertGreater(len(tap.seen), len(SECRET) * 40_000)
        self.assertNotIn(SECRET[:33], bytes(tap.seen))
        plain = self.connect(inletAt)
        plain.sendall(SECRET)
        plain.settimeout(PATIENCE)
        try:
            got = plain.recv(1000)
        except ConnectionResetError:
            got = b""
        # An alert, at most.
        self.assertNotIn(SECRET[:5], got)
        self.assertNotIn("Traceback", inlet.text())

    def test_inlet(self) -> None:
        """
        C{ssl:} with a certificate.
        """
        pem, roots = self.makeRoots("localhost")
        self.check(f"ssl:{{}}:interface=127.0.0.1:privateKey={pem}", roots)

    def test_inletOfFolder(self) -> None:
        """
        C{tls:} with a folder of certificates.
        """
        pem, roots = self.makeRoots("localhost")
        self.check(f"tls:{pem.parent}:{{}}", roots)

    def test_targetFirst(self) -> None:
        """
        A target that speaks first is heard by a client over TLS.
        """
        pem, roots = self.makeRoots("localhost")
        inletAt = freePort()
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(PATIENCE)

            def greet() -> None:
                connection, _ = server.accept()
                with connection:
                    connection.sendall(SECRET)

            self.outlet(f"127.0.0.1:{server.getsockname()[1]}")
            self.inlet(f"ssl:{inletAt}:interface=127.0.0.1:privateKey={pem}")
            thread = threading.Thread(target=greet)
            thread.start()
            client = self.secured(self.connect(inletAt), roots)
            client.settimeout(PATIENCE)
            got = b""
            while data := client.recv(1000):
                got += data
            thread.join(PATIENCE)
        self.assertEqual(got, SECRET)

    def test_relay(self) -> None:
        """
        A relay that listens with TLS: an outlet registers there and inlets
        find it; nobody on the wire sees as much as a route.
        """
        pem, roots = self.makeRoots("localhost")
        plainAt, securedAt, inletAt = freePort(), freePort(), freePort()
        self.twist(
            "ockam-relay", "--listen", f"tcp:{plainAt}:interface=127.0.0.1",
            "--listen", f"ssl:{securedAt}:interface=127.0.0.1:privateKey={pem}", state="relay",
        ).value("Identifier")  # fmt: skip
        tap = self.tap(securedAt)
        outlet = self.twist(
            "ockam-outlet", "--target", f"127.0.0.1:{self.target('echo')}", "--authorized", self.who["inlet"],
            "--relay", f"tls:localhost:{securedAt}:trustRoots={roots}:endpoint=tcp\\:127.0.0.1\\:{tap.port}",
            state="outlet",
        )  # fmt: skip
        address = outlet.value("Forwarding address")
        self.inlet(str(inletAt), way=f"/ip4/127.0.0.1/tcp/{plainAt}/service/{address}/secure/api/service/outlet")
        self.waitForPort(inletAt)
        self.echoed(self.connect(inletAt), SECRET * 1000)
        seen = bytes(tap.seen)
        self.assertGreater(len(seen), len(SECRET) * 2000)
        for word in (b"forward", self.who["outlet"].encode(), SECRET[:33], b"secure"):
            self.assertNotIn(word, seen)

    def test_target(self) -> None:
        """
        A target is reached over TLS: the client speaks plainly with the inlet,
        and on the wire to the target there is no plain byte.
        """
        pem, roots = self.makeRoots("localhost")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pem)
        inletAt, server = freePort(), socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                    with context.wrap_socket(connection, server_side=True) as wrapped:
                        while data := wrapped.recv(65536):
                            wrapped.sendall(data)
                        # Without a word it would be no end that can be trusted.
                        wrapped.unwrap()
                except ssl.SSLError:
                    continue
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        tap = self.tap(server.getsockname()[1])
        self.outlet(f"tls:localhost:443:trustRoots={roots}:endpoint=tcp\\:127.0.0.1\\:{tap.port}")
        self.inlet(str(inletAt))
        self.waitForPort(inletAt)
        client = self.connect(inletAt)
        self.echoed(client, SECRET * 5000)
        # The end of one half is told by TLS, and the other one goes on.
        client.sendall(SECRET)
        client.shutdown(socket.SHUT_WR)
        got = b""
        while data := client.recv(65536):
            got += data
        self.assertEqual(got, SECRET)
        self.assertGreater(len(tap.seen), len(SECRET) * 10_000)
        self.assertNotIn(SECRET[:33], bytes(tap.seen))

    def test_wrongCertificate(self) -> None:
        """
        A target with somebody else's certificate gets no byte; the client is
        reset, and the log says why.
        """
        pem, roots = self.makeRoots("other.example")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pem)
        inletAt, server = freePort(), socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        got: list[bytes] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                    with context.wrap_socket(connection, server_side=True) as wrapped:
                        got.append(wrapped.recv(65536))
                except ssl.SSLError:
                    continue
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        outlet = self.outlet(
            f"tls:localhost:443:trustRoots={roots}:endpoint=tcp\\:127.0.0.1\\:{server.getsockname()[1]}"
        )
        self.inlet(str(inletAt))
        self.waitForPort(inletAt)
        client = self.connect(inletAt)
        client.settimeout(PATIENCE)
        client.sendall(SECRET)
        self.assertRaises(ConnectionResetError, client.recv, 1)
        outlet.waitForText("does not answer: ")
        self.assertIn("TLS: the certificate is not of localhost", outlet.text())
        self.assertNotIn(SECRET[:33], b"".join(got))


class UnixTests(EndpointTestCase):
    """
    C{unix:} wherever something listens or is dialled.
    """

    def test_inletAndTarget(self) -> None:
        """
        From one Unix socket to another.
        """
        target = self.folder / "target.sock"
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(str(target))
        server.listen()

        def serve() -> None:
            try:
                connection, _ = server.accept()
                with connection:
                    while data := connection.recv(65536):
                        connection.sendall(data)
            except OSError:
                return

        threading.Thread(target=serve, daemon=True).start()
        self.outlet(f"unix:{target}")
        path = self.folder / "inlet.sock"
        inlet = self.inlet(f"unix:{path}:mode=600")
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        client = self.connectUnix(path)
        self.echoed(client, SECRET * 10_000)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(client.recv(1), b"")
        inlet.end()
        self.assertFalse(path.exists())

    def test_relay(self) -> None:
        """
        A relay that an outlet reaches over a Unix socket.
        """
        relayAt, inletAt, path = freePort(), freePort(), self.folder / "relay.sock"
        self.twist(
            "ockam-relay", "--listen", f"tcp:{relayAt}:interface=127.0.0.1", "--listen", f"unix:{path}", state="relay"
        ).value("Identifier")
        outlet = self.twist(
            "ockam-outlet", "--target", f"127.0.0.1:{self.target('echo')}", "--authorized", self.who["inlet"],
            "--relay", f"unix:{path}", state="outlet",
        )  # fmt: skip
        address = outlet.value("Forwarding address")
        self.inlet(str(inletAt), way=f"/ip4/127.0.0.1/tcp/{relayAt}/service/{address}/secure/api/service/outlet")
        self.waitForPort(inletAt)
        self.echoed(self.connect(inletAt), SECRET * 1000)

    def test_leftOver(self) -> None:
        """
        The socket file of a process that was killed is in nobody's way.
        """
        self.outlet(f"127.0.0.1:{self.target('echo')}")
        path = self.folder / "inlet.sock"
        killed = self.inlet(f"unix:{path}")
        killed.process.kill()
        killed.process.wait()
        self.assertTrue(path.exists())
        self.inlet(f"unix:{path}")
        self.echoed(self.connectUnix(path))


class GivenTests(EndpointTestCase):
    """
    Sockets that a process is started with.
    """

    def given(self, listen: str, *start: str) -> int:
        """
        Start an inlet with a socket that listens.

        @return: The port.
        """
        self.outlet(f"127.0.0.1:{self.target('echo')}")
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        self.count += 1
        log = self.folder / f"{self.count}.log"
        options = self.inletOptions(listen.format(server.fileno()), "--state-dir", str(self.folder / "inlet"))
        program = Program(
            [sys.executable, *(each.format(server.fileno()) for each in start), "-m", "twisted", *options],
            log,
            (server.fileno(),),
        )
        self.addCleanup(program.end)
        program.value("Identifier")
        port: int = server.getsockname()[1]
        server.close()
        return port

    def test_systemd(self) -> None:
        """
        As systemd starts a service whose socket it has.
        """
        port = self.given("systemd:domain=INET:index=0", "-c", _ACTIVATE, "{}")
        self.echoed(self.connect(port), SECRET * 100)

    def test_systemdByName(self) -> None:
        """
        The same by the name of the socket.
        """
        port = self.given("systemd:domain=INET:name=inlet.socket", "-c", _ACTIVATE, "{}")
        self.echoed(self.connect(port), SECRET * 100)

    def test_descriptor(self) -> None:
        """
        C{fd:} for whoever else hands on sockets.
        """
        self.echoed(self.connect(self.given("fd:{}")), SECRET * 100)


class ProxiedTests(EndpointTestCase):
    """
    C{haproxy:}: clients that come through a proxy.
    """

    def setUp(self) -> None:
        super().setUp()
        self.outlet(f"127.0.0.1:{self.target('echo')}")
        self.inletAt = freePort()

    def test_headers(self) -> None:
        """
        The header is taken away, of whatever version, and what comes with it
        in one piece is not; the two halves of a connection stay two.
        """
        self.inlet(f"haproxy:tcp:{self.inletAt}:interface=127.0.0.1")
        self.waitForPort(self.inletAt)
        addresses = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 41000, 443)
        second = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11" + struct.pack("!H", len(addresses)) + addresses
        for header in (b"PROXY TCP4 192.0.2.7 192.0.2.1 41000 443\r\n", second):
            client = self.connect(self.inletAt)
            client.settimeout(PATIENCE)
            client.sendall(header + SECRET)
            client.shutdown(socket.SHUT_WR)
            got = b""
            while data := client.recv(65536):
                got += data
            self.assertEqual(got, SECRET)

    def test_none(self) -> None:
        """
        Who sends no header is reset, and opens no stream; one line says so.
        """
        inlet = self.inlet(f"haproxy:tcp:{self.inletAt}:interface=127.0.0.1")
        self.waitForPort(self.inletAt)
        for _ in range(3):
            client = self.connect(self.inletAt)
            client.settimeout(PATIENCE)
            client.sendall(SECRET)
            self.assertRaises(ConnectionResetError, client.recv, 1)
        inlet.waitForText("A connection was closed that began with no header of the PROXY protocol")
        self.assertEqual(inlet.text().count("no header of the PROXY protocol"), 1)

    def test_haproxy(self) -> None:
        """
        Behind HAProxy itself.
        """
        require("haproxy")
        self.inlet(f"haproxy:tcp:{self.inletAt}:interface=127.0.0.1")
        self.waitForPort(self.inletAt)
        at = freePort()
        configuration = self.folder / "haproxy.cfg"
        configuration.write_text(
            "defaults\n mode tcp\n timeout client 30s\n timeout server 30s\n timeout connect 5s\n"
            f"listen front\n bind 127.0.0.1:{at}\n server inlet 127.0.0.1:{self.inletAt} send-proxy-v2\n"
        )
        self.start(
            shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin") or "", "-db", "-f", str(configuration)
        )
        self.waitForPort(at)
        for _ in range(3):
            self.echoed(self.connect(at), SECRET * 1000)
        self.assertTrue(canConnect(self.inletAt))
