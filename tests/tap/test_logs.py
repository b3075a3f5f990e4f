"""
Tests of L{ockam_twisted.tap.logs}, with the options of the programs
themselves.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.application.twist._options import TwistOptions
from twisted.internet.task import Clock
from twisted.logger import FilteringLogObserver, Logger, LogLevelFilterPredicate, globalLogPublisher
from twisted.scripts.twistd import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.config import LogConfig
from ockam_twisted.tap.logs import chooseLog, startAudit, twistdLog


class Shutdown(Clock):
    """
    A clock that is told what to do at the end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.atEnd: list[Any] = []

    def addSystemEventTrigger(self, phase: str, what: str, call: Any) -> None:
        """
        Part of the reactor.
        """
        self.atEnd.append(call)


class Terminal(io.StringIO):
    """
    Somebody looks.
    """

    def isatty(self) -> bool:
        """
        Yes.
        """
        return True


def log(observer: Any) -> None:
    """
    Log a line of each of three levels.
    """
    logger = Logger(namespace="ockam_twisted.portals.x", observer=observer)
    logger.debug("d", event="stream-allowed")
    logger.info("i", event="target-back")
    logger.warn("w", event="target-down")


class TwistTests(SynchronousTestCase):
    """
    C{twist}.
    """

    def said(self, file: io.StringIO, config: LogConfig, *arguments: str) -> str:
        """
        What is logged to a file, as C{twist} has it done.
        """
        options = TwistOptions()
        options.selectDefaultLogObserver()
        for argument in arguments:
            name, _, value = argument.partition("=")
            getattr(options, f"opt_{name}")(value)
        chooseLog(options, config, Shutdown())
        observer = options["fileLogObserverFactory"](file)
        predicate = LogLevelFilterPredicate(defaultLogLevel=options["logLevel"])
        log(FilteringLogObserver(observer, [predicate]))
        return file.getvalue()

    def test_auto(self) -> None:
        """
        JSON where nobody looks, text where somebody does.
        """
        self.patch(sys, "stdout", io.StringIO())
        lines = self.said(io.StringIO(), LogConfig()).splitlines()
        self.assertEqual([json.loads(line)["message"] for line in lines], ["i", "w"])
        self.patch(sys, "stdout", Terminal())
        # The options of twist look at the true one.
        self.assertIn("[portals info target-back] i\n", self.said(Terminal(), LogConfig(), "log_format=text"))

    def test_format(self) -> None:
        """
        Ours is what is meant; else the one of C{twist}, if it was given.
        """
        self.patch(sys, "stdout", io.StringIO())
        self.assertIn("] i\n", self.said(io.StringIO(), LogConfig(format="text")))
        self.assertIn("] i\n", self.said(io.StringIO(), LogConfig(), "log_format=text"))
        self.assertIn('"i"', self.said(io.StringIO(), LogConfig(format="json"), "log_format=text"))

    def test_level(self) -> None:
        """
        The level of C{twist} counts where ours says nothing.
        """
        self.patch(sys, "stdout", io.StringIO())
        for level, theirs, said in (
            ("", "warn", "w"),
            ("debug", "warn", "diw"),
            ("warn", "debug", "w"),
            ("portals=debug", "error", "diw"),
            ("portals=warn", "debug", "w"),
            ("relays=debug", "warn", "w"),
        ):
            lines = self.said(io.StringIO(), LogConfig(level), f"log_level={theirs}").splitlines()
            self.assertEqual("".join(json.loads(line)["message"] for line in lines), said, (level, theirs))


class TwistdTests(SynchronousTestCase):
    """
    C{twistd}.
    """

    def setUp(self) -> None:
        """
        A folder, and the handling of signals as it was.
        """
        number = signal.SIGUSR1
        self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()

    def options(self, **given: Any) -> Any:
        """
        The options of C{twistd}, after ours were read.
        """
        options = ServerOptions()
        options.update(given)
        chooseLog(options, LogConfig("warn"), Shutdown())
        options.subCommand = "ockam-relay"
        options.postOptions()
        return options

    def test_file(self) -> None:
        """
        It logs to its file, as JSON, of the level that was asked for.
        """
        options = self.options(logfile=str(self.folder / "x.log"))
        self.assertIs(options["logger"], twistdLog)
        log(options["logger"]())
        [line] = (self.folder / "x.log").read_text().splitlines()
        self.assertEqual(json.loads(line)["message"], "w")

    def test_default(self) -> None:
        """
        In the background it logs to C{twistd.log}, in the foreground to
        standard output; in the background it cannot do that.
        """
        before = os.getcwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, before)
        log(self.options()["logger"]())
        self.assertIn('"w"', (self.folder / "twistd.log").read_text())
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        log(self.options(nodaemon=True)["logger"]())
        self.assertIn('"w"', out.getvalue())
        self.assertRaises(SystemExit, self.options(logfile="-")["logger"])

    def test_others(self) -> None:
        """
        Who has chosen a logger, or syslog, has it.
        """
        options = ServerOptions()
        options["logger"] = "some.thing"
        chooseLog(options, LogConfig(), Shutdown())
        self.assertEqual(options["logger"], "some.thing")
        options = ServerOptions()
        options["syslog"] = 1
        chooseLog(options, LogConfig(), Shutdown())
        self.assertIsNone(options["logger"])
        chooseLog({}, LogConfig(), Shutdown())


class AuditTests(SynchronousTestCase):
    """
    The audit log.
    """

    def test_start(self) -> None:
        """
        Decisions of any level are written, until the end.
        """
        path, reactor = Path(self.mktemp()), Shutdown()
        before = list(globalLogPublisher._observers)
        self.assertTrue(startAudit(LogConfig(audit=str(path)), reactor))
        for each in globalLogPublisher._observers:
            if each not in before:
                self.addCleanup(globalLogPublisher.removeObserver, each)
        Logger(namespace="ockam_twisted.portals").debug("yes", event="stream-allowed", audit="allowed")
        self.assertEqual(json.loads(path.read_text())["message"], "yes")
        [close] = reactor.atEnd
        close()

    def test_none(self) -> None:
        """
        Without it streams that are permitted are logged for those only who
        ask for it.
        """
        self.assertFalse(startAudit(LogConfig(), Shutdown()))
        self.assertFalse(startAudit(LogConfig("warn"), Shutdown()))
        self.assertTrue(startAudit(LogConfig("portals=debug"), Shutdown()))
        self.assertTrue(startAudit(LogConfig("debug"), Shutdown()))
