"""
A configuration file to begin with: every key there is, with what it is for.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from attrs import NOTHING

from ockam_twisted.configuration.declared import Declared, declared
from ockam_twisted.configuration.settings import NodeSettings

_WIDTH = 100

_HEAD = """\
# A node of ockam_twisted: twist ockam-node --config FILE
#
# Nothing of it has to be there but what the node shall do: an outlet, an inlet,
# a relay. What begins with #: is a key that may be given; what follows the
# colon is an example, or what it is by default. `ockam-twisted config check
# FILE` says what is wrong with a file, SIGHUP and `ockam-twisted reload` apply
# a changed one.
#
# Secrets are never written here: file:FILE, credential:NAME (systemd) and
# env:NAME say where they are.
"""


def example() -> str:
    """
    The file, as text: a node with one outlet, and everything else as comments.
    """
    return "\n".join([_HEAD, *_group(NodeSettings, "", isGiven=True)])


def _group(kind: Any, indent: str, isGiven: bool) -> Iterator[str]:
    for one in declared(kind):
        setting = one.setting
        yield from _comment(one, indent)
        if setting.group is None:
            yield _key(one, indent, isGiven)
            yield ""
            continue
        shown = isGiven and one.key == "outlets"
        mark = "" if shown else "#: "
        yield f"{indent}{mark}{one.key}:"
        inner = list(_group(setting.group, "", shown))[:-1]
        if setting.isMany:
            yield from _entry(inner, f"{indent}{mark}", shown)
        else:
            yield from (f"{indent}{mark}  {each}".rstrip() for each in _plain(inner))
        yield ""


def _plain(lines: list[str]) -> Iterator[str]:
    """
    Keys that are comments of a group that is one.
    """
    return (each.removeprefix("#: ") for each in lines)


def _entry(lines: list[str], indent: str, isGiven: bool) -> Iterator[str]:
    """
    One entry of a list.
    """
    first = True
    for each in lines if isGiven else _plain(lines):
        isKey = bool(each) and not each.startswith("#")
        yield f"{indent}{'  - ' if first and isKey else '    '}{each}".rstrip()
        first = first and not isKey


def _comment(one: Declared, indent: str) -> Iterator[str]:
    text = one.setting.help
    form = one.setting.form
    if form is not None and form.allowed not in ("text", "true or false") and one.setting.isMany:
        text += " (one, or a list)"
    for line in textwrap.wrap(text, _WIDTH - len(indent) - 2):
        yield f"{indent}# {line}"


def _key(one: Declared, indent: str, isGiven: bool) -> str:
    default, form = one.default, one.setting.form
    assert form is not None
    if isinstance(default, bool):
        value = str(default).lower()
    elif default is None or default is NOTHING or default == "" or default == ():
        value = form.example or ("true" if default is None else "...")
    else:
        value = f"{default:g}" if isinstance(default, float) else str(default)
    if value[:1] in "[{*&!|>%@`'\"" or ": " in value or " #" in value:
        value = f"'{value}'"
    mark = "" if isGiven and default is NOTHING else "#: "
    return f"{indent}{mark}{one.key}: {value}"
