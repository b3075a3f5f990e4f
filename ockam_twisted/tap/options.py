"""
What the options of all plugins have in common.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from twisted.application.service import IService
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.util import runAsEffectiveUser

from ockam_twisted import __version__
from ockam_twisted.config import AuthorityConfig, NodeConfig, StateConfig, TicketsConfig, duration, hostPort
from ockam_twisted.errors import OckamError, StateUnusable
from ockam_twisted.tap.garbage import collectSeldom
from ockam_twisted.tap.signals import endAtSecondSignal

_MAX_TICKET = 16 * 1024
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
        ["passphrase", None, None, "Encrypt the secrets in it: FILE with the passphrase, or credential:NAME (systemd)"],
        ["vault", None, None, "Make signing keys in a token: pkcs11:token=LABEL?module-path=FILE&pin-source=FILE"],
        ["max-frame", None, str(1024 * 1024), "Largest message accepted, in bytes"],
    ]
    optFlags = [["ephemeral", None, "Keep nothing: a new identity at each start"]]

    def __init__(self) -> None:
        super().__init__()
        for name in ("listen", "relay", "to", "authorized", "reached-at", "enroller"):
            self[name] = ()
        self.shownTickets = False
        self._hasReadInput = False

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

    def ticket(self, name: str) -> str:
        """
        The ticket of an option: itself, C{@FILE}, or C{-} for standard input.
        """
        text = self[name] or ""
        if text == "-":
            if self._hasReadInput:
                raise usage.UsageError(f"--{name} -: standard input has one ticket, and another option has read it")
            self._hasReadInput = True
            return self._given(name, sys.stdin.read(_MAX_TICKET), "standard input")
        if not text.startswith("@"):
            self.shownTickets = self.shownTickets or bool(text)
            return str(text)
        try:
            with open(text[1:], encoding="ascii", errors="replace") as file:
                return self._given(name, file.read(_MAX_TICKET), text[1:])
        except OSError as error:
            raise usage.UsageError(f"--{name}: cannot read {text[1:]}: {error.strerror}") from None

    def _given(self, name: str, text: str, where: str) -> str:
        if not text.strip():
            raise usage.UsageError(f"--{name}: there is no ticket in {where}: it is empty")
        return text.strip()

    def authorities(self) -> tuple[AuthorityConfig, ...]:
        """
        The option C{--authority}.
        """
        text = self["authority"]
        if not text:
            return ()
        identifier, at, address = text.partition("@")
        if not at:
            raise usage.UsageError(
                "--authority is IDENTIFIER@MULTIADDR: ockam-authority prints it at its start, on the line Authority:"
            )
        return (AuthorityConfig(identifier, address),)

    def tickets(self, atStart: bool) -> TicketsConfig:
        """
        The options about tickets that are handed out.
        """
        return TicketsConfig(
            atStart,
            int(self.number("ticket-uses", 1, 10_000)),
            duration(self["ticket-expires"], "--ticket-expires"),
            tuple(hostPort(text, "--reached-at") for text in self["reached-at"]),
        )

    def opt_reached_at(self, place: str) -> None:
        """
        HOST:PORT by which others reach --listen, for tickets; repeatable [default: this host's name]
        """
        self._add("reached-at", place)

    def state(self) -> StateConfig:
        """
        The options about state.
        """
        if self["ephemeral"] and self["state-dir"]:
            raise usage.UsageError("--ephemeral keeps nothing: it excludes --state-dir")
        passphrase, vault = self["passphrase"] or "", self["vault"] or ""
        if self["ephemeral"] and (passphrase or vault):
            raise usage.UsageError("--ephemeral keeps nothing: it excludes --passphrase and --vault")
        return StateConfig(self["state-dir"] or "", self["instance"], bool(self["ephemeral"]), passphrase, vault)

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

        from ockam_twisted.checks import checkNames

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

    from ockam_twisted.assembly import NodeService
    from ockam_twisted.checks import checkNames, checkPorts

    config = options.nodeConfig
    try:
        checkNames(config, reactor)
        _checkState(config, options.parent or {})
        checkPorts(config, reactor)
    except OckamError as error:
        raise SystemExit(f"{options.command}: {error}") from None
    if options.shownTickets:
        reactor.callWhenRunning(
            Logger(namespace=__name__).warn,
            "A ticket on the command line can be seen by other users of this machine: use @FILE, or - (standard input)",
        )
    reactor.callWhenRunning(endAtSecondSignal, reactor)
    reactor.callWhenRunning(collectSeldom)
    return NodeService(config, reactor)


def _checkState(config: NodeConfig, daemon: Any) -> None:
    """
    Check the state as the user who will use it: C{twistd --uid} becomes that
    one later.

    @param daemon: The options of C{twistd} or C{twist}.
    """
    from ockam_twisted.checks import checkState
    from ockam_twisted.processes.child import checkStart

    if daemon.get("chroot"):
        # The folder is another one then.
        return
    uid, gid = daemon.get("uid"), daemon.get("gid")

    def check() -> None:
        checkState(config)
        if config.relayService is not None and config.relayService.processes > 1:
            checkStart()

    if uid is None:
        check()
        return
    try:
        runAsEffectiveUser(uid, os.getegid() if gid is None else gid, check)
    except PermissionError as error:
        raise StateUnusable(f"cannot become user {uid}: {error.strerror}; only root can") from None
