"""
Streams between two nodes in memory, explored by machines: whatever becomes of
the way, bytes out are bytes in, in order and once, or the stream is reset with
a reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.portals.inlet import CONNECT_TIMEOUT
from ockam_twisted.portals.late import LATE
from ockam_twisted.portals.patience import LINGER
from ockam_twisted.portals.plain import State
from ockam_twisted.portals.shares import FIRST_WINDOW, SMALLEST_WINDOW
from ockam_twisted.sessions.renewal import RETIRE_DELAY
from ockam_twisted.sessions.watch import DOWN_AFTER
from ockam_twisted.testing import MemoryLink
from ockam_twisted.wire.extension import PROTOCOL_ERROR, REASONS, SHUTTING_DOWN, Reset
from ockam_twisted.wire.terms import MAX_EARLY
from tests.exploring import explore
from tests.portals.world import BUDGET, LARGEST, PATIENCE, READ, PlainSpeaker, Speaker, World

#: How many streams there are at once.
STREAMS = 6

_WHICH = st.integers(0, 2 * STREAMS - 1)
_SIZES = st.sampled_from([0, 1, 100, 5000, SMALLEST_WINDOW, SMALLEST_WINDOW + 1, LARGEST + 1, FIRST_WINDOW + 1])
_TROUBLES = ("spoil", "refuse", "exhaust", "restart")
_SECONDS = st.sampled_from([0.001, 0.125, 1.0, 4.0, 9.0, 20.0, 31.0, 70.0])


class StreamMachine(RuleBasedStateMachine):
    """
    Both ends know the portal extension.
    """

    makeWorld: type[World] = World

    @initialize(narrow=st.booleans(), streams=st.integers(1, 3))
    def begin(self, narrow: bool, streams: int) -> None:
        self.world = world = self.makeWorld()
        world.isNarrow = narrow
        world.setUp()
        self.full = False
        self.good = 0.0
        self.held: dict[MemoryLink, float] = {}
        self.unread: dict[Speaker, float] = {}
        self.retired: list[Any] = []
        for _ in range(streams):
            self.open()

    # ------------------------------------------------------------ the model

    @property
    def now(self) -> float:
        return self.world.network.clock.seconds()

    @property
    def isGood(self) -> bool:
        """
        Do messages come through, both ways?
        """
        hop = self.world.hop
        return (
            self.world.way.route is not None
            and hop.client.connected
            and hop.server.connected
            and not hop.toClient.held
            and not hop.toServer.held
            and not self.isSpoilt
        )

    isSpoilt = False

    def settle(self) -> None:
        """
        What can move has moved.
        """
        self.world.network.pump()
        if self.isGood:
            self.good = self.now

    def excuse(self, speaker: Speaker) -> None:
        """
        The stream at whose end this program is may be reset from now on.
        """
        speaker.isExcused = True
        if speaker.other is not None:
            speaker.other.isExcused = True

    def excuseAll(self) -> None:
        for client in self.world.clients:
            self.excuse(client)

    def excuseUnopened(self) -> None:
        """
        So may those be that are not open at the inlet.
        """
        for client in self.world.clients:
            stream = self.world.streamOf(client)
            if stream is None or stream.state in (State.NEW, State.PINGED):
                self.excuse(client)

    def lose(self) -> None:
        """
        The way in use is lost, or messages on it.
        """
        self.excuseUnopened()

    def one(self, which: int) -> Speaker | None:
        """
        One of the programs that are there.
        """
        there = [each for each in self.world.speakers() if each.isThere]
        return there[which % len(there)] if there else None

    # ---------------------------------------------------------- the programs

    @rule(size=st.sampled_from([0, 0, 1, 100, MAX_EARLY]))
    def open(self, size: int = 0) -> None:
        world = self.world
        if len(world.theInlet.streams) < STREAMS and "inlet" in world.network.ports:
            client = world.open(size)
            if self.full or self.isSpoilt or "target" not in world.network.ports:
                self.excuse(client)

    @rule(which=_WHICH, size=_SIZES)
    def write(self, which: int, size: int) -> None:
        speaker = self.one(which)
        if speaker is not None and not speaker.isSilent:
            speaker.say(size)
            self.settle()

    @rule(which=_WHICH, stop=st.booleans())
    def read(self, which: int, stop: bool) -> None:
        speaker = self.one(which)
        if speaker is not None:
            transport: Any = speaker.transport
            (transport.pauseProducing if stop else transport.resumeProducing)()
            self.settle()

    @rule(which=_WHICH)
    def halfClose(self, which: int) -> None:
        speaker = self.one(which)
        if speaker is not None and not speaker.isSilent:
            self.finish(speaker)

    @rule(which=_WHICH, isReset=st.booleans())
    def end(self, which: int, isReset: bool) -> None:
        """
        One closes both halves, or resets.
        """
        speaker = self.one(which)
        if speaker is not None:
            if isReset:
                speaker.hasAborted = True
            else:
                speaker.isSilent = speaker.isClosed = True
            if isReset or not speaker.finished:
                # Who is written to, and has gone, resets.
                self.excuse(speaker)
            transport: Any = speaker.transport
            (transport.abortConnection if isReset else transport.loseConnection)()
            self.settle()

    @rule(which=_WHICH, size=_SIZES, isLast=st.booleans(), keep=st.integers(0, 3))
    def interrupt(self, which: int, size: int, isLast: bool, keep: int) -> None:
        """
        The connection is cut in the middle of what both ends of a stream
        write, or of their last words; there is another one at once.
        """
        hop = self.world.hop
        self.hold(True, 0)
        self.hold(False, 0)
        speaker = self.one(which)
        for each in (speaker, None if speaker is None else speaker.other):
            if each is not None and each.isThere and not each.isSilent:
                each.say(size)
                if isLast:
                    self.finish(each)
        self.settle()
        for pipe in (hop.toServer, hop.toClient):
            for _ in range(keep):
                pipe.held = False
                pipe.deliver()
                pipe.held = True
        self.cut(0)
        self.newWay(False, False, False)

    # --------------------------------------------------------------- the way

    @rule(toServer=st.booleans(), old=st.integers(0, 2))
    def hold(self, toServer: bool, old: int) -> None:
        hop = self.world.hops[-1 - old % len(self.world.hops)]
        (hop.toServer if toServer else hop.toClient).held = True

    @rule(old=st.integers(0, 2))
    def release(self, old: int) -> None:
        hop = self.world.hops[-1 - old % len(self.world.hops)]
        hop.toServer.held = hop.toClient.held = False
        self.settle()

    @rule(old=st.integers(0, 2))
    def cut(self, old: int) -> None:
        world = self.world
        hop = world.hops[-1 - old % len(world.hops)]
        self.lose()
        hop.cut()
        hop.toServer.held = hop.toClient.held = False
        self.settle()

    @rule(
        kind=st.sampled_from(["spoil", "refuse", "exhaust", "restart"]), which=st.integers(0, 50), really=st.booleans()
    )
    def trouble(self, kind: str, which: int, really: bool) -> None:
        """
        What is not to happen all the time.
        """
        if kind == "spoil":
            self.spoil(really, which, ("drop", "repeat", "swap")[which % 3])
        elif kind == "refuse":
            self.refuse()
        elif kind == "exhaust":
            self.exhaust()
        elif really and not self.full:
            self.restart(bool(which & 1), bool(which & 2))

    def spoil(self, toServer: bool, which: int, how: str) -> None:
        """
        Whoever carries the messages plays with those that are held.
        """
        hop = self.world.hop
        waiting = (hop.toServer if toServer else hop.toClient).waiting
        if self.world.isSecret and len(waiting) > 1:
            self.lose()
            self.isSpoilt = True
            at = which % (len(waiting) - 1)
            if how == "drop":
                del waiting[at]
            elif how == "repeat":
                waiting.insert(at, waiting[at])
            else:
                waiting[at], waiting[at + 1] = waiting[at + 1], waiting[at]

    @rule(holdToServer=st.booleans(), holdToClient=st.booleans(), close=st.booleans())
    def newWay(self, holdToServer: bool, holdToClient: bool, close: bool) -> None:
        """
        Another connection, another channel; what becomes of the old one is
        seen later.
        """
        world = self.world
        old = world.channel if world.isSecret else None
        if close or not world.isSecret:
            self.lose()
        world.prepare()
        self.isSpoilt = False
        world.hop.toServer.held, world.hop.toClient.held = holdToServer, holdToClient
        world.move()
        self.settle()
        if old is not None:
            self.retired.append(old)
        if close:
            self.closeRetired(lambda channel: channel is old)

    @rule(seconds=_SECONDS)
    def wait(self, seconds: float) -> None:
        after = self.now + seconds
        if not self.isGood and after - self.good >= PATIENCE - 1:
            self.excuseAll()
        for client in self.world.clients:
            stream = self.world.streamOf(client)
            unopened = stream is None or stream.state in (State.NEW, State.PINGED)
            if unopened and after - client.opened >= CONNECT_TIMEOUT - 1:
                self.excuse(client)
        self.waits(seconds)
        if seconds > RETIRE_DELAY:
            self.world.network.advance(RETIRE_DELAY)
            self.closeRetired(self.isUnused)
        while True:
            # A session notices silence, and closes what is silent.
            silent = [hop for hop in self.world.hops if hop.isAlive and (hop.toServer.held or hop.toClient.held)]
            self.held = {hop: self.held.get(hop, self.now) for hop in silent}
            down = min(self.held.values(), default=after) + DOWN_AFTER
            if down >= after:
                break
            self.world.network.advance(down - self.now)
            for hop in [each for each, since in self.held.items() if since + DOWN_AFTER == down]:
                self.lose()
                hop.cut()
                hop.toServer.held = hop.toClient.held = False
        self.world.network.advance(after - self.now)
        self.closeRetired(self.isUnused)

    def isUnused(self, channel: Any) -> bool:
        """
        Would nobody at the inlet notice if it ended?
        """
        # The world itself would.
        return self.world.inletNode.router.dependents(channel.encryptor) <= 1

    def closeRetired(self, which: Callable[[Any], bool]) -> None:
        """
        A session closes ways that were replaced.
        """
        router = self.world.inletNode.router
        for channel in [each for each in self.retired if which(each)]:
            self.retired.remove(channel)
            with router.turn:
                channel.close()
        self.settle()

    def waits(self, seconds: float) -> None:
        """
        Time passes: whoever does not read for long is given up at its end.
        """
        there = [each for each in self.world.speakers() if each.isThere and getattr(each.transport, "isPaused", False)]
        self.unread = {each: self.unread.get(each, 0.0) + seconds for each in there}
        for speaker, unread in self.unread.items():
            if unread >= LINGER:
                self.excuse(speaker)

    # ------------------------------------------------------------- processes

    def refuse(self) -> None:
        self.excuseUnopened()
        world = self.world
        port = world.network.ports.get("target")
        if port is None:
            world.network.endpoint("target").listen(world.targets)
        else:
            port.stopListening()

    def exhaust(self) -> None:
        self.excuseUnopened()
        self.full = not self.full
        for settings in self.world.allSettings[:2] + self.world.allSettings[-2:]:
            budget = settings.budget
            if self.full:
                self.taken[id(budget)] = self.taken.get(id(budget), 0) + BUDGET - budget.used
                budget.take(BUDGET - budget.used)
            else:
                budget.give(self.taken.pop(id(budget), 0))

    @property
    def taken(self) -> dict[int, int]:
        return self.__dict__.setdefault("_taken", {})

    def restart(self, inlet: bool, killed: bool) -> None:
        """
        A process ends, and another one begins.
        """
        world = self.world
        self.excuseAll()
        portal: Any = world.theInlet if inlet else world.theOutlet
        if not killed:
            portal.stopService()
            self.settle()
        for hop in world.hops:
            hop.cut()
            hop.toServer.held = hop.toClient.held = False
        self.settle()
        if killed:
            for stream in list(portal.streams):
                stream.ended(Reset(SHUTTING_DOWN, 0, ""), "killed")
            portal.stopService()
            self.settle()
        assert portal.streams == set()
        world.startInlet() if inlet else world.startOutlet()

    # ---------------------------------------------------------- what is true

    @invariant()
    def isRight(self) -> None:
        world = self.world
        for speaker in world.speakers():
            assert not speaker.wrong, f"{speaker.number}: {speaker.wrong}"
            assert speaker.isExcused or not speaker.isReset, f"{speaker.number} was reset: {world.lines()}"
        for event in world.logged:
            assert "log_failure" not in event, event

    @invariant()
    def isBounded(self) -> None:
        for portal in (self.world.theInlet, self.world.theOutlet):
            for stream in portal.streams:
                if stream.extension is not None and stream.extension.isConfirmed:
                    sending = stream.extension.exchange.sending
                    assert sending.written - sending.acknowledged <= LARGEST + READ
                    assert stream.local.output.queued <= FIRST_WINDOW

    @invariant()
    def hasReasons(self) -> None:
        for speaker in self.world.speakers():
            stream = self.world.streamOf(speaker)
            if stream is not None and stream.result is not None:
                assert stream.result.code in REASONS, stream.result
                assert stream.result.code != PROTOCOL_ERROR, stream.result

    # --------------------------------------------------------------- the end

    def teardown(self) -> None:
        """
        Whatever happened: with a way that stays, all comes to its end.
        """
        try:
            self._end()
        finally:
            self.world.tearDown()

    def hearsAll(self, speaker: Speaker) -> bool:
        """
        Does all arrive there, whatever has happened?
        """
        return not speaker.isExcused

    def _end(self) -> None:
        world = self.world
        if self.full:
            self.exhaust()
        for hop in world.hops:
            hop.toServer.held = hop.toClient.held = False
        for speaker in world.speakers():
            if speaker.isThere:
                transport: Any = speaker.transport
                transport.resumeProducing()
        self.newWay(False, False, False)
        self.wait(5.0)
        self.isRight()
        for speaker in world.speakers():
            other = speaker.other
            if other is not None and self.hearsAll(speaker):
                assert speaker.came == other.wrote, f"{speaker.number} has {speaker.came} of {other.wrote}"
                assert speaker.finished == other.isSilent, speaker.number
        for speaker in world.speakers():
            if speaker.isThere and not speaker.isSilent:
                self.finish(speaker)
        self.wait(5.0)
        self.isRight()
        for speaker in world.speakers():
            if speaker.isThere and not speaker.isExcused:
                assert speaker.finished, speaker.number
        world.network.advance(LINGER + PATIENCE + LATE + 5)
        self.isRight()
        for speaker in world.speakers():
            assert speaker.finished or speaker.isReset or speaker.isClosed or speaker.hasAborted, speaker.number
        self._nothingLeft()

    def finish(self, speaker: Speaker) -> None:
        speaker.isSilent = True
        transport: Any = speaker.transport
        transport.loseWriteConnection()
        self.settle()

    def _nothingLeft(self) -> None:
        world = self.world
        assert world.theInlet.streams == set(), world.theInlet.streams
        assert world.theOutlet.streams == set(), world.theOutlet.streams
        assert world.theInlet.late == set()
        assert world.theOutlet.resumptions.streams == {}
        for settings in world.allSettings:
            assert settings.early.streams == {}
            assert settings.budget.used == 0, settings.budget.used
        for hop in world.hops:
            hop.cut()
        world.network.pump()
        world.theInlet.stopService()
        world.theOutlet.stopService()
        world.listener.stopService()
        world.network.advance(31)
        calls = [str(call.func) for call in world.network.clock.getDelayedCalls()]
        assert calls == [], calls
        for node in (world.inletNode, world.outletNode):
            assert list(node.router._mailboxes) == [], node.router._mailboxes
            assert len(node.router.peers) == 0


class PlainMachine(StreamMachine):
    """
    They do not, or only one does: a stream ends with its way.
    """

    def lose(self) -> None:
        self.excuseAll()

    def waits(self, seconds: float) -> None:
        # Who does not read, or is not read to, may be closed.
        if not self.isGood or any(
            getattr(each.transport, "isPaused", False) for each in self.world.speakers() if each.isThere
        ):
            self.excuseAll()

    def hearsAll(self, speaker: Speaker) -> bool:
        # Who closes one half closes both.
        return not speaker.isExcused and not speaker.isSilent

    def finish(self, speaker: Speaker) -> None:
        if speaker.other is not None:
            speaker.other.isExcused = True
        super().finish(speaker)


class _Plain(World):
    kind = PlainSpeaker
    isSecret = False


class _InletPlain(World):
    kind = PlainSpeaker
    inletFeatures = 0


class _OutletPlain(World):
    kind = PlainSpeaker
    outletFeatures = 0


class StreamMachineTests(SynchronousTestCase):
    """
    The machines.
    """

    def test_extended(self) -> None:
        """
        With the portal extension.
        """
        explore(StreamMachine, 120, 40)

    def test_plain(self) -> None:
        """
        Without, and with the extension on one side only.
        """
        for world in (_Plain, _InletPlain, _OutletPlain):
            with self.subTest(world=world.__name__):
                explore(type("Machine", (PlainMachine,), {"makeWorld": world}), 25, 40)
