"""
C{ockam-twisted status}: how a node is, and over which ways.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from twisted.python import usage

from ockam_twisted.subcommands.base import COMMANDS, BaseOptions, commandMeant


def span(seconds: float) -> str:
    """
    A time for people.
    """
    whole = int(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if whole < 120:
        return f"{whole} s"
    if whole < 2 * 3600:
        return f"{whole // 60} min"
    if whole < 2 * 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def _some(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def lines(status: dict[str, Any]) -> Iterator[str]:
    """
    A status for people, at a glance: one line for each thing, and under what
    is up where it leads.

    @param status: As L{ockam_twisted.ops.status.NodeStatus.asJSON} makes it.
    """
    from ockam_twisted.routing.addresses import printable

    def shown(text: object) -> str:
        return printable(str(text), 1000)

    instance = status.get("instance", "default")
    which = "" if instance == "default" else f" {shown(instance)}"
    yield f"{shown(status['name'])}{which}: running for {span(status['seconds'])}"
    yield f"  Identifier: {shown(status['identifier'])}"
    for each in status["listeners"]:
        yield f"  Listens for nodes on {shown(each)}"
    for each in status["portals"]:
        isUDP = each["kind"].startswith("udp")
        what = "Listens for clients on" if each["kind"].endswith("inlet") else "Outlet at the address"
        lost = f", {_some(each['dropped'], 'datagram')} lost" if each.get("dropped") else ""
        kind = "datagram flow" if isUDP else "open stream"
        yield f"  {what} {shown(each['at'])}: {_some(each['streams'], kind)}{lost}"
    for each in status["processes"]:
        which = f"Process {each['number']} ({each['pid']})" if each["pid"] else f"Process {each['number']}"
        yield f"  {which}: {shown(each['state'])}, {_some(each['connections'], 'connection')}"
    for count, what in ((status["relayed"], "relay name"), (status["members"], "member")):
        if count:
            yield f"  {_some(count, what)}"
    sessions = status["sessions"]
    for each in sessions:
        since = span(each["seconds"])
        if each["state"].startswith("up"):
            used = ", in use" if each["inUse"] and len(sessions) > 1 else ""
            streams = f", {_some(each['streams'], 'open stream')}" if each["streams"] else ""
            yield f"  {shown(each['label'])}: up for {since}{used}{streams}"
            yield f"    {shown(each['way'])}"
        else:
            soon = f", next try in {span(each['nextTry'])}" if each["nextTry"] is not None else ""
            now = ", trying now" if each["state"] == "trying" else soon
            yield f"  {shown(each['label'])}: down for {since}{now}"
            yield f"    {shown(each['why'])}"


class Status(BaseOptions):
    """
    C{ockam-twisted status}
    """

    synopsis = "Usage: ockam-twisted status [options]"
    longdesc = (
        "Shows how a running node is: who it is, where it listens, and of each relay, way and outlet whether it is "
        "up, since when, over what, or why not and when the next try is. Without --command and --state-dir it shows "
        "every node of this user that has run here. The exit status is 1 if none of them runs."
    )
    examples = """\
  Everything on this machine:
    ockam-twisted status
  The same, kept up to date until q or Ctrl-C:
    ockam-twisted status --watch
  One of them, for a program:
    ockam-twisted status --command ockam-inlet --json
"""
    optFlags = [
        ["json", None, "Print JSON; with --watch, each time on a line of its own"],
        ["watch", "w", "Show it anew each second, until q or Ctrl-C"],
    ]

    optParameters = [
        ["command", None, None, f"Which kind of node: {', '.join(COMMANDS)} [default: all of them]"],
        ["instance", None, None, "Which instance of it [default: all; with --command the one called default]"],
        ["state-dir", None, None, "The state folder of the node, if it has another one than its kind and instance say"],
    ]

    def meant(self, argument: str) -> str:
        """
        See L{BaseOptions.meant}.
        """
        return commandMeant(argument)

    def postOptions(self) -> None:
        """
        Check the command, if there is one.
        """
        if self["command"] and self["command"] not in COMMANDS:
            raise usage.UsageError(f"--command is one of {', '.join(COMMANDS)}, not {self['command'][:40]!r}")

    def run(self) -> int:
        """
        Show it.

        @raise OckamError: The one that was asked for does not run.
        """
        from ockam_twisted.errors import OckamError
        from ockam_twisted.tasks import asJSON

        if self["watch"]:
            from ockam_twisted.subcommands.watch import watch

            def look() -> list[str]:
                try:
                    found, missing = self._look()
                except OckamError as error:
                    found, missing = [], [str(error)]
                return [json.dumps(found, sort_keys=True)] if self["json"] else [*_blocks(found), *missing]

            watch(look, spaced=not self["json"])
            return 0
        found, missing = self._look()
        if self["json"]:
            asJSON(found)
        elif found:
            print(*_blocks(found), sep="\n", flush=True)
        for line in missing:
            print(line, file=sys.stderr)
        return 0 if found else 1

    def _look(self) -> tuple[Any, list[str]]:
        """
        Ask.

        @return: The status of the one node that is meant, or of each that
            runs, and a line for each that does not.
        @raise OckamError: The one that was asked for does not run.
        """
        from ockam_twisted.errors import OckamError
        from ockam_twisted.tasks import instancesOf, statusOf

        # Of a service of systemd there is one folder.
        folder = self["state-dir"] or ("" if self["command"] else os.environ.get("STATE_DIRECTORY", "").split(":")[0])
        if folder or self["command"]:
            return statusOf(folder, self["command"] or COMMANDS[0], self["instance"] or "default"), []
        found, missing = [], []
        for command in COMMANDS:
            for instance in instancesOf(command):
                if self["instance"] in (None, instance):
                    try:
                        found.append(statusOf("", command, instance))
                    except OckamError as error:
                        missing.append(str(error))
        return found, missing or ["no node has run here yet: see --instance, --state-dir"] * (not found)


def _blocks(found: Any) -> Iterator[str]:
    """
    One or several, with an empty line in between.
    """
    for number, status in enumerate(found if isinstance(found, list) else [found]):
        if number:
            yield ""
        yield from lines(status)
