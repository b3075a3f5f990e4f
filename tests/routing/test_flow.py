"""
Tests for L{ockam_twisted.routing.flow}.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ockam_twisted.interfaces import IAccessControl, IFlow, IFlowReceiver, IWorker
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.flow import FlowControls, PauseSet, newFlowId
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.router import FAILED, INCOMING, NOBODY, SENDER_GONE, Router

APP, SINK = Address.local("app"), Address.local("sink")


@implementer(IWorker)
class Sink:
    """
    Keeps the messages it gets.
    """

    def __init__(self) -> None:
        self.messages: list[LocalMessage] = []

    def messageReceived(self, message):
        self.messages.append(message)

    @property
    def payloads(self):
        return [message.payload for message in self.messages]


@implementer(IFlowReceiver)
class FlowSink(Sink):
    """
    Keeps what the flows to it carry.
    """

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[LocalMessage] = []
        self.pieces: list[tuple[list[bytes], int]] = []
        self.whenOpened: Callable[[], object] = lambda: None

    def flowOpened(self, message):
        self.opened.append(message)
        self.whenOpened()
        return lambda pieces, size: self.pieces.append((list(pieces), size))


@implementer(IFlowReceiver)
class Undecided(Sink):
    """
    Takes part in flows, but wants messages.
    """

    def flowOpened(self, message):
        return None


@implementer(IAccessControl)
class Switch:
    """
    A decision that can be changed, and counts how often it is asked.
    """

    def __init__(self, permits: bool) -> None:
        self.value = permits
        self.asked = 0

    def permits(self, message):
        self.asked += 1
        return self.value


class FlowTests(SynchronousTestCase):
    """
    Tests for L{Flow}.
    """

    def setUp(self) -> None:
        """
        A router with a sender.
        """
        self.router = Router()
        self.router.register(APP, Sink())
        self.sink = FlowSink()

    def open(self):
        """
        Open a flow from the sender to the sink and beyond.
        """
        return self.router.open(Route((SINK, Address.local("beyond"))), Route((APP,)), APP)

    def test_interface(self) -> None:
        """
        It is an L{IFlow}.
        """
        self.assertTrue(verifyObject(IFlow, self.open()))

    def test_direct(self) -> None:
        """
        The receiver is found with the first message, asked once, and gets the
        pieces as they are.
        """
        gate = Switch(True)
        self.router.register(SINK, self.sink, gate)
        flow = self.open()
        self.assertEqual(gate.asked, 0)
        flow.send((b"a", b"b"), 2)
        flow.send((b"c",), 1)
        self.assertEqual(self.sink.pieces, [([b"a", b"b"], 2), ([b"c"], 1)])
        self.assertEqual(gate.asked, 1)
        (opened,) = self.sink.opened
        self.assertEqual(opened, LocalMessage(flow.onward_route, flow.return_route, b"", (), APP))

    def test_messages(self) -> None:
        """
        A worker that takes no flows, or not this one, gets a message of its
        own for each payload, joined.
        """
        for worker in (Sink(), Undecided()):
            self.router.register(SINK, worker)
            flow = self.open()
            flow.send((b"a", memoryview(b"b")), 2)
            flow.send((b"c",), 1)
            self.assertEqual(worker.payloads, [b"ab", b"c"])
            one, two = worker.messages
            self.assertIsNot(one, two)
            self.assertEqual(one.source, APP)
            self.assertEqual(one.return_route, Route((APP,)))
            self.router.unregister(SINK)

    def test_reregistered(self) -> None:
        """
        A flow to a worker that goes drops and counts its messages, and finds
        the next worker at that address.
        """
        flow = self.open()
        flow.send((b"0",), 1)
        self.router.register(SINK, self.sink)
        flow.send((b"1",), 1)
        self.router.unregister(SINK)
        flow.send((b"2",), 1)
        other = FlowSink()
        self.router.register(SINK, other)
        flow.send((b"3",), 1)
        self.assertEqual(self.sink.pieces, [([b"1"], 1)])
        self.assertEqual(other.pieces, [([b"3"], 1)])
        self.assertEqual(self.router.dropped[NOBODY], 2)

    def test_senderGone(self) -> None:
        """
        A flow from a worker that is gone delivers nothing.
        """
        self.router.register(SINK, self.sink)
        flow = self.open()
        flow.send((b"1",), 1)
        self.router.unregister(APP)
        flow.send((b"2",), 1)
        self.assertEqual(self.sink.pieces, [([b"1"], 1)])
        self.assertEqual(self.router.dropped[SENDER_GONE], 1)

    def test_decisionChanges(self) -> None:
        """
        A denied flow works as soon as the decision permits it; one that is
        open ends when its address is invalidated, on either side.
        """
        gate = Switch(False)
        self.router.register(SINK, self.sink, gate)
        flow = self.open()
        flow.send((b"1",), 1)
        self.assertEqual(self.router.dropped[INCOMING], 1)
        gate.value = True
        flow.send((b"2",), 1)
        for address in (SINK, APP):
            gate.value = False
            self.router.invalidate(address)
            flow.send((b"3",), 1)
            gate.value = True
            flow.send((b"4",), 1)
        self.assertEqual([pieces for pieces, _ in self.sink.pieces], [[b"2"], [b"4"], [b"4"]])

    def test_close(self) -> None:
        """
        A closed flow drops its messages, even when it became stale before or
        after.
        """
        self.router.register(SINK, self.sink)
        flow = self.open()
        flow.send((b"1",), 1)
        flow.close()
        flow.send((b"2",), 1)
        self.router.invalidate(SINK)
        flow.send((b"3",), 1)
        self.assertEqual(self.sink.pieces, [([b"1"], 1)])
        self.assertEqual(sum(self.router.dropped.values()), 0)

    def test_closedWhileOpening(self) -> None:
        """
        A flow closed by its receiver while it is being opened stays closed.
        """
        self.router.register(SINK, self.sink)
        flow = self.open()
        self.sink.whenOpened = flow.close
        flow.send((b"1",), 1)
        flow.send((b"2",), 1)
        self.assertNotIn(([b"2"], 1), self.sink.pieces)

    def test_staleWhileOpening(self) -> None:
        """
        A decision that changes while a flow is being opened is not missed.
        """
        gate = Switch(True)

        def change() -> None:
            gate.value = False
            self.router.invalidate(SINK)

        self.sink.whenOpened = change
        self.router.register(SINK, self.sink, gate)
        flow = self.open()
        flow.send((b"1",), 1)
        flow.send((b"2",), 1)
        self.assertNotIn(([b"2"], 1), self.sink.pieces)
        self.assertEqual(self.router.dropped[INCOMING], 1)

    def test_openingFails(self) -> None:
        """
        A receiver that raises while a flow is opened is logged, and the
        sender does not notice.
        """
        self.sink.whenOpened = lambda: 1 / 0
        self.router.register(SINK, self.sink)
        self.open().send((b"1",), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.router.dropped[FAILED], 1)

    def test_forgotten(self) -> None:
        """
        Nobody keeps a flow that its owner has forgotten.
        """
        self.router.register(SINK, self.sink)
        for _ in range(100):
            self.open().send((b"1",), 1)
        self.assertEqual([each() for each in self.router._mailboxes[SINK]._flows if each() is not None], [])


class FlowControlsTests(SynchronousTestCase):
    """
    Tests for L{FlowControls}.
    """

    def setUp(self) -> None:
        """
        A listener, two connections it accepted, and one that we made.
        """
        self.changed: list[Address] = []
        self.controls = FlowControls(self.changed.append)
        self.listener, self.one, self.two, self.ours = (
            Address.local(name) for name in ("listener", "one", "two", "ours")
        )
        self.controls.addSpawner(self.listener, "L")
        self.controls.addProducer(self.one, "1", "L", (Address.local("sender"),))
        self.controls.addProducer(self.two, "2", "L")
        self.controls.addProducer(self.ours, "3")

    def assertEmpty(self) -> None:
        """
        Nothing at all is remembered.
        """
        for name, value in vars(self.controls).items():
            if isinstance(value, dict):
                self.assertEqual(value, {}, name)

    def test_newFlowId(self) -> None:
        """
        An id is 16 random bytes in hexadecimal.
        """
        self.assertRegex(newFlowId(), "^[0-9a-f]{32}$")
        self.assertNotEqual(newFlowId(), newFlowId())

    def test_ownId(self) -> None:
        """
        A consumer of a producer's id is reached by that producer only.
        """
        self.controls.addConsumer(SINK, "1")
        permitted = [self.controls.permits(each, SINK) for each in (self.one, self.two, self.ours)]
        self.assertEqual(permitted, [True, False, False])

    def test_spawnersId(self) -> None:
        """
        A consumer of a spawner's id is reached by what it spawned.
        """
        self.controls.addConsumer(SINK, "L")
        permitted = [self.controls.permits(each, SINK) for each in (self.one, self.two, self.ours)]
        self.assertEqual(permitted, [True, True, False])

    def test_others(self) -> None:
        """
        Who is no producer may send anywhere.
        """
        self.assertTrue(self.controls.permits(APP, SINK))
        self.assertTrue(self.controls.permits(Address.local("sender"), SINK))

    def test_lookups(self) -> None:
        """
        Producers are found by their sending side too; consumers and spawners
        by themselves.
        """
        self.assertEqual(self.controls.producerId(self.one), "1")
        self.assertEqual(self.controls.producerId(Address.local("sender")), "1")
        self.assertIsNone(self.controls.producerId(APP))
        self.assertEqual(self.controls.spawnerId(self.listener), "L")
        self.assertIsNone(self.controls.spawnerId(self.one))
        self.controls.addConsumer(SINK, "1")
        self.controls.addConsumer(SINK, "3")
        self.assertTrue(self.controls.isConsumer(SINK, "3"))
        self.assertFalse(self.controls.isConsumer(SINK, "2"))
        self.assertEqual(self.controls.consumed(SINK), {"1", "3"})
        self.assertEqual(self.controls.consumed(APP), frozenset())

    def test_idVanishes(self) -> None:
        """
        With its producer an id goes from all consumers, who are told.
        """
        self.controls.addConsumer(SINK, "1")
        self.controls.addConsumer(SINK, "2")
        self.controls.remove(self.one)
        self.assertEqual(self.controls.consumed(SINK), {"2"})
        self.assertIn(SINK, self.changed)
        self.assertIsNone(self.controls.producerId(Address.local("sender")))

    def test_spawnerVanishes(self) -> None:
        """
        Without its spawner a producer no longer reaches what the spawner's
        consumers are.
        """
        self.controls.addConsumer(SINK, "L")
        self.controls.remove(self.listener)
        self.assertFalse(self.controls.permits(self.one, SINK))

    def test_sharedId(self) -> None:
        """
        An id that two producers share ends with the last of them.
        """
        other = Address.local("other")
        self.controls.addProducer(other, "3")
        self.controls.addConsumer(SINK, "3")
        self.controls.remove(other)
        self.assertTrue(self.controls.permits(self.ours, SINK))
        self.controls.remove(self.ours)
        self.assertEqual(self.controls.consumed(SINK), frozenset())

    def test_again(self) -> None:
        """
        A producer that is added again replaces what it was, without leaving
        anything behind.
        """
        self.controls.addConsumer(SINK, "1")
        self.controls.addProducer(self.one, "1", None, (APP,))
        self.assertTrue(self.controls.permits(self.one, SINK))
        self.controls.addProducer(self.one, "4")
        self.assertFalse(self.controls.permits(self.one, SINK))
        self.assertIsNone(self.controls.producerId(APP))
        for each in (self.one, self.two, self.ours, self.listener, SINK):
            self.controls.remove(each)
        self.assertEmpty()

    def test_removeUnknown(self) -> None:
        """
        Removing what was never added does nothing.
        """
        self.controls.remove(APP)
        self.assertEqual(self.controls.producerId(self.one), "1")

    def test_model(self) -> None:
        """
        Whatever comes and goes, the same is permitted as in a simpler model.
        """
        run_state_machine_as_test(
            FlowControlsMachine,
            settings=settings(deadline=None, max_examples=60, stateful_step_count=25, derandomize=True),
        )

    def test_noLeak(self) -> None:
        """
        After 10,000 connections nothing is left of them, though one worker
        was a consumer of all.
        """
        for address in (self.one, self.two, self.ours, self.listener):
            self.controls.remove(address)
        for n in range(10_000):
            receiver, sender = Address.local(f"r{n}"), Address.local(f"s{n}")
            self.controls.addProducer(receiver, str(n), "L", (sender,))
            self.controls.addConsumer(SINK, str(n))
            self.controls.addConsumer(sender, str(n))
            self.controls.remove(sender)
            self.controls.remove(receiver)
        self.assertEmpty()


class RouterFlowControlTests(SynchronousTestCase):
    """
    Flow control as the router applies it.
    """

    def test_removedProducer(self) -> None:
        """
        A producer that is gone cannot send anywhere, by message or by flow
        that was open.
        """
        router = Router()
        sink = FlowSink()
        router.register(SINK, sink)
        router.register(APP, Sink())
        router.flowControls.addProducer(APP, "1")
        router.flowControls.addConsumer(SINK, "1")
        flow = router.open(Route((SINK,)), Route(), APP)
        flow.send((b"1",), 1)
        router.unregister(APP)
        flow.send((b"2",), 1)
        self.assertFalse(router.route(LocalMessage(Route((SINK,)), Route(), b"3"), APP))
        self.assertEqual((sink.pieces, sink.messages), ([([b"1"], 1)], []))

    def test_openFlowEnds(self) -> None:
        """
        A flow that is open ends with the spawner that it was permitted for.
        """
        router = Router()
        sink = FlowSink()
        router.register(SINK, sink)
        router.register(APP, Sink())
        listener = Address.local("listener")
        router.flowControls.addSpawner(listener, "L")
        router.flowControls.addProducer(APP, "1", "L")
        router.flowControls.addConsumer(SINK, "L")
        flow = router.open(Route((SINK,)), Route(), APP)
        flow.send((b"1",), 1)
        router.flowControls.remove(listener)
        flow.send((b"2",), 1)
        self.assertEqual(sink.pieces, [([b"1"], 1)])

    def test_becomesProducer(self) -> None:
        """
        Flows of a worker that becomes a producer are judged again.
        """
        router = Router()
        sink = FlowSink()
        router.register(SINK, sink)
        router.register(APP, Sink())
        flow = router.open(Route((SINK,)), Route(), APP)
        flow.send((b"1",), 1)
        router.flowControls.addProducer(APP, "1")
        flow.send((b"2",), 1)
        router.flowControls.addConsumer(SINK, "1")
        flow.send((b"3",), 1)
        self.assertEqual([pieces for pieces, _ in sink.pieces], [[b"1"], [b"3"]])


_names = st.sampled_from([Address.local(name) for name in "abcd"])
_ids = st.sampled_from("1234")


class FlowControlsMachine(RuleBasedStateMachine):
    """
    L{FlowControls} against a model that keeps it simple.
    """

    def __init__(self) -> None:
        super().__init__()
        self.controls = FlowControls(lambda address: None)
        self.producers: dict[Address, tuple[str, str | None]] = {}
        self.spawners: dict[Address, str] = {}
        self.consumers: set[tuple[Address, str]] = set()

    def used(self) -> set[str]:
        """
        All ids that a producer or spawner has.
        """
        return {own for own, _ in self.producers.values()} | set(self.spawners.values())

    def forget(self, before: set[str]) -> None:
        """
        Ids that nobody uses any more take their consumers with them.
        """
        gone = before - self.used()
        self.consumers = {(address, flowId) for address, flowId in self.consumers if flowId not in gone}

    @rule(address=_names, flowId=_ids, spawner=st.none() | _ids)
    def addProducer(self, address: Address, flowId: str, spawner: str | None) -> None:
        """
        A connection is made.
        """
        before = self.used()
        self.producers[address] = flowId, spawner
        self.forget(before)
        self.controls.addProducer(address, flowId, spawner)

    @rule(address=_names, flowId=_ids)
    def addSpawner(self, address: Address, flowId: str) -> None:
        """
        A listener is made.
        """
        before = self.used()
        self.spawners[address] = flowId
        self.forget(before)
        self.controls.addSpawner(address, flowId)

    @rule(address=_names, flowId=_ids)
    def addConsumer(self, address: Address, flowId: str) -> None:
        """
        A worker is made a consumer.
        """
        self.consumers.add((address, flowId))
        self.controls.addConsumer(address, flowId)

    @rule(address=_names)
    def remove(self, address: Address) -> None:
        """
        An address goes.
        """
        before = self.used()
        self.consumers = {(each, flowId) for each, flowId in self.consumers if each != address}
        self.producers.pop(address, None)
        self.spawners.pop(address, None)
        self.forget(before)
        self.controls.remove(address)

    @invariant()
    def same(self) -> None:
        """
        Both permit the same.
        """
        for source in map(Address.local, "abcd"):
            for destination in map(Address.local, "abcd"):
                expected = source not in self.producers or any(
                    (destination, flowId) in self.consumers for flowId in self.producers[source]
                )
                assert self.controls.permits(source, destination) == expected


class PauseSetTests(SynchronousTestCase):
    """
    Tests for L{PauseSet}.
    """

    def test_once(self) -> None:
        """
        The first asker pauses, the last resumes, nothing is ever repeated.
        """
        events: list[str] = []
        pauses = PauseSet(lambda: events.append("pause"), lambda: events.append("resume"))
        self.assertFalse(pauses)
        pauses.discard("a")
        pauses.add("a")
        pauses.add("b")
        pauses.add("a")
        self.assertTrue(pauses)
        self.assertIn("a", pauses)
        pauses.discard("a")
        self.assertNotIn("a", pauses)
        self.assertEqual(events, ["pause"])
        pauses.discard("b")
        pauses.discard("b")
        self.assertEqual(events, ["pause", "resume"])
        self.assertFalse(pauses)
