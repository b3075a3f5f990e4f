"""
Connections of which one half ends before the other, through a portal as
directly.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import subprocess
import threading
import time
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.scenarios.pairs import PairTestCase, Sending, ending, readAll
from tests.scenarios.processes import PATIENCE, ScenarioTestCase, freePort, require

MIB = 1024 * 1024


class HalfTests(PairTestCase):
    """
    What sockets see.
    """

    def test_orders(self) -> None:
        """
        Either end may be first, both may end at once, and what the other one
        still has to say arrives whole; so does an end with nothing before it.
        """
        for port in (self.direct, self.port):
            for up, down in ((8 * MIB, 3 * MIB), (0, 3 * MIB), (3 * MIB, 0), (0, 0)):
                self._clientFirst(port, os.urandom(up), os.urandom(down))
                self._targetFirst(port, os.urandom(up), os.urandom(down))
                self._together(port, os.urandom(up), os.urandom(down))

    def _clientFirst(self, port: int, up: bytes, down: bytes) -> None:
        client, target = self.pair(port)
        sending = Sending(client, up)
        self.assertEqual(readAll(target), sending.expected)
        answering = Sending(target, down)
        self.assertEqual(readAll(client), answering.expected)

    def _targetFirst(self, port: int, up: bytes, down: bytes) -> None:
        client, target = self.pair(port)
        answering = Sending(target, down)
        self.assertEqual(readAll(client), answering.expected)
        sending = Sending(client, up)
        self.assertEqual(readAll(target), sending.expected)

    def _together(self, port: int, up: bytes, down: bytes) -> None:
        client, target = self.pair(port)
        sending, answering = Sending(client, up), Sending(target, down)
        result: list[tuple[int, str]] = []
        reading = threading.Thread(target=lambda: result.append(readAll(client)), daemon=True)
        reading.start()
        self.assertEqual(readAll(target), sending.expected)
        reading.join(PATIENCE)
        self.assertEqual(result, [answering.expected])

    def test_heldOpen(self) -> None:
        """
        A half that is open stays open for as long as it is needed, and a
        half that has ended is not ended twice.
        """
        client, target = self.pair(self.port)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(ending(target), "FIN")
        for number in range(3):
            time.sleep(3)
            target.sendall(b"part %d" % number)
            self.assertEqual(client.recv(100), b"part %d" % number)
        target.close()
        self.assertEqual(ending(client), "FIN")

    def test_slowReader(self) -> None:
        """
        An end that is reached while the other side reads slowly waits behind
        all that was sent.
        """
        for port in (self.direct, self.port):
            client, target = self.pair(port)
            sending = Sending(client, os.urandom(4 * MIB))
            digest, count = hashlib.sha256(), 0
            while data := target.recv(32 * 1024):
                digest.update(data)
                count += len(data)
                time.sleep(0.002)
            self.assertEqual((count, digest.hexdigest()), sending.expected)
            target.sendall(b"thank you")
            target.close()
            self.assertEqual(client.recv(100), b"thank you")
            self.assertEqual(ending(client), "FIN")

    def test_upload(self) -> None:
        """
        An upload of HTTP/1.0 without a length: its end is the end of the
        client's half; then comes the answer.
        """
        body = os.urandom(8 * MIB)
        answers = []
        for port in (self.direct, self.port):
            server = threading.Thread(target=self._answerUpload, daemon=True)
            server.start()
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                client.sendall(b"POST /file HTTP/1.0\r\nContent-Type: application/octet-stream\r\n\r\n" + body)
                client.shutdown(socket.SHUT_WR)
                answers.append(client.makefile("rb").read())
            server.join(PATIENCE)
        expected = hashlib.sha256(body).hexdigest().encode()
        self.assertEqual(answers, [b"HTTP/1.0 200 OK\r\n\r\n" + expected] * 2)

    def _answerUpload(self) -> None:
        while True:
            connection, _ = self.server.accept()
            with connection:
                stream = connection.makefile("rb")
                # Others have only looked whether the inlet listens.
                if not stream.readline():
                    continue
                while stream.readline().strip():
                    pass
                body = hashlib.sha256(stream.read()).hexdigest()
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + body.encode())
                return


class NetcatTests(ScenarioTestCase):
    """
    C{nc -N}, which ends its half when its input does.
    """

    def setUp(self) -> None:
        """
        Two files.
        """
        require("nc")
        helps = subprocess.run(["nc", "-h"], capture_output=True, text=True)
        if not re.search(r"-N\b|\[-[A-Za-z46]*N", helps.stdout + helps.stderr):
            raise SkipTest("NOT INSTALLED: nc of OpenBSD (netcat-openbsd)")
        super().setUp()
        self.question, self.answer = self.folder / "question", self.folder / "answer"
        self.question.write_bytes(os.urandom(12 * MIB))
        self.answer.write_bytes(os.urandom(5 * MIB))

    def _nc(self, stdin: Path, stdout: Path, *arguments: str) -> subprocess.Popen[bytes]:
        with stdin.open("rb") as source, stdout.open("wb") as sink:
            nc = subprocess.Popen(["nc", *arguments], stdin=source, stdout=sink)
        self.addCleanup(nc.wait)
        self.addCleanup(nc.kill)
        return nc

    def _listens(self, port: int) -> bool:
        # Who looks by connecting would be served.
        return f":{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text()

    def _exchange(self, port: int, at: int, question: Path, answer: Path, option: str = "-N") -> tuple[int, int]:
        """
        @param option: Of the client; without C{-N} it does not end its half.
        @return: The status of client and server.
        """
        here, there = self.folder / "here", self.folder / "there"
        server = self._nc(answer, there, "-N", "-l", "127.0.0.1", str(at))
        while not self._listens(at):
            self.assertIsNone(server.poll())
            time.sleep(0.02)
        client = self._nc(question, here, option, "127.0.0.1", str(port))
        status = client.wait(PATIENCE), server.wait(PATIENCE)
        self.assertEqual(hashlib.sha256(here.read_bytes()).digest(), hashlib.sha256(answer.read_bytes()).digest())
        self.assertEqual(hashlib.sha256(there.read_bytes()).digest(), hashlib.sha256(question.read_bytes()).digest())
        return status

    def test_files(self) -> None:
        """
        A file each way at once, a file up, a file down (C{-d}: nothing goes
        up, ever): all of it arrives, and both programs end by themselves.
        """
        at = freePort()
        port, _inlet, _relay, outlet = self.portal(at)
        # The connection by which it was seen that the inlet listens has ended.
        outlet.waitForText("does not answer")
        nothing = Path(os.devnull)
        for case in (
            (self.question, self.answer),
            (self.question, nothing),
            (nothing, self.answer, "-d"),
        ):
            for _ in range(3):
                self.assertEqual(self._exchange(at, at, *case), (0, 0))
                self.assertEqual(self._exchange(port, at, *case), (0, 0))
