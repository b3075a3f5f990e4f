"""
Tests of L{ockam_twisted.tap.tickets}.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from io import StringIO
from pathlib import Path

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.tap.tickets import readTicket
from tests.scenarios.processes import PATIENCE, ROOT


class TicketTests(SynchronousTestCase):
    """
    Wherever a ticket is.
    """

    def setUp(self) -> None:
        self.said = StringIO()
        self.patch(sys, "stderr", self.said)

    def refused(self, says: str, text: str) -> None:
        """
        There is no ticket.
        """
        self.assertIn(says, str(self.assertRaises(usage.UsageError, readTicket, text, "--ticket")))

    def test_places(self) -> None:
        """
        The ticket itself, or all of a file or of standard input, where nobody
        is asked.
        """
        place = Path(self.mktemp())
        place.write_text(" ockamticket1x\n")
        self.patch(sys, "stdin", StringIO("\nockamticket1x\n"))
        for text in ("ockamticket1x", f"@{place}", "-"):
            self.assertEqual(readTicket(text, "--ticket"), "ockamticket1x")
        self.assertEqual(readTicket("", "--ticket"), "")
        self.assertEqual(self.said.getvalue(), "")

    def test_nothing(self) -> None:
        """
        A file that is not there, and places with nothing in them.
        """
        place = Path(self.mktemp())
        place.touch()
        self.patch(sys, "stdin", StringIO("\n"))
        self.refused("--ticket: cannot read /nowhere: No such file", "@/nowhere")
        self.refused(f"--ticket: there is no ticket in {place}: it is empty", f"@{place}")
        self.refused("--ticket: there is no ticket in standard input: it is empty", "-")

    def test_terminal(self) -> None:
        """
        Who sits at a terminal is asked, and done with Enter.
        """
        outside, inside = pty.openpty()
        self.addCleanup(os.close, outside)
        stdin = os.fdopen(inside, "r")
        self.addCleanup(stdin.close)
        self.patch(sys, "stdin", stdin)
        os.write(outside, b"ockamticket1x\n")
        self.assertEqual(readTicket("-", "--ticket"), "ockamticket1x")
        self.assertEqual(self.said.getvalue(), "Ticket: ")


class ControlCTests(SynchronousTestCase):
    """
    A real process at a terminal of its own.
    """

    def test_ended(self) -> None:
        """
        Ctrl-C instead of a ticket ends it, and is nothing to explain.
        """
        outside, inside = pty.openpty()
        self.addCleanup(os.close, outside)
        become = "import os, sys; os.login_tty(0); os.execv(sys.executable, sys.orig_argv[:1] + sys.argv[1:])"
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", become, "-m", "twisted"),
                *("ockam-inlet", "--listen", "5432", "--ephemeral", "--ticket", "-"),
            ],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        os.close(inside)
        said = b""
        while b"Ticket: " not in said:
            said += os.read(outside, 1000)
        os.write(outside, b"\x03")
        self.assertEqual(process.wait(PATIENCE), 130)
        said += os.read(outside, 10_000)
        self.assertEqual(said, b"Ticket: ^C\r\n")
