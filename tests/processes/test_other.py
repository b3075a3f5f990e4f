"""
Tests of L{ockam_twisted.processes.other}: a process that is told what to do
by a test; real sockets, the reactor is turned by hand.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import struct
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from ockam_twisted.processes.other import OtherProcess
from ockam_twisted.processes.packets import Packets, isSupported, packetPair
from ockam_twisted.processes.words import Word, packet, unpack
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.wire.frames import VERSION, encodeFrame
from ockam_twisted.wire.messages import decodeTransport, encodeTransport


class HandTurned(Clock):
    """
    A reactor that adopts sockets.
    """

    def __init__(self) -> None:
        super().__init__()
        self.isStopped = False
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.addReader, self.removeReader = self.readers.add, self.readers.discard
        self.addWriter, self.removeWriter = self.writers.add, self.writers.discard

    def adoptStreamConnection(self, descriptor: int, family: int, factory: Any) -> Any:
        """
        See C{IReactorSocket}.
        """
        kind: Any = unix.Server if family == socket.AF_UNIX else tcp.Server
        arguments = (factory,) if family == socket.AF_UNIX else (family, factory)
        os.set_blocking(descriptor, False)
        first, *rest = arguments
        return kind._fromConnectedSocket(descriptor, first, *rest, self)

    def stop(self) -> None:
        """
        See C{IReactorCore}.
        """
        self.isStopped = True

    def turn(self) -> None:
        """
        Read whatever there is.
        """
        for _ in range(5):
            for each in list(self.readers):
                each.doRead()
            for each in list(self.writers):
                each.doWrite()
            self.advance(0)


class OtherProcessTests(SynchronousTestCase):
    """
    Process 1.
    """

    def setUp(self) -> None:
        """
        Start it.
        """
        if not isSupported():
            raise SkipTest("THIS SYSTEM HAS NO SUCH SOCKETS")
        self.reactor = HandTurned()
        self.said: list[list[Any]] = []
        ours, theirs = packetPair()
        self.packets = Packets(self.reactor, ours, lambda data, _: self.said.append(unpack(data)), lambda: None)
        self.other = OtherProcess(self.reactor, theirs, 1)
        self.packets.start()
        self.other.start()
        self.addCleanup(self.end)
        self.tell(Word.SETTINGS, 1024 * 1024, 1000)

    def end(self) -> None:
        """
        Close all there is.
        """
        self.packets.close()
        for each in list(self.reactor.readers):
            if hasattr(each, "abortConnection"):
                each.abortConnection()
            else:
                each.close()
        self.reactor.turn()

    def tell(self, word: Word, *values: Any, descriptor: int | None = None) -> None:
        """
        Be the first process.
        """
        self.packets.send(packet(word, *values), () if descriptor is None else (descriptor,))
        self.reactor.turn()

    def connect(self, number: int, data: bytes = b"") -> socket.socket:
        """
        Hand it a connection.
        """
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = socket.create_connection(listening.getsockname())
            self.addCleanup(client.close)
            accepted, _ = listening.accept()
        client.settimeout(5)
        self.tell(Word.CONNECTION, number, socket.AF_INET, data, descriptor=accepted.detach())
        return client

    def test_ready(self) -> None:
        """
        It says when it can do something, and that it lives.
        """
        self.tell(Word.PING)
        self.assertEqual(self.said, [[Word.READY], [Word.PONG]])
        settings = self.other.transport.settings
        self.assertEqual((settings.maxFrame, settings.stalls.budget.limit), (1024 * 1024, 1000))

    def test_connection(self) -> None:
        """
        A connection goes on where it was: what was read before counts, and
        it is greeted no second time.
        """
        ping = encodeFrame(encodeTransport([(0, b"echo")], [(0, b"me")], b"hello"))
        client = self.connect(7, VERSION + ping[:10])
        client.sendall(ping[10:])
        self.reactor.turn()
        answer = client.recv(1000)
        _, back, payload = decodeTransport(answer, 4)
        self.assertEqual((back, payload), (((0, b"echo"),), b"hello"))
        self.assertEqual(set(self.other.hops), {7})
        client.close()
        self.reactor.turn()
        for hop in self.other.transport.hops:
            hop.abortConnection("the peer has gone")
        self.reactor.turn()
        self.assertEqual(self.said[-1], [Word.ENDED, 7])
        self.assertEqual(self.other.hops, {})

    def test_reset(self) -> None:
        """
        A connection that was reset on its way here has ended.
        """
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = socket.create_connection(listening.getsockname())
            accepted, _ = listening.accept()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        self.assertRaises(OSError, accepted.getpeername)
        self.tell(Word.CONNECTION, 9, socket.AF_INET, b"", descriptor=accepted.detach())
        self.assertEqual(self.said[-1], [Word.ENDED, 9])

    def test_noDescriptor(self) -> None:
        """
        A connection that there is no descriptor for has ended; what there is
        goes on.
        """
        client = self.connect(7, VERSION)
        self.tell(Word.CONNECTION, 8, socket.AF_INET, VERSION)
        self.assertEqual(self.said[-1], [Word.ENDED, 8])
        self.assertFalse(self.reactor.isStopped)
        self.assertEqual(set(self.other.hops), {7})
        client.sendall(encodeFrame(encodeTransport([(0, b"echo")], [(0, b"me")], b"hello")))
        self.reactor.turn()
        self.assertEqual(decodeTransport(client.recv(1000), 4)[2], b"hello")

    def test_noRoomForDescriptor(self) -> None:
        """
        That is what the kernel makes of one that this process may not have.
        """
        self.connect(7, VERSION)
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.packets.send(packet(Word.CONNECTION, 8, socket.AF_INET, VERSION), (write,))
        lowest = os.dup(read)
        os.close(lowest)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
        try:
            self.reactor.turn()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        self.assertEqual(self.said[-1], [Word.ENDED, 8])
        self.assertFalse(self.reactor.isStopped)
        self.assertEqual(set(self.other.hops), {7})

    def test_names(self) -> None:
        """
        It says that it knows a name, also one that leads nowhere any more.
        """
        self.connect(7, VERSION)
        hop = self.other.hops[7].address
        name = Address.local("forward_to_blue")
        self.tell(Word.NAME, 3, name, Route((hop,)), 1, "peer")
        self.assertIsNotNone(self.other.router.worker(name))
        self.tell(Word.NO_NAME, name)
        self.assertIsNone(self.other.router.worker(name))
        self.tell(Word.NAME, 4, name, Route.of("nobody"), 1, "peer")
        self.tell(Word.NAME, 0, name, Route.of("nobody"), 2, "peer")
        self.assertEqual(self.said[1:], [[Word.KNOWN, 3], [Word.KNOWN, 4]])

    def test_link(self) -> None:
        """
        A link to another process is one until its other end is gone.
        """
        here, there = socket.socketpair()
        self.tell(Word.LINK, 2, descriptor=there.detach())
        self.assertEqual(set(self.other._links), {2})
        self.assertEqual(here.recv(10), VERSION)
        [server] = [each for each in self.reactor.readers if isinstance(each, unix.Server)]
        here.close()
        server.protocol.connectionLost()
        server.stopReading()
        server.getHandle().close()
        self.assertEqual(self.other._links, {})
        self.assertFalse(self.reactor.isStopped)

    def test_linkFailed(self) -> None:
        """
        If it was this process that went wrong, it ends, and another one takes
        its place.
        """
        here, there = socket.socketpair()
        self.addCleanup(here.close)
        self.tell(Word.LINK, 2, descriptor=there.detach())
        here.sendall(b"\x01\0\0\0\1\x77")
        self.reactor.turn()
        self.assertTrue(self.reactor.isStopped)
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_firstGone(self) -> None:
        """
        When the first process is gone so is this one.
        """
        self.packets.close()
        self.reactor.turn()
        self.assertTrue(self.reactor.isStopped)

    def test_stop(self) -> None:
        """
        Told to stop it lets its connections drain, and ends.
        """
        client = self.connect(7, VERSION)
        self.tell(Word.STOP)
        self.tell(Word.STOP)
        self.reactor.advance(5)
        self.reactor.turn()
        self.reactor.turn()
        self.assertTrue(self.reactor.isStopped)
        with self.assertRaises(OSError):
            while client.recv(1000):
                pass
            raise OSError("it has ended")

    def test_goneWhileStopping(self) -> None:
        """
        It does not even drain when the first process is gone.
        """
        self.connect(7, VERSION)
        self.tell(Word.STOP)
        self.assertFalse(self.reactor.isStopped)
        self.packets.close()
        self.reactor.turn()
        self.assertTrue(self.reactor.isStopped)

    def test_nonsense(self) -> None:
        """
        What it does not understand ends it, and nothing stays open.
        """
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.packets.send(packet(Word.READY), (write,))
        self.reactor.turn()
        self.assertTrue(self.reactor.isStopped)
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        os.set_blocking(read, False)
        self.assertEqual(os.read(read, 1), b"")

    def test_log(self) -> None:
        """
        What it logs goes to the first process, with tracebacks, but not what
        is for those who look for mistakes.
        """
        log = Logger(observer=self.other.observer(), namespace="here")  # type: ignore[arg-type]
        log.info("{what} happened", what="something")
        log.debug("nothing happened")
        try:
            raise RuntimeError("wrong")
        except RuntimeError:
            log.failure("it failed")
        self.reactor.turn()
        one, two = (json.loads(each[1]) for each in self.said if each[0] == Word.LOG)
        self.assertEqual((one["level"], one["message"]), ("info", "something happened"))
        self.assertEqual((two["level"], two["message"]), ("critical", "it failed"))
        self.assertEqual(two["failure"]["reason"], "wrong")
