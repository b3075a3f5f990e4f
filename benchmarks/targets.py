"""
The server that connections are led to, run as a program of its own: C{python targets.py}.

It prints C{Port: NUMBER}. The first byte of a connection says what it is for:

  - C{e}: it is sent back; the connection stays until the client closes it.
  - C{p}: everything is sent back, in the blocks of 64 bytes it came in.
  - C{u} and a count of 8 bytes: C{k} is answered, then that many bytes are read, then C{k} is answered.
  - C{d} and a count of 8 bytes: C{k} is answered, and after one more byte that many bytes are sent.

The last three get a process each, which works with blocking calls.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys

BLOCK = 256 * 1024
_RANDOM = os.urandom(BLOCK)
PING = 64
STALL = 60
"""Seconds without a byte after which any blocking call gives up."""


def patient(connection: socket.socket) -> socket.socket:
    """
    Blocking calls that end after L{STALL} seconds. The kernel's timeout costs nothing per call; Python's own
    (C{settimeout}) is one more system call each time.
    """
    connection.setblocking(True)
    limit = struct.pack("ll", STALL, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def receiveExactly(connection: socket.socket, size: int) -> bytes:
    """Read that many bytes. @raise EOFError: the peer closed before."""
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise EOFError(f"connection closed after {len(data)} of {size} bytes")
        data += more
    return data


def drain(connection: socket.socket, count: int) -> None:
    """Read that many bytes and forget them. @raise EOFError: the peer closed before."""
    buffer = bytearray(BLOCK)
    receive = connection.recv_into
    while count > 0:
        size = receive(buffer, min(count, BLOCK))
        if not size:
            raise EOFError(f"connection closed, {count} bytes missing")
        count -= size


def fill(connection: socket.socket, count: int) -> None:
    """Send that many bytes."""
    buffer = memoryview(_RANDOM)
    while count > 0:
        size = min(count, BLOCK)
        connection.sendall(buffer[:size])
        count -= size


def serve(connection: socket.socket, mode: bytes) -> None:
    """One connection of the kinds that have a process of their own."""
    patient(connection)
    if mode == b"p":
        while data := connection.recv(PING):
            connection.sendall(data)
        return
    (count,) = struct.unpack(">Q", receiveExactly(connection, 8))
    connection.sendall(b"k")
    if mode == b"u":
        drain(connection, count)
        connection.sendall(b"k")
        connection.recv(1)
    else:
        receiveExactly(connection, 1)
        fill(connection, count)
        connection.recv(1)


def main() -> None:
    """Serve until killed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    print(f"Port: {listener.getsockname()[1]}", flush=True)
    while True:
        for number, _ in poll.poll():
            if number == listener.fileno():
                try:
                    connection, _peer = listener.accept()
                except OSError:
                    continue
                connection.setblocking(False)
                connections[connection.fileno()] = connection
                poll.register(connection.fileno(), select.EPOLLIN)
                continue
            connection = connections[number]
            try:
                data = connection.recv(1)
                if data == b"e":
                    connection.send(data)
                    continue
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            poll.unregister(number)
            del connections[number]
            if data in (b"p", b"u", b"d") and os.fork() == 0:
                # A copy of a connection kept open here would hide from its client that it was closed.
                poll.close()
                listener.close()
                for other in connections.values():
                    other.close()
                try:
                    serve(connection, data)
                except (OSError, EOFError) as problem:
                    print(f"{data!r}: {problem}", file=sys.stderr)
                os._exit(0)
            connection.close()


if __name__ == "__main__":
    main()
