"""
Passes connections on, and keeps all bytes that go through: what somebody on
the wire sees.
"""

from __future__ import annotations

import socket
import threading


class Tap:
    """
    See the module.

    @ivar port: Where it listens, on loopback.
    @ivar seen: All bytes of all connections, in both directions.
    """

    def __init__(self, to: int) -> None:
        """
        @param to: The port that it passes connections on to.
        """
        self._to = to
        self.seen = bytearray()
        self._sockets: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", self._to), 10)
            except OSError:
                return
            far.settimeout(None)
            self._sockets += [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, destination: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self.seen += data
                destination.sendall(data)
            destination.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        """
        End all of them.
        """
        for each in (self._server, *self._sockets):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()
