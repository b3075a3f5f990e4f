"""
C{docs/troubleshooting.rst} has every line that asks somebody to do something,
as it is logged or said.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from ockam_twisted.ops.events import EVENTS
from ockam_twisted.visits.findings import STEPS
from tests.log_calls import PACKAGE, logCalls

PAGE = Path(__file__).resolve().parent.parent / "docs" / "troubleshooting.rst"

#: What is ours to mend: the page says so once for all.
_OURS = "This is a mistake in this package"


@cache
def page() -> dict[str, str]:
    """
    @return: The lines that the page explains, each with its explanation.
    """
    if not PAGE.exists():
        raise SkipTest("NO DOCUMENTS HERE: they are in the source tree")
    found = {}
    for term, explained in re.findall(r"^(``.+``)\n((?:    .*\n|\n(?=    ))+)", PAGE.read_text("utf-8"), re.MULTILINE):
        for line in re.findall(r"``((?:[^`]|`[^`])+)``", term):
            found[line] = explained
    return found


def texts() -> set[str]:
    """
    All texts in the source; what is different each time is C{…}.
    """
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.add("".join(str(each.value) if isinstance(each, ast.Constant) else "…" for each in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


class TroubleshootingTests(SynchronousTestCase):
    """
    The page, beside the source.
    """

    def test_events(self) -> None:
        """
        Every warning, error and critical event that is not a mistake of ours
        has an entry, with its exact text and its name.
        """
        wanted = {
            call.text or "": call.event
            for call in logCalls()
            # What has no name is found by the tests of events.
            if call.event and call.level in ("warn", "error", "critical") and _OURS not in EVENTS.get(call.event, "")
        }
        self.assertGreater(len(wanted), 40)
        problems = [f"{event}: no entry for ``{text}``" for text, event in wanted.items() if text not in page()]
        problems += [
            f"{event}: its entry does not name it"
            for text, event in wanted.items()
            if text in page() and not re.search(rf"\b{event}\b", page()[text])
        ]
        self.assertFalse(problems, "\n".join(["docs/troubleshooting.rst:", *sorted(problems)]))

    def test_lines(self) -> None:
        """
        Every line that the page explains is one that the source says.
        """
        logged = {call.text for call in logCalls()}
        said = texts()
        problems = [
            line
            for line in page()
            if line not in logged and line not in STEPS and not any(line in text for text in said)
        ]
        self.assertEqual(problems, [])
