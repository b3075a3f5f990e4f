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
from ockam_twisted.subcommands.base import BaseOptions
from ockam_twisted.subcommands.check import Check
from ockam_twisted.subcommands.completion import Completion
from ockam_twisted.subcommands.config import Config
from ockam_twisted.subcommands.connect import Connect
from ockam_twisted.subcommands.identity import Identity
from ockam_twisted.subcommands.members import Member, Ticket, Unpair
from ockam_twisted.subcommands.ping import Ping
from ockam_twisted.subcommands.reload import Reload
from ockam_twisted.subcommands.status import Status


class Demo(BaseOptions):
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


class Options(BaseOptions):
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
    twist ockam-authority   for many of these
    twist ockam-node        several of these in one process, from a file
"""
    subCommands = [
        ["connect", None, Connect, "Standard input and output as a stream to a private service: for ssh, rsync, git"],
        ["check", None, Check, "Which step of the way to an outlet fails, and whose fault that is"],
        ["ping", None, Ping, "The round trip to each node on the way to an outlet"],
        ["status", None, Status, "How the nodes on this machine are, and over which ways"],
        ["ticket", None, Ticket, "Let somebody in: make, list and revoke tickets"],
        ["member", None, Member, "Who is in: list, add and remove members"],
        ["identity", None, Identity, "Who a node is: show, export, rotate, back up"],
        ["unpair", None, Unpair, "Forget which outlet an inlet is paired with"],
        ["config", None, Config, "Files for ockam-node: check one, write one to begin with"],
        ["reload", None, Reload, "Have a node read its file again"],
        ["completion", None, Completion, "Have a shell complete all this"],
        ["demo", None, Demo, "See it work on this machine"],
    ]

    def opt_reactor(self, name: str) -> None:
        """
        The reactor, as twist has it: asyncio for ways over Bluetooth
        """
        from twisted.application.reactors import NoSuchReactor, installReactor
        from twisted.internet.error import ReactorAlreadyInstalledError

        try:
            installReactor(name)
        except (NoSuchReactor, ImportError):
            raise usage.UsageError(f"--reactor: there is no {name[:40]!a}; asyncio is one") from None
        except ReactorAlreadyInstalledError:
            raise usage.UsageError("--reactor: there can be only one") from None

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
    try:
        try:
            return _run(sys.argv[1:] if argv is None else list(argv))
        finally:
            # What is printed shows here whether it can be, not after the end.
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has gone; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(argv: list[str]) -> int:
    options = Options()
    try:
        options.parseOptions(argv)
        return int(options.subOptions.run())
    except usage.UsageError as error:
        print(f"ockam-twisted: {error}", file=sys.stderr)
        return os.EX_USAGE
    except OckamError as error:
        print(f"ockam-twisted: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
