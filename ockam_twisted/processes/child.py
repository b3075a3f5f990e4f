"""
One of the other processes, as the first one sees it: from its start to its
end.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.errors import DecodeError, StateUnusable
from ockam_twisted.ops.records import readRecord
from ockam_twisted.processes.arrivals import ITaker
from ockam_twisted.processes.names import Directory
from ockam_twisted.processes.packets import Packets, packetPair
from ockam_twisted.processes.words import Word, packet, unpack
from ockam_twisted.routing.addresses import Address, printable

#: What such a process runs.
MODULE = "ockam_twisted.tap.process"

#: The descriptor by which it is reached.
DESCRIPTOR = 3

#: Characters of what it prints that are logged, for each piece.
_MAX_TEXT = 8192

#: Environment variables that it gets; whatever else there is may be secret.
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


def environment() -> dict[str, str]:
    """
    What such a process needs to find the same package as this one, whatever
    the current folder is.
    """
    here = str(Path(__file__).resolve().parents[2])
    paths = [here, *(each for each in sys.path if os.path.isabs(each) and each != here)]
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}


def checkStart() -> None:
    """
    Can this user, now, start such a process?

    @raise StateUnusable: No.
    """
    for path, mode in ((sys.executable, os.X_OK), (os.__file__, os.R_OK), (__file__, os.R_OK)):
        if not os.access(path, mode, effective_ids=os.access in os.supports_effective_ids):
            raise StateUnusable(
                f"--processes: user {os.geteuid()} may not read {path}, which the other processes run; "
                "leave out --processes, or install where that user may read"
            )


class State(Enum):
    """
    How far it is.
    """

    STARTING = "starting"
    READY = "running"
    ENDED = "ended"


@implementer(ITaker)
class Child(ProcessProtocol):
    """
    See the module.

    @ivar number: Of the process, from 1.
    @ivar state: How far it is.
    @ivar pid: Its process id.
    @ivar startedAt: When it was started, seconds.
    @ivar unanswered: How often it was asked whether it lives since it said
        so.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        number: int,
        ready: Callable[[Child], object],
        directory: Directory,
        ended: Callable[[Child, str], object],
    ) -> None:
        """
        @param ready: Called once it can do something.
        @param directory: Told what it knows of names.
        @param ended: Called once, with the reason, when it is gone.
        """
        self.number = number
        self.state = State.STARTING
        self.pid = 0
        self.startedAt = reactor.seconds()
        self.unanswered = 0
        self._reactor = reactor
        self._ready = ready
        self._directory = directory
        self._ended = ended
        self._packets: Packets | None = None
        self._serial = 0
        self._connections: dict[int, Deferred[None]] = {}

    def spawn(self, settings: Sequence[int]) -> None:
        """
        Start it.

        @param settings: What it is told first: see L{Word.SETTINGS}.
        @raise OSError: This system has no room for one more.
        """
        ours, theirs = packetPair()
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            process = self._reactor.spawnProcess(
                self,
                sys.executable,
                [sys.executable, "-m", MODULE, str(self.number)],
                env=environment(),
                childFDs={0: nothing, 1: "r", 2: "r", DESCRIPTOR: theirs.fileno()},
            )
        except BaseException:
            ours.close()
            raise
        finally:
            os.close(nothing)
            theirs.close()
        self.pid = process.pid or 0
        self._packets = Packets(self._reactor, ours, self._received, self.kill)
        self._packets.start()
        self.send(packet(Word.SETTINGS, *settings))

    # ------------------------------------------------------------- packets

    def send(self, data: bytes, descriptors: Sequence[int] = (), unsent: Callable[[], object] = lambda: None) -> None:
        """
        Send it a packet: see L{Packets.send}.
        """
        if self._packets is not None:
            self._packets.send(data, descriptors, unsent)

    @property
    def isBusy(self) -> bool:
        """
        Is it too busy for more connections?
        """
        return self._packets is None or self._packets.isBusy

    @property
    def connections(self) -> int:
        """
        How many connections it has.
        """
        return len(self._connections)

    def take(self, descriptor: int, family: int, data: bytes) -> Deferred[None]:
        """
        See L{ITaker.take}.
        """
        number = self._serial = self._serial + 1
        over = self._connections[number] = Deferred()
        self.send(packet(Word.CONNECTION, number, int(family), data), (descriptor,), lambda: self._over(number))
        return over

    def _over(self, number: int) -> None:
        """
        A connection has ended, or never got there.
        """
        over = self._connections.pop(number, None)
        if over is not None:
            over.callback(None)

    def link(self, number: int, end: socket.socket) -> None:
        """
        Give it one end of a link to another process.
        """
        self.send(packet(Word.LINK, number), (end.detach(),))

    def ping(self) -> None:
        """
        Ask whether it lives.
        """
        self.unanswered += 1
        self.send(packet(Word.PING))

    def stop(self) -> None:
        """
        Let it drain and end.
        """
        self.send(packet(Word.STOP))

    def kill(self) -> None:
        """
        End it at once.
        """
        if self.transport is not None and self.transport.pid:
            self.transport.signalProcess("KILL")

    def _received(self, data: bytes, descriptors: list[int]) -> None:
        for each in descriptors:
            os.close(each)
        try:
            word, *values = unpack(data)
        except (DecodeError, ValueError):
            self._confused()
            return
        if word == Word.READY:
            self.state = State.READY
            self._ready(self)
        elif word == Word.ENDED:
            self._over(values[0])
        elif word == Word.KNOWN:
            self._directory.known(self.number, values[0])
        elif word == Word.SENDS:
            address, connection, isOver = values
            self._directory.sends(self.number, Address(*address), Address(*connection), isOver)
        elif word == Word.PONG:
            self.unanswered = 0
        elif word == Word.LOG:
            self._logged(values[0])

    def _logged(self, text: str) -> None:
        try:
            level, event = readRecord(text, self.number)
        except ValueError:
            self._confused()
        else:
            self._log.emit(level, "{text}", text=event["forwarded"]["message"], **event)

    def _confused(self) -> None:
        self._log.error("Process {number} makes no sense", number=self.number, event="process-confused")
        self.kill()

    # ------------------------------------------------------- IProcessProtocol

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        It prints something, which only happens when it goes wrong.
        """
        text = data[:_MAX_TEXT].decode("utf-8", "replace").strip()
        for line in text.splitlines():
            self._log.warn(
                "Process {number} has printed: {text}",
                number=self.number,
                text=printable(line),
                event="process-printed",
            )

    def processExited(self, reason: Failure) -> None:
        """
        It has ended.
        """
        self.state = State.ENDED
        packets, self._packets = self._packets, None
        if packets is not None:
            packets.close()
        while self._connections:
            self._connections.popitem()[1].callback(None)
        self._ended(self, str(reason.value))
