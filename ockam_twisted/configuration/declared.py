"""
How settings are declared: fields of attrs classes that say what form they
have and what they are for.  Everything that reads or shows settings goes by
these declarations.

To add one: a line in a class of L{ockam_twisted.configuration.parts} or
L{ockam_twisted.configuration.settings}; what it does in its method C{config};
and, if a command has it as an option, a line in
L{ockam_twisted.configuration.commands}.  The option, its help, the key of the
file, the schema, the example and the manual follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from attrs import NOTHING, Attribute, field, fields, frozen

from ockam_twisted.configuration.forms import Form

_METADATA = "setting"


@frozen
class Setting:
    """
    What is declared of a setting.

    @ivar help: What it is for.
    @ivar form: What it may be; L{None} for a group.
    @ivar group: The class of the settings in it, for a group.
    @ivar isMany: Is it a list of these?
    """

    help: str
    form: Form | None = None
    group: Any = None
    isMany: bool = False


def one(form: Form, help: str, default: Any = NOTHING) -> Any:
    """
    A single setting.

    @param default: Without one it must be given.  What was written is read by
        C{form}; the default is what it would give.
    """
    return field(default=default, metadata={_METADATA: Setting(help, form)})


def secret(form: Form, help: str) -> Any:
    """
    A single setting that is not shown.
    """
    return field(default="", repr=False, metadata={_METADATA: Setting(help, form)})


def many(form: Form, help: str) -> Any:
    """
    A list of settings of one form.
    """
    return field(default=(), converter=tuple, metadata={_METADATA: Setting(help, form, isMany=True)})


def group(kind: Any, help: str, isOptional: bool = False) -> Any:
    """
    Settings that belong together.

    @param isOptional: Is it something that there may not be at all?
    """
    setting = {_METADATA: Setting(help, group=kind)}
    return field(default=None, metadata=setting) if isOptional else field(factory=kind, metadata=setting)


def groups(kind: Any, help: str) -> Any:
    """
    A list of such.
    """
    return field(default=(), converter=tuple, metadata={_METADATA: Setting(help, group=kind, isMany=True)})


def keyOf(name: str) -> str:
    """
    How a field is called in a file.
    """
    return re.sub("([A-Z])", lambda match: f"-{match[1].lower()}", name).rstrip("_")


@frozen
class Declared:
    """
    A field with what is declared of it.

    @ivar key: How it is called in a file.
    @ivar attribute: How it is called in its class.
    @ivar setting: What is declared.
    @ivar default: What it is if it is not given; C{NOTHING}: it must be.
    """

    key: str
    attribute: str
    setting: Setting
    default: Any


def declared(kind: Any) -> Iterator[Declared]:
    """
    What a class declares, in order.
    """
    each: Attribute[Any]
    for each in fields(kind):
        setting = each.metadata.get(_METADATA)
        if setting is not None:
            default = each.default
            if setting.group is not None and not setting.isMany and default is not None:
                default = None
            yield Declared(keyOf(each.name), each.name, setting, default)


def find(kind: Any, path: str) -> Declared:
    """
    The declaration that a path leads to, as in C{outlets.target}.

    @raise KeyError: There is none.
    """
    first, _, rest = path.partition(".")
    for each in declared(kind):
        if each.key == first:
            if not rest:
                return each
            if each.setting.group is not None:
                return find(each.setting.group, rest)
    raise KeyError(path)


def paths(kind: Any, prefix: str = "") -> Iterator[tuple[str, Declared]]:
    """
    All settings below a class that are no groups, with their paths.
    """
    for each in declared(kind):
        path = prefix + each.key
        if each.setting.group is None:
            yield path, each
        else:
            yield from paths(each.setting.group, f"{path}.")
