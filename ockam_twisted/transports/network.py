"""
Word of the operating system that the network has changed: an address, a route
or a link has come or gone (rtnetlink(7); nothing elsewhere).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

#: Seconds after the first word in which more of the same is expected.
SETTLE = 0.5

#: Groups of rtnetlink: links, addresses and routes of IPv4 and IPv6.
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400

#: Bytes read at once, and how often before others have their turn.
_SIZE, _TIMES = 65536, 100


@implementer(IReadDescriptor)
class NetworkWatch(Service):
    """
    See the module.
    """

    _log = Logger()

    def __init__(self, reactor: Any, changed: Callable[[], object]) -> None:
        """
        @param reactor: Time and descriptors.
        @param changed: Called L{SETTLE} seconds after the network has
            changed, once for many changes.
        """
        self._reactor = reactor
        self._changed = changed
        self._socket: socket.socket | None = None
        self._call: IDelayedCall | None = None

    def startService(self) -> None:
        """
        Listen, where there is something to listen to.
        """
        super().startService()
        if not hasattr(socket, "AF_NETLINK") or not hasattr(self._reactor, "addReader"):
            return
        try:
            made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        except OSError:
            # A sandbox without netlink: backoff alone has to do.
            return
        try:
            made.setblocking(False)
            made.bind((0, _GROUPS))
        except OSError:
            made.close()
            return
        self._socket = made
        self._reactor.addReader(self)

    def stopService(self) -> None:
        """
        Listen no more.
        """
        super().stopService()
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._close()

    def _close(self) -> None:
        made, self._socket = self._socket, None
        if made is not None:
            self._reactor.removeReader(self)
            made.close()

    # ------------------------------------------------------- IReadDescriptor

    def fileno(self) -> int:
        """
        See L{IReadDescriptor}.
        """
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """
        See L{IReadDescriptor}.
        """
        return "network"

    def doRead(self) -> None:
        """
        Something has changed; what, does not matter.
        """
        assert self._socket is not None
        for _ in range(_TIMES):
            try:
                _, sender = self._socket.recvfrom(_SIZE)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    self._close()
                    return
                # More has changed than the kernel could tell: all the same.
                sender = (0, 0)
            # Other processes may send here, too: only the kernel is believed.
            if sender[0] == 0 and self._call is None:
                self._call = self._reactor.callLater(SETTLE, self._settled)

    def _settled(self) -> None:
        self._call = None
        self._changed()

    def connectionLost(self, reason: Any) -> None:
        """
        See L{IReadDescriptor}: the reactor is shutting down.
        """
        self._close()
