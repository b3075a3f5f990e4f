"""
What the configuration file of a node may have: read from the declarations of
the settings, for its manual page and the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import NOTHING, frozen

from ockam_twisted import __version__
from ockam_twisted.configuration.declared import Declared, declared
from ockam_twisted.configuration.settings import NodeSettings
from ockam_twisted.manuals.pages import DATE, escape, sentence

#: A file that does something.
EXAMPLE = """\
outlets:
  - target: 127.0.0.1:5432
    allow: dba or admin
registrations:
  - relay: relay.example.com:4000
  - relay: relay2.example.com:4000
"""


@frozen
class Key:
    """
    One key.

    @ivar name: As it is written.
    @ivar text: What it is for.
    @ivar allowed: What it may be, in words; empty for a group.
    @ivar default: As it would be written; empty: nothing.
    @ivar isRequired: Must it be given?
    @ivar isMany: Is it a list?
    @ivar isPlain: Is it no group?
    """

    name: str
    text: str
    allowed: str
    default: str = ""
    isRequired: bool = False
    isMany: bool = False
    isPlain: bool = True


@frozen
class Group:
    """
    Keys that belong together.

    @ivar name: Of the key whose value they are; empty for the file itself.
    @ivar text: What they are for.
    @ivar isMany: Is it a list of these?
    @ivar keys: They; those that are groups are here, too.
    """

    name: str
    text: str
    isMany: bool
    keys: tuple[Key, ...]


def _default(each: Declared) -> str:
    if each.default is NOTHING or each.default in (None, (), "") or each.setting.group is not None:
        return ""
    if isinstance(each.default, bool):
        return str(each.default).lower()
    return f"{each.default:g}" if isinstance(each.default, float) else str(each.default)


#: What needs no second word about what it may be.
_PLAIN = ("text", "true or false", "seconds", "bytes")
_SAID = ("endpoint string", "policy", "HOST:PORT", "dentifier", "seconds", "pkcs11:")


def _allowed(text: str, allowed: str) -> str:
    """
    What it may be, where the text has not said so.
    """
    isSaid = any(each in text and (each in allowed or each == "pkcs11:") for each in _SAID)
    return "" if isSaid or allowed in _PLAIN else allowed


def _key(each: Declared) -> Key:
    setting = each.setting
    allowed = setting.form.allowed if setting.form is not None else ""
    text, bracket, default = setting.help.partition(" [default: ")
    shown = default.removesuffix("]") if bracket and default.endswith("]") else ""
    return Key(
        each.key,
        text if shown else setting.help,
        _allowed(setting.help, allowed),
        shown or _default(each),
        each.default is NOTHING,
        setting.isMany,
        setting.group is None,
    )


def groups(kind: Any = NodeSettings, name: str = "", text: str = "", isMany: bool = False) -> Iterator[Group]:
    """
    All groups: the file, then what is in it, in order.
    """
    below = list(declared(kind))
    yield Group(name, text, isMany, tuple(_key(each) for each in below))
    for each in below:
        if each.setting.group is not None:
            path = f"{name}.{each.key}" if name else each.key
            yield from groups(each.setting.group, path, each.setting.help, each.setting.isMany)


def _lines(key: Key) -> Iterator[str]:
    yield ".TP"
    yield f"\\fB{escape(key.name)}\\fR"
    yield escape(sentence(key.text))
    if key.allowed:
        yield escape(f"It is {key.allowed}.")
    if key.isMany:
        yield "One, or a list." if key.isPlain else "A list."
    if key.isRequired:
        yield "It must be given."
    if key.default:
        yield f"The default is {escape(key.default)}."


def settingsPage() -> str:
    """
    The manual page of the file.
    """
    lines = [
        '.\\" Written from the settings by "python docs/manuals.py": edit these, not this.',
        f'.TH "OCKAM\\-NODE.YAML" "5" "{DATE}" "ockam_twisted {escape(__version__)}" "ockam_twisted"',
        ".SH NAME",
        "ockam\\-node.yaml \\- what a node does, in a file",
        ".SH SYNOPSIS",
        "\\fBtwist ockam\\-node \\-\\-config\\fR \\fIFILE\\fR",
        ".SH DESCRIPTION",
        "YAML.  Nothing has to be in it but what the node shall do: outlets, inlets, a relay, an authority.  "
        "\\fBockam\\-twisted config example\\fR writes a file with every key, "
        "\\fBockam\\-twisted config check\\fR \\fIFILE\\fR says what is wrong with one, and "
        "\\fBockam\\-twisted config schema\\fR writes what editors are told.",
        ".PP",
        "Secrets are never in the file: \\fIfile:FILE\\fR, \\fIcredential:NAME\\fR (systemd) and \\fIenv:NAME\\fR "
        "say where they are.",
    ]
    for group in groups():
        lines.append(f".SH {escape(group.name).upper() if group.name else 'KEYS'}")
        if group.name:
            lines.append(escape(sentence(group.text)) + ("  A list; in each entry:" if group.isMany else ""))
        for key in group.keys:
            lines += _lines(key)
    lines += [".SH EXAMPLES", ".RS 4", ".nf", *(escape(line) for line in EXAMPLE.splitlines()), ".fi", ".RE"]
    lines += [".SH SEE ALSO", "\\fBockam\\-node\\fR(1),\n\\fBockam\\-twisted\\-config\\fR(1)"]
    return "\n".join(lines) + "\n"
