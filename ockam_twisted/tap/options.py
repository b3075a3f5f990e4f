"""
From the options of a command to its settings, and from these to a service.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Any, ClassVar

from attrs import NOTHING
from twisted.application.service import IService
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.util import runAsEffectiveUser

from ockam_twisted import __version__
from ockam_twisted.config import NodeConfig
from ockam_twisted.configuration.commands import COMMANDS, Offer
from ockam_twisted.configuration.parts import AuthoritySettings, LogSettings, StateSettings, TicketsSettings
from ockam_twisted.configuration.settings import NodeSettings
from ockam_twisted.errors import ConfigurationError, OckamError, StateUnusable
from ockam_twisted.processes.packets import isSupported
from ockam_twisted.tap.ending import endWithStatus
from ockam_twisted.tap.garbage import collectSeldom
from ockam_twisted.tap.logs import chooseLog, startAudit
from ockam_twisted.tap.mistakes import HelpfulOptions
from ockam_twisted.tap.signals import endAtSecondSignal, rereadAtHangup
from ockam_twisted.tap.tickets import readTicket

_log = Logger()


def _shownDefault(offer: Offer) -> str | None:
    """
    What the help says that an option is by default.
    """
    default = offer.declared.default
    if offer.default is not None:
        return offer.default
    if default is None or default is NOTHING or default == "":
        return None
    return f"{default:g}" if isinstance(default, float) else str(default)


def _added(offer: Offer) -> Any:
    """
    The method of an option that may be given several times.
    """

    def add(self: NodeOptions, text: str) -> None:
        self[offer.option] = (*self[offer.option], text)

    add.__doc__ = offer.text
    return add


class CommandOptions(HelpfulOptions):
    """
    What the options of all commands have in common.

    @cvar command: What it is called; names the state folder.
    @cvar examples: Lines that can be copied; they end the help.
    @cvar stray: The option that a single argument is likely to lack.
    @ivar shownTickets: Was a ticket given that other users can see?
    """

    command = ""
    examples = ""
    stray = "listen"
    shownTickets = False
    _isMistaken = False
    nodeConfig: NodeConfig

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        See L{HelpfulOptions.parseOptions}.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError:
            self._isMistaken = True
            raise

    def meant(self, argument: str) -> str:
        """
        See L{HelpfulOptions.meant}.
        """
        return self.stray

    def getUsage(self, width: int | None = None) -> str:
        """
        The help, with examples that are not wrapped.
        """
        if self._isMistaken:
            # C{twist} shows this together with the error, which is not to
            # scroll away.
            return f"See `twist {self.command} --help`"
        return f"{super().getUsage(width)}\nExamples:\n{self.examples}"

    def inItsWords(self, text: str) -> str:
        """
        What is wrong, with settings called as they are here.

        @param text: It names options.
        """
        return text

    def opt_version(self) -> None:
        """
        Display the version and exit.
        """
        print(f"{self.command} {__version__}")
        sys.exit(0)

    def chooseLog(self, reactor: Any) -> None:
        """
        Have the log as L{nodeConfig} says.
        """
        if self.parent is not None:
            chooseLog(self.parent, self.nodeConfig.log, reactor)


class NodeOptions(CommandOptions):
    """
    The options of a command, made from what it offers
    (L{ockam_twisted.configuration.commands}).

    @cvar offers: Its options.
    """

    offers: tuple[Offer, ...] = ()
    optParameters: ClassVar[list[Any]] = []
    optFlags: ClassVar[list[Any]] = []

    def __init_subclass__(cls) -> None:
        cls.offers = COMMANDS[cls.command]
        single = [each for each in cls.offers if not each.isFlag and not each.isRepeatable]
        cls.optParameters = [[each.option, each.short, _shownDefault(each), each.text] for each in single]
        cls.optFlags = [[each.option, each.short, each.text] for each in cls.offers if each.isFlag]
        for each in cls.offers:
            if each.isRepeatable:
                setattr(cls, f"opt_{each.option.replace('-', '_')}", _added(each))

    def __init__(self) -> None:
        super().__init__()
        for each in self.offers:
            if each.isRepeatable:
                self[each.option] = ()
        self._hasReadInput = False
        self._paths = {each.path: f"--{each.option}" for each in self.offers}
        # Put together from one option.
        self._paths["authorities"] = "--authority"

    # ------------------------------------------------------------- reading

    def nameOf(self, path: str) -> str:
        """
        What a setting is called here: its option.
        """
        plain = re.sub(r"\[[0-9]+\]", "", path)
        return self._paths.get(plain, path)

    def read(self, name: str) -> Any:
        """
        The value of an option, in the form that its setting has.

        @raise ConfigurationError: It has another one.
        """
        offer = next(each for each in self.offers if each.option == name)
        value, declared = self[name], offer.declared
        if offer.isFlag:
            return bool(value)
        form = declared.setting.form
        assert form is not None
        if offer.isRepeatable:
            return tuple(form.read(each, f"--{name}") for each in value)
        return declared.default if value is None else form.read(value, f"--{name}")

    def some(self, *names: str) -> dict[str, Any]:
        """
        The values of several options that are called like their settings, for
        the class that has these.
        """
        return {
            next(each for each in self.offers if each.option == name).declared.attribute: self.read(name)
            for name in names
        }

    def ticket(self, name: str) -> str:
        """
        The ticket of an option; see L{readTicket}.
        """
        text = self[name] or ""
        if text == "-":
            if self._hasReadInput:
                raise usage.UsageError(f"--{name} -: standard input has one ticket, and another option has read it")
            self._hasReadInput = True
        elif not text.startswith(("@", "credential:")):
            self.shownTickets = self.shownTickets or bool(text)
        return readTicket(text, f"--{name}")

    def authorities(self) -> tuple[AuthoritySettings, ...]:
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
        return (AuthoritySettings(identifier=identifier, address=address),)

    def tickets(self, atStart: bool | None = None) -> TicketsSettings:
        """
        The options about tickets that are handed out.
        """
        return TicketsSettings(atStart=atStart, uses=self.read("ticket-uses"), expires=self.read("ticket-expires"))

    def state(self) -> StateSettings:
        """
        The options about state.
        """
        return StateSettings(
            passphrase=self["passphrase"] or "",
            **self.some("state-dir", "instance", "vault", "ephemeral"),
        )

    def log(self) -> LogSettings:
        """
        The options about the log.
        """
        return LogSettings(**self.some("log-level", "log-format", "audit-log"))

    def settings(self) -> NodeSettings:
        """
        What the options say.

        @raise ConfigurationError: They cannot be carried out.
        """
        raise NotImplementedError

    def config(self) -> NodeConfig:
        """
        What a node is made from.

        @raise OckamError: That cannot be.
        """
        return self.settings().config(self.command, self.nameOf)

    def postOptions(self) -> None:
        """
        Check everything that the options alone can tell.
        """
        from twisted.internet import reactor

        from ockam_twisted.checks import checkNames

        try:
            self.nodeConfig = self.config()
            checkNames(self.nodeConfig, reactor)
            checkProcesses(self.nodeConfig, self.parent)
        except OckamError as error:
            raise usage.UsageError(str(error)) from None
        self.chooseLog(reactor)


def _warnOfTicket() -> None:
    _log.warn(
        "A ticket on the command line can be seen by other users of this machine: use @FILE, or - (standard input)",
        event="ticket-on-command-line",
    )


def checkProcesses(config: NodeConfig, daemon: Any) -> None:
    """
    Check that a relay can have as many processes as it shall.

    @param daemon: The options of C{twistd} or C{twist}; L{None}: of neither.
    @raise ConfigurationError: It cannot.
    """
    if config.relayService is None or config.relayService.processes == 1:
        return
    if not isSupported():
        raise ConfigurationError("--processes: this system does not have what several processes need; leave it out")
    if daemon and daemon.get("chroot"):
        raise ConfigurationError("--processes: there is no Python in --chroot; leave out one of them")


def makeNodeService(options: Any) -> IService:
    """
    Make the service of a plugin.

    @raise SystemExit: What the options name cannot be used; the text is one
        plain line.
    """
    from twisted.internet import reactor

    from ockam_twisted.checks import checkNames, checkPorts
    from ockam_twisted.ops.notify import Notifications
    from ockam_twisted.tap.service import CommandService
    from ockam_twisted.transports.descriptors import raiseLimit

    config = options.nodeConfig
    try:
        checkNames(config, reactor)
        _checkState(config, options.parent or {})
        checkPorts(config, reactor)
    except OckamError as error:
        raise SystemExit(f"{options.command}: {options.inItsWords(str(error))}") from None
    if options.shownTickets:
        reactor.callWhenRunning(_warnOfTicket)
    reactor.callWhenRunning(endAtSecondSignal, reactor)
    reactor.callWhenRunning(collectSeldom)
    raiseLimit()
    service = CommandService(config, reactor, getattr(options, "reread", None), options.parent)
    endWithStatus(service)
    notifications = service.notifications = Notifications.fromEnvironment(reactor, os.environ)
    if notifications is not None:
        notifications.follow(service)
    reactor.callWhenRunning(rereadAtHangup, reactor, service.reload)
    service.node.streamSettings.tells = startAudit(config.log, reactor)
    if config.http:
        _show(service, config.http, reactor)
    return service


def _show(service: Any, place: str, reactor: Any) -> None:
    """
    Let a node be looked at over HTTP.
    """
    from ockam_twisted.config import isOpen
    from ockam_twisted.ops.http import HTTPService
    from ockam_twisted.places import serverEndpoint

    def life() -> str:
        # The node itself runs while it drains.
        return ("running" if service.node.running else "starting") if service.running else "stopping"

    shown = HTTPService(
        serverEndpoint(reactor, place, "--http"), place, service.node.status, reactor, life, isOpen(place)
    )
    shown.setServiceParent(service)


def _checkState(config: NodeConfig, daemon: Any) -> None:
    """
    Check the state as the user who will use it: C{twistd --uid} becomes that
    one later.

    @param daemon: The options of C{twistd} or C{twist}.
    """
    from ockam_twisted.checks import checkState
    from ockam_twisted.ops.audit import checkAuditFile
    from ockam_twisted.processes.child import checkStart

    root = daemon.get("chroot")
    if root:
        # Twisted keeps a descriptor of it back.  The state folder is another
        # one then.
        if not os.path.exists(os.path.join(root, "dev/null")):
            raise StateUnusable(f"--chroot: a daemon needs {os.path.join(root, 'dev/null')}: mknod -m 666 ... c 1 3")
        return
    uid, gid = daemon.get("uid"), daemon.get("gid")

    def check() -> None:
        checkState(config)
        if config.log.audit:
            checkAuditFile(config.log.audit)
        if config.relayService is not None and config.relayService.processes > 1:
            checkStart()

    if uid is None:
        check()
        return
    try:
        runAsEffectiveUser(uid, os.getegid() if gid is None else gid, check)
    except PermissionError as error:
        raise StateUnusable(f"cannot become user {uid}: {error.strerror}; only root can") from None
