"""
Programs that people use, through a portal.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import socket
import subprocess
import threading
import time
from pathlib import Path

from tests.scenarios import websocket
from tests.scenarios.processes import PATIENCE, ScenarioTestCase, freePort, require
from tests.scenarios.ssh import SSHTestCase
from tests.scenarios.websocket import WebSocket

#: Seconds for which a connection is held without a byte on it.
IDLE = 5.0


class RedisTests(ScenarioTestCase):
    """
    A private database.
    """

    def setUp(self) -> None:
        """
        Start it, and the portal.
        """
        require("redis-server", "redis-benchmark")
        super().setUp()
        at = freePort()
        self.start(
            "redis-server", "--port", str(at), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)
        )  # fmt: skip
        self.waitForPort(at)
        self.port, *_ = self.portal(at)

    def test_benchmark(self) -> None:
        """
        C{redis-benchmark} does all that it does, with 50 clients.
        """
        done = subprocess.run(
            ["redis-benchmark", "-h", "127.0.0.1", "-p", str(self.port), "-q", "-n", "2000", "-c", "50"],
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("GET: ", done.stdout)
        self.assertIn("MSET (10 keys): ", done.stdout)
        self.assertNotIn("rror", done.stdout + done.stderr)

    def test_values(self) -> None:
        """
        What is got is what was set, whatever it is.
        """
        some = random.Random(7)
        values = {f"key{each}".encode(): some.randbytes(some.choice((0, 1, 100, 5000, 200_000))) for each in range(200)}
        values[b"large"] = some.randbytes(8 << 20)
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as client:
            client.settimeout(PATIENCE)
            answers = client.makefile("rb")
            for key, value in values.items():
                client.sendall(b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(value), value))
                self.assertEqual(answers.readline(), b"+OK\r\n")
            # Asked all at once.
            client.sendall(b"".join(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key) for key in values))
            for value in values.values():
                self.assertEqual(answers.readline(), b"$%d\r\n" % len(value))
                self.assertEqual(answers.read(len(value) + 2), value + b"\r\n")


class SSHTests(SSHTestCase):
    """
    A private machine.
    """

    def test_interactive(self) -> None:
        """
        A shell on a terminal: it prompts, echoes what is typed, answers, and
        its status comes back.
        """
        shell = "PS1='ready> ' exec /bin/sh -i"
        ssh = subprocess.Popen(
            ["ssh", "-tt", *self.options, "-p", str(self.port), f"{self.user}@127.0.0.1", shell],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        self.addCleanup(ssh.kill)
        assert ssh.stdin is not None and ssh.stdout is not None
        output = ssh.stdout
        seen = b""

        def waitFor(*texts: bytes) -> None:
            nonlocal seen
            for text in texts:
                while text not in seen:
                    data = output.read(1000)
                    self.assertTrue(data, f"no {text!r} in {seen!r}")
                    seen += data
                seen = seen[seen.index(text) + len(text) :]

        # So that it ends, whatever happens.
        limit = threading.Timer(60, ssh.kill)
        limit.start()
        self.addCleanup(limit.cancel)
        waitFor(b"ready> ")
        for number in range(20):
            ssh.stdin.write(b"echo is $((6 * %d))\n" % number)
            waitFor(b"echo is $((6 * %d))\r\n" % number, b"is %d\r\n" % (6 * number), b"ready> ")
        ssh.stdin.write(b"test -t 0 && exit 7\n")
        self.assertEqual(ssh.wait(PATIENCE), 7)

    def _scp(self, source: str | Path, destination: str | Path) -> None:
        done = subprocess.run(
            ["scp", "-q", *self.options, "-P", str(self.port), str(source), str(destination)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_copy(self) -> None:
        """
        C{scp} copies there and back, unchanged.
        """
        content = os.urandom(32 << 20)
        first, second, third = (self.folder / name for name in ("first", "second", "third"))
        first.write_bytes(content)
        there = f"{self.user}@127.0.0.1:{second}"
        self._scp(first, there)
        self.assertEqual(hashlib.sha256(second.read_bytes()).digest(), hashlib.sha256(content).digest())
        self._scp(there, third)
        self.assertEqual(hashlib.sha256(third.read_bytes()).digest(), hashlib.sha256(content).digest())


class WebTests(ScenarioTestCase):
    """
    Connections that are used again and again.
    """

    def test_keep_alive(self) -> None:
        """
        Many requests on one connection, up and down in turn.
        """
        folder = self.folder / "private"
        folder.mkdir()
        content = os.urandom(300_000)
        (folder / "page").write_bytes(content)
        port, *_ = self.portal(self.target("files", str(folder)))
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self.addCleanup(client.close)
        for number in range(1, 101):
            if number % 2:
                client.request("GET", "/page")
                expected = content
            else:
                client.request("PUT", "/page", content[: number * 1000])
                expected = hashlib.sha256(content[: number * 1000]).hexdigest().encode()
            answer = client.getresponse()
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.read(), expected)
            # The server counts by connection.
            self.assertEqual(answer.headers["X-Answer"], str(number))

    def test_websocket(self) -> None:
        """
        A handshake, frames of all sizes in both directions, also after a
        silence, and an orderly end.
        """
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        threading.Thread(target=websocket.serve, args=(server,), daemon=True).start()
        port, *_ = self.portal(server.getsockname()[1])
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
            connection.settimeout(PATIENCE)
            client = WebSocket.connected(connection)
            self.assertEqual(client.receive(), (websocket.PING, b"are you there?"))
            client.send(websocket.PONG, b"are you there?")
            for size in (0, 1, 125, 126, 65535, 65536, 1 << 20):
                data = os.urandom(size)
                client.send(websocket.BINARY, data)
                self.assertEqual(client.receive(), (websocket.BINARY, data))
            time.sleep(IDLE)
            client.send(websocket.TEXT, b"still there")
            self.assertEqual(client.receive(), (websocket.TEXT, b"still there"))
            client.send(websocket.CLOSE, b"\x03\xe8")
            self.assertEqual(client.receive(), (websocket.CLOSE, b"\x03\xe8"))
            self.assertRaises(EOFError, client.receive)
