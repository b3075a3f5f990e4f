"""
What we ask of the kernel and of the C library for a socket on the fast path.
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import sys
import termios
from array import array
from contextlib import suppress
from typing import Any

from twisted.internet import tcp

#: Seconds of silence before the kernel probes the peer, between probes, and
#: how many may be lost: a vanished peer is noticed after 10 + 3 * 5 seconds.
KEEPALIVE_IDLE = 10
KEEPALIVE_INTERVAL = 5
KEEPALIVE_COUNT = 3

#: Read size of hop connections, and what one send may take.  Large reads
#: pay only together with L{keepFreedMemory}.
HOP_READ = 256 * 1024
SEND_LIMIT = 1024 * 1024

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keepFreedMemory() -> bool:
    """
    Ask glibc not to return the memory of every freed read buffer to the
    kernel.  Elsewhere nothing happens.

    @return: Whether it was done.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, 1 << 25) and mallopt(_M_TRIM_THRESHOLD, 1 << 26))


def isPlainSocket(transport: object) -> bool:
    """
    Are bytes given to C{writeSomeData} the bytes on the wire?  Only a TCP or
    Unix socket without TLS will do; wrappers pass the method through, so the
    type is what counts.
    """
    return isinstance(transport, tcp.Connection) and not transport.TLS


def prepareSocket(transport: Any, read: int) -> None:
    """
    Set C{TCP_NODELAY}, keepalive and buffer sizes as far as C{transport} has
    them.

    @param read: How much to read at once, bytes.
    """
    if not isPlainSocket(transport):
        for method in ("setTcpNoDelay", "setTcpKeepAlive"):
            # TLS over a Unix socket has the methods, but not the options.
            with suppress(OSError):
                if hasattr(transport, method):
                    getattr(transport, method)(True)
        return
    transport.bufferSize = read
    transport.SEND_LIMIT = SEND_LIMIT
    handle: socket.socket = transport.getHandle()
    if handle.family not in (socket.AF_INET, socket.AF_INET6):
        return
    # Some systems refuse this once the peer has reset the connection.
    with suppress(OSError):
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", KEEPALIVE_IDLE),
            ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL),
            ("TCP_KEEPCNT", KEEPALIVE_COUNT),
        ):
            option = getattr(socket, name, None)
            if option is not None:
                handle.setsockopt(socket.IPPROTO_TCP, option, value)


def unsent(transport: Any) -> int:
    """
    @return: How many bytes the kernel has that the peer has not, as far as it
        can be asked.
    """
    if not isPlainSocket(transport) or getattr(transport, "socket", None) is None:
        return 0
    handle: socket.socket = transport.getHandle()
    if handle.family not in (socket.AF_INET, socket.AF_INET6):
        return 0
    count = array("i", [0])
    try:
        fcntl.ioctl(handle.fileno(), termios.TIOCOUTQ, count)
    except OSError:
        return 0
    return count[0]


def isDead(transport: Any) -> bool:
    """
    Has the peer of a paused connection reset it?  A paused transport does
    not hear it by itself.
    """
    if not isPlainSocket(transport) or getattr(transport, "socket", None) is None:
        return False
    return bool(transport.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
