"""
The C{ockam-twisted} command: tasks that end by themselves.

What runs on and on is a plugin: C{twist ockam-relay}, C{twist ockam-outlet},
C{twist ockam-inlet}.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from twisted.python import usage

from ockam_twisted import __version__
from ockam_twisted.errors import OckamError

#: Whose state C{identity} may show.
COMMANDS = ("ockam-inlet", "ockam-outlet", "ockam-relay")


class _Options(usage.Options):
    """
    What all have in common: a version, and examples that are not wrapped.
    """

    synopsis = ""
    examples = ""

    def getSynopsis(self) -> str:
        """
        The whole line, without what the parents say of themselves.
        """
        return str(self.synopsis)

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


class _StateOptions(_Options):
    optParameters = [
        ["state-dir", None, None, "The state folder [default: the one that --command has for --instance]"],
        ["command", None, "ockam-inlet", f"Whose state: {', '.join(COMMANDS)}"],
        ["instance", None, "default", "Which instance of it"],
    ]

    def postOptions(self) -> None:
        """
        Check the command.
        """
        if self["command"] not in COMMANDS:
            raise usage.UsageError(f"--command is one of {', '.join(COMMANDS)}, not {self['command'][:40]!r}")


class IdentityShow(_StateOptions):
    """
    C{ockam-twisted identity show}
    """

    synopsis = "Usage: ockam-twisted identity show [options]"
    longdesc = (
        "Prints the identifier that a node has, for --authorized on the other side. "
        "Where the state folder has no identity yet, one is made. The node may be running."
    )
    examples = """\
  Of the inlet that `twist ockam-inlet` runs, also before it has ever run:
    ockam-twisted identity show
  Of an outlet that was started with --instance web:
    ockam-twisted identity show --command ockam-outlet --instance web
"""

    def run(self) -> int:
        """
        Print it.
        """
        from twisted.internet import reactor

        from ockam_twisted.demo import showIdentity

        shown = showIdentity(reactor, self["state-dir"] or "", self["command"], self["instance"])
        print(f"Identifier: {shown}", flush=True)
        return 0


class Identity(_Options):
    """
    C{ockam-twisted identity}
    """

    synopsis = "Usage: ockam-twisted identity <task> [options]"
    longdesc = "Who a node is: a name that nobody else can take, and that others authorize."
    examples = "  ockam-twisted identity show\n"
    subCommands = [["show", None, IdentityShow, "Print the identifier; make the identity if there is none"]]

    def postOptions(self) -> None:
        """
        There has to be a task.
        """
        if self.subCommand is None:
            raise usage.UsageError("say what to do with the identity: ockam-twisted identity show")

    def run(self) -> int:
        """
        Run the task.
        """
        return int(self.subOptions.run())


class Demo(_Options):
    """
    C{ockam-twisted demo}
    """

    synopsis = "Usage: ockam-twisted demo [options]"
    longdesc = (
        "Starts a private web page, a relay, an outlet and an inlet, each in a process of its own, prints the "
        "commands, and ends everything on Ctrl-C. Nothing listens outside of this machine, and nothing is kept."
    )
    examples = "  ockam-twisted demo\n"
    optFlags = [["check", None, "Open the page once through the inlet, then clean up and exit"]]

    def run(self) -> int:
        """
        Run it.
        """
        from ockam_twisted.demo import runDemo

        return runDemo(bool(self["check"]))


class Options(_Options):
    """
    C{ockam-twisted}
    """

    synopsis = "Usage: ockam-twisted [--version] <command> [options]"
    longdesc = (
        "Reach private TCP services, end-to-end encrypted, without an open port. This command has the tasks that end "
        "by themselves; what runs on and on is started with `twist`, or with `twistd` in the background."
    )
    examples = """\
  See it work on this machine:
    ockam-twisted demo
  For real, each with --help:
    twist ockam-relay       where everybody can reach it
    twist ockam-outlet      beside the private service
    twist ockam-inlet       beside the client
"""
    subCommands = [
        ["identity", None, Identity, "Show who a node is"],
        ["demo", None, Demo, "See it work on this machine"],
    ]

    def postOptions(self) -> None:
        """
        There has to be a command.
        """
        if self.subCommand is None:
            raise usage.UsageError("say what to do; `ockam-twisted --help` lists the commands")


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command.

    @return: The exit status: 0, 1 for what failed, 64 for what was not
        understood.
    """
    options = Options()
    try:
        options.parseOptions(sys.argv[1:] if argv is None else list(argv))
    except usage.UsageError as error:
        print(f"ockam-twisted: {error}", file=sys.stderr)
        return os.EX_USAGE
    try:
        return int(options.subOptions.run())
    except OckamError as error:
        print(f"ockam-twisted: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read the output has gone; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
