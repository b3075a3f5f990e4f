"""
Bytes in both directions of one connection, at the same time, every one of
them checked, for as long as somebody wants.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import Any

from tests.scenarios.network import Host

#: One block; each begins with whose it is and its number.
BLOCK = 16 * 1024
_CONTENT = os.urandom(BLOCK)
_HEAD = 16

#: Seconds without a byte after which a transfer has failed, unless more was
#: asked for.
SILENCE = 240.0


def _block(name: bytes, number: int) -> bytearray:
    block = bytearray(_CONTENT)
    block[:8] = name
    block[8:_HEAD] = number.to_bytes(8, "big")
    return block


class Flow:
    """
    One direction.

    @ivar sent: Bytes that the sender's kernel has taken.
    @ivar received: Bytes that have arrived, all of them right.
    @ivar heard: When the last one came, on the monotonic clock.
    @ivar longest: The longest time without one, seconds.
    @ivar hasFinished: The receiver has seen the end.
    @ivar errors: What went wrong.
    """

    def __init__(self, name: bytes) -> None:
        self.sent = self.received = 0
        self.heard = time.monotonic()
        self.longest = 0.0
        self.hasFinished = False
        self.errors: list[str] = []
        #: When the first thing went wrong.
        self.failedAt: float | None = None
        self._name = name

    @property
    def isOver(self) -> bool:
        """
        Has the receiver seen the end, or has something gone wrong?
        """
        return self.hasFinished or bool(self.errors)

    def _failed(self, what: str) -> None:
        self.errors.append(what)
        if self.failedAt is None:
            self.failedAt = time.monotonic()

    def send(self, to: socket.socket, rate: float, enough: threading.Event) -> None:
        """
        Send until it is enough, then finish.

        @param rate: Bytes in a second; 0: one block.
        """
        number, due = 0, time.monotonic()
        try:
            while not (enough.is_set() and number):
                to.sendall(_block(self._name, number))
                self.sent += BLOCK
                number += 1
                due = max(due + BLOCK / rate, time.monotonic() - 1) if rate else float("inf")
                enough.wait(min(max(0.0, due - time.monotonic()), threading.TIMEOUT_MAX))
            to.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._failed(f"sending: {error!r}")

    def receive(self, source: socket.socket) -> None:
        """
        Receive and check, up to the end.
        """
        self.heard = time.monotonic()
        expected = _block(self._name, 0)
        try:
            while data := source.recv(BLOCK):
                now = time.monotonic()
                self.longest, self.heard = max(self.longest, now - self.heard), now
                view = memoryview(data)
                while view:
                    number, at = divmod(self.received, BLOCK)
                    if not at:
                        expected = _block(self._name, number)
                    part = view[: BLOCK - at]
                    if part != memoryview(expected)[at : at + len(part)]:
                        raise OSError(f"WRONG BYTES after {self.received}")
                    self.received += len(part)
                    view = view[len(part) :]
            self.hasFinished = True
        except OSError as error:
            self._failed(f"receiving: {error!r}")


class Transfer:
    """
    One connection: C{up} goes from the client to the target, C{down} back.
    """

    def __init__(self, name: int, downRate: float) -> None:
        self.name = name.to_bytes(8, "big")
        self.up, self.down = Flow(self.name), Flow(self.name)
        self.downRate = downRate
        self.enough = threading.Event()
        self.threads: list[threading.Thread] = []

    def run(self, call: Any, *arguments: Any) -> None:
        """
        Do something at the same time.
        """
        thread = threading.Thread(target=call, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    @property
    def errors(self) -> list[str]:
        """
        All that went wrong.
        """
        return [*(f"up: {each}" for each in self.up.errors), *(f"down: {each}" for each in self.down.errors)]

    @property
    def wasReset(self) -> tuple[bool, bool]:
        """
        Was the client told by a reset, and the target?  Whichever of their
        two threads asks first is told.
        """
        return (
            any("sending: ConnectionReset" in each for each in self.up.errors)
            or any("receiving: ConnectionReset" in each for each in self.down.errors),
            any("sending: ConnectionReset" in each for each in self.down.errors)
            or any("receiving: ConnectionReset" in each for each in self.up.errors),
        )

    @property
    def isOver(self) -> bool:
        """
        Have both ends finished, or failed?
        """
        return not any(thread.is_alive() for thread in self.threads)

    @property
    def moved(self) -> int:
        """
        Bytes that have arrived, in both directions.
        """
        return self.up.received + self.down.received


class Transfers:
    """
    A target, and transfers with it.

    @ivar port: Where the target listens.
    @ivar all: The transfers that were begun.
    """

    def __init__(self, target: Host, silence: float = SILENCE) -> None:
        """
        @param target: Where the target is.
        @param silence: Seconds without a byte after which a transfer has
            failed.
        """
        self._server = target.listen()
        self._silence = silence
        self.port = int(self._server.getsockname()[1])
        self.all: list[Transfer] = []
        self._count = 0
        self._sockets: list[socket.socket] = [self._server]
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                target, _ = self._server.accept()
            except OSError:
                return
            self._keep(target)
            threading.Thread(target=self._serve, args=(target,), daemon=True).start()

    def _keep(self, one: socket.socket) -> None:
        one.settimeout(self._silence)
        with self._lock:
            self._sockets.append(one)

    def _serve(self, target: socket.socket) -> None:
        # The first block says whose connection it is.
        try:
            name = target.recv(8, socket.MSG_PEEK | socket.MSG_WAITALL)
        except OSError:
            return
        for transfer in list(self.all):
            if transfer.name == name:
                transfer.run(transfer.down.send, target, transfer.downRate, transfer.enough)
                transfer.run(transfer.up.receive, target)
                return
        target.close()

    def begin(self, client: socket.socket, rate: float = 500_000, downRate: float | None = None) -> Transfer:
        """
        Send and receive until it is enough.

        @param client: Connected to the target.
        @param rate: Bytes in a second, in each direction; 0: one block.
        @param downRate: The same of what comes back, if it is another one.
        """
        self._count += 1
        transfer = Transfer(self._count, rate if downRate is None else downRate)
        self.all.append(transfer)
        self._keep(client)
        transfer.run(transfer.up.send, client, rate, transfer.enough)
        transfer.run(transfer.down.receive, client)
        return transfer

    def close(self) -> None:
        """
        End everything.
        """
        for transfer in self.all:
            transfer.enough.set()
        # Whoever waits in it hears of this, but not of a close().
        try:
            self._server.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        with self._lock:
            for each in self._sockets:
                each.close()
