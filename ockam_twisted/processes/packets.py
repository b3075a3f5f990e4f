"""
Packets between the first process and another one, with file descriptors in
them (unix(7), C{SCM_RIGHTS}).

A packet arrives whole or not at all, and what it carries arrives with it.
"""

from __future__ import annotations

import os
import socket
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IReadWriteDescriptor
from zope.interface import implementer

#: The largest packet, bytes, and how many descriptors it may have.
MAX_PACKET = 128 * 1024
_MAX_DESCRIPTORS = 4
_ITEM = array("i").itemsize

#: Packets read at once before others have their turn.
_TIMES = 64

#: From so many packets on that wait to be sent it is better to ask for
#: nothing more.
_MANY = 64


def isSupported() -> bool:
    """
    Does this system have what several processes need?
    """
    return hasattr(socket, "SOCK_SEQPACKET") and hasattr(socket, "send_fds") and hasattr(socket, "MSG_CMSG_CLOEXEC")


def packetPair() -> tuple[socket.socket, socket.socket]:
    """
    Both ends of a connection for L{Packets}.
    """
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


@implementer(IReadWriteDescriptor)
class Packets:
    """
    One end.
    """

    def __init__(
        self,
        reactor: Any,
        made: socket.socket,
        received: Callable[[bytes, list[int]], object],
        lost: Callable[[], object],
    ) -> None:
        """
        @param made: A connected socket; it is closed with this.
        @param received: Called with a packet and its descriptors, which are
            the callee's from then on.
        @param lost: Called once, when the other end is gone; not after
            L{close}.
        """
        made.setblocking(False)
        self._reactor = reactor
        self._socket: socket.socket | None = made
        self._received = received
        self._lost = lost
        self._waiting: deque[tuple[bytes, Sequence[int], Callable[[], object]]] = deque()

    def start(self) -> None:
        """
        Receive from now on.
        """
        self._reactor.addReader(self)

    @property
    def isBusy(self) -> bool:
        """
        Does much wait here to be sent?
        """
        return self._socket is None or len(self._waiting) >= _MANY

    def send(self, packet: bytes, descriptors: Sequence[int] = (), unsent: Callable[[], object] = lambda: None) -> None:
        """
        Send a packet, now or once there is room.

        @param descriptors: They are closed here once they are sent.
        @param unsent: Called if the system will not have it, as when too many
            descriptors are on their way; not when this is closed.
        """
        if self._socket is None:
            _closeAll(descriptors)
        elif self._waiting or not self._try(packet, descriptors, unsent):
            self._waiting.append((packet, descriptors, unsent))
            if self._socket is not None:
                self._reactor.addWriter(self)

    def _try(self, packet: bytes, descriptors: Sequence[int], unsent: Callable[[], object]) -> bool:
        """
        @return: It is dealt with.
        """
        assert self._socket is not None
        try:
            socket.send_fds(self._socket, [packet], descriptors)
        except BlockingIOError:
            return False
        except OSError:
            # That the other end is gone is noticed in reading.
            _closeAll(descriptors)
            unsent()
        else:
            _closeAll(descriptors)
        return True

    def doWrite(self) -> None:
        """
        See L{IReadWriteDescriptor}.
        """
        while self._waiting and self._socket is not None:
            if not self._try(*self._waiting[0]):
                return
            self._waiting.popleft()
        self._reactor.removeWriter(self)

    def doRead(self) -> None:
        """
        See L{IReadWriteDescriptor}.
        """
        for _ in range(_TIMES):
            if self._socket is None:
                return
            try:
                packet, descriptors = _receive(self._socket)
            except BlockingIOError:
                return
            except OSError:
                packet, descriptors = b"", []
            if not packet:
                _closeAll(descriptors)
                self.close()
                self._lost()
                return
            self._received(packet, descriptors)

    def close(self) -> None:
        """
        Send and receive nothing more.
        """
        made, self._socket = self._socket, None
        if made is not None:
            self._reactor.removeReader(self)
            self._reactor.removeWriter(self)
            made.close()
        while self._waiting:
            _closeAll(self._waiting.popleft()[1])

    def fileno(self) -> int:
        """
        See L{IReadWriteDescriptor}.
        """
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """
        See L{IReadWriteDescriptor}.
        """
        return "packets"

    def connectionLost(self, reason: Any) -> None:
        """
        See L{IReadWriteDescriptor}: the reactor is done with it.
        """
        if self._socket is not None:
            self.close()
            self._lost()


def _receive(made: socket.socket) -> tuple[bytes, list[int]]:
    """
    C{socket.recv_fds} of some versions of Python does not heed flags, so that
    whatever this process starts would inherit what it gets.

    @raise OSError: There is no packet.
    """
    size = socket.CMSG_SPACE(_MAX_DESCRIPTORS * _ITEM)
    packet, ancillary, _, _ = made.recvmsg(MAX_PACKET, size, socket.MSG_CMSG_CLOEXEC)
    descriptors = array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % _ITEM])
    return packet, list(descriptors)


def _closeAll(descriptors: Sequence[int]) -> None:
    for each in descriptors:
        os.close(each)
