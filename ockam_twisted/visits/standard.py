"""
Standard input and output as one client.

Two threads move the bytes, with plain reads and writes that wait: that works
with pipes, terminals, files and sockets alike, and changes nothing about them
for others who have them open, too.  Between the threads and the reactor there
is a pair of sockets, whose buffers are the back-pressure.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any

#: Bytes moved at once.
_READ = 256 * 1024

#: What the pair of sockets may hold, each way, bytes.
_BUFFER = 512 * 1024

#: Seconds until another thread may go on while one computes: what was read
#: should not wait for long.
_SWITCH = 0.0005


class StandardStreams:
    """
    See the module.

    @ivar far: The end of the pair that the reactor is to have.
    @ivar isTyped: Does a person type the input?
    """

    def __init__(self, reactor: Any, source: int = 0, sink: int = 1) -> None:
        """
        @param source: The descriptor that is read.
        @param sink: The one that is written to.
        """
        self._reactor = reactor
        self._source = source
        self._sink = sink
        self._near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        for each in (self._near, self.far):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                each.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        self.far.setblocking(False)
        # Of a terminal that has gone nobody knows any more that it was one.
        self.isTyped = os.isatty(source)

    def start(self, written: Callable[[str], object], unread: Callable[[str], object]) -> None:
        """
        Begin.

        @param written: Called in the reactor's thread when all is written
            that there will be; with why, if it cannot be written.
        @param unread: Called in the reactor's thread, with why, if not all of
            the input can be read: it has not ended then.
        """
        sys.setswitchinterval(_SWITCH)
        # Who sleeps in a read when all is over must not keep the process.
        Thread(target=self._read, args=(unread,), daemon=True).start()
        Thread(target=self._write, args=(written,), daemon=True).start()

    def finish(self) -> None:
        """
        Behave as if the input had ended.
        """
        with suppress(OSError):
            self._near.shutdown(socket.SHUT_WR)

    def _read(self, unread: Callable[[str], object]) -> None:
        # Once nobody takes it any more, the reactor knows why.
        with suppress(OSError):
            while True:
                try:
                    data = _retried(os.read, self._source, _READ, select.POLLIN)
                except OSError as error:
                    if self.isTyped and error.errno == errno.EIO:
                        break  # The terminal is gone.
                    self._reactor.callFromThread(unread, f"standard input: {error.strerror}")
                    return
                if not data:
                    break
                self._near.sendall(data)
        self.finish()

    def _write(self, written: Callable[[str], object]) -> None:
        why = ""
        while True:
            try:
                data: Any = self._near.recv(_READ)
            except OSError:
                break  # The reactor knows why.
            if not data:
                break
            try:
                view = memoryview(data)
                while view:
                    view = view[_retried(os.write, self._sink, view, select.POLLOUT) :]
            except OSError as error:
                why = f"standard output: {error.strerror}"
                break
        # Who reads there is to see the end, whatever still goes the other way.
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._sink)
            os.close(nowhere)
        self._reactor.callFromThread(written, why)


def _retried(call: Callable[[int, Any], Any], descriptor: int, argument: Any, event: int) -> Any:
    """
    Read or write, although somebody else may have made the descriptor one
    that does not wait.
    """
    while True:
        try:
            return call(descriptor, argument)
        except BlockingIOError:
            poll = select.poll()
            poll.register(descriptor, event)
            poll.poll()
