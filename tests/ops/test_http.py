"""
Tests of L{ockam_twisted.ops.http}.  They use real sockets.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from http.client import HTTPConnection, HTTPResponse
from importlib import resources
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import serverFromString
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ockam_twisted.errors import StateUnusable
from ockam_twisted.ops import http
from ockam_twisted.ops.http import HTTPService, isOurs
from ockam_twisted.ops.status import NodeStatus, SessionStatus, TicketStatus

WAITING = SessionStatus("relay a:1", "waiting", 3.0, "connection refused")


class NameTests(SynchronousTestCase):
    """
    Tests of L{isOurs}.
    """

    def test_local(self) -> None:
        """
        On loopback it is asked by that, whatever the port.
        """
        for name in ("localhost", "localhost:80", "127.0.0.1:8080", "[::1]:8080", "127.0.0.2", "LOCALHOST:1"):
            self.assertTrue(isOurs(name, False), name)
        for name in ("", "evil.example", "evil.example:8080", "192.0.2.1:80", "localhost.evil.example", ":80", "[::2]"):
            self.assertFalse(isOurs(name, False), name)

    def test_open(self) -> None:
        """
        Elsewhere by any address, or the name of the machine: no page can make
        these lead here.
        """
        for name in ("192.0.2.1:80", "[2001:db8::1]:80", socket.gethostname(), "localhost"):
            self.assertTrue(isOurs(name, True), name)
        self.assertFalse(isOurs("evil.example", True))


class CostTests(SynchronousTestCase):
    """
    What it costs whoever does not use it.
    """

    def test_lazy(self) -> None:
        """
        A node that is not shown loads no web server, and one that nobody
        scrapes no metrics.
        """
        program = (
            "import sys; import ockam_twisted.tap.relay, ockam_twisted.assembly; "
            "assert not {'twisted.web', 'ockam_twisted.ops.http'} & set(sys.modules); "
            "import ockam_twisted.ops.http; assert 'twisted.web' in sys.modules; "
            "assert 'prometheus_client' not in sys.modules"
        )
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        ended = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, timeout=60)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))


class HTTPServiceTests(TestCase):
    """
    Tests of L{HTTPService}.
    """

    timeout = 30

    def setUp(self) -> None:
        """
        A node that has a ticket.
        """
        self.status = NodeStatus("ockam-node", "I0", (), (), 0, tickets=(TicketStatus("abc", 1, 60.0),))
        self.life = "running"

    def service(self, where: str = "tcp:0:interface=127.0.0.1", isOpen: bool = False) -> HTTPService:
        """
        What shows it.
        """
        service = HTTPService(
            serverFromString(reactor, where), where, lambda: self.status, reactor, lambda: self.life, isOpen
        )
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        return service

    def ask(
        self, service: HTTPService, path: str, method: str = "GET", **headers: str
    ) -> Deferred[tuple[HTTPResponse, bytes]]:
        """
        Ask for something, from another thread.
        """
        port = service.port.getHost().port

        def asking() -> tuple[HTTPResponse, bytes]:
            connection = HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.request(method, path, headers=headers)
                response = connection.getresponse()
                return response, response.read()
            finally:
                connection.close()

        return deferToThread(asking)

    @inlineCallbacks
    def test_health(self) -> Any:
        """
        That it answers says that it lives; what it says is how it is.
        """
        service = self.service()
        for self.life in ("starting", "running", "stopping"):
            response, body = yield self.ask(service, "/health")
            self.assertEqual((response.status, body), (200, f"{self.life}\n".encode()))

    @inlineCallbacks
    def test_ready(self) -> Any:
        """
        Not ready, it says why, for people or for programs.
        """
        service = self.service()
        response, body = yield self.ask(service, "/ready")
        self.assertEqual((response.status, body), (200, b"ready\n"))
        self.status = NodeStatus("ockam-node", "I0", (), (WAITING,), 0)
        response, body = yield self.ask(service, "/ready")
        self.assertEqual((response.status, body), (503, b"not ready:\nrelay a:1: connection refused\n"))
        response, body = yield self.ask(service, "/ready", Accept="application/json")
        self.assertEqual(json.loads(body), {"ready": False, "reasons": ["relay a:1: connection refused"]})

    @inlineCallbacks
    def test_status(self) -> Any:
        """
        The picture, with whether it is ready, and what has happened.
        """
        service = self.service()
        Logger().info("x", event="stream-denied")
        response, body = yield self.ask(service, "/status")
        shown = json.loads(body)
        self.assertEqual((response.status, response.headers["Content-Type"]), (200, "application/json"))
        self.assertEqual((shown["name"], shown["ready"], shown["reasons"]), ("ockam-node", True, []))
        self.assertEqual(shown["events"]["stream-denied"], 1)
        self.assertEqual(shown["tickets"], [{"id": "abc", "uses": 1, "expires": 60.0}])

    @inlineCallbacks
    def test_metrics(self) -> Any:
        """
        Metrics in the form that a scraper reads.
        """
        response, body = yield self.ask(self.service(), "/metrics")
        self.assertEqual(response.status, 200)
        self.assertIn(b"\nockam_ready 1.0\n", body)

    @inlineCallbacks
    def test_withoutPrometheus(self) -> Any:
        """
        Without the library it is said what is missing; all else is there.
        """
        before = sys.modules.get("ockam_twisted.ops.metrics")

        def again() -> None:
            if before is None:
                del sys.modules["ockam_twisted.ops.metrics"]
            else:
                sys.modules["ockam_twisted.ops.metrics"] = before

        self.addCleanup(again)
        sys.modules["ockam_twisted.ops.metrics"] = None  # type: ignore[assignment]
        service = self.service()
        response, body = yield self.ask(service, "/metrics")
        self.assertEqual(response.status, 501)
        self.assertIn(b"pip install 'ockam_twisted[metrics]'", body)

    @inlineCallbacks
    def test_onlyShows(self) -> Any:
        """
        It can be looked at, and nothing else: other methods, other paths, and
        names that others have made for it get nothing.
        """
        service = self.service()
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            response, _ = yield self.ask(service, "/status", method)
            self.assertIn(response.status, (405, 501), method)
        for path in ("/nothing", "/status/more", "/../../etc/passwd", "/%2e%2e/setup.cfg", "//status/"):
            response, body = yield self.ask(service, path)
            self.assertEqual(response.status, 404, path)
        response, body = yield self.ask(service, "/status", Host="evil.example")
        self.assertEqual(response.status, 421)
        self.assertNotIn(b"ockam-node", body)
        response, body = yield self.ask(service, "/status", "HEAD")
        self.assertEqual((response.status, body), (200, b""))

    @inlineCallbacks
    def test_headers(self) -> Any:
        """
        A browser runs nothing but what comes from here, keeps nothing, and
        shows it in no other page.
        """
        for path in ("/status", "/nothing", "/health"):
            response, _ = yield self.ask(self.service(), path)
            policy = response.headers["Content-Security-Policy"]
            self.assertIn("default-src 'none'", policy)
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual(response.headers["Cache-Control"], "no-store")
            self.assertEqual(response.headers["X-Content-Type-Options"], "nosniff")

    @inlineCallbacks
    def test_page(self) -> Any:
        """
        Each file of the page is there, of a type that a browser takes it for,
        and names nothing that is elsewhere.
        """
        types = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
        service = self.service()
        files = {each.name: each.read_bytes() for each in resources.files(http.__package__).joinpath("page").iterdir()}
        self.assertIn("index.html", files)
        for name, content in files.items():
            response, body = yield self.ask(service, "/" if name == "index.html" else f"/{name}")
            self.assertEqual((response.status, body), (200, content), name)
            self.assertEqual(response.headers["Content-Type"].partition(";")[0], types[name.rpartition(".")[2]])
            outside = body.replace(b"http://www.w3.org/2000/svg", b"")
            self.assertNotRegex(outside, rb"(?i)https?:|//[a-z]+\.|style=|innerHTML|eval\(|@import|url\(", name)

    @inlineCallbacks
    def test_long(self) -> Any:
        """
        Nobody can make it keep what nobody reads: a long body ends the
        connection, a long address the request.
        """
        address = ("127.0.0.1", self.service().port.getHost().port)

        def ask(beginning: bytes) -> bytes:
            answer = b""
            with socket.create_connection(address, 10) as client:
                client.settimeout(10)
                try:
                    for _ in range(1000):
                        client.sendall(beginning)
                        beginning = b"x" * 65536
                    while data := client.recv(1000):
                        answer += data
                except OSError:
                    pass
            return answer

        head = b"POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n"
        self.assertEqual((yield deferToThread(ask, head)), b"")
        self.assertNotIn(b" 200 ", (yield deferToThread(ask, b"GET /status?" + b"x" * 65536)))

    @inlineCallbacks
    def test_unix(self) -> Any:
        """
        A Unix socket is for its owner alone.
        """
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = f"{folder}/socket"
        self.service(f"unix:{path}:mode=600")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)

        def ask() -> bytes:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = b""
                while data := client.recv(1000):
                    answer += data
                return answer

        answer = yield deferToThread(ask)
        self.assertTrue(answer.endswith(b"running\n"))

    @inlineCallbacks
    def test_many(self) -> Any:
        """
        There are not more connections than a few; when they are gone, others
        are answered.
        """
        self.patch(http, "MAX_CONNECTIONS", 3)
        service = self.service()
        address = ("127.0.0.1", service.port.getHost().port)
        clients = [socket.create_connection(address) for _ in range(3)]

        def refused() -> bytes:
            with socket.create_connection(address) as client:
                client.settimeout(10)
                return client.recv(10)

        try:
            self.assertEqual((yield deferToThread(refused)), b"")
        finally:
            for client in clients:
                client.close()
        for _ in range(100):
            # It takes a moment until it has seen that they are gone.
            try:
                response, _ = yield self.ask(service, "/health")
            except OSError:
                continue
            break
        self.assertEqual(response.status, 200)

    def test_taken(self) -> None:
        """
        A port that somebody else has ends the start, with a line.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            where = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            service = HTTPService(
                serverFromString(reactor, where), where, lambda: self.status, reactor, lambda: self.life
            )
            error = self.assertRaises(StateUnusable, service.privilegedStartService)
        self.assertIn("--http: cannot listen on", str(error))

    @inlineCallbacks
    def test_stops(self) -> Any:
        """
        Stopped, nobody is answered any more.
        """
        service = self.service()
        address = ("127.0.0.1", service.port.getHost().port)
        yield service.stopService()
        self.assertRaises(ConnectionRefusedError, socket.create_connection, address)
