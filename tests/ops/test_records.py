"""
Tests of L{ockam_twisted.ops.records}.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.ops.records import MAX_FIELD, MAX_MESSAGE, asJSON, asText, plain, readRecord, recordOf

#: What a peer may send to be shown to somebody.
HOSTILE = 'a\r\n2026-01-01T00:00:00Z [tap info forged] all is well\x1b[2J\u202e\u2028\x00\x85{reason}"}\n' * 200


def event(**more: Any) -> Any:
    """
    An event as a logger of the package makes it.
    """
    events: list[Any] = []
    log = Logger(namespace="ockam_twisted.portals.outlet.Outlet", observer=events.append)
    log.warn("Denied: {peer}", **{"event": "stream-denied", "peer": "I0f", **more})
    [made] = events
    made["log_time"] = 1_795_791_788.1239
    return made


class PlainTests(SynchronousTestCase):
    """
    One line.
    """

    def test_plain(self) -> None:
        """
        Nothing is left of a text that could be more than characters.
        """
        for text in (HOSTILE, "\ud800", "é", "\x7f", "a" * 1000, ""):
            shown = plain(text, 100)
            self.assertTrue(shown.isascii() and (shown.isprintable() or not shown), shown)
            self.assertLessEqual(len(shown), 100)
        self.assertEqual(plain("x\ny", 100), "x\\ny")
        self.assertEqual(plain("it", 2), "it")


class RecordTests(SynchronousTestCase):
    """
    What is said of an event.
    """

    def test_record(self) -> None:
        """
        Time in UTC with milliseconds, level, layer, name, text and fields.
        """
        line = asJSON(event(audit="refused", count=3, isOpen=True, seconds=0.12345, nothing=None))
        assert line is not None
        self.assertEqual(
            json.loads(line),
            {
                "time": "2026-11-27T15:03:08.123Z",
                "level": "warn",
                "layer": "portals",
                "event": "stream-denied",
                "message": "Denied: I0f",
                "audit": "refused",
                "fields": {"peer": "I0f", "count": 3, "isOpen": True, "seconds": 0.123, "nothing": None},
            },
        )

    def test_hostile(self) -> None:
        """
        A text of a peer, or a field that is an object, is part of one line, of
        bounded length, as JSON and as text.
        """

        class Liar:
            def __str__(self) -> str:
                return HOSTILE

        made = event(peer=HOSTILE, what=Liar(), other=[HOSTILE])
        for line in (asJSON(made), asText(made)):
            assert line is not None
            self.assertTrue(line[:-1].isascii() and line[:-1].isprintable(), line)
            self.assertEqual(line[-1], "\n")
            self.assertLess(len(line), 2 * MAX_MESSAGE + 6 * MAX_FIELD)
        record = recordOf(made)
        self.assertTrue(all(len(each) <= MAX_FIELD for each in record["fields"].values()))

    def test_numbers(self) -> None:
        """
        Numbers that JSON has not are texts.
        """
        line = asJSON(event(a=float("inf"), b=float("nan"), c=1e300))
        assert line is not None
        self.assertEqual(json.loads(line)["fields"], {"peer": "I0f", "a": "inf", "b": "nan", "c": "1e+300"})

    def test_text(self) -> None:
        """
        Time, layer, level, name, then the line itself.
        """
        line = asText(event())
        assert line is not None
        self.assertRegex(
            line, r"^2026-11-27T\d\d:\d\d:08\.123[+-]\d\d:\d\d \[portals warn stream-denied\] Denied: I0f\n$"
        )

    def test_failure(self) -> None:
        """
        Of an error it is said what and where, never what variables held; its
        text cannot begin a line.
        """
        passphrase = "correct horse"
        try:
            raise ValueError("no\n2026 [x] such thing" + passphrase[:0])
        except ValueError:
            failure = Failure(captureVars=True)
        events: list[Any] = []
        Logger(namespace="ockam_twisted.node", observer=events.append).failure(
            "It failed", failure, event="node-stop-failed"
        )
        text, line = asText(events[0]), asJSON(events[0])
        assert text is not None and line is not None
        self.assertNotIn(passphrase, text + line)
        first, *rest = text.splitlines()
        self.assertTrue(first.endswith("[node critical node-stop-failed] It failed"))
        self.assertEqual(rest[0], "    Traceback (most recent call last):")
        self.assertIn("test_records.py", rest[-2])
        self.assertEqual(rest[-1], "    ValueError: no\\n2026 [x] such thing")
        self.assertEqual(json.loads(line)["failure"]["type"], "ValueError")
        self.assertEqual(json.loads(line)["failure"]["reason"], "no\\n2026 [x] such thing")

    def test_others(self) -> None:
        """
        What other packages log is of the layer C{twisted}, without their
        fields; what says nothing is no line.
        """
        events: list[Any] = []
        log = Logger(namespace="somewhere.else", observer=events.append)
        log.info("one\ntwo {thing}", thing="three", password="hush")
        log.info("")
        record = recordOf(events[0])
        self.assertEqual(
            [record[each] for each in ("layer", "event", "message", "fields")],
            ["twisted", "other", "one two three", {}],
        )
        self.assertIsNone(asJSON(events[1]))
        self.assertIsNone(asText(events[1]))
        self.assertIn("Unhandled error", asText({"isError": 1, "log_failure": Failure(ValueError("x"))}) or "")


class ForwardedTests(SynchronousTestCase):
    """
    What another process says.
    """

    def test_forwarded(self) -> None:
        """
        It is said here with its own name, layer, level and fields, and with
        which process it was.
        """
        level, rest = readRecord(asJSON(event(count=2)) or "", 3)
        self.assertIs(level, LogLevel.warn)
        events: list[Any] = []
        Logger(namespace="ockam_twisted.processes.child", observer=events.append).emit(level, "x", **rest)
        record = recordOf(events[0])
        self.assertEqual(
            [record[each] for each in ("layer", "event", "message", "fields")],
            ["portals", "stream-denied", "Process 3: Denied: I0f", {"peer": "I0f", "count": 2, "process": 3}],
        )

    def test_failure(self) -> None:
        """
        A traceback comes along.
        """
        made = event(log_failure=Failure(ValueError("x")))
        level, rest = readRecord(asJSON(made) or "", 3)
        self.assertIn("    ValueError: x\n", asText({"log_level": level, "log_format": "x", **rest}) or "")

    def test_garbage(self) -> None:
        """
        What is no record is refused, and what is in one is made fit for a
        line again.
        """
        good = json.loads(asJSON(event()) or "")
        for bad in ("", "1", "[]", "{}", json.dumps({**good, "level": "loud"}), json.dumps({**good, "fields": 1})):
            self.assertRaises(ValueError, readRecord, bad, 1)
        _, rest = readRecord(json.dumps({**good, "message": "a\nb", "fields": {"a\nb": "c\nd"}, "event": "\n"}), 1)
        self.assertNotIn("\n", repr(rest).replace("\\\\n", ""))
        line = asText({"log_format": "x", **rest})
        assert line is not None
        self.assertEqual(line.count("\n"), 1)
