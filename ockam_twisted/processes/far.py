"""
What belongs to another process, as this one sees it (C{docs/architecture.rst},
"Several processes").

A connection of another process is registered here at its own address: routes
are the same in all processes, and who is outside notices nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred
from zope.interface import implementer

from ockam_twisted.interfaces import Buffer, IHop, IOutput, ISource, PayloadReceiver
from ockam_twisted.processes.sources import Reports
from ockam_twisted.processes.words import Told
from ockam_twisted.routing.access import DenyAll
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.flow import newFlowId
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.transports.hops import HopSettings
from ockam_twisted.transports.queue import DirectQueue, WriteQueue
from ockam_twisted.transports.stalls import STALL_SECONDS


class ILinkSide(Protocol):
    """
    What is needed of a link here.
    """

    settings: HopSettings
    spawnerId: str
    output: DirectQueue | WriteQueue
    reports: Reports

    def say(self, what: Told, address: Address, *values: object) -> None:
        """
        Tell the other side something.
        """

    def sender(self, output: FarOutput, isAsked: bool, onward: Route, back: Route) -> PayloadReceiver:
        """
        Make a flow through the link.
        """


@implementer(IOutput)
class FarOutput:
    """
    What goes to one place behind a link.  The link itself is never paused:
    who is slow there holds back those here who send to it, and nobody else.

    @ivar isShared: Its messages leave with the turn they came in.
    """

    isShared = False
    losing = False
    isResetting = False
    isDrained = True
    mark = 0
    patience = STALL_SECONDS

    def __init__(self, link: ILinkSide, address: Address, label: str) -> None:
        self.label = label
        self.lost = False
        self.sent = 0
        self.held: set[ISource] = set()
        self._link = link
        self._address = address
        self._isFull = False
        self._touched = False
        self._pieces: list[Buffer] = []
        self._collected = 0

    @property
    def full(self) -> bool:
        """
        See L{IOutput}.
        """
        return self._isFull or self._link.output.full

    @property
    def queued(self) -> int:
        """
        See L{IOutput}.
        """
        return self._link.output.queued if self._link.output.full else int(self._isFull)

    def write(self, pieces: Sequence[Buffer], size: int) -> None:
        """
        See L{IOutput}.
        """
        if self.lost:
            return
        self._pieces += pieces
        self._collected += size
        if not self._touched:
            self._touched = True
            self._link.settings.router.turn.touch(self)

    def flush(self) -> None:
        """
        See L{IOutput}.
        """
        self._touched = False
        pieces, self._pieces = self._pieces, []
        size, self._collected = self._collected, 0
        if pieces and not self.lost:
            self._link.output.write(pieces, size)

    def postpone(self) -> bool:
        """
        See L{IOutput}.
        """
        return False

    def holdBack(self, source: ISource) -> None:
        """
        See L{IOutput}.
        """
        if self._link.output.full:
            self._link.output.holdBack(source)
        if self._isFull and source not in self.held:
            self.held.add(source)
            source.pauseFor(self)
            self._link.settings.stalls.heldBack(self)

    def letGo(self, source: ISource) -> None:
        """
        See L{IOutput}.
        """
        if source in self.held:
            self.held.discard(source)
            source.resumeFor(self)
        self._link.output.letGo(source)

    def filled(self) -> None:
        """
        It is full, at the other side.
        """
        self._isFull = not self.lost

    def eased(self) -> None:
        """
        It is full no more.
        """
        self._isFull = False
        held, self.held = self.held, set()
        for source in held:
            source.resumeFor(self)

    def progressed(self, size: int) -> None:
        """
        While it is full, so many bytes have left.
        """
        self.sent += size

    def watchProgress(self, mark: int, progressed: Callable[[], None]) -> None:
        """
        See L{IOutput}.
        """
        raise NotImplementedError("nobody has windows for what is behind a link")

    def finish(self) -> None:
        """
        See L{IOutput}.
        """
        self.loseConnection()

    def loseConnection(self) -> None:
        """
        See L{IOutput}.
        """
        self._link.say(Told.END, self._address, False, "")

    def resetConnection(self) -> None:
        """
        See L{IOutput}.
        """
        self._link.say(Told.END, self._address, True, "it is to be reset")

    def abortConnection(self) -> None:
        """
        It makes no progress: whoever keeps it full there has to end.
        """
        self._link.say(Told.CLEAR, self._address)
        self.eased()

    def connectionLost(self) -> None:
        """
        See L{IOutput}.
        """
        self.lost = True
        self._pieces = []
        self.eased()


@implementer(IHop)
class FarConnection:
    """
    A connection, or a channel, that another process has.
    """

    isPatient = False
    # Who has it counts.
    carried = messages = pieces = 0

    def __init__(self, link: ILinkSide, address: Address, peer: str) -> None:
        """
        @param peer: Who is at its other end, for people.
        """
        self.address = address
        self.receiver = Address.random()
        self.flowId = newFlowId()
        self.peer = peer
        self.output = FarOutput(link, address, f"the connection with {peer}, at another process")
        self._link = link
        self._lost: list[Deferred[str]] = []

    def start(self) -> None:
        """
        Be there.
        """
        router = self._link.settings.router
        router.register(self.address, self)
        router.register(self.receiver, self, DenyAll())
        router.flowControls.addProducer(self.receiver, self.flowId, self._link.spawnerId, (self.address,))

    def gone(self) -> None:
        """
        It has ended.
        """
        router = self._link.settings.router
        self.output.connectionLost()
        router.unregister(self.address)
        router.unregister(self.receiver)
        lost, self._lost = self._lost, []
        for waiting in lost:
            waiting.callback("it has ended")

    def flowOpened(self, message: LocalMessage) -> PayloadReceiver:
        """
        See L{IFlowReceiver.flowOpened}.
        """
        return self._link.sender(self.output, False, message.onward_route, message.return_route)

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        self.flowOpened(message)((message.payload,), len(message.payload))

    @property
    def isBlocked(self) -> bool:
        """
        See L{IHop.isBlocked}.
        """
        return self.output.full

    def whenLost(self) -> Deferred[str]:
        """
        See L{IHop.whenLost}.
        """
        waiting: Deferred[str] = Deferred()
        if self.output.lost:
            waiting.callback("it has ended")
        else:
            self._lost.append(waiting)
        return waiting

    def loseConnection(self) -> None:
        """
        See L{IHop.loseConnection}.
        """
        self._link.say(Told.END, self.address, False, "")

    def abortConnection(self, reason: str) -> None:
        """
        See L{IHop.abortConnection}.
        """
        self._link.say(Told.END, self.address, True, reason)
