"""
As much of RFC 6455 as a test needs, for both sides.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def _accept(key: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(key + _GUID).digest())


class WebSocket:
    """
    One side of a connection.
    """

    def __init__(self, connection: socket.socket, masks: bool) -> None:
        """
        @param masks: Whether this is the client, who masks what it sends.
        """
        self._connection = connection
        self._file = connection.makefile("rb")
        self._masks = masks

    @classmethod
    def connected(cls, connection: socket.socket) -> WebSocket:
        """
        The client's handshake.
        """
        key = base64.b64encode(os.urandom(16))
        connection.sendall(
            b"GET /chat HTTP/1.1\r\nHost: private\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: " + key + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        made = cls(connection, True)
        status, headers = made._readHead()
        if b" 101 " not in status or headers[b"sec-websocket-accept"] != _accept(key):
            raise AssertionError(f"no websocket: {status!r}")
        return made

    @classmethod
    def accepted(cls, connection: socket.socket) -> WebSocket:
        """
        The server's handshake.
        """
        made = cls(connection, False)
        _, headers = made._readHead()
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + _accept(headers[b"sec-websocket-key"]) + b"\r\n\r\n"
        )
        return made

    def _readHead(self) -> tuple[bytes, dict[bytes, bytes]]:
        first, headers = self._file.readline(), {}
        while line := self._file.readline().strip():
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip()
        return first, headers

    def send(self, kind: int, data: bytes) -> None:
        """
        Send one frame.
        """
        size, bit = len(data), 0x80 if self._masks else 0
        if size < 126:
            head = bytes((0x80 | kind, bit | size))
        elif size < 1 << 16:
            head = bytes((0x80 | kind, bit | 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((0x80 | kind, bit | 127)) + size.to_bytes(8, "big")
        if self._masks:
            mask = os.urandom(4)
            head, data = head + mask, _masked(mask, data)
        self._connection.sendall(head + data)

    def receive(self) -> tuple[int, bytes]:
        """
        Receive one frame.

        @raise EOFError: The connection has ended.
        """
        first, second = self._read(2)
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(self._read(2 if size == 126 else 8), "big")
        if bool(second & 0x80) is self._masks:
            raise AssertionError("a frame is masked by the wrong side")
        mask = b"" if self._masks else self._read(4)
        data = self._read(size)
        return first & 0x0F, _masked(mask, data) if mask else data

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise EOFError
        return data


def _masked(mask: bytes, data: bytes) -> bytes:
    size = len(data)
    pad = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(data, "big") ^ pad).to_bytes(size, "big")


def serve(server: socket.socket) -> None:
    """
    Accept connections, one after the other; greet with a Ping, and echo.
    """
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            try:
                _talk(connection)
            except (OSError, EOFError, KeyError):
                pass


def _talk(connection: socket.socket) -> None:
    peer = WebSocket.accepted(connection)
    peer.send(PING, b"are you there?")
    while True:
        kind, data = peer.receive()
        if kind != PONG:
            peer.send(kind, data)
        if kind == CLOSE:
            return
