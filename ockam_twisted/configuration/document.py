"""
A YAML file as plain values that remember on which line they stand.

Only what a configuration needs is taken: groups, lists, text, numbers, flags.
Whatever a file could do beyond that (tags, references to other parts, several
documents, depth without end) is refused, whoever has written it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import define, field
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent, Event, NodeEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ockam_twisted.configuration.forms import shown
from ockam_twisted.errors import ConfigurationError

#: Bounds of a file: bytes, depth, values.
MAX_BYTES = 256 * 1024
MAX_DEPTH = 12
MAX_VALUES = 10_000

_TAG = "tag:yaml.org,2002:"

#: Where a value is: keys and numbers from the top.
Path = tuple[str | int, ...]


def pathText(path: Path) -> str:
    """
    How people write a path: C{outlets[0].target}.
    """
    text = ""
    for each in path:
        text += f"[{each}]" if isinstance(each, int) else f".{each}" if text else each
    return text


@define
class Document:
    """
    What is in a file.

    @ivar name: Of the file, for errors.
    @ivar values: Groups are C{dict}, lists are C{list}.
    """

    name: str
    values: dict[str, Any] = field(factory=dict)
    _lines: dict[Path, int] = field(factory=dict)

    def line(self, path: Path) -> int:
        """
        @return: The line on which a value stands, or the nearest group around
            it.
        """
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def error(self, path: Path, text: str) -> str:
        """
        One line about a value.
        """
        return f"{self.name}:{self.line(path)}: {text}"

    def __repr__(self) -> str:
        return f"<Document {self.name}>"


def readDocument(text: str, name: str) -> Document:
    """
    Read what a file has.

    @param text: What is in it.
    @param name: Of the file.
    @raise ConfigurationError: It cannot be read; one line, with its number.
    """
    if len(text) > MAX_BYTES:
        raise ConfigurationError(f"{name}: a configuration has at most {MAX_BYTES} characters")
    document = Document(name)
    try:
        _checkBounds(text, name)
        node = YAML(typ="safe", pure=True).compose(text)
    except ConfigurationError:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark is not None else name
        problem = " ".join(str(error.problem or error.context or "cannot be read").split())
        raise ConfigurationError(f"{where}: this is no YAML: {problem[:200]}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConfigurationError(f"{name}: this is no YAML: {problem}") from None
    if node is None:
        raise ConfigurationError(f"{name}: there is nothing in it; `ockam-twisted config example` writes one")
    reading = _Reading(document)
    values = reading.value(node, ())
    if not isinstance(values, dict):
        raise ConfigurationError(
            f"{name}:{node.start_mark.line + 1}: a configuration begins with keys, such as `outlets:`"
        )
    document.values = values
    return document


def _refusal(name: str, where: Node | Event, text: str) -> ConfigurationError:
    return ConfigurationError(f"{name}:{where.start_mark.line + 1}: {text}")


def _checkBounds(text: str, name: str) -> None:
    """
    Look for what would take long to make sense of, before anything is made of
    it.
    """
    depth = count = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, NodeEvent):
            count += 1
            if event.anchor is not None:
                raise _refusal(name, event, "references (& and *) are not taken: write it out")
        if isinstance(event, CollectionStartEvent):
            depth += 1
        elif isinstance(event, CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise _refusal(name, event, "groups are nested too deeply")
        if count > MAX_VALUES:
            raise _refusal(name, event, f"a configuration has at most {MAX_VALUES} values")


class _Reading:
    """
    From nodes to values.
    """

    def __init__(self, document: Document) -> None:
        self._document = document

    def _refuse(self, node: Node, text: str) -> ConfigurationError:
        return _refusal(self._document.name, node, text)

    def value(self, node: Node, path: Path) -> Any:
        self._document._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, MappingNode):
            return dict(self._entries(node, path))
        if isinstance(node, SequenceNode):
            return [self.value(each, (*path, n)) for n, each in enumerate(node.value)]
        return self._scalar(node)

    def _entries(self, node: MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                raise self._refuse(key, "a key is a word, followed by a colon")
            name = str(key.value)
            if name in seen:
                raise self._refuse(key, f"{pathText((*path, name))[:100]!a} is given twice")
            seen.add(name)
            # The key says more than what follows it.
            self._document._lines[(*path, name)] = key.start_mark.line + 1
            yield name, self.value(value, (*path, name))

    def _scalar(self, node: Node) -> Any:
        text = str(node.value)
        # Before 0.18 a node's tag was text.
        tag = str(getattr(node.tag, "value", node.tag) or "") if node.tag is not None else ""
        kind = tag.removeprefix(_TAG)
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() in ("true", "yes", "on")
        if kind in ("str", "int", "float", "timestamp"):
            # Numbers stay as they were written: 0123 may be a name.
            return text
        raise self._refuse(node, f"{shown(tag)} is not taken: text, numbers, true and false are")
