"""
From log events to lines: JSON for programs, text for people.

Whatever an event holds, it is one line of ASCII without control characters,
and of bounded length: what a peer has sent cannot begin another line, nor move
a cursor.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from twisted.logger import LogLevel, formatEvent
from twisted.python.failure import Failure

#: The namespace of what this package logs.
_PACKAGE = "ockam_twisted."

#: What others log is of this layer, and has this name.
OTHERS, OTHER = "twisted", "other"

#: Characters of a message, and of a field.
MAX_MESSAGE, MAX_FIELD = 2000, 500

#: How many fields and frames are shown.
_MAX_FIELDS, _MAX_FRAMES = 32, 40

#: What is in an event, but is no field.
_NOT_FIELDS = frozenset(
    ("event", "audit", "forwarded", "format", "message", "time", "system", "isError", "why", "failure")
)


def plain(text: str, limit: int) -> str:
    """
    One line of ASCII without control characters, cut.
    """
    shown = text[: limit + 1]
    if not (shown.isascii() and shown.isprintable()):
        shown = "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode("ascii") for c in shown)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def layerOf(event: Any) -> str:
    """
    Which room of the package an event is from; L{OTHERS} if from none.
    """
    forwarded = event.get("forwarded")
    if forwarded is not None:
        return str(forwarded["layer"])
    namespace = event.get("log_namespace") or ""
    return namespace.split(".", 2)[1] if namespace.startswith(_PACKAGE) else OTHERS


def nameOf(event: Any) -> str:
    """
    The name of an event; L{OTHER} of those that have none.
    """
    name = event.get("event")
    return name if isinstance(name, str) else OTHER


def _isField(name: Any) -> bool:
    return isinstance(name, str) and name not in _NOT_FIELDS and not name.startswith("log_")


def fieldsOf(event: Any) -> dict[str, Any]:
    """
    The fields of an event: numbers, and texts that are fit for a line.
    """
    fields: dict[str, Any] = {}
    if nameOf(event) == OTHER:
        # Whatever other packages keep in theirs.
        return fields
    for name, value in event.items():
        if _isField(name) and len(fields) < _MAX_FIELDS:
            if value is None or isinstance(value, bool | int):
                fields[name] = value
            elif isinstance(value, float):
                fields[name] = round(value, 3) if abs(value) < 1e18 else str(value)
            else:
                fields[name] = plain(str(value), MAX_FIELD)
    forwarded = event.get("forwarded")
    if forwarded is not None:
        return {**forwarded["fields"], **{each: fields[each] for each in ("repeated", "within") if each in fields}}
    return fields


def _failureOf(failure: Failure) -> dict[str, Any]:
    """
    What went wrong, and where; never what variables held.
    """
    kind = getattr(failure.type, "__qualname__", None) or str(failure.type)
    module = getattr(failure.type, "__module__", "builtins")
    frames = [*(failure.stack or ())[-2:], *failure.frames][-_MAX_FRAMES:]
    name = kind if module == "builtins" else f"{module}.{kind}"
    return {
        "type": plain(name, MAX_FIELD),
        "reason": plain(failure.getErrorMessage(), MAX_MESSAGE),
        "traceback": [
            "Traceback (most recent call last):",
            *(plain(f"{frame[1]}:{frame[2]} in {frame[0]}", MAX_FIELD) for frame in frames),
        ],
    }


def timeOf(event: Any) -> datetime:
    """
    When it happened.
    """
    seconds = event.get("log_time")
    return datetime.now(UTC) if seconds is None else datetime.fromtimestamp(float(seconds), UTC)


def levelOf(event: Any) -> Any:
    """
    Its level; of what has none, C{info}, or C{critical} if it is an error.
    """
    level = event.get("log_level")
    return (LogLevel.critical if event.get("isError") else LogLevel.info) if level is None else level


def messageOf(event: Any) -> str:
    """
    Its text.
    """
    forwarded = event.get("forwarded")
    text = formatEvent(event) if forwarded is None else str(forwarded["message"])
    if not text and event.get("log_failure") is not None:
        text = "Unhandled error"
    return plain(text.replace("\n", " ") if nameOf(event) == OTHER else text, MAX_MESSAGE)


def recordOf(event: Any) -> dict[str, Any]:
    """
    What is said of an event: C{time}, C{level}, C{layer}, C{event},
    C{message}, C{fields}; C{audit} of a decision, C{failure} of an error.
    """
    record: dict[str, Any] = {
        "time": timeOf(event).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": levelOf(event).name,
        "layer": plain(layerOf(event), 40),
        "event": plain(nameOf(event), 80),
        "message": messageOf(event),
        "fields": fieldsOf(event),
    }
    if "audit" in event:
        record["audit"] = plain(str(event["audit"]), 20)
    failure = event.get("log_failure")
    if failure is not None:
        record["failure"] = _failureOf(failure)
    elif event.get("forwarded", {}).get("failure"):
        record["failure"] = event["forwarded"]["failure"]
    return record


def asJSON(event: Any) -> str | None:
    """
    The line of an event, with its end; L{None} if it says nothing.
    """
    record = recordOf(event)
    if not record["message"]:
        return None
    return json.dumps(record, ensure_ascii=True, separators=(", ", ": ")) + "\n"


def readRecord(text: str, process: int) -> tuple[Any, dict[str, Any]]:
    """
    Read what another process has made of an event with L{asJSON}.

    @param process: Which one; a field, from here on.
    @return: Its level, and what the event that is logged here has as
        C{event} and C{forwarded}.
    @raise ValueError: It is none.
    """
    record = json.loads(text)
    try:
        level = LogLevel.lookupByName(record["level"])
        fields = {
            plain(name, 40): value if isinstance(value, bool | int | float) else plain(str(value), MAX_FIELD)
            for name, value in list(record["fields"].items())[:_MAX_FIELDS]
        }
        shown, failure = None, record.get("failure")
        if failure is not None:
            shown = {
                "type": plain(failure["type"], MAX_FIELD),
                "reason": plain(failure["reason"], MAX_MESSAGE),
                "traceback": [plain(each, MAX_FIELD) for each in failure["traceback"][: _MAX_FRAMES + 1]],
            }
        forwarded = {
            "layer": plain(record["layer"], 40),
            "message": plain(f"Process {process}: {record['message']}", MAX_MESSAGE),
            "fields": {**fields, "process": process},
            "failure": shown,
        }
        return level, {"event": plain(record["event"], 80), "forwarded": forwarded}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no record: {type(error).__name__}") from None


def asText(event: Any) -> str | None:
    """
    The line of an event, in local time, followed by a traceback if it has
    one, whose lines are indented; L{None} if it says nothing.
    """
    message = messageOf(event)
    if not message:
        return None
    time = timeOf(event).astimezone().isoformat(timespec="milliseconds")
    line = f"{time} [{plain(layerOf(event), 40)} {levelOf(event).name} {plain(nameOf(event), 80)}] {message}\n"
    failure = event.get("log_failure")
    shown = event.get("forwarded", {}).get("failure") if failure is None else _failureOf(failure)
    if shown:
        lines = [*shown["traceback"], f"{shown['type']}: {shown['reason']}"]
        line += "".join(f"    {each}\n" for each in lines)
    return line
