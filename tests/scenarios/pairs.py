"""
A client and its target, both in hand, with nothing or a portal in between:
what one of them does, the other must see as on a direct connection.
"""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import threading

from tests.scenarios.processes import PATIENCE, Program, ScenarioTestCase

_MARK = 16
_BLOCK = 64 * 1024


def reset(connection: socket.socket) -> None:
    """
    End a connection with RST.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def ending(connection: socket.socket) -> str:
    """
    Read until the end.

    @return: How it came: C{"FIN"} or C{"RST"}.
    @raise TimeoutError: It did not.
    """
    try:
        while connection.recv(_BLOCK):
            pass
    except (ConnectionResetError, BrokenPipeError):
        return "RST"
    return "FIN"


def readAll(connection: socket.socket) -> tuple[int, str]:
    """
    @return: How many bytes came before FIN, and their SHA-256.
    """
    count, digest = 0, hashlib.sha256()
    while data := connection.recv(_BLOCK):
        count += len(data)
        digest.update(data)
    return count, digest.hexdigest()


def fill(connection: socket.socket, seconds: float = 0.4) -> int:
    """
    Send to somebody who does not read, until nothing was taken for a while.

    @return: How much was taken.
    """
    before = connection.gettimeout()
    connection.settimeout(seconds)
    block, count = os.urandom(_BLOCK), 0
    try:
        while True:
            count += connection.send(block)
    except TimeoutError:
        return count
    finally:
        connection.settimeout(before)


class Sending(threading.Thread):
    """
    Sends in the background, then ends this direction.
    """

    def __init__(self, connection: socket.socket, data: bytes) -> None:
        super().__init__(daemon=True)
        self.expected = len(data), hashlib.sha256(data).hexdigest()
        self._connection, self._data = connection, data
        self.start()

    def run(self) -> None:
        """
        See the class.
        """
        self._connection.sendall(self._data)
        self._connection.shutdown(socket.SHUT_WR)


class PairTestCase(ScenarioTestCase):
    """
    A server in this process, reached directly or through a portal.

    @ivar programs: Inlet, relay and outlet.
    """

    programs: list[Program]

    def setUp(self) -> None:
        """
        Start the portal.
        """
        super().setUp()
        self.server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.addCleanup(self.server.close)
        self.server.settimeout(PATIENCE)
        self.direct = self.server.getsockname()[1]
        self.port, *self.programs = self.portal(self.direct, 0, *self._authorized())

    def _authorized(self) -> tuple[str, ...]:
        """
        Who else may use the outlet.
        """
        return ()

    def pair(self, port: int) -> tuple[socket.socket, socket.socket]:
        """
        A new connection.

        @return: Client and target.
        """
        client = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(client.close)
        mark = os.urandom(_MARK)
        client.sendall(mark)
        while True:
            target, _ = self.server.accept()
            self.addCleanup(target.close)
            target.settimeout(PATIENCE)
            # Others have only looked whether the inlet listens.
            if target.recv(_MARK, socket.MSG_WAITALL) == mark:
                return client, target
            target.close()
