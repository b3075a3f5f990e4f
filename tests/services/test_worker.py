"""
Tests for L{ockam_twisted.services.worker}.
"""

from __future__ import annotations

from zope.interface.verify import verifyObject

from ockam_twisted.errors import AddressTaken
from ockam_twisted.interfaces import IWorker
from ockam_twisted.routing.access import DenyAll
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.services.worker import WorkerService
from tests.services.common import ServiceTestCase


class _Answering(WorkerService):
    """
    Answers that it was asked.
    """

    def messageReceived(self, message: LocalMessage) -> None:
        self.answer(message, b"asked: " + message.payload)


class WorkerServiceTests(ServiceTestCase):
    """
    Tests for L{WorkerService}.
    """

    def test_life(self) -> None:
        """
        It answers while it runs, and can run again.
        """
        service = _Answering(self.bob.router, Address.local("x"), self.ids)
        self.assertTrue(verifyObject(IWorker, service))
        for _ in range(2):
            self.assertEqual(self.ask("x", b"1"), [])
            service.startService()
            self.assertEqual(self.ask("x", b"1"), [b"asked: 1"])
            self.assertEqual(self.ask("x", b"1", True), [b"asked: 1"])
            service.stopService()
        self.assertEqual(self.ask("x", b"1"), [])

    def test_taken(self) -> None:
        """
        Where somebody is it cannot be, and it does not run.
        """
        self.bob.inbox("x")
        service = _Answering(self.bob.router, Address.local("x"))
        self.assertRaises(AddressTaken, service.startService)
        self.assertFalse(service.running)

    def test_access(self) -> None:
        """
        Flow control and access control keep messages from it.
        """
        for service in (
            _Answering(self.bob.router, Address.local("x")),
            _Answering(self.bob.router, Address.local("x"), self.ids, DenyAll()),
        ):
            service.startService()
            self.assertEqual(self.ask("x", b"1"), [])
            service.stopService()

    def test_noEnd(self) -> None:
        """
        Who sends no return route gets no answer, and neither does the same
        service of another node: the two would go on for ever.
        """
        service = _Answering(self.bob.router, Address.local("x"), self.ids)
        service.startService()
        theirs = _Answering(self.alice.router, Address.local("x"))
        theirs.startService()
        flow = self.alice.router.flowControls.producerId(self.hop.route()[0])
        self.alice.router.flowControls.addConsumer(theirs.address, str(flow))
        with self.alice.router.turn:
            for back in (Route(), Route((theirs.address,))):
                self.alice.router.route(LocalMessage(self.hop.route("x"), back, b"1"), self.inbox.address)
        self.network.pump()
        self.assertEqual(self.inbox.payloads, [])

    def test_abstract(self) -> None:
        """
        What it does is for others to say.
        """
        service = WorkerService(self.bob.router, Address.local("x"))
        message = LocalMessage(Route.of("x"), Route(), b"")
        self.assertRaises(NotImplementedError, service.messageReceived, message)
