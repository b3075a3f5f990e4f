"""
Tests of L{ockam_twisted.processes.packets}, over real pairs of sockets.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase
from zope.interface.verify import verifyObject

from ockam_twisted.processes.packets import Packets, isSupported, packetPair


class Descriptors:
    """
    A reactor that only notes who wants to read and write.
    """

    def __init__(self) -> None:
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.addReader, self.removeReader = self.readers.add, self.readers.discard
        self.addWriter, self.removeWriter = self.writers.add, self.writers.discard


class PacketsTests(SynchronousTestCase):
    """
    Both ends.
    """

    def setUp(self) -> None:
        """
        Connect them.
        """
        if not isSupported():
            raise SkipTest("THIS SYSTEM HAS NO SUCH SOCKETS")
        self.reactor = Descriptors()
        self.got: list[tuple[bytes, list[int]]] = []
        self.lost: list[str] = []
        one, two = packetPair()
        self.one = Packets(self.reactor, one, lambda *packet: None, lambda: self.lost.append("one"))
        self.two = Packets(self.reactor, two, lambda *packet: self.got.append(packet), lambda: self.lost.append("two"))
        for each in (self.one, self.two):
            each.start()
            self.addCleanup(each.close)

    def test_interface(self) -> None:
        """
        The reactor can read and write it.
        """
        from twisted.internet.interfaces import IReadWriteDescriptor

        verifyObject(IReadWriteDescriptor, self.one)
        self.assertEqual(self.one.logPrefix(), "packets")

    def test_packets(self) -> None:
        """
        Packets arrive as they were sent.
        """
        for size in (1, 70_000, 3):
            self.one.send(b"x" * size)
        self.two.doRead()
        self.assertEqual([len(packet) for packet, _ in self.got], [1, 70_000, 3])

    def test_descriptors(self) -> None:
        """
        What a packet carries arrives with it, is closed here, and is not
        inherited there.
        """
        read, write = os.pipe()
        self.one.send(b"before")
        self.one.send(b"with", (write,))
        self.assertRaises(OSError, os.fstat, write)
        self.two.doRead()
        [(_, nothing), (_, [there])] = self.got
        self.assertEqual(nothing, [])
        self.assertFalse(os.get_inheritable(there))
        os.write(there, b"through")
        os.close(there)
        self.assertEqual(os.read(read, 100), b"through")
        os.close(read)

    def test_busy(self) -> None:
        """
        What does not fit waits, in order, with what it carries.
        """
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        count = 0
        while not self.reactor.writers:
            self.one.send(b"%06d" % count + b"x" * 50_000)
            count += 1
        self.one.send(b"%06d" % count, (write,))
        os.fstat(write)
        self.assertFalse(self.one.isBusy)
        for number in range(count + 1, count + 100):
            self.one.send(b"%06d" % number)
        self.assertTrue(self.one.isBusy)
        while self.reactor.writers:
            self.two.doRead()
            self.one.doWrite()
        for _ in range(3):
            self.two.doRead()
        self.assertEqual([int(packet[:6]) for packet, _ in self.got], list(range(count + 100)))
        self.assertFalse(self.one.isBusy)
        [there] = self.got[count][1]
        os.close(there)

    def test_unsent(self) -> None:
        """
        What the system refuses is told to who has sent it, now or later, and
        what it carried is closed; what comes after it is sent.
        """
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        said: list[str] = []
        send, refused = socket.send_fds, OSError(errno.ETOOMANYREFS, "Too many references: cannot splice")

        def sendOnly(made: Any, packets: Any, descriptors: Any, *rest: Any) -> int:
            if descriptors:
                raise refused
            return send(made, packets, descriptors, *rest)

        self.patch(socket, "send_fds", sendOnly)
        self.one.send(b"with", (os.dup(write),), lambda: said.append("at once"))
        self.assertEqual(said, ["at once"])
        count = 0
        while not self.reactor.writers:
            self.one.send(b"x" * 50_000)
            count += 1
        self.one.send(b"with", (write,), lambda: said.append("later"))
        self.one.send(b"without", (), lambda: said.append("never"))
        self.assertEqual(said, ["at once"])
        while self.reactor.writers:
            self.two.doRead()
            self.one.doWrite()
        self.two.doRead()
        self.assertEqual(said, ["at once", "later"])
        self.assertRaises(OSError, os.fstat, write)
        self.assertEqual([len(packet) for packet, _ in self.got], [50_000] * count + [7])

    def test_lost(self) -> None:
        """
        That the other end is gone is told once; nothing is sent then, and
        what was to be carried is closed.
        """
        self.two.close()
        self.one.send(b"to nobody")
        self.one.doRead()
        self.one.doRead()
        self.assertEqual(self.lost, ["one"])
        read, write = os.pipe()
        self.one.send(b"late", (write,))
        self.assertRaises(OSError, os.fstat, write)
        os.close(read)
        self.assertTrue(self.one.isBusy)
        self.assertEqual((self.reactor.readers, self.one.fileno()), (set(), -1))

    def test_closedWhileBusy(self) -> None:
        """
        What still waits when it is closed is closed, too.
        """
        while not self.reactor.writers:
            self.one.send(b"x" * 50_000)
        read, write = os.pipe()
        self.one.send(b"late", (write,))
        self.one.close()
        self.assertRaises(OSError, os.fstat, write)
        os.close(read)
        self.assertEqual(self.lost, [])

    def test_connectionLost(self) -> None:
        """
        The reactor may be done with it first.
        """
        self.one.connectionLost(None)
        self.one.connectionLost(None)
        self.assertEqual(self.lost, ["one"])

    def test_unsupported(self) -> None:
        """
        Where something is missing that is known before it is used.
        """
        self.patch(socket, "SOCK_SEQPACKET", None)
        del socket.SOCK_SEQPACKET
        self.assertFalse(isSupported())
