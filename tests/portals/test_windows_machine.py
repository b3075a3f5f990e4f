"""
The windows of several streams that share channels and a budget, explored by a
machine: nobody sends or keeps more than was permitted, what is given out is
what is used, and whoever reads gets all.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.portals.budgets import WindowBudget
from ockam_twisted.portals.shares import IDLE, SMALLEST_WINDOW, ChannelShare
from ockam_twisted.portals.windows import ReceiveWindow, SendWindow
from tests.exploring import explore

KIB = 1024

#: What a direction grows to, and what there is for all of them.
LARGEST, LIMIT = 1024 * KIB, 8 * 1024 * KIB

STREAMS, CHANNELS = 6, 3

_BYTES = bytes(range(251)) * 20_000


class _Stream:
    """
    One direction of a stream, both of its ends, and what is between them.

    @ivar written: Bytes that were given, in all.
    @ivar way: What is under way, the oldest first.
    @ivar back: Credits that are.
    @ivar waiting: Bytes that wait for the near end.
    @ivar taken: Bytes that it has taken, in all.
    @ivar said: How many bytes were acknowledged.
    @ivar channel: Over which it goes.
    """

    def __init__(self, budget: WindowBudget, share: ChannelShare, now: float, channel: int) -> None:
        size = budget.takeFirst(share.first(now))
        assert size
        self.receiving = ReceiveWindow(size, budget, share, now, LARGEST)
        assert budget.take(SMALLEST_WINDOW)
        self.sending = SendWindow(size, budget, LARGEST)
        self.written = self.taken = 0
        self.way: list[bytes] = []
        self.back: list[tuple[int, int]] = []
        self.waiting = b""
        self.said = 0
        self.channel = channel

    def write(self, size: int) -> None:
        data = _BYTES[self.written % 251 :][:size]
        self.written += size
        if self.sending.write(data):
            self.way.append(data)
        self.pump()

    def pump(self) -> None:
        while (piece := self.sending.take()) is not None:
            self.way.append(bytes(piece))

    def carry(self, count: int) -> None:
        for piece in self.way[:count]:
            assert piece == _BYTES[self.receiving.received % 251 :][: len(piece)], "other bytes"
            self.receiving.accept(len(piece))
            self.waiting += piece
        del self.way[:count]

    def take(self, size: int, now: float) -> None:
        size = min(size, len(self.waiting))
        self.waiting = self.waiting[size:]
        self.taken += size
        if self.taken >= self.receiving.mark:
            self.credit(now)

    def acknowledge(self, now: float) -> None:
        """
        A while has passed: see L{ockam_twisted.portals.extension}.
        """
        if self.receiving.received - self.said >= SMALLEST_WINDOW:
            self.credit(now)

    def credit(self, now: float) -> None:
        before = self.receiving.granted
        granted = self.receiving.grant(self.taken, now)
        assert granted >= before, "the limit falls"
        self.said = self.receiving.received
        self.back.append((self.said, granted))

    def answer(self, count: int) -> None:
        for received, limit in self.back[:count]:
            self.sending.credit(received, limit)
        del self.back[:count]
        self.pump()

    def cut(self) -> None:
        self.way.clear()
        self.back.clear()
        self.sending.suspend()

    def resume(self, now: float, share: ChannelShare) -> None:
        self.cut()
        self.sending.rewind(self.receiving.received)
        self.receiving.moved(share, now)
        self.credit(now)
        self.pump()

    def close(self) -> None:
        self.sending.close()
        self.receiving.close()


class WindowsMachine(RuleBasedStateMachine):
    """
    See the module.
    """

    @initialize()
    def begin(self) -> None:
        self.budget = WindowBudget(LIMIT)
        self.now = 0.0
        self.shares = [ChannelShare(0.0) for _ in range(CHANNELS)]
        self.streams: list[_Stream] = []
        self.others = 0

    def one(self, which: int) -> _Stream | None:
        return self.streams[which % len(self.streams)] if self.streams else None

    @rule(channel=st.integers(0, CHANNELS - 1))
    def open(self, channel: int) -> None:
        if len(self.streams) < STREAMS and self.budget.used + 300 * KIB < LIMIT:
            self.streams.append(_Stream(self.budget, self.shares[channel], self.now, channel))

    @rule(which=st.integers(0, 5))
    def close(self, which: int) -> None:
        stream = self.one(which)
        if stream is not None:
            self.streams.remove(stream)
            stream.close()

    @rule(which=st.integers(0, 5), size=st.sampled_from([1, 1000, 5000, 48 * KIB, 300 * KIB]))
    def write(self, which: int, size: int) -> None:
        stream = self.one(which)
        if stream is not None:
            stream.write(size)

    @rule(which=st.integers(0, 5), count=st.integers(1, 20))
    def carry(self, which: int, count: int) -> None:
        stream = self.one(which)
        if stream is not None:
            stream.carry(count)

    @rule(which=st.integers(0, 5), size=st.sampled_from([1, 5000, 100 * KIB, 2000 * KIB]))
    def take(self, which: int, size: int) -> None:
        stream = self.one(which)
        if stream is not None:
            stream.take(size, self.now)

    @rule(which=st.integers(0, 5), count=st.integers(1, 5))
    def answer(self, which: int, count: int) -> None:
        stream = self.one(which)
        if stream is not None:
            stream.answer(count)

    @rule(which=st.integers(0, 5), channel=st.integers(0, CHANNELS - 1))
    def resume(self, which: int, channel: int) -> None:
        stream = self.one(which)
        if stream is not None:
            stream.channel = channel
            stream.resume(self.now, self.shares[channel])

    @rule(which=st.integers(0, 5))
    def cut(self, which: int) -> None:
        stream = self.one(which)
        if stream is not None:
            stream.cut()

    @rule(seconds=st.sampled_from([0.001, 0.05, 1.0, IDLE + 1]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        if seconds >= 0.05:
            for stream in self.streams:
                stream.acknowledge(self.now)

    @rule(size=st.sampled_from([0, LIMIT // 2, LIMIT]))
    def othersTake(self, size: int) -> None:
        """
        Streams of other channels take what they can have, or give it back.
        """
        self.budget.give(self.others)
        self.others = min(size, LIMIT - self.budget.used)
        assert self.budget.take(self.others)

    @invariant()
    def isBudgeted(self) -> None:
        sizes = sum(stream.sending.size + stream.receiving.size for stream in self.streams)
        assert self.budget.used == sizes + self.others <= LIMIT
        for number, share in enumerate(self.shares):
            assert share.used == sum(window.size for window in share._active)
            mine = {stream.receiving for stream in self.streams if stream.channel == number}
            assert set(share._active) <= mine

    @invariant()
    def isPermitted(self) -> None:
        for stream in self.streams:
            sending, receiving = stream.sending, stream.receiving
            assert sending.sent <= sending.reached <= receiving.granted
            assert sending.sent - sending.acknowledged <= sending.size <= LARGEST
            assert sending.acknowledged <= receiving.received <= sending.reached <= sending.written == stream.written
            assert sum(map(len, sending._kept)) == sending.written - sending.acknowledged
            # Whatever may come has its place in the budget.
            assert receiving.granted - stream.taken <= receiving.size <= LARGEST

    def teardown(self) -> None:
        # Whatever there is for them: if all read, all arrives.
        for stream in self.streams:
            stream.resume(self.now, self.shares[stream.channel])
        for _ in range(5000):
            if all(stream.taken == stream.written for stream in self.streams):
                break
            self.now += 0.05
            for stream in self.streams:
                stream.carry(100)
                stream.take(LIMIT, self.now)
                stream.acknowledge(self.now)
                stream.answer(100)
        self.isBudgeted()
        self.isPermitted()
        for stream in self.streams:
            assert stream.taken == stream.written, f"{stream.taken} of {stream.written}"
            stream.close()
        assert self.budget.used == self.others
        for share in self.shares:
            assert share.used == 0 and not share._active


class WindowsMachineTests(SynchronousTestCase):
    """
    The machine.
    """

    def test_machine(self) -> None:
        """
        See L{WindowsMachine}.
        """
        explore(WindowsMachine, 150, 60)
