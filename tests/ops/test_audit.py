"""
Tests of L{ockam_twisted.ops.audit}.
"""

from __future__ import annotations

import json
import os
import resource
import stat
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import Logger, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import StateUnusable
from ockam_twisted.ops.audit import BURST, AuditFile, AuditLog, checkAuditFile


class AuditTests(SynchronousTestCase):
    """
    Decisions in a file.
    """

    def setUp(self) -> None:
        """
        A log, and what it says itself.
        """
        self.path = Path(self.mktemp())
        self.clock = Clock()
        self.audit = AuditLog(str(self.path), self.clock)
        self.addCleanup(self.audit.close)
        self.log = Logger(namespace="ockam_twisted.portals.x", observer=self.audit)
        self.said: list[Any] = []
        globalLogPublisher.addObserver(self.said.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.said.append)

    def deny(self, peer: str = "I1") -> None:
        """
        Refuse somebody.
        """
        self.log.warn("Denied: {peer}", peer=peer, event="stream-denied", audit="refused")

    def records(self) -> list[Any]:
        """
        What was written.
        """
        return [json.loads(line) for line in self.path.read_text("ascii").splitlines()]

    def ours(self) -> list[str]:
        """
        The names of what was said in the log.
        """
        return [each["event"] for each in self.said if str(each.get("event")).startswith("audit-")]

    def test_record(self) -> None:
        """
        A decision is a line, with when, what, who; other events are none. The
        file is for its owner only.
        """
        self.log.info("nothing", event="listening")
        self.assertFalse(self.path.exists())
        self.deny("I1\nforged")
        [record] = self.records()
        self.assertRegex(record.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(
            record,
            {
                "event": "stream-denied",
                "outcome": "refused",
                "message": "Denied: I1\\nforged",
                "fields": {"peer": "I1\\nforged"},
            },
        )
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_added(self) -> None:
        """
        What is there stays.
        """
        self.path.write_text("{}\n")
        self.deny()
        self.assertEqual(len(self.records()), 2)

    def test_rotated(self) -> None:
        """
        Once the file was renamed or removed, lines go to a new one.
        """
        self.deny("I1")
        old = self.path.with_suffix(".1")
        self.path.rename(old)
        self.deny("I2")
        self.assertEqual([each["fields"]["peer"] for each in self.records()], ["I2"])
        self.path.unlink()
        self.deny("I3")
        self.assertEqual([each["fields"]["peer"] for each in self.records()], ["I3"])
        self.assertEqual(len(old.read_text().splitlines()), 1)

    def test_fails(self) -> None:
        """
        That it cannot be written is said once; and again that it can.
        """
        self.path.mkdir()
        for _ in range(5):
            self.deny()
        self.assertEqual(self.ours(), ["audit-failed"])
        self.path.rmdir()
        self.deny()
        self.deny()
        self.assertEqual(self.ours(), ["audit-failed", "audit-back"])
        self.assertEqual(len(self.records()), 2)

    def test_full(self) -> None:
        """
        A full disk does not hold up anybody.
        """
        if not os.path.exists("/dev/full"):
            return
        audit = AuditLog("/dev/full", self.clock)
        self.addCleanup(audit.close)
        log = Logger(namespace="ockam_twisted.portals.x", observer=audit)
        for _ in range(3):
            log.warn("x", event="stream-denied", audit="refused")
        self.assertEqual(self.ours(), ["audit-failed"])

    def test_torn(self) -> None:
        """
        A record of which a part was written, when the disk was full, spoils no
        other.
        """
        file, line = AuditFile(str(self.path)), b"x" * 19 + b"\n"
        self.addCleanup(file.close)
        file.write(line)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        # Nothing is logged meanwhile: the log of these tests is longer.
        resource.setrlimit(resource.RLIMIT_FSIZE, (30, before[1]))
        try:
            self.assertRaises(OSError, file.write, line)
            self.assertRaises(OSError, file.write, line)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        file.write(line)
        file.write(line)
        self.assertEqual(self.path.read_bytes(), line + b"x" * 10 + b"\n" + line + line)

    def test_nobodyReads(self) -> None:
        """
        A pipe that nobody reads does not hold up anybody.
        """
        os.mkfifo(self.path)
        self.deny()
        self.assertEqual(self.ours(), ["audit-failed"])

    def test_strangers(self) -> None:
        """
        Refusals without end are so many, then it is said how many were left
        out; what is permitted is written all the same.
        """
        for number in range(BURST + 500):
            self.deny(f"I{number}")
        self.assertEqual(len(self.records()), BURST)
        for _ in range(BURST + 500):
            self.log.info("x", event="stream-allowed", audit="allowed")
        self.assertEqual(len(self.records()), 2 * BURST + 500)
        self.clock.advance(10)
        last = self.records()[-1]
        self.assertEqual(
            [last["event"], last["outcome"], last["fields"]],
            ["left-out", "refused", {"of": "stream-denied", "count": 500}],
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_close(self) -> None:
        """
        What was left out is said at the end, too.
        """
        for number in range(BURST + 1):
            self.deny(f"I{number}")
        self.audit.close()
        self.assertEqual(self.records()[-1]["event"], "left-out")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_check(self) -> None:
        """
        What cannot be written is found out before the start.
        """
        error = self.assertRaises(StateUnusable, checkAuditFile, "/nonexistent/audit.log")
        self.assertEqual(str(error), "cannot write the audit log /nonexistent/audit.log: No such file or directory")
        checkAuditFile(str(self.path))
        self.assertEqual(self.path.read_text(), "")
