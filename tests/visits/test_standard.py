"""
Tests for L{ockam_twisted.visits.standard}, with real descriptors and threads.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.visits.standard import StandardStreams

MUCH = os.urandom(3 << 20)


class _Reactor:
    """
    What the threads need of one.
    """

    def __init__(self) -> None:
        self.called = threading.Event()
        self.said: list[str] = []

    def callFromThread(self, call: Callable[[str], object], why: str) -> None:
        """
        Note it.
        """
        call(why)
        self.said.append(why)
        self.called.set()


class StandardStreamsTests(SynchronousTestCase):
    """
    Bytes from a descriptor to a socket, and from there to another one.
    """

    def setUp(self) -> None:
        self.reactor = _Reactor()

    def pipe(self) -> tuple[int, int]:
        """
        A pipe that is closed in the end.
        """
        both = os.pipe()
        for each in both:
            self.addCleanup(self._close, each)
        return both

    def _close(self, descriptor: int) -> None:
        try:
            os.close(descriptor)
        except OSError:
            pass

    def start(self, source: int, sink: int) -> socket.socket:
        """
        Begin.

        @return: What the reactor has.
        """
        streams = StandardStreams(self.reactor, source, sink)
        over = threading.Event()
        # The last that it does is done to the sink, whose number somebody else
        # may have once it is closed.
        self.addCleanup(lambda: self.assertTrue(over.wait(30)))
        self.addCleanup(streams.far.close)
        self.assertFalse(streams.far.getblocking())
        streams.far.settimeout(30)
        streams.start(lambda why: over.set(), lambda why: None)
        self.streams = streams
        return streams.far

    def readAll(self, far: socket.socket) -> bytes:
        """
        Everything up to the end.
        """
        pieces = []
        while data := far.recv(1 << 16):
            pieces.append(data)
        return b"".join(pieces)

    def test_input(self) -> None:
        """
        All of the input arrives, and its end.
        """
        reading, writing = self.pipe()
        far = self.start(reading, self.pipe()[1])

        def write() -> None:
            with os.fdopen(writing, "wb", closefd=False) as file:
                file.write(MUCH)
            os.close(writing)

        thread = threading.Thread(target=write)
        thread.start()
        self.assertEqual(self.readAll(far), MUCH)
        thread.join()

    def test_output(self) -> None:
        """
        All is written, then whoever reads sees the end, and the reactor hears
        that it is done: also if the descriptor does not wait.
        """
        reading, writing = self.pipe()
        os.set_blocking(writing, False)
        far = self.start(self.pipe()[0], writing)

        def send() -> None:
            far.sendall(MUCH)
            far.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=send)
        thread.start()
        with os.fdopen(reading, "rb", closefd=False) as file:
            self.assertEqual(file.read(), MUCH)
        thread.join()
        self.assertTrue(self.reactor.called.wait(30))
        self.assertEqual(self.reactor.said, [""])

    def test_nobodyReads(self) -> None:
        """
        That nobody reads the output is told.
        """
        reading, writing = self.pipe()
        os.close(reading)
        far = self.start(self.pipe()[0], writing)
        far.sendall(b"x")
        self.assertTrue(self.reactor.called.wait(30))
        self.assertEqual(self.reactor.said, ["standard output: Broken pipe"])

    def test_finish(self) -> None:
        """
        The input can be declared to have ended; a pipe is not typed on.
        """
        far = self.start(self.pipe()[0], self.pipe()[1])
        self.assertFalse(self.streams.isTyped)
        self.streams.finish()
        self.assertEqual(far.recv(1), b"")

    def test_unreadable(self) -> None:
        """
        What cannot be read is told, and does not look like an end of the input.
        """
        folder = os.open("/", os.O_RDONLY)
        self.addCleanup(os.close, folder)
        far = self.start(folder, self.pipe()[1])
        self.assertTrue(self.reactor.called.wait(30))
        self.assertEqual(self.reactor.said, ["standard input: Is a directory"])
        far.setblocking(False)
        self.assertRaises(BlockingIOError, far.recv, 1)
