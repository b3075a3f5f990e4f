"""
Manual pages, in the language of C{man(7)}, which groff and mandoc read.
"""

from __future__ import annotations

from collections.abc import Iterator

from ockam_twisted import __version__
from ockam_twisted.manuals.outline import Command, Option

#: Of the release.
DATE = "2026-11-27"


def escape(text: str) -> str:
    """
    What stands for a text: hyphens that can be copied, no escapes, no requests.
    """
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("'", "\\(aq")
    text = text.replace("^", "\\(ha").replace("~", "\\(ti").replace("…", "...")
    return f"\\&{text}" if text.startswith(".") else text


def sentence(text: str) -> str:
    """
    A text, with its first letter and its end as in one.
    """
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) or not text else f"{text}."


def _option(option: Option) -> Iterator[str]:
    names = ([f"\\-{option.short}"] if option.short else []) + [f"\\-\\-{escape(option.name)}"]
    bold = ", ".join(f"\\fB{each}\\fR" for each in names)
    yield ".TP"
    yield f"{bold}=\\fI{escape(option.argument)}\\fR" if option.argument else bold
    yield escape(sentence(option.text))
    if option.repeatable:
        yield "May be given several times."
    if option.default:
        yield f"The default is {escape(option.default)}."


def _examples(text: str) -> Iterator[str]:
    """
    Lines of two spaces explain those with more that follow.
    """
    typed = begun = False
    for line in text.rstrip().splitlines():
        isTyped = line.startswith("    ") or not line.startswith("  ") or text.count("\n") <= 1
        if isTyped and not typed:
            yield from (".PP", ".RS 4", ".nf") if begun else (".RS 4", ".nf")
        elif typed and not isTyped:
            yield from (".fi", ".RE")
        if not isTyped and begun:
            yield ".PP"
        yield escape(line.removeprefix("    ") if line.startswith("    ") else line.strip()).replace("  ", " \\& ")
        typed, begun = isTyped, True
    if typed:
        yield from (".fi", ".RE")


def _synopsis(command: Command, runner: str) -> Iterator[str]:
    for each in ([runner] if runner else [""]) if not command.tasks else [""]:
        start = f"{each} {command.name}".strip()
        yield f"\\fB{escape(start)}\\fR {escape(command.synopsis)}".rstrip()


def _reference(page: str) -> str:
    name, bracket, section = page.partition("(")
    return f"\\fB{escape(name)}\\fR({section if bracket else '1)'}"


def manualPage(command: Command, others: tuple[str, ...], runner: str = "") -> str:
    """
    The manual page of a command.

    @param others: Names of pages to look at, too; with section, C{name(5)},
        if that is not 1.
    @param runner: The program that runs it; empty: it is one itself.
    """
    title = escape(command.page)
    lines = [
        '.\\" Written from the options by "python docs/manuals.py": edit these, not this.',
        f'.TH "{title.upper()}" "1" "{DATE}" "ockam_twisted {escape(__version__)}" "ockam_twisted"',
        ".SH NAME",
        f"{title} \\- {escape(command.summary[:1].lower() + command.summary[1:] if not runner else command.summary)}",
        ".SH SYNOPSIS",
        *_synopsis(command, runner),
        ".SH DESCRIPTION",
        escape(command.text) if command.text else escape(sentence(command.summary)),
    ]
    if runner:
        lines += [
            ".PP",
            f"It runs until it is stopped. \\fB{escape(runner)}\\fR keeps it in the foreground; "
            "\\fBtwistd\\fR, which takes the same options behind its own, puts it into the background.",
        ]
    if command.tasks:
        lines.append(".SH TASKS")
        for task in command.tasks:
            lines += [".TP", f"\\fB{escape(task.word)}\\fR", escape(sentence(task.summary))]
            lines.append(f"See \\fB{escape(task.page)}\\fR(1).")
    lines.append(".SH OPTIONS")
    for option in command.options:
        lines += _option(option)
    lines.append(".SH EXIT STATUS")
    if runner:
        lines.append("0 after it was stopped, another one if it could not start; what is wrong is said in one line.")
    else:
        lines.append("0 if it was done, 1 if it failed, 64 if the command line was not understood.")
    if command.examples:
        lines += [".SH EXAMPLES", *_examples(command.examples)]
    if others:
        lines += [".SH SEE ALSO", ",\n".join(_reference(each) for each in others)]
    return "\n".join(lines) + "\n"


def manualPages(plugins: tuple[Command, ...], program: Command) -> dict[str, str]:
    """
    All manual pages.

    @return: What each file is called, and what is in it.
    """
    roots = [each.page for each in (*plugins, program)]
    found = {}
    for command in plugins:
        others = tuple(each for each in roots if each != command.page)
        if command.page == "ockam-node":
            others = ("ockam-node.yaml(5)", *others)
        found[f"{command.page}.1"] = manualPage(command, others, "twist")
    for command in program.everyTask():
        above = command.name.rpartition(" ")[0].replace(" ", "-")
        others = (above,) if above else tuple(each for each in roots if each != command.page)
        found[f"{command.page}.1"] = manualPage(command, others)
    return found
