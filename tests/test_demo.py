"""
Tests of L{ockam_twisted.demo}.  Those of the demo itself run real processes.
"""

from __future__ import annotations

import http.server
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted import demo
from ockam_twisted.demo import runDemo
from ockam_twisted.errors import OckamError, TimedOut
from tests.scenarios.processes import ROOT, children

NOBODY = 65534


class DemoTests(SynchronousTestCase):
    """
    C{ockam-twisted demo}: real processes, real sockets, real time.
    """

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        """
        Start the command.
        """
        program = subprocess.Popen(
            [sys.executable, "-u", "-m", "ockam_twisted.command", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A proxy that does not exist must not be asked for this machine.
            env={**os.environ, "PYTHONPATH": str(ROOT), "http_proxy": "http://127.0.0.1:9", "no_proxy": ""},
            start_new_session=True,
        )
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        return program

    def test_check(self) -> None:
        """
        The page comes through, the commands are shown as they can be typed,
        and nothing is left.
        """
        place = tempfile.mkdtemp(prefix="ockam-twisted-test-")
        self.addCleanup(shutil.rmtree, place)
        self.patch(os, "environ", {**os.environ, "TMPDIR": place})
        out, err = (program := self.command("demo", "--check")).communicate(timeout=60)
        self.assertEqual((program.returncode, err), (0, ""))
        self.assertIn("The page came through.", out)
        for command in ("python -m http.server", "twist ockam-relay", "twist ockam-outlet", "twist ockam-inlet"):
            self.assertIn(f"\n$ {command} ", f"\n{out}")
        self.assertEqual(os.listdir(place), [])

    def test_ctrlC(self) -> None:
        """
        Ctrl-C, also twice, ends every part of it.
        """
        program = self.command("demo")
        assert program.stdout is not None
        said = ""
        while "Press Ctrl-C" not in said:
            line = program.stdout.readline()
            self.assertNotEqual(line, "", said)
            said += line
        parts = children(program.pid)
        self.assertEqual(len(parts), 4)
        program.send_signal(signal.SIGINT)
        self.assertEqual([program.stdout.readline() for _ in range(2)], ["\n", "Ending.\n"])
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=30)
        self.assertEqual((program.returncode, out, err), (0, "", ""))
        self.assertEqual([pid for pid in parts if Path(f"/proc/{pid}").exists()], [])


class PartTests(SynchronousTestCase):
    """
    What goes wrong with the parts; real processes.
    """

    def setUp(self) -> None:
        self.out = StringIO()
        self.patch(sys, "stdout", self.out)
        self.log = Path(self.mktemp())

    def process(self, program: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """
        A part.
        """
        return demo._running([sys.executable, "-uc", program], "part", self.log)

    def test_value(self) -> None:
        """
        A line with a label is found among others.
        """
        with self.process("print('a: 1'); print(' b: 2'); print('b: 3: 4'); input()") as process:
            self.assertEqual(demo._waitFor("it", process, self.log, "b"), "3: 4")
        self.assertEqual(self.out.getvalue(), "$ part\n")
        self.assertIsNotNone(process.poll())

    def test_ended(self) -> None:
        """
        A part that ends instead is shown with what it has said.
        """
        with self.process("raise SystemExit('no room')") as process:
            error = self.assertRaises(TimedOut, demo._waitFor, "the relay", process, self.log, "b")
        self.assertIn("the relay did not come up:\nno room", str(error))

    def test_silent(self) -> None:
        """
        A part that says nothing is given up; one that does not want to end
        is killed.
        """
        self.patch(demo, "_PATIENCE", 1.0)
        program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('x', flush=True); signal.pause()"
        self.patch(demo, "_GRACE", 0.2)
        with self.process(program) as process:
            while "x" not in self.log.read_text():
                self.assertIsNone(process.poll())
                time.sleep(0.01)
            self.assertRaises(TimedOut, demo._waitFor, "the relay", process, self.log, "b")
        self.assertEqual(process.returncode, -signal.SIGKILL)

    def test_watched(self) -> None:
        """
        A part that ends by itself ends the demo, and is named.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        with self.process("print('I give up')") as process:
            error = self.assertRaises(OckamError, demo._watch, {"inlet": (process, self.log)})
        self.assertIn("the inlet has ended by itself:\n", str(error))

    def serve(self, answer: Callable[[Any], None]) -> int:
        """
        A web server in a thread.
        """

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, format: str, *args: object) -> None:
                """
                Say nothing.
                """

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return int(server.server_port)

    def test_page(self) -> None:
        """
        A page that does not come at once is asked for again, and given up in
        the end.
        """
        asked: list[int] = []

        def answer(handler: Any) -> None:
            asked.append(1)
            if len(asked) == 3:
                handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\nIt works")

        port = self.serve(answer)
        self.assertEqual(demo._open(port), b"It works")
        self.assertEqual(len(asked), 3)
        self.patch(demo, "_PATIENCE", 0.0)
        self.assertRaises(TimedOut, demo._open, port)

    def test_interruptedAtStart(self) -> None:
        """
        A signal that comes while a folder or a process is made waits until its
        end is sure: nothing of it is left.
        """
        place = Path(self.mktemp()).absolute()
        place.mkdir()
        self.patch(tempfile, "tempdir", str(place))
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        # Whatever the runner of the tests has there.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        started: list[subprocess.Popen[bytes]] = []
        start, make = subprocess.Popen, tempfile.TemporaryDirectory
        for number in (signal.SIGINT, signal.SIGTERM):

            def startAndInterrupt(*arguments: Any, number: int = number, **named: Any) -> subprocess.Popen[bytes]:
                started.append(start(*arguments, **named))
                self.addCleanup(started[-1].kill)
                os.kill(os.getpid(), number)
                return started[-1]

            def makeAndInterrupt(*arguments: Any, number: int = number, **named: Any) -> Any:
                made = make(*arguments, **named)
                os.kill(os.getpid(), number)
                return made

            for module, name, interrupting in (
                (subprocess, "Popen", startAndInterrupt),
                (tempfile, "TemporaryDirectory", makeAndInterrupt),
            ):
                patched = self.patch(module, name, interrupting)
                self.assertRaises(KeyboardInterrupt, runDemo, True)
                patched.restore()
                self.assertEqual(os.listdir(place), [])
        self.assertEqual([process.poll() for process in started], [-signal.SIGTERM] * 2)

    def test_signals(self) -> None:
        """
        However the demo ends, the signals are what they were.
        """

        def fail(*arguments: object) -> int:
            raise OckamError("no")

        self.patch(demo, "_runParts", fail)
        before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
        self.assertRaises(OckamError, runDemo, True)
        self.assertEqual([signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)], before)
