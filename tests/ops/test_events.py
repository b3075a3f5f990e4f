"""
Tests of L{ockam_twisted.ops.events}: every log call of the package has a name
and fields, and is in the table and on the page.
"""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SkipTest

from ockam_twisted.ops.events import EVENTS
from tests.log_calls import OUTCOMES, LogCall, logCalls, page
from tests.test_architecture import RulesTestCase

PAGE = Path(__file__).resolve().parents[2] / "docs" / "log-events.rst"

HOW = (
    '\nA log call is self._log.warn("text with {field}", field=..., event="a-name"): a literal text and a literal name,'
    "\none name for one fact, with the same text, level and fields wherever it is logged; decisions about trust have"
    f"\naudit= one of {', '.join(OUTCOMES)}.  Then say what it means in ockam_twisted/ops/events.py and run"
    "\n    python -m tests.log_calls > docs/log-events.rst"
)

#: Fields that would be secrets, or clash with what observers add.
FORBIDDEN = {
    "code",
    "passphrase",
    "secret",
    "private",
    "payload",
    "data",
    "time",
    "level",
    "layer",
    "message",
    "format",
}


class EventsTests(RulesTestCase):
    """
    The rules for log calls.
    """

    def assertClean(self, problems: list[str]) -> None:
        """
        Fail with all problems at once, and with what to do.
        """
        super().assertClean([*problems, HOW] if problems else [])

    def test_named(self) -> None:
        """
        Each call has a text and a name that can be read from the source.
        """
        problems = []
        for call in logCalls():
            if call.text is None:
                problems.append(f"{call.where}: its text is no literal")
            if call.event is None or not re.fullmatch(r"[a-z]+(-[a-z]+)*", call.event):
                problems.append(f'{call.where}: has no event="a-name"')
        self.assertClean(problems)

    def test_fields(self) -> None:
        """
        Each field that a text names is given, by a name that is no other
        thing's; what a decision came to is one of four.
        """
        problems = []
        for call in logCalls():
            problems += [f"{call.where}: no field {name!r}" for name in call.placeholders - set(call.fields)]
            problems += [f"{call.where}: a field {name!r}" for name in FORBIDDEN & set(call.fields)]
            if call.audit is not None and call.audit not in OUTCOMES:
                problems.append(f"{call.where}: audit={call.audit!r}")
        self.assertClean(problems)

    def test_oneFact(self) -> None:
        """
        What has the same name is the same fact.
        """
        first: dict[str, LogCall] = {}
        problems = []
        for call in logCalls():
            other = first.setdefault(call.event or "", call)
            if other._replace(where="", layer="") != call._replace(where="", layer=""):
                problems.append(f"{call.where}: {call.event} is another line at {other.where}")
        self.assertClean(problems)

    def test_table(self) -> None:
        """
        The table has every name that is used, and no other.
        """
        used = {call.event: call.where for call in logCalls() if call.event is not None}
        problems = [f"{where}: {event} is not in EVENTS" for event, where in used.items() if event not in EVENTS]
        problems += [f"EVENTS: nobody logs {event}" for event in EVENTS if event not in used]
        self.assertClean(problems)

    def test_page(self) -> None:
        """
        The page is as it would be made now.
        """
        if not PAGE.exists():
            raise SkipTest("NO DOCUMENTS HERE: they are in the source tree")
        self.assertClean([] if PAGE.read_text("utf-8") == page() else ["docs/log-events.rst is not up to date"])
