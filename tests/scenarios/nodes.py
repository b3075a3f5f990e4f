"""
Nodes in this process, over real sockets and in real time, for tests of
transports.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from ockam_twisted.interfaces import IWorker
from ockam_twisted.node import Node
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.services.requests import requestRaw
from tests.scenarios.processes import PATIENCE
from tests.scenarios.roads import Places

ECHO, MIRROR = Address.local("echo"), Address.local("mirror")


@implementer(IWorker)
class Mirror:
    """
    Sends back what arrives, however much.
    """

    def __init__(self, node: Node) -> None:
        self._router = node.router

    def messageReceived(self, message: Any) -> None:
        self._router.route(LocalMessage(message.return_route, Route((MIRROR,)), message.payload), MIRROR)


class RoadTestCase(TestCase):
    """
    With nodes and places.
    """

    timeout = 600

    def setUp(self) -> None:
        """
        A folder.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="ockam-twisted-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.places = Places(self.folder)
        self.addCleanup(self.places.close)

    async def node(self, **options: Any) -> Node:
        """
        A node that is stopped after the test.
        """
        node = Node(reactor, **options)
        await node.loadIdentity()
        node.privilegedStartService()
        node.startService()
        self.addCleanup(node.stopService)
        return node

    async def server(self, kind: str, place: Any, **options: Any) -> Node:
        """
        A node that listens, and whose echo is for everybody.
        """
        node = await self.node(**options)
        await node.listen(self.places.listen(kind, place))
        node.makeReachable("echo", (node.transport.listenerId,))
        node.router.register(MIRROR, Mirror(node))
        node.makeReachable("mirror", (node.transport.listenerId,))
        return node

    async def echoed(
        self, node: Node, way: Route, payload: bytes, patience: float = 10.0, worker: Address = ECHO
    ) -> None:
        """
        It comes back.
        """
        with node.router.turn:
            reply = requestRaw(node.router, reactor, Route((*way, worker)), payload, patience)
        self.assertEqual(await reply, payload)

    async def until(self, condition: Any, what: str, patience: float = PATIENCE) -> None:
        """
        Wait, without blocking, until C{condition()} holds.
        """
        deadline = reactor.seconds() + patience  # type: ignore[attr-defined]
        while not condition():
            if reactor.seconds() > deadline:  # type: ignore[attr-defined]
                self.fail(f"not in time: {what}")
            await deferLater(reactor, 0.02)
