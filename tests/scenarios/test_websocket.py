"""
WebSocket beside real programs: behind nginx as a reverse proxy, with TLS there,
and through an HTTP proxy; real processes and sockets.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Any

from tests.certificates import makeCertificate
from tests.scenarios.processes import CURL, PATIENCE, Program, ScenarioTestCase, freePort, require


class WebSocketTests(ScenarioTestCase):
    """
    A private web server, reached through a relay that is reached by WebSocket.
    """

    def setUp(self) -> None:
        """
        The web server and the relay.
        """
        super().setUp()
        require("curl")
        self.service, folder = self.serveFolder()
        (folder / "page").write_text("hello from a private place")
        (folder / "large").write_bytes(os.urandom(5_000_000))
        self.large = (folder / "large").read_bytes()
        self.at = freePort()
        self.relay = self.twist("ockam-relay", "--listen", f"ws:{self.at}:interface=127.0.0.1", state="relay")
        self.relay.value("Identifier")

    def program(self, name: str) -> str:
        """
        Where a server is.
        """
        require(name)
        return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") or name

    def nginx(self, tls: bool) -> int:
        """
        Start one in front of the relay.
        """
        port, path = freePort(), self.folder / "nginx.conf"
        pem = makeCertificate(self.folder, "localhost")
        secured = f" ssl; ssl_certificate {pem}; ssl_certificate_key {pem}" if tls else ""
        path.write_text(
            f"daemon off; master_process off; pid {self.folder}/nginx.pid; error_log {self.folder}/errors warn;\n"
            "events { worker_connections 64; }\nhttp { access_log off;\n"
            + "".join(
                f"{kind}_temp_path {self.folder}/{kind};\n"
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            + f"server {{ listen 127.0.0.1:{port}{secured};\n"
            f"location /ockam {{ proxy_pass http://127.0.0.1:{self.at}; proxy_http_version 1.1;\n"
            'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; }\n'
            'location / { return 200 "a web site"; }}}\n'
        )
        self.start(self.program("nginx"), "-p", str(self.folder), "-e", str(self.folder / "errors"), "-c", str(path))
        self.waitForPort(port)
        return port

    def twisted(self, environment: dict[str, str], plugin: str, *arguments: str, state: str) -> Program:
        """
        Start a plugin in an environment.
        """
        return self.start(
            "env", *(f"{name}={value}" for name, value in environment.items()), sys.executable, "-m", "twisted",
            "--log-format=text", plugin, *arguments, "--state-dir", str(self.folder / state),
        )  # fmt: skip

    def reached(self, relay: str, **environment: str) -> Program:
        """
        Outlet and inlet find each other at a relay, and what the private
        server has comes through.

        @param relay: What a MultiAddr begins with.
        @return: The outlet.
        """
        inlet, outlet = self.identity("inlet"), self.identity("outlet")
        out = self.twisted(
            environment, "ockam-outlet", "--target", f"127.0.0.1:{self.service}", "--relay", relay,
            "--authorized", inlet, state="outlet",
        )  # fmt: skip
        address, port = out.value("Forwarding address"), freePort()
        to = f"{relay}/service/{address}/secure/api/service/outlet"
        self.twisted(
            environment, "ockam-inlet", "--listen", str(port), "--authorized", outlet, "--to", to, state="inlet"
        ).value("Identifier")
        self.waitForPort(port)
        for name, expected in (("page", b"hello from a private place"), ("large", self.large)):
            got: Any = subprocess.run(
                [*CURL, f"http://127.0.0.1:{port}/{name}"], capture_output=True, check=True, timeout=PATIENCE
            )
            self.assertEqual(got.stdout, expected)
        return out

    def test_direct(self) -> None:
        """
        Straight to the relay.
        """
        self.reached(f"/ip4/127.0.0.1/tcp/{self.at}/ws")

    def test_behindNginx(self) -> None:
        """
        Behind a reverse proxy, below a path beside a web site.
        """
        self.reached(f"/ip4/127.0.0.1/tcp/{self.nginx(False)}/ws/http-path/ockam")

    def test_behindNginxWithTLS(self) -> None:
        """
        The same with TLS, which ends there; a certificate that nobody has
        signed is refused, by a line that says so.
        """
        port = self.nginx(True)
        road = f"/dnsaddr/localhost/tcp/{port}/wss/http-path/ockam"
        self.reached(road, SSL_CERT_FILE=str(self.folder / "localhost.pem"))
        stranger = self.twisted(
            {}, "ockam-outlet", "--target", "127.0.0.1:1", "--relay", road, "--trust-everyone", state="stranger"
        )
        stranger.waitForText("is not trusted here")

    def test_elsewhere(self) -> None:
        """
        A web site that is no WebSocket is named as such.
        """
        road = f"/ip4/127.0.0.1/tcp/{self.nginx(False)}/ws/http-path/other"
        lost = self.twist("ockam-outlet", "--target", "127.0.0.1:1", "--relay", road, "--trust-everyone", state="lost")
        lost.waitForText("WebSocket: the server answers 200")

    def test_throughProxy(self) -> None:
        """
        Through an HTTP proxy that the environment names; where there is
        none, that is said.
        """
        port, path = freePort(), self.folder / "tinyproxy.conf"
        path.write_text(
            f'Port {port}\nListen 127.0.0.1\nMaxClients 20\nTimeout 600\nLogFile "{self.folder}/proxy.txt"\n'
            "LogLevel Info\nAllow 127.0.0.1\n"
        )
        self.start(self.program("tinyproxy"), "-d", "-c", str(path))
        self.waitForPort(port)
        road = f"/ip4/127.0.0.1/tcp/{self.at}/ws"
        self.reached(road, HTTP_PROXY=f"http://127.0.0.1:{port}", http_proxy=f"http://127.0.0.1:{port}")
        self.assertIn(f"CONNECT 127.0.0.1:{self.at}", (self.folder / "proxy.txt").read_text())
        none = f"http://127.0.0.1:{freePort()}"
        lost = self.twisted(
            {"http_proxy": none}, "ockam-outlet", "--target", "127.0.0.1:1", "--relay", road, "--trust-everyone",
            state="lost",
        )  # fmt: skip
        lost.waitForText("Connection was refused")
