"""
How C{twist} and C{twistd} are told what a node's log is like.

Both keep their options in a dictionary, and look at it after the plugin has
read its own: what the user has not chosen there is filled in here.  So
C{twist --log-file}, C{twistd --logfile}, C{--syslog} and C{--logger} mean what
they always do.
"""

from __future__ import annotations

import signal
import sys
from functools import partial
from typing import Any, TextIO, cast

from twisted.logger import ILogObserver, LogLevel, globalLogPublisher

from ockam_twisted.config import LogConfig
from ockam_twisted.ops.levels import Levels
from ockam_twisted.ops.log import nodeLog

#: What L{chooseLog} was called with, for L{twistdLog}.
_chosen: list[Any] = []


def _levels(config: LogConfig, default: str = "info") -> Levels:
    return Levels.parse(config.level, default=default) if config.level else Levels(default)


def chooseLog(daemon: Any, config: LogConfig, reactor: Any) -> None:
    """
    Have the log as a configuration says.

    @param daemon: The options of C{twistd} or C{twist}.
    """
    if "fileLogObserverFactory" in daemon:
        _chooseForTwist(daemon, config, reactor)
    elif "logger" in daemon and not daemon["logger"] and not daemon.get("syslog"):
        # It wants a name.
        daemon["logger"] = f"{__name__}.twistdLog"
        _chosen[:] = [daemon, config, reactor]


def twistdLog() -> ILogObserver:
    """
    What C{twistd} logs with.
    """
    daemon, config, reactor = _chosen
    return nodeLog(_twistdFile(daemon, reactor), config.format, _levels(config), reactor)


def _chooseForTwist(daemon: Any, config: LogConfig, reactor: Any) -> None:
    format = config.format
    # Its own --log-format, if that is not what it takes by itself.
    usual = "text" if sys.stdout is not None and sys.stdout.isatty() else "json"
    if format == "auto" and daemon["logFormat"] != usual:
        format = daemon["logFormat"]
    levels = _levels(config, daemon["logLevel"].name)
    daemon["logLevel"] = LogLevel.lookupByName(levels.least)
    daemon["fileLogObserverFactory"] = partial(_observer, format, levels, reactor)


def _observer(format: str, levels: Levels, reactor: Any, file: TextIO) -> Any:
    return nodeLog(file, format, levels, reactor)


def _twistdFile(daemon: Any, reactor: Any) -> TextIO:
    """
    Where C{twistd} logs to, as it says itself.
    """
    name, isDaemon = daemon.get("logfile") or "", not daemon.get("nodaemon")
    if name == "-" and isDaemon:
        sys.exit("Daemons cannot log to stdout, exiting!")
    if name in ("", "-") and not isDaemon:
        return sys.stdout
    from twisted.python.logfile import LogFile

    file = LogFile.fromFullPath(name or "twistd.log")
    number = getattr(signal, "SIGUSR1", None)
    if number is not None and not signal.getsignal(number):
        signal.signal(number, lambda *_: reactor.callFromThread(file.rotate))
    return cast(TextIO, file)


def startAudit(config: LogConfig, reactor: Any) -> bool:
    """
    Write the audit log, if there is to be one.

    @return: Is each stream to be logged, also those that are permitted?
    """
    if config.audit:
        from ockam_twisted.ops.audit import AuditLog

        audit = AuditLog(config.audit, reactor)
        globalLogPublisher.addObserver(audit)
        reactor.addSystemEventTrigger("after", "shutdown", audit.close)
    return bool(config.audit) or _levels(config).of("portals") == "debug"
