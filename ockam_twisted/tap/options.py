"""
What the options of all plugins have in common.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from twisted.application.service import IService
from twisted.python import usage
from twisted.python.util import runAsEffectiveUser

from ockam_twisted import __version__
from ockam_twisted.config import NodeConfig, StateConfig
from ockam_twisted.errors import OckamError, StateUnusable
from ockam_twisted.tap.garbage import collectSeldom
from ockam_twisted.tap.signals import endAtSecondSignal

_MIN_FRAME, _MAX_FRAME = 64 * 1024, 16 * 1024 * 1024


class NodeOptions(usage.Options):
    """
    State and limits.

    @cvar command: What it is called; names the state folder.
    @cvar examples: Lines that can be copied; they end the help.
    """

    command = ""
    examples = ""

    optParameters = [
        [
            "state-dir",
            None,
            None,
            "Folder for identity and names [default: $STATE_DIRECTORY, else below ~/.local/state/ockam-twisted]",
        ],
        ["instance", None, "default", "Name of this instance, to run several on one machine"],
        ["max-frame", None, str(1024 * 1024), "Largest message accepted, in bytes"],
    ]
    optFlags = [["ephemeral", None, "Keep nothing: a new identity at each start"]]

    def __init__(self) -> None:
        super().__init__()
        for name in ("listen", "relay", "authorized"):
            self[name] = ()

    def _add(self, name: str, value: str) -> None:
        self[name] = (*self[name], value)

    def getUsage(self, width: int | None = None) -> str:
        """
        The help, with examples that are not wrapped.
        """
        return f"{super().getUsage(width)}\nExamples:\n{self.examples}"

    def opt_version(self) -> None:
        """
        Display the version and exit.
        """
        print(f"{self.command} {__version__}")
        sys.exit(0)

    def state(self) -> StateConfig:
        """
        The options about state.
        """
        if self["ephemeral"] and self["state-dir"]:
            raise usage.UsageError("--ephemeral keeps nothing: it excludes --state-dir")
        return StateConfig(self["state-dir"] or "", self["instance"], bool(self["ephemeral"]))

    def number(self, name: str, least: float, most: float) -> float:
        """
        A number within bounds.
        """
        text = self[name]
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise usage.UsageError(f"--{name} is a number from {least:g} to {most:g}, not {text[:40]!r}")
        return value

    def maxFrame(self) -> int:
        """
        The limit of frames.
        """
        return int(self.number("max-frame", _MIN_FRAME, _MAX_FRAME))

    def config(self) -> NodeConfig:
        """
        What the options say.

        @raise ConfigurationError: They cannot be carried out.
        """
        raise NotImplementedError

    def postOptions(self) -> None:
        """
        Check everything that the options alone can tell.
        """
        from twisted.internet import reactor

        from ockam_twisted.assembly import checkNames

        try:
            self.nodeConfig = self.config()
            checkNames(self.nodeConfig, reactor)
        except OckamError as error:
            raise usage.UsageError(str(error)) from None


def makeNodeService(options: Any) -> IService:
    """
    Make the service of a plugin.

    @raise SystemExit: What the options name cannot be used; the text is one
        plain line.
    """
    from twisted.internet import reactor

    from ockam_twisted.assembly import NodeService, checkNames, checkPorts

    config = options.nodeConfig
    try:
        checkNames(config, reactor)
        _checkState(config, options.parent or {})
        checkPorts(config, reactor)
    except OckamError as error:
        raise SystemExit(f"{options.command}: {error}") from None
    reactor.callWhenRunning(endAtSecondSignal, reactor)
    reactor.callWhenRunning(collectSeldom)
    return NodeService(config, reactor)


def _checkState(config: NodeConfig, daemon: Any) -> None:
    """
    Check the state as the user who will use it: C{twistd --uid} becomes that
    one later.

    @param daemon: The options of C{twistd} or C{twist}.
    """
    from ockam_twisted.assembly import checkState

    if daemon.get("chroot"):
        # The folder is another one then.
        return
    uid, gid = daemon.get("uid"), daemon.get("gid")
    if uid is None:
        checkState(config)
        return
    try:
        runAsEffectiveUser(uid, os.getegid() if gid is None else gid, checkState, config)
    except PermissionError as error:
        raise StateUnusable(f"cannot become user {uid}: {error.strerror}; only root can") from None
