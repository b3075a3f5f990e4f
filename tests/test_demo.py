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
from collections.abc import Callable
from contextlib import AbstractContextManager
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from ockam_twisted import demo
from ockam_twisted.demo import runDemo, showIdentity
from ockam_twisted.errors import OckamError, StateUnusable, TimedOut
from ockam_twisted.identity.creation import IDENTITY
from ockam_twisted.storage.folder import StateFolder
from ockam_twisted.storage.sqlite import SQLiteStore
from tests.memory_reactor import MemoryReactor
from tests.scenarios.processes import ROOT

NOBODY = 65534


class ShowIdentityTests(SynchronousTestCase):
    """
    C{ockam-twisted identity show}, with a real database.
    """

    def setUp(self) -> None:
        place = tempfile.mkdtemp(prefix="ockam-twisted-test-")
        self.addCleanup(shutil.rmtree, place)
        os.chmod(place, 0o711)
        self.folder = Path(place) / "state"

    def show(self, reactor: Any = None) -> str:
        """
        Show what is there.
        """
        return showIdentity(reactor, str(self.folder), "ockam-inlet", "default")

    def refused(self, says: str, reactor: Any = None) -> None:
        """
        It ends with a plain line.
        """
        error = str(self.assertRaises(StateUnusable, self.show, reactor))
        self.assertIn(says, error)
        self.assertTrue(error.isprintable(), error)

    def test_made(self) -> None:
        """
        Where there is no identity one is made, in a private folder that is
        free afterwards; then it is shown without a reactor.
        """
        made = self.show(MemoryReactor())
        self.assertRegex(made, "^I[0-9a-f]{64}$")
        self.assertEqual(self.folder.stat().st_mode & 0o777, 0o700)
        self.assertEqual(self.show(), made)
        StateFolder(self.folder).check()

    def test_default(self) -> None:
        """
        Without a folder it is that of the command and its instance.
        """
        self.patch(os, "environ", {"XDG_STATE_HOME": str(self.folder)})
        made = showIdentity(MemoryReactor(), "", "ockam-outlet", "blue")
        self.assertEqual(showIdentity(None, "", "ockam-outlet", "blue"), made)
        self.assertTrue((self.folder / "ockam-twisted" / "ockam-outlet" / "blue" / "state.sqlite").exists())

    def test_running(self) -> None:
        """
        While a node runs its identity is shown; while something else has the
        folder and there is none, none is made.
        """
        node = StateFolder(self.folder)
        node.open()
        self.refused("--instance", MemoryReactor())
        node.close()
        made = self.show(MemoryReactor())
        node.open()
        self.assertEqual(self.show(), made)
        node.close()

    def test_unusable(self) -> None:
        """
        Folders that others can read, that are none, and that hold other
        things are refused, each with what to do.
        """
        self.folder.mkdir()
        self.folder.chmod(0o755)
        self.refused("run: chmod 700")
        (self.folder / "letters").touch()
        self.refused("there are other files in it")
        self.folder = self.folder / "letters"
        self.refused("is not a folder")

    def test_foreign(self) -> None:
        """
        A folder of somebody else is named as such, also where we may not
        even look.
        """
        if os.geteuid() != 0:
            raise SkipTest("NOT ROOT: cannot become another user")
        self.folder.mkdir(mode=0o700)
        os.seteuid(NOBODY)
        try:
            self.refused(f"belongs to user 0, and this is user {NOBODY}")
            self.folder = self.folder / "deep"
            self.refused(f"cannot be used by user {NOBODY}: Permission denied")
        finally:
            os.seteuid(0)

    def test_damaged(self) -> None:
        """
        A damaged database, and a damaged identity in a sound one, are named.
        """
        reactor: Any = MemoryReactor()
        self.folder.mkdir(mode=0o700)
        database = self.folder / "state.sqlite"
        database.write_bytes(b"this is no database" * 100)
        self.refused("damaged")
        database.unlink()
        store = SQLiteStore(database, reactor)
        store.open()
        reactor.wait(store.storeSetting(IDENTITY, b"nonsense"))
        reactor.wait(store.close())
        self.refused("the stored identity is damaged")

    def test_interrupted(self) -> None:
        """
        A reactor that ends before it is done has made nothing to show.
        """

        class Interrupted(MemoryReactor):
            def run(self) -> None:
                """
                End at once.
                """

        self.refused("interrupted", Interrupted())


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
        parts = self.children(program.pid)
        self.assertEqual(len(parts), 4)
        program.send_signal(signal.SIGINT)
        self.assertEqual([program.stdout.readline() for _ in range(2)], ["\n", "Ending.\n"])
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=30)
        self.assertEqual((program.returncode, out, err), (0, "", ""))
        self.assertEqual([pid for pid in parts if Path(f"/proc/{pid}").exists()], [])

    def children(self, pid: int) -> list[int]:
        """
        The processes that a process has started.
        """
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


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

    def test_identity(self) -> None:
        """
        An identity that cannot be made, or takes too long, is one error.
        """
        self.log.touch()
        # Patching os.environ would not reach the process.
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = str(ROOT)
        self.addCleanup(lambda: os.environ.pop("PYTHONPATH") and before and os.environ.update(PYTHONPATH=before))
        error = self.assertRaises(OckamError, demo._identifier, self.log)
        self.assertIn("is not a folder", str(error))
        self.patch(demo, "_PATIENCE", 0.001)
        self.assertRaises(TimedOut, demo._identifier, self.log)

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
