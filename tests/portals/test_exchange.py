"""
Tests for L{ockam_twisted.portals.exchange}: two ends and an unreliable way
between them, explored by a machine.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import PortalRefused
from ockam_twisted.portals.budgets import WindowBudget
from ockam_twisted.portals.exchange import FEATURES, MAX_EMPTY, Exchange
from ockam_twisted.portals.shares import SMALLEST_WINDOW, ChannelShare
from ockam_twisted.portals.windows import ReceiveWindow
from ockam_twisted.wire.extension import Credit, Finished, Resume
from ockam_twisted.wire.terms import Terms

WINDOW = 64


def exchange(
    budget: WindowBudget | None = None, largest: int = 4 * WINDOW, share: ChannelShare | None = None
) -> Exchange:
    """
    One end.
    """
    budget = budget or WindowBudget()
    budget.take(WINDOW + SMALLEST_WINDOW)
    receiving = ReceiveWindow(WINDOW, budget, share or ChannelShare(0.0), 0.0, largest)
    terms = Terms(FEATURES, WINDOW, bytes(16))
    return Exchange.agreed(terms, terms, receiving, budget, largest)


class _End:
    """
    One end, and what is done with it as L{ockam_twisted.portals.extension}
    does it.
    """

    def __init__(self, budget: WindowBudget) -> None:
        self.exchange = exchange(budget)
        self.written = b""
        self.buffered = b""
        self.delivered = b""
        self.out: list[Any] = []
        self.attached = True
        self.done = False

    def write(self, data: bytes) -> None:
        if self.exchange.final is None and not self.done:
            self.written += data
            if self.exchange.sending.write(data):
                self.say(data)
            self.pump()

    def say(self, message: Any) -> None:
        if self.attached:
            self.out.append(message)

    def pump(self) -> None:
        while self.attached and (piece := self.exchange.sending.take()) is not None:
            self.say(bytes(piece))
        if self.attached and (finished := self.exchange.dueFinished()) is not None:
            self.say(finished)

    def receive(self, message: Any) -> None:
        if self.done:
            return
        if isinstance(message, bytes):
            self.exchange.payloadReceived(len(message))
            self.buffered += message
        elif isinstance(message, Credit):
            self.exchange.creditReceived(message)
        elif isinstance(message, Finished):
            self.exchange.finishedReceived(message)
            self.credit()
        self.pump()
        self.done = self.done or self.exchange.isDone

    def deliver(self, size: int, now: float) -> None:
        self.delivered += self.buffered[:size]
        self.buffered = self.buffered[size:]
        if len(self.delivered) >= self.exchange.receiving.mark:
            self.credit(now)

    def credit(self, now: float = 0.0) -> None:
        self.say(self.exchange.credit(len(self.delivered), now))


class ExchangeMachine(RuleBasedStateMachine):
    """
    Bytes out equal bytes in, in order and once, whatever becomes of the way.
    """

    def __init__(self) -> None:
        super().__init__()
        self.budget = WindowBudget()
        self.ends = [_End(self.budget), _End(self.budget)]
        self.now = 0.0
        self.count = 0

    @rule(end=st.integers(0, 1), size=st.integers(1, 200))
    def write(self, end: int, size: int) -> None:
        self.count += 1
        self.ends[end].write(bytes([self.count & 0xFF]) * size)

    @rule(end=st.integers(0, 1))
    def finish(self, end: int) -> None:
        if not self.ends[end].done:
            self.ends[end].exchange.finish()
            self.ends[end].pump()

    @rule(end=st.integers(0, 1), count=st.integers(1, 5))
    def carry(self, end: int, count: int) -> None:
        here, there = self.ends[end], self.ends[1 - end]
        for _ in range(count):
            if here.out:
                there.receive(here.out.pop(0))

    @rule(end=st.integers(0, 1), size=st.integers(1, 300), seconds=st.floats(0.001, 10))
    def deliver(self, end: int, size: int, seconds: float) -> None:
        self.now += seconds
        self.ends[end].deliver(size, self.now)

    @rule()
    def cut(self) -> None:
        for each in self.ends:
            each.attached = False
            each.out.clear()
            if not each.done:
                each.exchange.sending.suspend()

    @precondition(lambda self: not self.ends[0].done)
    @rule()
    def resume(self) -> None:
        self.cut()
        inlet, outlet = self.ends
        inlet.exchange.attempt += 1
        at = inlet.exchange.offset
        asked = Resume(bytes(16), inlet.exchange.attempt, at.next, at.final)
        if not outlet.done:
            outlet.exchange.resumed(asked.next)
        answer = outlet.exchange.offset
        inlet.exchange.resumed(answer.next)
        for each in self.ends:
            each.attached = True
            each.credit(self.now)
            if not each.done:
                each.pump()
            each.done = each.done or each.exchange.isDone

    @invariant()
    def inOrder(self) -> None:
        for here, there in ((0, 1), (1, 0)):
            came = self.ends[there].delivered + self.ends[there].buffered
            assert self.ends[here].written.startswith(came)
            if self.ends[there].exchange.theirFinal is not None:
                assert self.ends[here].written == came
        for each in self.ends:
            assert len(each.buffered) <= 4 * WINDOW
            kept = each.exchange.sending
            assert sum(map(len, kept._kept)) == kept.written - kept.acknowledged
            if each.done:
                assert each.exchange.isAcknowledged

    def teardown(self) -> None:
        # Whatever happened, with a way that stays all comes to its end.
        for end in (0, 1):
            self.finish(end)
        if not self.ends[0].done:
            self.resume()
        for _ in range(10_000):
            if not any(each.out or each.buffered for each in self.ends):
                break
            for end in (0, 1):
                self.carry(end, 5)
                self.deliver(end, 300, 0.1)
        assert self.ends[0].done, "the inlet is not done"
        for here, there in ((0, 1), (1, 0)):
            assert self.ends[here].written == self.ends[there].delivered + self.ends[there].buffered
        for each in self.ends:
            each.exchange.close()
        assert self.budget.used == 0


class ExchangeTests(SynchronousTestCase):
    """
    One end, and two of them.
    """

    def test_machine(self) -> None:
        """
        See L{ExchangeMachine}.
        """
        run_state_machine_as_test(
            ExchangeMachine,
            settings=settings(max_examples=150, stateful_step_count=60, deadline=None, derandomize=True),
        )

    def test_refused(self) -> None:
        """
        What cannot be right is refused, and changes nothing.
        """
        end = exchange()
        end.sending.write(b"x" * 10)
        for credit in (Credit(11, WINDOW), Credit(0, WINDOW - 1), Credit(10 + 1, WINDOW)):
            self.assertRaises(PortalRefused, end.creditReceived, credit)
        end.creditReceived(Credit(5, WINDOW))
        self.assertRaises(PortalRefused, end.creditReceived, Credit(4, WINDOW))
        for following in (4, 11):
            self.assertRaises(PortalRefused, end.resumed, following)
        self.assertRaises(PortalRefused, end.payloadReceived, WINDOW + 1)
        self.assertEqual((end.sending.acknowledged, end.sending.sent), (5, 10))

    def test_empty(self) -> None:
        """
        Payloads without a byte cost no window, so there are not many.
        """
        end = exchange()
        for _ in range(MAX_EMPTY):
            end.payloadReceived(0)
        end.payloadReceived(1)
        self.assertRaises(PortalRefused, end.payloadReceived, 0)

    def test_end(self) -> None:
        """
        The end of a direction takes one place.
        """
        end = exchange()
        end.sending.write(b"x" * 10)
        end.finish()
        self.assertRaises(PortalRefused, end.creditReceived, Credit(11, WINDOW))
        self.assertEqual(end.dueFinished(), Finished(10))
        self.assertIsNone(end.dueFinished())
        end.creditReceived(Credit(11, WINDOW))
        self.assertTrue(end.isAcknowledged)
        self.assertFalse(end.isDone)
        self.assertRaises(PortalRefused, end.finishedReceived, Finished(1))
        end.finishedReceived(Finished(0))
        self.assertTrue(end.isDone)
        self.assertEqual(end.credit(0, 0.0).received, 1)
        self.assertRaises(PortalRefused, end.payloadReceived, 1)
