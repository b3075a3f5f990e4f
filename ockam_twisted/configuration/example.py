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

#: What is no comment: the least that others can reach.
_GIVEN = ("outlets", "outlets.target", "registrations", "registrations.relay")

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
    The file, as text: a node with one outlet, registered at a relay, and
    everything else as comments.
    """
    return "\n".join([_HEAD, *_group(NodeSettings, "", _WIDTH, isGiven=True)])


def _group(kind: Any, prefix: str, width: int, isGiven: bool) -> Iterator[str]:
    """
    @param width: How wide a line may be.
    @param isGiven: Is the group itself no comment?
    """
    for one in declared(kind):
        setting, path = one.setting, prefix + one.key
        mark = "" if isGiven and path in _GIVEN else "#: "
        yield from _comment(one, width)
        if setting.group is None:
            yield f"{mark}{one.key}: {_value(one)}"
        else:
            yield f"{mark}{one.key}:"
            # All but the empty line at its end.
            inner = list(_group(setting.group, f"{path}.", width - len(mark) - 4, not mark))[:-1]
            # In a comment, all keys are one.
            plain = inner if not mark else [each.removeprefix("#: ") for each in inner]
            yield from (f"{mark}{each}".rstrip() for each in (_entry(plain) if setting.isMany else _indented(plain)))
        yield ""


def _indented(lines: list[str]) -> Iterator[str]:
    return (f"  {each}" if each else "" for each in lines)


def _entry(lines: list[str]) -> Iterator[str]:
    """
    One entry of a list: a dash before the first key.
    """
    first = True
    for each in lines:
        isKey = bool(each) and not each.startswith("#")
        yield f"{'  - ' if first and isKey else '    '}{each}"
        first = first and not isKey


def _comment(one: Declared, width: int) -> Iterator[str]:
    text = one.setting.help
    if one.setting.form is not None and one.setting.isMany:
        text += " (one, or a list)"
    return (f"# {line}" for line in textwrap.wrap(text, width - 2, break_on_hyphens=False))


def _value(one: Declared) -> str:
    """
    What it is by default, or an example.
    """
    default, form = one.default, one.setting.form
    assert form is not None
    if isinstance(default, bool):
        value = str(default).lower()
    elif default is None or default is NOTHING or default == "" or default == ():
        value = form.example or ("true" if default is None else "...")
    else:
        value = f"{default:g}" if isinstance(default, float) else str(default)
    quoted = value[:1] in "[{*&!|>%@`'\"" or ": " in value or " #" in value
    return f"'{value}'" if quoted else value
