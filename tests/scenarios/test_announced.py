"""
Targets that are told whose connection it is, by other implementations of the
PROXY protocol: nginx and HAProxy; real processes and sockets.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import time

from tests.scenarios.processes import PATIENCE, ScenarioTestCase, freePort, require


class AnnouncedTests(ScenarioTestCase):
    """
    An outlet with C{--proxy-protocol}.
    """

    def announced(self, target: int, *options: str, listen: str = "{}") -> int:
        """
        Start outlet and inlet.

        @return: The inlet's port.
        """
        self.who = self.identity("inlet")
        at, port = freePort(), freePort()
        outlet = self.twist(
            "ockam-outlet", "--target", str(target), "--listen", str(at), "--authorized", self.who,
            "--proxy-protocol", state="outlet",
        ).value("Identifier")  # fmt: skip
        self.twist(
            "ockam-inlet", "--listen", listen.format(port), "--authorized", outlet,
            "--to", f"/ip4/127.0.0.1/tcp/{at}/secure/api/service/outlet", *options, state="inlet",
        ).value("Identifier")  # fmt: skip
        self.waitForPort(port)
        return port

    def program(self, name: str) -> str:
        """
        Where a server is.
        """
        require(name)
        return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") or name

    def nginx(self) -> int:
        """
        Start one that answers with what it is told of its client.
        """
        port, path = freePort(), self.folder / "nginx.conf"
        path.write_text(
            f"daemon off; master_process off; pid {self.folder}/nginx.pid; error_log {self.folder}/errors warn;\n"
            "events { worker_connections 64; }\nhttp { access_log off;\n"
            + "".join(
                f"{kind}_temp_path {self.folder}/{kind};\n"
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            + f"server {{ listen 127.0.0.1:{port} proxy_protocol;\n"
            'location / { return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_port"; }}}\n'
        )
        self.start(self.program("nginx"), "-p", str(self.folder), "-e", str(self.folder / "errors"), "-c", str(path))
        self.waitForPort(port)
        return port

    def ask(self, port: int, before: bytes = b"") -> tuple[list[str], int]:
        """
        Ask for a page.

        @return: What the server was told, and the port that it was asked from.
        """
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.settimeout(PATIENCE)
            client.sendall(before + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            got = b""
            while data := client.recv(65536):
                got += data
            own: int = client.getsockname()[1]
        self.assertIn(b"200 OK", got)
        return got.partition(b"\r\n\r\n")[2].decode().split(), own

    def test_nginx(self) -> None:
        """
        nginx hears the client's own address and port, if the inlet tells.
        """
        port = self.announced(self.nginx(), "--tell-client")
        told, own = self.ask(port)
        self.assertEqual(told, ["127.0.0.1", str(own), str(port)])

    def test_notTold(self) -> None:
        """
        Otherwise it hears of the outlet's connection, and not of the client's.
        """
        told, own = self.ask(self.announced(self.nginx()))
        self.assertEqual(told[0], "127.0.0.1")
        self.assertNotEqual(told[1], str(own))

    def test_throughProxies(self) -> None:
        """
        From a proxy in front of the inlet to the server behind the outlet.
        """
        port = self.announced(self.nginx(), "--tell-client", listen="haproxy:tcp:{}:interface=127.0.0.1")
        told, _ = self.ask(port, b"PROXY TCP4 192.0.2.7 192.0.2.1 41000 443\r\n")
        self.assertEqual(told, ["192.0.2.7", "41000", "443"])

    def test_haproxy(self) -> None:
        """
        HAProxy takes the header, with its checksum, and knows the name of the
        stream.
        """
        program, at = self.program("haproxy"), freePort()
        path = self.folder / "haproxy.cfg"
        path.write_text(
            "defaults\n mode http\n timeout client 30s\n timeout server 30s\n timeout connect 5s\n"
            f"frontend front\n bind 127.0.0.1:{at} accept-proxy\n"
            " http-request return status 200 content-type text/plain "
            'lf-string "%[src] %[src_port] %[fc_pp_unique_id,hex]"\n'
        )
        self.start(program, "-db", "-f", str(path))
        self.waitForPort(at)
        told, own = self.ask(self.announced(at, "--tell-client"))
        self.assertEqual(told[:2], ["127.0.0.1", str(own)])
        self.assertEqual(len(told[2]), 32)

    def test_large(self) -> None:
        """
        The header comes once and first, and all that comes after it is the
        client's.
        """
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(PATIENCE)
            port = self.announced(server.getsockname()[1])
            data = os.urandom(1 << 20) * 8
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                client.settimeout(PATIENCE)
                # Those who have only looked are announced, too, and have gone.
                deadline = time.monotonic() + PATIENCE
                client.setblocking(False)
                sent = client.send(data)
                client.setblocking(True)
                client.settimeout(PATIENCE)
                while True:
                    self.assertLess(time.monotonic(), deadline)
                    target, _ = server.accept()
                    target.settimeout(PATIENCE)
                    got = b""
                    while len(got) < 16:
                        got += target.recv(16 - len(got))
                    size = struct.unpack("!H", got[14:16])[0]
                    while len(got) < 16 + size:
                        got += target.recv(16 + size - len(got))
                    first = target.recv(1)
                    if first:
                        break
                self.assertIn(self.who.encode(), got)
                body = bytearray(first)
                while len(body) < sent:
                    body += target.recv(1 << 20)
                self.assertEqual(bytes(body), data[:sent])
                target.close()
