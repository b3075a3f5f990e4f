"""
What the tasks of C{ockam-twisted} have in common.
"""

from __future__ import annotations

import getopt
import sys
from typing import Any

from twisted.python import usage

from ockam_twisted import __version__
from ockam_twisted.tap.mistakes import HelpfulOptions

#: Whose state there may be.
COMMANDS = ("ockam-inlet", "ockam-outlet", "ockam-relay", "ockam-authority", "ockam-node")


class BaseOptions(HelpfulOptions):
    """
    What all have in common: a version, and examples that are not wrapped.
    """

    synopsis = ""
    examples = ""
    #: Only of those that have some: the help would begin a list of them.
    subCommands: list[Any]

    def getSynopsis(self) -> str:
        """
        The whole line, without what the parents say of themselves.
        """
        return str(self.synopsis)

    def words(self) -> str:
        """
        What is typed to get here.
        """
        above: Any = self.parent
        return "ockam-twisted" if above is None else f"{above.words()} {above.subCommand}"

    def whereHelpIs(self) -> str:
        """
        See L{HelpfulOptions.whereHelpIs}.
        """
        return f"; see `{self.words()} --help`"

    def parseOptions(self, options: Any = None) -> None:
        """
        Options may also follow what they are about.
        """
        given = sys.argv[1:] if options is None else list(options)
        if not hasattr(self, "subCommands"):
            try:
                found, rest = getopt.gnu_getopt(given, self.shortOpt, self.longOpt)
            except getopt.GetoptError:
                pass  # What is wrong with it is said below.
            else:
                given = [
                    f"{name}={value}" if name.startswith("--") and value else name + value for name, value in found
                ]
                given += ["--", *rest]
        super().parseOptions(given)

    def getUsage(self, width: int | None = None) -> str:
        """
        The help.
        """
        usage: str = super().getUsage(width)
        return f"{usage}\nExamples:\n{self.examples}" if self.examples else usage

    def opt_version(self) -> None:
        """
        Display the version and exit.
        """
        print(f"ockam-twisted {__version__}")
        sys.exit(0)


class Group(BaseOptions):
    """
    Several tasks under one word.
    """

    def postOptions(self) -> None:
        """
        There has to be a task.
        """
        if self.subCommand is None:
            names = ", ".join(str(each[0]) for each in self.subCommands)
            word = type(self).__name__.lower()
            raise usage.UsageError(f"say what to do, as in ockam-twisted {word} {self.subCommands[0][0]}: {names}")

    def run(self) -> int:
        """
        Run the task.
        """
        return int(self.subOptions.run())


def commandMeant(argument: str) -> str:
    """
    @return: The option that says of which command something is, if an argument
        is the name of one.
    """
    return "command" if argument in COMMANDS else ""


class StateOptions(BaseOptions):
    """
    Whose state it is about.

    @cvar defaultCommand: Of which command, unless something is said.
    @ivar isDefault: Was nothing said?
    """

    defaultCommand = "ockam-outlet"

    optParameters = [
        ["state-dir", None, None, "The state folder [default: the one that --command has for --instance]"],
        ["command", None, None, f"Whose state: {', '.join(COMMANDS)}"],
        ["instance", None, "default", "Which instance of it"],
        ["passphrase", None, None, "FILE with the passphrase of its secrets, or credential:NAME"],
        ["vault", None, None, "The token of its signing keys, as the node has it"],
    ]

    def __init__(self) -> None:
        super().__init__()
        self.docs["command"] += f" [default: {self.defaultCommand}]"
        self.isDefault = False

    def meant(self, argument: str) -> str:
        """
        See L{HelpfulOptions.meant}.
        """
        return commandMeant(argument)

    def postOptions(self) -> None:
        """
        Check the command.
        """
        self.isDefault = self["command"] is None
        if self.isDefault:
            self["command"] = self.defaultCommand
        if self["command"] not in COMMANDS:
            raise usage.UsageError(f"--command is one of {', '.join(COMMANDS)}, not {self['command'][:40]!r}")

    def node(self) -> Any:
        """
        The node that is meant.
        """
        from twisted.internet import reactor

        from ockam_twisted.tasks import Node

        return Node(reactor, self["state-dir"] or "", self["command"], self["instance"], self.keys())

    def keys(self) -> Any:
        """
        How its secrets are reached.
        """
        from ockam_twisted.offline import Keys

        return Keys(self["passphrase"] or "", self["vault"] or "")

    def run(self) -> int:
        """
        Do it.

        @return: The exit status.
        """
        raise NotImplementedError
