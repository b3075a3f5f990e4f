"""
Outlets that know HTTP: curl, nginx, WebSockets and hostile clients; real
processes and sockets.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import socket
import subprocess
import threading
import time

from tests.scenarios.processes import CURL, PATIENCE, ScenarioTestCase, freePort, require

_HEADER = "X-Ockam-Identifier"

_CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-errors warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 64m;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/private;
        location = /who {{ return 200 "$request_method $http_x_ockam_identifier|$http_x_ockam_identifier\\n"; }}
        location /files {{ }}
        location = /take {{ proxy_pass http://127.0.0.1:{digests}/; }}
    }}
}}
"""


class WebTestCase(ScenarioTestCase):
    """
    An outlet with C{--http-header}, and an inlet.
    """

    def web(self, target: int, *options: str) -> int:
        """
        Start them.

        @return: The inlet's port.
        """
        self.who = self.identity("inlet")
        at, port = freePort(), freePort()
        self.outlet = self.twist(
            "ockam-outlet", "--target", str(target), "--listen", str(at), "--authorized", self.who,
            "--http-header", _HEADER, *options, state="outlet",
        )  # fmt: skip
        outlet = self.outlet.value("Identifier")
        self.twist(
            "ockam-inlet", "--listen", str(port), "--authorized", outlet,
            "--to", f"/ip4/127.0.0.1/tcp/{at}/secure/api/service/outlet", state="inlet",
        ).value("Identifier")  # fmt: skip
        self.waitForPort(port)
        return port

    def curl(self, *arguments: str) -> bytes:
        """
        Run curl.
        """
        done = subprocess.run([*CURL, *arguments], capture_output=True, timeout=90)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout


class NginxTests(WebTestCase):
    """
    A real web server.
    """

    def setUp(self) -> None:
        require("nginx", "curl")
        super().setUp()
        self.served = self.folder / "private" / "files"
        self.served.mkdir(parents=True)
        target, digests = freePort(), self.target("files", str(self.folder))
        path = self.folder / "nginx.conf"
        path.write_text(_CONFIGURATION.format(folder=self.folder, port=target, digests=digests))
        self.start(
            shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx",
            "-p", str(self.folder), "-e", str(self.folder / "nginx-errors"), "-c", str(path),
        )  # fmt: skip
        self.waitForPort(target)
        self.port = self.web(target)

    def test_identifier(self) -> None:
        """
        The server learns who is there with each request of a connection, and
        nothing else, whatever the client says.
        """
        url = f"http://127.0.0.1:{self.port}/who"
        answer = f"GET {self.who}|{self.who}\n".encode()
        self.assertEqual(self.curl(url, url, url), answer * 3)
        for header in (_HEADER, "x-ockam-identifier", "X_Ockam_Identifier"):
            self.assertEqual(self.curl("-H", f"{header}: Ievil", "-H", f"{_HEADER}: I2", url), answer)
        self.assertEqual(self.curl("-H", f"Connection: {_HEADER}", url), answer)
        self.assertEqual(self.curl("--http1.0", url), answer)
        self.assertEqual(self.curl("--http2", url), answer)

    def test_files(self) -> None:
        """
        Large files come as they are, a few at once over a few connections.
        """
        data = random.Random(3).randbytes(24 << 20)
        (self.served / "large").write_bytes(data)
        (self.served / "empty").write_bytes(b"")
        url = f"http://127.0.0.1:{self.port}/files"
        self.assertEqual(hashlib.sha256(self.curl(f"{url}/large")).digest(), hashlib.sha256(data).digest())
        self.assertEqual(self.curl("-r", "1000000-1000099", f"{url}/large"), data[1_000_000:1_000_100])
        self.assertEqual(self.curl(f"{url}/empty", f"{url}/empty"), b"")
        self.assertIn(b"Content-Length: 25165824", self.curl("-I", f"{url}/large", f"{url}/large"))

    def test_uploads(self) -> None:
        """
        Bodies arrive with a length or in chunks, also where the client waits
        for a word in between.
        """
        path = self.folder / "upload"
        path.write_bytes(random.Random(4).randbytes(8 << 20))
        url = f"http://127.0.0.1:{self.port}/take"
        for options in ((), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect: 100-continue")):
            answer = self.curl(*options, "-T", str(path), url)
            self.assertEqual(answer.decode(), hashlib.sha256(path.read_bytes()).hexdigest())

    def test_pipelined(self) -> None:
        """
        Many requests at once are answered in order.
        """
        for number in range(50):
            (self.served / str(number)).write_text(f"<{number}>")
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as client:
            client.settimeout(PATIENCE)
            client.sendall(b"".join(b"GET /files/%d HTTP/1.1\r\nHost: a\r\n\r\n" % each for each in range(50)))
            got = b""
            while b"<49>" not in got:
                data = client.recv(65536)
                self.assertTrue(data, got)
                got += data
        places = [got.index(b"<%d>" % each) for each in range(50)]
        self.assertEqual(places, sorted(places))

    def test_hostile(self) -> None:
        """
        What two may read differently is answered with 400, and the server
        never hears of what is hidden in it.
        """
        hidden = b"GET /who HTTP/1.1\r\nHost: a\r\nX-Ockam-Identifier: Ievil\r\n\r\n"
        for head in (
            b"Content-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"Content-Length: 0\r\nContent-Length: 60\r\n\r\n",
            b"Transfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n",
            b"Content-Length : 60\r\n\r\n",
            b"X: \x00\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as client:
                client.settimeout(PATIENCE)
                client.sendall(b"POST /who HTTP/1.1\r\nHost: a\r\n" + head + hidden)
                got = b""
                try:
                    while data := client.recv(65536):
                        got += data
                except ConnectionResetError:
                    pass
            self.assertTrue(got.startswith(b"HTTP/1.1 400 ") or not got, (head, got))
            self.assertEqual(got.count(b"HTTP/1.1"), 1 if got else 0)
            self.assertNotIn(b"evil", got)
        self.outlet.waitForText("it is no request that can be passed on")


class OtherTargetTests(WebTestCase):
    """
    Targets that are not web servers, or not only.
    """

    def server(self) -> socket.socket:
        """
        Be a private service.
        """
        server = socket.create_server(("127.0.0.1", 0))
        server.settimeout(PATIENCE)
        self.addCleanup(server.close)
        return server

    def test_webSocket(self) -> None:
        """
        A WebSocket, with messages in both directions, after the server has
        agreed.
        """
        server = self.server()
        heads: list[bytes] = []

        def serve() -> None:
            try:
                connection = self.accept(server)
                with connection:
                    head = b""
                    while not head.endswith(b"\r\n\r\n"):
                        head += connection.recv(1)
                    heads.append(head)
                    connection.sendall(
                        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
                    )
                    while data := connection.recv(65536):
                        connection.sendall(data)
            except OSError:
                return

        threading.Thread(target=serve, daemon=True).start()
        port = self.web(server.getsockname()[1])
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.settimeout(PATIENCE)
            client.sendall(
                b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"X-Ockam-Identifier: Ievil\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                b"Sec-WebSocket-Version: 13\r\n\r\n"
            )
            got = b""
            while b"\r\n\r\n" not in got:
                got += client.recv(1000)
            self.assertIn(b"101 Switching", got)
            data = random.Random(5).randbytes(3 << 20)
            sender = threading.Thread(target=client.sendall, args=(data,))
            sender.start()
            echoed = b""
            while len(echoed) < len(data):
                more = client.recv(1 << 20)
                self.assertTrue(more)
                echoed += more
            sender.join()
            self.assertEqual(echoed, data)
        self.assertIn(f"{_HEADER}: {self.who}".encode(), heads[0])
        self.assertNotIn(b"evil", heads[0])

    def test_backPressure(self) -> None:
        """
        A server that reads nothing holds the client up, and the outlet keeps
        little; a client that reads nothing holds the server up.
        """
        server = self.server()
        port = self.web(server.getsockname()[1])
        before = self.outlet.memory()
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.settimeout(1)
            client.sendall(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
            target = self.accept(server)
            sent, block = 0, bytes(1 << 20)
            try:
                while sent < 400 << 20:
                    sent += client.send(block)
            except TimeoutError:
                pass
            self.assertLess(sent, 100 << 20)
            self.assertLess(self.outlet.memory() - before, 64 << 20)
            client.settimeout(PATIENCE)
            target.settimeout(PATIENCE)
            head = b""
            while b"\r\n\r\n" not in head:
                head += target.recv(1000)
            got = len(head) - head.index(b"\r\n\r\n") - 4
            while got < sent:
                got += len(target.recv(1 << 20))
            target.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            target.settimeout(1)
            answered = 0
            try:
                while answered < 400 << 20:
                    answered += target.send(block)
            except TimeoutError:
                pass
            self.assertLess(answered, 100 << 20)
            self.assertLess(self.outlet.memory() - before, 64 << 20)
            target.close()

    def test_noHTTP(self) -> None:
        """
        A target that speaks something else: the client is cut off, and the log
        says why.
        """
        server = self.server()
        port = self.web(server.getsockname()[1])
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.settimeout(PATIENCE)
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            target = self.accept(server)
            with target:
                target.recv(1000)
                target.sendall(b"SSH-2.0-x\r\n\r\n")
                try:
                    while client.recv(1000):
                        pass
                except ConnectionResetError:
                    pass
        self.outlet.waitForText("does not speak HTTP/1.1")

    def test_announced(self) -> None:
        """
        With C{--proxy-protocol} as well, its header comes first, and once.
        """
        server = self.server()
        port = self.web(server.getsockname()[1], "--proxy-protocol")
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            got = b""
            while b"GET " not in got:
                # Somebody who has only looked is announced, too.
                got, target = b"", self.accept(server)
                while more := target.recv(1000):
                    got += more
                    if got.endswith(b"\r\n\r\n"):
                        break
        size = 16 + int.from_bytes(got[14:16], "big")
        self.assertEqual(got[:12], b"\r\n\r\n\x00\r\nQUIT\n")
        self.assertTrue(got[size:].startswith(b"GET / HTTP/1.1\r\n"), got)
        self.assertEqual(got.count(b"QUIT"), 1)

    def test_goneClient(self) -> None:
        """
        Clients that go while a request is under way leave nothing behind.
        """
        server = self.server()
        port = self.web(server.getsockname()[1])
        before = self.outlet.openFiles()
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                target = self.accept(server)
                target.settimeout(PATIENCE)
                self.assertTrue(target.recv(1000))
            # The client has closed; a server answers into the void, or sees it.
            target.close()
        deadline = time.monotonic() + PATIENCE
        # The node may have made what it keeps, for many connections, meanwhile.
        while self.outlet.openFiles() > before + 3:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
