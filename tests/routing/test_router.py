"""
Tests for L{ockam_twisted.routing.router}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ockam_twisted.errors import AddressTaken
from ockam_twisted.interfaces import IRouter, IWorker
from ockam_twisted.routing.access import AllowAll, AllowOnward, AllowSources, DenyAll
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.router import (
    FAILED,
    FLOW_CONTROL,
    INCOMING,
    NOBODY,
    OUTGOING,
    SENDER_GONE,
    TOO_LONG,
    Router,
)

APP, SINK = Address.local("app"), Address.local("sink")
TO_SINK, TO_APP = Route((SINK,)), Route((APP,))


@implementer(IWorker)
class Sink:
    """
    Keeps the messages it gets.
    """

    def __init__(self, fail: bool = False) -> None:
        self.messages: list[LocalMessage] = []
        self.fail = fail

    def messageReceived(self, message):
        self.messages.append(message)
        if self.fail:
            raise ZeroDivisionError


class RouterTests(SynchronousTestCase):
    """
    Tests for L{Router}.
    """

    def setUp(self) -> None:
        """
        A router with a sender and a sink.
        """
        self.router = Router()
        self.sink = Sink()
        self.router.register(APP, Sink())

    def send(self, onward: Route = TO_SINK, back: Route = TO_APP) -> bool:
        """
        Route one message from the sender.
        """
        return self.router.route(LocalMessage(onward, back, b"payload"), APP)

    def test_interface(self) -> None:
        """
        It is an L{IRouter}.
        """
        self.assertTrue(verifyObject(IRouter, self.router))

    def test_delivered(self) -> None:
        """
        A worker gets the message with all addresses of its route and with the
        true source.
        """
        self.router.register(SINK, self.sink)
        onward = Route((SINK, Address.local("beyond")))
        self.assertTrue(self.send(onward))
        self.assertEqual(self.sink.messages, [LocalMessage(onward, Route((APP,)), b"payload", (), APP)])
        self.assertEqual(sum(self.router.dropped.values()), 0)

    def test_sourceIsNotBelieved(self) -> None:
        """
        Whatever source a message claims, it gets the one it was sent from.
        """
        self.router.register(SINK, self.sink)
        self.router.route(LocalMessage(Route((SINK,)), Route(), b"", (), SINK), APP)
        self.assertEqual(self.sink.messages[0].source, APP)

    def test_nobody(self) -> None:
        """
        Messages for nobody, or for a place of another transport, are dropped
        and counted.
        """
        self.router.register(SINK, self.sink)
        self.assertFalse(self.send(Route.of("nobody")))
        self.assertFalse(self.send(Route.of("1#sink")))
        self.assertFalse(self.send(Route()))
        self.assertEqual(self.router.dropped, {NOBODY: 3})

    def test_senderGone(self) -> None:
        """
        Nobody sends from an address where nothing is.
        """
        self.router.register(SINK, self.sink)
        self.assertFalse(self.router.route(LocalMessage(Route((SINK,)), Route(), b""), Address.local("gone")))
        self.assertEqual(self.router.dropped, {SENDER_GONE: 1})

    def test_tooLong(self) -> None:
        """
        Routes of 32 addresses pass, longer ones do not, in either direction.
        """
        self.router.register(SINK, self.sink)
        long = Route((SINK,) * 33)
        self.assertTrue(self.send(Route((SINK,) * 32), Route((APP,) * 32)))
        self.assertFalse(self.send(long))
        self.assertFalse(self.send(Route((SINK,)), long))
        self.assertEqual(self.router.dropped, {TOO_LONG: 2})

    def test_loopEnds(self) -> None:
        """
        Two workers that send each message back to one another, each adding
        itself to the way back, come to an end.
        """
        router = self.router

        @implementer(IWorker)
        class Mirror:
            def __init__(self, address: Address, other: Address) -> None:
                self.address, self.other = address, other

            def messageReceived(self, message):
                router.route(
                    LocalMessage(Route((self.other,)), message.return_route.prepend(self.address), b""), self.address
                )

        a, b = Address.local("a"), Address.local("b")
        router.register(a, Mirror(a, b))
        router.register(b, Mirror(b, a))
        self.send(Route((a,)))
        self.assertEqual(router.dropped, {TOO_LONG: 1})

    def test_access(self) -> None:
        """
        Both the sender's and the receiver's decision must permit a message.
        """
        other = Address.local("other")
        self.router.register(other, Sink(), None, AllowOnward(SINK))
        self.router.register(SINK, self.sink, AllowSources(other))
        message = LocalMessage(Route((SINK,)), Route(), b"")
        self.assertTrue(self.router.route(message, other))
        self.assertFalse(self.router.route(message, APP))
        self.assertFalse(self.router.route(LocalMessage(Route((APP,)), Route(), b""), other))
        self.assertEqual(self.router.dropped, {INCOMING: 1, OUTGOING: 1})

    def test_flowControl(self) -> None:
        """
        Producers reach consumers only.
        """
        self.router.register(SINK, self.sink, AllowAll())
        self.router.flowControls.addProducer(APP, "id")
        self.assertFalse(self.send())
        self.assertEqual(self.router.dropped, {FLOW_CONTROL: 1})
        self.router.flowControls.addConsumer(SINK, "id")
        self.assertTrue(self.send())

    def test_workerRaises(self) -> None:
        """
        What a worker raises is logged and counted, and the sender does not
        notice.
        """
        self.router.register(SINK, Sink(fail=True))
        self.assertTrue(self.send())
        self.router.open(Route((SINK,)), Route(), APP).send((b"",), 0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual(self.router.dropped, {FAILED: 2})

    def test_taken(self) -> None:
        """
        An address has one worker.
        """
        self.router.register(SINK, self.sink)
        self.assertRaises(AddressTaken, self.router.register, SINK, Sink())
        self.assertIs(self.router.worker(SINK), self.sink)

    def test_unregister(self) -> None:
        """
        After a worker went the address is free; an unknown one is ignored.
        """
        self.router.register(SINK, self.sink, DenyAll())
        self.router.unregister(SINK)
        self.router.unregister(SINK)
        self.assertIsNone(self.router.worker(SINK))
        self.assertNotIn(SINK, self.router)
        self.router.register(SINK, self.sink)
        self.assertIn(SINK, self.router)
        self.assertTrue(self.send())

    def test_unregisterEndsFlowControl(self) -> None:
        """
        With a worker goes what flow control knew of its address.
        """
        self.router.register(SINK, self.sink)
        self.router.flowControls.addConsumer(SINK, "id")
        self.router.unregister(SINK)
        self.assertFalse(self.router.flowControls.isConsumer(SINK, "id"))

    def test_invalidateUnknown(self) -> None:
        """
        Invalidating an address where nothing is does nothing.
        """
        self.router.invalidate(SINK)
        self.assertNotIn(SINK, self.router)


class WatchTests(SynchronousTestCase):
    """
    Tests for L{Router.watch}.
    """

    def setUp(self) -> None:
        """
        A router with one worker.
        """
        self.router = Router()
        self.router.register(SINK, Sink())
        self.gone: list[str] = []

    def test_once(self) -> None:
        """
        Everyone who watches is told once, when nothing is there any more, in
        a turn; not about the next worker at that address.
        """

        def seen(name: str) -> None:
            self.assertNotIn(SINK, self.router)
            self.assertEqual(self.router.turn.depth, 1)
            self.gone.append(name)

        self.router.watch(SINK, lambda: seen("a"))
        self.router.watch(SINK, lambda: seen("b"))
        self.router.unregister(SINK)
        self.assertEqual(self.gone, ["a", "b"])
        self.router.register(SINK, Sink())
        self.router.unregister(SINK)
        self.assertEqual(self.gone, ["a", "b"])

    def test_absent(self) -> None:
        """
        Who watches where nothing is, is told at once.
        """
        stop = self.router.watch(APP, lambda: self.gone.append("a"))
        self.assertEqual(self.gone, ["a"])
        stop()

    def test_noMore(self) -> None:
        """
        Who stopped watching is not told; stopping twice does no harm.
        """
        stop = self.router.watch(SINK, lambda: self.gone.append("a"))
        stop()
        stop()
        self.router.unregister(SINK)
        self.assertEqual(self.gone, [])

    def test_dependents(self) -> None:
        """
        How many watch can be asked, and is none where nothing is.
        """
        stop = self.router.watch(SINK, lambda: None)
        self.router.watch(SINK, lambda: None)
        self.assertEqual(self.router.dependents(SINK), 2)
        stop()
        self.assertEqual(self.router.dependents(SINK), 1)
        self.router.unregister(SINK)
        self.assertEqual(self.router.dependents(SINK), 0)

    def test_stoppedByAnother(self) -> None:
        """
        One who is told may stop another one from being told.
        """
        self.router.watch(SINK, lambda: stop())
        stop = self.router.watch(SINK, lambda: self.gone.append("b"))
        self.router.unregister(SINK)
        self.assertEqual(self.gone, [])

    def test_watchAgain(self) -> None:
        """
        Who is told may register another worker and watch that one.
        """

        def again() -> None:
            self.gone.append("a")
            self.router.register(SINK, Sink())
            self.router.watch(SINK, lambda: self.gone.append("b"))

        self.router.watch(SINK, again)
        self.router.unregister(SINK)
        self.assertEqual(self.gone, ["a"])
        self.router.unregister(SINK)
        self.assertEqual(self.gone, ["a", "b"])

    def test_raises(self) -> None:
        """
        One who raises keeps nobody else from being told.
        """
        self.router.watch(SINK, lambda: 1 / 0)
        self.router.watch(SINK, lambda: self.gone.append("b"))
        self.router.unregister(SINK)
        self.assertEqual(self.gone, ["b"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.router.turn.depth, 0)
