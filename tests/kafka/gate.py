"""
A gate between a client of a broker and the broker, which can be shut, in threads.
"""

from __future__ import annotations

import socket
import threading


class Gate:
    """
    Carries connections to a port.

    @ivar port: Where it listens.
    """

    def __init__(self) -> None:
        self._to = 0
        self._pairs: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._passes = threading.Event()
        self._passes.set()
        self._server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._server.getsockname()[1]

    def begin(self, to: int) -> None:
        """
        Carry.
        """
        self._to = to
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self) -> None:
        """
        Nothing passes from now on, and nobody is told.
        """
        self._passes.clear()

    def open(self) -> None:
        """
        Everything passes, and what has waited.
        """
        self._passes.set()

    def cut(self) -> None:
        """
        End all connections there are.
        """
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for each in pairs:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        """
        Be no more.
        """
        self._passes.set()
        try:
            self._server.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            self._passes.wait()
            try:
                server = socket.create_connection(("127.0.0.1", self._to), 10)
            except OSError:
                return
            with server:
                server.settimeout(None)
                with self._lock:
                    self._pairs |= {client, server}
                back = threading.Thread(target=self._carry, args=(server, client), daemon=True)
                back.start()
                self._carry(client, server)
                back.join()
                with self._lock:
                    self._pairs -= {client, server}

    def _carry(self, source: socket.socket, to: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._passes.wait()
                to.sendall(data)
        except OSError:
            pass
        for each in (source, to):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
