"""
Tests of L{ockam_twisted.processes.service} and L{ockam_twisted.processes.child}:
processes that are started by nobody, and what the first one makes of them.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from ockam_twisted.memory import MemoryLink
from ockam_twisted.ops.status import ProcessStatus
from ockam_twisted.processes import service as module
from ockam_twisted.processes.child import DESCRIPTOR, MODULE, environment
from ockam_twisted.processes.packets import Packets, isSupported
from ockam_twisted.processes.service import MAX_RESTART, MAX_UNANSWERED, PING, START, Processes
from ockam_twisted.processes.words import Word, packet, unpack
from ockam_twisted.relays.claims import Claim
from ockam_twisted.relays.relay import Relay
from ockam_twisted.routing.addresses import EMPTY, Address, Route
from ockam_twisted.routing.router import Router
from ockam_twisted.testing import MemoryNetwork
from ockam_twisted.transports.hops import HopSettings
from ockam_twisted.transports.service import DRAIN, TransportService
from ockam_twisted.transports.stalls import StallWatch


class Spawned:
    """
    A process that was asked for: what it is told, and what it says.
    """

    def __init__(self, reactor: Spawning, protocol: Any, arguments: list[str], env: Any, fds: dict[int, Any]) -> None:
        self.pid: int | None = 1000 + len(reactor.spawned)
        self.arguments, self.env, self.fds = arguments, env, fds
        self.protocol = protocol
        self.told: list[list[Any]] = []
        self.descriptors: list[int] = []
        self.signals: list[str] = []
        made = socket.socket(fileno=os.dup(fds[DESCRIPTOR]))
        self.packets = Packets(reactor, made, self._received, lambda: None)
        protocol.makeConnection(self)

    def _received(self, data: bytes, descriptors: list[int]) -> None:
        self.told.append(unpack(data))
        self.descriptors += descriptors

    def words(self) -> list[Word]:
        """
        What it was told since the last time.
        """
        self.packets.doRead()
        told, self.told = self.told, []
        return [Word(each[0]) for each in told]

    def say(self, word: Word, *values: Any) -> None:
        """
        Say something.
        """
        self.packets.send(packet(word, *values))
        self.protocol._packets.doRead()

    def signalProcess(self, name: str) -> None:
        """
        See C{IProcessTransport}.
        """
        self.signals.append(name)

    def end(self) -> None:
        """
        End.
        """
        self.pid = None
        self.packets.close()
        for each in self.descriptors:
            os.close(each)
        self.descriptors = []
        self.protocol.processExited(Failure(ProcessTerminated(9, 9)))


class Spawning(Clock):
    """
    A reactor that starts nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.spawned: list[Spawned] = []
        self.fails = False
        self.addReader = self.removeReader = self.addWriter = self.removeWriter = lambda descriptor: None

    def callWhenRunning(self, call: Any) -> None:
        """
        It runs.
        """
        call()

    def spawnProcess(self, protocol: Any, executable: str, args: list[str], env: Any, childFDs: Any) -> Spawned:
        """
        See C{IReactorProcess}.
        """
        if self.fails:
            raise OSError(11, "Resource temporarily unavailable")
        spawned = Spawned(self, protocol, args, env, childFDs)
        self.spawned.append(spawned)
        return spawned


class ProcessesTests(SynchronousTestCase):
    """
    Three processes.
    """

    def setUp(self) -> None:
        """
        Start them.
        """
        if not isSupported():
            raise SkipTest("THIS SYSTEM HAS NO SUCH SOCKETS")
        self.logged: list[Any] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)
        self.network = MemoryNetwork()
        self.reactor = Spawning()
        self.router = Router()
        self.stalls = StallWatch(self.reactor)
        self.transport = TransportService(HopSettings(self.router, self.reactor, self.stalls))
        self.roads: list[MemoryLink] = []
        self.patch(module, "adopt", self.adopt)
        self.processes = Processes(self.reactor, self.router, self.transport, 3)
        self.processes.startService()
        self.addCleanup(self.endAll)

    def endAll(self) -> None:
        """
        Leave nothing open.
        """
        self.processes.stopService()
        for each in self.reactor.spawned:
            if each.pid is not None:
                each.end()

    def adopt(self, reactor: Any, descriptor: int, family: int, make: Any) -> None:
        """
        A link that leads to nothing but memory.
        """
        os.close(descriptor)
        self.roads.append(self.network.join(Protocol(), make(None)))

    def lines(self, level: LogLevel = LogLevel.error) -> list[str]:
        """
        What was logged.
        """
        return [event["log_format"].format(**event) for event in self.logged if event["log_level"] is level]

    def ready(self) -> list[Spawned]:
        """
        Both others run.
        """
        for each in self.reactor.spawned:
            each.say(Word.READY)
        return self.reactor.spawned

    def test_start(self) -> None:
        """
        They run the Python and the package of this one; neither on their
        command line nor in their environment is anything secret.
        """
        self.patch(os, "environ", {**os.environ, "PASSPHRASE": "secret", "TZ": "UTC"})
        one, two = self.reactor.spawned
        self.assertEqual(one.arguments, [sys.executable, "-m", MODULE, "1"])
        self.assertEqual(two.arguments[-1], "2")
        self.assertEqual(set(one.fds), {0, 1, 2, DESCRIPTOR})
        env = environment()
        self.assertNotIn("PASSPHRASE", env)
        self.assertEqual(env["TZ"], "UTC")
        root = env["PYTHONPATH"].split(os.pathsep)[0]
        self.assertTrue(os.path.exists(os.path.join(root, "ockam_twisted", "processes", "child.py")))
        self.assertEqual(one.words(), [Word.SETTINGS])
        self.assertEqual(self.stalls.budget.limit, 256 * 1024 * 1024 // 3)

    def test_links(self) -> None:
        """
        Those that run are connected with each other and with the first.
        """
        one, two = self.reactor.spawned
        one.say(Word.READY)
        self.assertEqual(one.words(), [Word.SETTINGS, Word.LINK])
        two.say(Word.READY)
        one.packets.doRead()
        two.packets.doRead()
        self.assertEqual(one.told, [[Word.LINK, 2]])
        self.assertEqual(two.told[1:], [[Word.LINK, 0], [Word.LINK, 1]])
        self.assertEqual((len(one.descriptors), len(two.descriptors)), (2, 2))
        self.assertEqual(
            self.processes.status()[1:], (ProcessStatus(1, 1000, "running", 0), ProcessStatus(2, 1001, "running", 0))
        )

    def test_settled(self) -> None:
        """
        Connections wait until all run, or for some seconds.
        """
        one, two = self.reactor.spawned
        one.say(Word.READY)
        self.assertFalse(self.processes.isSettled)
        two.say(Word.READY)
        self.assertTrue(self.processes.isSettled)

    def test_notSettled(self) -> None:
        """
        They do not wait for ever.
        """
        self.reactor.advance(START)
        self.assertTrue(self.processes.isSettled)
        self.assertIsNone(self.processes.choose(None))

    def named(self, name: str, forward_route: Route) -> Relay:
        """
        What is behind a name.
        """
        claim = Claim(Address.local(name), name, EMPTY, forward_route, None, forward_route[0], "", False, "peer", False)
        return Relay(self.router, claim)

    def take(self, child: Any) -> Deferred[None]:
        """
        Hand a connection to a process.
        """
        read, write = os.pipe()
        os.close(write)
        over: Deferred[None] = child.take(read, socket.AF_INET, b"data")
        return over

    def test_notTaken(self) -> None:
        """
        A connection that the system does not let through to a process is
        over, and not one of that process.
        """
        self.ready()
        child: Any = self.processes.choose(None)

        def refuse(*arguments: Any) -> int:
            raise OSError(errno.ETOOMANYREFS, "Too many references: cannot splice")

        self.patch(socket, "send_fds", refuse)
        self.successResultOf(self.take(child))
        self.assertEqual(child.connections, 0)

    def test_choose(self) -> None:
        """
        A connection goes to who has fewest; what is bound for a name goes to
        who has that.
        """
        one, _ = self.ready()
        first: Any = self.processes.choose(None)
        over = self.take(first)
        self.assertEqual(first.number, 1)
        second: Any = self.processes.choose(None)
        self.assertEqual(second.number, 2)
        self.take(second)
        # The first process has none.
        self.assertIsNone(self.processes.choose(None))
        one.packets.doRead()
        [word, number, family, data] = one.told[-1]
        self.assertEqual((word, family, data), (Word.CONNECTION, socket.AF_INET, b"data"))
        one.say(Word.ENDED, number)
        self.successResultOf(over)
        self.assertEqual(self.processes.choose(None), first)
        blue, hop = Address.local("forward_to_blue"), Address.random()
        link = self.processes._links[2]
        link.name(hop, "peer")
        self.processes.directory.added(self.named("forward_to_blue", Route((hop,))))
        self.assertEqual(self.processes.choose(blue), second)
        self.processes.directory.added(self.named("forward_to_blue", Route.of("here")))
        self.assertIsNone(self.processes.choose(blue))

    def test_died(self) -> None:
        """
        A process that dies is started again, its connections are over, and
        nobody waits for it to know a name.
        """
        one, two = self.ready()
        child: Any = self.processes.choose(None)
        over = self.take(child)
        told = self.processes.directory.added(self.named("forward_to_blue", Route.of("here")))
        two.say(Word.KNOWN, 1)
        self.assertNoResult(told)
        one.end()
        self.successResultOf(over)
        self.successResultOf(told)
        self.assertEqual(self.processes.status()[1], ProcessStatus(1, 0, "ended", 0))
        self.network.pump()
        self.assertEqual(set(self.processes._links), {2})
        self.reactor.advance(0.1)
        self.assertEqual(self.reactor.spawned[2].arguments[-1], "1")
        self.assertIn("Process 1 has died and is started again in 0.1 s", self.lines()[0])
        self.reactor.spawned[2].say(Word.READY)
        self.assertEqual(self.reactor.spawned[2].words(), [Word.SETTINGS, Word.LINK, Word.LINK, Word.NAME])

    def test_diesAgain(self) -> None:
        """
        One that dies again and again is started less and less often; one
        that has lived for long is like new.
        """
        self.ready()
        for _ in range(12):
            self.reactor.spawned[-1].end()
            count = len(self.reactor.spawned)
            while len(self.reactor.spawned) == count:
                self.reactor.advance(0.1)
                # What it is not about must not die of silence.
                self.reactor.spawned[0].say(Word.PONG)
        waits = [float(line.split(" s:")[0].rpartition(" ")[2]) for line in self.lines()]
        self.assertEqual(waits[:5], [0.1, 0.2, 0.4, 0.8, 1.6])
        self.assertEqual(waits[-1], MAX_RESTART)
        for _ in range(61):
            self.reactor.advance(1)
        self.reactor.spawned[-1].end()
        self.reactor.advance(0.1)
        self.assertEqual(len(self.reactor.spawned), 15)

    def test_noRoom(self) -> None:
        """
        Where no process can be started, that is tried again.
        """
        self.reactor.fails = True
        self.reactor.spawned[0].end()
        self.reactor.advance(0.1)
        self.assertIn("Resource temporarily unavailable", self.lines()[-1])
        self.reactor.fails = False
        self.reactor.advance(0.2)
        self.assertEqual(len(self.reactor.spawned), 3)

    def test_stuck(self) -> None:
        """
        One that does not answer is killed; one that does is not.
        """
        one, two = self.ready()
        for _ in range(MAX_UNANSWERED + 1):
            two.say(Word.PONG)
            self.reactor.advance(PING)
        self.assertEqual((one.signals, two.signals), (["KILL"], []))
        self.assertIn(Word.PING, two.words())

    def test_nonsense(self) -> None:
        """
        One that makes no sense is killed.
        """
        one, _ = self.ready()
        one.packets.send(b"\xff")
        one.protocol._packets.doRead()
        self.assertEqual(one.signals, ["KILL"])

    def test_linkLost(self) -> None:
        """
        One that is not reached any more is killed.
        """
        one, two = self.ready()
        self.roads[0].client.abortConnection()
        self.network.pump()
        self.assertEqual((one.signals, two.signals), (["KILL"], []))

    def test_log(self) -> None:
        """
        What others log, and what they print when they go wrong, is logged
        here, with their number.
        """
        one, two = self.ready()
        record = {"level": "error", "layer": "transports", "event": "connection-broken", "message": "it is wrong"}
        one.say(Word.LOG, json.dumps({**record, "fields": {"peer": "p"}}))
        two.protocol.childDataReceived(2, b"Traceback:\n  wrong\x07\n")
        self.assertEqual(self.lines(), ["Process 1: it is wrong"])
        self.assertEqual(
            self.lines(LogLevel.warn), ["Process 2 has printed: Traceback:", "Process 2 has printed:   wrong\\x07"]
        )

    def test_noLog(self) -> None:
        """
        One whose log events are none is killed.
        """
        one, _ = self.ready()
        one.say(Word.LOG, "it is wrong")
        self.assertEqual(one.signals, ["KILL"])

    def test_stop(self) -> None:
        """
        Told to stop they drain and end; who does not is killed.
        """
        one, two = self.ready()
        one.words()
        stopped = self.processes.stopService()
        self.assertEqual(one.words(), [Word.STOP])
        one.end()
        self.assertNoResult(stopped)
        self.reactor.advance(DRAIN + 1)
        self.assertEqual(two.signals, ["KILL"])
        two.end()
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stopEarly(self) -> None:
        """
        Those that do not run yet are killed at once.
        """
        stopped = self.processes.stopService()
        for each in self.reactor.spawned:
            self.assertEqual(each.signals, ["KILL"])
            each.end()
        self.successResultOf(stopped)
        self.assertEqual((len(self.reactor.spawned), self.reactor.getDelayedCalls()), (2, []))
