"""
What can be given to a command, read from its C{usage.Options}: nothing is said
twice, so nothing of it can be out of date.
"""

from __future__ import annotations

import re
from typing import Any

from attrs import frozen
from twisted.python import usage

#: What kind of thing an argument is, for completions.
FILE, FOLDER, WORDS, OTHER = "file", "folder", "words", "other"

_CAPITALS = re.compile(r"[@<]?\b[A-Z]{2,}(?:[:=@/][A-Z]+)*\b")
_DEFAULT = re.compile(r" *\[default: (.*)\]\Z")
_CHOICE = re.compile(r"(?::|\bone of) ([a-z][\w-]+(?:, [a-z][\w-]+)*(?:,? or [a-z][\w-]+)?)\Z")

#: What an argument is called by what is said of it, the first that fits;
#: L{None}: the word in capitals itself.
_ARGUMENTS: tuple[tuple[str, str | None], ...] = (
    (r"pkcs11:|\btoken of\b", "URI"),
    (r"MULTIADDR", None),
    (r"\bendpoint string\b", "PLACE"),
    (r"\bpolicy\b", "POLICY"),
    (r"^[Ii]dentifier\b|\bidentifier of\b", "IDENTIFIER"),
    (r"^Seconds\b", "SECONDS"),
    (r"^How long\b", "TIME"),
    (r"^How many\b", "NUMBER"),
    (r"\bin bytes\b", "BYTES"),
    (r"\b[Ff]older\b", "FOLDER"),
    (r"^JSON file\b", "FILE"),
)

#: Words in capitals that are no arguments.
_NONE = frozenset(("JSON", "YAML", "TCP", "UDP", "TLS", "HTTP", "HTTPS", "PROXY", "GET", "IP", "DNS", "UNIX", "SIGHUP"))


@frozen
class Option:
    """
    One option.

    @ivar name: The long name, without hyphens.
    @ivar short: The letter; empty for none.
    @ivar argument: What its argument is called; empty for a flag.
    @ivar text: What it is for, without full stop.
    @ivar default: As the help says it; empty for none.
    @ivar repeatable: May it be given several times?
    @ivar kind: L{FILE}, L{FOLDER}, L{WORDS} or L{OTHER}, of the argument.
    @ivar words: Which, for L{WORDS}.
    """

    name: str
    short: str
    argument: str
    text: str
    default: str = ""
    repeatable: bool = False
    kind: str = OTHER
    words: tuple[str, ...] = ()


@frozen
class Command:
    """
    A command, or a task of one.

    @ivar name: All words of it: C{ockam-twisted ticket create}.
    @ivar summary: One line.
    @ivar synopsis: What follows the name.
    @ivar text: What it does.
    @ivar examples: Lines: those with two spaces explain, those with more are
        to be typed.
    @ivar options: In the order of the help.
    @ivar tasks: What may follow the name.
    @ivar takesFile: Is a file among what it takes?
    """

    name: str
    summary: str
    synopsis: str
    text: str
    examples: str
    options: tuple[Option, ...]
    tasks: tuple[Command, ...] = ()
    takesFile: bool = False

    @property
    def word(self) -> str:
        """
        The last word of the name.
        """
        return self.name.rpartition(" ")[2]

    @property
    def page(self) -> str:
        """
        What its manual page is called.
        """
        return self.name.replace(" ", "-")

    def everyTask(self) -> list[Command]:
        """
        This command, then all below it.
        """
        return [self, *(each for task in self.tasks for each in task.everyTask())]


def _argument(name: str, text: str) -> str:
    """
    What an option's argument is called.
    """
    words = [match[0] for match in _CAPITALS.finditer(text) if match[0].lstrip("@<") not in _NONE]
    for pattern, called in _ARGUMENTS:
        if re.search(pattern, text):
            return called or max((each for each in words if "MULTIADDR" in each), key=len)
    return words[0].lstrip("@<") if words else name.rpartition("-")[2].upper()


def _kind(argument: str, text: str, completer: Any) -> tuple[str, tuple[str, ...]]:
    """
    What its argument is: by what the options say to shells, else by what they
    say to people.
    """
    if isinstance(completer, usage.CompleteDirs):
        return FOLDER, ()
    if isinstance(completer, usage.CompleteFiles):
        return FILE, ()
    if argument == "FOLDER":
        return FOLDER, ()
    if argument == "FILE" or "@FILE" in text:
        return FILE, ()
    if match := _CHOICE.search(text):
        return WORDS, tuple(re.split(r",? or |, ", match[1]))
    return OTHER, ()


def _options(options: usage.Options) -> tuple[Option, ...]:
    """
    All that can be given, by name; what is about the command itself last.
    """
    completions = getattr(options, "compData", None)
    completers = completions.optActions if isinstance(completions, usage.Completions) else {}
    letters = {name: each for each, name in options.synonyms.items() if len(each) == 1}
    found = []
    for given in options.longOpt:
        name = given.removesuffix("=")
        text = " ".join((options.docs.get(name) or "").split())
        match = _DEFAULT.search(text)
        said = text[: match.start()] if match else text
        repeatable = said.endswith("; repeatable")
        said = said.removesuffix("; repeatable").rstrip(".")
        default = options.get(name)
        argument, kind = "", OTHER
        words: tuple[str, ...] = ()
        if given.endswith("="):
            argument = _argument(name, said)
            kind, words = _kind(argument, said, completers.get(name))
        shown = match[1] if match else str(default) if isinstance(default, str | int) and argument else ""
        found.append(Option(name, letters.get(name, ""), argument, said, shown, repeatable, kind, words))
    last = ("version", "help")
    return tuple(sorted(found, key=lambda each: (each.name in last, each.name)))


def outline(name: str, summary: str, kind: type[usage.Options]) -> Command:
    """
    Read a class of options.

    @param name: The words of the command.
    @param summary: One line about it.
    """
    options = kind()
    synopsis = str(getattr(options, "synopsis", "") or "").removeprefix("Usage: ").removeprefix(name).strip()
    tasks = tuple(
        outline(f"{name} {word}", said, below) for word, _, below, said in getattr(options, "subCommands", None) or ()
    )
    return Command(
        name,
        summary.rstrip("."),
        synopsis,
        " ".join(str(getattr(options, "longdesc", None) or "").split()),
        str(getattr(options, "examples", "") or ""),
        _options(options),
        tasks,
        "FILE" in synopsis,
    )


def plugins() -> tuple[Command, ...]:
    """
    What C{twist} and C{twistd} offer of this package, in the order of the
    plugin file.
    """
    from twisted.application.service import ServiceMaker
    from twisted.plugins import ockam_plugin

    makers = [each for each in vars(ockam_plugin).values() if isinstance(each, ServiceMaker)]
    return tuple(outline(each.tapname, each.description, each.options) for each in makers)


def program(options: type[usage.Options]) -> Command:
    """
    C{ockam-twisted}, with all its tasks.

    @param options: Its options.
    """
    return outline("ockam-twisted", "tasks about Ockam nodes that end by themselves", options)


def everyCommand(options: type[usage.Options]) -> tuple[Command, ...]:
    """
    Plugins, and C{ockam-twisted}.

    @param options: The options of the latter.
    """
    return (*plugins(), program(options))
