"""
The directive C{command}: what a command can be given, from its options.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from ockam_twisted.command import Options
from ockam_twisted.manuals.outline import Command, Option, everyCommand, plugins


def words(text: str) -> list[nodes.Node]:
    """
    A text whose parts in backquotes are literal, and options, too.
    """
    parts = re.split(r"`([^`]+)`|(?<![\w-])(--[a-z][a-z-]*)", text)
    return [nodes.literal("", part) if number % 3 else nodes.Text(part) for number, part in enumerate(parts) if part]


def paragraph(text: str) -> nodes.paragraph:
    """
    A paragraph of it.
    """
    return nodes.paragraph("", "", *words(text))


def term(option: Option) -> nodes.term:
    """
    How an option is written.
    """
    names = ([f"-{option.short}"] if option.short else []) + [f"--{option.name}"]
    found: list[nodes.Node] = []
    for name in names:
        found += [nodes.Text(", "), nodes.literal("", name)] if found else [nodes.literal("", name)]
    if option.argument:
        found += [nodes.Text(" "), nodes.emphasis("", option.argument)]
    return nodes.term("", "", *found)


def definition(option: Option) -> nodes.definition:
    """
    What it is for.
    """
    said = f"{option.text[:1].upper()}{option.text[1:]}."
    if option.repeatable:
        said += " May be given several times."
    body = nodes.paragraph("", "", *words(said))
    if option.default:
        # A value is written as it can be typed; the rest are words.
        shown = nodes.Text(option.default) if " " in option.default else nodes.literal("", option.default)
        body += [nodes.Text(" Default: "), shown, nodes.Text(".")]
    return nodes.definition("", body)


def literal(text: str) -> nodes.literal_block:
    """
    Lines that can be copied.
    """
    return nodes.literal_block(text, text, language="none")


def examples(text: str) -> list[nodes.Node]:
    """
    Lines of two spaces explain those with four that follow.
    """
    found: list[nodes.Node] = []
    typed: list[str] = []
    lines = text.rstrip().splitlines()
    for line in [*lines, ""]:
        if line.startswith("    ") or (len(lines) == 1 and line):
            typed.append(line.strip() if len(lines) == 1 else line[4:])
            continue
        if typed:
            found.append(literal("\n".join(typed)))
            typed = []
        if line:
            found.append(paragraph(line.strip()))
    return found


class CommandDirective(SphinxDirective):
    """
    C{.. command:: ockam-twisted}: a section for it, and below it one for each
    of its tasks; C{.. command:: twist}: one for each of our plugins.
    """

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """
        Make the sections.
        """
        name = self.arguments[0]
        found = plugins() if name == "twist" else [each for each in everyCommand(Options) if each.name == name]
        if not found:
            raise self.error(f"there is no command {name!r}")
        return [self.section(each) for each in found]

    def section(self, command: Command) -> nodes.section:
        """
        The section of one.
        """
        section = nodes.section(ids=[command.page], names=[command.page])
        section += nodes.title("", "", nodes.Text(command.name))
        self.state.document.note_explicit_target(section)
        runner = "" if command.name.startswith("ockam-twisted") else "twist "
        section += literal(f"{runner}{command.name} {command.synopsis}".rstrip())
        section += paragraph(command.text or f"{command.summary}.")
        rows = [
            nodes.definition_list_item("", term(each), definition(each))
            for each in command.options
            if each.name not in ("help", "version")
        ]
        if rows:
            section += nodes.definition_list("", *rows, classes=["options"])
        if command.examples and not command.tasks:
            section += examples(command.examples)
        for task in command.tasks:
            section += self.section(task)
        return section


def setup(app: Sphinx) -> dict[str, Any]:
    """
    See Sphinx.
    """
    app.add_directive("command", CommandDirective)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
