"""
From a file to settings, or to all that is wrong with it.

C{cattrs} walks file and classes side by side and gathers what does not fit; a
line for each of these says where it is, what was found, and what may be there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import cattrs
from attrs import evolve
from cattrs.errors import (
    AttributeValidationNote,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, override

from ockam_twisted.config import NodeConfig
from ockam_twisted.configuration.agreement import Disagreement
from ockam_twisted.configuration.commands import COMMANDS
from ockam_twisted.configuration.declared import Declared, declared
from ockam_twisted.configuration.document import MAX_BYTES, Document, Path, pathText, readDocument
from ockam_twisted.configuration.forms import Form, nearest, shown
from ockam_twisted.configuration.settings import NodeSettings
from ockam_twisted.errors import ConfigurationError, OckamError

#: The command whose settings a file has.
COMMAND = "ockam-node"

#: What a reader puts where the name of a setting goes; it is known later.
_HERE = "\0"


class Refused(ConfigurationError):
    """
    A file cannot be carried out.

    @ivar lines: All that is wrong with it.
    """

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def load(path: str) -> NodeSettings:
    """
    Read a file.

    @raise Refused: It cannot be read, or something in it is wrong.
    """
    return structure(_document(path))


def loadConfig(path: str) -> NodeConfig:
    """
    What a node is made from, by a file.

    @raise Refused: The file cannot be read, or something in it is wrong.
    """
    return _config(_document(path))


def _config(document: Document) -> NodeConfig:
    settings = structure(document)
    try:
        return settings.config(COMMAND, lambda key: key)
    except Disagreement as error:
        raise Refused(_located(document, error.each)) from None


def check(path: str, reactor: Any) -> NodeConfig:
    """
    Read a file and find out all that is wrong with it, as far as it alone can
    tell.

    @raise Refused: Something is.
    """
    document = _document(path)
    config = _config(document)
    wrong = list(_misnamed(config, reactor))
    if wrong:
        raise Refused(_located(document, wrong))
    return config


def _located(document: Document, wrong: Iterable[tuple[str, str]]) -> list[str]:
    """
    Lines about paths, in the order of the file.
    """
    lines = []
    for path, text in wrong:
        said = text if text.startswith(path) or f"{path}." in text else f"{path}: {text}"
        # It may name a key of that part.
        named = _named(said if said.startswith(path) else path)
        lines.append((document.line(named), document.error(named, said)))
    return [line for _, line in sorted(lines)]


#: What of a configuration is a list in a file, and what that is called there.
_LISTS = (
    ("listeners", "listen"),
    ("outlets", "outlets"),
    ("registrations", "registrations"),
    ("inlets", "inlets"),
)


def _misnamed(config: NodeConfig, reactor: Any) -> Iterator[tuple[str, str]]:
    """
    Which parts of a configuration name something that cannot be.
    """
    from ockam_twisted.checks import checkNames

    nothing: Any = {name: () for name, _ in _LISTS}
    alone = evolve(config, **nothing)
    try:
        checkNames(alone, reactor)
    except OckamError as error:
        yield "", asKeys(str(error))
        return
    for name, key in _LISTS:
        right: tuple[Any, ...] = ()
        its = getattr(config, name)
        for n, each in enumerate(its):
            some: Any = {name: (*right, each)}
            try:
                checkNames(evolve(alone, **some), reactor)
            except OckamError as error:
                text = asKeys(str(error), key)
                where = key if key == "listen" and len(its) == 1 else f"{key}[{n}]"
                yield where, text.replace(f"{key}.", f"{where}.")
            else:
                right = (*right, each)


def asKeys(text: str, within: str = "") -> str:
    """
    What names options, with the keys of a file instead.

    @param within: The group that it is about; empty: the whole.
    """

    def key(match: re.Match[str]) -> str:
        every = (each for offers in COMMANDS.values() for each in offers)
        # An authority is more than its address.
        found = [
            each.path.replace("authorities.address", "authorities") for each in every if f"--{each.option}" == match[0]
        ]
        near = [each for each in found if each.partition(".")[0] == within or (not within and "." not in each)]
        return (near or found or [match[0]])[0]

    return re.sub(r"--[a-z]+(?:-[a-z]+)*", key, text)


def _document(path: str) -> Document:
    try:
        with open(path, encoding="utf-8") as file:
            # One more than a document may have, so that it is refused.
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Refused([f"cannot read {path[:200]!a}: {error.strerror}"]) from None
    except ValueError:
        raise Refused([f"{path[:200]}: this is no text in UTF-8"]) from None
    try:
        return readDocument(text, path)
    except ConfigurationError as error:
        raise Refused([str(error)]) from None


def structure(document: Document) -> NodeSettings:
    """
    The settings that a document has.

    @raise Refused: Something in it is wrong; all of that is in one.
    """
    try:
        settings: NodeSettings = _converter().structure(document.values, NodeSettings)
    except ClassValidationError as error:
        found = [(document.line(path), document.error(path, text)) for path, text in _explained(error, (), document)]
        raise Refused([text for _, text in sorted(found)]) from None
    except RecursionError:
        raise Refused([f"{document.name}: groups are nested too deeply"]) from None
    return settings


def _named(text: str) -> Path:
    """
    The path that a text begins with.
    """
    path: list[str | int] = []
    for part in text.replace(":", " ").split(" ")[0].replace("[", ".[").split("."):
        path.append(int(part[1:-1]) if part.startswith("[") and part[1:-1].isdigit() else part)
    return tuple(path)


# --------------------------------------------------------------- structuring


@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True, forbid_extra_keys=True)
    _register(converter, NodeSettings)
    return converter


def _register(converter: cattrs.Converter, kind: Any) -> None:
    overrides: dict[str, Any] = {}
    for each in declared(kind):
        setting = each.setting
        if setting.group is None:
            assert setting.form is not None
            hook = _list(setting.form) if setting.isMany else _single(setting.form)
        else:
            _register(converter, setting.group)
            hook = _groups(converter, setting.group) if setting.isMany else _group(converter, setting.group)
        overrides[each.attribute] = override(rename=each.key, struct_hook=hook)
    made = make_dict_structure_fn(
        kind, converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True, **overrides
    )

    def structured(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise ConfigurationError(f"{_HERE} is a group of keys, not {_kind(value)}")
        return made(value, kind)

    converter.register_structure_hook(kind, structured)


def _kind(value: object) -> str:
    return "a list" if isinstance(value, list) else "nothing" if value is None else shown(value)


def _single(form: Form) -> Any:
    return lambda value, _: form.read(value, _HERE)


def _list(form: Form) -> Any:
    def read(value: Any, _: Any) -> Any:
        # One is as good as a list of one.
        values = value if isinstance(value, list) else [value]
        return _each(values, lambda each: form.read(each, _HERE), isList=isinstance(value, list))

    return read


def _groups(converter: cattrs.Converter, kind: Any) -> Any:
    def read(value: Any, _: Any) -> Any:
        if not isinstance(value, list):
            raise ConfigurationError(f"{_HERE} is a list: each of its entries begins with a dash")
        return _each(value, lambda each: converter.structure(each, kind))

    return read


def _group(converter: cattrs.Converter, kind: Any) -> Any:
    # Nothing after the key: it is there, with all its defaults.
    return lambda value, _: converter.structure({} if value is None else value, kind)


def _each(values: list[Any], read: Any, isList: bool = True) -> tuple[Any, ...]:
    done, failed = [], []
    for n, each in enumerate(values):
        try:
            done.append(read(each))
        except Exception as error:
            if not isList:
                raise
            error.__notes__ = [*getattr(error, "__notes__", ()), IterableValidationNote(f"entry {n}", n, Any)]
            failed.append(error)
    if failed:
        raise IterableValidationError("entries", failed, Any)
    return tuple(done)


# ---------------------------------------------------------------- explaining


def _explained(error: BaseException, path: Path, document: Document) -> Iterator[tuple[Path, str]]:
    """
    What is wrong, and where.
    """
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            path = (*path, note.name)
        elif isinstance(note, IterableValidationNote):
            path = (*path, note.index)
    if isinstance(error, ClassValidationError | IterableValidationError):
        for each in error.exceptions:
            yield from _explained(each, path, document)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [each.key for each in declared(error.cl)]
        for key in sorted(error.extra_fields):
            yield (*path, key), _unknown(key, path, known)
    elif isinstance(error, KeyError):
        # Its last part is what is missing.
        yield path[:-1], _missing(str(error.args[0]), path[:-1])
    else:
        keyed = _keyed(path)
        yield keyed, str(error).replace(_HERE, pathText(keyed))


def _keyed(path: Path) -> Path:
    """
    The path in the file, of one through classes.
    """
    kind: Any = NodeSettings
    keyed: list[str | int] = []
    for each in path:
        if isinstance(each, int) or kind is None:
            keyed.append(each)
            continue
        its: Declared | None = next((one for one in declared(kind) if each in (one.attribute, one.key)), None)
        keyed.append(each if its is None else its.key)
        kind = None if its is None else its.setting.group
    return tuple(keyed)


def _unknown(key: str, path: Path, known: list[str]) -> str:
    where = pathText(_keyed(path))
    hint = nearest(key, known) or f"; there are {', '.join(known)}"
    return f"{f'{where}: ' if where else ''}there is no key {shown(key)}{hint}"


def _missing(key: str, path: Path) -> str:
    where = pathText(_keyed(path))
    return f"{where or 'the file'}: {key} is missing"
