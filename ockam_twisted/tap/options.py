"""
What the options of all plugins have in common.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from ockam_twisted.config import NodeConfig, StateConfig
from ockam_twisted.errors import ConfigurationError, OckamError

_MIN_FRAME, _MAX_FRAME = 64 * 1024, 16 * 1024 * 1024


class NodeOptions(usage.Options):
    """
    State and limits.
    """

    command = ""

    optParameters = [
        ["state-dir", None, "", "Folder for identity and names [default: below $STATE_DIRECTORY or ~/.local/state]"],
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

    def state(self) -> StateConfig:
        """
        The options about state.
        """
        if self["ephemeral"] and self["state-dir"]:
            raise usage.UsageError("--ephemeral keeps nothing: it excludes --state-dir")
        return StateConfig(self["state-dir"], self["instance"], bool(self["ephemeral"]))

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
        except (ConfigurationError, OckamError) as error:
            raise usage.UsageError(str(error)) from None


def makeNodeService(options: Any) -> IService:
    """
    Make the service of a plugin.

    @raise SystemExit: What the options name cannot be used; the text is one
        plain line.
    """
    from twisted.internet import reactor

    from ockam_twisted.assembly import NodeService, check

    try:
        check(options.nodeConfig, reactor)
    except OckamError as error:
        raise SystemExit(f"{options.command}: {error}") from None
    return NodeService(options.nodeConfig, reactor)
