"""
The audit log: a file with one line of JSON for each decision about trust.

The lines are never changed, only added to.  Whoever rotates logs may rename
the file at any time: the next line goes to a new one.  Where it cannot be
written, that is said once in the log, and the node goes on.
"""

from __future__ import annotations

import json
import os
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import ILogObserver, Logger
from zope.interface import implementer

from ockam_twisted.errors import StateUnusable
from ockam_twisted.ops.records import nameOf, recordOf, timeOf
from ockam_twisted.ops.repeats import Bucket

#: Of one kind of refusal, how many are written at once, and then each after
#: how many seconds: strangers without end cannot fill a disk.
BURST, EVERY = 1000, 0.1

#: Seconds until it is said how many were left out.
_TELL_AFTER = 10.0

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK


class AuditFile:
    """
    A file that is added to.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self._descriptor = -1
        self._place: tuple[int, int] | None = None
        self._isTorn = False

    def open(self) -> None:
        """
        Open it, if it is not open, or is another one by now.

        @raise OSError: That cannot be.
        """
        try:
            found = os.stat(self.path)
            place: tuple[int, int] | None = (found.st_dev, found.st_ino)
        except FileNotFoundError:
            place = None
        if self._descriptor >= 0 and place == self._place:
            return
        self.close()
        self._descriptor = os.open(self.path, _FLAGS, 0o600)
        found = os.fstat(self._descriptor)
        self._place = (found.st_dev, found.st_ino)
        self._isTorn = False

    def write(self, line: bytes) -> None:
        """
        Add a line.

        @raise OSError: That cannot be; nothing, or a part, was added.
        """
        self.open()
        if self._isTorn:
            # The disk was full: what comes now must not be on the same line.
            line = b"\n" + line
        written = os.write(self._descriptor, line)
        self._isTorn = written < len(line)
        if self._isTorn:
            written += os.write(self._descriptor, line[written:])
            self._isTorn = written < len(line)

    def close(self) -> None:
        """
        Let go of it.
        """
        descriptor, self._descriptor, self._place = self._descriptor, -1, None
        if descriptor >= 0:
            os.close(descriptor)


def checkAuditFile(path: str) -> None:
    """
    Can this user write it, now?

    @raise StateUnusable: No.
    """
    file = AuditFile(path)
    try:
        file.open()
    except OSError as error:
        raise StateUnusable(f"cannot write the audit log {path}: {error.strerror}") from None
    finally:
        file.close()


@implementer(ILogObserver)
class AuditLog:
    """
    See the module.  An observer of the log.
    """

    _log = Logger()

    def __init__(self, path: str, clock: IReactorTime) -> None:
        self._file = AuditFile(path)
        self._clock = clock
        self._fails = False
        self._buckets: dict[str, Bucket] = {}
        self._left: dict[str, int] = {}
        self._telling: Any = None

    def __call__(self, event: Any) -> None:
        """
        Write a decision; everything else is not for this log.
        """
        if "audit" not in event:
            return
        if event["audit"] == "refused":
            name = nameOf(event)
            bucket = self._buckets.get(name)
            if bucket is None:
                bucket = self._buckets[name] = Bucket(BURST, EVERY)
            if not bucket.take(self._clock.seconds()):
                self._left[name] = self._left.get(name, 0) + 1
                if self._telling is None:
                    self._telling = self._clock.callLater(_TELL_AFTER, self._tellLeft)
                return
        record = recordOf(event)
        self._write(
            {
                "time": record["time"],
                "event": record["event"],
                "outcome": record["audit"],
                "message": record["message"],
                "fields": record["fields"],
            }
        )

    def _write(self, record: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(record, ensure_ascii=True).encode("ascii") + b"\n")
        except OSError as error:
            if not self._fails:
                self._fails = True
                self._log.error(
                    "The audit log {file} cannot be written: {reason}; decisions are missing from it",
                    file=self._file.path,
                    reason=error.strerror,
                    event="audit-failed",
                )
        else:
            if self._fails:
                self._fails = False
                self._log.info("The audit log {file} is written again", file=self._file.path, event="audit-back")

    def _tellLeft(self) -> None:
        self._telling = None
        left, self._left = self._left, {}
        for name, count in left.items():
            event = {"log_time": self._clock.seconds()}
            self._write(
                {
                    "time": timeOf(event).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                    "event": "left-out",
                    "outcome": "refused",
                    "message": f"{count} more {name} were left out",
                    "fields": {"of": name, "count": count},
                }
            )

    def close(self) -> None:
        """
        The last line was written.
        """
        if self._telling is not None:
            self._telling.cancel()
            self._tellLeft()
        self._file.close()
