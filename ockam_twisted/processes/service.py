"""
The processes of a relay, from the first one: it starts the others, connects
them, hands connections to them, and starts those again that die.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from ockam_twisted.interfaces import IRouter
from ockam_twisted.ops.status import ProcessStatus
from ockam_twisted.processes.arrivals import Arrivals, IPlaces
from ockam_twisted.processes.child import Child, State
from ockam_twisted.processes.link import Link
from ockam_twisted.processes.names import Directory, ownerOf
from ockam_twisted.processes.other import adopt
from ockam_twisted.routing.addresses import Address
from ockam_twisted.transports.service import DRAIN, TransportService

#: Seconds that accepted connections wait for processes that start.
START = 5.0

#: Seconds until a process that has died is started again: the first time, and
#: at most; and how long it has to live to be like new.
RESTART, MAX_RESTART, GOOD_LIFE = 0.1, 30.0, 60.0

#: Seconds between two questions whether a process lives, and how many it may
#: leave unanswered.
PING, MAX_UNANSWERED = 5.0, 6

#: Room in a link beside what its ends keep, bytes.
_SOCKET_BUFFER = 1024 * 1024


def linkPair() -> tuple[socket.socket, socket.socket]:
    """
    Both ends of a link.
    """
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for each in pair:
        each.setblocking(False)
        with suppress(OSError):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
    return pair


@implementer(IPlaces)
class Processes(Service):
    """
    See the module.

    @ivar directory: Tells the others of relay names.
    @ivar arrivals: Takes accepted connections.
    """

    _log = Logger()

    def __init__(self, reactor: Any, router: IRouter, transport: TransportService, count: int) -> None:
        """
        @param transport: Of the first process; what it accepts comes here.
        @param count: How many processes there are to be, this one included.
        """
        self._reactor = reactor
        self._router = router
        self._transport = transport
        self._children: dict[int, Child | None] = dict.fromkeys(range(1, count))
        self._links: dict[int, Link] = {}
        # Of those that died: how often one after the other.
        self._deaths: dict[int, int] = {}
        self._restarts: dict[int, IDelayedCall] = {}
        self._ending: dict[int, Deferred[None]] = {}
        self._isWaited = True
        self._patience: IDelayedCall | None = None
        self._isStopping = False
        self._pinging = LoopingCall(self._ping)
        self._pinging.clock = reactor
        budget = transport.settings.stalls.budget
        budget.limit //= count
        self._settings = (transport.settings.maxFrame, budget.limit)
        self.directory = Directory(self._owner)
        self.arrivals = Arrivals(transport.servers, reactor, self)
        transport.accepting = self.arrivals

    def startService(self) -> None:
        """
        Start the others, once the reactor runs: it has to see them end.
        """
        super().startService()
        self._reactor.callWhenRunning(self._startAll)

    def _startAll(self) -> None:
        if self._isStopping:
            return
        self._patience = self._reactor.callLater(START, self._settled)
        self._pinging.start(PING, now=False)
        for number in self._children:
            self._start(number)

    def _start(self, number: int) -> None:
        self._restarts.pop(number, None)
        child = self._children[number] = Child(self._reactor, number, self._ready, self.directory, self._ended)
        try:
            child.spawn(self._settings)
        except OSError as error:
            self._ended(child, error.strerror or str(error))

    # -------------------------------------------------------------- others

    def _ready(self, child: Child) -> None:
        """
        It runs: connect it with all others that do.
        """
        if self._isStopping:
            child.stop()
            return
        ours, theirs = linkPair()
        child.link(0, theirs)
        adopt(self._reactor, ours.detach(), socket.AF_UNIX, lambda addr: self._link(child.number))
        for other in self._running():
            if other is not child:
                one, two = linkPair()
                child.link(other.number, one)
                other.link(child.number, two)
        self.directory.listen(child.number, child.send)
        self._log.info("Process {number} runs: {pid}", number=child.number, pid=child.pid, event="process-started")
        if len(self._running()) == len(self._children):
            self._settled()

    def _link(self, number: int) -> Link:
        link = self._links[number] = Link(self._transport.settings, self._transport.listenerId, number, self._linkLost)
        return link

    def _linkLost(self, link: Link) -> None:
        if self._links.get(link.number) is not link:
            return
        del self._links[link.number]
        child = self._children.get(link.number)
        if child is not None and not self._isStopping:
            # It may live, but nobody reaches it.
            child.kill()

    def _settled(self) -> None:
        """
        It is known which processes there are.
        """
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        self._patience = None
        if self._isWaited:
            self._isWaited = False
            self.arrivals.settle()

    def _ended(self, child: Child, why: str) -> None:
        number = child.number
        child.state = State.ENDED
        link = self._links.get(number)
        if link is not None and link.transport is not None:
            link.transport.abortConnection()  # type: ignore[attr-defined]
        self.directory.leave(number)
        self._children[number] = None
        ending = self._ending.pop(number, None)
        if ending is not None:
            ending.callback(None)
        if self._isStopping:
            return
        lived = self._reactor.seconds() - child.startedAt
        deaths = self._deaths[number] = 0 if lived >= GOOD_LIFE else self._deaths.get(number, -1) + 1
        wait = min(MAX_RESTART, RESTART * 2.0 ** min(deaths, 20))
        self._log.error(
            "Process {number} has died and is started again in {wait:g} s: {reason}",
            number=number,
            wait=wait,
            reason=why,
            event="process-died",
        )
        self._restarts[number] = self._reactor.callLater(wait, self._start, number)

    def _ping(self) -> None:
        for child in self._running():
            if child.unanswered >= MAX_UNANSWERED:
                self._log.error(
                    "Process {number} does not answer, and is killed", number=child.number, event="process-hung"
                )
                child.kill()
            else:
                child.ping()

    def _running(self) -> list[Child]:
        return [each for each in self._children.values() if each is not None and each.state is State.READY]

    def _owner(self, address: Address) -> int:
        return ownerOf(self._router, self._links.values(), address)

    # ------------------------------------------------------------- IPlaces

    @property
    def isSettled(self) -> bool:
        """
        See L{IPlaces.isSettled}.
        """
        return not self._isWaited

    def choose(self, bound: Address | None) -> Child | None:
        """
        See L{IPlaces.choose}: who has what it is bound for, else who has
        fewest connections.
        """
        if self._isStopping:
            return None
        owner = None if bound is None else self.directory.processOf(bound)
        if owner == 0:
            return None
        running = [each for each in self._running() if not each.isBusy]
        for child in running:
            if child.number == owner:
                return child
        least = min(running, key=lambda child: child.connections, default=None)
        return None if least is None or least.connections > self.ownConnections else least

    @property
    def ownConnections(self) -> int:
        """
        How many connections this process has itself.
        """
        return len(self._transport.servers.hops)

    def status(self) -> tuple[ProcessStatus, ...]:
        """
        A picture of each process.
        """
        first = ProcessStatus(0, os.getpid(), State.READY.value, self.ownConnections)
        others = (
            ProcessStatus(number, 0, State.ENDED.value, 0)
            if child is None
            else ProcessStatus(number, child.pid, child.state.value, child.connections)
            for number, child in self._children.items()
        )
        return (first, *others)

    # ---------------------------------------------------------------- stop

    def stopService(self) -> Deferred[Any]:
        """
        Let the others drain and end; kill who does not.
        """
        super().stopService()
        self._isStopping = True
        self._settled()
        if self._pinging.running:
            self._pinging.stop()
        while self._restarts:
            self._restarts.popitem()[1].cancel()
        alive = [child for child in self._children.values() if child is not None]
        for child in alive:
            self._ending[child.number] = Deferred()
            if child.state is State.READY:
                child.stop()
            else:
                child.kill()

        def kill() -> None:
            for child in self._children.values():
                if child is not None:
                    child.kill()

        deadline = self._reactor.callLater(DRAIN + 1.0, kill)

        def stopped(result: Any) -> None:
            if deadline.active():
                deadline.cancel()

        return DeferredList(list(self._ending.values())).addBoth(stopped)
