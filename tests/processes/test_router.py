"""
Tests of L{ockam_twisted.processes.router}.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.interfaces import Buffer, PayloadReceiver
from ockam_twisted.processes import router as module
from ockam_twisted.processes.router import AskingRouter
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.router import NOBODY
from ockam_twisted.testing import Inbox

SOURCE = Address.local("source")


class AskingRouterTests(SynchronousTestCase):
    """
    What is asked of the first process.
    """

    def setUp(self) -> None:
        """
        A router, and a worker that sends.
        """
        self.asked: list[tuple[str, bytes]] = []
        self.router = AskingRouter(self.ask)
        self.source = Inbox(self.router, SOURCE)

    def ask(self, message: LocalMessage) -> PayloadReceiver | None:
        """
        Note what is asked, but for what is secret.
        """
        name = str(message.onward_route[0])
        if "secret" in name:
            return None

        def receive(pieces: Sequence[Buffer], size: int) -> None:
            self.asked.append((name, b"".join(pieces)))

        return receive

    def send(self, name: str, payload: bytes = b"x") -> None:
        """
        Send something.
        """
        self.router.route(LocalMessage(Route.of(name), Route((SOURCE,)), payload), SOURCE)

    def test_unknown(self) -> None:
        """
        What is not here is asked; what may not be is dropped.
        """
        self.send("elsewhere", b"one")
        self.send("secret")
        self.assertEqual(self.asked, [("0#elsewhere", b"one")])
        here = Inbox(self.router, Address.local("here"))
        self.send("here", b"two")
        self.assertEqual(here.payloads, [b"two"])
        self.assertEqual(len(self.asked), 1)

    def test_names(self) -> None:
        """
        Relay names are not asked: the ones there are are known.
        """
        self.send("forward_to_blue")
        self.assertEqual(self.asked, [])
        self.assertEqual(self.router.dropped[NOBODY], 1)

    def test_gone(self) -> None:
        """
        What was here and is gone is not asked, so long as that is
        remembered, nor once it is here again.
        """
        self.patch(module, "REMEMBERED", 2)
        for name in ("one", "two", "three"):
            Inbox(self.router, Address.local(name))
            self.router.unregister(Address.local(name))
        for name in ("one", "two", "three"):
            self.send(name)
        self.assertEqual(self.asked, [("0#one", b"x")])
        again = Inbox(self.router, Address.local("three"))
        self.send("three")
        self.assertEqual(len(again.messages), 1)

    def test_flow(self) -> None:
        """
        A flow that is asked goes to its worker as soon as there is one.
        """
        flow = self.router.open(Route.of("late"), Route((SOURCE,)), SOURCE)
        flow.send((b"one",), 3)
        flow.send((b"two",), 3)
        late = Inbox(self.router, Address.local("late"))
        flow.send((b"three",), 5)
        self.assertEqual(self.asked, [("0#late", b"one"), ("0#late", b"two")])
        self.assertEqual(late.payloads, [b"three"])

    def test_bounds(self) -> None:
        """
        Nothing is asked for who is gone, or for routes that are too long.
        """
        self.router.route(LocalMessage(Route.of(*["far"] * 33), Route((SOURCE,)), b""), SOURCE)
        self.router.route(LocalMessage(Route.of("far"), Route.of(*["far"] * 33), b""), SOURCE)
        self.assertEqual(self.router.dropped[NOBODY], 2)
        self.router.unregister(SOURCE)
        self.send("far")
        self.assertEqual(self.asked, [])
