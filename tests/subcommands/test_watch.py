"""
Tests for L{ockam_twisted.subcommands.watch}, in a process of its own on a real
terminal, or on none.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.subcommands.watch import fitted, picture
from tests.scenarios.processes import PATIENCE, ROOT

PROGRAM = """
import itertools, sys
from ockam_twisted.subcommands.watch import watch
count = itertools.count(1)
watch(lambda: [f"look {next(count)}", "x" * 60, *("line %d" % each for each in range(20))], 0.2)
print("ended")
"""


class PictureTests(SynchronousTestCase):
    """
    What fits on a screen.
    """

    def test_fitted(self) -> None:
        """
        What is too long or too much is cut, and says so.
        """
        self.assertEqual(fitted(["abcdef", "abc"], 6, 2), ["abcdef", "abc"])
        self.assertEqual(fitted(["abcdef", "abc"], 5, 2), ["abcd>", "abc"])
        self.assertEqual(fitted(["a", "b", "c"], 40, 2), ["a", "... 2 more lines"])

    def test_picture(self) -> None:
        """
        What was there before is overwritten, without a flicker: nothing is
        cleared first.
        """
        self.assertEqual(picture(["a", "b"], 10, 10), "\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J")


class TerminalTests(SynchronousTestCase):
    """
    On a terminal.
    """

    def setUp(self) -> None:
        self.terminal, inside = pty.openpty()
        self.addCleanup(os.close, self.terminal)
        self.before = termios.tcgetattr(inside)
        self.resize(24, 80)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.inside = inside
        self.addCleanup(os.close, inside)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        """
        Give the window another size.
        """
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def waitFor(self, text: bytes) -> None:
        """
        Wait until it was written.
        """
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            ready, _, _ = select.select([self.terminal], [], [], max(0, deadline - time.monotonic()))
            self.assertTrue(ready, f"no {text!r} in {self.seen[-500:]!r}")
            self.seen += os.read(self.terminal, 10_000)
        self.seen = self.seen[self.seen.index(text) + len(text) :]

    def assertEnds(self, status: int, last: bytes = b"ended") -> None:
        """
        It ends, and leaves the terminal as it was.
        """
        self.waitFor(b"\x1b[?25h\x1b[?1049l" + last)
        self.assertEqual(self.process.wait(PATIENCE), status)
        self.assertEqual(termios.tcgetattr(self.inside), self.before)

    def test_redraws(self) -> None:
        """
        It is shown anew in the same place, until q is typed.
        """
        self.waitFor(b"\x1b[?1049h\x1b[?25l\x1b[Hlook 1\x1b[K")
        self.waitFor(b"\x1b[Hlook 2\x1b[K")
        os.write(self.terminal, b"q")
        self.assertEnds(0)

    def test_resizes(self) -> None:
        """
        A window with another size gets another picture at once.
        """
        self.waitFor(b"x" * 60 + b"\x1b[K")
        self.resize(5, 20)
        self.waitFor(b"x" * 19 + b">\x1b[K")
        self.waitFor(b"... 18 more lines")
        os.write(self.terminal, b"q")
        self.assertEnds(0)

    def test_interrupted(self) -> None:
        """
        Ctrl-C ends it, and is no failure.
        """
        self.waitFor(b"look 1")
        os.write(self.terminal, b"\x03")
        self.assertEnds(0)

    def test_terminated(self) -> None:
        """
        Somebody ends it from elsewhere: the terminal is as it was.
        """
        self.waitFor(b"look 1")
        self.process.send_signal(signal.SIGTERM)
        self.assertEnds(143, b"")


class PipeTests(SynchronousTestCase):
    """
    Where there is no terminal.
    """

    def test_blocks(self) -> None:
        """
        One block after the other, until nobody reads any more.
        """
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.addCleanup(process.kill)
        assert process.stdout is not None
        for number in (1, 2, 3):
            block = [process.stdout.readline() for _ in range(23)]
            self.assertEqual((block[0], block[-2], block[-1]), (b"look %d\n" % number, b"line 19\n", b"\n"))
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.stdout.read().splitlines()[-1], b"ended")
        self.assertEqual(process.wait(PATIENCE), 0)
        process.stdout.close()
