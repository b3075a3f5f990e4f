"""
C{ockam-twisted connect} to outlets of Rust, which know no half of an end.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

from tests.interop.peers import InteropTestCase, content, eachRelease
from tests.scenarios.processes import PATIENCE, ROOT, freePort


@eachRelease
class ConnectTests(InteropTestCase):
    """
    Standard input and output, and a Rust outlet.
    """

    def offer(self, release: str, work: Callable[[socket.socket], object]) -> list[str]:
        """
        Start a target and an outlet.

        @return: The command that connects to it.
        """
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)

        def accept() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(PATIENCE)
                work(connection)

        threading.Thread(target=accept, daemon=True).start()
        return self.command(release, server.getsockname()[1])

    def command(self, release: str, target: int) -> list[str]:
        """
        Start an outlet.

        @return: The command that connects to it.
        """
        outlet = self.who(release, "outlet")
        _, address = self.outlet(release, target, self.identity("inlet"))
        way = ["--to", address, "--authorized", outlet, "--state-dir", str(self.folder / "inlet")]
        return [sys.executable, "-m", "ockam_twisted.command", "connect", *way]

    def exchange(self, command: list[str], data: bytes) -> tuple[int, bytes, str]:
        """
        Say all, and hear all.
        """
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, input=data, capture_output=True, timeout=60, env=environ)
        return done.returncode, done.stdout, done.stderr.decode()

    def test_answer(self, release: str) -> None:
        """
        The answer is heard, although the question has come to its end first.
        """
        answer = content(3, 5 << 20)

        def work(connection: socket.socket) -> None:
            question = b""
            while len(question) < 1 << 20:
                question += connection.recv(1 << 16)
            connection.sendall(hashlib.sha256(question).digest() + answer)

        question = content(4, 1 << 20)
        status, out, err = self.exchange(self.offer(release, work), question)
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(out, hashlib.sha256(question).digest() + answer)

    def test_upload(self, release: str) -> None:
        """
        Whoever waits for the end of what is said sees it, after a while.
        """
        heard: list[bytes] = []

        def work(connection: socket.socket) -> None:
            pieces = []
            while data := connection.recv(1 << 16):
                pieces.append(data)
            heard.append(b"".join(pieces))

        data = content(5, 5 << 20)
        self.assertEqual(self.exchange(self.offer(release, work), data), (0, b"", ""))
        self.waitUntil(lambda: heard, "the target sees the end")
        self.assertEqual(heard, [data])

    def test_refused(self, release: str) -> None:
        """
        A target that refuses looks like one that does not answer: their
        outlets say nothing.
        """
        status, out, err = self.exchange(self.command(release, freePort()), b"x")
        self.assertEqual((status, out), (69, b""))
        waits, ends = err.splitlines()
        self.assertEqual(waits, "ockam-twisted: the outlet has not answered yet; trying for up to 10 s")
        self.assertEqual(ends, "ockam-twisted: unreachable: the outlet did not answer within 10 s")

    def test_looks(self, release: str) -> None:
        """
        C{check} and C{ping} understand what is there.
        """
        command = self.command(release, self.target().port)
        for task, options in (("check", []), ("ping", ["-c", "2", "-i", "0.1"])):
            asked = [*command[:3], task, "--json", *options, *command[4:]]
            done = subprocess.run(asked, capture_output=True, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)})
            self.assertEqual((done.returncode, done.stderr), (0, b""), done.stdout)
            said = json.loads(done.stdout)
            self.assertTrue(said["ok"])
            if task == "ping":
                [way] = said["ways"]
                self.assertEqual([each["answered"] for each in way["hops"]][-1], 2)
            else:
                self.assertEqual({each["state"] for check in said["checks"] for each in check["steps"]}, {"ok"})
