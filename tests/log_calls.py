"""
Every log call of the package, read from its source; and the page that lists
them: C{python -m tests.log_calls > docs/log-events.rst}.
"""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import ockam_twisted
from ockam_twisted.ops.events import EVENTS

PACKAGE = Path(ockam_twisted.__file__).resolve().parent

#: The methods of a logger, and the level that each logs at.
LEVELS = {
    "debug": "debug",
    "info": "info",
    "warn": "warn",
    "error": "error",
    "critical": "critical",
    "failure": "critical",
}

#: What a trust decision may come to.
OUTCOMES = ("allowed", "refused", "changed", "ended")

#: What is said of an event besides its fields.
_NOT_FIELDS = ("event", "audit")

HEAD = """\
==========
Log events
==========

.. Made by ``python -m tests.log_calls > docs/log-events.rst`` from the log
   calls of the package and ``ockam_twisted/ops/events.py``: change those.

Every line that a node logs is one of these.  ``docs/logging.rst`` says how
lines look as text and as JSON, where they go, and how they are limited.  The
name of an event, its level, its layer and its fields do not change without a
line in ``NEWS.rst``; the text may.  In a text, ``{field}`` is a field.

"""


class LogCall(NamedTuple):
    """
    One of them.

    @ivar where: File and line.
    @ivar layer: The room that it is in.
    @ivar text: The line, with fields in braces; L{None} if it is no literal.
    @ivar event: Its name; L{None} if there is none, or it is no literal.
    @ivar audit: What the decision came to, if it is one.
    """

    where: str
    layer: str
    level: str
    text: str | None
    event: str | None
    audit: str | None
    fields: tuple[str, ...]

    @property
    def placeholders(self) -> set[str]:
        """
        The fields that the text names.
        """
        return {name for _, name, _, _ in string.Formatter().parse(self.text or "") if name is not None}


def isLogger(node: ast.expr) -> bool:
    """
    Is this a logger?
    """
    name = ast.unparse(node)
    return name == "_log" or name.endswith("._log") or name.startswith(("Logger(", "LOG."))


def _literal(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def logCalls() -> Iterator[LogCall]:
    """
    All of them, in the order of the files.
    """
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if not isLogger(node.func.value) or node.func.attr not in LEVELS:
                continue
            keywords = {each.arg or "**": each.value for each in node.keywords}
            yield LogCall(
                f"{relative.as_posix()}:{node.lineno}",
                relative.parts[0].removesuffix(".py"),
                LEVELS[node.func.attr],
                _literal(node.args[0]) if node.args else None,
                _literal(keywords.get("event")),
                _literal(keywords.get("audit")),
                tuple(sorted(name for name in keywords if name not in _NOT_FIELDS)),
            )


def page() -> str:
    """
    The page that lists them, by layer.
    """
    layers: dict[str, dict[str, LogCall]] = {}
    for call in logCalls():
        layers.setdefault(call.layer, {}).setdefault(call.event or "", call)
    lines = [HEAD]
    for layer in sorted(layers):
        lines += ["", layer, "=" * len(layer), ""]
        for event, call in sorted(layers[layer].items()):
            lines += [
                f"``{event}``",
                f"    *{call.level}*  ``{call.text}``",
                "",
                f"    {EVENTS.get(event, '')}",
                "",
            ]
            if call.fields:
                lines += [f"    Fields: {', '.join(f'``{each}``' for each in call.fields)}.", ""]
            if call.audit:
                lines += [f"    In the audit log: *{call.audit}*.", ""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    print(page(), end="")
