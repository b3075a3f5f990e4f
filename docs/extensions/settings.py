"""
The directive C{settings}: every key that the file of a node may have, from
where they are declared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import NOTHING
from commands import paragraph
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from ockam_twisted.configuration.commands import COMMANDS
from ockam_twisted.configuration.declared import Declared, declared
from ockam_twisted.configuration.forms import Number
from ockam_twisted.configuration.settings import NodeSettings


def options(path: str) -> str:
    """
    The options that are the same setting, and whose they are.
    """
    found: dict[str, list[str]] = {}
    for command, offers in COMMANDS.items():
        for offer in offers:
            if offer.path == path:
                found.setdefault(f"--{offer.option}", []).append(command)
    whose = [f"{name} ({'all' if len(of) == len(COMMANDS) else ', '.join(of)})" for name, of in found.items()]
    return f"Option: {', '.join(whose)}." if whose else ""


def allowed(each: Declared) -> str:
    """
    What it may be, in words.
    """
    form = each.setting.form
    assert form is not None
    text = form.allowed
    if isinstance(form, Number):
        text = f"a {'whole ' if form.isWhole else ''}number from {form.least:.12g} to {form.most:.12g}"
    return f"One or a list, each {text}" if each.setting.isMany else f"{text[:1].upper()}{text[1:]}"


def default(each: Declared) -> str:
    """
    What it is if nobody says so, unless the help has that.
    """
    if each.default is NOTHING:
        return "Must be given."
    if each.default in (None, "", ()) or "[default" in each.setting.help:
        return ""
    value = str(each.default).lower() if isinstance(each.default, bool) else f"{each.default}"
    return f"Default: `{value.removesuffix('.0')}`."


class SettingsDirective(SphinxDirective):
    """
    C{.. settings::}: a section for each group of keys.
    """

    def run(self) -> list[nodes.Node]:
        """
        Make the sections.
        """
        return list(self.sections(NodeSettings, "", "At the top", ""))

    def sections(self, kind: Any, prefix: str, title: str, text: str) -> Iterator[nodes.Node]:
        """
        One for a group, and those for the groups in it.
        """
        name = f"keys {prefix.rstrip('.')}".strip().replace("[]", "").replace(".", "-").replace(" ", "-")
        section = nodes.section(ids=[name], names=[name])
        section += nodes.title("", "", nodes.Text(title))
        self.state.document.note_explicit_target(section)
        if text:
            section += paragraph(f"{text}.")
        rows, below = [], []
        for each in declared(kind):
            mark = "[]" if each.setting.group is not None and each.setting.isMany else ""
            path = f"{prefix}{each.key}{mark}"
            if each.setting.group is not None:
                shown = f"{each.setting.help}" + ("; a list" if mark else "")
                below.append((each.setting.group, f"{path}.", path, shown))
                continue
            body = nodes.definition("", *(paragraph(line) for line in self.lines(each, f"{prefix}{each.key}")))
            rows.append(nodes.definition_list_item("", nodes.term("", "", nodes.literal("", path)), body))
        section += nodes.definition_list("", *rows, classes=["options"])
        yield section
        for group in below:
            yield from self.sections(*group)

    def lines(self, each: Declared, path: str) -> Iterator[str]:
        """
        What is said of one.
        """
        yield f"{each.setting.help}."
        yield " ".join(part for part in (f"{allowed(each)}.", default(each), options(path.replace("[]", ""))) if part)


def setup(app: Sphinx) -> dict[str, Any]:
    """
    See Sphinx.
    """
    app.add_directive("settings", SettingsDirective)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
