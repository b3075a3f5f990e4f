"""
Many sockets as one descriptor of the reactor (C{docs/performance.rst}).

A reactor takes its time with each socket that is ready: it finds out whose
log context it is, and comes around before the next one.  A pool asks the
kernel itself which of its sockets are ready and deals with all of them in one
pass; what they send over one connection leaves in one piece at its end.  With
a few sockets only that would be a detour: these are left to the reactor.

For transports a pool looks like the reactor they are used to, so that they are
Twisted's own.  Where the kernel has no C{epoll} there is no pool, and
everything else is the same.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableDescriptor,
    IProtocolFactory,
    IReactorFDSet,
    IReadDescriptor,
)
from twisted.internet.posixbase import PosixReactorBase
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer, providedBy

from ockam_twisted.transports.lean import DONE, LOST, LeanPort, LeanServer
from ockam_twisted.transports.poller import Poller

#: How many sockets are dealt with in one pass: others of the reactor wait for
#: its end.
MAX_READY = 32

#: From so many sockets on a pool looks after them itself, until there are
#: fewer than half as many.
MANY = 8

_epoll = getattr(select, "epoll", None)
_IN, _OUT, _GONE = 1, 4, 8 | 16
if _epoll is not None:
    _IN, _OUT, _GONE = select.EPOLLIN, select.EPOLLOUT, select.EPOLLERR | select.EPOLLHUP


def pooled(reactor: Any, begin: Callable[[], object], end: Callable[[], object]) -> Any:
    """
    Make a pool of a reactor's sockets, if there can be one.

    @param begin: Called before each pass of the pool.
    @param end: Called after it.
    @return: The L{SocketPool}, or the reactor itself.
    """
    if _epoll is not None and isinstance(reactor, PosixReactorBase):
        return SocketPool(reactor, begin, end)
    return reactor


@implementer(IReactorFDSet, IReadDescriptor)
class SocketPool:
    """
    See the module.  It has all that its reactor has; TCP and Unix sockets made
    through it are its own.
    """

    _log = Logger()

    def __init__(self, reactor: Any, begin: Callable[[], object], end: Callable[[], object]) -> None:
        self._reactor = reactor
        self._begin = begin
        self._end = end
        # Not made before it is needed: the process may still have to fork.
        self._poller: Any = None
        self._isOn = False
        self._selectables: dict[int, Any] = {}
        self._masks: dict[int, int] = {}
        alsoProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    # ---------------------------------------------------- of the transports

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """
        See C{IReactorTCP}.
        """
        listening = LeanPort(port, factory, backlog, interface, self)
        listening.startListening()
        return listening

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None) -> Any:
        """
        See C{IReactorTCP}.
        """
        connector = tcp.Connector(host, port, factory, timeout, bindAddress, self)
        connector.connect()
        return connector

    def listenUNIX(self, address: str, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: int = 0) -> Any:
        """
        See C{IReactorUNIX}.
        """
        listening = unix.Port(address, factory, backlog, mode, self, wantPID)  # type: ignore[arg-type]
        listening.startListening()
        return listening

    def connectUNIX(self, address: str, factory: Any, timeout: float = 30, checkPID: int = 0) -> Any:
        """
        See C{IReactorUNIX}.
        """
        connector = unix.Connector(address, factory, timeout, self, checkPID)
        connector.connect()
        return connector

    def adopt(self, connected: socket.socket, factory: IProtocolFactory, known: IPv4Address | None = None) -> Any:
        """
        Make a transport of a connection that somebody else has made.

        @param connected: It, not blocking; it is the transport's from now on.
        @param known: The address of its peer, if that is known.
        @return: The transport; L{None} if the factory did not want it.
        """
        peer: Any = connected.getpeername() if known is None else (known.host, known.port)
        isLocal = not isinstance(peer, tuple)
        address: IAddress
        if known is not None:
            address = known
        elif isLocal:
            address = UNIXAddress(peer)
        else:
            address = (IPv6Address if len(peer) == 4 else IPv4Address)("TCP", *peer)
        protocol: Any = factory.buildProtocol(address)
        if protocol is None:
            connected.close()
            return None
        port: Any = None
        if isLocal:
            transport: Any = unix.Server(connected, protocol, "", port, 0, self)
        else:
            transport = LeanServer(connected, protocol, peer, port, peer[1], self)
        # A Server has this from its port, and here there is none.
        transport.repstr = f"<{type(protocol).__name__} on {connected.fileno()}>"
        protocol.makeConnection(transport)
        return transport

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        """
        See C{IReactorSocket}.
        """
        connected = socket.fromfd(fileDescriptor, addressFamily, socket.SOCK_STREAM)
        connected.setblocking(False)
        return self.adopt(connected, factory)

    # --------------------------------------------------------- IReactorFDSet

    def addReader(self, reader: Any) -> None:
        """
        See C{IReactorFDSet}.
        """
        self._add(reader, _IN)

    def addWriter(self, writer: Any) -> None:
        """
        See C{IReactorFDSet}.
        """
        self._add(writer, _OUT)

    def removeReader(self, reader: Any) -> None:
        """
        See C{IReactorFDSet}.
        """
        self._remove(reader, _IN)

    def removeWriter(self, writer: Any) -> None:
        """
        See C{IReactorFDSet}.
        """
        self._remove(writer, _OUT)

    def removeAll(self) -> list[Any]:
        """
        See C{IReactorFDSet}.
        """
        selectables = list(self._selectables.values())
        for each in selectables:
            self._remove(each, _IN)
            self._remove(each, _OUT)
        return selectables

    def getReaders(self) -> list[Any]:
        """
        See C{IReactorFDSet}.
        """
        return [self._selectables[fd] for fd, mask in self._masks.items() if mask & _IN]

    def getWriters(self) -> list[Any]:
        """
        See C{IReactorFDSet}.
        """
        return [self._selectables[fd] for fd, mask in self._masks.items() if mask & _OUT]

    def _add(self, selectable: Any, mask: int) -> None:
        fd = selectable.fileno()
        before = self._masks.get(fd, 0)
        if before & mask:
            return
        self._masks[fd] = before | mask
        self._selectables[fd] = selectable
        if self._isOn:
            self._poller.change(fd, selectable, before | mask)
            return
        self._leave(selectable, mask)
        if len(self._masks) >= MANY:
            self._turnOn()

    def _remove(self, selectable: Any, mask: int) -> None:
        fd = selectable.fileno()
        if fd < 0:
            # Its socket is closed already, and so the kernel knows it no more.
            fd = next((each for each, its in self._selectables.items() if its is selectable), -1)
        before = self._masks.get(fd, 0)
        if not before & mask:
            return
        after = before & ~mask
        if after:
            self._masks[fd] = after
        else:
            del self._masks[fd], self._selectables[fd]
        if not self._isOn:
            self._take(selectable, before & mask)
            return
        self._poller.change(fd, self._selectables.get(fd), after)
        if len(self._masks) < MANY // 2:
            self._turnOff()

    def _leave(self, selectable: Any, mask: int) -> None:
        """
        The reactor is to look after a socket.
        """
        if mask & _IN:
            self._reactor.addReader(selectable)
        if mask & _OUT:
            self._reactor.addWriter(selectable)

    def _take(self, selectable: Any, mask: int) -> None:
        """
        The reactor is not to look after a socket any more.
        """
        if mask & _IN:
            self._reactor.removeReader(selectable)
        if mask & _OUT:
            self._reactor.removeWriter(selectable)

    def _turnOn(self) -> None:
        self._poller = Poller()
        readers = set(self._reactor.getReaders())
        for fd, mask in [*self._masks.items()]:
            selectable = self._selectables[fd]
            if mask & _IN and selectable not in readers:
                # It has sent its last byte, and the reactor has seen that.
                self._remove(selectable, _IN)
                mask = self._masks.get(fd, 0)
            if mask:
                self._take(selectable, mask)
                self._poller.change(fd, selectable, mask)
        self._isOn = True
        self._reactor.addReader(self)

    def _turnOff(self) -> None:
        self._isOn = False
        self._reactor.removeReader(self)
        self._poller.close()
        for fd, mask in self._masks.items():
            self._leave(self._selectables[fd], mask)

    # ------------------------------------------------------- IReadDescriptor

    def fileno(self) -> int:
        """
        See C{IFileDescriptor}.
        """
        return int(self._poller.fileno())

    def logPrefix(self) -> str:
        """
        See C{ILoggingContext}.
        """
        return "-"

    def doRead(self) -> None:
        """
        Called by the reactor: some sockets are ready.
        """
        selectables = self._selectables
        poller = self._poller
        ready = [(selectables.get(fd), fd, event) for fd, event in poller.poll(MAX_READY)]
        self._begin()
        poller.begin()
        try:
            for selectable, fd, event in ready:
                # One that was ready before it may have ended it, and another
                # may have its number.
                if selectable is None:
                    poller.forget(fd)
                elif selectables.get(fd) is selectable:
                    self._ready(selectable, event)
            # What has nothing left but to be closed waits for no other pass.
            for fd, (selectable, mask) in tuple(poller.changed.items()):
                if mask & _OUT and getattr(selectable, "disconnecting", False):
                    # The one before it may have ended it.
                    if selectables.get(fd) is selectable and self._masks[fd] & _OUT:
                        self._ready(selectable, _OUT)
        finally:
            self._end()
            poller.end()

    def _ready(self, selectable: Any, event: int) -> None:
        """
        What reactors do with a socket that is ready.
        """
        why: Any = None
        isRead = False
        try:
            if event & _IN:
                isRead = True
                why = selectable.doRead()
            elif event & _GONE:
                isRead = bool(self._masks[selectable.fileno()] & _IN)
                why = DONE.value if isRead else LOST.value
            if event & _OUT and not why:
                isRead = False
                why = selectable.doWrite()
        except BaseException as error:
            self._log.failure("{what} has failed", what=type(selectable).__name__, event="socket-failed")
            why = error
        if why:
            self._disconnect(selectable, why, isRead)

    def _disconnect(self, selectable: Any, why: BaseException, isRead: bool) -> None:
        """
        As reactors do when a connection has ended, or a direction of it.
        """
        self.removeReader(selectable)
        if isRead and type(why) is ConnectionDone and IHalfCloseableDescriptor.providedBy(selectable):
            selectable.readConnectionLost(DONE)
            return
        self.removeWriter(selectable)
        known = DONE if type(why) is ConnectionDone else LOST if type(why) is ConnectionLost else None
        selectable.connectionLost(known or Failure(why))

    def connectionLost(self, reason: Failure) -> None:
        """
        Called by the reactor, which ends.
        """
        if self._isOn:
            for each in self.removeAll():
                each.connectionLost(reason)
