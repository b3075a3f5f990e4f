"""
What the tasks have in common that go where an inlet goes.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.python import usage

from ockam_twisted.subcommands.base import BaseOptions

#: Stands for the place where an inlet would listen.
NOWHERE = "tcp:0:interface=127.0.0.1"


class WayOptions(BaseOptions):
    """
    Where to, as whom, and who must be there: the same as of C{ockam-inlet}.
    """

    optParameters = [
        ["ticket", None, None, "The ticket of an outlet: TICKET, @FILE, or - for standard input"],
        ["allow", None, None, "What the outlet must be by the word of --authority: a policy over attributes"],
        ["authority", None, None, "IDENTIFIER@MULTIADDR of an ockam-authority that attests who the outlet is"],
        ["instance", None, "default", "Which ockam-inlet's state is used: its identity, and whom it is paired with"],
        ["state-dir", None, None, "The state folder [default: the one that ockam-inlet has for --instance]"],
        ["passphrase", None, None, "FILE with the passphrase of its secrets, or credential:NAME"],
        ["vault", None, None, "The token of its signing keys, as the inlet has it"],
    ]
    optFlags = [
        ["trust-everyone", None, "Accept whoever is at the end of the way; excludes --authorized"],
        ["ephemeral", None, "Use no state: a new identity each time"],
    ]

    #: What the options say, once they were read.
    nodeConfig: Any = None

    def __init__(self) -> None:
        super().__init__()
        self["to"] = self["authorized"] = ()

    def meant(self, argument: str) -> str:
        """
        See L{BaseOptions.meant}.
        """
        return "to" if "/" in argument else ""

    def opt_to(self, way: str) -> None:
        """
        Way to the outlet [default: as the pairing says]: MULTIADDR or IDENTIFIER@MULTIADDR; repeatable
        """
        self["to"] += (way,)

    def opt_authorized(self, identifier: str) -> None:
        """
        Identifier that the outlet must have; repeatable
        """
        self["authorized"] += (identifier,)

    def readWay(self) -> None:
        """
        Check everything that the options alone can tell.
        """
        from twisted.internet import reactor

        from ockam_twisted.checks import checkNames
        from ockam_twisted.errors import OckamError

        try:
            self.nodeConfig = self.config()
            checkNames(self.nodeConfig, reactor)
        except OckamError as error:
            raise usage.UsageError(str(error)) from None

    def config(self) -> Any:
        """
        What the options say, as the structure of an inlet: they are read as
        C{ockam-inlet} reads its own.

        @raise OckamError: They cannot be carried out.
        """
        from ockam_twisted.tap.inlet import Options

        its = Options()
        its.update((offer.option, self[offer.option]) for offer in its.offers if offer.option in self)
        its["listen"] = its["listen"] or NOWHERE
        return its.config()

    def number(self, name: str, least: float, most: float, isWhole: bool = False) -> float:
        """
        A number within bounds.

        @raise ConfigurationError: It is none, or out of them.
        """
        from ockam_twisted.configuration.forms import Number

        value: float = Number("numbers", "1", least, most, isWhole).read(self[name], f"--{name}")
        return value


def runUntilDone(work: Callable[[Any], Coroutine[Any, Any, int]], verbose: bool = False) -> int:
    """
    Run the reactor for as long as something takes.

    @param work: Does it, given the reactor, and gives the exit status; to be
        cancelled by a signal.
    @param verbose: Show the log, on standard error.
    @return: The exit status; 128 and the number of a signal.
    @raise Exception: What C{work} raises.
    """
    from twisted.internet import reactor
    from twisted.internet.defer import CancelledError, Deferred
    from twisted.logger import globalLogBeginner, textFileLogObserver

    core: Any = reactor
    observers = [textFileLogObserver(sys.stderr)] if verbose else []
    globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False, discardBuffer=not verbose)
    ended: list[Any] = []
    signals: list[int] = []

    def begin() -> None:
        doing: Deferred[int] = Deferred.fromCoroutine(work(core))

        def interrupt(number: int, frame: object) -> None:
            signals.append(number)
            core.callFromThread(doing.cancel)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, interrupt)
        doing.addBoth(ended.append)
        doing.addBoth(lambda _: core.stop())

    core.callWhenRunning(begin)
    core.run(installSignalHandlers=False)
    [result] = ended
    if isinstance(result, int):
        return result
    if signals and result.check(CancelledError):
        return 128 + signals[0]
    result.raiseException()
    raise AssertionError("unreachable")
