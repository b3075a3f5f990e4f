"""
A reactor in memory: its clock is turned by a test, its sockets are those of a
L{MemoryNetwork}, and what other threads say waits until the test listens.
"""

from __future__ import annotations

from queue import Empty, SimpleQueue
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectionRefusedError
from twisted.internet.interfaces import IReactorCore, IReactorTCP, IReactorThreads, IReactorTime
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.memory import MemoryAddress
from ockam_twisted.testing import MemoryNetwork, MemoryPort

#: Seconds a thread has to answer.
PATIENCE = 20.0


class _Port(MemoryPort):
    """
    A port with a number.
    """

    host: MemoryAddress

    def getHost(self) -> MemoryAddress:
        """
        See C{IListeningPort}.
        """
        return self.host


class _Connector:
    """
    What C{connectTCP} gives.
    """

    def __init__(self) -> None:
        self.given_up = False

    def stopConnecting(self) -> None:
        """
        Give up.
        """
        self.given_up = True

    disconnect = stopConnecting

    def getDestination(self) -> str:
        """
        Where it was to lead.
        """
        return "memory"


class _Adopted:
    """
    A port whose socket is somebody else's.
    """

    def stopListening(self) -> None:
        """
        See C{IListeningPort}.
        """


@implementer(IReactorCore, IReactorTCP, IReactorThreads, IReactorTime)
class MemoryReactor(Clock):
    """
    See the module.

    @ivar network: Where its sockets are; several reactors may share one.
    @ivar taken: Ports that somebody else has.
    @ivar stops: How often it was told to stop.
    @ivar hooks: What was to be called once it runs.
    """

    running = True

    def __init__(self, network: MemoryNetwork | None = None) -> None:
        super().__init__()
        self.network = MemoryNetwork() if network is None else network
        self.network.clock = self
        self.taken: set[int] = set()
        self.stops = 0
        self.hooks: list[Any] = []
        self._calls: SimpleQueue[tuple[Any, tuple[Any, ...]]] = SimpleQueue()

    def listenUNIX(self, address: str, factory: Any, backlog: int = 50, mode: int = 0o666) -> Any:
        """
        See C{IReactorUNIX}.  Nobody connects to it.
        """
        return _Adopted()

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> MemoryPort:
        """
        See C{IReactorTCP}.
        """
        host = interface or "127.0.0.1"
        name = f"{host}:{port}"
        if port in self.taken or name in self.network.ports:
            raise CannotListenError(interface, port, OSError(98, "Address already in use"))
        listening = _Port(self.network, name, factory)
        listening.host = MemoryAddress(host, port)
        listening.startListening()
        return listening

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None) -> Any:
        """
        See C{IReactorTCP}.
        """
        connector = _Connector()

        def connect() -> None:
            if connector.given_up:
                return
            listening = self.network.ports.get(f"{host}:{port}")
            if listening is None:
                factory.clientConnectionFailed(connector, Failure(ConnectionRefusedError()))
                return
            server = listening.factory.buildProtocol(None)
            self.network.join(factory.buildProtocol(None), server)

        factory.doStart()
        factory.startedConnecting(connector)
        self.callLater(0, connect)
        return connector

    def callWhenRunning(self, call: Any, *arguments: Any) -> None:
        """
        See C{IReactorCore}.
        """
        self.hooks.append((call, arguments))

    def run(self) -> None:
        """
        See C{IReactorCore}.
        """
        hooks, self.hooks = self.hooks, []
        for call, arguments in hooks:
            call(*arguments)
        while not self.stops:
            self.network.pump()
            for call, arguments in self.hooks:
                call(*arguments)
            if not self.stops:
                self._hear()

    def _hear(self) -> None:
        try:
            call, arguments = self._calls.get(timeout=PATIENCE)
        except Empty:
            raise AssertionError("no thread has anything to say") from None
        call(*arguments)

    def stop(self) -> None:
        """
        See C{IReactorCore}.
        """
        self.stops += 1

    def callFromThread(self, call: Any, *arguments: Any) -> None:
        """
        See C{IReactorThreads}.
        """
        self._calls.put((call, arguments))

    def wait(self, waiting: Deferred[Any]) -> Any:
        """
        Let the network move and threads speak until C{waiting} has fired.

        @return: Its result; raises what it failed with.
        """
        outcome: list[Any] = []
        waiting.addBoth(outcome.append)
        while True:
            self.network.pump()
            if outcome:
                break
            self._hear()
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()
        return outcome[0]

    def runCalls(self) -> None:
        """
        Do what other threads have asked for so far.
        """
        while not self._calls.empty():
            call, arguments = self._calls.get()
            call(*arguments)
