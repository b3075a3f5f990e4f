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

from ockam_twisted.errors import OckamError

#: Whose state C{identity} may show.
COMMANDS = ("ockam-inlet", "ockam-outlet", "ockam-relay")


class _StateOptions(usage.Options):
    optParameters = [
        ["state-dir", None, "", "The state folder [default: the one of --command and --instance]"],
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

    longdesc = (
        "Prints the identifier that a node has, for --authorized on the other side. "
        "Where the state folder has no identity yet, one is made."
    )

    def run(self) -> int:
        """
        Print it.
        """
        from twisted.internet import reactor

        from ockam_twisted.demo import showIdentity

        shown = showIdentity(reactor, self["state-dir"], self["command"], self["instance"])
        print(f"Identifier: {shown}", flush=True)
        return 0


class Identity(usage.Options):
    """
    C{ockam-twisted identity}
    """

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


class Demo(usage.Options):
    """
    C{ockam-twisted demo}
    """

    longdesc = (
        "Starts a private web page, a relay, an outlet and an inlet, each in a process of its own, prints the "
        "commands, and ends everything on Ctrl-C."
    )
    optFlags = [["check", None, "Open the page once through the inlet, then clean up and exit"]]

    def run(self) -> int:
        """
        Run it.
        """
        from ockam_twisted.demo import runDemo

        return runDemo(bool(self["check"]))


class Options(usage.Options):
    """
    C{ockam-twisted}
    """

    synopsis = "Usage: ockam-twisted [--version] <command> [options]"
    longdesc = (
        "Reach private TCP services, end-to-end encrypted, without an open port. "
        "The long-running parts are `twist ockam-relay`, `twist ockam-outlet` and `twist ockam-inlet`."
    )
    subCommands = [
        ["identity", None, Identity, "Show who a node is"],
        ["demo", None, Demo, "See it work on this machine"],
    ]

    def opt_version(self) -> None:
        """
        Print the version and exit.
        """
        from ockam_twisted import __version__

        print(f"ockam-twisted {__version__}")
        sys.exit(0)

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
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
